"""Plain lines: a text each, paired in order; and whether ids or the name of a column stand among them."""

from __future__ import annotations

import csv
import io

import regex

from asr.evaluate.texts.contents import LINES, Source, Texts, lines_of
from asr.evaluate.texts.fields import is_text_field
from asr.utils.errors import InputError

_INDEX = regex.compile(r"\d+")
_ID = regex.compile(r"(?=.*[_/\\])\S+|(?=.*\d)(?=.*[\p{L}\-.:])\S+")  # hardly a word that each line begins with
_MAYBE = regex.compile(r".*[\d\-.:].*")


def parse_lines(source: Source) -> Texts:
    """Returns plain lines, the number of each text as its id; of a table of one column, its fields."""
    lines, notes = lines_of(source.text), []
    is_table = source.ending in (".csv", ".tsv")
    if is_table and (fields := _only_column(source.text)):
        lines = fields
    elif is_table and (quoted := sum(bool(regex.fullmatch(r'\s*".*"\s*', line)) for line in lines)):
        notes.append(f"{quoted} lines stand in quotes, which are taken for a part of the text")
    head = lines[0].strip()
    if is_text_field(head, table=is_table) and head not in map(str.strip, lines[1:]):
        notes.append(f"the first line is the name of a column, {head!r}, and no text")
        lines = lines[1:]
    return of_lines(source, lines, notes)


def of_lines(source: Source, lines: list[str], notes: list[str]) -> Texts:
    """Returns texts in order."""
    texts = {str(number): line.strip() for number, line in enumerate(lines, 1)}
    return Texts(source.path, LINES, texts, texts, notes=tuple(notes))


def check_lines(references: Texts, hypotheses: Texts, notes: list[str]) -> None:
    """Tells, or refuses where it is sure, that lines begin with ids or cannot be paired in order.

    Raises:
        InputError: Lines of both begin with the same ids; or one file has more lines than the other.
    """
    ours, theirs = (_leading([*each.references.values()]) for each in (references, hypotheses))
    known = [bool(each) and (all(map(_ID.fullmatch, each)) or _counted(each)) for each in (ours, theirs)]
    shared = len({*ours} & {*theirs})
    if all(known) and 2 * shared > min(len(ours), len(theirs)) and len(ours) > 1:
        raise InputError(
            f"its lines and those of REF begin with the same ids (first: {theirs[0]!r})",
            where=hypotheses.path,
            remedy="leave --lines out",
        )
    for texts, firsts, alone in (
        (references, ours, known == [True, False]),
        (hypotheses, theirs, known == [False, True]),
    ):
        if alone and len(firsts) > 1:
            notes.append(f"all lines of {texts.path} begin with what looks like an id (first: {firsts[0]!r})")
    if ours and {*ours} == {*theirs} and all(map(_MAYBE.fullmatch, ours)):
        notes.append(f"all lines of both begin with the same words, none twice (first: {ours[0]!r}): if they are ids,")
        notes[-1] += " leave --lines out"
    counts = [len(each.references) for each in (references, hypotheses)]
    surplus = [*(references if counts[0] > counts[1] else hypotheses).references.values()][min(counts) :]
    if any(surplus) and any(hypotheses.hypotheses.values()):
        raise InputError(
            f"has {counts[1]} lines, REF {counts[0]}: which belong together cannot be told",
            where=hypotheses.path,
            remedy="leave a line empty for each text that is missing; or join the lines, if all are one recording",
        )


def _only_column(text: str) -> list[str]:
    """The fields of a table that has one column; nothing of any other file."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return []
    return ["".join(row) for row in rows] if all(len(row) < 2 for row in rows) else []


def _leading(texts: list[str]) -> list[str]:
    """The first words of texts, if no two are the same."""
    firsts = [regex.split(r"[\s|,;]", text, maxsplit=1)[0] for text in texts if text]
    return firsts if len({*firsts}) == len(firsts) else []


def _counted(words: list[str]) -> bool:
    """Whether words are the numbers from 0 or 1 on, in any order."""
    if not all(map(_INDEX.fullmatch, words)) or len(words) < 3:
        return False
    numbers = sorted(map(int, words))
    return numbers[0] in (0, 1) and numbers == [*range(numbers[0], numbers[0] + len(words))]
