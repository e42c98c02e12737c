"""Text as numbers: the sentences that a language model is estimated on.

Shapes: N words and ends of sentences of the whole text.
"""

from __future__ import annotations

import logging
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.utils.errors import InputError
from asr.utils.unicode import INVISIBLE

log = logging.getLogger(__name__)

UNK, BOS, EOS = 0, 1, 2  # ids
_SPECIAL = ["<unk>", "<s>", "</s>"]
_UNKNOWN = ("<unk>", "<UNK>")
_BOUNDS = ("<s>", "</s>")
_MANY = 0.1  # unknown words that are worth a warning
_MOST = np.iinfo(np.int32).max
_END = -1  # of a sentence, among raw ids


@dataclass(frozen=True)
class Corpus:
    """A text.

    Args:
        words: The word of each id: <unk>, <s>, </s>, then the vocabulary, the most frequent first.
        ids: (N,) all sentences one after the other, each with <s> before and </s> after it.
        outside: Words of the text that the vocabulary lacks, all of their occurrences; they are <unk> in `ids`.
    """

    words: list[str]
    ids: npt.NDArray[np.int32]
    outside: int = 0

    @property
    def sentences(self) -> int:
        return int(np.count_nonzero(self.ids == EOS))

    @property
    def tokens(self) -> int:
        """Words of the text, without <s> and </s>."""
        return self.ids.size - 2 * self.sentences


def clean_sentences(sentences: Iterable[str | Sequence[str]], where: str | Path = "text") -> Iterator[Sequence[str]]:
    """The words of sentences: texts that are split at white space of any kind, or words already.

    Characters that nobody sees (control characters, direction marks, ...) are dropped, and the words <s> and </s>;
    sentences without words are passed over. All of it is logged at the end with how often it was so.

    Args:
        where: The text's name, for messages.
    """
    tabs = invisible = bounds = empty = 0
    for sentence in sentences:
        words: Sequence[str] = sentence
        if isinstance(sentence, str):
            if not (sentence.isascii() and sentence.isprintable()):
                tabs += "\t" in sentence
                seen = INVISIBLE.sub("", sentence)
                invisible += seen != sentence
                sentence = seen
            words = sentence.split()
            if "<s>" in sentence or "</s>" in sentence:
                kept = [word for word in words if word not in _BOUNDS]
                bounds += len(words) - len(kept)
                words = kept
        if words:
            yield words
        else:
            empty += 1
    if tabs:
        log.warning("%s: %s have tabs, taken as spaces: of a table, give the text's column alone", where, _lines(tabs))
    if invisible:
        log.warning("%s: %s have characters that nobody sees, which are dropped", where, _lines(invisible))
    if bounds:
        log.warning(
            "%s: <s> or </s> stand there %s times, left out: every line begins and ends a sentence",
            where,
            f"{bounds:,}",
        )
    if empty:
        log.info("%s: %s without words are passed over", where, _lines(empty))


def _lines(number: int) -> str:
    return f"{number:,} lines" if number > 1 else "1 line"


def read_corpus(
    sentences: Iterable[str | Sequence[str]],
    vocabulary: int | Collection[str] | None = None,
    where: str | Path = "text",
) -> Corpus:
    """Numbers the words of sentences, as `clean_sentences` has them; <unk> (or <UNK>) is an unknown word.

    Args:
        vocabulary: How many words to know: the most frequent, ties by the word; or the words to know, whether they are
            in the text or not; all of the text where None.
        where: The text's name, for messages.

    Raises:
        InputError: There are no words, or none of them is in the vocabulary.
    """
    index: defaultdict[str, int] = defaultdict()
    index.default_factory = index.__len__
    raw = array("i")
    for words in clean_sentences(sentences, where):
        raw.extend(map(index.__getitem__, words))
        raw.append(_END)
    ids = np.frombuffer(raw, np.int32) if raw else np.zeros(0, np.int32)
    texts, counts = list(index), np.bincount(ids[ids >= 0], minlength=len(index))
    size = int(counts.sum())
    if not index.keys() - set(_UNKNOWN):
        raise InputError("holds no words" + (" but <unk>" if size else ""), where=where)
    if ids.size + np.count_nonzero(ids == _END) > _MOST:
        raise InputError(f"has {size:,} words, more than 2^31", where=where, remedy="give a part of it")
    seen = dict(zip(texts, counts.tolist(), strict=True))
    known = _chosen(seen, vocabulary)
    number = {word: i for i, word in enumerate(known, len(_SPECIAL))}
    numbers = np.array([*(number.get(text, UNK) for text in texts), EOS], np.int32)  # _END is the last
    unknown = sum(seen.get(word, 0) for word in _UNKNOWN)
    if unknown:
        log.info("%s: <unk> stands there %s times: taken as unknown words", where, f"{unknown:,}")
    outside = size - sum(seen.get(word, 0) for word in known) - unknown
    if vocabulary is not None:
        _check_share(outside, size, seen, known, where)
    return Corpus([*_SPECIAL, *known], _bounded(numbers[ids]), outside)


def _chosen(seen: Mapping[str, int], vocabulary: int | Collection[str] | None) -> list[str]:
    """The words to know, the most frequent first."""
    every = isinstance(vocabulary, int) or vocabulary is None
    words = set(seen if every else vocabulary) - {*_BOUNDS, *_UNKNOWN}  # type: ignore[arg-type]
    ranked = sorted(words, key=lambda word: (-seen.get(word, 0), word))
    if every:
        ranked = [word for word in ranked if seen[word]]
    return ranked[:vocabulary] if isinstance(vocabulary, int) else ranked


def _check_share(outside: int, size: int, seen: Mapping[str, int], known: list[str], where: str | Path) -> None:
    """Tells of many words that the vocabulary lacks.

    Raises:
        InputError: It has none of the text's words.
    """
    if outside <= _MANY * size:
        return
    words = set(map(str.lower, known))
    alike = sum(n for word, n in seen.items() if word.lower() in words)
    hint = "written in the same case they would be" if alike >= max(1, 2 * (size - outside)) else ""
    if outside == size:
        raise InputError(
            "none of its words is in the vocabulary", where=where, remedy=hint or "are the two of one language?"
        )
    log.warning(
        "%s: %.1f %% of the words are not in the vocabulary%s", where, 100 * outside / size, f"; {hint}" if hint else ""
    )


def _bounded(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Puts <s> before each sentence; </s> ends it already."""
    ends = np.flatnonzero(ids == EOS)
    bounded = np.full(ids.size + ends.size, BOS, np.int32)
    at = np.ones(bounded.size, bool)
    at[np.append(0, ends[:-1] + np.arange(2, ends.size + 1))] = False
    bounded[at] = ids
    return bounded
