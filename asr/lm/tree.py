"""N-gram models taken apart and put together: levels of n-grams, look-ups of many words, back-off weights.

Shapes: V words, N n-grams of one order or look-ups, M nodes and L inner nodes of a model (see `asr.lm.ngram`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from asr.lm.build import suffix_links
from asr.lm.ngram import NgramModel, level_bounds, parents_of, search_keys
from asr.utils.errors import InputError

Ints: TypeAlias = npt.NDArray[np.int64]
Int32s: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

ZERO = -99.0  # log10 of no probability at all, as ARPA files have it for <s>
_TINY = 1e-7  # float32 log probabilities do not sum up to 1 more exactly than that


@dataclass(frozen=True)
class Level:
    """The n-grams of one order, ascending by parent and word.

    Args:
        parent: (N,) number of the n-gram's first words within the level below; 0 of unigrams.
        word: (N,) last word.
        log_prob: (N,) log10.
        backoff: (N,) log10; of the highest order it means nothing.
    """

    parent: Ints
    word: Int32s
    log_prob: Floats
    backoff: Floats


def join_levels(words: list[str], levels: Sequence[Level]) -> NgramModel:
    """The model of n-grams, orders from 1 up; highest orders that are empty are left out.

    Every context of an n-gram has to be there, and <unk> among the words, whose ids are those of the unigrams.
    """
    levels = [level for i, level in enumerate(levels) if i == 0 or any(higher.word.size for higher in levels[i:])]
    sizes = [1, *(level.word.size for level in levels)]
    bases = np.cumsum([0, *sizes])
    if bases[-1] > np.iinfo(np.int32).max:
        raise InputError(f"{bases[-1] - 1:,} n-grams are more than 2^31", remedy="cut rare ones off")
    inner = int(bases[-2])
    parents = np.concatenate([[0], *(base + level.parent for base, level in zip(bases, levels, strict=False))])
    word = np.concatenate([np.array([-1], np.int32), *(level.word for level in levels)])
    log_prob = np.concatenate([np.zeros(1, np.float32), *(level.log_prob for level in levels)])
    backoff = np.concatenate([np.zeros(1, np.float32), *(level.backoff for level in levels[:-1])])
    first = np.append(0, np.cumsum(np.bincount(parents[1:], minlength=inner))).astype(np.int32) + np.int32(1)
    link = suffix_links(word, first, backoff, log_prob)
    return NgramModel(len(levels), words, word, log_prob, link, first, backoff)


def split_levels(model: NgramModel) -> list[Level]:
    """The n-grams of a model, orders from 1 up."""
    parents = np.append(0, parents_of(model.first))
    backoff = np.append(model.backoff, np.zeros(model.word.size - model.backoff.size, np.float32))
    levels, below = [], 0
    for begin, end in level_bounds(model.first, model.order):
        here = slice(begin, end)
        levels.append(Level(parents[here] - below, model.word[here], model.log_prob[here], backoff[here]))
        below = begin
    return levels


def look_up(model: NgramModel, states: Ints, words: npt.NDArray[np.integer]) -> tuple[Doubles, Ints]:
    """(N,) log10 probabilities of words after states, and (N,) nodes of the n-grams that they are from."""
    vocab = len(model.words)
    context, passed = states.astype(np.int64), np.zeros(states.size)
    node = 1 + words.astype(np.int64)
    left = np.flatnonzero(context)  # the root has every word
    while left.size:
        child = search_keys(model.keys, context[left] * vocab + words[left])
        found = child >= 0
        node[left[found]] = 1 + child[found]
        left = left[~found]
        passed[left] += model.backoff[context[left]]
        context[left] = model.link[context[left]]
        left = left[context[left] > 0]
    return passed + model.log_prob[node], node


def states_after(model: NgramModel, nodes: Ints) -> Ints:
    """(N,) the states after words that were found at `nodes`: the node itself, or the longest suffix that is one."""
    stays = nodes < model.backoff.size
    stays[stays] = model.is_state[nodes[stays]]
    return np.where(stays, nodes, model.link[nodes])


def backed_off(model: NgramModel, begin: int, end: int) -> tuple[Doubles, Ints]:
    """(end - begin,) log10 probability of each node's last word after its context without the first word, and whence.

    Only weights of orders below that of the nodes' contexts are used.
    """
    context = parents_of(model.first)[begin - 1 : end - 1]
    return look_up(model, model.link[context].astype(np.int64), model.word[begin:end])


def leftovers(model: NgramModel, begin: int, end: int) -> tuple[Doubles, Doubles]:
    """What the words that do not follow a context as n-grams have of probability, for nodes `begin` to `end` - 1.

    Returns:
        (end - begin,) after the context, and (end - begin,) after the context without its first word, both at least
        1e-7. Their quotient is the back-off weight.
    """
    low, high = int(model.first[begin]), int(model.first[end])
    parent = np.repeat(np.arange(end - begin), np.diff(model.first[begin : end + 1]))
    here = np.bincount(parent, np.power(10.0, model.log_prob[low:high].astype(float)), end - begin)
    below = np.bincount(parent, np.power(10.0, backed_off(model, low, high)[0]), end - begin)
    return np.maximum(1 - here, _TINY), np.maximum(1 - below, _TINY)


def normalized(words: list[str], levels: Sequence[Level]) -> NgramModel:
    """As `join_levels`, with back-off weights that let the words after each context sum up to 1."""
    plain = join_levels(words, [replace(level, backoff=np.zeros_like(level.log_prob)) for level in levels])
    backoff = np.zeros_like(plain.backoff)
    for begin, end in level_bounds(plain.first, plain.order - 1):
        left, below = leftovers(plain, begin, end)
        backoff[begin:end] = np.where(np.diff(plain.first[begin : end + 1]), np.log10(left / below), 0)
        plain = replace(plain, backoff=backoff.copy())
    return plain
