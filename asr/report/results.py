"""Results as a report takes them: a folder of `asr evaluate`, or two text files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from asr.errors import InputError
from asr.files import read_text
from asr.score import Scores, Unit, pair, read_texts, score
from asr.text import has_word_spaces

SCORES_FORMAT = 1  # of scores.json and hypotheses.jsonl
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


def read_results(source: str) -> Results:
    """Reads a folder with hypotheses.jsonl, or `REF:HYP`, two files of texts by id.

    Raises:
        InputError: What is wrong, with the file and the line.
    """
    if Path(source).is_dir():
        return _of_folder(Path(source))
    for i, letter in enumerate(source):
        files = (Path(source[:i]), Path(source[i + 1 :]))
        if letter == ":" and files[0].is_file() and files[1].is_file():
            return _of_texts(*files)
    remedy = "name a folder made by `asr evaluate --out`, or two text files as REF:HYP"
    raise InputError("neither a folder of results nor two text files", where=source, remedy=remedy)


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
        if facts.get("format") != SCORES_FORMAT:
            found = facts.get("format")
            raise InputError(
                f"has format {found}, this version reads {SCORES_FORMAT}", where=scores, remedy="evaluate again"
            )
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    rows = tuple(
        _row(_object(line, where), where) for n, line in enumerate(lines, 1) for where in [f"{path}, line {n}"]
    )
    if not rows:
        raise InputError("holds no utterance", where=path)
    twice = [key for key, n in Counter(row.id for row in rows).items() if n > 1]
    if twice:
        raise InputError(f"the id {twice[0]!r} stands there twice", where=path)
    unit = _UNITS.get(facts.get("headline", ""), _unit(row.reference for row in rows))
    return Results(_name(folder), rows, unit, facts, _log(folder))


def _name(folder: Path) -> str:
    """exp/fsdd/results/test -> fsdd, test"""
    parts = [part for part in folder.resolve().parts if part not in ("exp", "results", "/")]
    return ", ".join(parts[-2:])


def _of_texts(reference: Path, hypothesis: Path) -> Results:
    references = read_texts(reference)
    said, heard, notes = pair(references, read_texts(hypothesis))
    rows = tuple(Row(key, r, h) for key, r, h in zip(references, said, heard, strict=True))
    return Results(hypothesis.name, rows, _unit(said), notes=tuple(f"{hypothesis.name}: {note}" for note in notes))


def _unit(references: Any) -> Unit:
    return "words" if has_word_spaces(references) else "characters"


def _log(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """That of the run whose folder this is in, if any."""
    for parent in list(folder.resolve().parents)[:3]:
        if (path := parent / "log.jsonl").is_file():
            rows = []
            for line in read_text(path).split("\n"):
                try:
                    row = json.loads(line)
                except ValueError:  # the last line of a run that was killed
                    continue
                if isinstance(row, dict):
                    rows.append(row)
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
        values["id"],
        " ".join(values["reference"].split()),
        " ".join(values["text"].split()),
        values["speaker"] if isinstance(values.get("speaker"), str) else "",
        _number(values.get("duration")),
        _number(values.get("snr")),
        tuple(_word(word, where) for word in words) if isinstance(words, list) else (),
        tuple(seen) if isinstance(seen, list) and all(type(n) is int for n in seen) else (),
    )


def _word(values: Any, where: str) -> Word:
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        raise InputError("has a word without text", where=where, remedy="evaluate again")
    return Word(values["text"], *(_number(values.get(name)) for name in ("start", "end", "confidence")))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
