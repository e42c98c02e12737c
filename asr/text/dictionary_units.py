"""What dictionaries write among the units of a word, and is none: bounds, silence, symbols, places in the word."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from asr.text.dictionary_columns import Row
from asr.text.dictionary_lines import examples, tell

SILENCES = {"sil", "silence", "sp", "spn", "nsn"}  # words, where their units are among them, too
_BEGINS = {"sil", "silence", "sp", "pau", "<sil>", "<space>", "<sp>"}  # as units before a word
_ENDS = {*_BEGINS, "|", "</w>", "<eow>"}
_DISAMBIGUATION = re.compile(r"#[0-9]+")
_POSITION = re.compile(r"(.+)_([BIES])")
_TIE_BELOW, _TIE = "\u035c", "\u0361"


def without_bounds(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows without bounds of words and silence around their units, where most words have them.

    flashlight ends words with |, ESPnet with <space>, HTK with sp and sil.
    """
    for place, bounds in ((-1, _ENDS), (0, _BEGINS)):
        pronounced = [row for row in rows if len(row.units) > 1 and not (row.is_spelled or row.is_ours)]
        bound = {row.line: row.units[place] for row in pronounced if row.units[place].lower() in bounds}
        if 2 * len(bound) <= len(pronounced):
            continue
        names = ", ".join(dict.fromkeys(bound.values()))
        where = "behind" if place else "before"
        lines = f"{len(bound):,} of {len(rows):,} lines"
        tell(path, f"{names} {where} the units, a bound of words, is left out: in {lines}")
        kept = slice(None, -1) if place else slice(1, None)
        rows = [row.with_units(row.units[kept]) if row.line in bound else row for row in rows]
    return rows


def without_symbols(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows without Kaldi's #1 at the end, which tells words apart that sound alike."""
    pronounced = [row for row in rows if len(row.units) > 1 and not row.is_spelled]
    ends = {row.line: row.units[-1] for row in pronounced if _DISAMBIGUATION.fullmatch(row.units[-1])}
    if not ends:
        return rows
    tell(path, f"symbols behind the units, which tell words apart, are left out: {examples(ends.values())}")
    return [row.with_units(row.units[:-1]) if row.line in ends else row for row in rows]


def without_positions(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows without Kaldi's marks of a unit's place in the word, _B _I _E _S, where all words have them rightly."""

    def places(row: Row) -> str:
        return "".join(match[2] if (match := _POSITION.fullmatch(unit)) else "?" for unit in row.units)

    pronounced = [row for row in rows if row.columns and not {unit.lower() for unit in row.units} <= SILENCES]
    if not pronounced or not all(re.fullmatch("BI*E|S", places(row)) for row in pronounced):
        return rows
    tell(
        path, f"marks of places in the word are left out: {examples(unit for row in pronounced for unit in row.units)}"
    )
    return [row.with_units(re.sub("_[BIES]$", "", unit) for unit in row.units) if row.columns else row for row in rows]


def with_same_units(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows with their units composed (NFC) and one tie bar, where the same unit is written in two ways."""

    def tied(unit: str) -> str:
        return unit.replace(_TIE_BELOW, _TIE)

    rows = _united(rows, lambda unit: unicodedata.normalize("NFC", unit), "composed (NFC)", path)
    return _united(rows, tied, "written with the tie bar U+0361, not U+035C", path)


def _united(rows: list[Row], rule: Callable[[str], str], name: str, path: str | Path) -> list[Row]:
    """Rows with their units by a rule, where it makes two of them one."""
    units = set(itertools.chain.from_iterable(row.units for row in rows))
    ruled = {unit: rule(unit) for unit in units}
    if len(set(ruled.values())) == len(units):
        return rows
    twice = sorted(unit for unit in units if ruled[unit] != unit and ruled[unit] in units)
    tell(path, f"units are {name}, for some stood in two ways: {examples(twice or sorted(units))}")
    return [row.with_units(map(ruled.__getitem__, row.units)) if row.columns else row for row in rows]
