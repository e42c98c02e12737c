"""Entropy pruning: the n-grams that a model can do without are left out.

Stolcke, "Entropy-based Pruning of Backoff Language Models" (1998), as in SRILM. For the n-gram of the context h and the
word w, h' being h without its first word, leaving it out changes the back-off weight of h from bow to bow*, and the
model's entropy by

    -p(h) { p(w | h) [log p(w | h') + log bow* - log p(w | h)] + (log bow* - log bow) (1 - sum of listed p(. | h)) }

natural logarithms; exp of it minus 1 is the relative change of perplexity. p(h) is what the model itself gives, p(</s>)
standing for p(<s>). Changes are found one by one in the whole model. An n-gram that longer ones begin with stays as
long as one of them does.

Shapes: M nodes of a model, L that are no n-gram of the highest order.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from asr.lm.ngram import NgramModel, level_bounds, parents_of
from asr.lm.tree import Bools, Doubles, Level, backed_off, leftovers, normalized, split_levels


def perplexity_changes(model: NgramModel) -> Doubles:
    """(M,) how much perplexity rises, relatively, where a node and all that follow it are left out, one by one.

    The greatest change of them counts. Infinite for the root and unigrams, which always stay.
    """
    changes = np.full(model.word.size, np.inf)
    joint = _joint_log_probs(model)
    bounds = level_bounds(model.first, model.order)
    for begin, end in bounds[:-1]:
        low, high = int(model.first[begin]), int(model.first[end])
        context = np.repeat(np.arange(end - begin), np.diff(model.first[begin : end + 1]))
        left, below = leftovers(model, begin, end)
        log_p = np.log(10) * model.log_prob[low:high].astype(float)
        log_lower = np.log(10) * backed_off(model, low, high)
        p = np.exp(log_p)
        log_bow = np.log(left / below)[context]
        log_new_bow = np.log((left[context] + p) / (below[context] + np.exp(log_lower)))
        rise = -(p * (log_lower + log_new_bow - log_p) + (log_new_bow - log_bow) * left[context])
        changes[low:high] = np.expm1(np.exp(joint[begin:end])[context] * rise)
    parents = np.append(0, parents_of(model.first))
    for begin, end in reversed(bounds[1:]):
        np.maximum.at(changes, parents[begin:end], changes[begin:end])
    return changes


def prune(model: NgramModel, threshold: float, changes: Doubles | None = None) -> NgramModel:
    """The model without n-grams whose absence raises perplexity by less than `threshold`, relatively.

    Back-off weights are found anew, so that probabilities sum up to 1.

    Args:
        threshold: 1e-9 takes little of a large model, 1e-7 most of it.
        changes: Those of `perplexity_changes`, where they are known.
    """
    kept = (perplexity_changes(model) if changes is None else changes) >= threshold
    number = np.cumsum(kept) - 1  # among all that are kept
    levels, below = [], 0
    for level, (begin, end) in zip(split_levels(model), level_bounds(model.first, model.order), strict=True):
        keep = kept[begin:end]
        parent = number[below + level.parent[keep]] - number[below]
        levels.append(Level(parent, level.word[keep], level.log_prob[keep], level.backoff[keep]))
        below = begin
    return normalized(model.words, levels)


def threshold_for(changes: Doubles, ngrams: int) -> float:
    """The threshold that leaves at most `ngrams` n-grams, and all unigrams."""
    finite = changes[np.isfinite(changes)]
    excess = changes.size - 1 - ngrams
    if excess <= 0:
        return 0.0
    excess = min(excess, finite.size)
    return float(np.nextafter(np.partition(finite, excess - 1)[excess - 1], np.inf))


def _joint_log_probs(model: NgramModel) -> Doubles:
    """(L,) natural log of the probability of each context."""
    log_prob = model.log_prob[: model.backoff.size].astype(float) * np.log(10)
    if model.bos >= 0 and model.eos >= 0:
        log_prob[1 + model.bos] = log_prob[1 + model.eos]
    parents = parents_of(model.first)
    for begin, end in level_bounds(model.first, model.order - 1)[1:]:
        log_prob[begin:end] += log_prob[parents[begin - 1 : end - 1]]
    return log_prob
