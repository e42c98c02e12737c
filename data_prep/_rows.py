"""Rows of a table: CSV with any separator, TSV, JSON lines, JSON. Another kind of file is refused by its name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr.data.known_files import refuse_others
from asr.utils.errors import InputError
from asr.utils.files import UTF16, has_utf16_mark, is_utf16, read_bytes, read_text
from asr.utils.unicode import plain_name
from data_prep._manifest import Notes
from data_prep._times import is_time

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".psv", ".json", ".jsonl", ".ndjson", ".list")
_MOST_BYTES = 1 << 30
_KALDI = ("wav.scp", "text", "utt2spk", "spk2utt", "segments", "reco2file_and_channel")
_AUDIO = re.compile(r"\.(?:wav|flac|mp3|ogg|opus|m4a|aac|wma|aiff?|sph|mp4|webm)\b", re.IGNORECASE)


@dataclass
class Table:
    """The names of columns, and rows: the line each begins at, and its values by those names."""

    header: list[str]
    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    is_json: bool = False

    def used(self, name: str) -> bool:
        """Whether a column holds anything."""
        return any(str(row.get(name) or "").strip() for _, row in self.rows)

    def holds_times(self, name: str) -> bool:
        """Whether a column holds nothing but times."""
        return self.used(name) and all(map(is_time, self._values(name)))

    def varies(self, name: str) -> bool:
        """Whether not all that a column holds is the same."""
        return len(self._values(name)) > 1

    def _values(self, name: str) -> set[str]:
        return {text for _, row in self.rows if (text := str(row.get(name) or "").strip())}


def read_table(path: Path, notes: Notes) -> Table:
    """Reads a table; names of columns are plain names, values as they stand there (numbers of JSON, too, are texts).

    Raises:
        InputError: It cannot be read, or is something else.
    """
    if path.name in _KALDI:
        remedy = f"asr prepare kaldi {path.parent}"
        raise InputError("is a file of a Kaldi data folder, not a table", where=path, remedy=remedy)
    data = _unpacked(read_bytes(path), path)
    refuse_others(data, path, "a table")
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in SUFFIXES:
        remedy = "name a .csv, .tsv or .jsonl file; spreadsheets save one as CSV"
        raise InputError("is not a table", where=path, remedy=remedy)
    text = _text(path, data)
    if suffix in (".json", ".jsonl", ".ndjson") or re.match(r'\s*(?:\[\s*)?\{\s*"', text):
        return _json_table(text, path)
    spreadsheet = has_utf16_mark(data)  # which quotes fields, in "Unicode text", too
    return _csv_table(text, path, csv_named=suffix == ".csv", spreadsheet=spreadsheet, notes=notes)


def _unpacked(data: bytes, path: Path) -> bytes:
    """What a gzipped file holds; of another all of it."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as f:
            whole = f.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as e:
        raise InputError(f"cannot be unpacked ({e})", where=path) from e
    if len(whole) > _MOST_BYTES:
        raise InputError(f"unpacks to more than {_MOST_BYTES:,} bytes", where=path)
    return whole


def _text(path: Path, data: bytes) -> str:
    """A table's text: UTF-8, or UTF-16 with its mark, as spreadsheets export "Unicode"."""
    if has_utf16_mark(data):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as e:
            raise InputError(f"is no whole UTF-16 ({e.reason})", where=path) from e
    if is_utf16(data):
        raise InputError("looks like UTF-16", where=path, remedy=UTF16)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return read_text(path)  # which says what it is


# CSV and TSV


def _csv_table(text: str, path: Path, *, csv_named: bool, spreadsheet: bool, notes: Notes) -> Table:
    body = text.lstrip("\n\r")
    body = body if "\n" in body else body.replace("\r", "\n")  # of old Macs
    told = re.match(r"sep=(.)\r?\n", body)  # how Excel is told
    body = body[told.end() :] if told else body
    body = _without_comments(body, path, notes)
    above = text[: len(text) - len(body)].count("\n")  # lines that are no part of the table
    delimiter = told[1] if told else _delimiter(body, csv_named)
    dialect: dict[str, Any] = {"delimiter": delimiter, "skipinitialspace": True}
    plain = delimiter == "|" or (delimiter == "\t" and not csv_named and not spreadsheet)
    if plain and not _quotes_fields(body, delimiter):
        dialect = {"delimiter": delimiter, "quoting": csv.QUOTE_NONE}
    reader = csv.reader(io.StringIO(body, newline=""), strict=True, **dialect)
    begins, longer = above + 1, []
    try:
        table = Table([plain_name(name).strip("\"'") for name in next(reader, [])])
        _check_header(table.header, body, path)
        begins = above + reader.line_num + 1
        for fields in reader:
            ends = above + reader.line_num
            if any(each.strip() for each in fields):
                if any(each.strip() for each in fields[len(table.header) :]):
                    raise InputError(
                        f"has {len(fields)} fields, the header {len(table.header)}",
                        where=f"{path}, line {begins}",
                        remedy="quote texts that hold the separator",
                    )
                if ends > begins and any(_holds_rows(each, delimiter) for each in fields):
                    raise csv.Error("quotes that are opened here hold rows below")
                table.rows.append((begins, dict(zip(table.header, fields, strict=False))))
                longer += [begins] if ends > begins else []
            begins = ends + 1
    except csv.Error as e:
        remedy = "close quotes that are open, and double those within a text" if '"' in body else ""
        raise InputError(f"cannot be read as a table ({e})", where=f"{path}, line {begins}", remedy=remedy) from e
    if longer:
        notes.say(f"{path}: {len(longer):,} rows go over several lines, as their quotes say, the first at {longer[0]}")
    return table


def _without_comments(body: str, path: Path, notes: Notes) -> str:
    """A table without remarks above its header, which begin with #; a header behind a # is one, where a row follows."""
    first, _, rest = body.partition("\n")
    skipped = 0
    while first.startswith("#") and rest.strip() and not _AUDIO.search(rest.partition("\n")[0]):
        first, _, rest = rest.lstrip("\r\n").partition("\n")
        skipped += 1
    if skipped:
        notes.say(f"{path}: remarks above the header, behind a #, are passed over: {skipped:,}")
        body = first + "\n" + rest
    return body.lstrip("# ") if body.startswith("#") else body


def _holds_rows(text: str, delimiter: str) -> bool:
    """Whether a text of several lines swallowed rows: one that names a recording."""
    return any(_AUDIO.search(line.partition(delimiter)[0]) for line in text.split("\n")[1:] if delimiter in line)


def _delimiter(text: str, csv_named: bool) -> str:
    """What separates the fields: that of which the first line has most; in a TSV the tab, if it has one."""
    head = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    if not csv_named and ("\t" in head or not any(mark in head for mark in ",;|")):
        return "\t"
    return max(",;\t|", key=head.count)


def _quotes_fields(text: str, delimiter: str) -> bool:
    """Whether quotes stand around fields, as programs for tables write them: around names of columns, too, or around
    every field that holds some, which are doubled within, or the separator. Else they are quotes of the texts."""
    rows = [line.split(delimiter) for line in text.splitlines()]
    if any(len(row) > len(rows[0]) and any(each.strip() for each in row[len(rows[0]) :]) for row in rows):
        return '"' in text
    fields = [each.strip() for row in rows for each in row if '"' in each]
    whole = all(re.fullmatch(r'"(?:[^"]|"")*"', each) for each in fields)
    return whole and (text.startswith('"') or any('""' in each[1:-1] for each in fields))


def _check_header(header: Sequence[str], text: str, path: Path) -> None:
    """The first line must name columns.

    Raises:
        InputError: It is empty, or a row.
    """
    if not any(header):
        raise InputError("is empty", where=path, remedy="its first line names the columns: path, text, ...")
    if any(_AUDIO.search(name) for name in header):
        shown = text.partition("\n")[0].strip()[:80]
        raise InputError(
            f"its first line is a row, not names of columns: {shown}",
            where=path,
            remedy="put such a line above it: path,text with the separator that the table has",
        )
    lines = text.splitlines()
    if len(header) == 1 and len(lines) > 1 and re.fullmatch(r"[^\t]+\t\d+", lines[1]):
        raise InputError(
            "is a manifest of fairseq (a folder, then paths and lengths), which has no texts",
            where=path,
            remedy="make a table with the columns path and text",
        )
    if re.fullmatch(r"LJ\d+-\d+", header[0]):
        raise InputError("is LJ Speech's metadata.csv", where=path, remedy=f"asr prepare ljspeech {path.parent}")


# JSON


def _json_table(text: str, path: Path) -> Table:
    """JSON lines, or one document: a list of rows, rows by their ids, or a list of rows by a name."""
    values = list(_json_values(text, path))
    if len(values) == 1:
        values = _rows_of(*values[0], path)
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, value in values:
        if not isinstance(value, dict):
            raise InputError("is not a JSON object", where=f"{path}, line {number}")
        _refuse_manifests(value, path)
        rows.append((number, {plain_name(name): each for name, each in value.items()}))
    header = list(dict.fromkeys(name for _, row in rows for name in row))
    if not header:
        raise InputError("is empty", where=path, remedy='each line is an object: {"path": ..., "text": ...}')
    return Table(header, rows, is_json=True)


def _json_values(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """The values that stand one after another, and the line at which each begins."""
    decoder = json.JSONDecoder(
        parse_int=str,  # the word that stands there
        parse_float=str,
        parse_constant=lambda word: None if word == "NaN" else word,
    )
    at, number = 0, 1
    while rest := re.compile(r"\S").search(text, at):
        number += text.count("\n", at, rest.start())
        at = rest.start()
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as e:
            line = getattr(e, "lineno", number)
            line = line if line > number + 1 else number  # of JSON lines, that of the row
            raise InputError(f"is not JSON ({getattr(e, 'msg', 'too deep')})", where=f"{path}, line {line}") from e
        yield number, value
        number += text.count("\n", at, end)
        at = end


def _rows_of(number: int, value: Any, path: Path) -> list[tuple[int, Any]]:
    """The rows of a document; they are counted, where they have no lines of their own."""
    if isinstance(value, list):
        return [(n, each) for n, each in enumerate(value, 1)]
    if not isinstance(value, dict):
        return [(number, value)]
    _refuse_manifests(value, path)
    lists = [each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict)]
    if len(lists) == 1:
        return [(n, each) for n, each in enumerate(lists[0], 1)]
    if value and all(isinstance(each, dict) for each in value.values()):
        return [(n, {"id": key, **each}) for n, (key, each) in enumerate(value.items(), 1)]
    return [(number, value)]


# What rows of other programs hold, which are no tables of recordings and texts.
_MANIFESTS: tuple[tuple[frozenset[str], str, str], ...] = (
    (frozenset({"utts"}), "a data.json of ESPnet, which names features", "asr prepare kaldi takes its data folder"),
    (
        frozenset({"supervisions"}),
        "a Lhotse manifest of cuts",
        "asr train --data takes a folder of them",
    ),
    (
        frozenset({"sources", "sampling_rate"}),
        "a Lhotse manifest of recordings",
        "`lhotse cut simple` makes cuts of it and its supervisions, which asr train --data FOLDER takes",
    ),
    (
        frozenset({"recording_id", "start", "duration"}),
        "a Lhotse manifest of supervisions",
        "`lhotse cut simple` makes cuts of it and its recordings, which asr train --data FOLDER takes",
    ),
    (frozenset({"segments"}), "the transcript of one recording", "make a table with path, start, end and text"),
    (frozenset({"data", "annotations"}), "an export of Label Studio", "export it as JSON-MIN or CSV"),
    (frozenset({"data", "completions"}), "an export of Label Studio", "export it as JSON-MIN or CSV"),
)


def _refuse_manifests(row: dict[str, Any], path: Path) -> None:
    for names, what, remedy in _MANIFESTS:
        if row.keys() >= names:
            raise InputError(f"is {what}, not a table", where=path, remedy=remedy)
