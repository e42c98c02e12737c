"""Perceived characters, characters that nobody sees, texts that a terminal can show."""

from __future__ import annotations

import unicodedata

import regex

_GRAPHEME = regex.compile(r"\X")


# Joiners shape the letter (or emoji) they follow; elsewhere they are nothing.
INVISIBLE = regex.compile(
    r"[\p{Cc}\p{Cf}\p{Co}\p{Cs}--[\s\u200c\u200d]]|(?<![\p{L}\p{M}\p{N}\p{S}])[\u200c\u200d]", regex.V1
)

_UNSEEN = regex.compile(r"[\p{Cc}\p{Cf}--[\s\u200c\u200d]]", regex.V1)  # in names; what is no character stays


def graphemes(text: str) -> list[str]:
    """Perceived characters: Unicode's extended grapheme clusters (UAX 29), a letter with all its marks."""
    return list(_GRAPHEME.findall(text))


def plain_name(name: str) -> str:
    """Returns a name as people see it: NFC, runs of spaces of any kind as one space, no invisible characters.

    Names of speakers, utterances, tiers and files are the same name whenever this is the same.
    """
    return " ".join(unicodedata.normalize("NFC", _UNSEEN.sub("", name)).split())


def on_one_line(text: str) -> str:
    """Names of files and what is in them come from strangers: one line of it, without terminals' control characters.

    Spaces (of Japanese names) and joiners (of Persian and Indic words) are no danger.
    """
    return "".join(c if c.isprintable() or _is_harmless(c) else "\ufffd" for c in " ".join(text.splitlines()))


def _is_harmless(character: str) -> bool:
    return character in "\u200c\u200d" or unicodedata.category(character) == "Zs"
