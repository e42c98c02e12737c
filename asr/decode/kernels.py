"""The compiled loops of `asr.decode.align` and `asr.decode.ctc_prefix`.

B utterances, K beginnings, T frames, V tokens, U tokens of the text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from asr.utils.jit import jit, jit_borrowing

Array = Any


@jit
def viterbi(log_probs: Array, tokens: Array) -> Array:
    """The states (T,) of the best path, of 2 U + 1: blanks, between them the tokens; none where there is no path."""
    n_frames, n_states = len(log_probs), 2 * len(tokens) + 1
    score = np.full(n_states, -np.inf)
    came = np.zeros((n_frames, n_states), np.int8)  # from how many states before
    for t in range(n_frames):
        least = max(0, n_states - 2 * (n_frames - t))  # from which the end can still be reached
        for s in range(min(n_states - 1, 2 * t + 1), least - 1, -1):  # downwards: those before are of the last frame
            best, step = score[s], 0
            if t == 0:
                best = 0.0
            else:
                if s > 0 and score[s - 1] > best:
                    best, step = score[s - 1], 1
                if s > 1 and s % 2 == 1 and tokens[s // 2] != tokens[s // 2 - 1] and score[s - 2] > best:
                    best, step = score[s - 2], 2
            score[s] = best + log_probs[t, tokens[s // 2] if s % 2 == 1 else 0]
            came[t, s] = step
        for s in range(least):
            score[s] = -np.inf
    state = n_states - 1
    if n_states > 1 and score[n_states - 2] > score[n_states - 1]:
        state = n_states - 2
    if n_frames == 0 or score[state] == -np.inf:
        return np.zeros(0, np.int64)
    states = np.zeros(n_frames, np.int64)
    for t in range(n_frames - 1, -1, -1):
        states[t] = state
        state -= came[t, state]
    return states


@jit_borrowing
def _log_add(a: float, b: float) -> float:
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + np.log1p(np.exp(b - a))


@jit
def extend(log_probs: Array, phi: Array, tokens: Array, forward: Array) -> None:
    """Fills forward (B, K, T, 2) of beginnings that got a token more (B, K), phi (B, K, T) being what was before it."""
    for b in range(len(phi)):
        for k in range(phi.shape[1]):
            said, silent = -np.inf, -np.inf
            for t in range(phi.shape[2]):
                now = _log_add(said, phi[b, k, t]) + log_probs[b, t, tokens[b, k]]
                silent = _log_add(said, silent) + log_probs[b, t, 0]
                said = now
                forward[b, k, t, 0] = said
                forward[b, k, t, 1] = silent
