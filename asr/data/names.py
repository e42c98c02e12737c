"""Names of speakers: which of them look the same, so that they may be one person's."""

from __future__ import annotations

from collections.abc import Iterable

from asr.data.check.confusables import latin_skeleton, skeleton
from asr.utils.unicode import plain_name


def names_that_look_the_same(names: Iterable[str]) -> list[tuple[str, str]]:
    """Returns pairs of names that differ in case alone, or in letters that look alike (Latin and Cyrillic a).

    Names that are the same (`plain_name`) are no pair.
    """
    first: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    for name in sorted({plain_name(name) for name in names}):
        key = name.casefold() if name.isascii() else latin_skeleton(skeleton(name)).casefold()
        if first.setdefault(key, name) != name:
            pairs.append((first[key], name))
    return pairs
