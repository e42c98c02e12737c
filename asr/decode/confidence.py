"""From the share of hypotheses that have a word to the chance that it is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_LEAST = 1e-4  # no share is surer
_FLATTEST = 0.05  # slope: the order of confidences stays
_RIDGE = 1.0  # how strongly few words leave confidences as they are
_LONGEST_STEP = 0.5

_Floats = npt.NDArray[np.float64]


def calibrated(shares: npt.ArrayLike, slope: float, offset: float) -> _Floats:
    """Shares (N,) in 0 to 1 -> chances: the logistic function of slope * log odds + offset.

    Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    found: _Floats = 1 / (1 + np.exp(-(slope * _log_odds(shares) + offset)))
    return found


def fit_calibration(shares: npt.ArrayLike, right: Sequence[bool] | npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset with which shares (N,) foretell best which words are right: logistic regression by Newton.

    They are drawn to 1 and 0, which change nothing, as strongly as a few words' worth.
    """
    odds, truth = _log_odds(shares), np.asarray(right, np.float64)
    across = np.stack([odds, np.ones_like(odds)], axis=1)  # (N, 2)
    start = np.array([1.0, 0.0])
    found = start.copy()
    for _ in range(100):
        chance = calibrated(shares, *found)
        gradient = across.T @ (chance - truth) + _RIDGE * (found - start)
        curvature = (across.T * (chance * (1 - chance))) @ across + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        found = found - step * min(1.0, _LONGEST_STEP / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    return round(max(_FLATTEST, float(found[0])), 4), round(float(found[1]), 4)


def _log_odds(shares: npt.ArrayLike) -> _Floats:
    held = np.clip(np.asarray(shares, np.float64), _LEAST, 1 - _LEAST)
    found: _Floats = np.log(held / (1 - held))
    return found
