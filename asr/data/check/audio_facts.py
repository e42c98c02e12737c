"""What can be wrong with an utterance's audio, measured in one pass over it; kept in a cache for the next time.

N samples, L samples a frame. Levels are in dBFS: 0 is the root mean square of a square wave at full scale.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio.reader import AudioInfo, Samples, audio_info, frame_levels, read_audio
from asr.data.cuts import Utterance
from asr.utils.errors import InputError
from asr.utils.files import write_jsonl

log = logging.getLogger(__name__)

SILENT = -65.0  # dBFS; there is no speech where the loudest frames stay below
CACHE_NAME = ".audio_facts.jsonl"
_HEADER = {"kikitori": "audio facts", "format": 1}
_SPECTRUM_SECONDS = 30  # of an utterance are looked at for its bandwidth
_NARROW = -55.0  # dB of 5-7 kHz against 1-3 kHz; quiet and low-passed recordings stay above -45


@dataclass(frozen=True)
class AudioFacts:
    """An utterance's audio at the file's own rate, channels averaged."""

    rate: int  # of the file, Hz
    channels: int
    peak: float
    level: float  # dBFS of the loudest twentieth of its frames: how loud speech is in it
    floor: float  # dBFS of the quietest twentieth
    active: float  # seconds of frames within 25 dB of `level`
    clipped: float  # share of samples that stand at full scale or in a flat run at the extreme
    zeros: float  # share of time in digital silence
    offset: float  # mean of the samples
    narrow: bool  # the rate has room for more than 4 kHz, but nothing is there
    stereo: str  # of the first two channels, where averaged: identical | one-silent | opposite | different | ""
    digest: str  # of the samples


def measure_audio(utterance: Utterance) -> AudioFacts:
    """Reads an utterance as training would, at the file's own rate, and measures it.

    Raises:
        InputError: It cannot be read.
    """
    info = audio_info(utterance.audio)
    samples = utterance.samples(info.sample_rate)  # (N,)
    levels = frame_levels(samples, info.sample_rate)
    floor, level = np.percentile(levels, [5, 95])
    return AudioFacts(
        rate=info.sample_rate,
        channels=info.channels,
        peak=float(np.abs(samples).max()),
        level=float(level),
        floor=float(floor),
        active=float((levels > level - 25).mean()) * len(samples) / info.sample_rate,
        clipped=_clipped(samples),
        zeros=_zeros(samples, info.sample_rate),
        offset=float(samples.mean(dtype=np.float64)),
        narrow=info.sample_rate >= 14_000 and _band_difference(samples, info.sample_rate) < _NARROW,
        stereo=_stereo(utterance, info) if utterance.channel is None and info.channels > 1 else "",
        digest=hashlib.blake2b(samples.tobytes(), digest_size=8).hexdigest(),
    )


def audio_facts(
    utterances: Sequence[Utterance],
    *,
    cache: str | Path | None = None,
    seconds: float | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[AudioFacts | InputError | None]:
    """The facts of each utterance, or why it cannot be read, or None where the time did not suffice.

    Args:
        utterances: Whose audio to read.
        cache: A file that keeps facts for the next call. A fact counts while its file has the same size and time of
            change. One that is damaged or cannot be written does no harm.
        seconds: How long to read, by the clock; then a random sample is read, so that it stands for the whole.
        progress: Called now and then with how many are done, and of how many.
    """
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    known = _load(cache) if cache is not None else {}
    stats: dict[str, tuple[int, int] | None] = {}
    results: list[AudioFacts | InputError | None] = [None] * len(utterances)
    waiting = []
    for i, utterance in enumerate(utterances):
        if utterance.audio not in stats:
            stats[utterance.audio] = _stat(utterance.audio)
        kept = known.get(_key(utterance))
        if kept is not None and kept[0] == stats[utterance.audio]:
            results[i] = kept[1]
        else:
            waiting.append(i)
    if seconds is not None:
        np.random.default_rng(0).shuffle(waiting)

    def measure(i: int) -> AudioFacts | InputError | None:
        if time.monotonic() > deadline:
            return None
        try:
            return measure_audio(utterances[i])
        except InputError as e:
            return e

    done = len(utterances) - len(waiting)
    left = iter(waiting)
    try:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # decoding happens outside the interpreter's lock
            while some := list(islice(left, 128)):
                for i, result in zip(some, pool.map(measure, some), strict=True):
                    results[i] = result
                    stat = stats[utterances[i].audio]
                    if isinstance(result, AudioFacts) and stat is not None:
                        known[_key(utterances[i])] = (stat, result)
                if time.monotonic() > deadline:
                    break
                done += len(some)
                if progress:
                    progress(done, len(utterances))
    finally:
        if cache is not None and waiting:
            _save(cache, known)
    return results


def _clipped(samples: Samples) -> float:
    """Speech touches its extreme in single samples; where it is cut off, several in a row stand there."""
    high, low = samples.max(), samples.min()
    if max(high, -low) < 0.05:  # so few steps that runs are natural
        return 0.0
    flat = 0
    for at in (samples >= high - 1e-4, samples <= low + 1e-4):
        flat += int((at[2:] & at[1:-1] & at[:-2]).sum())
    full = int((np.abs(samples) >= 0.999).sum())
    return max(flat, full) / len(samples)


def _zeros(samples: Samples, rate: int) -> float:
    size = min(max(1, rate // 100), len(samples))
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    return float((~frames.any(axis=1)).mean())


def _band_difference(samples: Samples, rate: int) -> float:
    """dB of the power at 5-7 kHz against that at 1-3 kHz."""
    size = 1 << (rate // 32).bit_length()
    frames = samples[: min(len(samples), _SPECTRUM_SECONDS * rate) // size * size].reshape(-1, size)
    if not len(frames):
        return 0.0
    power = (np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32))) ** 2).mean(axis=0) + 1e-20
    hertz = np.arange(len(power)) * rate / size
    low, high = (power[(hertz >= a) & (hertz < a + 2000)].mean() for a in (1000, 5000))
    return float(10 * np.log10(high / low))


def _stereo(utterance: Utterance, info: AudioInfo) -> str:
    """How the first two channels differ, where they do in a way that matters."""
    start, duration = utterance.start, None if utterance.whole else utterance.duration
    left, right = (
        read_audio(utterance.audio, info.sample_rate, start=start, duration=duration, channel=channel)
        for channel in (0, 1)
    )
    if np.array_equal(left, right):
        return "identical"
    loud = [float(np.percentile(frame_levels(x, info.sample_rate), 95)) for x in (left, right)]
    if min(loud) < -70 and max(loud) - min(loud) > 20:
        return "one-silent"
    if _correlation(left, right) < -0.5:
        return "opposite"
    # Of two people on two channels one is silent while the other speaks; two microphones hear the same at one time.
    levels = (np.maximum(frame_levels(x, info.sample_rate), -70) for x in (left, right))
    return "different" if _correlation(*levels) < 0.3 else ""


def _correlation(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    x, y = x - x.mean(dtype=np.float64), y - y.mean(dtype=np.float64)
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale else 1.0


_Key = tuple[str, float, float, "int | None", bool]


def _key(u: Utterance) -> _Key:
    return u.audio, u.start, u.duration, u.channel, u.whole


def _stat(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _load(path: str | Path) -> dict[_Key, tuple[tuple[int, int], AudioFacts]]:
    """What a cache holds; nothing where it is not there, damaged, of another version or of another make."""
    known: dict[_Key, tuple[tuple[int, int], AudioFacts]] = {}
    try:
        with open(path, encoding="utf-8") as f:
            lines = _lines(f)
            if json.loads(next(lines)) != _HEADER:
                return {}
            for line in lines:
                (audio, start, duration, channel, whole), (size, changed), values = json.loads(line)
                known[audio, start, duration, channel, whole] = ((size, changed), _facts(values))
    except (OSError, ValueError, TypeError, RecursionError, StopIteration) as e:
        log.debug("%s is not used: %r", path, e)
        return {}
    return known


def _lines(f: Any, limit: int = 1 << 16) -> Iterator[str]:
    while line := f.readline(limit):
        if len(line) == limit:
            raise ValueError("a line without end")
        yield line


def _facts(values: list[Any]) -> AudioFacts:
    types = {"int": int, "float": float, "bool": bool, "str": str}
    for value, field in zip(values, fields(AudioFacts), strict=True):
        if type(value) is not types[str(field.type)] or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"{field.name} is {value!r}")
    return AudioFacts(*values)


def _save(path: str | Path, known: dict[_Key, tuple[tuple[int, int], AudioFacts]]) -> None:
    try:
        rows = ([list(key), list(stat), list(astuple(facts))] for key, (stat, facts) in known.items())
        write_jsonl(path, [_HEADER, *rows])
    except InputError as e:
        log.debug("audio is measured anew the next time: %s", e)
