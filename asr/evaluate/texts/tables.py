"""Tables and JSON: which of their fields are ids, references, hypotheses, speakers.

A field is what its name says, and no field is taken by its place.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import regex

from asr.evaluate.texts.contents import Entry, Piece, Source, Texts, texts_of, timed_texts
from asr.utils.errors import InputError
from asr.utils.unicode import plain_name

_PATHS = (
    "path file filename file_name filepath file_path audio audio_path audio_file audio_filepath audio_filename "
    "audio_file_name wav wav_path wav_file wav_filename clip"
)
_NAMES = {  # of each kind of field, in the order in which they are taken
    kind: names.split()
    for kind, names in {
        "id": "id utt_id utterance_id uttid utt utterance key segment_id sample_id audio_id file_id item_id "
        f"{_PATHS} name index recording recording_id unnamed:_0",
        "text": "text transcript transcription sentence normalized_text raw_text transcripts",
        "reference": "reference ref references reference_text ref_text ground_truth groundtruth ground_truth_text "
        "truth gold target label labels expected correct reference_transcript reference_transcription",
        "hypothesis": "hypothesis hyp hypotheses hypothesis_text hyp_text prediction predictions predicted pred "
        "pred_text predicted_text asr asr_text asr_output output recognized recognised recognized_text decoded "
        "rec_text asr_transcript predicted_transcript predicted_transcription",
        "speaker": "speaker speaker_id speakerid spk spk_id spkid client_id talker",
        "start": "start start_time begin begin_time offset from start_ms start_seconds",
        "end": "end end_time stop to end_ms end_seconds",
    }.items()
}
_ONE_ONLY = ("text", "reference", "hypothesis")  # two of them are two different texts
_REMEDY = "name the columns in the first line: id and text, or id, reference and hypothesis"


@dataclass(frozen=True)
class Roles:
    """The names of the fields that a file has, by what they are; None where it has no such field."""

    id: str | None = None
    text: str | None = None
    reference: str | None = None
    hypothesis: str | None = None
    speaker: str | None = None
    start: str | None = None
    end: str | None = None

    @property
    def has_text(self) -> bool:
        """Returns whether any field is one of texts."""
        return bool(self.text or self.reference or self.hypothesis)

    @property
    def reference_field(self) -> str | None:
        """Returns the field of references: `text` where hypotheses stand beside it."""
        return self.reference or self.text

    @property
    def hypothesis_field(self) -> str | None:
        """Returns the field of hypotheses: `text` where references stand beside it, as `asr evaluate` writes them."""
        return self.hypothesis or self.text

    def named(self) -> dict[str, str]:
        """Returns the fields that are read."""
        known = {"id": self.id, "reference": self.reference_field, "hypothesis": self.hypothesis_field}
        if known["reference"] == known["hypothesis"]:
            known = {"id": self.id, "text": self.text}
        return {kind: name for kind, name in {**known, "speaker": self.speaker}.items() if name is not None}


def roles_of(names: Sequence[str], where: str) -> Roles:
    """Returns what fields are, by their names.

    Raises:
        InputError: Two of them could be the texts.
    """
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    of: dict[str, str] = {}
    for kind, known in _NAMES.items():
        there = [plain[name] for name in known if name in plain]
        if len(there) > 1 and kind in _ONE_ONLY:
            raise InputError(
                f"{' and '.join(map(repr, there))} could both be the {kind}",
                where=where,
                remedy="leave one of them, or rename the other",
            )
        if there:
            of[kind] = there[0]
    if "id" not in of and names and not names[0].strip():  # the index of a data frame has no name
        of["id"] = names[0]
    return Roles(**of)


def roles_of_row(row: Mapping[str, Any], where: str) -> Roles:
    """Returns what the fields of a row of JSON are; those that hold lists or objects are nothing."""
    return roles_of([name for name, value in row.items() if not isinstance(value, dict | list)], where)


def table_of(source: Source) -> Texts | None:
    """Returns the texts of a table whose first line names its columns; None of any other file.

    Raises:
        InputError: It is such a table, and cannot be read as one.
    """
    text = source.text.lstrip("\r\n")
    if stated := regex.match(r"sep=(.)\r?\n", text):  # how Excel is told
        return _table(source, text[stated.end() :], stated[1])
    head = regex.match(r"[^\r\n]*", text)[0]
    for delimiter in "\t;,|":
        names = next(csv.reader([head], delimiter=delimiter), [])
        if len(names) > 1 and _is_header(roles_of(names, source.where(1))):
            return _table(source, text, delimiter)
    words = head.split()
    if len(words) == 2 and [_plain(word) in _NAMES[kind] for word, kind in zip(words, ("id", "text"), strict=True)] == [
        True,
        True,
    ]:
        roles = Roles(*words)
        entries = (
            _entry(dict(zip(words, [*line.split(None, 1), ""], strict=False)), roles, source.where(number), False)
            for number, line in source.lines[1:]
        )
        return _told(texts_of(source, "a table", entries, fields=roles.named()))
    return None


def refuse_table(source: Source) -> None:
    """Refuses a file that looks like a table whose columns nobody names."""
    lines = source.lines
    head = lines[0][1].strip()
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
    roles = roles_of_row(head, where)
    if roles.id is None or not (roles.has_text or roles.speaker):
        missing = "id" if roles.id is None else "text"
        raise InputError(
            f"is not a JSON object with `id` and `text`: there is no {missing} among {', '.join(head) or 'nothing'}",
            where=where,
        )
    left_out = [row for _, row in rows if row.get("counted") is False]  # of a phone error rate
    entries = [_entry(row, roles, where, row.get("counted") is False, row) for where, row in _apart(rows, roles)]
    notes = [f"{len(left_out)} utterances that are not counted are left out"] if left_out else []
    return _told(texts_of(source, format, entries, fields=roles.named(), notes=tuple(notes)))


def segments_of(source: Source, rows: Sequence[tuple[str, Mapping[str, Any]]], format: str) -> Texts | None:
    """Returns the texts of rows that have times and no ids; None of others."""
    where, head = rows[0]
    roles = roles_of_row(head, where)
    numbered = roles.id is not None and _plain(roles.id) == "id" and isinstance(head.get(roles.id or ""), int)
    if (roles.id is not None and not numbered) or not (roles.text and roles.start and roles.end):
        return None
    return _timed(source, rows, roles, format)


def _is_header(roles: Roles) -> bool:
    """Returns whether names are those of a table."""
    if roles.id is not None:
        return roles.has_text or bool(roles.speaker)
    return bool(
        (roles.reference_field and roles.hypothesis_field and (roles.reference or roles.hypothesis))
        or (roles.text and roles.start and roles.end)
    )


def _table(source: Source, text: str, delimiter: str) -> Texts:
    rows = list(_rows(source, text, delimiter))
    header = rows[0][1]
    roles = roles_of(header, source.where(1))
    if twice := [name for name, n in Counter(header).items() if n > 1 and name in roles.named().values()]:
        raise InputError(f"has {twice[0]!r} twice", where=source.where(1), remedy="rename one")
    named = [(source.where(number), dict(zip(header, fields, strict=False))) for number, fields in rows[1:]]
    if roles.id is None and roles.start and roles.end and roles.text:
        return _timed(source, named, roles, "a table")
    if roles.id is None:
        if not roles.has_text:
            raise InputError(f"has no column that is known: {', '.join(header)}", where=source.path, remedy=_REMEDY)
        named = [(where, {**row, "": str(number)}) for number, (where, row) in enumerate(named, 1)]
        roles = Roles("", roles.text, roles.reference, roles.hypothesis, roles.speaker)
    entries = (_entry(row, roles, where, False) for where, row in _apart(named, roles))
    return _told(texts_of(source, "a table", entries, fields=roles.named()))


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
        if name and not isinstance(text, str):
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
    several = roles.start and _plain(key) in _PATHS.split()
    often = Counter(str(row.get(key)) for _, row in rows) if several else Counter[str]()
    for where, row in rows:
        apart = often[str(row.get(key))] > 1
        yield where, {**row, key: f"{row.get(key)} {row.get(roles.start or '')}"} if apart else row


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
    if texts.format == "JSON" and not {*named} - {"id", "text", "speaker", "reference"}:
        return texts
    return replace(
        texts, notes=(*texts.notes, f"is {texts.format}, of which these fields are read: {', '.join(named)}")
    )


def _plain(name: str) -> str:
    return str(regex.sub(r"[\s-]+", "_", plain_name(name).casefold()))


def _shown(value: Any) -> str:
    return "not there" if value is None else repr(value)[:60]


def _at(source: Source) -> dict[str, Any]:
    return {"where": source.path, "remedy": _REMEDY}
