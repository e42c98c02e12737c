from __future__ import annotations

import numpy as np
import pytest

from asr.decode.confidence import calibrated, fit_calibration


def planted(slope: float, offset: float, size: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Shares, and words that are right as often as the calibration says."""
    rng = np.random.default_rng(0)
    shares = rng.beta(3, 1, size)
    return shares, rng.random(size) < calibrated(shares, slope, offset)


@pytest.mark.parametrize(("slope", "offset"), [(0.4, -0.3), (1.0, 0.0), (2.5, 1.0), (0.2, 2.0)])
def test_a_planted_calibration_is_found(slope: float, offset: float) -> None:
    shares, right = planted(slope, offset)
    assert fit_calibration(shares, right) == pytest.approx((slope, offset), abs=0.08)


def test_chances_are_in_the_order_of_shares() -> None:
    shares = np.linspace(0, 1, 101)
    for slope, offset in ((0.05, 0.0), (0.4, -3.0), (3.0, 1.0)):
        chances = calibrated(shares, slope, offset)
        assert (np.diff(chances) >= 0).all()
        assert chances[0] > 0
        assert chances[-1] < 1
    assert calibrated(shares[1:-1], 1.0, 0.0) == pytest.approx(shares[1:-1])


def test_few_words_change_little() -> None:
    assert fit_calibration([], []) == (1.0, 0.0)
    slope, offset = fit_calibration([0.9, 0.99], [True, True])
    assert 0.9 < slope < 1.5
    assert 0 < offset < 0.5


def test_an_order_is_never_turned_round() -> None:
    shares, right = planted(1.0, 0.0)
    slope, _ = fit_calibration(shares, ~right)  # the surer, the more often wrong
    assert slope > 0
