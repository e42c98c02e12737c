"""The compiled loop of `asr.decode.ctc_prefix`. B utterances, K beginnings, T frames, V tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from asr.utils.jit import jit, jit_borrowing

Array = Any


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
