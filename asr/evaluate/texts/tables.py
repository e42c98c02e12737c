"""Tables and rows of JSON: their texts by id, or with times."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import regex

from asr.evaluate.texts.contents import Entry, Piece, Source, Texts, texts_of, timed_texts
from asr.evaluate.texts.fields import Roles, is_field, is_header, is_path, is_text_field, plain_field, roles_of, unread
from asr.utils.errors import InputError
from asr.utils.unicode import plain_name

_NOTHING = {"nan", "NaN", "None", "<NA>", "null", "NULL"}  # how programs write that there is no text
_REMEDY = "name the columns in the first line: id and text, or id, reference and hypothesis"


def table_of(source: Source) -> Texts | None:
    """Returns the texts of a table whose first line names its columns; None of any other file.

    Remarks (#) may stand above that line.

    Raises:
        InputError: It is such a table, and cannot be read as one.
    """
    text = source.text.lstrip("\r\n")
    if stated := regex.match(r"sep=(.)\r?\n", text):  # how Excel is told
        return _table(source, text[stated.end() :], stated[1])
    above = regex.match(r"(?:#[^\r\n]*(?:\r\n|\r|\n)\s*)*", text)[0]
    for skipped in dict.fromkeys((above, "")):
        table = text[len(skipped) :]
        head = regex.match(r"[^\r\n]*", table)[0]
        if not skipped and head.startswith("#"):  # as some programs mark the line itself
            table = head.lstrip("# ") + table[len(head) :]
        found = _parted(source, table, regex.match(r"[^\r\n]*", table)[0])
        if found and skipped:
            number = len(skipped.split("\n")) - 1
            found = replace(found, notes=(f"{number} remarks (#) above the table are left out", *found.notes))
        if found:
            return found
    return None


def _parted(source: Source, text: str, head: str) -> Texts | None:
    """The texts of a table, if its first line names columns however they are parted."""
    for delimiter in "\t;,|":
        names = next(csv.reader([head], delimiter=delimiter), [])
        if len(names) > 1 and is_header(names):
            return _table(source, text, delimiter)
    words = head.split()
    if len(words) == 2 and is_field(words[0], "id") and is_field(words[1], "text"):
        roles = Roles(*words)
        first = source.text.count("\n") - text.count("\n") + 1
        entries = (
            _entry(dict(zip(words, [*line.split(None, 1), ""], strict=False)), roles, source.where(number), False)
            for number, line in source.lines
            if number > first
        )
        return _told(texts_of(source, "a table", entries, fields=roles.named()))
    return None


def refuse_table(source: Source) -> None:
    """Refuses a file that looks like a table whose columns nobody names."""
    lines = source.lines
    head = lines[0][1].strip()
    if is_text_field(head.strip('"'), table=source.ending in (".csv", ".tsv")):
        raise InputError("is a table of texts without ids", where=source.path, remedy="use --lines")
    if source.ending == ".csv" or all(regex.match(r"\s*[^\s,;|]+[,;|]\S?", line) for _, line in lines):
        raise InputError(f"is a table whose first line names no columns that are known: {head[:60]!r}", **_at(source))
    columns = [line.rstrip("\r\n").split("\t") for _, line in lines]
    if len(columns[0]) > 2 and len({len(each) for each in columns}) == 1:
        raise InputError(
            f"has {len(columns[0])} columns, and its first line does not name them: {head[:60]!r}", **_at(source)
        )
    keys = [each[0].strip() for each in columns]
    alone = len(lines) > 2 and not is_id_like(keys[0]) and all(map(is_id_like, keys[1:]))
    if alone and len(columns[0]) == 2 and len(columns[0][1].split()) == 1:
        raise InputError(f"its first line could be names of columns: {head[:60]!r}", **_at(source))


def is_id_like(word: str) -> bool:
    """Returns whether a word looks like an id: few words of a text have a digit or one of these signs."""
    return bool(regex.search(r"[\d_\-./\\:]", word))


def rows_of(source: Source, rows: Sequence[tuple[str, Mapping[str, Any]]], format: str) -> Texts:
    """Returns the texts of rows of JSON: (where it stands, the row).

    Raises:
        InputError: A row lacks its id or its text.
    """
    rows = [(where, _of_cut(row, where)) for where, row in rows]
    where, head = rows[0]
    roles = _roles_of_rows(rows)
    if roles.word and roles.start and roles.id and not roles.has_text:
        return _words(source, rows, roles, format)
    if roles.id is None and {"reference", "hypothesis"} <= {*roles.named()}:
        rows = [(where, {**row, "": str(number)}) for number, (where, row) in enumerate(rows, 1)]
        roles = replace(roles, id="")
    if roles.id is None or not (roles.has_text or roles.speaker):
        missing = "id" if roles.id is None else "text"
        raise InputError(
            f"is not a JSON object with `id` and `text`: there is no {missing} among {', '.join(head) or 'nothing'}",
            where=where,
        )
    left_out = [row for _, row in rows if row.get("counted") is False]  # of a phone error rate
    entries = [_entry(row, roles, where, row.get("counted") is False, row) for where, row in _apart(rows, roles)]
    names = {name for kind, name in roles.named().items() if kind in ("reference", "hypothesis", "text")}
    texts = [row[name] for name in names for _, row in rows if name in row]
    counts = {
        "utterances that are not counted are left out": len(left_out),
        "texts are null: empty as hypotheses, left out as references": sum(map(_is_null, texts)),
        "texts are numbers": sum(_is_number(text) for text in texts),
    }
    notes = tuple(f"{number} {what}" for what, number in counts.items() if number)
    passed = unread([row for _, row in rows], roles)
    return _told(texts_of(source, format, entries, fields=roles.named(), unread=tuple(passed), notes=notes))


def segments_of(source: Source, rows: Sequence[tuple[str, Mapping[str, Any]]], format: str) -> Texts | None:
    """Returns the texts of rows that have times and no ids; None of others."""
    _, head = rows[0]
    roles = _roles_of_rows(rows)
    numbered = roles.id is not None and plain_field(roles.id) == "id" and isinstance(head.get(roles.id or ""), int)
    if (roles.id is not None and not numbered) or not (roles.text and roles.start and roles.end):
        return None
    return _timed(source, rows, roles, format)


def _roles_of_rows(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Roles:
    """What the fields of rows are: a row may lack what others have."""
    nested = {name for _, row in rows for name, value in row.items() if isinstance(value, dict | list)}
    names = dict.fromkeys(name for _, row in rows for name in row if name not in nested)
    return roles_of([*names], rows[0][0], [row for _, row in rows])


def _table(source: Source, text: str, delimiter: str) -> Texts:
    rows = list(_rows(source, text, delimiter))
    header = rows[0][1]
    named = [(source.where(number), dict(zip(header, fields, strict=False))) for number, fields in rows[1:]]
    roles = roles_of(header, source.where(rows[0][0]), [row for _, row in named])
    if twice := [name for name, n in Counter(header).items() if n > 1 and name in roles.named().values()]:
        raise InputError(f"has {twice[0]!r} twice", where=source.where(rows[0][0]), remedy="rename one")
    if roles.word and roles.start and roles.id and not roles.has_text:
        return _words(source, named, roles, "a table")
    if roles.id is None and roles.start and roles.end and roles.text:
        return _timed(source, named, roles, "a table")
    if roles.id is None:
        if not roles.has_text:
            raise InputError(f"has no column that is known: {', '.join(header)}", where=source.path, remedy=_REMEDY)
        named = [(where, {**row, "": str(number)}) for number, (where, row) in enumerate(named, 1)]
        roles = Roles("", roles.text, roles.reference, roles.hypothesis, roles.speaker)
    entries = [_entry(row, roles, where, False) for where, row in _apart(named, roles)]
    nothing = [entry.id for entry in entries if {entry.reference, entry.hypothesis} & _NOTHING]
    notes = [f"{len(nothing)} texts are 'nan' or the like, and count as such (first: {nothing[0]})"] if nothing else []
    passed = unread([row for _, row in named], roles)
    return _told(texts_of(source, "a table", entries, fields=roles.named(), unread=tuple(passed), notes=tuple(notes)))


def _rows(source: Source, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows with their line numbers, the header first; empty ones are passed over."""
    text = text if "\n" in text else text.replace("\r", "\n")  # of old Macs
    dialect: dict[str, Any] = {"delimiter": delimiter}
    # In most tables that are parted by tabs a quote is a quote; some programs put fields that hold one in quotes.
    if (
        delimiter == "\t"
        and not source.wide
        and not regex.search(r'(?:^|\t)"[^"\t]*""|\A"[^"\t\r\n]*"\t', text, regex.M)
    ):
        dialect["quoting"] = csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **dialect)
    skipped = source.text.count("\n") - text.count("\n")
    header: list[str] = []
    try:
        for fields in reader:
            number = reader.line_num + skipped
            if not any(field.strip() for field in fields):
                continue
            while len(fields) > len(header) > 0 and not fields[-1].strip():
                fields.pop()
            if header and len(fields) != len(header):
                raise InputError(
                    f"has {len(fields)} fields, the header {len(header)}",
                    where=source.where(number),
                    remedy="quote texts that hold the separator",
                )
            header = header or fields
            yield number, fields
    except csv.Error as e:
        raise InputError(f"cannot be read as a table ({e})", where=source.where(reader.line_num + skipped)) from e


def _entry(
    row: Mapping[str, Any], roles: Roles, where: str, uncounted: bool, values: Mapping[str, Any] | None = None
) -> Entry:
    key = row.get(roles.id or "")
    if not isinstance(key, str | int) or isinstance(key, bool):
        raise InputError(f"its {roles.id} is {_shown(key)}, no id", where=where)
    texts: dict[str, str | None] = {}
    for side, name in (("reference", roles.reference_field), ("hypothesis", roles.hypothesis_field)):
        text = row.get(name) if name else None
        if _is_number(text):
            text = str(text)
        elif name and name in row and _is_null(text):
            text = "" if side == "hypothesis" else None
        elif name and not isinstance(text, str):
            raise InputError(f"its {name} is {_shown(text)}, no text", where=where)
        texts[side] = text
    if uncounted:
        texts["reference"] = None
    speaker = row.get(roles.speaker) if roles.speaker else None
    speaker = str(speaker) if isinstance(speaker, str | int) else ""
    return Entry(str(key), where, **texts, speaker=plain_name(speaker), row=values)


def _apart(rows: Sequence[tuple[str, Mapping[str, Any]]], roles: Roles) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows; where several are of one file from different times on, the time is part of the id."""
    key = roles.id or ""
    several = roles.start and is_path(key)
    often = Counter(str(row.get(key)) for _, row in rows) if several else Counter[str]()
    for where, row in rows:
        apart = often[str(row.get(key))] > 1
        yield where, {**row, key: f"{row.get(key)} {_as_number(row.get(roles.start or ''))}"} if apart else row


def _timed(source: Source, rows: Sequence[tuple[str, Mapping[str, Any]]], roles: Roles, format: str) -> Texts:
    pieces = []
    names = [name for name in (roles.start, roles.end) if name]
    milliseconds = all(str(row.get(name)).strip().isdigit() for _, row in rows for name in names)  # whisper's tsv
    for where, row in rows:
        try:
            start, end = (float(row[name]) / (1000 if milliseconds else 1) for name in names)
        except (TypeError, ValueError, KeyError):
            raise InputError("has no times", where=where) from None
        if not isinstance(text := row.get(roles.text or ""), str):
            raise InputError(f"its {roles.text} is {_shown(text)}, no text", where=where)
        pieces.append(Piece(source.path.stem, start, end, text))
    return timed_texts(source, format, pieces, named=False, notes=(joined_note(len(pieces), "lines"),))


def _words(source: Source, rows: Sequence[tuple[str, Mapping[str, Any]]], roles: Roles, format: str) -> Texts:
    """Words with their times, a row each, of recordings or utterances."""
    pieces = []
    for where, row in rows:
        try:
            start = float(row[roles.start or ""])
            end = float(row[roles.end]) if roles.end else start
        except (TypeError, ValueError, KeyError):
            raise InputError("has no times", where=where) from None
        key, word = row.get(roles.id or ""), row.get(roles.word or "")
        if not isinstance(key, str | int) or not plain_name(str(key)) or not isinstance(word, str):
            raise InputError(f"its {roles.id} is {_shown(key)}, its {roles.word} {_shown(word)}", where=where)
        pieces.append(Piece(plain_name(str(key)), start, end, word))
    number = len({piece.recording for piece in pieces})
    note = f"{len(pieces)} words with times are joined to {number} texts, one of each {roles.id}"
    return timed_texts(source, format, pieces, words=True, notes=(note,))


def joined_note(number: int, what: str) -> str:
    """Returns what is told of pieces that become one text."""
    return f"{number} {what} with times are joined to one text"


def _of_cut(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A row; of a Lhotse cut, what it says of its only supervision."""
    if not isinstance(row.get("supervisions"), list):
        return row
    if len(row["supervisions"]) != 1 or not isinstance(row["supervisions"][0], dict):
        raise InputError(
            f"has {len(row['supervisions'])} supervisions, not one", where=where, remedy="use trim_to_supervisions()"
        )
    supervision = row["supervisions"][0]
    return {"id": row.get("id"), "text": supervision.get("text"), "speaker": supervision.get("speaker")}


def _told(texts: Texts) -> Texts:
    """Says which fields are read, where others could be meant."""
    named = [name or "the number of the row" for name in texts.fields.values()]
    notes = []
    if texts.format != "JSON" or {*named} - {"id", "text", "speaker", "reference"} or texts.unread:
        notes.append(f"is {texts.format}, of which these fields are read: {', '.join(named)}")
    if texts.unread:
        fields = ", ".join(map(repr, texts.unread))
        notes.append(f"{fields}: passed over, though like a text; a field of hypotheses is to be named `hypothesis`")
    return replace(texts, notes=(*texts.notes, *notes))


def _is_null(value: Any) -> bool:
    """Whether JSON has no value there; pandas has NaN."""
    return value is None or value != value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not _is_null(value)


def _as_number(value: Any) -> str:
    """A time that is the same however it is written: 1.5 and 1.50."""
    try:
        return f"{float(value):.6f}".rstrip("0").rstrip(".")
    except (TypeError, ValueError):
        return str(value)


def _shown(value: Any) -> str:
    return "not there" if value is None else repr(value)[:60]


def _at(source: Source) -> dict[str, Any]:
    return {"where": source.path, "remedy": _REMEDY}
