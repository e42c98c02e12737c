"""What a file of audio is, whatever stands before or behind its sound, and however its header counts."""

from __future__ import annotations

import io
import os
import random
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from helpers import speechlike
from wording import wording

from asr.audio.reader import Samples, Selected, audio_info, read_audio, read_blocks
from asr.utils.errors import InputError

RATE = 16000
SPEECH = speechlike(1.5, RATE)


def coded(format: str, codec: str, *tracks: Samples, options: dict[str, str] | None = None, rate: int = RATE) -> bytes:
    """A file of one or several sound tracks, as FFmpeg writes it."""
    out = io.BytesIO()
    with av.open(out, "w", format=format, options=options or {}) as container:
        streams = [container.add_stream(codec, rate=rate, layout="mono") for _ in tracks]
        for stream, samples in zip(streams, tracks, strict=True):
            stream.bit_rate = 64_000
            resampler = av.AudioResampler(stream.format.name, "mono", rate, frame_size=stream.frame_size or 1024)
            frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return out.getvalue()


def plain(format: str, subtype: str = "PCM_16") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, SPEECH, RATE, format=format, subtype=subtype)
    return out.getvalue()


BARE = {"write_xing": "0", "id3v2_version": "0", "write_id3v1": "0"}
FILES: dict[str, Callable[[], bytes]] = {
    "wav": lambda: plain("WAV"),
    "flac": lambda: plain("FLAC"),
    "aiff": lambda: plain("AIFF"),
    "ogg": lambda: plain("OGG", "VORBIS"),
    "caf": lambda: plain("CAF"),
    "alac.caf": lambda: coded("caf", "alac", SPEECH),
    "xing.mp3": lambda: coded("mp3", "libmp3lame", SPEECH),
    "mp3": lambda: coded("mp3", "libmp3lame", SPEECH, options=BARE),
    "mp2": lambda: coded("mp2", "mp2", SPEECH),
    "adts": lambda: coded("adts", "aac", SPEECH),
    "m4a": lambda: coded("mp4", "aac", SPEECH),
    "ac3": lambda: coded("ac3", "ac3", SPEECH, rate=48000),
    "mkv": lambda: coded("matroska", "aac", SPEECH),
}
made: dict[str, bytes] = {}


def file(name: str) -> bytes:
    if name not in made:
        made[name] = FILES[name]()
    return made[name]


def id3(body: bytes, size: int | None = None, footer: bool = False) -> bytes:
    """An ID3v2 tag; its size is four groups of seven bits."""
    count = len(body) if size is None else size
    numbers = bytes([4, 0, 0x10 if footer else 0, *(count >> shift & 0x7F for shift in (21, 14, 7, 0))])
    return b"ID3" + numbers + body + (b"3DI" + numbers if footer else b"")


NOISE = random.Random(1).randbytes(40_000)
PICTURE = b"APIC" + struct.pack(">I", len(NOISE)) + bytes(10) + b"\xff\xd8\xff\xe0" + NOISE
APE = struct.pack("<IIII", 2000, 100, 1, 0x80000000) + bytes(8)
BEFORE = {
    "a tag": id3(b"TIT2" + bytes(100)),
    "two tags": id3(PICTURE) + id3(bytes(50)),
    "a footer": id3(bytes(50), footer=True),
    "ten megabytes": id3(NOISE * 262),
    "a size too small": id3(PICTURE, size=1000),
    "a size too large": id3(bytes(100), size=2000),
    "a size beyond the end": id3(bytes(100), size=200_000_000),
    "padding behind its size": id3(b"") + bytes(500),
    "a byte order mark": b"\xef\xbb\xbf",
    "zeros": bytes(5000),
    "few zeros": bytes(7),
    "HTTP": b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
    "junk": NOISE[:3000],
    "a new line": b"\r\n",
}
BEHIND = {
    "ID3v1": b"TAG" + bytes(125),
    "APE": b"APETAGEX" + APE + b"z" * 68 + b"APETAGEX" + APE + b"TAG" + bytes(125),
    "Lyrics3": b"LYRICSBEGIN" + b"x" * 300 + b"000311LYRICS200" + b"TAG" + bytes(125),
    "ID3v2": id3(bytes(300), footer=True),
}


@pytest.mark.parametrize(
    "name", ["wav", "flac", "aiff", "ogg", "alac.caf", "xing.mp3", "mp3", "adts", "m4a", "ac3", "mkv"]
)
def test_what_stands_before_sound_is_passed_over(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    alone = read_audio(file(name), RATE)
    for what, tag in BEFORE.items():
        got = read_audio(tag + file(name), RATE, name=what)
        assert len(got) == len(alone), what
        np.testing.assert_allclose(got, alone, atol=1e-6, err_msg=what)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["wav", "flac", "aiff", "caf", "xing.mp3", "mp3", "mp2", "adts", "m4a", "ac3", "mkv"])
def test_what_stands_behind_sound_is_passed_over(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    for what, tag in BEHIND.items():
        np.testing.assert_allclose(read_audio(file(name) + tag, RATE), read_audio(file(name), RATE), err_msg=what)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["mp3", "mp2", "adts", "ac3"])
@pytest.mark.parametrize("cut", [1, 100, 333])
def test_what_begins_within_a_frame_is_read_from_the_next(
    name: str, cut: int, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, got = read_audio(file(name), RATE), read_audio(file(name)[cut:], RATE)
    assert 0 < len(whole) - len(got) < (0.08 + cut / 4000) * RATE
    np.testing.assert_allclose(got[-4000:], whole[-4000:], atol=5e-3)
    assert capfd.readouterr().err == ""


def test_junk_that_is_no_tag_is_told(caplog: pytest.LogCaptureFixture) -> None:
    read_audio(NOISE[:2999] + file("flac"), RATE, name="junk.flac")
    assert "2,999" in caplog.text
    assert caplog.text.count("junk.flac") == 1
    read_audio(id3(bytes(100)) + file("flac"), RATE, name="tagged.flac")
    assert "tagged.flac" not in caplog.text


def chunk(tag: bytes, body: bytes, size: int | None = None, pad: bool = True) -> bytes:
    length = struct.pack("<I", len(body) if size is None else size)
    return tag + length + body + (b"\0" if pad and len(body) & 1 else b"")


def riff(*chunks: bytes, form: bytes = b"WAVE") -> bytes:
    body = form + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


PCM = (SPEECH * 32767).astype("<i2").tobytes()
FORM = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
FMT, DATA = chunk(b"fmt ", FORM), chunk(b"data", PCM)
ODD = b"INFOIART\3\0\0\0abc"
WAVS = {
    "JUNK first": riff(chunk(b"JUNK", bytes(28)), FMT, DATA),
    "bext and LIST": riff(chunk(b"bext", bytes(602)), FMT, chunk(b"LIST", ODD), DATA, chunk(b"LIST", ODD)),
    "odd, not padded": riff(FMT, chunk(b"LIST", ODD, pad=False), DATA),
    "odd first, not padded": riff(chunk(b"JUNK", bytes(27), pad=False), FMT, DATA),
    "data before fmt": riff(DATA, FMT),
    "a wrong size": riff(FMT, chunk(b"LIST", bytes(40), size=1000), DATA),
    "a huge size": riff(FMT, chunk(b"LIST", bytes(40), size=1 << 30), DATA),
    "the header counted, too": riff(FMT, chunk(b"data", PCM, size=len(PCM) + 44)),
    "no bits": riff(chunk(b"fmt ", FORM[:14]), DATA),
    "no bytes per second": riff(chunk(b"fmt ", FORM[:8] + bytes(4) + FORM[12:]), DATA),
    "24 of 32 bits": riff(
        chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 4 * RATE, 4, 24)),
        chunk(b"data", (np.frombuffer(PCM, "<i2").astype("<i4") << 16).tobytes()),
    ),
}


@pytest.mark.parametrize("what", WAVS)
def test_chunks_of_a_wav_in_whatever_order(what: str) -> None:
    got = read_audio(WAVS[what], RATE)
    assert got.shape == SPEECH.shape
    assert np.abs(got - SPEECH).max() < 1e-3
    assert audio_info(WAVS[what]).duration == 1.5


MPEG = struct.pack("<HHIIHH", 0x55, 1, RATE, 8000, 1, 0) + struct.pack("<HHIHHH", 12, 1, 2, 576, 1, 1393)


@pytest.mark.parametrize("count", [0, 1, 10**9])
@pytest.mark.parametrize("name", ["mp3", "xing.mp3"])
@pytest.mark.parametrize("kind", ["WAV", "called samples", "RMP3"])
def test_an_mp3_in_riff_is_read_whole(kind: str, name: str, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever its header takes for the number of samples."""
    mp3 = file(name)
    if kind == "RMP3":
        wrapped = riff(chunk(b"data", mp3), form=b"RMP3")
    else:
        form = MPEG if kind == "WAV" else FORM
        wrapped = riff(chunk(b"fmt ", form), chunk(b"fact", struct.pack("<I", count)), chunk(b"data", mp3))
    np.testing.assert_allclose(read_audio(wrapped, RATE), read_audio(mp3, RATE), atol=1e-6)
    if kind == "WAV":
        with pytest.raises(InputError):
            read_audio(wrapped[: len(wrapped) // 2], RATE)
    assert capfd.readouterr().err == ""


class Pipe(io.BytesIO):
    """Bytes that can only be read on."""

    def seekable(self) -> bool:
        return False


HALF = len(PCM) // 3 // 2 * 2
FIRST, SECOND = chunk(b"data", PCM[:HALF]), chunk(b"data", PCM[HALF:])
AU = plain("AU")
GO_ON = {
    "two pieces": riff(FMT, FIRST, SECOND),
    "a chunk between": riff(FMT, FIRST, chunk(b"LIST", ODD), SECOND),
    "a list of pieces": riff(FMT, chunk(b"LIST", b"wavl" + FIRST + SECOND)),
    "data too small": riff(FMT, chunk(b"data", PCM, size=HALF)),
    "all sizes too small": riff(FMT, chunk(b"data", PCM[:HALF])) + PCM[HALF:],
    "the second piece too small": riff(FMT, FIRST, chunk(b"data", PCM[HALF:], size=4000)),
    "AU": AU[:8] + struct.pack(">I", HALF) + AU[12:],
}


@pytest.mark.parametrize("source", [bytes, Pipe])
@pytest.mark.parametrize("what", GO_ON)
def test_samples_behind_what_the_header_announces_are_read_and_told(
    what: str, source: Callable[[bytes], bytes | Pipe], caplog: pytest.LogCaptureFixture
) -> None:
    got = read_audio(source(GO_ON[what]), RATE, name=f"{what} {source.__name__}")
    assert got.shape == SPEECH.shape
    assert np.abs(got - SPEECH).max() < 1e-3
    assert caplog.text.count(what) == len(caplog.records) == 1 + (what == "the second piece too small")


def test_a_wav_of_more_than_four_gigabytes_whose_size_began_anew_is_read_to_its_end(tmp_path: Path) -> None:
    path, size = tmp_path / "long.wav", (1 << 32) + (1 << 16)
    with path.open("wb") as f:
        f.write(riff(FMT, chunk(b"data", PCM, size=1 << 16))[:44])
        f.seek(44 + (1 << 16))
        f.write(PCM)
        f.seek(44 + size - len(PCM))  # a hole before it takes no place on the disk
        f.write(PCM)
    assert audio_info(path).duration == size / 2 / RATE
    np.testing.assert_allclose(read_audio(path, RATE, start=size / 2 / RATE - 1.5), SPEECH, atol=1e-3)


PADDED = {
    "zeros": riff(FMT, DATA) + bytes(5000),
    "ones": riff(FMT, DATA) + b"\xff" * 5000,
    "text": riff(FMT, DATA) + b"<xmp>nothing</xmp>\n" * 50,
    "an unknown chunk": riff(FMT, DATA, chunk(b"abcd", NOISE[:5001])),
    "a known chunk of a wrong size": riff(FMT, DATA, chunk(b"LIST", ODD * 20, size=50)),
}


@pytest.mark.parametrize("source", [bytes, Pipe])
@pytest.mark.parametrize("what", PADDED)
def test_what_is_no_sound_behind_a_wav_is_passed_over(
    what: str, source: Callable[[bytes], bytes | Pipe], caplog: pytest.LogCaptureFixture
) -> None:
    assert len(read_audio(source(PADDED[what]), RATE, name=f"{what} {source.__name__}")) == len(SPEECH)
    assert not caplog.records


JOINED = ("wav", "flac", "aiff", "au", "caf", "w64", "sph", "m4a", "wv")


@pytest.mark.parametrize("source", [bytes, Pipe])
@pytest.mark.parametrize("name", JOINED)
def test_a_file_that_is_joined_to_another_is_told(
    name: str, source: Callable[[bytes], bytes | Pipe], caplog: pytest.LogCaptureFixture
) -> None:
    one = (
        coded({"m4a": "mp4"}.get(name, name), {"m4a": "aac"}.get(name, "wavpack"), SPEECH)
        if name in ("m4a", "wv")
        else sphere(PCM)
        if name == "sph"
        else plain(name.upper())
    )
    whole = read_audio(source(one), RATE, name=f"{name} {source.__name__}")
    assert not caplog.records
    got = read_audio(source(one + one), RATE, name=f"{name} {source.__name__}")
    np.testing.assert_array_equal(got, whole)
    assert caplog.text.count(f"{name} {source.__name__}: ") == len(caplog.records) == 1


def sphere(samples: bytes, coding: str = "pcm") -> bytes:
    fields = (
        f"channel_count -i 1\nsample_rate -i {RATE}\nsample_n_bytes -i 2\nsample_sig_bits -i 16\n"
        f"sample_byte_format -s2 01\nsample_coding -s{len(coding)} {coding}\n"
        f"sample_count -i {len(PCM) // 2}\nend_head\n"
    )
    return b"NIST_1A\n   1024\n" + fields.encode().ljust(1008) + samples


def test_a_sphere_that_is_cut_or_packed_is_told_so() -> None:
    np.testing.assert_allclose(read_audio(sphere(PCM), RATE), SPEECH, atol=1e-3)
    with pytest.raises(InputError, match=wording("is-cut-short")):
        read_audio(sphere(PCM[:HALF]), RATE)
    for coding in ("shorten", "wavpack"):
        with pytest.raises(InputError, match=coding):
            read_audio(sphere(NOISE, f"pcm,embedded-{coding}-v2.00"), RATE)


@pytest.mark.parametrize("name", ["wav", "aiff", "au", "caf", "w64", "sph", "ogg"])
def test_of_a_file_that_is_cut_what_is_there_is_read_first(name: str) -> None:
    speech = speechlike(20.0 if name == "ogg" else 3.0, RATE)
    out = io.BytesIO()
    subtype = "VORBIS" if name == "ogg" else "PCM_16"
    soundfile.write(out, speech, RATE, format={"sph": "NIST"}.get(name, name).upper(), subtype=subtype)
    half = out.getvalue()[: len(out.getvalue()) // 2]
    blocks = read_blocks(half, RATE, seconds=0.1)
    pieces: list[Samples] = []
    with pytest.raises(InputError, match=wording("is-cut-short")):
        pieces.extend(blocks)
    got = np.concatenate(pieces)
    assert 0.25 * len(speech) < len(got) < 0.75 * len(speech)
    assert np.corrcoef(got, speech[: len(got)])[0, 1] > 0.9
    with pytest.raises(InputError):
        audio_info(half)


LENGTHS = {
    "mp3": ("mp3", "libmp3lame"),
    "mp4": ("mp4", "aac"),
    "mov": ("mov", "alac"),
    "mkv": ("matroska", "libmp3lame"),
    "webm": ("webm", "libopus"),
    "avi": ("avi", "libmp3lame"),
    "wma": ("asf", "wmav2"),
    "flv": ("flv", "aac"),
    "wav": ("wav", "libmp3lame"),
    "caf": ("caf", "alac"),
    "w64": ("w64", "pcm_s16le"),
    "wv": ("wv", "wavpack"),
    "tta": ("tta", "tta"),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_whole_file_is_read_whole_and_half_a_file_is_told(name: str) -> None:
    form, codec = LENGTHS[name]
    rate = 48000 if codec == "libopus" else 44100 if name in ("flv", "wma") else RATE
    speech = speechlike(3.0, rate)
    data = coded(form, codec, speech, rate=rate)
    assert len(read_audio(data, rate)) / rate == pytest.approx(3.0, abs=0.15)
    assert audio_info(data).duration == pytest.approx(3.0, abs=0.15)
    for share in (0.5, 0.8):
        with pytest.raises(InputError):
            read_audio(data[: int(share * len(data))], rate)


@pytest.mark.parametrize("name", ["mp3", "adts"])
def test_a_stream_of_frames_that_ends_within_one_is_told(name: str, caplog: pytest.LogCaptureFixture) -> None:
    read_audio(file(name), RATE, name="whole")
    assert not caplog.records
    assert len(read_audio(file(name)[:-60], RATE, name=f"cut.{name}")) > 1.2 * RATE
    assert f"cut.{name}" in caplog.text


def test_rate_and_channels_may_change_on_the_way() -> None:
    second = coded("mp3", "libmp3lame", speechlike(1.5, 44100), options=BARE, rate=44100)
    got = read_audio(file("mp3") + second, RATE)
    assert len(got) / RATE == pytest.approx(3.0, abs=0.2)
    assert np.abs(got[-RATE:]).max() > 0.1


NO_SOUND = {
    "ZIP": b"PK\x03\x04" + NOISE,
    "PDF": b"%PDF-1.4 ",
    "JPEG": PICTURE[18:],
    "MIDI": b"MThd" + bytes(20),
    "HTML": b"\n<!DOCTYPE html><html>404</html>",
    "playlist": b"#EXTM3U\nhttp://example.org/a.mp3\n",
    "LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "text": "Ein Tagebuch, größer als gedacht.\n".encode(),
    "zeros": bytes(100_000),
    "tags": id3(bytes(100)),
    "WEBP": riff(chunk(b"VP8 ", bytes(100)), form=b"WEBP"),
    "moov": coded("mp4", "aac", SPEECH)[40:],
}


@pytest.mark.parametrize("what", NO_SOUND)
def test_what_is_no_sound_is_refused_by_its_name(what: str) -> None:
    data = NO_SOUND[what]
    data = (
        b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + struct.pack(">I", 1000) + b"mdat" + bytes(992)
        if what == "moov"
        else data
    )
    with pytest.raises(InputError) as caught:
        read_audio(data, RATE, name="recording.mp3")
    assert what in str(caught.value)
    assert str(caught.value).count("mp3") == 1  # its own name


@pytest.mark.parametrize("kind", ["<i2", "<f4", "u1"])
def test_samples_without_a_header_are_taken_for_nothing_else(kind: str) -> None:
    scale = {"<i2": 3000, "<f4": 0.1, "u1": 40}[kind]
    samples = (np.concatenate([SPEECH, SPEECH / 100]) * scale + (128 if kind == "u1" else 0)).astype(kind)
    with pytest.raises(InputError, match="-f s16le"):
        read_audio(samples.tobytes(), RATE)


@pytest.mark.parametrize("format", ["mp4", "matroska"])
def test_the_first_track_that_is_not_silent_is_read_and_told(format: str, caplog: pytest.LogCaptureFixture) -> None:
    silence, other = np.zeros_like(SPEECH), np.ascontiguousarray(SPEECH[::-1])
    data = coded(format, "aac", silence, SPEECH, other)
    alone = [read_audio(coded("mp4", "aac", track), RATE) for track in (SPEECH, other)]
    name = f"film.{format}"
    np.testing.assert_allclose(read_audio(data, RATE, name=name)[:20000], alone[0][:20000], atol=0.02)
    assert caplog.text.count(name) == 1
    assert "2 of 3" in caplog.text
    caplog.clear()
    got = read_audio(Selected(data, track=3), RATE, name=name)
    np.testing.assert_allclose(got[:20000], alone[1][:20000], atol=0.02)
    assert np.abs(read_audio(Selected(data, track=1), RATE, name=name)).max() < 1e-3
    assert not caplog.records


@pytest.mark.parametrize("track", [0, 3, -1])
def test_a_track_that_is_not_there(track: int) -> None:
    with pytest.raises(InputError, match=r"film.* 2;"):
        read_audio(Selected(coded("mp4", "aac", SPEECH, SPEECH), track=track), RATE, name="film")
    for source in (file("wav"), file("flac"), (SPEECH, RATE)):
        assert len(read_audio(Selected(source, track=1), RATE)) == len(SPEECH)
        with pytest.raises(InputError, match=f" {track}"):
            read_audio(Selected(source, track=track), RATE)


def test_a_whole_wav_in_a_pipe_that_stays_open_is_not_waited_for(tmp_path: Path) -> None:
    samples = speechlike(0.5, 8000)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="PCM_16")
    reading, writing = os.pipe()
    os.write(writing, (tmp_path / "a.wav").read_bytes())
    with os.fdopen(reading, "rb") as pipe, ThreadPoolExecutor(1) as pool:
        task = pool.submit(read_audio, pipe, 8000)
        try:
            assert len(task.result(timeout=30)) == len(samples)
        finally:
            os.close(writing)
