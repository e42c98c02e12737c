"""Entropy pruning: the n-grams that a model can do without are left out.

Stolcke, "Entropy-based Pruning of Backoff Language Models" (1998). For the n-gram of the context h and the word w, h'
being h without its first word, leaving it out changes the back-off weight of h from bow to bow*, and the model's
entropy by

    -p(h) { p(w | h) [log p(w | h') + log bow* - log p(w | h)] + (log bow* - log bow) (1 - sum of listed p(. | h)) }

natural logarithms; exp of it minus 1 is the relative change of perplexity. Changes are found one by one in the whole
model. An n-gram that longer ones begin or end with stays as long as one of them does: KenLM refuses models without.

p(h) is how often h comes up in text that the model itself makes. SRILM takes the product of p over the words of h; in a
Kneser-Ney model that is far from how often they come up, for its lower orders only say what follows contexts that were
not seen (Chelba et al., "Study on Interaction between Entropy Pruning and Kneser-Ney Smoothing", 2010).

Shapes: M nodes of a model, L that are no n-gram of the highest order.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np

from asr.lm.ngram import NgramModel, level_bounds, parents_of
from asr.lm.tree import Doubles, Ints, Level, backed_off, leftovers, normalized, split_levels, states_after
from asr.utils.errors import InputError

log = logging.getLogger(__name__)

_ROUNDS = 20  # words that text is followed for; it is the same after about ten
_SETTLED = 1e-3  # what probabilities of contexts may still change by, summed
_TRIES = 6  # of a number of n-grams, for a size
_EACH = 10.0  # bytes of an n-gram, guessed: a little less than the first try needs
_FULL = 0.97
_CAUTION = 1.01  # n-grams of higher orders, which are the first to go, need less than others


def perplexity_changes(model: NgramModel, contexts: Doubles | None = None) -> Doubles:
    """(M,) how much perplexity rises, relatively, if a node is left out, or one that needs it: the greatest rise.

    Infinite for the root and unigrams, which always stay.

    Args:
        contexts: (L,) probability of each node as a context, instead of `context_probs(model)`.
    """
    contexts = context_probs(model) if contexts is None else contexts
    changes = np.full(model.word.size, np.inf)
    lower = np.zeros(model.word.size, np.int64)  # what each node backs off to
    bounds = level_bounds(model.first, model.order)
    for begin, end in bounds[:-1]:
        low, high = int(model.first[begin]), int(model.first[end])
        children = np.diff(model.first[begin : end + 1])
        left, below = (np.repeat(mass, children) for mass in leftovers(model, begin, end))
        log_p = np.log(10) * model.log_prob[low:high].astype(float)
        log_lower, lower[low:high] = backed_off(model, low, high)
        log_lower *= np.log(10)
        p = np.exp(log_p)
        log_bow = np.log(left / below)
        log_new_bow = np.log((left + p) / (below + np.exp(log_lower)))
        rise = -(p * (log_lower + log_new_bow - log_p) + (log_new_bow - log_bow) * left)
        changes[low:high] = np.expm1(np.repeat(contexts[begin:end], children) * rise)
    parents = np.append(0, parents_of(model.first))
    for begin, end in reversed(bounds[1:]):
        for needed in (parents, lower):
            np.maximum.at(changes, needed[begin:end], changes[begin:end])
    return changes


def prune(model: NgramModel, threshold: float, changes: Doubles | None = None) -> NgramModel:
    """The model without n-grams whose absence raises perplexity by less than `threshold`, relatively.

    Back-off weights are found anew, so that probabilities sum up to 1.

    Args:
        threshold: Of a large model, 2e-8 takes half of the n-grams, 1e-7 most of them.
        changes: (M,) those of `perplexity_changes`, where they are known.
    """
    kept = (perplexity_changes(model) if changes is None else changes) >= threshold
    number = np.append(0, np.cumsum(kept))  # how many before each node are kept
    levels, below = [], 0
    for level, (begin, end) in zip(split_levels(model), level_bounds(model.first, model.order), strict=True):
        keep = kept[begin:end]
        parent = number[below + level.parent[keep]] - number[below]
        levels.append(Level(parent, level.word[keep], level.log_prob[keep], level.backoff[keep]))
        below = begin
    return normalized(model.words, levels)


def threshold_for(changes: Doubles, ngrams: int) -> float:
    """The least threshold that leaves at most `ngrams` n-grams, or unigrams alone.

    Args:
        changes: (M,) those of `perplexity_changes`.
    """
    finite = changes[np.isfinite(changes)]
    excess = min(changes.size - 1 - ngrams, finite.size)
    if excess <= 0:
        return 0.0
    return float(np.nextafter(np.partition(finite, excess - 1)[excess - 1], np.inf))


def shrink(model: NgramModel, limit: int, size: Callable[[NgramModel], int]) -> NgramModel:
    """The model pruned as little as a size allows; itself where it fits.

    Args:
        limit: What `size` may be, in bytes. It is used to at least 97 % where the n-grams allow it.
        size: Bytes of a model as it is going to be written.

    Raises:
        InputError: The words alone need more.
    """
    changes = perplexity_changes(model)
    every, fewest = model.word.size - 1, len(model.words)
    best = prune(model, math.inf, changes)
    least = size(best)
    if least > limit:
        raise InputError(
            f"the {fewest:,} words alone need {least:,} bytes, {limit:,} are wanted", remedy="take a smaller vocabulary"
        )
    each = _EACH  # bytes of an n-gram, as found so far
    for _ in range(_TRIES):
        ngrams = min(every, fewest + int((limit - least) / each))
        tried = prune(model, threshold_for(changes, ngrams), changes) if ngrams < every else model
        needed = size(tried)
        log.debug("%s n-grams need %s bytes", f"{tried.word.size - 1:,}", f"{needed:,}")
        if needed <= limit and tried.word.size >= best.word.size:
            best = tried
            if ngrams == every or needed >= _FULL * limit:
                break
        if tried.word.size - 1 == fewest:
            break
        each = _CAUTION * (needed - least) / (tried.word.size - 1 - fewest)
    return best


def context_probs(model: NgramModel) -> Doubles:
    """(L,) how likely the last words of text that the model makes are each node's.

    Sentences follow each other. The probabilities of the model's states are followed from word to word, all states at
    once, until they change no more: from a state goes its listed words' share to the states after them, the rest to the
    state that it backs off to, without what would come to listed words there.
    """
    size, inner = model.word.size, model.backoff.size
    levels = level_bounds(model.first, model.order)[:-1]
    probs = np.power(10.0, model.log_prob.astype(float))
    probs[0] = 0
    if model.bos >= 0:
        probs[1 + model.bos] = 0  # some programs write 1
    weights = np.power(10.0, model.backoff.astype(float))
    parents = np.append(0, parents_of(model.first))
    longer = slice(1 + len(model.words), size)  # nodes that are not unigrams
    log_lower, lower = backed_off(model, longer.start, size)
    shadow = weights[parents[longer]] * np.power(10.0, log_lower)  # what of a listed word would be backed off to
    after = states_after(model, np.arange(size))
    after[model.word == model.eos] = model.start
    mass = _chained(model, probs, parents)
    for _ in range(_ROUNDS):
        used = mass.copy()  # probability that a word is looked up at a node
        for begin, end in reversed(levels):
            np.add.at(used, model.link[begin:end], used[begin:end] * weights[begin:end])
        flow = used[parents] * probs
        flow -= np.bincount(lower, used[parents[longer]] * shadow, size)
        new = np.bincount(after, np.maximum(flow, 0), inner).astype(float)
        new /= new.sum()
        change = np.abs(new - mass).sum()
        mass = new
        if change < _SETTLED:
            break
    for begin, end in reversed(levels):  # who ends in a long context ends in its suffixes
        np.add.at(mass, model.link[begin:end], mass[begin:end])
    return mass


def _chained(model: NgramModel, probs: Doubles, parents: Ints) -> Doubles:
    """(L,) product of the probabilities of each node's words, </s> for <s>; their sum is 1."""
    chained = probs[: model.backoff.size].copy()
    if model.order > 1 and model.bos >= 0 and model.eos >= 0:
        chained[1 + model.bos] = chained[1 + model.eos]
    for begin, end in level_bounds(model.first, model.order - 1)[1:]:
        chained[begin:end] *= chained[parents[begin:end]]
    chained[0] = chained.sum() == 0
    normal: Doubles = chained / chained.sum()
    return normal
