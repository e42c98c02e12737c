"""Word and character error rates of texts against references (through jiwer), and files of them.

How sure a rate is, and whether one system is better than another, is in `asr.evaluate.significance`.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import regex

from asr.evaluate.translation import TranslationScores, score_translations
from asr.utils.errors import InputError
from asr.utils.unicode import INVISIBLE, graphemes

Unit = Literal["words", "characters", "phones"]
Pair = tuple[str | None, str | None]  # units of reference and hypothesis; None: nothing there, inserted or deleted
_APOSTROPHES = regex.compile(r"['\u2019\u02bc\u05f3\u05f4]")
_HYPHENS = regex.compile(r"[-\u2010\u2011]")
_OTHER_PUNCTUATION = regex.compile(r"[\p{P}\p{S}--['\u2019\u02bc\u05f3\u05f4\-\u2010\u2011]]", regex.V1)
SCORES_FORMAT = 1  # of scores.json and hypotheses.jsonl
RATES = {"words": "WER", "characters": "CER", "phones": "PER"}


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of hypotheses against references, in words or characters."""

    substitutions: int
    deletions: int
    insertions: int
    length: int  # of the references

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors a unit of reference; without reference 0 where there is no error, else infinite."""
        if self.length:
            return self.errors / self.length
        return float("inf") if self.errors else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the counts, and the rate (None where there is no reference)."""
        return {
            "rate": self.rate if self.length else None,
            "errors": self.errors,
            "substitutions": self.substitutions,
            "deletions": self.deletions,
            "insertions": self.insertions,
            "length": self.length,
        }


@dataclass(frozen=True)
class Scores:
    """WER and CER over a set of utterances, each counted when it is read.

    CER counts perceived characters, spaces included.
    """

    references: tuple[str, ...] = field(repr=False)
    hypotheses: tuple[str, ...] = field(repr=False)
    # what the rate that counts is of; characters: words that nothing separates cannot be counted; phones stand in
    # the place of words
    unit: Unit
    translation: TranslationScores | None = None  # where it was asked for

    @property
    def utterances(self) -> int:
        return len(self.references)

    @property
    def wrong_utterances(self) -> int:
        return sum(r != h for r, h in zip(self.references, self.hypotheses, strict=True))

    @cached_property
    def words(self) -> ErrorCounts:
        return _total(self.alignments if self.unit != "characters" else self._aligned(str.split))

    @cached_property
    def characters(self) -> ErrorCounts:
        return _total(self.alignments if self.unit == "characters" else self._aligned(graphemes))

    @cached_property
    def alignments(self) -> tuple[tuple[Pair, ...], ...]:
        """Aligns each utterance, in the unit that counts."""
        return self._aligned(graphemes if self.unit == "characters" else str.split)

    def _aligned(self, cut: Callable[[str], list[str]]) -> tuple[tuple[Pair, ...], ...]:
        return tuple(_align(*([cut(text) for text in side] for side in (self.references, self.hypotheses))))

    @cached_property
    def each(self) -> tuple[ErrorCounts, ...]:
        """Aligns each utterance, in the unit that counts."""
        return tuple(map(_counted, self.alignments))

    @property
    def error(self) -> ErrorCounts:
        """That which counts."""
        return self.characters if self.unit == "characters" else self.words

    def headline(self) -> str:
        """The rate that counts: "WER 1.20 %"."""
        return f"{RATES[self.unit]} {_percent(self.error)}"

    def summary(self) -> str:
        """One line: WER and CER, where both can be counted."""
        counts = {self.unit: self.error, **({"characters": self.characters} if self.unit == "words" else {})}
        parts = [
            f"{RATES[unit]} {_percent(n)} ({n.errors} of {n.length} {unit}: {n.substitutions} substituted,"
            f" {n.deletions} deleted, {n.insertions} inserted)"
            for unit, n in counts.items()
        ]
        also = f"; {self.translation}" if self.translation else ""
        return f"{', '.join(parts)}, {self.wrong_utterances} of {self.utterances} utterances wrong{also}"

    def __str__(self) -> str:
        return self.summary()

    def as_dict(self) -> dict[str, Any]:
        return {
            "headline": RATES[self.unit].lower(),
            "per" if self.unit == "phones" else "wer": self.words.as_dict(),
            **({} if self.unit == "phones" else {"cer": self.characters.as_dict()}),
            "utterances": self.utterances,
            "wrong_utterances": self.wrong_utterances,
            **({"translation": self.translation.as_dict()} if self.translation else {}),
        }


def _percent(counts: ErrorCounts) -> str:
    return f"{100 * counts.rate:.2f} %" if counts.length else "cannot be told: the references are empty"


def score(
    references: Sequence[str], hypotheses: Sequence[str], *, unit: Unit = "words", translation: bool = False
) -> Scores:
    """Scores hypotheses against references, one by one in order.

    Texts are compared as they are, but for white space: normalise them first.

    Args:
        unit: What the rate that counts is of.
        translation: BLEU and chrF, too.
    """
    if len(references) != len(hypotheses):
        raise InputError(f"{len(references)} references and {len(hypotheses)} hypotheses cannot be compared")
    if not references:
        raise InputError("there is nothing to score")
    references = [" ".join(text.split()) for text in references]
    hypotheses = [" ".join(text.split()) for text in hypotheses]
    translated = score_translations(references, hypotheses) if translation else None
    return Scores(tuple(references), tuple(hypotheses), unit, translated)


def correct_words(references: Sequence[str], hypotheses: Sequence[Sequence[str]]) -> list[list[bool]]:
    """Which words of each hypothesis stand in its reference, aligned with the fewest edits.

    Args:
        references: Texts.
        hypotheses: Words of each; where no spaces separate words, each is compared with what the reference is cut into.
    """
    said = [reference.split() for reference in references]
    for i, words in enumerate(hypotheses):
        if len(said[i]) == 1 and len(words) > 1:  # no spaces: perceived characters
            said[i] = graphemes(references[i])
    pairs = _align(said, [list(words) for words in hypotheses])
    return [[r == h for r, h in each if h is not None] for each in pairs]


# What makes two spellings of the same text equal, one after the other.
_SPELLINGS: dict[str, Callable[[str], str]] = {
    "encoding": lambda text: unicodedata.normalize("NFKC", INVISIBLE.sub("", text)),
    "case": str.casefold,
    "punctuation": lambda text: _OTHER_PUNCTUATION.sub("", text),
    "apostrophes": lambda text: _APOSTROPHES.sub("", text),
}
# The same for several words at once, which it parts or joins.
_PARTED: dict[str, Callable[[str], str]] = {
    "hyphens": lambda text: _HYPHENS.sub(" ", text),
    "compounds": lambda text: _HYPHENS.sub("", text).replace(" ", ""),
}
_MOST_PARTS = 4  # of a compound


def spelling_errors(scores: Scores) -> dict[str, int]:
    """How many errors fewer there are where texts that differ in spelling alone count as equal.

    One thing after the other: encoding (NFKC, invisible characters), case, punctuation, apostrophes, hyphens, compounds
    ("icecream" for "ice cream"); of characters the first four, and spaces. Nothing of phones.
    """
    if scores.unit == "phones":
        return {}
    letters = scores.unit == "characters"
    join = "" if letters else " "
    said = [join.join(r for r, _ in pairs if r is not None) for pairs in scores.alignments]
    heard = [join.join(h for _, h in pairs if h is not None) for pairs in scores.alignments]
    pairs_of = list(scores.alignments)
    found: dict[str, int] = {}

    def count(kind: str) -> None:
        """Aligns again what may be equal now."""
        wrong = [i for i, pairs in enumerate(pairs_of) if _errors(pairs)]
        cut = graphemes if letters else str.split
        again = _align([cut(said[i]) for i in wrong], [cut(heard[i]) for i in wrong]) if wrong else []
        found[kind] = 0
        for i, pairs in zip(wrong, again, strict=True):
            if (fewer := _errors(pairs_of[i]) - _errors(pairs)) >= 0:
                found[kind] += fewer
                pairs_of[i] = pairs

    for kind, same in _SPELLINGS.items():
        said, heard = ([same(text) for text in side] for side in (said, heard))
        count(kind)
    if letters:
        said, heard = (["".join(text.split()) for text in side] for side in (said, heard))
        count("spaces")
        return found
    for kind, same in _PARTED.items():
        heard = [_respelt(pairs, same) for pairs in pairs_of]
        count(kind)
    return found


def _errors(pairs: Sequence[Pair]) -> int:
    return sum(r != h for r, h in pairs)


def _respelt(pairs: Sequence[Pair], same: Callable[[str], str]) -> str:
    """The hypothesis, with the reference's words in place of such as are the same, parted or joined otherwise."""
    words: list[str] = []
    for wrong, run in itertools.groupby(pairs, lambda pair: pair[0] != pair[1]):
        row = list(run)
        said, heard = ([unit for unit in side if unit is not None] for side in zip(*row, strict=True))
        while wrong and heard:
            wide, theirs = next(
                (
                    (n, theirs)
                    for n in range(1, 1 + min(_MOST_PARTS, len(heard)))
                    if (theirs := _found(said, " ".join(heard[:n]), same))
                ),
                (1, heard[:1]),
            )
            words += theirs
            heard = heard[wide:]
        words += heard
    return " ".join(words)


def _found(words: Sequence[str], text: str, same: Callable[[str], str]) -> list[str]:
    """Words, one after the other, that are the text once both are made the same."""
    wanted = " ".join(same(text).split())
    for i in range(len(words)):
        for n in range(1, 1 + min(_MOST_PARTS, len(words) - i)):
            if wanted and " ".join(same(" ".join(words[i : i + n])).split()) == wanted:
                return list(words[i : i + n])
    return []


def _align(references: list[list[str]], hypotheses: list[list[str]]) -> list[tuple[Pair, ...]]:
    """The fewest edits between lists of units: jiwer aligns words, so each unit becomes a word."""
    import jiwer

    identity: Any = jiwer.Compose([])
    process: Any = jiwer.process_words  # takes lists of units where the transforms leave them alone
    out = process(references, hypotheses, reference_transform=identity, hypothesis_transform=identity)
    aligned = []
    for reference, hypothesis, chunks in zip(references, hypotheses, out.alignments, strict=True):
        pairs: list[Pair] = []
        for chunk in chunks:
            said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            pairs += itertools.zip_longest(said, heard)
        aligned.append(tuple(pairs))
    return aligned


def _counted(pairs: Sequence[Pair]) -> ErrorCounts:
    insertions = sum(r is None for r, _ in pairs)
    deletions = sum(h is None for _, h in pairs)
    wrong = _errors(pairs)
    return ErrorCounts(wrong - insertions - deletions, deletions, insertions, len(pairs) - insertions)


def _total(alignments: Sequence[Sequence[Pair]]) -> ErrorCounts:
    return _counted([pair for pairs in alignments for pair in pairs])
