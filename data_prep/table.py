"""One's own recordings, listed in a table: CSV, TSV or JSONL with a line an utterance.

Columns: `path` (relative to the table, or absolute) and `text`; where they are there, `id`, `speaker`, `start` and
`end` (seconds into the file, or 1:02:03.5) and `split` (train, dev, test). Other columns are ignored; where names are
others, `columns` says which is which. Tables are as spreadsheets write them: commas, semicolons or tabs, UTF-8 or
UTF-16, paths of Windows, numbers with a comma.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from asr.utils.errors import InputError
from asr.utils.files import files_sha256, has_utf16_mark, is_there, read_bytes, read_text
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    already_prepared,
    check_source,
    left_out_line,
    telling,
    write_corpus,
)
from data_prep._splits import check_split, split_sources
from data_prep._transcripts import read_lines

log = logging.getLogger(__name__)

_COLUMNS = ("path", "text", "id", "speaker", "start", "end", "split")


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
    check_split(split_by, dev, test)
    columns = dict(columns or {})
    rows = list(_rows(table, columns))
    settings = {
        "corpus": "table",
        "table": str(table.resolve()),
        "sha256": files_sha256([table]),
        **({"columns": columns} if columns else {}),
        **{"split_by": split_by, "dev": dev, "test": test, "seed": seed},
    }
    if done := already_prepared(out_dir, settings):
        return done
    sources: list[Source] = []
    labels: list[str] = []
    problems: list[str] = []
    for number, row in rows:
        origin = f"{table}, row {number}"
        try:
            source = _source(row, table.parent, number, origin)
            check_source(source)
            sources.append(source)
            labels.append(_string(row, "split").lower())
        except InputError as e:
            problems.append(left_out_line(str(e), origin))
    _check_found(rows, sources, table)
    with telling(problems):
        if not sources:
            raise InputError(f"no row can be used: {problems[0] if problems else 'there is none'}", where=table)
        splits = split_sources(sources, labels, split_by=split_by, dev=dev, test=test, seed=seed, where=table)
    return write_corpus(out_dir, splits, settings, left_out=problems, progress=progress)


def _rows(table: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their line numbers, by our names of columns."""
    if table.suffix.lower() in (".jsonl", ".json"):
        yield from _json_rows(table, columns)
    elif table.suffix.lower() in (".csv", ".tsv", ".txt"):
        yield from _csv_rows(table, columns)
    else:
        remedy = "name a .csv, .tsv or .jsonl file; spreadsheets save one as CSV"
        raise InputError("is not a table", where=table, remedy=remedy)


def _json_rows(table: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    names: dict[str, str] | None = None
    for number, line in enumerate(_text(table).split("\n"), 1):  # U+2028 and its like may stand in a JSON string
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as e:
                raise InputError(f"is not JSON ({e})", where=f"{table}, line {number}") from e
            if not isinstance(row, dict):
                raise InputError("is not a JSON object", where=f"{table}, line {number}")
            row = {_plain(name): value for name, value in row.items()}
            if names is None:
                names = _renamed([*row], columns, table)
            yield number, {names.get(name, name): value for name, value in row.items()}


def _csv_rows(table: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _text(table).lstrip("\n\r")
    text = text if "\n" in text else text.replace("\r", "\n")  # of old Macs
    # Tabs separate fields of a TSV, and quotes in it are quotes, but in what a spreadsheet exports as "Unicode text".
    dialect: dict[str, Any] = {"delimiter": "\t"}
    if table.suffix.lower() == ".csv":
        if said := re.match(r"sep=(.)\r?\n", text):  # how Excel is told
            text = text[said.end() :]
        dialect = {"delimiter": said[1] if said else _delimiter(text)}
    elif not has_utf16_mark(read_bytes(table)):
        dialect["quoting"] = csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **dialect)
    try:
        header = [_plain(name) for name in next(reader, [])]
        names = _renamed(header, columns, table)
        header = [names.get(name, name) for name in header]
        for fields in reader:
            if any(field.strip() for field in fields):
                if any(field.strip() for field in fields[len(header) :]):
                    raise InputError(
                        f"has {len(fields)} fields, the header {len(header)}",
                        where=f"{table}, line {reader.line_num}",
                        remedy="quote texts that hold the separator",
                    )
                yield reader.line_num, dict(zip(header, fields, strict=False))
    except csv.Error as e:
        raise InputError(f"cannot be read as a table ({e})", where=f"{table}, line {reader.line_num}") from e


def _text(table: Path) -> str:
    """A table's text: UTF-8, or UTF-16 with its mark, as spreadsheets export "Unicode"."""
    data = read_bytes(table)
    if has_utf16_mark(data):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as e:
            raise InputError(f"is no whole UTF-16 ({e.reason})", where=table) from e
    next(read_lines(table), None)  # says so if it is UTF-16 all the same
    return read_text(table)


def _delimiter(text: str) -> str:
    """What separates the fields of a CSV: comma, or semicolon or tab, as where the comma is in numbers."""
    head = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    return max(",;\t", key=head.count)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().lower()


def _renamed(header: list[str], columns: Mapping[str, str], table: Path) -> dict[str, str]:
    """Names of a table's columns -> ours, where they are others."""
    if not any(header):
        raise InputError("is empty", where=table, remedy="its first line names the columns: path, text, ...")
    there = ", ".join(header)
    for ours, theirs in columns.items():
        if ours not in _COLUMNS:
            raise InputError(f"{ours!r} is none of {', '.join(_COLUMNS)}", where="--column")
        if _plain(theirs) not in header:
            raise InputError(f"has no column {theirs!r}, only {there}", where=table)
    ours_there = [name for name in header if name in (*_COLUMNS, *map(_plain, columns.values()))]
    if twice := [name for name in ours_there if ours_there.count(name) > 1]:
        raise InputError(f"has {twice[0]!r} {ours_there.count(twice[0])} times", where=table, remedy="rename one")
    names = {_plain(theirs): ours for ours, theirs in columns.items()}
    # One of our names that means something else there is not ours.
    names |= {name: f"their {name}" for name in header if name in columns and name not in names}
    for name in ("path", "text"):
        if name not in [names.get(each, each) for each in header]:
            raise InputError(
                f"has no column {name!r}, only {there}",
                where=table,
                remedy=f"name it in the first line, or say which it is: --column {name}=NAME. There are path and text,"
                " and if there: id, speaker, start, end, split",
            )
    return names


def _source(row: dict[str, Any], folder: Path, number: int, origin: str) -> Source:
    path, text, name, speaker = (_string(row, column) for column in ("path", "text", "id", "speaker"))
    path = path.replace("\\", "/") if "\\" in path and not is_there(folder / path) else path
    if not path or not Path(path).name:
        raise InputError("has no path")
    if not text:
        raise InputError("has no text")
    start, end = _seconds(row, "start"), _seconds(row, "end")
    segment = start is not None or end is not None
    if end is not None and end <= (start or 0.0):
        raise InputError(f"ends at {end} s, before it begins at {start or 0.0} s")
    if segment and end is None:
        raise InputError("has a start, but no end")
    return Source(
        id=name or (f"{Path(path).stem}-{number}" if segment else _id(path)),
        audio=_audio(path, folder),
        text=text,
        speaker=speaker,
        start=start or 0.0,
        duration=None if end is None else end - (start or 0.0),
        origin=origin,
    )


def _check_found(rows: Sequence[tuple[int, dict[str, Any]]], sources: Sequence[Source], table: Path) -> None:
    """No two paths of another machine may have become one file here."""
    of_row = {f"{table}, row {number}": _string(row, "path") for number, row in rows}
    paths: dict[Path, str] = {}
    for source in sources:
        given = of_row[source.origin].replace("\\", "/")
        first = paths.setdefault(source.audio, given)
        if first != given and source.audio.name == PureWindowsPath(given).name and PureWindowsPath(given).drive:
            raise InputError(
                f"{first} and {given} would both be {source.audio}",
                where=source.origin,
                remedy="give paths that are relative to the table",
            )


def _id(path: str) -> str:
    """Of a relative path all, of one from another machine's drive its name."""
    whole = PureWindowsPath(path).name if PureWindowsPath(path).drive else path
    return Path(whole).with_suffix("").as_posix().replace("/", "-")


def _audio(path: str, folder: Path) -> Path:
    """The recording; of an absolute path on another machine, that at the end of the path, as much of it as is there,
    beside the table."""
    if (PureWindowsPath(path).drive or Path(path).is_absolute()) and not is_there(folder / path):
        parts = PureWindowsPath(path).parts[1:]
        ends = (folder.joinpath(*parts[n:]) for n in range(len(parts)) if ".." not in parts[n:])
        return next((end for end in ends if is_there(end)), folder / path)
    return folder / path


def _string(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()  # JSON has numbers, too: speaker 0


def _seconds(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or str(value).strip() == "":
        return None
    try:
        seconds = _clock(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} {value!r} is not a number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise InputError(f"{name} {value!r} is not a time in a file")
    return seconds


def _clock(text: str) -> float:
    """Seconds: 3.5, 3,5, 02:03.5 or 1:02:03.5."""
    *larger, last = text.strip().split(":")
    if len(larger) > 2 or not all(re.fullmatch(r"\d+", part, re.ASCII) for part in larger):
        raise ValueError(text)
    seconds = float(last.replace(",", ".") if re.fullmatch(r"\d+,\d+", last.strip()) else last)
    for place, part in enumerate(reversed(larger), 1):
        seconds += int(part) * 60**place
    return seconds
