"""Word and character error rates of texts against references (through jiwer), and files of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asr.errors import InputError
from asr.files import read_text
from asr.text import graphemes

Unit = Literal["words", "characters", "phones"]
_RATES = {"words": "WER", "characters": "CER", "phones": "PER"}


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
class Score:
    """WER and CER over a set of utterances. CER counts perceived characters, spaces included."""

    words: ErrorCounts
    characters: ErrorCounts
    utterances: int
    wrong_utterances: int
    # what the rate that counts is of; characters: words that nothing separates cannot be counted; phones stand in
    # the place of words
    unit: Unit = "words"

    @property
    def error(self) -> ErrorCounts:
        """That which counts."""
        return self.characters if self.unit == "characters" else self.words

    def headline(self) -> str:
        """The rate that counts: "WER 1.20 %"."""
        return f"{_RATES[self.unit]} {100 * self.error.rate:.2f} %"

    def summary(self) -> str:
        """One line: WER and CER, where both can be counted."""
        counts = {self.unit: self.error, **({"characters": self.characters} if self.unit == "words" else {})}
        parts = [
            f"{_RATES[unit]} {100 * n.rate:.2f} % ({n.errors} of {n.length} {unit}: {n.substitutions} substituted,"
            f" {n.deletions} deleted, {n.insertions} inserted)"
            for unit, n in counts.items()
        ]
        return f"{', '.join(parts)}, {self.wrong_utterances} of {self.utterances} utterances wrong"

    def __str__(self) -> str:
        return self.summary()

    def as_dict(self) -> dict[str, Any]:
        return {
            "headline": _RATES[self.unit].lower(),
            "per" if self.unit == "phones" else "wer": self.words.as_dict(),
            **({} if self.unit == "phones" else {"cer": self.characters.as_dict()}),
            "utterances": self.utterances,
            "wrong_utterances": self.wrong_utterances,
        }


def score(references: Sequence[str], hypotheses: Sequence[str], *, unit: Unit = "words") -> Score:
    """Scores hypotheses against references, one by one in order.

    Texts are compared as they are, but for white space: normalise them first.

    Args:
        unit: What the rate that counts is of.
    """
    if len(references) != len(hypotheses):
        raise InputError(f"{len(references)} references and {len(hypotheses)} hypotheses cannot be compared")
    if not references:
        raise InputError("there is nothing to score")
    references = [" ".join(text.split()) for text in references]
    hypotheses = [" ".join(text.split()) for text in hypotheses]
    wrong = sum(r != h for r, h in zip(references, hypotheses, strict=True))
    return Score(
        words=_count([text.split() for text in references], [text.split() for text in hypotheses]),
        characters=_count([graphemes(text) for text in references], [graphemes(text) for text in hypotheses]),
        utterances=len(references),
        wrong_utterances=wrong,
        unit=unit,
    )


def word_errors(references: Sequence[str], hypotheses: Sequence[str], *, unit: Unit = "words") -> list[ErrorCounts]:
    """Of each utterance, the errors in what the rate that counts is of."""
    return [score([r], [h], unit=unit).error for r, h in zip(references, hypotheses, strict=True)]


def confidence_interval(
    each: Sequence[ErrorCounts], *, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Between which error rates a set of its kind would lie: utterances drawn anew from it, with replacement.

    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation" (2004). That other
    speakers would fare differently is not in it.

    Args:
        each: Errors of each utterance.
    """
    import numpy as np

    errors, lengths = np.array([[n.errors, n.length] for n in each], float).T
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(each), np.full(len(each), 1 / len(each)), size=samples)  # (samples, utterances)
    rates = (times @ errors) / np.maximum(times @ lengths, 1)
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def correct_words(references: Sequence[str], hypotheses: Sequence[Sequence[str]]) -> list[list[bool]]:
    """Which words of each hypothesis stand in its reference, aligned with the fewest edits.

    Args:
        references: Texts.
        hypotheses: Words of each; where no spaces separate words, each is compared with what the reference is cut into.
    """
    import jiwer

    right = []
    for reference, words in zip(references, hypotheses, strict=True):
        marks = [False] * len(words)
        if words and reference.split():
            said = reference.split()
            if len(said) == 1 and len(words) > 1:  # no spaces: perceived characters
                said = graphemes(reference)
            identity: Any = jiwer.Compose([])
            process: Any = jiwer.process_words
            out = process([said], [list(words)], reference_transform=identity, hypothesis_transform=identity)
            for chunk in out.alignments[0]:
                if chunk.type == "equal":
                    marks[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * (chunk.hyp_end_idx - chunk.hyp_start_idx)
        right.append(marks)
    return right


def _count(references: list[list[str]], hypotheses: list[list[str]]) -> ErrorCounts:
    """Edit operations between lists of units: jiwer aligns words, so each unit becomes a word."""
    import jiwer

    identity: Any = jiwer.Compose([])
    process: Any = jiwer.process_words  # takes lists of units where the transforms leave them alone
    out = process(references, hypotheses, reference_transform=identity, hypothesis_transform=identity)
    return ErrorCounts(out.substitutions, out.deletions, out.insertions, sum(map(len, references)))


def read_texts(path: str | Path) -> dict[str, str]:
    """Texts by utterance id: `id text` a line as Kaldi's, or JSONL with `id` and `text`.

    Raises:
        InputError: Names the file and the line of an id that stands there twice or a line that cannot be read.
    """
    path = Path(path)
    texts: dict[str, str] = {}
    lines = _lines(path)
    as_json = next((line for line in lines if line.strip()), "").lstrip().startswith("{")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if as_json:
            key, text = _json_line(line, f"{path}, line {number}")
        else:
            key, _, text = line.strip().partition(" ")
            if "\t" in key:
                key, _, text = line.strip().partition("\t")
        if key in texts:
            raise InputError(f"the id {key!r} stands there twice", where=f"{path}, line {number}")
        texts[key] = text.strip()
    if not texts:
        raise InputError("holds no text", where=path)
    return texts


def read_lines(path: str | Path) -> dict[str, str]:
    """Plain lines in order, the line's number as the id; an empty line is an empty text."""
    lines = _lines(path)
    if not any(line.strip() for line in lines):
        raise InputError("holds no text", where=path)
    return {str(number): line.strip() for number, line in enumerate(lines, 1)}


def pair(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> tuple[list[str], list[str], list[str]]:
    """References and hypotheses by id: (references, hypotheses, what has to be said of ids that lack a partner).

    A missing hypothesis counts as an empty one, so its words as deletions; a superfluous one is left out.
    """
    if not references.keys() & hypotheses.keys():
        raise InputError(
            f"references and hypotheses have no id in common ({next(iter(references), '')!r} stands first in the one,"
            f" {next(iter(hypotheses), '')!r} in the other)",
            remedy="if these are plain lines in order, use --lines",
        )
    missing = [key for key in references if key not in hypotheses]
    extra = [key for key in hypotheses if key not in references]
    notes = []
    if missing:
        notes.append(f"{len(missing)} references have no hypothesis and count as deletions (first: {missing[0]})")
    if extra:
        notes.append(f"{len(extra)} hypotheses have no reference and are left out (first: {extra[0]})")
    return list(references.values()), [hypotheses.get(key, "") for key in references], notes


def _lines(path: str | Path) -> list[str]:
    """Lines as every editor counts them: `str.splitlines` would also split at characters such as U+2028 in a text."""
    return io.StringIO(read_text(path), newline=None).read().removesuffix("\n").split("\n")


def _json_line(line: str, where: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise InputError(f"is not JSON ({e})", where=where) from e
    if not isinstance(row, dict) or "id" not in row or not isinstance(row.get("text"), str):
        raise InputError("is not a JSON object with `id` and `text`", where=where)
    return str(row["id"]), row["text"]
