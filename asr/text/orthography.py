"""What belongs to words, though Unicode calls it a symbol or punctuation; and letters' case by language.

Sources: the Unicode Standard 15 (6.2 "General Punctuation", 7.8 "Modifier Letters", 7.9 "Combining Marks"), its
SpecialCasing.txt, and the exemplar characters of CLDR, with which the tests compare.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import regex

# Symbols and punctuation that are letters or tones wherever they stand, as a regular expression has them in a set:
# modifier symbols of phonetic alphabets, of tones (Chao's, bopomofo's, those of Africa and of Chinantec) and of
# practical orthographies; Ethiopic tones; the Bengali isshar; words of one sign in Burmese and Irish; Tibetan's dot.
_LETTERS = (
    r"\u02c2-\u02c5\u02d2-\u02df\u02e5-\u02eb\u02ed\u02ef-\u02ff\ua700-\ua716\ua720\ua721\ua789\ua78a\uab5b\uab6a\uab6b"
    r"\u1390-\u1399\u09fa\u104c-\u104f\u204a\u0f0b"
)
# Characters that people write for one mark, the first of which is written for all.
_APOSTROPHES = "'\u2019\u2018\u201b\u2032\u2035\u00b4`\uff07\uff40\u055a\u05f3\u1fbd\u1fbf\u275b\u275c"
_HYPHENS = "-\u2010\u2011\u2012\u2013\u2212\u2043\ufe58\ufe63\uff0d\u058a\u05be\u1400\u2e17"
_MIDDLE_DOTS = "\u00b7\u2027\u2219\u22c5\u2022\u2e31\u2e33\u16eb"
# Quotation marks that open and close.
_QUOTES = ("''", "\u2018\u2019", "\u2019\u2019", "`'", "`\u00b4", "\u201a\u2018", "\u201a\u2019")
_GERSHAYIM = '\u05f4"\u201c\u201d\u2033'  # before the last letter of Hebrew abbreviations
# Signs that are part of a number between digits: 3.14, 1,000, 3/4.
_IN_NUMBERS = ".,/\u066b\u066c"
_ABBREVIATING = "\u0970\u0af0"  # between letters of Devanagari and Gujarati
# Armenian writes questions, exclamations and stress upon a vowel, in the middle of the word.
_UPON_VOWELS = "\u055b\u055c\u055e\u055f"
# Scripts without spaces between words: a colon or dot between their letters is punctuation.
SPACELESS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}"
)
# Punctuation that stands behind words or within numbers: where it is before a letter alone, it may be one (!xo, ?ana).
_BEFORE_WORDS = "!?=:;.,/|^~*%"
# Forms of letters for old printing, which PDF files have: those of Arabic, ligatures of Latin and Armenian.
_PRINTED = regex.compile(r"[\ufb00-\ufb06\ufb13-\ufb17\ufb50-\ufbb1\ufbd3-\ufd3d\ufd50-\ufdf9\ufe70-\ufefc]")
# Vowels of Thai and Lao that are typed as two characters, with a tone between them or not.
_TWO_FOR_ONE = regex.compile("(\u0e4d)([\u0e48-\u0e4b]?)\u0e32|(\u0ecd)([\u0ec8-\u0ecb]?)\u0eb2")
# Windows-1252's punctuation, where it was read as Latin-1.
_WINDOWS = {
    **dict(zip(range(0x91, 0x98), "\u2018\u2019\u201c\u201d\u2022\u2013\u2014", strict=True)),
    **{0x82: "\u201a", 0x84: "\u201e", 0x85: "\u2026", 0x8B: "\u2039", 0x9B: "\u203a"},
}
# Languages with a dotted and a dotless i, as ISO 639 has them; and Lithuanian.
_DOTLESS = frozenset(["tr", "tur", "az", "aze", "azj", "azb", "crh", "tt", "tat", "gag", "kaa", "tly"])
_LITHUANIAN = frozenset(["lt", "lit"])
_LOWER = str.maketrans({"I": "\u0131", "\u0130": "i"})
_UPPER = str.maketrans({"i": "\u0130", "\u0131": "I"})
_ACCENTED = regex.compile(r"([IJ]\u0328?)(?=[\u0300\u0301\u0303])")
_SHOWN = 24  # characters before and behind
_DOTTED = regex.compile(r"([ij]\u0328?)\u0307")


def lower(text: str, language: str = "") -> str:
    """Returns a text in lower case, as its language has it.

    Turkish, Azerbaijani, Crimean Tatar, Tatar and others have two letters, i and \u0131, each with its capital;
    Lithuanian keeps the dot of an i or j below an accent (SpecialCasing.txt).

    Args:
        language: A BCP 47 tag, or "".
    """
    base = language.lower().partition("-")[0]
    if base in _DOTLESS:
        text = text.translate(_LOWER)
    elif base in _LITHUANIAN:
        text = _ACCENTED.sub("\\1\u0307", unicodedata.normalize("NFD", text))
    return text.lower()


def upper(text: str, language: str = "") -> str:
    """Returns a text in upper case, as its language has it (`lower`)."""
    base = language.lower().partition("-")[0]
    if base in _DOTLESS:
        text = text.translate(_UPPER)
    elif base in _LITHUANIAN:
        text = _DOTTED.sub("\\1", unicodedata.normalize("NFD", text))
    return text.upper()


def windows_punctuation(text: str) -> str:
    """Returns a text with the punctuation that Windows-1252 has in place of control characters."""
    return text if text.isascii() else text.translate(_WINDOWS)


@dataclass(frozen=True)
class Dropped:
    """What was taken out of a text at one place."""

    characters: str
    near: str  # and what stood around it
    word: str = ""  # that it belonged to, as it seems; "" where it stood between words
    place: Literal["", "parted", "inside", "edge"] = ""  # of the word: it is parted there, or one still, or its edge


def plain_letters(text: str) -> str:
    """Returns a text with letters instead of their forms for printing: \ufb01 as fi, \ufefb as \u0644\u0627."""
    if text.isascii():
        return text
    text = _PRINTED.sub(lambda match: unicodedata.normalize("NFKC", match[0]).replace(" ", ""), text)
    return str(_TWO_FOR_ONE.sub(lambda m: f"{m[2]}\u0e33" if m[1] else f"{m[4]}\u0eb3", text))


class WordMarks:
    """Tells the marks of words from punctuation.

    Args:
        letters: Further characters that are letters of the language wherever they stand. An apostrophe, hyphen or
            middle dot among them is written for all of its kind, also where a word begins or ends with it.
        replaced: What the user replaces: {"'": "\u2019"} has all apostrophes written so, and what is written is kept.
    """

    def __init__(self, letters: str = "", replaced: Mapping[str, str] | None = None) -> None:
        replaced = replaced or {}
        untouched = set(letters).union(*replaced.values())
        own = "".join(map(regex.escape, letters))
        letter = rf"[\p{{L}}\p{{M}}\p{{N}}{_LETTERS}{own}]"
        spaced = rf"[{letter}--[{SPACELESS}]]"
        self._spaced = regex.compile(spaced, regex.V1)

        between, joined, beside = (letter, letter), (spaced, spaced), (letter, "|")
        hebrew = r"\p{Hebrew}\p{M}*", r"\p{Hebrew}"
        kana = r"[\p{Hiragana}\p{Katakana}]", ""
        made_one = []
        for kind, around in ((_APOSTROPHES, between), (_HYPHENS, between), (_MIDDLE_DOTS, joined)):
            chosen = next((c for c in letters if c in kind), "")
            made_one.append((kind, beside if chosen else around, chosen or replaced.get(kind[0], kind[0])))
        made_one += [
            (_GERSHAYIM, hebrew, "\u05f4"),
            ("\u0f0c", (r"\p{Tibetan}", ""), "\u0f0b"),
            ("\u309b", kana, "\u3099"),
            ("\u309c", kana, "\u309a"),
        ]
        self._made_one = [
            (regex.compile(_where(characters, *around, untouched | {one}), regex.V1), one)
            for characters, around, one in made_one
        ]
        self._upon_vowels = regex.compile(_where(_UPON_VOWELS, r"[\p{L}\p{M}]", r"\p{L}", untouched), regex.V1)
        marks = _APOSTROPHES + _HYPHENS + "\u05f4"
        kept = [
            _where(marks, *between),
            _where(":\u00b7", *joined),
            _where("\u00b7", rf"[{spaced}--\p{{Greek}}]", ""),  # length; Greek ends clauses by it
            _where(_IN_NUMBERS, r"\p{Nd}", r"\p{Nd}"),
            _where(_ABBREVIATING, r"\p{L}\p{M}*", r"\p{L}"),
        ]
        # What is attached to one that goes, goes with it.
        attached = "".join(map(regex.escape, set(marks + ":\u00b7" + _IN_NUMBERS + _ABBREVIATING) - set(letters)))
        self._punctuation = regex.compile(
            rf"(?!{'|'.join(kept)})[\p{{P}}\p{{S}}--[{_LETTERS}{own}]][\p{{M}}\u200c\u200d{attached}]*", regex.V1
        )

    def make_one(self, text: str, changes: Counter[str]) -> str:
        """Writes apostrophes, hyphens and middle dots within words as one each, and counts what is changed."""
        for pattern, one in self._made_one:
            for character, n in Counter(pattern.findall(text)).items():
                changes[f"wrote {character!r} as {one!r}"] += n
            text = pattern.sub(one.replace("\\", r"\\"), text)
        return text

    def drop_punctuation(self, text: str, dropped: list[Dropped]) -> str:
        """Takes punctuation and symbols out of a text; a space stands in their place, but for marks upon vowels."""
        for pattern, space in ((self._upon_vowels, ""), (self._punctuation, " ")):
            here = [self.dropped(text, *match.span(), parts=bool(space)) for match in pattern.finditer(text)]
            dropped += self._unquoted(here)
            text = pattern.sub(space, text)
        return text

    def dropped(self, text: str, start: int, end: int, *, parts: bool) -> Dropped:
        """Returns what goes with `text[start:end]`: the word around it, if it seems to belong to one."""
        characters, before = text[start:end], text[max(0, start - _SHOWN) : start]
        after = text[end : end + _SHOWN]
        near = before + characters + after
        begins = bool(start and self._spaced.match(text, start - 1))
        goes_on = bool(self._spaced.match(text, end))
        if begins and goes_on:
            word = before.split()[-1] + characters + _first_word(after)
            return Dropped(characters, near, word, "parted" if parts else "inside")
        if begins and characters[0] in _APOSTROPHES:
            return Dropped(characters, near, before.split()[-1] + characters[0], "edge")
        if goes_on and characters in _APOSTROPHES + _BEFORE_WORDS and (not before or before[-1].isspace()):
            return Dropped(characters, near, characters + _first_word(after), "edge")
        return Dropped(characters, near)

    def _unquoted(self, dropped: list[Dropped]) -> Iterator[Dropped]:
        """Apostrophes that stand in pairs around words are quotation marks; they belong to no word."""
        edges = [each for each in dropped if each.place == "edge" and each.characters[0] in _APOSTROPHES]
        opening = {each.characters for each in edges if each.word.startswith(each.characters)}
        opening |= {"\u201a"} & {each.characters for each in dropped}
        closing = {each.characters[0] for each in edges if each.word.endswith(each.characters[0])}
        pairs = {mark for pair in _QUOTES if pair[0] in opening and pair[1] in closing for mark in pair}
        for each in dropped:
            quoted = each.place == "edge" and each.characters[0] in pairs
            yield Dropped(each.characters, each.near) if quoted else each


def _first_word(text: str) -> str:
    return text.split()[0].rstrip(",;:!?")


def _where(characters: str, before: str, after: str, left_out: Collection[str] = ()) -> str:
    """Returns a regular expression of one of the characters between two others."""
    members = "".join(regex.escape(c) for c in characters if c not in left_out)
    if not members:
        return "(?!)"
    if after == "|":  # before it or behind it
        return rf"[{members}](?:(?<={before}.)|(?={before}))"
    return rf"[{members}](?<={before}.)" + (f"(?={after})" if after else "")
