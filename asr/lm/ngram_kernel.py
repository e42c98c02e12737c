"""Compiled loops of `asr.lm.ngram` and `asr.lm.compact`: the suffix links of a model's nodes, and its tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asr.utils.jit import jit_borrowing

Array = npt.NDArray[Any]
_LEAST = float(np.finfo(np.float32).min)


@jit_borrowing
def link_suffixes(word: Array, first: Array, backoff: Array, log_prob: Array, link: Array, begin: int) -> None:
    """Fills in `link`, and `log_prob` where it is NaN, of the children of node `begin` and all after it.

    Arrays are those of NgramModel; unigrams, the children of node 0, link to it.
    """
    for parent in range(begin, first.size - 1):
        for node in range(first[parent], first[parent + 1]):
            last = word[node]
            passed = float(backoff[parent])  # back-off weights on the way to the suffix
            context = link[parent]
            while True:
                low, end = first[context], first[context + 1]
                high = end
                while low < high:
                    middle = (low + high) // 2
                    if word[middle] < last:
                        low = middle + 1
                    else:
                        high = middle
                if context == 0 or (low < end and word[low] == last):  # the root's children are all words
                    break
                passed += backoff[context]
                context = link[context]
            is_state = first[low + 1] > first[low] or backoff[low] != 0
            link[node] = low if is_state else link[low]
            if np.isnan(log_prob[node]):  # positive back-off weights may lead above 1, which no probability is
                log_prob[node] = min(max(passed + log_prob[low], _LEAST), 0.0)


@jit_borrowing
def grow(children: Array, steps: Array, vocab: int, word: Array, first: Array, above: int, begin: int) -> Any:
    """Fills in `word` of an order's nodes, which begin at `begin`, and `first` of those `above`.

    Args:
        children: How many each node of one word less has.
        steps: From each node's word to the next one's of the same parent; the first one's from 0.

    Returns:
        Whether words are less than `vocab`, ascend, and children are as many as nodes.
    """
    node, end = begin, begin + steps.size
    for i in range(children.size):
        first[above + i] = node
        number = np.int64(0)
        if children[i] > end - node:
            return False
        for k in range(children[i]):
            step = np.int64(steps[node - begin])
            number += step
            if number >= vocab or (k and not step):
                return False
            word[node] = number
            node += 1
    return node == end


@jit_borrowing
def next_scores(
    states: Array, token: Array, word: Array, log_prob: Array, link: Array, first: Array, backoff: Array,
    scores: Array, following: Array,
) -> None:  # fmt: skip
    """Fills in scores (N, V), log10, of each token after each state (N,), and the nodes (N, V) it leads to.

    Args:
        token: Of each word of the model, the number of the token it is, or -1.
        Others: Arrays of NgramModel.
    """
    for n in range(len(states)):
        node, weight = states[n], 0.0
        following[n, :] = -1
        while True:
            for child in range(first[node], first[node + 1]):
                v = token[word[child]]
                if v >= 0 and following[n, v] < 0:
                    scores[n, v] = weight + log_prob[child]
                    following[n, v] = child
            if node == 0:
                break
            weight += backoff[node]
            node = link[node]
