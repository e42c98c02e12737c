"""Several channels -> one: their mean, but for what would spoil it.

A channel that hums (a cable without a microphone, a film's time code) is left out where another one speaks; where
channels cancel each other, as of a miswired cable, the loudest is taken alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from asr.audio.faults import tell_once

_WINDOW = 4.0  # seconds that are judged together
_FRAME = 0.05  # seconds
_STEADY, _LIVELY = 6.0, 10.0  # dB from a channel's quiet frames to its loud ones: at most in a hum, at least in speech
_MATTERS = 20.0  # dB: what is quieter than speech by more does no harm
_CANCELLED = 0.5  # of the power of channels that have nothing to do with each other is left
_NOTHING = 1e-6  # power (-60 dB) that nobody misses


def mixed(blocks: Iterable[npt.NDArray[np.float32]], rate: int, name: str) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks (n, channels) -> mono blocks; what is no plain mean is told. How long the blocks are changes nothing."""
    hums: set[int] = set()
    for window in _windows(blocks, round(_WINDOW * rate)):
        hums = _hums(window, rate, hums)
        kept = window
        if 0 < len(hums) < window.shape[1]:
            named = " and ".join(map(str, sorted(hums)))
            tell_once(f"{name}: channel {named} is a steady sound (a hum, a time code), and left out of the mix")
            kept = np.delete(window, sorted(hums), axis=1)
        yield _mean(kept, name)


def _windows(blocks: Iterable[npt.NDArray[np.float32]], size: int) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks joined to windows of a size; the last is up to twice as long, so that none is too short to be judged."""
    waiting: list[npt.NDArray[np.float32]] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        if count >= 2 * size:
            joined = np.concatenate(waiting)
            ends = range(size, count - size + 1, size)
            yield from (joined[end - size : end] for end in ends)
            waiting = [joined[ends[-1] :]]
            count -= ends[-1]
    if count:
        yield np.concatenate(waiting)


def _hums(window: npt.NDArray[np.float32], rate: int, before: set[int]) -> set[int]:
    """The channels that hum: beside one that speaks, or as they did `before`."""
    size = round(_FRAME * rate)
    count = len(window) // size
    if count < 1 / _FRAME / 4:
        return before
    frames = (window - window.mean(axis=0))[: count * size].reshape(count, size, -1)  # (frames, samples, channels)
    levels = 10 * np.log10(np.einsum("tsc,tsc->tc", frames, frames, dtype=np.float64) / size + 1e-12)
    quiet, usual, loud = np.percentile(levels, [10, 50, 90], axis=0)
    steady, lively = loud - quiet < _STEADY, loud - quiet > _LIVELY
    speech = loud[lively].max() if lively.any() else np.inf
    return {int(c) for c in np.flatnonzero(steady) if usual[c] > speech - _MATTERS or c in before}


def _mean(window: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    mean: npt.NDArray[np.float32] = window.mean(axis=1, dtype=np.float32)
    powers, power = window.var(axis=0, dtype=np.float64), mean.var(dtype=np.float64)
    if power < _CANCELLED * powers.sum() / window.shape[1] ** 2:
        if powers.max() > _NOTHING:
            tell_once(f"{name}: its channels cancel each other (a miswired cable?): the loudest is read alone")
        return window[:, int(powers.argmax())]
    return mean
