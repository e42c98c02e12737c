"""Pronunciations of word lists: the user's own, CMUdict and rules for English, eSpeak NG for the rest, and a guess.

For each word the first source that has it counts: the user's file; for English CMUdict and what follows from it by rule
(`asr.text.english`), for other languages eSpeak NG (`asr.text.espeak`); last a guess from the spelling
(`asr.text.g2p`).
"""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from asr.text.english import English, Said, Units, cmudict, joined, without_stress
from asr.text.lexicon import Lexicon, read_lexicon
from asr.utils.errors import InputError
from asr.utils.units import counted

if TYPE_CHECKING:
    from asr.text.g2p import G2p

log = logging.getLogger(__name__)

_ENGLISH = ("en", "en-us")  # CMUdict is American
_MOST_CHARACTERS = 100  # of a word
_FEW = 1000  # pronunciations: who learns from fewer guesses badly
_SHOWN = 10  # words that a message names
_LONG = 30  # characters of a word that it shows
# Apostrophes are one; 10:30 and 3/4 are said as their parts are, and a middle dot is not said.
_MARKS = str.maketrans("\u2019\u2018\u02bc\u00b4`:/", "'''''--", "\u00b7")
_CONTROL = regex.compile(r"[\p{Cc}\p{Cf}\p{Co}\p{Cs}--[\u200c\u200d]]", regex.V1)  # joiners shape letters
_SYMBOL = regex.compile(r"[\p{S}\p{P}--['.,\u05f3\u05f4-]]", regex.V1)
_SAYABLE = regex.compile(r"[\p{L}\p{N}]")

Progress = Callable[[int, int], None]  # words done, words in all


@dataclass(frozen=True)
class Pronunciations:
    """What was found for a list of words.

    Args:
        said: What is said for the words that have pronunciations, in the order of the list.
        left_out: The words that have none, and why.
    """

    said: dict[str, Said]
    left_out: dict[str, str]

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words that have pronunciations, with their sources.

        Raises:
            InputError: There is none.
        """
        if not self.said:
            why = _examples(self.left_out, 3)
            raise InputError("none of the words has a pronunciation", where="words", remedy=why)
        pairs = tuple((word, units) for word, said in self.said.items() for units in said.pronunciations)
        return Lexicon(pairs, {word: said.source for word, said in self.said.items()})

    @property
    def counts(self) -> dict[str, int]:
        """How many words there are of each source, most frequent first."""
        return dict(Counter(said.source for said in self.said.values()).most_common())


def pronounce(
    words: Iterable[str],
    *,
    language: str = "",
    lexicon: str | Path | Lexicon | None = None,
    stress: bool = False,
    guess: bool = True,
    progress: Progress | None = None,
) -> Pronunciations:
    """Pronunciations of words; those that have none are named in a warning.

    Words are written in the lexicon as they are given and looked up in any case, with any apostrophe.

    Args:
        words: Each one word, without white space; those that come again are passed over. They are asked for when
            `language` and `lexicon` have been found good.
        language: One of eSpeak NG's codes, such as "fr"; "en" and "en-us" are looked up in CMUdict. "": `lexicon`
            alone counts, and is what the guess learns from.
        lexicon: A lexicon of the user's or a file of one, asked first.
        stress: Keep marks of stress: CMUdict's digits, eSpeak NG's ˈ and ˌ.
        guess: Guess what no source has.
        progress: Called with the words done and the words in all.

    Raises:
        InputError: There are no words, no such language or file, neither of them is given, or a package is not
            installed.
    """
    code = language.strip().lower().replace("_", "-")
    if not code and lexicon is None:
        raise InputError("neither a language nor a lexicon is given", where="language", remedy="name one, such as en")
    if code and code not in _ENGLISH:
        from asr.text.espeak import find_language

        code = find_language(language.strip())
    job = _Job(code, _Listed(lexicon), stress, guess, progress or (lambda done, total: None))
    wanted = list(dict.fromkeys(words))
    if not wanted:
        raise InputError("there are no words to pronounce", where="words")
    job.run(wanted)
    found = Pronunciations(
        {word: job.said[word] for word in wanted if word in job.said},
        {word: job.faults[word] for word in wanted if word in job.faults},
    )
    if found.said and found.left_out:
        log.warning("%s left out: %s", counted(len(found.left_out), "word"), _examples(found.left_out))
    return found


def _examples(left_out: Mapping[str, str], most: int = _SHOWN) -> str:
    """Some of the words that were left out, by the reason."""
    by_fault: dict[str, list[str]] = {}
    for word, fault in left_out.items():
        by_fault.setdefault(fault, []).append(word)
    lines = []
    for fault, words in by_fault.items():
        more = f" and {len(words) - most:,} more" if len(words) > most else ""
        lines.append(f"{', '.join(map(_shown, words[:most]))}{more} ({fault})")
    return ", ".join(lines)


def _shown(word: str) -> str:
    return repr(word if len(word) <= _LONG else f"{word[:_LONG]}...")


def _normal(word: str) -> str:
    """Returns a word as it is looked up, but for case: composed, with ASCII apostrophes, its parts between hyphens."""
    return unicodedata.normalize("NFC", word).translate(_MARKS)


class _Listed:
    """The user's words, found as they are written or else in lower case. Callable: a normal word -> what is said."""

    def __init__(self, lexicon: str | Path | Lexicon | None) -> None:
        self.path = "lexicon" if isinstance(lexicon, Lexicon) else lexicon
        self.pairs: list[tuple[str, Units]] = []  # of words in lower case, as read
        self._exact: dict[str, list[Units]] = {}
        self._lower: dict[str, list[Units]] = {}
        read = read_lexicon(lexicon) if isinstance(lexicon, str | Path) else lexicon
        for word, units in read.pronunciations if read is not None else ():
            word = _normal(word)
            self.pairs.append((word.lower(), units))
            for table, key in ((self._exact, word), (self._lower, word.lower())):
                table.setdefault(key, []).append(units)

    def __call__(self, word: str) -> Said | None:
        found = self._exact.get(word) or self._lower.get(word.lower())
        return Said(list(dict.fromkeys(found)), "user") if found else None


class _Job:
    """One list of words: what is said for them, and the faults of those for which nothing is."""

    def __init__(self, code: str, own: _Listed, stress: bool, guess: bool, progress: Progress) -> None:
        self.said: dict[str, Said] = {}
        self.faults: dict[str, str] = {}
        self._code, self._own, self._stress, self._guess, self._progress = code, own, stress, guess, progress

    def run(self, words: Sequence[str]) -> None:
        rest = []
        for word in words:
            if fault := _unusable(word):
                self.faults[word] = fault
            elif found := self._own(_normal(word)):
                self.said[word] = found
            else:
                rest.append(word)
        if self._code in _ENGLISH:
            guess = _Guess(partial(_english_g2p, self._stress)) if self._guess else None
            self._each(rest, English(self._own, guess).say)
            if not self._stress:
                self.said = {word: _plain(said) for word, said in self.said.items()}
        elif self._code:
            self._by_espeak(rest)
        else:
            self._each(rest, partial(_by_parts, own=self._own, guess=_Guess(self._learn_own) if self._guess else None))
        for word in rest:
            if word not in self.said:
                self.faults.setdefault(word, _unsaid(_normal(word), self._guess))
        self._check_units()

    def _each(self, words: Sequence[str], say: Callable[[str], Said | None]) -> None:
        for done, word in enumerate(words):
            if done % 1000 == 0:
                self._progress(done, len(words))
            if said := say(_normal(word)):
                self.said[word] = said
        self._progress(len(words), len(words))

    def _by_espeak(self, words: Sequence[str]) -> None:
        from asr.text.espeak import phonemes

        sayable = [word for word in words if not _unsayable(_normal(word))]
        spoken = phonemes(list(map(_normal, sayable)), self._code, stress=self._stress, progress=self._progress)
        for word, (units, fault) in zip(sayable, spoken, strict=True):
            if fault:
                self.faults[word] = fault
            else:
                self.said[word] = Said([units], "espeak")
        if self._guess and any(word in self.faults for word in sayable):
            self._guess_like_espeak([word for word in sayable if word in self.faults])

    def _guess_like_espeak(self, words: Sequence[str]) -> None:
        """Words that eSpeak NG takes for another language, as it says the others; where these are enough."""
        from asr.text.g2p import train_g2p

        pairs = [(_normal(word).lower(), s.pronunciations[0]) for word, s in self.said.items() if s.source == "espeak"]
        if len(pairs) < _FEW:
            return
        model = train_g2p(pairs)
        for word in words:
            if units := model.guess(_normal(word).lower()):
                self.said[word] = Said([units], "guess")
                del self.faults[word]

    def _learn_own(self) -> G2p:
        from asr.text.g2p import train_g2p

        if len(self._own.pairs) < _FEW:
            learnt_from = counted(len(self._own.pairs), "pronunciation")
            log.warning("%s: guesses learn from %s only: expect many mistakes", self._own.path, learnt_from)
        return train_g2p(self._own.pairs)  # quick, and the file changes: nothing is kept

    def _check_units(self) -> None:
        """Warns where the user's file is written in other units than the rest."""
        used = {unit for s in self.said.values() if s.source == "user" for units in s.pronunciations for unit in units}
        if not used or not self._code or all(s.source == "user" for s in self.said.values()):
            return
        if self._code in _ENGLISH:
            known = {unit for several in cmudict().values() for units in several for unit in units}
            known = known if self._stress else set(without_stress(tuple(known)))
        else:
            spoken = [s.pronunciations for s in self.said.values() if s.source == "espeak"]
            known = {unit for several in spoken for units in several for unit in units} if len(spoken) >= _FEW else used
        if strange := sorted(used - known):
            log.warning(
                "%s: has units that no other word has: %s; is it written for another source?",
                self._own.path,
                ", ".join(strange[:_SHOWN]),
            )


class _Guess:
    """Callable: a word in lower case -> units, none where it cannot say. The model is made when it is first asked."""

    def __init__(self, make: Callable[[], G2p]) -> None:
        self._make = make

    @cached_property
    def _model(self) -> G2p:
        return self._make()

    def __call__(self, word: str) -> Units:
        return self._model.guess(word)


@lru_cache(maxsize=2)
def _english_g2p(stress: bool) -> G2p:
    """What CMUdict teaches about spelling, from the cache where it is there."""
    from asr.text.g2p import cached_g2p

    pairs = [
        (word, units if stress else without_stress(units))
        for word, several in cmudict().items()
        if regex.fullmatch(r"[a-z']+", word)
        for units in several
    ]
    name = "english-stress.safetensors" if stress else "english.safetensors"
    return cached_g2p(list(dict.fromkeys(pairs)), _cache_folder() / name)


def _cache_folder() -> Path:
    """Where models of guesses are kept."""
    return Path.home() / ".cache" / "asr" / "g2p"


def _plain(said: Said) -> Said:
    """Without stress; pronunciations that are then alike are one."""
    return Said(list(dict.fromkeys(map(without_stress, said.pronunciations))), said.source)


def _by_parts(word: str, *, own: _Listed, guess: _Guess | None) -> Said | None:
    """A word that the user's file lacks: the parts between its hyphens by the file or by guess."""
    parts = [part for part in word.lower().split("-") if part]
    said: list[Said | None] = []
    for part in parts:
        units = () if (found := own(part)) or guess is None else guess(part)
        said.append(found or (Said([units], "guess") if units else None))
    return said[0] if len(said) == 1 else joined(said)


def _unusable(word: str) -> str:
    """Why a word can stand in no lexicon; "" where it can."""
    if not word.strip():
        return "is empty"
    if len(word) > _MOST_CHARACTERS:
        return f"has more than {_MOST_CHARACTERS} characters"
    if len(word.split()) > 1 or word.strip() != word:
        return "has a space"
    if control := _CONTROL.search(word):
        return f"has the control character U+{ord(control[0]):04X}"
    return ""


def _unsayable(word: str) -> str:
    """Which of a normal word's characters no source can say; "" where there is none."""
    if not _SAYABLE.search(word):
        return "has neither letters nor digits"
    if symbol := _SYMBOL.search(word):
        return f"holds {symbol[0]!r}"
    if word[0] in ".," or (word[-1] in ".," and "." not in word[:-1]):
        return "begins or ends with punctuation: take it out of the text"
    return ""


def _unsaid(word: str, guess: bool) -> str:
    if fault := _unsayable(word):
        return fault
    if not guess:
        return "is in no source"
    return "cannot be read" if regex.search(r"\p{N}", word) else "has letters that no source knows"
