"""Columns of numbers in dictionaries: told from units that are digits (tones, vowels of X-SAMPA) by all lines together.

MFA and Kaldi write up to four numbers between a word and its units: probabilities of the pronunciation and of silence
around it. None of them is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from asr.utils.errors import InputError
from asr.utils.unicode import graphemes

_NUMBER = re.compile(r"@?[-+]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][-+]?[0-9]+)?%?")  # Julius writes @ before it
_NO_NUMBER = re.compile(r"[-+]?(?:nan|inf|infinity)%?|-", re.I)  # in the place of one
_INTEGER = re.compile(r"[0-9]+")
_MOST = 4  # numbers in a line
SOURCES = {"user", "cmudict", "espeak", "compound", "number", "letters", "guess"}  # as `asr lexicon` names them
_ANSWER = "write word<TAB>units<TAB>user where it is a unit, else leave the numbers out"

Tell = Callable[[str | Path, str], None]


class Row(NamedTuple):
    """A line of a dictionary: its number, the word, and what the columns after it hold, split at spaces."""

    line: int
    word: str
    columns: tuple[tuple[str, ...], ...] = ()

    @property
    def units(self) -> tuple[str, ...]:
        """The units; none where the word stands alone."""
        return self.columns[0] if self.columns else ()

    @property
    def source(self) -> str:
        return " ".join(self.columns[1]) if len(self.columns) > 1 else ""

    @property
    def is_spelled(self) -> bool:
        """Whether the word stands alone, or its units are its characters."""
        units = self.units
        return not units or ("".join(units) == self.word and units == tuple(graphemes(self.word)))

    @property
    def is_ours(self) -> bool:
        """Whether `asr lexicon` wrote the line: its last column names a source."""
        return len(self.columns) == 2 and self.source.partition("+")[0] in SOURCES

    def with_units(self, units: Iterable[str]) -> Row:
        """Returns the row with other units in its first column."""
        return self._replace(columns=(tuple(units), *self.columns[1:]))


def drop_numbers(rows: Sequence[Row], path: str | Path, tell: Tell) -> list[Row]:
    """Returns rows without numbers that stand before their units, or in a last column; they are told.

    Raises:
        InputError: It cannot be told whether numbers are units, or lines have different columns.
    """
    _refuse_counts(rows, path)
    rows = _with_numbers(rows)
    rows = _without_last(rows, path, tell)
    doubtful = {row.line for row in rows if not (row.is_spelled or row.is_ours)}
    counts = _in_columns([row for row in rows if row.line in doubtful], path)
    if counts:
        rows = [row._replace(columns=row.columns[counts.get(row.line, 0) :]) for row in rows]
    leading = _before_units(rows, doubtful - counts.keys(), path)
    rows = [row.with_units(row.units[leading[row.line] :]) if row.line in leading else row for row in rows]
    if counts or leading:
        lines = f"{len(counts) + len(leading):,} of {len(rows):,} lines"
        tell(path, f"numbers between words and units, such as probabilities, are not used: in {lines}")
    return rows


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _is_decimal(text: str) -> bool:
    """Whether it is a number that can be no name of a unit."""
    return _is_number(text) and not _INTEGER.fullmatch(text)


def _fail(row: Row, what: str, path: str | Path, remedy: str = "") -> NoReturn:
    raise InputError(what, where=f"{path}, line {row.line}", remedy=remedy)


def _ask(row: Row, number: str, path: str | Path) -> NoReturn:
    what = f"it cannot be told whether {number!r} after {row.word!r} is a unit or a number, such as a probability"
    _fail(row, what, path, _ANSWER)


def _refuse_counts(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses lists of words that stand behind how often they come, or behind their numbers."""

    def is_counted(row: Row) -> bool:
        single = len(row.columns) == len(row.units) == 1 and not row.is_spelled
        return single and _is_number(row.word) and not _is_number(row.units[0])

    if rows and all(map(is_counted, rows)) and any(len(row.units[0]) > 1 for row in rows):
        _fail(rows[0], f"has numbers before words, such as {rows[0].word!r}", path, "give the words alone")
    last = [row for row in rows if len(row.columns) == 1 and row.units and _INTEGER.fullmatch(row.units[-1])]
    before = {unit for row in last for unit in row.units[:-1]}
    if not before or len(last) < len(rows) or all(len(row.units) > 1 for row in rows) or any(map(_is_number, before)):
        return
    if any(len(row.units[-1]) > 1 for row in rows) or all(len(unit) > 2 for unit in before):  # no tones
        _fail(last[0], f"has words and their counts, such as {last[0].units[-1]!r}", path, "give the words alone")


def _with_numbers(rows: Sequence[Row]) -> list[Row]:
    """Rows with 0.0 for nan and the like, where all others have a number such as 0.5 before their units."""
    pronounced = [row for row in rows if any(row.columns) and not row.is_ours]
    first = {row.line: next(filter(None, row.columns))[0] for row in pronounced}
    missing = {n for n, text in first.items() if _NO_NUMBER.fullmatch(text)}
    if not missing or len(missing) == len(first) or not all(_is_number(first[n]) for n in first.keys() - missing):
        return list(rows)
    if not any(_is_decimal(first[n]) for n in first.keys() - missing):
        return list(rows)
    columns = {
        row.line: tuple(
            tuple("0.0" if _NO_NUMBER.fullmatch(text) else text for text in column) for column in row.columns
        )
        for row in pronounced
        if row.line in missing
    }
    return [row._replace(columns=columns.get(row.line, row.columns)) for row in rows]


def _without_last(rows: Sequence[Row], path: str | Path, tell: Tell) -> list[Row]:
    """Rows without numbers in their last column, behind units."""
    last = [row for row in rows if len(row.columns) == 2 and row.columns[1] and not all(map(_is_number, row.units))]
    if not last or not all(_is_number(text) for row in last for text in row.columns[1]):
        return list(rows)
    tell(path, f"numbers behind the units are not used: in {len(last):,} of {len(rows):,} lines")
    lines = {row.line for row in last}
    return [row._replace(columns=row.columns[:1]) if row.line in lines else row for row in rows]


def _in_columns(rows: Sequence[Row], path: str | Path) -> dict[int, int]:
    """How many columns of numbers stand before the units, by lines that have some."""
    several = [row for row in rows if len(row.columns) > 1]
    counts = {row.line: count for row in several if (count := _leading_columns(row))}
    if not counts:
        return {}
    numbers = {text: row for row in several for column in row.columns[: counts.get(row.line, 0)] for text in column}
    sure = any(map(_is_decimal, numbers))
    others = [row for row in several if row.line not in counts]
    if others and not sure:
        return {}  # a unit, and a source
    if others:
        _fail(others[0], f"{others[0].word!r} lacks the numbers of the other lines", path, "write 1.0 before its units")
    if not sure and not numbers.keys() <= {"0", "1"}:
        _ask(*next((row, text) for text, row in numbers.items() if text not in ("0", "1")), path)
    return counts


def _leading_columns(row: Row) -> int:
    """How many columns, the last apart, hold numbers alone; some may be empty."""
    count = 0
    while count < len(row.columns) - 1 and all(map(_is_number, row.columns[count])):
        count += 1
    return count if any(row.columns[:count]) else 0


def _before_units(rows: Sequence[Row], doubtful: set[int], path: str | Path) -> dict[int, int]:
    """How many numbers stand before the units in the same column, by lines that have some."""
    runs = {row.line: _leading(row.units) if row.line in doubtful else 0 for row in rows if row.columns}
    units = {unit for row in rows for unit in row.units[runs.get(row.line, 0) :]}
    wrong = min(filter(_is_decimal, units), default=None)
    if row := next((row for row in rows if wrong in row.units), None):
        _fail(row, f"{wrong!r} is no unit", path, "numbers stand between a word and its units")
    led = [row for row in rows if runs.get(row.line)]
    if not led:
        return {}
    if not any(_is_decimal(text) for row in led for text in row.units[: runs[row.line]]):
        _check_whole_numbers(led, runs, units, path)
        return {}
    most = max(_last_decimal(row.units[: runs[row.line]]) for row in led)
    counts = {}
    for row in led:
        own, count = _last_decimal(row.units[: runs[row.line]]), min(runs[row.line], most)
        if own > _MOST:
            _fail(row, f"more than {_MOST} numbers stand behind {row.word!r}", path)
        if shared := units.intersection(row.units[own:count]):
            _ask(row, min(shared), path)
        counts[row.line] = count
    return counts


def _check_whole_numbers(led: Sequence[Row], runs: dict[int, int], units: set[str], path: str | Path) -> None:
    """Refuses whole numbers before units that may be no units, such as a probability of 1 in every line."""
    first = {row.units[0]: row for row in reversed(led)}
    if len(led) == len(runs) and all(runs[row.line] == len(row.units) for row in led):
        if all(len(row.units) == 1 for row in led):
            what = f"has words with a number each, such as {led[0].word!r}, as lists of symbols or of counts do"
            _fail(led[0], what, path, "of a list of words, give the first column alone; " + _ANSWER)
        return  # all units are numbers
    strange = first.keys() - units
    if len(led) == len(runs) or (strange and first.keys() <= {"0", "1"}):
        number = min(strange or first)
        _ask(first[number], number, path)


def _leading(units: Sequence[str]) -> int:
    """How many numbers stand at the beginning."""
    return next((i for i, unit in enumerate(units) if not _is_number(unit)), len(units))


def _last_decimal(numbers: Sequence[str]) -> int:
    """How many numbers there are up to the last that is not whole."""
    return max((i for i, text in enumerate(numbers, 1) if _is_decimal(text)), default=0)
