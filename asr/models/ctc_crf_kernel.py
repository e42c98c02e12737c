"""Compiled loops of `asr.models.ctc_crf`: the sum over all paths, and how often each token is met on them.

Shapes: T frames, K tokens without the blank, A histories that matter before the last token (1, or K + 1), V = K + 1.

A state is what was said (two tokens, or one) and whether the last frame was a blank. Numbers are scaled in each frame
so that the states' forward probabilities sum up to 1 (Rabiner 1989).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asr.utils.jit import jit, jit_borrowing, jit_reordering

Array = npt.NDArray[Any]
TINY = np.float32(1e-30)


@jit_reordering
def _dot(a: Array, b: Array) -> Any:
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@jit_borrowing
def _forward(probs: Array, trans: Array, said: Array, silent: Array) -> Any:
    """Fills said and silent (T + 1, A, V) with scaled forward probabilities, and returns the logarithm of their sums'
    product: states end in a token, or in a blank behind it."""
    n_frames, width, n_tokens = len(probs), trans.shape[0], trans.shape[1]
    total = 0.0
    said[0] = 0
    silent[0] = 0
    silent[0, 0, 0] = 1
    for t in range(n_frames):
        before, quiet, after, hushed = said[t], silent[t], said[t + 1], silent[t + 1]
        blank = probs[t, 0]
        after[:] = 0
        for b in range(n_tokens):
            row = after[b if width > 1 else 0]
            for a in range(width):
                weight = quiet[a, b] + before[a, b]
                hushed[a, b] = blank * weight
                if weight > TINY:
                    again = row[b] + quiet[a, b] * trans[a, b, b]  # the same token needs a blank between
                    following = trans[a, b]
                    for v in range(1, n_tokens):  # 0 stands for the start, to which nothing leads
                        row[v] += weight * following[v]
                    row[b] = again
        scale = np.float32(0)
        for b in range(width):
            scale += hushed[b, 0]
            for v in range(1, n_tokens):
                after[b, v] = probs[t, v] * (after[b, v] + before[b, v])
                scale += after[b, v] + hushed[b, v]
        if not scale > 0:
            return -np.inf
        inverse = np.float32(1) / scale
        for b in range(width):
            for v in range(n_tokens):
                after[b, v] *= inverse
                hushed[b, v] *= inverse
        total += np.log(scale)
    return total


@jit_borrowing
def _backward(
    probs: Array, trans: Array, end: Array, said: Array, silent: Array, occupancy: Array, work: Array
) -> None:
    """Fills occupancy (T, V): how likely each token is in each frame, given that a path was taken.

    Args:
        said, silent: (T + 1, A, V), of `_forward`.
        work: (4, A, V), of any content.
    """
    n_frames, width, n_tokens = len(probs), trans.shape[0], trans.shape[1]
    token, blank, earlier, hushed = work[0], work[1], work[2], work[3]
    for a in range(width):
        for b in range(n_tokens):
            token[a, b] = blank[a, b] = end[a, b]
    for t in range(n_frames - 1, -1, -1):
        total = np.float32(0)
        occupancy[t] = 0
        for a in range(width):
            for b in range(n_tokens):
                met, quiet = said[t + 1, a, b] * token[a, b], silent[t + 1, a, b] * blank[a, b]
                occupancy[t, b] += met
                occupancy[t, 0] += quiet
                total += met + quiet
        for v in range(n_tokens):
            occupancy[t, v] /= total
        for a in range(width):
            token[a, 0] = 0
            for v in range(1, n_tokens):
                token[a, v] *= probs[t, v]
        quiet = probs[t, 0]
        largest = np.float32(0)
        for b in range(n_tokens):
            following = token[b if width > 1 else 0]
            for a in range(width):
                if said[t, a, b] + silent[t, a, b] > 0:
                    hushed[a, b] = quiet * blank[a, b] + _dot(trans[a, b], following)
                    earlier[a, b] = hushed[a, b] - trans[a, b, b] * following[b] + token[a, b]
                    largest = max(largest, hushed[a, b], earlier[a, b])
                else:
                    hushed[a, b] = 0
                    earlier[a, b] = 0
        for a in range(width):
            for b in range(n_tokens):
                token[a, b] = earlier[a, b] / largest
                blank[a, b] = hushed[a, b] / largest


@jit
def partition(probs: Array, trans: Array, end: Array, occupancy: Array) -> Any:
    """log Z of one utterance; fills `occupancy` (T, V).

    Args:
        probs: (T, V), of the blank (0) and the tokens.
        trans: (A, V, V), of a token after the history (a, b); 0 as b and a is the start.
        end: (A, V), of the end after it.
    """
    n_frames, width, n_tokens = len(probs), trans.shape[0], trans.shape[1]
    said = np.empty((n_frames + 1, width, n_tokens), np.float32)
    silent = np.empty((n_frames + 1, width, n_tokens), np.float32)
    total = _forward(probs, trans, said, silent)
    if not total > -np.inf:  # nothing can be said, or NaN
        occupancy[:] = 0
        return total
    last = np.float32(0)
    for a in range(width):
        for b in range(n_tokens):
            last += (said[n_frames, a, b] + silent[n_frames, a, b]) * end[a, b]
    _backward(probs, trans, end, said, silent, occupancy, np.empty((4, width, n_tokens), np.float32))
    return total + np.log(last)
