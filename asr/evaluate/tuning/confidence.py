"""Temperature and calibration of confidences, found on a dev set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from asr.data.transcript import Hypothesis
from asr.decode.confidence import calibrated, fit_calibration
from asr.evaluate.tuning.coordinates import KeptNumbers
from asr.evaluate.wer import correct_words
from asr.models.decoding_options import DecodingOptions

TEMPERATURES = tuple(float(t) for t in np.round(np.geomspace(0.5, 20.0, 17), 2))


def true_confidences(
    decode: Callable[[DecodingOptions], list[Hypothesis]],
    options: DecodingOptions,
    references: Sequence[str],
    kept: KeptNumbers,
) -> tuple[DecodingOptions, tuple[float, float]]:
    """Temperature and calibration with which confidences tell best which words are right.

    Least cross-entropy, nats a word: what it is without either, and with those found.
    """
    plain = replace(options, temperature=1.0, calibration=(1.0, 0.0))
    found = decode(plain)  # the words are the same at any temperature
    right = _right(references, found)
    entropy = {plain: _entropy(_shares(found), right)}

    def calibrate(tried: DecodingOptions) -> list[float]:
        shares = _shares(decode(tried))
        fitted = fit_calibration(shares, right)
        return [*fitted, _entropy(calibrated(shares, *fitted), right)]

    for temperature in TEMPERATURES:
        tried = replace(plain, temperature=temperature)
        scale, shift, least = kept.get("calibration", tried, partial(calibrate, tried))
        entropy[replace(tried, calibration=(scale, shift))] = least
    best = min(entropy, key=lambda o: entropy[o])
    return best, (entropy[plain], entropy[best])


def cross_entropy(found: Sequence[Hypothesis], references: Sequence[str]) -> float:
    """Of words' confidences as they come with which words are right, nats a word."""
    return _entropy(_shares(found), _right(references, found))


def _right(references: Sequence[str], found: Sequence[Hypothesis]) -> npt.NDArray[np.bool_]:
    """Of each word whether it is."""
    texts = [[word.text for word in hypothesis.words] for hypothesis in found]
    return np.array([ok for each in correct_words(references, texts) for ok in each], dtype=np.bool_)


def _shares(found: Sequence[Hypothesis]) -> npt.NDArray[np.float64]:
    return np.array([word.confidence for hypothesis in found for word in hypothesis.words], np.float64)


def _entropy(sure: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    held = sure.clip(1e-3, 1 - 1e-3)
    return float(-np.log(np.where(right, held, 1 - held)).mean()) if len(held) else 0.0
