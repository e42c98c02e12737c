"""Perceived characters, and characters that nobody sees."""

from __future__ import annotations

import regex

_GRAPHEME = regex.compile(r"\X")


# Joiners shape the letter (or emoji) they follow; elsewhere they are nothing.
INVISIBLE = regex.compile(
    r"[\p{Cc}\p{Cf}\p{Co}\p{Cs}--[\s\u200c\u200d]]|(?<![\p{L}\p{M}\p{N}\p{S}])[\u200c\u200d]", regex.V1
)


def graphemes(text: str) -> list[str]:
    """Perceived characters: Unicode's extended grapheme clusters (UAX 29), a letter with all its marks."""
    return list(_GRAPHEME.findall(text))
