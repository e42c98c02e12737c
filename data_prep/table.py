"""One's own recordings, listed in a table: CSV, TSV, JSON lines or JSON, a row an utterance.

Columns: `path` (relative to the table, or absolute) and `text`; where they are there, `id`, `speaker`, `start` and
`end` (seconds into the file, or 1:02:03.5) or `duration`, `channel`, and `split` (train, dev, test). Manifests of NeMo,
tables of Common Voice, of Hugging Face's AudioFolder and others are read as they are: well-known other names of columns
are taken, and told; `columns` says which is which. Tables are as spreadsheets write them: commas, semicolons, tabs or
|, UTF-8 or UTF-16, paths of Windows, numbers with a comma.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath

from asr.audio.reader import audio_info
from asr.utils.errors import InputError
from asr.utils.files import files_sha256, is_there, no_such_file
from asr.utils.unicode import plain_name
from data_prep._cells import Cells, Row, columns_of_times
from data_prep._columns import find_columns
from data_prep._files import find_audio
from data_prep._manifest import (
    OVERRUN,
    Notes,
    Progress,
    Source,
    Summary,
    already_prepared,
    backwards,
    check_source,
    left_out_line,
    telling,
    write_corpus,
)
from data_prep._rows import Table, read_table
from data_prep._splits import check_split, split_sources

_SPLITS = {
    **dict.fromkeys(("training",), "train"),
    **dict.fromkeys(("validation", "valid", "val", "development"), "dev"),
    **dict.fromkeys(("testing", "evaluation"), "test"),
}
_CHANNELS = {"": None, "a": 0, "b": 1, "left": 0, "right": 1, "l": 0, "r": 1}


def prepare(
    table: str | Path | None,
    out_dir: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    split_by: str = "auto",
    dev: float = 0.1,
    test: float = 0.1,
    seed: int = 1,
    progress: Progress | None = None,
) -> Summary:
    """Writes cuts of train, dev and test. Rows that cannot be used are listed in the summary, the rest is done.

    Args:
        table: The CSV, TSV or JSONL file.
        out_dir: The folder to make.
        columns: Our names of columns -> those of the table, where they are others (text: Transcript).
        split_by: auto, column, speaker or random, as splits.split_sources has it.
        dev: Share of the utterances for dev, where the split is made here.
        test: The same for test.
        seed: Of the split made here.

    Raises:
        InputError: The table cannot be read, or not split as asked.
    """
    if table is None:
        raise InputError(
            "table needs a CSV, TSV or JSONL file", where="FOLDER", remedy="asr prepare table FILE --out data/X"
        )
    table = Path(table).absolute()
    if table.is_dir():
        kaldi = " (or `asr prepare kaldi FOLDER`)" if (table / "wav.scp").exists() else ""
        raise InputError("is a folder, not a table", where=table, remedy=f"name the table in it{kaldi}")
    if not table.exists():
        raise no_such_file(table)
    check_split(split_by, dev, test)
    columns = dict(columns or {})
    notes = Notes()
    settings = {
        "corpus": "table",
        "table": str(table.resolve()),
        "sha256": files_sha256([table]),
        **({"columns": columns} if columns else {}),
        **{"split_by": split_by, "dev": dev, "test": test, "seed": seed},
    }
    if done := already_prepared(out_dir, settings):
        return done
    content = read_table(table, notes)
    taken = find_columns(content, columns, table, notes)
    rows = Cells(content, taken, table, notes).rows
    folders = [table.parent]
    if any(name.casefold() == "client_id" for name in content.header):  # of Common Voice
        folders += [table.with_name("clips"), table.with_name("audios")]
    _refuse_tarred(content, rows, folders, table)
    reader = _Reader(rows, folders, notes)
    problems: list[str] = []
    labelled: list[tuple[Source, str]] = []
    for row in rows:
        try:
            source = reader.source(row)
            check_source(source)
            labelled.append((source, _label(row)))
        except InputError as e:
            problems.append(left_out_line(str(e), row.origin))
    _check_found(rows, [source for source, _ in labelled], table, notes)
    labelled = _told_apart(labelled, lambda: columns_of_times(content, taken), problems)
    sources, labels = [source for source, _ in labelled], [label for _, label in labelled]
    notes.tell()
    with telling(problems):
        if not sources:
            raise InputError(f"no row can be used: {problems[0] if problems else 'there is none'}", where=table)
        splits = split_sources(sources, labels, split_by=split_by, dev=dev, test=test, seed=seed, where=table)
    return write_corpus(out_dir, splits, settings, left_out=problems, notes=notes, progress=progress)


def _refuse_tarred(content: Table, rows: Sequence[Row], folders: Sequence[Path], table: Path) -> None:
    """A manifest of NeMo's archives names files within them.

    Raises:
        InputError: It is one, and they are not unpacked.
    """
    if "shard_id" in content.header and rows:
        try:
            find_audio(rows[0].path(), folders)
        except InputError:
            what = "is a manifest of audio in tar archives (shard_id)"
            raise InputError(what, where=table, remedy="unpack them beside it") from None


def _label(row: Row) -> str:
    label = row.text("split").lower()
    return _SPLITS.get(label, label)


class _Reader:
    """What makes utterances of rows, knowing all of them: how many a file has, and from where channels count."""

    def __init__(self, rows: Sequence[Row], folders: Sequence[Path], notes: Notes) -> None:
        self.folders, self.notes = folders, notes
        self.of_path = Counter(PureWindowsPath(str(row.value("path"))) for row in rows)  # ./A.wav is a.wav
        self.first_channel = self._first_channel(rows)

    def source(self, row: Row) -> Source:
        """The utterance of a row.

        Raises:
            InputError: It has no text, no recording, or times that cannot be.
        """
        path, text = row.path(), row.spoken()
        if not path or not PureWindowsPath(path).name:
            raise InputError("has no path")
        if not text:
            raise InputError("has no text")
        start, end, duration = (row.seconds(name) for name in ("start", "end", "duration"))
        segment = start is not None or end is not None
        if segment:
            start, end = self._span(row, start, end, duration)
        channel = self._channel(row)
        name = f"{PureWindowsPath(path).stem}-{row.number}" if segment else _id(path)
        return Source(
            id=row.text("id") or (name if channel is None or segment else f"{name}-{channel}"),
            audio=_audio(path, self.folders),
            text=text,
            speaker=row.text("speaker"),
            start=start or 0.0,
            duration=None if end is None or start is None else end - start,
            origin=row.origin,
            channel=channel,
            length=None if segment else duration,
            unit_known=any(
                row.cells.columns[name].scale != 1 for name in ("start", "end") if name in row.cells.columns
            ),
        )

    def _span(self, row: Row, start: float | None, end: float | None, duration: float | None) -> tuple[float, float]:
        """Where a segment begins and ends, of which one or the other is known."""
        if start is None and end is not None and duration is not None:
            start = end - duration
        if start is None:
            if self.of_path[PureWindowsPath(str(row.value("path")))] > 1:
                raise InputError("has an end, but neither start nor duration")
            start = 0.0
        if end is None:
            if duration is None:
                raise InputError("has a start, but neither end nor duration")
            end = start + duration
        elif duration is not None and abs(end - start - duration) > OVERRUN:
            self.notes.count("rows whose duration is not that from start to end, which are taken", row.origin)
        if end <= start:
            raise InputError(backwards(start, end))
        return start, end

    def _first_channel(self, rows: Sequence[Row]) -> int | None:
        """From where channels count: 0, or 1 where no row says 0, and one the number of its file's channels."""
        numbered = [(int(label), row) for row in rows if (label := _number(row.plain("channel")))]
        if any(number == 0 for number, _ in numbered):
            return 0
        for number, row in numbered:
            with suppress(InputError):
                if number == audio_info(_audio(row.path(), self.folders)).channels:
                    self.notes.say(f"{row.origin}: channel {number} of {number}: channels count from 1")
                    return 1
        return None

    def _channel(self, row: Row) -> int | None:
        """The channel of a row: a number, or A and B, or left and right.

        Raises:
            InputError: It is none.
        """
        label = row.text("channel").lower()
        if label in _CHANNELS:
            return _CHANNELS[label]
        if not (number := _number(label)):
            raise InputError(f"channel {label!r} is none", remedy="channels are 0 and 1, or A and B, or left and right")
        if self.first_channel is None:
            raise InputError(
                f"channel {label}: no row has channel 0 or the last one: it is not clear from where they count",
                remedy="write 0 and 1, or A and B, or left and right",
            )
        return int(number) - self.first_channel


def _number(label: str) -> str:
    """The digits of a whole number that is written as one, or as pandas does (1.0); else ""."""
    match = re.fullmatch(r"(\d{1,3})(?:\.0)?", label, re.ASCII)
    return match[1] if match else ""


def _told_apart(
    labelled: Sequence[tuple[Source, str]], times: Callable[[], Sequence[str]], problems: list[str]
) -> list[tuple[Source, str]]:
    """All but those rows of a recording that have no times and differ in their texts; these join the problems."""
    texts: dict[tuple[Path, int | None], set[str]] = {}
    for source, _ in labelled:
        if source.duration is None:
            texts.setdefault((source.audio, source.channel), set()).add(source.text)
    if all(len(several) == 1 for several in texts.values()):
        return list(labelled)
    may_be = " or ".join(f"--column start={name}" for name in times()[:4])
    remedy = f"name the columns of times, as {may_be}" if may_be else "give it start and end, or leave one text"
    kept = []
    for source, label in labelled:
        several = texts.get((source.audio, source.channel), set()) if source.duration is None else set()
        if len(several) > 1:
            what = f"is one of {len(several):,} texts of {source.audio.name}, and has no times"
            problems.append(left_out_line(str(InputError(what, where=source.origin, remedy=remedy)), ""))
        else:
            kept.append((source, label))
    return kept


def _audio(path: str, folders: Sequence[Path]) -> Path:
    """The recording; old tables of Common Voice name it without its ending."""
    with suppress(InputError):
        if len(folders) > 1 and not PureWindowsPath(path).suffix:
            return find_audio(f"{path}.mp3", folders)
    return find_audio(path, folders)


def _check_found(rows: Sequence[Row], sources: Sequence[Source], table: Path, notes: Notes) -> None:
    """No two paths may have become one file, where one was not found as it stands there. Other letter case is told.

    Raises:
        InputError: Two have.
    """
    of_row = {row.origin: row for row in rows}
    paths: dict[Path, str] = {}
    for source in sources:
        there = plain_name(of_row[source.origin].path()).replace("\\", "/")
        first = paths.setdefault(source.audio, there)
        if first != there and not all(is_there(table.parent / each) for each in (first, there)):
            raise InputError(
                f"{first} and {there} would both be {source.audio}",
                where=source.origin,
                remedy="give paths that are relative to the table",
            )
        name = plain_name(source.audio.name)
        if name != PureWindowsPath(there).name and name.casefold() == PureWindowsPath(there).name.casefold():
            notes.count("paths that write their file's name in another case", source.origin)


def _id(path: str) -> str:
    """Of a relative path all, of one from another machine's drive its name."""
    whole = PureWindowsPath(path)
    return PureWindowsPath(whole.name if whole.drive else whole).with_suffix("").as_posix().replace("/", "-")
