"""Names of speakers: which of them look the same, so that they may be one person's, and which are none."""

from __future__ import annotations

import re
from collections.abc import Iterable

from asr.data.check.confusables import latin_skeleton, skeleton
from asr.utils.unicode import plain_name

_NONE = re.compile(r"nan|none|null|<na>|#n/a|n/a|unknown|unk|<unk>|undefined|[-–—_?.]+", re.IGNORECASE)


def is_no_name(name: str) -> bool:
    """Whether a name is what people and programs write where they know none: nan, None, n/a, -, ?, unknown."""
    return bool(_NONE.fullmatch(plain_name(name)))


def names_that_look_the_same(names: Iterable[str]) -> list[tuple[str, str]]:
    """Returns pairs of names that differ only in case, in letters that look alike (Latin and Cyrillic a), in what
    stands between words (Ana_B, Ana-B), or in zeros before a number (1, 01, 1.0).

    Names that are the same (`plain_name`) are no pair.
    """
    first: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    for name in sorted({plain_name(name) for name in names}):
        key = name.casefold() if name.isascii() else latin_skeleton(skeleton(name)).casefold()
        key = re.sub(r"^(\d+)\.0+$", r"\1", key)
        key = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", re.sub(r"(?<!\d)0+(?=\d)", "", key))
        if first.setdefault(key, name) != name:
            pairs.append((first[key], name))
    return pairs
