r"""Back-off n-gram models as flat arrays: scores, perplexity.

Shapes: V words, M nodes (the root and every n-gram), L nodes that are no n-gram of the highest order, N words of a
text. Log probabilities are to base 10, as in ARPA files.

Scores are those of KenLM (Heafield, "KenLM: Faster and Smaller Language Model Queries", 2011), states too. One look-up,
plainly, for the word `w` in the state `s` (a node; `start` at the start of a sentence):

    b = 0
    while s and w is no child of s:
        b, s = b + backoff[s], link[s]
    j = the child of s by w          (of the root: 1 + w)
    score = b + log_prob[j]
    s = j if j < L and (first[j] < first[j + 1] or backoff[j]) else link[j]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from asr.lm.lines import split_words

MAX_ORDER = 10  # of letters; words have 3 to 5
_BATCH = 1 << 20  # words scored at once

Ints: TypeAlias = npt.NDArray[np.int64]
Int32s: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float32]
Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Perplexity:
    """How well a model foretells a text. Sums are log10 probabilities."""

    sentences: int
    words: int  # without </s>
    unknown: int  # words that the model does not know
    ends: int  # </s> that were scored: one a sentence, none if the model has no </s>
    log_prob: float  # of all words and ends
    log_prob_unknown: float  # of the unknown words

    @property
    def perplexity(self) -> float:
        """Of all words and ends, unknown words by the probability of <unk>; NaN where there are none."""
        return _perplexity(self.log_prob, self.words + self.ends)

    @property
    def perplexity_known(self) -> float:
        """Of words the model knows and ends; NaN where there are none."""
        return _perplexity(self.log_prob - self.log_prob_unknown, self.words - self.unknown + self.ends)


def _perplexity(log_prob: float, count: int) -> float:
    if not count:
        return math.nan
    return math.pow(10.0, min(-log_prob / count, 308.0))  # beyond it is no float


@dataclass(frozen=True, eq=False)
class NgramModel:
    """A back-off n-gram model.

    Node 0 is the root (the empty context). Then comes every n-gram, lower orders first, those of one order sorted by
    their word ids: the unigram of word `w` is node `1 + w`, and the children of a node (its extensions by one word)
    stand together, sorted by word. A *state* is the root, or a node that has children or a back-off weight other than
    0: what has to be remembered of the words so far. The arrays are read-only.

    Args:
        order: Words of the longest n-grams, 1 to 10.
        words: The word of each id.
        word: (M,) last word of the node, -1 of the root.
        log_prob: (M,) log10 probability of it after the words before.
        link: (M,) the longest proper suffix that is a state; link[j] < j, and 0 of the root.
        first: (L + 1,) children of node i are nodes first[i] to first[i + 1] - 1.
        backoff: (L,) log10 back-off weight, 0 of the root.
    """

    order: int
    words: list[str]
    word: Int32s
    log_prob: Floats
    link: Int32s
    first: Int32s
    backoff: Floats

    def __post_init__(self) -> None:
        for array in (self.word, self.log_prob, self.link, self.first, self.backoff):
            array.setflags(write=False)

    @cached_property
    def index(self) -> dict[str, int]:
        """The id of each word; <unk> is found in small and capital letters."""
        index = {word: i for i, word in enumerate(self.words)}
        for a, b in (("<unk>", "<UNK>"), ("<UNK>", "<unk>")):
            if a in index:
                index.setdefault(b, index[a])
        return index

    def id(self, word: str) -> int:
        """The id of a word, that of <unk> where the model does not know it."""
        return self.index.get(word, self.unk)

    @cached_property
    def unk(self) -> int:
        """The id of <unk>."""
        return self.index["<unk>"]

    @cached_property
    def bos(self) -> int:
        """The id of <s>, -1 where the model has none."""
        return self.index.get("<s>", -1)

    @cached_property
    def eos(self) -> int:
        """The id of </s>, -1 where the model has none."""
        return self.index.get("</s>", -1)

    @cached_property
    def start(self) -> int:
        """The state at the start of a sentence: after <s>, or the root where the model has none."""
        node = 1 + self.bos
        return node if node < self.backoff.size and self.is_state[node] else 0

    @cached_property
    def is_state(self) -> Bools:
        """(L,) whether a node is a state; nodes of the highest order never are."""
        return states_of(self.first, self.backoff)

    @cached_property
    def counts(self) -> list[int]:
        """How many n-grams there are of each order, 1 to `order`."""
        return [end - begin for begin, end in level_bounds(self.first, self.order)]

    @cached_property
    def keys(self) -> Ints:
        """(M - 1,) parent * V + word of nodes 1 to M - 1: ascending, so that a child is found by bisection."""
        return parents_of(self.first) * len(self.words) + self.word[1:]

    def score(self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True) -> float:
        """log10 probability of a sentence: a text that is split at ASCII white space, or its words.

        Args:
            bos: Begin after <s>; else without any context.
            eos: Count </s> too. What the model lacks of the two costs nothing.
        """
        return math.fsum(log_prob for log_prob, _, _ in self.full_scores(sentence, bos, eos))

    def full_scores(
        self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True
    ) -> list[tuple[float, int, bool]]:
        """log10 probability, length of the n-gram it is from, and whether it is unknown, of each word (and </s>)."""
        ids = self._ids(sentence, bos, eos)
        log_probs, lengths = self.score_ids(np.array(ids, np.int64), np.zeros(1, np.int64))
        rows = zip(log_probs.tolist(), lengths.tolist(), [i == self.unk for i in ids], strict=True)
        return list(rows)[int(bos and self.bos >= 0) :]

    def perplexity(self, sentences: Iterable[str | Sequence[str]]) -> Perplexity:
        """Scores sentences, each after <s> and with </s>; only about a million words are held at once."""
        n = words = unknown = 0
        log_prob = log_prob_unknown = 0.0
        for ids, begins in self._batches(sentences):
            log_probs, _ = self.score_ids(ids, begins)
            if self.bos >= 0:
                log_probs[begins] = 0
            is_unknown = ids == self.unk
            n += begins.size
            words += ids.size - begins.size * ((self.bos >= 0) + (self.eos >= 0))
            unknown += int(np.count_nonzero(is_unknown))
            log_prob += float(log_probs.sum())
            log_prob_unknown += float(log_probs[is_unknown].sum())
        return Perplexity(n, words, unknown, n if self.eos >= 0 else 0, log_prob, log_prob_unknown)

    def _batches(self, sentences: Iterable[str | Sequence[str]]) -> Iterator[tuple[Ints, Ints]]:
        """Word ids of many sentences with <s> and </s>, and where each sentence begins."""
        ids: list[int] = []
        begins: list[int] = []
        for sentence in sentences:
            begins.append(len(ids))
            ids += self._ids(sentence)
            if len(ids) >= _BATCH:
                yield np.array(ids, np.int64), np.array(begins, np.int64)
                ids, begins = [], []
        if begins:
            yield np.array(ids, np.int64), np.array(begins, np.int64)

    def _ids(self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True) -> list[int]:
        get, unk = self.index.get, self.unk
        ids = [self.bos] if bos and self.bos >= 0 else []
        ids += [get(word, unk) for word in (split_words(sentence) if isinstance(sentence, str) else sentence)]
        return [*ids, self.eos] if eos and self.eos >= 0 else ids

    def score_ids(self, ids: Ints, begins: Ints) -> tuple[npt.NDArray[np.float64], Ints]:
        """Scores all words of many sentences at once, an order after the other.

        Args:
            ids: (N,) words of all sentences.
            begins: Positions where a sentence begins: what stands before is no context.

        Returns:
            (N,) log10 probability of each word, and (N,) the length of the n-gram it is from.
        """
        node = 1 + ids  # of the n-gram of the order at hand that ends here, -1 where there is none
        best, length, backoff = node.copy(), np.ones_like(ids), np.zeros(ids.size)
        for order in range(2, self.order + 1):
            context = np.roll(node, 1)
            context[begins[begins < ids.size]] = -1  # a sentence may be without words
            at = np.flatnonzero(context >= 0)
            child = search_keys(self.keys, context[at] * len(self.words) + ids[at])
            hit = child >= 0
            node = np.full_like(ids, -1)
            node[at] = np.where(hit, 1 + child, -1)
            found, missed = at[hit], at[~hit]
            best[found], length[found], backoff[found] = node[found], order, 0.0
            backoff[missed] += self.backoff[context[missed]]
        return backoff + self.log_prob[best], length


def states_of(first: Int32s, backoff: Floats) -> Bools:
    states: Bools = (np.diff(first) > 0) | (backoff != 0)
    states[0] = True
    return states


def parents_of(first: Int32s) -> Ints:
    """(M - 1,) the parents of nodes 1 to M - 1."""
    return np.repeat(np.arange(first.size - 1), np.diff(first))


def level_bounds(first: Int32s, order: int) -> list[tuple[int, int]]:
    """The first node of each order and the one after its last."""
    levels = [(0, 1)]
    for _ in range(order):
        begin, end = levels[-1]
        # In a damaged file an end may lie anywhere.
        levels.append((int(first[min(begin, first.size - 1)]), int(first[min(end, first.size - 1)])))
    return levels[1:]


def search_keys(keys: Ints, wanted: Ints) -> Ints:
    """Where `wanted` stand in the ascending `keys`, -1 where they do not."""
    # Look-ups in order find their neighbourhood in the cache: five times as fast in a large model, sorting included.
    order = np.argsort(wanted)
    at = np.empty_like(order)
    at[order] = np.searchsorted(keys, wanted[order])
    at[at == keys.size] = 0
    return np.where(keys[at] == wanted, at, -1) if keys.size else np.full_like(wanted, -1)
