"""Files of audio decoded in pieces, whatever the format.

libsndfile (soundfile) reads WAV, FLAC, Ogg, Opus, AIFF, AU, CAF and SPHERE; PyAV reads MP3 (libsndfile's decoder
writes its complaints to standard error) and what else there is: M4A/MP4, WebM/Matroska, AVI, MPEG, FLV, AAC, AC-3, AMR,
WMA, WavPack.

Memory follows the audio that is there and never a number in a header. FFmpeg gets an open file and the name of one
container format, so a file cannot make it open another file or address.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from asr.utils.errors import InputError

Samples: TypeAlias = npt.NDArray[np.float32]

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; beyond lies no recording of speech, only a damaged header
BLOCK_SAMPLES = 1 << 14  # decoded at a time, over all channels; what stands before a damaged place is got in blocks
_MPEG_TS = 188  # bytes of a packet, each of which begins with G
_UNKNOWN_SIZE = 0xFFFFFFFF  # a WAV that was written to a pipe does not know its own length
STREAMED_SIZE = 0x7FFF0000  # ... and some recorders then write about 2 GiB
_PAST_END = 39  # libsndfile's error at the end of a FLAC whose header has no length
# FFmpeg's names of containers: those that say when each piece of sound is, those that do not say how long it is
_TIMED = ("matroska", "mov", "mp4", "asf", "flv", "mpeg")
_ENDLESS = {"aac", "amr", "ac3", "mpeg", "mpegts", "flv"}
_LONGEST_GAP = 3600.0  # seconds
_JITTER = 0.05  # seconds

# First bytes -> (FFmpeg's container format, whether libsndfile reads it too)
_CONTAINERS = {
    b"RIFF": ("wav", True),
    b"RIFX": ("wav", True),
    b"RF64": ("wav", True),
    b"fLaC": ("flac", True),
    b"OggS": ("ogg", True),
    b"ID3": ("mp3", False),
    b"\x1a\x45\xdf\xa3": ("matroska", False),
    b"\x30\x26\xb2\x75": ("asf", False),
    b"#!AMR": ("amr", False),
    b"FLV\x01": ("flv", False),
    b"\x00\x00\x01\xba": ("mpeg", False),
    b"\x0b\x77": ("ac3", False),
    b"wvpk": ("wv", False),
}


class Stream:
    """Decoded audio: `blocks(first_frame)` yields float32 arrays of shape (n, channels)."""

    rate: int
    channels: int
    frames: int | None  # as the header says; None where it does not
    format: str
    tolerance: float = 0.0  # seconds by which a codec's header may differ from what it decodes to

    def blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        raise NotImplementedError


class _SoundfileStream(Stream):
    def __init__(self, sound: Any, name: str) -> None:
        self.sound, self.name = sound, name
        self.rate, self.channels = sound.samplerate, sound.channels
        self.format = f"{sound.format}/{sound.subtype}"
        # libsndfile gives a length of 2**63 - 1 where a format has none.
        self.frames = sound.frames if 0 <= sound.frames < 1 << 48 else None

    def blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        import soundfile

        skip = 0
        if self.frames is None:  # a FLAC that was written to a pipe: there is no seeking in it
            skip = first
        elif first:
            try:
                self.sound.seek(first)
            except soundfile.LibsndfileError:
                return
        while True:
            error = None
            block: npt.NDArray[np.float32] = np.full(
                (max(1, BLOCK_SAMPLES // self.channels), self.channels), np.nan, np.float32
            )
            try:
                block = self.sound.read(out=block)
            except soundfile.LibsndfileError as e:
                # libsndfile does not say how far it came; what it did not reach is NaN still.
                error = e
                untouched = np.isnan(block).any(axis=1)
                block = block[: untouched.argmax()] if untouched.any() else block
            if len(block) > skip:
                yield block[skip:]
            skip = max(0, skip - len(block))
            if self.frames is None and error is not None and error.code != _PAST_END:
                raise InputError(f"is damaged or cut short ({error})", where=self.name, remedy="copy it again")
            if error is not None or not len(block):
                return  # the caller compares what came with what the header claims


class _AvStream(Stream):
    def __init__(self, container: Any, name: str, exact: bool) -> None:
        self.container, self.name = container, name
        if not container.streams.audio:
            raise InputError("holds no audio track", where=name, remedy="choose another file")
        self.track = container.streams.audio[0]
        if self.track.codec_context is None:
            raise InputError("is of a codec that is not known", where=name, remedy="convert it to WAV or FLAC")
        self.rate, self.channels = self.track.codec_context.sample_rate, self.track.codec_context.channels
        self.format = f"{container.format.name.split(',')[0]}/{self.track.codec_context.name}"
        seconds = _track_seconds(container, self.track)
        # Where nothing says it (AAC, AMR, MP3 without a Xing header) FFmpeg guesses from the bit rate.
        self.frames = round(seconds * self.rate) if seconds and exact and self.rate else None
        self.timed = container.format.name.startswith(_TIMED)
        self.damaged = 0
        self.lost = 0  # samples, in place of which there is silence
        self.tolerance = 0.25  # a container's length includes the encoder's padding

    def blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        for block in self._placed():
            if len(block) > first:
                yield block[first:]
            first = max(0, first - len(block))
        # A stream that does not know its length can only be judged by what in it could not be decoded; its last
        # packet may be cut anywhere.
        if (self.frames is None and self.damaged > 1) or self.lost > self.tolerance * self.rate:
            raise InputError(
                f"is damaged: {self.damaged} pieces of it cannot be decoded", where=self.name, remedy="copy it again"
            )

    def _placed(self) -> Iterator[npt.NDArray[np.float32]]:
        """What is decoded, at its time: silence stands where the container says that there is nothing."""
        import av

        resampler = av.AudioResampler("flt", self.track.codec_context.layout, self.rate)  # which SBR may double
        begin = (self.container.start_time or 0) / 1_000_000 if len(self.container.streams) > 1 else None
        given = errors = 0
        for frame in self._frames():
            if self.timed and frame.time is not None:
                begin = frame.time if begin is None else begin
                gap = round((frame.time - begin) * self.rate) - given
                if not 0 <= gap <= _LONGEST_GAP * self.rate:  # its clock was set anew
                    begin, gap = frame.time - given / self.rate, 0
                if gap > _JITTER * self.rate:
                    self.lost += gap if self.damaged > errors else 0
                    given += gap
                    for at in range(0, gap, BLOCK_SAMPLES):
                        yield np.zeros((min(BLOCK_SAMPLES, gap - at), self.channels), np.float32)
            elif given and self.damaged > max(errors, 1):  # how much is missing here, nothing tells
                return
            errors = self.damaged
            try:
                parts = resampler.resample(frame)
            except (av.error.FFmpegError, ValueError):  # rate or channels change on the way: damaged
                self.damaged += 2
                return
            for part in parts:
                # The array may be longer than the frame: only `samples` of it are audio.
                block = part.to_ndarray().astype(np.float32).reshape(-1, self.channels)[: part.samples]
                given += len(block)
                yield block

    def _frames(self) -> Iterator[Any]:
        """Decoded frames; what cannot be decoded is counted and passed over."""
        import av

        try:
            for packet in self.container.demux(self.track):
                try:
                    yield from packet.decode()
                except (av.error.FFmpegError, ValueError):
                    self.damaged += 1
        except (av.error.FFmpegError, ValueError):
            self.damaged += 1
        except IndexError:  # of a track that a damaged film has found on the way
            self.damaged += 2


def _track_seconds(container: Any, track: Any) -> float | None:
    """How long a track is, as the container says: its picture may go on for longer than its sound."""
    if track.duration and track.time_base:
        return float(track.duration * track.time_base)
    hours, _, rest = track.metadata.get("DURATION", "").partition(":")  # Matroska, such as 00:00:08.064000000
    minutes, _, seconds = rest.partition(":")
    try:
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        pass
    return container.duration / 1_000_000 if container.duration and len(container.streams) == 1 else None


class _QuietFile:
    """A file in which a damaged header's impossible jump goes nowhere, where soundfile would print a traceback."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.read, self.tell = file, file.read, file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self.file.seek(offset, whence)
        except (OSError, ValueError):
            return self.file.tell()

    def write(self, data: bytes) -> int:
        raise io.UnsupportedOperation("read only")


def decoder_of(f: BinaryIO, name: str, streamed: bool) -> Stream:
    import soundfile

    begin = f.tell()
    head = f.read(_MPEG_TS + 1)
    if not isinstance(head, bytes):
        raise InputError("was opened as text", where=name, remedy="open it with mode 'rb'")
    size = f.seek(0, os.SEEK_END) - begin
    f.seek(begin)
    if size == 0:
        raise InputError("is empty (0 bytes)", where=name, remedy="record or copy it again")
    container, known_to_soundfile = _container(head)
    exact = True
    if container == "wav":
        _check_wav(f, size, name, streamed)
    elif container == "ogg":
        _check_ogg(f, size, name)
        if _is_chained(f, size):
            known_to_soundfile = exact = False  # which reads the first of them, as its header does
    elif head[:4] in (b"FORM", b".snd"):
        _check_size(head, size, name)
    if known_to_soundfile:
        try:
            sound = soundfile.SoundFile(_QuietFile(f))
            check_rate(sound.samplerate, name)
            return _SoundfileStream(sound, name)
        except (soundfile.LibsndfileError, RuntimeError, TypeError):
            f.seek(begin)
    if container:
        import av

        try:
            exact &= container not in _ENDLESS and (container != "mp3" or _has_xing(f))
            stream = _AvStream(av.open(f, "r", format=container, metadata_errors="ignore"), name, exact)
            check_rate(stream.rate, name)
            return stream
        except (av.error.FFmpegError, ValueError, OSError) as e:
            if isinstance(e, InputError):
                raise
    looks = f"it begins like {container}, but is damaged" if container else "no known format"
    raise InputError(
        f"is not audio that can be read ({looks})",
        where=name,
        remedy="convert it, e.g. with `ffmpeg -i FILE new.wav`, or copy it again if it is damaged",
    )


def _container(head: bytes) -> tuple[str, bool]:
    """FFmpeg's name of the container ('' for one it is not trusted with), and whether libsndfile comes first."""
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi", False
    if head[:1] == head[_MPEG_TS:] == b"G":
        return "mpegts", False
    for magic, answer in _CONTAINERS.items():
        if head.startswith(magic):
            return answer
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4", False
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # MPEG audio: ADTS where the layer is 0
        return ("aac" if head[1] & 0x06 == 0 else "mp3"), False
    return "", True


def check_rate(rate: int, name: str) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(
            f"has a sample rate of {rate} Hz", where=name, remedy="its header is damaged or it is no recording"
        )


def _check_wav(f: BinaryIO, size: int, name: str, streamed: bool) -> None:
    """Compares the length that a WAV's header claims with what is there; looks for a rate of 0."""
    begin = f.tell()
    order = ">" if f.read(4) == b"RIFX" else "<"
    f.seek(begin)
    at, long_data = 12, 0
    bytes_per_second = 0
    while at + 8 <= size:
        f.seek(begin + at)
        tag, length = struct.unpack(f"{order}4sI", f.read(8))
        body = f.read(32) if tag in (b"fmt ", b"ds64") else b""
        if tag == b"ds64" and len(body) >= 16:
            long_data = struct.unpack("<Q", body[8:16])[0]
        if tag == b"fmt " and len(body) >= 12:
            rate, bytes_per_second = struct.unpack(f"{order}II", body[4:12])
            check_rate(rate, name)
        if tag == b"data":
            claimed = long_data if length == _UNKNOWN_SIZE and long_data else length
            there = size - at - 8
            unknown = claimed == _UNKNOWN_SIZE or (streamed and claimed >= STREAMED_SIZE)
            if claimed > there and not unknown:
                per_second = bytes_per_second or 1
                raise cut_short(name, there / per_second, claimed / per_second)
            break
        at += 8 + length + (length & 1)
    f.seek(begin)


def _check_size(head: bytes, size: int, name: str) -> None:
    """AIFF and AU say in their first bytes how long they are; AU need not."""
    if head[:4] == b"FORM":
        claimed = 8 + int.from_bytes(head[4:8], "big")
    else:
        data = int.from_bytes(head[8:12], "big")
        claimed = 0 if data == _UNKNOWN_SIZE else int.from_bytes(head[4:8], "big") + data
    if claimed > size:
        raise InputError(
            f"is cut short: its header announces {claimed:,} bytes, {size:,} are there",
            where=name,
            remedy="copy it again",
        )


def _check_ogg(f: BinaryIO, size: int, name: str) -> None:
    """The last page of an Ogg file must be whole: its length is in its header (RFC 3533, section 6)."""
    begin = f.tell()
    tail_at = max(0, size - 66_000)  # a page has at most 65,307 bytes
    f.seek(begin + tail_at)
    tail = f.read()
    f.seek(begin)
    page = tail.rfind(b"OggS")
    header = tail[page : page + 27] if page >= 0 else b""
    segments = tail[page + 27 : page + 27 + header[26]] if len(header) == 27 else b""
    whole = len(header) == 27 and len(segments) == header[26] and page + 27 + header[26] + sum(segments) <= len(tail)
    if not whole:
        raise InputError(
            "is cut short: its last page is not whole",
            where=name,
            remedy="copy it again, or keep what is there with `ffmpeg -i FILE new.wav`",
        )


def _is_chained(f: BinaryIO, size: int) -> bool:
    """Whether an Ogg file is several, one after the other: a stream begins after pages of another."""
    begin, at, body, chained = f.tell(), 0, False, False
    while at + 27 <= size and not chained:
        f.seek(begin + at)
        page = f.read(27 + 255)
        if page[:4] != b"OggS":
            break
        first = bool(page[5] & 2)
        chained = first and body
        body |= not first
        at += 27 + page[26] + sum(page[27 : 27 + page[26]])
    f.seek(begin)
    return chained


def _has_xing(f: BinaryIO) -> bool:
    """Whether an MP3's first frame, after its ID3v2 tag, says how many frames follow (a Xing or Info header)."""
    begin = f.tell()
    head = f.read(10)
    if head.startswith(b"ID3") and len(head) == 10:  # the tag's size is four groups of seven bits
        f.seek(begin + 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:10])))
    else:
        f.seek(begin)
    frame = f.read(256)
    f.seek(begin)
    return b"Xing" in frame or b"Info" in frame


def cut_short(name: str, there: float, claimed: float) -> InputError:
    return InputError(
        f"is cut short or damaged: its header announces {claimed:,.2f} s, {there:,.2f} s are there",
        where=name,
        remedy="copy it again, or keep what is there with `ffmpeg -i FILE new.wav`",
    )


def no_samples(name: str) -> InputError:
    return InputError("holds no audio samples", where=name, remedy="record or copy it again")
