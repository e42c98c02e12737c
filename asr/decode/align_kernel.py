"""The compiled loop of `asr.decode.align`. T frames, V tokens, U tokens of the text."""

from __future__ import annotations

from typing import Any

import numpy as np

from asr.utils.jit import jit

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
