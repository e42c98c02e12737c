"""N-gram models from text: interpolated modified Kneser-Ney smoothing.

Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1999), with <unk> and cut-offs as
in KenLM's lmplz (Heafield et al., "Scalable Modified Kneser-Ney Language Model Estimation", 2013). For the n-gram of
the context h and the word w, h' being h without its first word:

    c(hw) = how often hw stands in the text, if it is of the highest order or begins with <s>
          = before how many different words it stands, else
    D(c)  = 0, D1, D2, D3, D3, ... for c = 0, 1, 2, 3, 4, ..., for each order, of t(k) = n-grams of it with c = k:
            Y = t(1) / (t(1) + 2 t(2)),  Dk = k - (k + 1) Y t(k + 1) / t(k)
    backoff(h) = sum over w of D(c(hw)) / sum over w of c(hw)
    p(w | h)   = (c(hw) - D(c(hw))) / sum over w of c(hw) + backoff(h) p(w | h')

Below unigrams every word but <s> has the same probability: <unk> and words that the text lacks get only that. An n-gram
that is cut off adds c instead of D to the sum in backoff(h); discounts and sums are of all n-grams.

Shapes: V words, N words and sentence bounds of the text or n-grams of one order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from asr.lm.corpus import BOS, EOS, Corpus
from asr.lm.ngram import MAX_ORDER, NgramModel
from asr.lm.tree import ZERO, Bools, Doubles, Int32s, Ints, Level, join_levels
from asr.utils.config import require

log = logging.getLogger(__name__)

FALLBACK = (0.5, 1.0, 1.5)  # discounts where a text is too small to tell them, as KenLM has them


@dataclass(frozen=True)
class _Counts:
    """The n-grams of one order, ascending by parent and word.

    Args:
        parent: (N,) number of the first words within the order below.
        word: (N,) last word.
        suffix: (N,) number of the last words within the order below.
        raw: (N,) how often they stand in the text.
        bos: (N,) whether they begin with <s>.
    """

    parent: Int32s
    word: Int32s
    suffix: Int32s
    raw: Ints
    bos: Bools


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """What a model of a text is to be like."""

    # words of the longest n-grams, 1 to 10
    order: int = 3
    # for each order, n-grams seen at most so often are left out; the last holds for higher orders too; of unigrams 0
    cutoffs: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        require(1 <= self.order <= MAX_ORDER, f"order {self.order} is not from 1 to {MAX_ORDER}")
        given = f"cutoff {','.join(map(str, self.cutoffs))}"
        require(1 <= len(self.cutoffs) <= self.order, f"{given}: 1 to {self.order} numbers are needed, one an order")
        require(min(self.cutoffs) >= 0, f"{given}: none may be negative")
        require(
            len(self.cutoffs) == 1 or self.cutoffs[0] == 0,
            f"{given}: the first is of single words, which are not cut off: begin with 0, and limit the vocabulary",
        )
        require(
            list(self.cutoffs) == sorted(self.cutoffs), f"{given}: no order's may be lower than that of the one before"
        )

    @property
    def by_order(self) -> list[int]:
        """The cut-off of each order."""
        last = self.cutoffs[-1]
        return [0, *self.cutoffs[1:], *[last] * (self.order - max(1, len(self.cutoffs)))]


def estimate_ngram(
    corpus: Corpus,
    options: EstimateOptions | None = None,
    progress: Callable[[str], None] = lambda stage: None,
    *,
    quiet: bool = False,
) -> NgramModel:
    """A model of a text. Every context has a back-off weight; log10 p(<s>) is -99.

    Args:
        progress: Called with what is done next.
        quiet: Say nothing where the text is too small to tell how much to discount.

    Raises:
        InputError: There are more than 2^31 n-grams.
    """
    options = options or EstimateOptions()
    counts: list[_Counts] = []
    for level in _count(corpus, options.order):
        counts.append(level)
        progress(f"{len(counts)}-grams are counted")
    progress("finding probabilities")
    levels = _smoothed(counts, options.by_order, quiet)
    del counts
    progress("joining n-grams")
    return join_levels(corpus.words, levels)


def _count(corpus: Corpus, order: int) -> Iterator[_Counts]:
    """The n-grams of a text, orders from 1 up."""
    ids, vocab = corpus.ids, len(corpus.words)
    words = np.arange(vocab, dtype=np.int32)
    none = np.zeros(vocab, np.int32)
    level = _Counts(none, words, none, np.bincount(ids, minlength=vocab), words == BOS)
    yield level
    node = ids  # number of the n-gram of the order at hand that begins at each place, -1 where none does
    for n in range(2, order + 1):
        goes_on = node >= 0
        goes_on[: max(0, ids.size - n + 2)] &= ids[n - 2 :] != EOS  # its last word
        at = np.flatnonzero(goes_on).astype(np.int32)
        keys = node[at].astype(np.int64) * vocab
        keys += ids[at + (n - 1)]
        by_key = np.argsort(keys)
        keys, at = keys[by_key], at[by_key]
        del by_key
        is_first = np.ones(keys.size, bool)
        is_first[1:] = keys[1:] != keys[:-1]
        begins = np.flatnonzero(is_first)
        parent, word = np.divmod(keys[begins], vocab)
        raw = np.diff(begins, append=keys.size)
        suffix = node[at[begins] + 1]
        del keys
        node = np.full_like(node, -1)
        node[at] = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
        level = _Counts(parent.astype(np.int32), word.astype(np.int32), suffix, raw, level.bos[parent])
        yield level


def _smoothed(counts: Sequence[_Counts], cutoffs: Sequence[int], quiet: bool) -> list[Level]:
    """Probabilities of the n-grams that are not cut off, and weights of those that are contexts."""
    levels: list[Level] = []
    unsure = []  # orders whose discounts the text does not tell
    # Of the order below: probabilities, which n-grams are kept, their numbers among those.
    lower: Doubles = np.full(1, 1 / (counts[0].word.size - 1))
    kept_below: Bools = np.ones(1, bool)
    number: Ints = np.zeros(1, np.int64)
    for n, (level, cutoff) in enumerate(zip(counts, cutoffs, strict=True), 1):
        adjusted = _adjusted(level, counts[n].suffix if n < len(counts) else None)
        if n == 1:
            adjusted[BOS] = 0
        discounts = _discounts(adjusted)
        if discounts is None and level.word.size:
            unsure.append(n)
        kept = (level.raw > cutoff) | (n == 1)
        lower, weights = _interpolated(level, adjusted, discounts or FALLBACK, kept, lower)
        if n == 1:
            lower[BOS] = 10**ZERO
        else:
            levels[-1] = replace(levels[-1], backoff=np.log10(weights[kept_below]).astype(np.float32))
        log_probs = np.log10(lower[kept]).astype(np.float32)
        levels.append(Level(number[level.parent[kept]], level.word[kept], log_probs, np.zeros_like(log_probs)))
        kept_below, number = kept, np.cumsum(kept) - 1
    if unsure and not quiet:
        log.warning(
            "the text is too small to tell how much to discount %s: discounts are %g, %g and %g",
            ", ".join(f"{n}-grams" for n in unsure),
            *FALLBACK,
        )
    return levels


def _adjusted(level: _Counts, suffixes: Int32s | None) -> Ints:
    """(N,) c of each n-gram, of the suffixes of those one word longer; None for the highest order."""
    if suffixes is None:
        return level.raw.copy()
    return np.where(level.bos, level.raw, np.bincount(suffixes, minlength=level.word.size))


def _discounts(adjusted: Ints) -> tuple[float, float, float] | None:
    """D1, D2 and D3 of one order; None where too few n-grams have the counts they are found from."""
    t = np.bincount(np.minimum(adjusted, 5), minlength=6).tolist()
    if not all(t[1:4]):
        return None
    y = t[1] / (t[1] + 2 * t[2])
    d1, d2, d3 = (k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3))
    return (d1, d2, d3) if min(d1, d2, d3) > 0 else None


def _interpolated(
    level: _Counts, adjusted: Ints, discounts: tuple[float, float, float], kept: Bools, lower: Doubles
) -> tuple[Doubles, Doubles]:
    """Probabilities of n-grams, right for those that are kept, and back-off weights of the order below."""
    taken = np.array([0.0, *discounts])[np.minimum(adjusted, 3)]
    total = np.bincount(level.parent, adjusted, lower.size).astype(float)  # integers where there are no n-grams
    left = np.bincount(level.parent, np.where(kept, taken, adjusted), lower.size)
    weights = np.divide(left, total, out=np.ones_like(total), where=total > 0)
    return (adjusted - taken) / total[level.parent] + weights[level.parent] * lower[level.suffix], weights
