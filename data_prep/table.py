"""One's own recordings, listed in a table: CSV, TSV or JSONL with a line an utterance.

Columns: `path` (relative to the table, or absolute) and `text`; where they are there, `id`, `speaker`, `start` and
`end` (seconds into the file) and `split` (train, dev, test). Other columns are ignored.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asr.errors import InputError
from asr.files import files_sha256, read_text
from data_prep.manifest import (
    Progress,
    Source,
    Summary,
    already_prepared,
    check_source,
    left_out_line,
    read_lines,
    write_corpus,
)
from data_prep.splits import check_split, split_sources

log = logging.getLogger(__name__)


def prepare(
    table: str | Path | None,
    out_dir: str | Path,
    *,
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
    rows = list(_rows(table))
    settings = {
        "corpus": "table",
        "table": str(table.resolve()),
        "sha256": files_sha256([table]),
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
    if not sources:
        raise InputError(f"no row can be used: {problems[0] if problems else 'there is none'}", where=table)
    splits = split_sources(sources, labels, split_by=split_by, dev=dev, test=test, seed=seed, where=table)
    return write_corpus(out_dir, splits, settings, left_out=problems, progress=progress)


def _rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their line numbers, column names in lower case."""
    if table.is_file():
        next(read_lines(table), None)  # says so if it is UTF-16, as spreadsheets export it
    text = read_text(table)
    suffix = table.suffix.lower()
    first = True
    if suffix in (".jsonl", ".json"):
        for number, line in enumerate(text.split("\n"), 1):  # U+2028 and its like may stand in a JSON string
            if line.strip():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as e:
                    raise InputError(f"is not JSON ({e})", where=f"{table}, line {number}") from e
                if not isinstance(row, dict):
                    raise InputError("is not a JSON object", where=f"{table}, line {number}")
                row = {name.strip().lower(): value for name, value in row.items()}
                if first:
                    _check_columns(set(row), table)
                    first = False
                yield number, row
        return
    if suffix not in (".csv", ".tsv", ".txt"):
        raise InputError("is not a table", where=table, remedy="name a .csv, .tsv or .jsonl file")
    # Tabs separate fields of a TSV, and quotes in it are quotes.
    dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if suffix != ".csv" else {}
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **dialect)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_columns(set(header), table)
        for fields in reader:
            if any(field.strip() for field in fields):
                if len(fields) > len(header):
                    raise InputError(
                        f"has {len(fields)} fields, the header {len(header)}",
                        where=f"{table}, line {reader.line_num}",
                        remedy="quote texts that hold the separator",
                    )
                yield reader.line_num, dict(zip(header, fields, strict=False))
    except csv.Error as e:
        raise InputError(f"cannot be read as a table ({e})", where=f"{table}, line {reader.line_num}") from e


def _check_columns(columns: set[str], table: Path) -> None:
    for name in ("path", "text"):
        if name not in columns:
            raise InputError(
                f"has no column {name!r}, only {', '.join(sorted(columns)) or 'none'}",
                where=table,
                remedy="name the columns in the first line: path, text, and if there: id, speaker, start, end, split",
            )


def _source(row: dict[str, Any], folder: Path, number: int, origin: str) -> Source:
    path, text, name, speaker = (_string(row, column) for column in ("path", "text", "id", "speaker"))
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
        id=name
        or (f"{Path(path).stem}-{number}" if segment else Path(path).with_suffix("").as_posix().replace("/", "-")),
        audio=folder / path,
        text=text,
        speaker=speaker,
        start=start or 0.0,
        duration=None if end is None else end - (start or 0.0),
        origin=origin,
    )


def _string(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()  # JSON has numbers, too: speaker 0


def _seconds(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or str(value).strip() == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} {value!r} is not a number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise InputError(f"{name} {value!r} is not a time in a file")
    return seconds
