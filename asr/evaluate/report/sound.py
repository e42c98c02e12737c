"""Utterances to be heard and seen: MP3, and a spectrogram over which words stand where they were heard."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.audio.reader import Samples
from asr.data.cuts import read_cuts
from asr.evaluate.report.results import Results
from asr.utils.errors import InputError

log = logging.getLogger(__name__)

_RATE = 16000
_LONGEST = 30.0  # seconds
_FRAME, _SHIFT = 512, 256  # samples
_BANDS = 64  # rows of the picture, 0 to 8 kHz
_RANGE = 70.0  # dB


@dataclass(frozen=True)
class Sound:
    """An utterance's sound."""

    seconds: float
    mp3: bytes
    picture: bytes  # PNG, a column a frame


def sounds(results: Results, ids: Sequence[str]) -> tuple[dict[str, Sound], str]:
    """Of some utterances, from the cuts that were decoded; and what has to be said of those that are lacking."""
    cuts = results.facts.get("data")
    if not isinstance(cuts, str) or not Path(cuts).is_file():
        return {}, "there is no sound: the manifest of the cuts is not where it was"
    known = {utterance.id: utterance for utterance in read_cuts(cuts)}
    found: dict[str, Sound] = {}
    problem = ""
    for key in ids:
        if key not in known or known[key].duration > _LONGEST:
            continue
        try:
            samples = known[key].samples(_RATE)
        except InputError as e:  # which names the file, where the page names no path
            log.warning("%s", e)
            problem = f"the sound of {key} cannot be read"
            continue
        found[key] = Sound(len(samples) / _RATE, _mp3(samples), _picture(samples))
    return found, problem


def _mp3(samples: Samples) -> bytes:
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, _RATE, format="MP3")
    return content.getvalue()


def _picture(samples: Samples) -> bytes:
    """Darker the louder, down to 70 dB below the loudest."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, _spectrogram(samples)[::-1], format="png", cmap="gray_r", vmin=-_RANGE, vmax=0)
    return content.getvalue()


def _spectrogram(samples: Samples) -> npt.NDArray[np.float64]:
    """Samples (N,) -> (bands, T), dB below the loudest."""
    padded = np.pad(samples, (_FRAME // 2, _FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_SHIFT] * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(frames)[:, 1:]) ** 2  # (T, F)
    bands = power.reshape(len(power), _BANDS, -1).mean(axis=2).T
    decibel: npt.NDArray[np.float64] = 10 * np.log10(bands / max(float(bands.max()), 1e-10) + 1e-10)
    return decibel
