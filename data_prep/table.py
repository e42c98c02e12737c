"""One's own recordings, listed in a table: CSV, TSV, JSON lines or JSON, a row an utterance.

Columns: `path` (relative to the table, or absolute) and `text`; where they are there, `id`, `speaker`, `start` and
`end` (seconds into the file, or 1:02:03.5) or `duration`, `channel`, and `split` (train, dev, test). Manifests of NeMo,
tables of Common Voice, of Hugging Face's AudioFolder and others are read as they are: well-known other names of columns
are taken, and told; `columns` says which is which. Tables are as spreadsheets write them: commas, semicolons, tabs or
|, UTF-8 or UTF-16, paths of Windows, numbers with a comma.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from asr.utils.errors import InputError
from asr.utils.files import files_sha256, is_there, no_such_file
from asr.utils.unicode import plain_name
from data_prep._columns import Column, find_columns
from data_prep._files import find_audio
from data_prep._manifest import (
    OVERRUN,
    Notes,
    Progress,
    Source,
    Summary,
    already_prepared,
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
    rows = [_Row(values, taken, number) for number, values in content.rows]
    folders = [table.parent]
    if any(name.casefold() == "client_id" for name in content.header):  # of Common Voice
        folders += [table.with_name("clips"), table.with_name("audios")]
    _refuse_tarred(content, rows, folders, table)
    counts_from_0 = any(str(row.value("channel")).strip() == "0" for row in rows)
    sources: list[Source] = []
    labels: list[str] = []
    problems: list[str] = []
    for row in rows:
        origin = f"{table}, row {row.number}"
        try:
            source = _source(row, folders, origin, counts_from_0, notes)
            check_source(source)
            labels.append(_label(row))
            sources.append(source)
        except InputError as e:
            problems.append(left_out_line(str(e), origin))
    _check_found(rows, sources, table, notes)
    with telling(problems):
        if not sources:
            raise InputError(f"no row can be used: {problems[0] if problems else 'there is none'}", where=table)
        splits = split_sources(sources, labels, split_by=split_by, dev=dev, test=test, seed=seed, where=table)
    return write_corpus(out_dir, splits, settings, left_out=problems, notes=notes, progress=progress)


def _refuse_tarred(content: Table, rows: Sequence[_Row], folders: Sequence[Path], table: Path) -> None:
    """A manifest of NeMo's archives names files within them.

    Raises:
        InputError: It is one, and they are not unpacked.
    """
    if "shard_id" in content.header and rows:
        try:
            find_audio(rows[0].text("path"), folders)
        except InputError:
            what = "is a manifest of audio in tar archives (shard_id)"
            raise InputError(what, where=table, remedy="unpack them beside it") from None


def _label(row: _Row) -> str:
    label = row.text("split").lower()
    return _SPLITS.get(label, label)


@dataclass(frozen=True)
class _Row:
    """A row, by our names of columns."""

    values: Mapping[str, Any]
    columns: Mapping[str, Column]
    number: int  # of its line

    def value(self, name: str) -> Any:
        return self.values.get(self.columns[name].name) if name in self.columns else None

    def text(self, name: str) -> str:
        """A value as text.

        Raises:
            InputError: It is a list, an object, or one of JSON's true and false.
        """
        value = self.value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            shown = json.dumps(value, ensure_ascii=False)[:100]
            raise InputError(
                f"{name} {shown} is not a text", remedy="put it in quotes" if value in (True, False) else ""
            )
        return value.strip()

    def seconds(self, name: str) -> float | None:
        """A time in seconds; None where there is none."""
        text = self.text(name)
        if not text:
            return None
        try:
            seconds = _clock(text) * self.columns[name].scale
        except (ValueError, OverflowError):
            raise InputError(f"{name} {text!r} is not a number of seconds") from None
        if not -OVERRUN < seconds < float("inf"):
            raise InputError(f"{name} {text!r} is not a time in a file")
        return seconds


def _source(row: _Row, folders: Sequence[Path], origin: str, counts_from_0: bool, notes: Notes) -> Source:
    path, text = row.text("path"), row.text("text")
    if not path or not PureWindowsPath(path).name:
        raise InputError("has no path")
    if not text:
        raise InputError("has no text")
    start, end, duration = (row.seconds(name) for name in ("start", "end", "duration"))
    if start is not None and end is None and duration is not None:
        end = start + duration
    segment = start is not None or end is not None
    start = start or 0.0
    if end is not None and duration is not None and abs(end - start - duration) > OVERRUN:
        notes.count("rows whose duration is not that from start to end, which are taken", origin)
    if end is not None and end <= start:
        raise InputError(f"ends at {end} s, before it begins at {start} s")
    if segment and end is None:
        raise InputError("has a start, but neither end nor duration")
    channel = _channel(row, counts_from_0)
    name = f"{PureWindowsPath(path).stem}-{row.number}" if segment else _id(path)
    return Source(
        id=row.text("id") or (name if channel is None or segment else f"{name}-{channel}"),
        audio=_audio(path, folders),
        text=text,
        speaker=row.text("speaker"),
        start=start,
        duration=None if end is None else end - start,
        origin=origin,
        channel=channel,
        length=None if segment else duration,
    )


def _audio(path: str, folders: Sequence[Path]) -> Path:
    """The recording; old tables of Common Voice name it without its ending."""
    with suppress(InputError):
        if len(folders) > 1 and not PureWindowsPath(path).suffix:
            return find_audio(f"{path}.mp3", folders)
    return find_audio(path, folders)


def _channel(row: _Row, counts_from_0: bool) -> int | None:
    """The channel of a row: 0, 1, ..., or A and B, or left and right.

    Raises:
        InputError: It is none.
    """
    label = row.text("channel").lower()
    if label in _CHANNELS:
        return _CHANNELS[label]
    if not re.fullmatch(r"\d{1,3}", label, re.ASCII):
        raise InputError(f"channel {label!r} is none", remedy="channels are 0 and 1, or A and B, or left and right")
    if not counts_from_0:
        raise InputError(
            f"channel {label}: no row has channel 0, from which they count here",
            remedy="write 0 and 1, or A and B, or left and right",
        )
    return int(label)


def _check_found(rows: Sequence[_Row], sources: Sequence[Source], table: Path, notes: Notes) -> None:
    """No two paths may have become one file, where one was not found as it stands there. Other letter case is told.

    Raises:
        InputError: Two have.
    """
    of_row = {f"{table}, row {row.number}": row for row in rows}
    paths: dict[Path, str] = {}
    for source in sources:
        there = plain_name(of_row[source.origin].text("path")).replace("\\", "/")
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


def _clock(text: str) -> float:
    """Seconds: 3.5, 3,5, 02:03.5, 1:02:03.5 or 1:02:03,500."""
    *larger, last = text.split(":")
    if len(larger) > 2 or not all(re.fullmatch(r"\d+", part, re.ASCII) for part in larger):
        raise ValueError(text)
    if not re.fullmatch(r"-?\d+([.,]\d*)?([eE][-+]?\d+)?" if not larger else r"\d+([.,]\d*)?", last, re.ASCII):
        raise ValueError(text)
    seconds = float(last.replace(",", "."))
    for place, part in enumerate(reversed(larger), 1):
        seconds += int(part) * 60**place
    return seconds
