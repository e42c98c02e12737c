"""Forced alignment: when was each token said, where the text is known? T frames, V tokens, U tokens of the text.

The best path of CTC that reads as the text (Graves et al. 2006), by Viterbi's algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asr.utils.jit import warm_up


class Span(NamedTuple):
    """Where a token stands on the best path."""

    start: int  # its first frame
    end: int  # the one after its last
    log_prob: float  # the greatest of its frames'


def align_tokens(log_probs: npt.NDArray[np.floating], tokens: Sequence[int]) -> list[Span] | None:
    """The spans of tokens on the best path; None where there are too few frames for them.

    Args:
        log_probs: (T, V), natural logarithms, blank first.
        tokens: Numbers from 1.
    """
    from asr.decode import kernels

    x, said = np.ascontiguousarray(log_probs, np.float32), np.asarray(tokens, np.int64)
    warm_up("alignment", kernels.viterbi, lambda: kernels.viterbi(np.zeros((1, 2), np.float32), np.ones(1, np.int64)))
    states = kernels.viterbi(x, said)  # (T,): 2 u + 1 is token u, what is even a blank
    if not len(states) and (len(said) or len(x)):
        return None
    spans = []
    for u, token in enumerate(said.tolist()):
        frames = np.flatnonzero(states == 2 * u + 1)
        spans.append(Span(int(frames[0]), int(frames[-1]) + 1, float(x[frames, token].max())))
    return spans
