"""Where words begin and end, by the energy around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LEVEL = 0.01  # seconds of a level
_REACH = 0.5  # seconds that a word may go on beyond the tokens that are heard of it
_QUIET = 0.15  # of the way from background to speech, in dB: what lies under it is a pause
_PAUSE = 0.05  # seconds of it, at least
_FAINT = 15  # levels that the end of a word may lie in quiet

Floats = npt.NDArray[np.float32]


def edges_by_energy(spans: Sequence[tuple[float, float]], levels: Floats) -> list[tuple[float, float]]:
    """Moves the edges of words from where CTC hears their tokens to where sound begins and ends.

    Between two words, the longest pause is what parts them, if there is one; else where it is least loud.

    Args:
        spans: Seconds from the first to the last token of each word, in order.
        levels: Of each 10 ms, dB.
    """
    if not len(levels) or not spans:
        return list(spans)
    said = [levels[round(start / LEVEL) : round(end / LEVEL) + 1] for start, end in spans]
    loud = np.concatenate(said)
    low, high = np.percentile(levels, 10), np.percentile(loud if len(loud) else levels, 95)
    quiet = levels < low + _QUIET * (high - low)
    reach = round(_REACH / LEVEL)
    frames = [_loud_part(quiet, round(start / LEVEL), round(end / LEVEL)) for start, end in spans]
    starts, ends = [], []
    for n, (start, end) in enumerate(frames):
        if not n:
            starts.append(_last_quiet(quiet, max(0, start - reach), start))
        if n + 1 == len(frames):
            ends.append(_first_quiet(quiet, end, min(len(quiet), end + reach)))
            break
        following = max(frames[n + 1][0], end)
        pause = _pause(quiet, end, following)
        if pause is None and following - end > 2 * reach:  # something else is between them
            pause = (_quietest(levels, end, end + reach), _quietest(levels, following - reach, following))
        ends.append(_quietest(levels, end, following) if pause is None else pause[0])
        starts.append(ends[-1] if pause is None else pause[1])
    return [(start * LEVEL, max(end, start) * LEVEL) for start, end in zip(starts, ends, strict=True)]


def _loud_part(quiet: npt.NDArray[np.bool_], begin: int, end: int) -> tuple[int, int]:
    """A span without the quiet at its beginning, and the long one at its end: CTC may hear a token before or after it
    is said, and words end faintly. All of it where all is quiet."""
    loud = np.flatnonzero(~quiet[begin:end])
    if not len(loud):
        return begin, end
    last = begin + int(loud[-1]) + 1
    return begin + int(loud[0]), last if end - last > _FAINT else end


def _pause(quiet: npt.NDArray[np.bool_], begin: int, end: int) -> tuple[int, int] | None:
    """The longest run of quiet frames, if it is long enough; with others up to those of half its length, between which
    there is something else."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet[begin:end], [False]])))
    lengths = edges[1::2] - edges[::2]
    if not len(lengths) or lengths.max() < round(_PAUSE / LEVEL):
        return None
    long = np.flatnonzero(lengths >= lengths.max() / 2)
    return begin + int(edges[2 * long[0]]), begin + int(edges[2 * long[-1] + 1])


def _quietest(levels: Floats, begin: int, end: int) -> int:
    """The frame that is least loud, from `begin` to before `end`."""
    part = levels[begin:end]
    return begin + int(part.argmin()) if len(part) else begin


def _last_quiet(quiet: npt.NDArray[np.bool_], begin: int, end: int) -> int:
    """Behind the last quiet frame before `end`; `begin` where there is none."""
    found = np.flatnonzero(quiet[begin:end])
    return begin + int(found[-1]) + 1 if len(found) else begin


def _first_quiet(quiet: npt.NDArray[np.bool_], begin: int, end: int) -> int:
    """The first quiet frame from `begin`; `end` where there is none."""
    found = np.flatnonzero(quiet[begin:end])
    return begin + int(found[0]) if len(found) else end
