"""Any audio file, stream or array -> mono float32 samples at one rate; durations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.audio.codecs import Samples, Stream
from asr.audio.faults import MAX_RATE, MIN_RATE, cut, cut_short, no_samples
from asr.audio.mixing import mixed
from asr.audio.sources import AudioSource, Selected, is_pipe, open_stream
from asr.utils.errors import InputError

__all__ = [
    "AudioInfo",
    "AudioSource",
    "Samples",
    "Selected",
    "audio_info",
    "find_audio",
    "frame_levels",
    "header_duration",
    "is_pipe",
    "read_audio",
    "read_blocks",
]

# What folders are searched for.
_NAMES = (
    "wav wave w64 flac ogg oga ogv opus mp3 mp2 m4a m4b mp4 m4v mov 3gp 3g2 aac ac3 webm mka mkv avi mpg mpeg m2ts"
    " flv amr wma wmv wv aif aiff aifc au snd caf sph"
)
SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
_MAX_SECONDS = 1e9
_LEVEL_FRAME = 0.025  # seconds
_MAX_SAMPLE = 1e12  # beyond it a resampler or a spectrum overflows


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: seconds, Hz, channels, and the name of the format."""

    duration: float
    sample_rate: int
    channels: int
    format: str


def read_audio(
    source: AudioSource,
    sample_rate: int,
    *,
    start: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    name: str | None = None,
) -> Samples:
    """Reads audio as mono float32 in [-1, 1] at `sample_rate` Hz, channels averaged, resampled by soxr (HQ).

    Args:
        source: A path, an open binary file, bytes, or `(array, rate)`; an array of two dimensions has its channels
            along the shorter one, integers are scaled by their type. Or a Selected channel or track of one.
        sample_rate: The rate wanted, Hz.
        start: Seconds to skip.
        duration: Seconds to read; to the end where None.
        channel: The channel to read, from 0; all of them, averaged, where None.
        name: What errors call the source.

    Returns:
        Samples of shape (N,), N > 0.

    Raises:
        InputError: The source is missing, a folder, no audio, empty, cut short, holds NaN, or a segment lies
            outside it.
    """
    pieces = list(_mono_pieces(source, sample_rate, start=start, duration=duration, channel=channel, name=name))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def read_blocks(
    source: AudioSource, sample_rate: int, *, seconds: float = 30.0, name: str | None = None
) -> Iterator[Samples]:
    """As read_audio, in blocks of `seconds` (the last may be shorter): memory does not grow with the file."""
    want = max(1, round(seconds * sample_rate))
    held: list[Samples] = []
    size = 0
    for piece in _mono_pieces(source, sample_rate, name=name):
        held.append(piece)
        size += len(piece)
        if size >= want:
            joined = np.concatenate(held)
            full = size - size % want
            yield from (joined[i : i + want] for i in range(0, full, want))
            held, size = [joined[full:]], size - full
    if size:
        yield np.concatenate(held)


def audio_info(source: AudioSource, *, name: str | None = None) -> AudioInfo:
    """Duration, rate and channels from the header; the audio is decoded only where the header has no length."""
    with open_stream(source, name) as (stream, label):
        if stream.missing:
            raise cut(label, stream.missing)
        if stream.frames is None:
            frames = sum(len(block) for block in stream.blocks(0))
        else:
            frames = stream.frames
        if frames == 0:
            raise no_samples(label)
        return AudioInfo(frames / stream.rate, stream.rate, stream.channels, stream.format)


def header_duration(path: str | Path) -> float | None:
    """Seconds as the header of a file says them; None where there is no such file, or it does not say."""
    try:
        if not Path(path).is_file():  # a pipe would be read
            return None
        with open_stream(Selected(path, track=1), None) as (stream, _):  # which is not worth a look at others
            return stream.frames / stream.rate if stream.frames else None
    except InputError:
        return None


def frame_levels(samples: Samples, rate: int) -> npt.NDArray[np.float64]:
    """Samples (N,) -> (T,) dBFS of each 25 ms, the offset apart; of the whole where it is shorter."""
    size = min(max(1, round(_LEVEL_FRAME * rate)), len(samples))
    frames = (samples - samples.mean())[: len(samples) // size * size].reshape(-1, size)  # (T, L)
    power = np.einsum("tl,tl->t", frames, frames, dtype=np.float64) / size
    return np.asarray(10 * np.log10(power + 1e-20))


def find_audio(folder: str | Path, unreadable: Callable[[OSError], None] | None = None) -> list[Path]:
    """The audio files in a folder and those below it, by their suffix, sorted; hidden ones are left out.

    Args:
        unreadable: Gets the error, with its `filename`, of each folder that cannot be read.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place) / name for name in names if not name.startswith("."))
        found += (path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(found)


def _mono_pieces(
    source: AudioSource,
    sample_rate: int,
    *,
    start: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    name: str | None = None,
) -> Iterator[Samples]:
    """Mono pieces at `sample_rate`; at least one, none of them empty."""
    import soxr

    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise InputError(f"a sample rate of {sample_rate} Hz cannot be asked for", remedy="8000 and 16000 are usual")
    with open_stream(source, name) as (stream, label):
        if not 0 <= start < _MAX_SECONDS or not (duration is None or 0 < duration < _MAX_SECONDS):
            raise InputError(
                f"segment from {start} s, {duration} s long, is not a stretch of time",
                where=label,
                remedy="check the times",
            )
        if channel is None and isinstance(source, Selected):
            channel = source.channel
        if channel is not None and not 0 <= channel < stream.channels:
            there = "one" if stream.channels == 1 else f"{stream.channels}"
            raise InputError(f"has no channel {channel}, only {there}", where=label, remedy="channels count from 0")
        first = round(start * stream.rate)
        wanted = None if duration is None else round(duration * stream.rate)
        convert = soxr.ResampleStream(stream.rate, sample_rate, 1, "float32") if stream.rate != sample_rate else None
        made = 0
        counted = _Counted(stream.blocks(first), wanted)
        of_channel = (block[:, channel or 0] for block in counted)
        mix = stream.channels > 1 and channel is None
        for mono in mixed(counted, stream.rate, label) if mix else of_channel:
            if not (np.abs(mono) < _MAX_SAMPLE).all():  # so that NaN is caught, too
                raise InputError(
                    "holds samples that are not numbers (NaN or infinite)", where=label, remedy="export it again"
                )
            piece = convert.resample_chunk(mono) if convert else mono
            made += len(piece)
            if len(piece):
                yield piece
        _check_complete(stream, label, first, counted.frames, wanted)
        if convert and len(piece := convert.resample_chunk(np.zeros(0, np.float32), last=True)):
            made += len(piece)
            yield piece
        if made == 0:
            raise no_samples(label)


class _Counted:
    """Iterates over blocks until as many frames have come as are wanted, and counts them."""

    def __init__(self, blocks: Iterator[Samples], wanted: int | None) -> None:
        self.blocks, self.wanted, self.frames = blocks, wanted, 0

    def __iter__(self) -> Iterator[Samples]:
        for block in self.blocks:
            block = block if self.wanted is None else block[: self.wanted - self.frames]
            self.frames += len(block)
            yield block
            if self.wanted is not None and self.frames >= self.wanted:
                return


def _check_complete(stream: Stream, name: str, first: int, got: int, wanted: int | None) -> None:
    """Whether as much was decoded as was asked for, or as the header claims."""
    rate = stream.rate
    if first and got == 0:
        raise InputError(
            f"ends before {first / rate:.2f} s, where the segment begins", where=name, remedy="check the times"
        )
    if wanted is not None:
        if got < wanted - 0.02 * rate:  # annotations may end a few samples after the audio
            raise InputError(
                f"the segment {first / rate:.2f}-{(first + wanted) / rate:.2f} s is not all there:"
                f" the audio ends at {(first + got) / rate:.2f} s",
                where=name,
                remedy="check the times",
            )
        return
    if stream.frames is not None and first + got < stream.frames - max(stream.tolerance * rate, 1):
        raise cut_short(name, (first + got) / rate, stream.frames / rate)
    if got == 0:
        raise no_samples(name)
