"""Compiled loop of `asr.lm.ngram`: the suffix links of a model's nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asr.numba_cache import jit_borrowing

Array = npt.NDArray[Any]
_LEAST = float(np.finfo(np.float32).min)


@jit_borrowing
def link_suffixes(
    parents: Array, word: Array, first: Array, backoff: Array, log_prob: Array, link: Array, begin: int
) -> None:
    """Fills in `link`, and `log_prob` where it is NaN, from node `begin` on, the first 2-gram. Arrays: NgramModel's."""
    for node in range(begin, word.size):
        last = word[node]
        passed = float(backoff[parents[node]])  # back-off weights on the way to the suffix
        context = link[parents[node]]
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
