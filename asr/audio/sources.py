"""Where audio comes from: a file, bytes, an array, a pipe; opened as a Stream, whatever is wrong with it told."""

from __future__ import annotations

import io
import math
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from select import select as wait_for
from typing import Any, BinaryIO, ClassVar, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from asr.audio.codecs import BLOCK_SAMPLES, Stream, check_track, decoder_of
from asr.audio.containers import goes_on
from asr.audio.faults import SLACK, check_rate, tell_once
from asr.audio.parts import Part
from asr.audio.riff import FORMS, STREAMED_SIZE, chunks
from asr.utils.errors import InputError
from asr.utils.files import no_such_file
from asr.utils.unicode import on_one_line

# A path, an open binary file, the bytes of a file, or an array with its sample rate.
PlainSource: TypeAlias = "str | Path | bytes | bytearray | memoryview | BinaryIO | tuple[npt.ArrayLike, int]"
AudioSource: TypeAlias = "PlainSource | Selected"
Channel: TypeAlias = Literal["mix", "each"] | int


@dataclass(frozen=True)
class Selected:
    """One channel, from 0, or one sound track, from 1, of a source; None: all channels averaged, the first track."""

    source: PlainSource
    channel: int | None = None
    track: int | None = None


# Bytes that recorders announce before they know: arecord, FFmpeg, SoX, with the header or without.
_UNFINISHED = {*range(0x7FFFFF00, 0x80000101), *range(0xFFFFFF00, 0x100000000)}
_MOST_HEADER = 1 << 20  # bytes
_PATIENCE = 0.2  # seconds for which what may follow behind a whole file in a pipe is waited for
_LOOKED_AT = 1 << 16  # bytes behind the end that a header announces
_MOST_IN_MEMORY = 1 << 25  # bytes of a pipe that are not put on disk


class _PipedWav(Stream):
    """A WAV of plain samples as it comes from a pipe: a microphone's has no end to wait for."""

    # (code in the header, bytes a sample) -> NumPy's type, zero, full scale
    KINDS: ClassVar = {
        (1, 1): ("u1", 128, 1 << 7),
        (1, 2): ("<i2", 0, 1 << 15),
        (1, 3): ("<i4", 0, 1 << 31),  # the three upper bytes of four
        (1, 4): ("<i4", 0, 1 << 31),
        (3, 4): ("<f4", 0, 1),
        (3, 8): ("<f8", 0, 1),
    }

    def __init__(self, file: BinaryIO, name: str, form: tuple[int, ...], claimed: int) -> None:
        code, channels, rate, _, bits = form
        width = bits // 8
        frames = None if claimed >= STREAMED_SIZE or claimed == 0 else claimed // (width * channels)
        self.file, self.name, self.width, self.kind = file, name, width, self.KINDS[code, width]
        self.claimed, self.size = claimed, width * channels  # bytes, by the header; bytes a frame
        self.ahead = b""  # read already
        self.rate, self.channels, self.frames, self.format = rate, channels, frames, "WAV/pipe"
        self.tolerance = SLACK / (self.size * rate)

    def blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        kind, zero, scale = self.kind
        size = self.size
        left = self.frames
        rest = b""
        while left != 0 or (left := self._frames_behind()) != 0:
            most = max(1, BLOCK_SAMPLES // self.channels)
            got = self._read(size * (most if left is None else min(most, left)) - len(rest))
            if not got:
                return
            data, rest = rest + got, b""
            if odd := len(data) % size:
                data, rest = data[:-odd], data[-odd:]
            if self.width == 3:
                raw: npt.NDArray[Any] = np.zeros((len(data) // 3, 4), np.uint8)
                raw[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
                values = raw.view(kind)[:, 0]
            else:
                values = np.frombuffer(data, kind)
            block = ((values.astype(np.float64) - zero) / scale).astype(np.float32).reshape(-1, self.channels)
            left = None if left is None else left - len(block)
            if len(block) > first:
                yield block[first:]
            first = max(0, first - len(block))

    def _read(self, count: int) -> bytes:
        """What is there, without waiting for more."""
        if not self.ahead:
            return getattr(self.file, "read1", self.file.read)(count)
        data, self.ahead = self.ahead[:count], self.ahead[count:]
        return data

    def _frames_behind(self) -> int | None:
        """How many frames follow behind those that the header announces; None: all that comes are some."""
        while len(self.ahead) < _LOOKED_AT and _is_ready(self.file):
            if not (got := getattr(self.file, "read1", self.file.read)(_LOOKED_AT - len(self.ahead))):
                break
            self.ahead += got
        skipped = self.claimed % self.size
        skipped += self.claimed & 1  # a byte behind an odd length
        behind = Part(io.BytesIO(self.ahead), skipped, len(self.ahead), bytes(12))
        for tag, at, length, _ in chunks(behind):
            if tag == b"data" and length:
                tell_once(f"{self.name}: its samples are in several pieces, which are read one after another")
                self.ahead, self.claimed = behind.peek(at, behind.size), length
                return None if length >= STREAMED_SIZE else length // self.size
            if tag in FORMS:
                break
        whole = len(self.ahead) < _LOOKED_AT
        ahead = Part(io.BytesIO(self.ahead), 0, len(self.ahead))
        return None if goes_on(ahead, skipped, self.name, whole=whole) else 0


def _is_ready(file: BinaryIO) -> bool:
    """Whether something comes through a pipe now, or its end: who writes may keep it open behind a whole WAV."""
    try:
        return bool(wait_for([file], [], [], _PATIENCE)[0])
    except (OSError, ValueError, TypeError):  # it has no number that can be asked
        return True


def _piped_wav(f: BinaryIO, name: str) -> tuple[_PipedWav | None, bytes]:
    """The stream of a WAV that comes through a pipe, None where it is something else; and what was read of it."""
    head = f.read(12)
    if not isinstance(head, bytes):
        raise InputError("was opened as text", where=name, remedy="open it with mode 'rb'")
    form = None
    while head[:4] == b"RIFF" and head[8:12] == b"WAVE" and len(head) < _MOST_HEADER:
        chunk = f.read(8)
        head += chunk
        if len(chunk) < 8:
            break
        tag, length = struct.unpack("<4sI", chunk)
        if tag == b"data" and form is not None:
            code, channels, rate, align, bits = form
            if (code, bits // 8) not in _PipedWav.KINDS or align != channels * (bits // 8) or not channels:
                break
            check_rate(rate, name)
            return _PipedWav(f, name, form, length), head
        if length > _MOST_HEADER:
            break
        body = f.read(length + (length & 1))
        head += body
        if tag == b"fmt " and len(body) >= 16:
            code, channels, rate, _, align, bits = struct.unpack("<HHIIHH", body[:16])
            if code == 0xFFFE and len(body) >= 26:  # extensible: the code is the beginning of a longer name
                code = struct.unpack("<H", body[24:26])[0]
            form = code, channels, rate, align, bits
    return None, head


def _unfinished_wav(f: BinaryIO, name: str) -> _PipedWav | None:
    """The stream of a file whose recorder never came back to write its length into the header; else None."""
    begin = f.tell()
    piped, _ = _piped_wav(f, name)
    if piped is not None and piped.frames is None:
        at = f.tell()
        there = f.seek(0, os.SEEK_END) - at
        f.seek(at)
        tag, length = struct.unpack("<4sI", f.read(8).ljust(8, b"\0"))
        f.seek(at)
        another_chunk = tag.isalpha() and 8 + length + (length & 1) == there
        empty = piped.claimed == 0 and there > 0 and not another_chunk
        if empty or (piped.claimed in _UNFINISHED and piped.claimed > there):
            return piped
    f.seek(begin)
    return None


class _ArrayStream(Stream):
    def __init__(self, array: Any, rate: Any, name: str) -> None:
        remedy = "give numbers of shape (samples,) or (samples, channels)"
        data: npt.NDArray[Any]
        try:
            data = np.asarray(array)
        except (ValueError, TypeError, RuntimeError) as e:  # rows of different lengths, a tensor with a gradient, ...
            raise InputError(f"is no array ({on_one_line(str(e))})", where=name, remedy=remedy) from e
        if not isinstance(rate, int | float | np.integer | np.floating) or not math.isfinite(rate):
            raise InputError(f"a sample rate of {rate} is none", where=name, remedy="give Hz, such as 16000")
        if data.ndim == 1:
            data = data[:, None]
        elif data.ndim == 2 and min(data.shape) > 0:
            data = data.T if data.shape[0] < data.shape[1] else data
        else:
            raise InputError(f"an array of shape {data.shape} is not audio", where=name, remedy=remedy)
        if np.issubdtype(data.dtype, np.integer):
            if data.dtype.itemsize == 8:
                raise InputError(
                    "64-bit integers have no agreed scale", where=name, remedy="give floats in [-1, 1], int16 or int32"
                )
            limits = np.iinfo(data.dtype)
            zero, scale = (0.0, -float(limits.min)) if limits.min < 0 else ((limits.max + 1) / 2, (limits.max + 1) / 2)
            data = (data.astype(np.float64) - zero) / scale
        elif not np.issubdtype(data.dtype, np.floating):
            raise InputError(f"an array of {data.dtype} is not audio", where=name, remedy=remedy)
        self.data = np.ascontiguousarray(data, np.float32)
        self.rate, self.channels, self.frames, self.format = int(rate), self.data.shape[1], len(data), "array"

    def blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        if first < len(self.data):
            yield self.data[first:]


@contextmanager
def open_stream(source: AudioSource, name: str | None) -> Iterator[tuple[Stream, str]]:
    """Opens a source; what cannot be audio at all is an InputError here."""
    chosen = _as_selected(source)
    with _opened(chosen.source, name, chosen.track) as (stream, label):
        check_track(chosen.track, stream.tracks, label)
        yield stream, label


@contextmanager
def _opened(source: PlainSource, name: str | None, track: int | None) -> Iterator[tuple[Stream, str]]:
    if isinstance(source, tuple):
        label = name or "array"
        if len(source) != 2:
            raise InputError(f"a tuple of {len(source)} is no audio", where=label, remedy="give (array, sample_rate)")
        stream: Stream = _ArrayStream(source[0], source[1], label)
        check_rate(stream.rate, label)
        yield stream, label
        return
    if isinstance(source, str | Path):
        label = name or str(source)
        file: BinaryIO = _open_path(Path(source), label)
    elif isinstance(source, bytes | bytearray | memoryview):
        label, file = name or "bytes", io.BytesIO(source)
    else:
        label, file = name or str(getattr(source, "name", "stream")), source
    if getattr(file, "closed", False):
        raise InputError("is closed", where=label, remedy="open it again")
    with ExitStack() as stack:
        f = stack.enter_context(file) if isinstance(source, str | Path) else file
        if getattr(f, "seekable", lambda: False)():
            streamed = isinstance(source, bytes | bytearray | memoryview)
            yield _unfinished_wav(f, label) or decoder_of(f, label, streamed, track), label
            return
        if isinstance(f, io.RawIOBase):  # gives fewer bytes than it is asked for
            f = stack.enter_context(_buffered(f))
        piped, head = _piped_wav(f, label)
        if piped is not None:
            yield piped, label
            return
        head += f.read(_MOST_IN_MEMORY)  # libsndfile and FFmpeg want to move about
        with io.BytesIO(head) if len(head) < _MOST_IN_MEMORY else _on_disk(head, f, label) as whole:
            yield decoder_of(whole, label, True, track), label


def audio_source(audio: AudioSource | npt.ArrayLike, sample_rate: int | None) -> AudioSource:
    """Returns the audio, with its rate in Hz where it is an array, as one source that can be read."""
    if isinstance(audio, str | Path | bytes | bytearray | memoryview | tuple | Selected) or hasattr(audio, "read"):
        if sample_rate is not None:
            raise InputError("a sample rate goes with an array; files have their own", where="sample_rate")
        return audio  # type: ignore[return-value]
    if sample_rate is None:
        raise InputError("an array needs its rate", where="array", remedy="transcribe(array, sample_rate)")
    return (audio, sample_rate)


def select(audio: AudioSource, channel: Channel, track: int | None) -> AudioSource:
    """Returns a channel, or the mix, and a track of a source, as one source.

    Raises:
        InputError: There can be no such channel.
    """
    if channel == "mix":
        return audio if track is None else replace(_as_selected(audio), track=track)
    if isinstance(channel, bool) or not isinstance(channel, int) or channel < 0:
        raise InputError(f"{channel!r} is no channel", where="channel", remedy="mix, each, or a number from 0")
    chosen = _as_selected(audio)
    return replace(chosen, channel=channel, track=track or chosen.track)


def _as_selected(source: AudioSource) -> Selected:
    return source if isinstance(source, Selected) else Selected(source)


@contextmanager
def each_channel(audio: AudioSource, track: int | None, name: str | None = None) -> Iterator[list[Selected]]:
    """Every channel of a source, each to be read by itself, one after another; a pipe is kept on disk meanwhile."""
    chosen = _as_selected(audio)
    source, track = chosen.source, track or chosen.track
    with ExitStack() as stack:
        again: Callable[[], PlainSource] = lambda: source  # noqa: E731
        if hasattr(source, "read"):
            file = cast(BinaryIO, source)
            if is_pipe(file):
                file = stack.enter_context(_on_disk(b"", file, name or "stream"))
            begin = file.tell()
            end = file.seek(0, os.SEEK_END)
            file.seek(begin)
            again = lambda: cast(BinaryIO, Part(file, begin, end))  # noqa: E731 - each reads from the beginning
        with open_stream(Selected(again(), track=track), name) as (stream, _):
            count = stream.channels
        yield [Selected(again(), channel, track) for channel in range(count)]


def is_pipe(source: AudioSource) -> bool:
    """Whether audio comes when it comes, and reading waits for it."""
    plain = _as_selected(source).source
    if isinstance(plain, str | Path):
        try:
            return stat.S_ISFIFO(Path(plain).stat().st_mode)
        except (OSError, ValueError):
            return False
    seekable = getattr(plain, "seekable", lambda: False)
    return hasattr(plain, "read") and not seekable()


def _on_disk(head: bytes, rest: BinaryIO, name: str) -> BinaryIO:
    """A file that is gone when it is closed."""
    whole = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        whole.write(head)
        shutil.copyfileobj(rest, whole)
        whole.seek(0)
    except OSError as e:
        with suppress(OSError):  # what could not be written is tried again
            whole.close()
        remedy = f"free some of {tempfile.gettempdir()}, name another folder in $TMPDIR, or send WAV, which needs none"
        raise InputError(f"cannot be kept on disk ({e.strerror or e})", where=name, remedy=remedy) from e
    return cast(BinaryIO, whole)


@contextmanager
def _buffered(file: io.RawIOBase) -> Iterator[BinaryIO]:
    """The file, which stays open."""
    buffered = io.BufferedReader(file)
    try:
        yield cast(BinaryIO, buffered)
    finally:
        buffered.detach()


def _open_path(path: Path, name: str) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
            return open(path, "rb")
    except FileNotFoundError:
        if name == str(path):
            raise no_such_file(path, "check the path") from None
        raise InputError("no such file", where=name, remedy="check the path") from None
    except PermissionError:
        raise InputError("may not be read", where=name, remedy=f"allow it with `chmod u+r {name}`") from None
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or e
        raise InputError(f"cannot be opened ({reason})", where=name, remedy="check the path") from e
    if stat.S_ISDIR(mode):
        raise InputError("is a folder, not an audio file", where=name, remedy="name the files in it")
    raise InputError("is a device, not an audio file", where=name, remedy="record from it to a file first")
