from __future__ import annotations

import contextlib
import io
import math
import os
import random
import re
import resource
import signal
import struct
import threading
import time
import tracemalloc
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
import torch
from helpers import speechlike
from wording import wording

from asr.audio.reader import Samples, audio_info, find_audio, header_duration, read_audio, read_blocks
from asr.utils.errors import InputError

RATE = 16000
SPEECH = speechlike(1.5, RATE)
STEREO = np.stack([speechlike(1.5, RATE, seed=1), speechlike(1.5, RATE, seed=2)], axis=1)

# name -> (libsndfile's format, its subtype, the largest error that its quantisation allows)
EXACT = {
    "pcm8.wav": ("WAV", "PCM_U8", 1 / 127),
    "pcm16.wav": ("WAV", "PCM_16", 1 / 32767),
    "pcm24.wav": ("WAV", "PCM_24", 1e-6),
    "pcm32.wav": ("WAV", "PCM_32", 1e-6),
    "float.wav": ("WAV", "FLOAT", 0),
    "double.wav": ("WAV", "DOUBLE", 0),
    "alaw.wav": ("WAV", "ALAW", 0.02),
    "ulaw.wav": ("WAV", "ULAW", 0.02),
    "x.flac": ("FLAC", "PCM_16", 1 / 32767),
}
LOSSY = {"x.ogg": ("OGG", "VORBIS"), "x.opus": ("OGG", "OPUS"), "x.mp3": ("MP3", None)}
AV = {"x.m4a": ("mp4", "aac"), "x.webm": ("webm", "libopus")}
FORMATS = [*EXACT, *LOSSY, *AV]


def encoded(name: str, samples: Samples = SPEECH, rate: int = RATE) -> bytes:
    """The bytes of a file of that name."""
    out = io.BytesIO()
    if name in AV:
        container_format, codec = AV[name]
        with av.open(out, "w", format=container_format) as container:
            stream = container.add_stream(codec, rate=rate, layout="mono")
            stream.bit_rate = 64_000
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    else:
        container_format, subtype = (EXACT.get(name) or LOSSY[name])[:2]
        soundfile.write(out, samples, rate, format=container_format, subtype=subtype)
    return out.getvalue()


def correlation(got: Samples, wanted: Samples) -> float:
    """Of two signals, after the delay that a codec brings (less than 0.2 s) is taken out."""
    best = 0.0
    for lag in range(-200, 3200):
        a, b = (got[lag:], wanted) if lag >= 0 else (got, wanted[-lag:])
        n = min(len(a), len(b), 4000)
        best = max(best, float(np.corrcoef(a[:n], b[:n])[0, 1]))
    return best


def with_wav_length(data: bytes, length: int) -> bytes:
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", length) + data[at + 4 :]


def with_flac_length(data: bytes, samples: int) -> bytes:
    """STREAMINFO holds the number of samples in the low 36 bits of its bytes 10-17."""
    field = int.from_bytes(data[18:26], "big") >> 36 << 36 | samples
    return data[:18] + field.to_bytes(8, "big") + data[26:]


def refusal(source: object, rate: int = RATE, *, name: str | None = None, **options: object) -> str:
    """The message of the InputError that reading must raise: it begins with the file, is one line, has a remedy."""
    with pytest.raises(InputError) as caught:
        read_audio(source, rate, name=name, **options)
    message = str(caught.value)
    assert message.startswith(f"{name or source}: ")
    assert re.fullmatch(r"[^\n\r]+; [^\n\r]+", message), message
    return message


@pytest.mark.parametrize("name", EXACT)
def test_formats_without_loss_come_back_within_their_quantisation(name: str) -> None:
    got = read_audio(encoded(name), RATE)
    assert got.dtype == np.float32
    assert got.shape == SPEECH.shape
    assert np.abs(got - SPEECH).max() <= EXACT[name][2]


@pytest.mark.parametrize("name", [*LOSSY, *AV])
def test_lossy_formats_sound_as_the_original(name: str) -> None:
    got = read_audio(encoded(name), RATE)
    assert got.dtype == np.float32
    assert 0 <= len(got) - len(SPEECH) < 0.1 * RATE
    assert correlation(got, SPEECH) > 0.98


@pytest.mark.parametrize("name", FORMATS)
def test_info_says_what_was_written(name: str) -> None:
    info = audio_info(encoded(name))
    assert info.duration == pytest.approx(1.5, abs=0.05 if name in AV else 1e-3)
    assert info.channels == 1
    assert info.sample_rate == (48_000 if name == "x.webm" else RATE)  # Opus in Matroska is always at 48 kHz
    expected = {"x.mp3": "mp3", "x.m4a": "mp4/aac", "x.webm": "matroska/opus"}.get(name)
    assert info.format.startswith(expected or "/".join((EXACT.get(name) or LOSSY[name])[:2]))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("wanted", [8000, 16000, 22050])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_rate_and_channels_become_mono_at_the_rate_asked_for(rate: int, wanted: int, channels: int) -> None:
    samples = np.stack([speechlike(0.7, rate, seed=i) for i in range(channels)], axis=1)
    data = encoded("float.wav", samples, rate)
    assert audio_info(data).channels == channels
    for channel, mono in [(None, samples.mean(axis=1)), (channels - 1, samples[:, -1])]:
        got = read_audio(data, wanted, channel=channel)
        expected = soxr.resample(mono.astype(np.float32), rate, wanted)
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() < 1e-5


def test_path_file_bytes_array_and_pipe_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded("float.wav"))
    read, write = os.pipe()

    def feed() -> None:
        with open(write, "wb") as f:
            f.write(path.read_bytes())

    feeder = threading.Thread(target=feed)
    feeder.start()
    with open(path, "rb") as file, open(read, "rb") as pipe:
        sources = [path, str(path), file, path.read_bytes(), io.BytesIO(path.read_bytes()), (SPEECH, RATE), pipe]
        for source in sources:
            np.testing.assert_array_equal(read_audio(source, RATE), SPEECH)
        assert not file.closed
    feeder.join()


class Pipe(io.BytesIO):
    """Bytes that can only be read on."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation("seek")


@pytest.mark.parametrize(("name", "channels"), [*((name, 1) for name in FORMATS), *((name, 3) for name in EXACT)])
def test_what_comes_through_a_pipe_is_as_in_a_file(name: str, channels: int) -> None:
    data = encoded(name, SPEECH if channels == 1 else np.stack([SPEECH, 0.5 * SPEECH, -SPEECH], 1))
    assert audio_info(Pipe(data)).duration == audio_info(data).duration
    np.testing.assert_array_equal(read_audio(Pipe(data), RATE), read_audio(data, RATE))
    np.testing.assert_array_equal(
        read_audio(Pipe(data), RATE, start=0.7, duration=0.2, channel=channels - 1),
        read_audio(data, RATE, start=0.7, duration=0.2, channel=channels - 1),
    )


PLAIN = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"]


@pytest.mark.parametrize(("format", "subtype"), [("WAV", "IMA_ADPCM"), *product(["WAV", "WAVEX"], PLAIN)])
def test_wavs_of_all_kinds_through_a_pipe(format: str, subtype: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, SPEECH, RATE, format=format, subtype=subtype)
    data = file.getvalue()
    np.testing.assert_array_equal(read_audio(Pipe(data), RATE), read_audio(data, RATE))
    with pytest.raises(InputError, match=wording("cut-short")):
        read_audio(Pipe(data[: len(data) // 2]), RATE)


@pytest.mark.parametrize("name", ["pcm16.wav", "alaw.wav", "x.flac", "x.mp3"])
def test_a_pipe_that_gives_little_at_a_time(name: str) -> None:
    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self.data = io.BytesIO(encoded(name))

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            got = self.data.read(min(len(buffer), 777))
            buffer[: len(got)] = got
            return len(got)

    pipe = Slow()
    np.testing.assert_array_equal(read_audio(pipe, RATE), read_audio(encoded(name), RATE))
    assert not pipe.closed


def test_a_long_pipe_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.audio.sources._MOST_IN_MEMORY", 1000)
    for name in ("x.flac", "x.mp3", "x.webm"):
        np.testing.assert_array_equal(read_audio(Pipe(encoded(name)), RATE), read_audio(encoded(name), RATE))


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_microphone_is_heard_while_it_records(length: int) -> None:
    data = encoded("pcm16.wav")
    whole = read_audio(data, RATE)
    head = bytearray(data[:44])
    struct.pack_into("<I", head, 40, length)
    read, write = os.pipe()
    with open(read, "rb") as pipe, open(write, "wb", buffering=0) as microphone:
        microphone.write(head)
        microphone.write(data[44 : 44 + 2 * RATE])  # a second; it is not closed
        blocks = read_blocks(pipe, RATE, seconds=0.25)
        np.testing.assert_array_equal(next(blocks), whole[: RATE // 4])
        microphone.write(data[44 + 2 * RATE :])
        microphone.close()
        np.testing.assert_array_equal(np.concatenate(list(blocks)), whole[RATE // 4 :])


def test_headers_of_files_say_how_long_they_are(tmp_path: Path) -> None:
    for name in ("pcm16.wav", "x.m4a", "x.mp3"):
        (tmp_path / name).write_bytes(encoded(name))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert header_duration(tmp_path / "pcm16.wav") == pytest.approx(1.5)
    assert header_duration(str(tmp_path / "x.m4a")) == pytest.approx(1.5, abs=0.1)
    for name in ("broken.wav", "nowhere.wav", ".", "-"):
        assert header_duration(tmp_path / name) is None


def test_a_file_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"something else" + encoded("float.wav"))
    file.seek(14)
    np.testing.assert_array_equal(read_audio(file, RATE), SPEECH)


def test_arrays_of_any_shape_and_type() -> None:
    np.testing.assert_allclose(read_audio((STEREO, RATE), RATE), STEREO.mean(axis=1), atol=1e-7)
    np.testing.assert_array_equal(read_audio((STEREO.T, RATE), RATE, channel=1), STEREO[:, 1])
    np.testing.assert_array_equal(read_audio((SPEECH.astype(np.float64), RATE), RATE), SPEECH)
    extremes = {np.int16: [-32768, 0, 16384], np.int32: [-(2**31), 0, 2**30], np.uint8: [0, 128, 192]}
    for kind, values in extremes.items():
        np.testing.assert_array_equal(read_audio((np.array(values, kind), RATE), RATE), np.float32([-1, 0, 0.5]))


def test_channels_that_cancel_each_other() -> None:
    crossed = np.stack([0.9 * SPEECH, -SPEECH], axis=1)
    np.testing.assert_array_equal(read_audio((crossed, RATE), RATE), -SPEECH)
    half = np.stack([SPEECH, np.zeros_like(SPEECH)], axis=1)
    np.testing.assert_allclose(read_audio((half, RATE), RATE), SPEECH / 2, atol=1e-7)


@pytest.mark.parametrize("name", ["pcm16.wav", "x.flac", "x.mp3", "x.m4a"])
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("seconds", [0.1, 0.33, 30.0])
def test_blocks_joined_are_the_whole(name: str, rate: int, seconds: float) -> None:
    data = encoded(name)
    blocks = list(read_blocks(data, rate, seconds=seconds))
    assert all(len(block) == round(seconds * rate) for block in blocks[:-1])
    assert 0 < len(blocks[-1]) <= round(seconds * rate)
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(data, rate))


@pytest.mark.parametrize("name", FORMATS)
def test_a_segment_is_that_part_of_the_whole(name: str) -> None:
    data = encoded(name)
    rate = audio_info(data).sample_rate
    whole = read_audio(data, rate)
    got = read_audio(data, rate, start=0.5, duration=0.25)
    np.testing.assert_allclose(got, whole[round(0.5 * rate) : round(0.75 * rate)], atol=1e-6)
    np.testing.assert_allclose(read_audio(data, rate, start=1.0), whole[rate:], atol=1e-6)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFF0000])
def test_wav_of_unknown_length_is_read_to_its_end(length: int) -> None:
    data = with_wav_length(encoded("pcm16.wav"), length)
    np.testing.assert_array_equal(read_audio(data, RATE), read_audio(encoded("pcm16.wav"), RATE))


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36])
def test_a_wav_that_its_recorder_did_not_finish_is_read_to_its_end(length: int, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(with_wav_length(encoded("pcm16.wav"), length))
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", RATE), read_audio(encoded("pcm16.wav"), RATE))
    assert audio_info(tmp_path / "a.wav").duration == 1.5


def test_a_wav_without_sound_has_none(tmp_path: Path) -> None:
    empty = with_wav_length(encoded("pcm16.wav"), 0)[:44]
    for rest in (b"", b"LIST" + struct.pack("<I", 4) + b"INFO"):
        (tmp_path / "a.wav").write_bytes(empty + rest)
        assert "no audio samples" in refusal(tmp_path / "a.wav")


def test_flac_of_unknown_length_is_read_to_its_end() -> None:
    """Lost up to 16 s at its end: libsndfile raises an error there instead of giving what it has."""
    data = with_flac_length(encoded("x.flac"), 0)
    np.testing.assert_allclose(read_audio(data, RATE), SPEECH, atol=1e-4)
    np.testing.assert_allclose(read_audio(data, RATE, start=1.25), SPEECH[20000:], atol=1e-4)
    assert audio_info(data).duration == 1.5
    refusal(data[: len(data) // 2], name="a.flac")


def test_find_audio(tmp_path: Path) -> None:
    for name in ["b.wav", "a/B.FLAC", "a/c.txt", ".hidden/d.wav", ".e.wav", "f.mp3"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_audio(tmp_path) == [tmp_path / "a/B.FLAC", tmp_path / "b.wav", tmp_path / "f.mp3"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [0, 0.5])
def test_half_a_file(name: str, size: float, tmp_path: Path) -> None:
    data = encoded(name)
    path = tmp_path / name
    path.write_bytes(data[: int(size * len(data))])
    assert re.search("cut short|damaged" if size else "0 bytes", refusal(path))


@pytest.mark.parametrize("name", ["x.flac", "x.mp3"])
def test_a_file_cut_short_is_told_with_what_is_there(name: str) -> None:
    data = encoded(name)
    message = refusal(data[: len(data) // 2], name="a")
    announced, there = map(float, re.findall(r"(\d+\.\d\d) s", message))
    assert announced == 1.5
    assert 0.3 < there < 1.0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x07\x00diary\x00" * 20, "no known format"),
        (encoded("pcm16.wav")[:24] + bytes(4) + encoded("pcm16.wav")[28:], "rate of 0 Hz"),
        (encoded("pcm16.wav", SPEECH[:0]), "no audio samples"),
        (with_wav_length(encoded("pcm16.wav"), 100_000), "announces 3.12 s, 1.50 s are there"),
        (with_flac_length(encoded("x.flac"), 48_000), "announces 3.00 s, 1.50 s are there"),
        (with_flac_length(encoded("x.flac"), (1 << 36) - 1), "1.50 s are there"),
        (encoded("float.wav", np.where(np.arange(24000) == 9, np.nan, SPEECH)), "not numbers"),
        (encoded("float.wav", np.where(np.arange(24000) == 9, np.inf, SPEECH)), "not numbers"),
        (encoded("float.wav", np.where(np.arange(24000) == 9, np.float32(3e38), SPEECH)), "not numbers"),
        (encoded("pcm16.wav")[:20] + b"\x99\x99" + encoded("pcm16.wav")[22:], "codec"),
    ],
    ids=["unknown", "rate-0", "no-samples", "long-wav", "long-flac", "longest-flac", "nan", "inf", "huge", "codec"],
)
def test_files_that_are_no_audio(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    assert words in refusal(path, 8000)


def film(container_format: str, sound: list[tuple[float, Samples]], seconds: float = 0.0, codec: str = "aac") -> bytes:
    """Sounds, each from a time on, with a picture that lasts so long."""
    out = io.BytesIO()
    with av.open(out, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=RATE if codec == "aac" else 48000, layout="mono")
        picture = container.add_stream("mpeg4", rate=10) if seconds else None
        if picture is not None:
            picture.width = picture.height = 64
            for number in range(round(10 * seconds)):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number, np.uint8), format="rgb24")
                frame.pts = number
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        at = 0.0
        for begin, samples in sound:
            samples = samples if codec == "aac" else soxr.resample(samples, RATE, stream.rate)
            at = max(at, begin)
            for part in np.split(samples, range(1024, len(samples), 1024)):
                frame = av.AudioFrame.from_ndarray(part[None].astype(np.float32), format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = stream.rate, Fraction(1, stream.rate)
                frame.pts = round(at * stream.rate)
                at += len(part) / stream.rate
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize("container_format", ["mp4", "matroska"])
def test_a_picture_may_last_longer_than_its_sound(container_format: str) -> None:
    data = film(container_format, [(0.0, SPEECH)], seconds=4)
    assert audio_info(data).duration == pytest.approx(1.5, abs=0.1)
    assert len(read_audio(data, RATE)) / RATE == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("container_format", ["mp4", "matroska"])
def test_sound_that_begins_late_or_pauses_has_the_times_of_the_film(container_format: str) -> None:
    got = read_audio(film(container_format, [(2.0, SPEECH), (6.0, SPEECH)], seconds=8), RATE)
    heard = np.flatnonzero(np.abs(got) > 0.05) / RATE
    apart = heard[np.flatnonzero(np.diff(heard) > 1)]
    assert heard[0] == pytest.approx(2.0, abs=0.15)
    assert len(apart) == 1
    assert 3.0 < apart[0] < 3.7
    assert heard[heard > 4][0] == pytest.approx(6.0, abs=0.15)


@pytest.mark.parametrize(
    ("container_format", "codec", "picture"),
    [("avi", "libmp3lame", 1.5), ("mpegts", "mp2", 1.5), ("mpeg", "mp2", 1.5), ("flv", "aac", 0.0)],
)
def test_films_of_other_formats(container_format: str, codec: str, picture: float) -> None:
    assert correlation(read_audio(film(container_format, [(0.0, SPEECH)], picture, codec), RATE), SPEECH) > 0.9


@pytest.mark.parametrize("name", ["x.ogg", "x.opus"])
def test_ogg_files_one_after_another_in_one_are_read_to_the_end(name: str) -> None:
    other = np.ascontiguousarray(SPEECH[::-1])
    got = read_audio(encoded(name) + encoded(name, other), RATE)
    assert len(got) / RATE == pytest.approx(3.0, abs=0.1)
    assert correlation(got[: len(SPEECH)], SPEECH) > 0.9
    assert correlation(got[-len(SPEECH) :], other) > 0.9


def test_mp3_that_is_damaged_is_read_up_to_there() -> None:
    data = encoded("x.mp3", speechlike(20, RATE))
    middle = len(data) // 2
    damaged = data[:middle] + random.Random(1).randbytes(20_000) + data[middle + 20_000 :]
    blocks = read_blocks(damaged, RATE, seconds=0.1)
    parts: list[Samples] = []
    with pytest.raises(InputError, match=wording("cut-short-or-damaged")):
        parts.extend(blocks)
    got = np.concatenate(parts)
    assert len(got) / RATE <= 20 * middle / len(data) + 0.3
    assert np.corrcoef(got, read_audio(data, RATE)[: len(got)])[0, 1] > 0.9


def test_a_header_that_claims_two_gigabytes_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a"
    claims = {
        "pcm16.wav": lambda data: with_wav_length(data, 2_000_000_000),
        "x.flac": lambda data: with_flac_length(data, 1_000_000_000),
    }
    for name, claim in claims.items():
        path.write_bytes(claim(encoded(name))[:1000])
        tracemalloc.start()
        refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 2.0}, "ends before 2.00 s"),
        ({"start": 2.0, "duration": 1.0}, "ends before 2.00 s"),
        ({"start": 1.0, "duration": 1.0}, "ends at 1.5"),
        ({"start": -1.0}, "not a stretch of time"),
        ({"start": float("nan")}, "not a stretch of time"),
        ({"start": 1e30}, "not a stretch of time"),
        ({"duration": 0.0}, "not a stretch of time"),
        ({"channel": 1}, "no channel 1"),
    ],
)
@pytest.mark.parametrize("name", ["pcm16.wav", "x.flac", "x.m4a"])
def test_segments_that_are_not_there(options: dict, words: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(name))
    assert words in refusal(path, **options)


def test_a_segment_may_end_a_few_samples_after_the_audio() -> None:
    assert len(read_audio((SPEECH, RATE), RATE, start=1.0, duration=0.51)) == RATE // 2


def test_places_that_hold_no_file(tmp_path: Path) -> None:
    assert "folder" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "no\nsuch.wav", name="no such.wav")
    assert "device" in refusal("/dev/zero")
    assert "cannot be opened" in refusal("a\0b.wav", name="a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded("pcm16.wav"))
    path.chmod(0)
    assert "chmod u+r" in refusal(path)


@pytest.mark.parametrize(
    "array", [np.zeros(0), np.zeros((2, 2, 2)), np.zeros((4, 0)), np.array(["a"]), [[1, 2], [3]], np.full(5, np.nan)]
)
def test_arrays_that_are_no_audio(array: object) -> None:
    refusal((array, RATE), name="array")


@pytest.mark.parametrize(
    "source",
    [(torch.zeros(9, requires_grad=True), RATE), (SPEECH, None), (SPEECH, math.nan), (SPEECH,), (SPEECH, RATE, 1)],
)
def test_tuples_that_are_no_audio(source: tuple[object, ...]) -> None:
    refusal(source, name="array")


def test_a_file_that_was_closed(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(encoded("pcm16.wav"))
    with open(tmp_path / "a.wav", "rb") as file:
        pass
    assert "closed" in refusal(file, name="a.wav")


def test_anything_like_bytes_and_anything_that_reads() -> None:
    data = encoded("x.mp3")

    class Reader:
        def __init__(self) -> None:
            self.read = io.BytesIO(data).read

    for source in (bytearray(data), memoryview(data), Reader()):
        np.testing.assert_array_equal(read_audio(source, RATE), read_audio(data, RATE))  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit for files here")
def test_a_pipe_that_the_disk_has_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.audio.sources._MOST_IN_MEMORY", 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(InputError, match=wording("cannot-be-kept-on-disk")):
            read_audio(Pipe(encoded("x.flac")), RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("rate", [0, -1, 10**9])
def test_rates_that_cannot_be(rate: int) -> None:
    refusal((SPEECH, rate), name="array")
    with pytest.raises(InputError, match=str(rate)):
        read_audio((SPEECH, RATE), rate)


def test_an_impossible_jump_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    out = io.BytesIO()
    soundfile.write(out, SPEECH, RATE, format="AIFF")
    data = bytearray(out.getvalue())
    data[data.index(b"SSND")] = 0xFF  # the chunk with the samples is not found
    with contextlib.suppress(InputError):
        read_audio(bytes(data), RATE)
    assert capfd.readouterr().err == ""


def mutants(rng: random.Random, files: list[bytes], count: int) -> list[bytes]:
    """Files with flipped bits, bytes set to extremes in the header or near the end, cut short, or joined to another."""
    out = []
    for i in range(count):
        data = bytearray(files[i % len(files)])
        kind = rng.choice(["flip", "head", "tail", "cut", "splice"])
        if kind == "flip":
            for _ in range(rng.choice([1, 5, 50])):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del data[rng.randrange(len(data)) :]
        elif kind == "splice":
            other = rng.choice(files)
            data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]
        else:
            low, high = (0, 200) if kind == "head" else (max(0, len(data) - 1000), len(data))
            for _ in range(rng.choice([1, 2, 6])):
                data[rng.randrange(low, high)] = rng.choice([0, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        out.append(bytes(data))
    return out


def test_damaged_files_give_samples_or_an_input_error(capfd: pytest.CaptureFixture[str]) -> None:
    names = ["pcm16.wav", "float.wav", "alaw.wav", "x.flac", "x.ogg", "x.opus", "x.mp3", "x.m4a", "x.webm"]
    files = [encoded(name, SPEECH[:8000]) for name in names]
    began = time.monotonic()
    read = refused = 0
    for data in mutants(random.Random(1), files, 900):
        try:
            samples = read_audio(data, 8000)
            assert len(samples)
            assert np.isfinite(samples).all()
            assert audio_info(data).duration > 0
            read += 1
        except InputError:
            refused += 1
    assert read > 100
    assert refused > 100
    assert capfd.readouterr().err == ""
    assert time.monotonic() - began < 20
