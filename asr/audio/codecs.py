"""Files of audio decoded in pieces, whatever the format.

libsndfile (soundfile) reads WAV, FLAC, Ogg, Opus, AIFF, AU, CAF and SPHERE; PyAV reads MP3 (libsndfile's decoder
writes its complaints to standard error) and what else there is: M4A/MP4, WebM/Matroska, AVI, MPEG, FLV, AAC, AC-3, AMR,
WMA, WavPack. What a file is `asr.audio.containers` knows.

Memory follows the audio that is there and never a number in a header. FFmpeg gets an open file and the name of one
container format, so a file cannot make it open another file or address.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from asr.audio.containers import Container, find_container, tell_joined_flac
from asr.audio.faults import check_rate, cut, tell_once
from asr.audio.parts import Part
from asr.utils.errors import InputError

Samples: TypeAlias = npt.NDArray[np.float32]

BLOCK_SAMPLES = 1 << 14  # decoded at a time, over all channels; what stands before a damaged place is got in blocks
_PAST_END = 39  # libsndfile's error at the end of a FLAC whose header has no length
_TIMED = ("matroska", "mov", "mp4", "asf", "flv", "mpeg")  # containers that say when each piece of sound is
_LOSSLESS = ("pcm_", "flac", "alac", "wavpack", "tta", "ape", "tak", "mlp", "truehd")
_ESTIMATE = 0.05  # of its length: by so much less than a header says may a compressed track be
_LONGEST_GAP = 3600.0  # seconds
_JITTER = 0.05  # seconds
_SILENT = 1e-4  # a track whose samples are all below it is as good as empty


class Stream:
    """Decoded audio: `blocks(first_frame)` yields float32 arrays of shape (n, channels)."""

    rate: int
    channels: int
    frames: int | None  # as the header says; None where it does not
    format: str
    tracks: int = 1  # sound tracks in the file, of which this is one
    missing: str = ""  # why it is not there to its end: an InputError behind the last block
    tolerance: float = 0.0  # seconds by which a codec's header may differ from what it decodes to

    def blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        raise NotImplementedError


class _SoundfileStream(Stream):
    def __init__(self, sound: Any, container: Container, name: str) -> None:
        self.sound, self.file, self.name, self.missing = sound, container.file, name, container.missing
        self.rate, self.channels = sound.samplerate, sound.channels
        self.format = f"{sound.format}/{sound.subtype}"
        # libsndfile gives a length of 2**63 - 1 where a format has none.
        self.frames = sound.frames if 0 <= sound.frames < 1 << 48 else None

    def blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        yield from self._blocks(first)
        if self.missing:
            raise cut(self.name, self.missing)

    def _blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        import soundfile

        skip = 0
        if self.frames is None:  # a FLAC that was written to a pipe: there is no seeking in it
            skip = first
        elif first:
            try:
                self.sound.seek(first)
            except soundfile.LibsndfileError:
                return
        left = None if self.frames is None else max(0, self.frames - first)
        while True:
            error, at = None, self.file.tell()
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
            if left is not None and self.sound.format == "FLAC":  # of which libsndfile reads another behind it, too
                block, left = block[:left], max(0, left - len(block))
            if len(block) > skip:
                yield block[skip:]
            skip = max(0, skip - len(block))
            if left == 0:
                tell_joined_flac(self.file, at, self.name)
                return
            if self.frames is None and error is not None and error.code != _PAST_END:
                raise InputError(f"is damaged or cut short ({error})", where=self.name, remedy="copy it again")
            if error is not None or not len(block):
                return  # the caller compares what came with what the header claims


class _AvStream(Stream):
    def __init__(self, opened: Any, container: Container, name: str, track: int) -> None:
        self.container, self.name, self.missing = opened, name, container.missing
        self.tracks = len(opened.streams.audio)
        self.track = opened.streams.audio[track - 1]
        codec = self.track.codec_context
        if codec is None:
            raise InputError("is of a codec that is not known", where=name, remedy="convert it to WAV or FLAC")
        self.rate, self.channels = codec.sample_rate, codec.channels
        self.format = f"{opened.format.name.split(',')[0]}/{codec.name}"
        seconds = _track_seconds(opened, self.track)
        self.frames = round(seconds * self.rate) if seconds and container.exact and self.rate else None
        self.timed = opened.format.name.startswith(_TIMED)
        self.damaged = 0
        self.lost = 0  # samples, in place of which there is silence
        self.tolerance = 0.25  # a container's length includes the encoder's padding
        if seconds and not codec.name.startswith(_LOSSLESS) and container.kind.format != "mp3":
            self.tolerance = max(self.tolerance, _ESTIMATE * seconds)

    def blocks(self, first: int) -> Iterator[npt.NDArray[np.float32]]:
        for block in self._placed():
            if len(block) > first:
                yield block[first:]
            first = max(0, first - len(block))
        if self.missing:
            raise cut(self.name, self.missing)
        # A stream that does not know its length can only be judged by what in it could not be decoded; its last
        # packet may be cut anywhere.
        if self.frames is None and self.damaged == 1:
            tell_once(f"{self.name}: a piece of it cannot be decoded: it may be damaged, or have been cut short")
        if (self.frames is None and self.damaged > 1) or self.lost > 0.25 * self.rate:
            raise InputError(
                f"is damaged: {self.damaged} pieces of it cannot be decoded", where=self.name, remedy="copy it again"
            )

    def _placed(self) -> Iterator[npt.NDArray[np.float32]]:
        """What is decoded, at its time: silence stands where the container says that there is nothing."""
        import av

        layout = self.track.codec_context.layout
        resampler = av.AudioResampler("flt", layout, self.rate)  # which SBR may double
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
            try:
                parts = resampler.resample(frame)
            except (av.error.FFmpegError, ValueError):  # rate or channels change on the way
                if self.damaged > errors:
                    self.damaged += 2
                    return
                resampler = av.AudioResampler("flt", layout, self.rate)
                parts = resampler.resample(frame)
            errors = self.damaged
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


def decoder_of(f: BinaryIO, name: str, streamed: bool, track: int | None = None) -> Stream:
    """Opens the sound in a file.

    Args:
        streamed: Whether the file came through a pipe.
        track: Which of its sound tracks, from 1; None: the first in which there is anything.

    Raises:
        InputError: There is no sound that can be read, or no such track.
    """
    import soundfile

    if not isinstance(f.read(0), bytes):
        raise InputError("was opened as text", where=name, remedy="open it with mode 'rb'")
    container = find_container(f, name, streamed)
    file, (form, known_to_soundfile) = container.file, container.kind
    if known_to_soundfile:
        try:
            sound = soundfile.SoundFile(file)
            check_rate(sound.samplerate, name)
            return _SoundfileStream(sound, container, name)
        except (soundfile.LibsndfileError, RuntimeError, TypeError):
            file.seek(0)
    if form:
        import av

        try:
            opened = _open(file, form)
            count = len(opened.streams.audio)
            if not count:
                raise InputError("holds no audio track", where=name, remedy="choose another file")
            check_track(track, count, name)
            if track is None and count > 1:
                track = _choose_track(file, opened, name)
                opened = _open(file, form)
            stream = _AvStream(opened, container, name, track or 1)
            check_rate(stream.rate, name)
            return stream
        except (av.error.FFmpegError, ValueError, OSError) as e:
            if isinstance(e, InputError):
                raise
    if form == "mp4" and not container.missing:
        raise InputError("was not finished: it has no index (moov)", where=name, remedy="copy it again, or repair it")
    if container.missing:
        raise cut(name, container.missing)
    looks = f"it begins like {form}, but is damaged" if form else "no known format"
    remedy = "convert it, e.g. with `ffmpeg -i FILE new.wav`, or copy it again if it is damaged"
    if not form:
        remedy = f"samples without a header: `ffmpeg -f s16le -ar 16000 -i FILE new.wav`, as they are; else {remedy}"
    raise InputError(f"is not audio that can be read ({looks})", where=name, remedy=remedy)


def _open(file: Part, format: str) -> Any:
    import av

    file.seek(0)
    return av.open(file, "r", format=format, metadata_errors="ignore")


def _choose_track(file: Part, opened: Any, name: str) -> int:
    """The first sound track, from 1, that is not silent; which of how many it is is told."""
    form, languages = opened.format.name.split(",")[0], [track.language for track in opened.streams.audio]
    count = len(languages)
    chosen = next((number for number in range(1, count + 1) if _sounds(file, form, number - 1)), 1)
    named = ", ".join(f"{n} {language}" for n, language in enumerate(languages, 1) if language not in (None, "und"))
    why = ", as those before are silent" if chosen > 1 else ""
    tell_once(
        f"{name}: track {chosen} of {count} is read{why}{f' ({named})' if named else ''}; --track, track= takes another"
    )
    return chosen


def _sounds(file: Part, format: str, number: int) -> bool:
    """Whether there is anything in a sound track; what cannot be decoded is nothing."""
    import av

    with _open(file, format) as container:
        track = container.streams.audio[number]
        if track.codec_context is None:
            return False
        to_floats = av.AudioResampler("flt", track.codec_context.layout)
        try:
            return any(
                np.abs(part.to_ndarray()).max(initial=0.0) > _SILENT
                for frame in container.decode(track)
                for part in to_floats.resample(frame)
            )
        except (av.error.FFmpegError, ValueError, IndexError):
            return False


def check_track(track: int | None, count: int, name: str) -> None:
    """Raises an InputError where there is no such sound track."""
    if track is not None and not 1 <= track <= count:
        there = "one" if count == 1 else f"{count}"
        raise InputError(f"has no sound track {track}, only {there}", where=name, remedy="tracks count from 1")
