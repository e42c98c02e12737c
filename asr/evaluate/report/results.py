"""Results as a report takes them: a folder of `asr evaluate`, or two text files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from asr.evaluate.texts import as_references, pair, read_lines, read_texts
from asr.evaluate.wer import SCORES_FORMAT, Scores, Unit, score
from asr.text.normalize import has_word_spaces
from asr.utils.errors import InputError
from asr.utils.files import find_path, is_there, no_such_file, read_text
from asr.utils.provenance import command, now
from asr.utils.unicode import plain_name

_MOST = 1e12  # no duration, level or loss is larger
_UNITS: dict[str, Unit] = {"wer": "words", "cer": "characters", "per": "phones"}


@dataclass(frozen=True)
class Word:
    """A word that was heard."""

    text: str
    start: float | None  # seconds into the utterance
    end: float | None
    confidence: float | None  # 0 to 1


@dataclass(frozen=True)
class Row:
    """An utterance: what was said and what was heard."""

    id: str
    reference: str
    hypothesis: str
    speaker: str = ""
    duration: float | None = None  # seconds
    snr: float | None = None  # dB
    words: tuple[Word, ...] = ()
    seen: tuple[int, ...] = ()  # how often each word of the reference stands in the training texts, where it is known


@dataclass(frozen=True)
class Results:
    """What one system made of one set."""

    name: str
    rows: tuple[Row, ...]
    unit: Unit
    facts: Mapping[str, Any] = field(default_factory=dict)  # scores.json
    log: tuple[Mapping[str, Any], ...] = ()  # of the training: log.jsonl
    notes: tuple[str, ...] = ()  # what was found on the way, to be said

    @cached_property
    def scores(self) -> Scores:
        return score([row.reference for row in self.rows], [row.hypothesis for row in self.rows], unit=self.unit)

    @property
    def speakers(self) -> list[str]:
        """Of each utterance."""
        return [row.speaker for row in self.rows]


def read_results(source: str, *, lines: bool = False) -> Results:
    """Reads a folder with hypotheses.jsonl, or `REF:HYP`, two files of texts by id.

    Args:
        lines: The files of texts are plain lines, paired in order.

    Raises:
        InputError: What is wrong, with the file and the line.
    """
    if Path(source).is_dir():
        return _of_folder(Path(source))
    if files := _two_files(source):
        return _of_texts(*files, lines=lines)
    remedy = "name a folder made by `asr evaluate --out`, or two text files as REF:HYP"
    raise InputError("neither a folder of results nor two text files", where=source, remedy=remedy)


def inputs_of(source: str) -> list[Path]:
    """The files that read_results reads, as far as they would be lost if a report were written over them."""
    if Path(source).is_dir():
        return [Path(source) / name for name in ("hypotheses.jsonl", "scores.json")]
    return list(_two_files(source) or ())


def _two_files(source: str) -> tuple[Path, Path] | None:
    """The files that REF:HYP names: there may be colons in their names, too."""
    every = [(find_path(source[:i]), find_path(source[i + 1 :])) for i, letter in enumerate(source) if letter == ":"]
    pairs = [files for files in every if all(map(_is_file, files))]
    if len(pairs) > 1:
        raise InputError(
            f"can be read as {' or as '.join(f'{a} and {b}' for a, b in pairs)}", where=source, remedy="rename a file"
        )
    if not pairs and (known := [files for files in every if any(map(_is_file, files))]):
        raise no_such_file(next(path for path in known[0] if not _is_file(path)))
    return pairs[0] if pairs else None


def _is_file(path: Path) -> bool:
    return is_there(path) and path.is_file()


def _of_folder(folder: Path) -> Results:
    path = folder / "hypotheses.jsonl"
    if not path.is_file():
        below = sorted(each.parent for each in folder.glob("**/hypotheses.jsonl"))[:5]
        remedy = (
            f"name one of its folders: {', '.join(map(str, below))}" if below else "make one by `asr evaluate --out`"
        )
        raise InputError("holds no hypotheses.jsonl", where=folder, remedy=remedy)
    facts: dict[str, Any] = {}
    if (scores := folder / "scores.json").is_file():
        facts = _object(read_text(scores), str(scores))
        found = facts.get("format")
        if type(found) is not int or found != SCORES_FORMAT:
            wrong = f"has format {found!r}, this version reads {SCORES_FORMAT}"
            raise InputError(wrong, where=scores, remedy="evaluate again")
    lines = [(f"{path}, line {n}", line) for n, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    every = [(_object(line, where), where) for where, line in lines]
    rows = tuple(_row(values, where) for values, where in every if values.get("counted") is not False)
    if not rows:
        raise InputError("holds no utterance", where=path)
    twice = [key for key, n in Counter(row.id for row in rows).items() if n > 1]
    if twice:
        raise InputError(f"the id {twice[0]!r} stands there twice", where=path)
    headline = facts.get("headline")
    unit = _UNITS.get(headline if isinstance(headline, str) else "", _unit(row.reference for row in rows))
    left_out = len(every) - len(rows)
    notes = [f"{left_out} of {len(every)} utterances are left out: not all of their words have a pronunciation"]
    return Results(_name(folder, facts), rows, unit, facts, _log(folder), tuple(notes if left_out else ()))


def _name(folder: Path, facts: Mapping[str, Any]) -> str:
    """The model's and the folder's: "fsdd, test"."""
    own = writable(folder.name or folder.resolve().name)
    model = facts.get("model")
    return f"{writable(model)}, {own}" if isinstance(model, str) and model else own


def _of_texts(reference: Path, hypothesis: Path, *, lines: bool) -> Results:
    references = read_lines(reference) if lines else as_references(read_texts(reference))
    texts = (read_lines if lines else read_texts)(hypothesis, empty=True)
    unit = _unit(references.references.values())
    pairs = pair(references, texts, unit=unit)
    rows = []
    for i, key in enumerate(pairs.ids):
        values = {**references.rows.get(key, {}), **texts.rows.get(pairs.theirs[i] or "", {})}
        values |= {"id": key, "reference": pairs.references[i], "text": pairs.hypotheses[i]}
        values["speaker"] = pairs.speakers[i]
        rows.append(_row(values, f"{hypothesis}, id {key}"))
    name, ours = (
        writable(path.name if path.is_absolute() else "/".join(path.parts[-2:])) for path in (hypothesis, reference)
    )
    notes = [(ours, note) for note in references.notes] + [(name, note) for note in (*texts.notes, *pairs.notes)]
    facts = {"references": writable(reference.name), "command": writable(command()), "date": now()}
    return Results(name, tuple(rows), unit, facts, notes=tuple(f"{of}: {writable(note)}" for of, note in notes))


def _unit(references: Any) -> Unit:
    return "words" if has_word_spaces(references) else "characters"


def _log(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """That of the run whose folder this is in, if any; lines that cannot be read are passed over."""
    for parent in list(folder.resolve().parents)[:3]:
        if (path := parent / "log.jsonl").is_file():
            rows = []
            try:
                text = path.read_bytes().decode("utf-8", "replace")
            except OSError:  # the results can be read without it
                return ()
            for line in text.split("\n"):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):  # the last line of a run that was killed
                    continue
                if isinstance(row, dict):
                    rows.append({k: v for k, v in row.items() if not _is_number(v) or number(v) is not None})
            return tuple(rows)
    return ()


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise InputError(f"is not JSON ({e})", where=where) from e
    if not isinstance(found, dict):
        raise InputError("is not a JSON object", where=where)
    return found


def _row(values: Mapping[str, Any], where: str) -> Row:
    for name in ("id", "text", "reference"):
        if not isinstance(values.get(name), str):
            raise InputError(f"has no {name}", where=where, remedy="evaluate again")
    words, seen = values.get("words"), values.get("seen")
    return Row(
        writable(values["id"]),
        " ".join(writable(values["reference"]).split()),
        " ".join(writable(values["text"]).split()),
        plain_name(writable(values["speaker"])) if isinstance(values.get("speaker"), str) else "",
        number(values.get("duration")),
        number(values.get("snr")),
        tuple(_word(word, where) for word in words) if isinstance(words, list) else (),
        tuple(seen) if isinstance(seen, list) and all(type(n) is int for n in seen) else (),
    )


def _word(values: Any, where: str) -> Word:
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        raise InputError("has a word without text", where=where, remedy="evaluate again")
    start, end, confidence = (number(values.get(name)) for name in ("start", "end", "confidence"))
    if confidence is not None and not 0 <= confidence <= 1:
        confidence = None
    return Word(writable(values["text"]), start, end, confidence)


def writable(value: str) -> str:
    """Without what cannot be written: halves of characters, and bytes of file names that are no characters."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> float | None:
    """A value of JSON as a number that can be reckoned with; None where it is none, or beyond all measure."""
    return float(value) if _is_number(value) and abs(value) < _MOST else None
