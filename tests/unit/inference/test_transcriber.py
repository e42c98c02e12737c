"""Transcription of audio of any length, with a model that hears letters as tones."""

from __future__ import annotations

import gc
import io
import os
import signal
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import spelled, speller
from wording import wording

from asr.audio.reader import Samples
from asr.data.transcript import Segment, Transcript
from asr.inference.transcriber import Ended, Transcriber
from asr.models.folder import load_model
from asr.utils.device import has_bf16
from asr.utils.errors import InputError

RATE = 8000
TEXTS = ["tack taco", "tack", "taco tack taco", "taco", "taco taco", "tack tack tack"]
PAUSE = 2.0


def talk(repeated: int = 1) -> tuple[Samples, list[str], list[float]]:
    """Samples of texts with pauses between; the texts, and when each begins."""
    parts, texts, begins, at = [], [], [], 0.0
    for number in range(repeated * len(TEXTS)):
        texts.append(TEXTS[number % len(TEXTS)])
        samples = spelled(texts[-1], 3 + number % len(TEXTS))  # those that the model hears right
        begins.append(at)
        parts += [samples, 0.001 * np.random.default_rng(number).standard_normal(round(PAUSE * RATE))]
        at += len(samples) / RATE + PAUSE
    return np.concatenate(parts).astype(np.float32), texts, begins


def encoded(samples: Samples, format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=format, subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory: pytest.TempPathFactory) -> Transcriber:
    path = tmp_path_factory.mktemp("words") / "lexicon.txt"
    path.write_text("tack\ntaco\n")
    return Transcriber(speller(), vad=False, lexicon=path)


def test_long_audio_is_cut_at_pauses_and_times_are_those_of_the_file(transcriber: Transcriber) -> None:
    samples, texts, begins = talk(12)  # three minutes
    found = transcriber.transcribe(samples, RATE, name="talk")
    assert [segment.text for segment in found.segments] == texts
    for segment, begin in zip(found.segments, begins, strict=True):
        assert segment.start == pytest.approx(begin + 0.05, abs=0.15)
        assert segment.end == pytest.approx(begin + 0.05 + 0.12 * len(segment.text), abs=0.25)
        assert segment.words[0].start == segment.start
    assert found.text == " ".join(texts)
    assert found.audio == "talk"
    assert found.duration == pytest.approx(len(samples) / RATE)


def test_how_much_is_recognised_at_a_time_changes_nothing(transcriber: Transcriber) -> None:
    samples, texts, _ = talk(6)
    for batch_seconds in (1.0, 30.0, 1000.0):
        (found,) = transcriber.transcribe_all([((samples, RATE), "talk")], batch_seconds=batch_seconds)
        assert isinstance(found, Transcript)
        assert found.text == " ".join(texts)


def test_segments_come_before_the_audio_is_read_to_its_end(transcriber: Transcriber) -> None:
    samples, texts, _ = talk(60)  # a quarter of an hour
    file = io.BytesIO(encoded(samples))
    coming = transcriber.segments(file)
    assert next(coming).text == texts[0]
    assert file.tell() < 0.6 * len(file.getvalue())
    assert [segment.text for segment in coming] == texts[1:]


def test_several_sources_in_their_order(transcriber: Transcriber, tmp_path: Path) -> None:
    samples, texts, _ = talk(8)
    sources = [
        ((spelled("tack"), RATE), "a"),
        (str(tmp_path / "nowhere.wav"), "b"),
        ((samples, RATE), "c"),
        ((np.zeros(RATE), RATE), "d"),
        ((spelled("taco tack"), RATE), "e"),
    ]
    found = list(transcriber.transcribe_all(iter(sources), batch_seconds=20))
    assert [result.text if isinstance(result, Transcript) else "" for result in found] == [
        *("tack", "", " ".join(texts), "", "taco tack")
    ]
    assert isinstance(found[1], InputError)
    assert "no such file" in str(found[1])
    assert found[3] == Transcript("d", (), 1.0, transcriber.model.name)
    events = list(transcriber.listen(iter(sources), batch_seconds=20))
    assert [number for number, event in events if isinstance(event, Ended)] == [0, 1, 2, 3, 4]
    assert [number for number, _ in events] == sorted(number for number, _ in events)


def test_what_comes_before_damage_is_heard(transcriber: Transcriber) -> None:
    samples, texts, begins = talk(8)
    data = encoded(samples, "FLAC")
    events = [event for _, event in transcriber.listen([(data[: len(data) * 3 // 4], "talk.flac")])]
    assert isinstance(events[-1], Ended)
    assert "is cut short" in str(events[-1].error)
    heard = [event.text for event in events if isinstance(event, Segment)]
    assert len(heard) >= sum(begin < 0.6 * len(samples) / RATE for begin in begins)
    assert heard[:-1] == texts[: len(heard) - 1]
    with pytest.raises(InputError, match=wording("cut-short")):
        transcriber.transcribe(data[: len(data) * 3 // 4])
    coming = transcriber.segments(data[: len(data) * 3 // 4])
    assert next(coming).text == texts[0]
    with pytest.raises(InputError, match=wording("cut-short")):
        list(coming)


def test_of_many_broken_sources_nothing_is_kept(transcriber: Transcriber) -> None:
    begun: list[weakref.ref[io.BytesIO]] = []

    class Broken(io.BytesIO):
        pass

    def sources() -> Iterator[tuple[Broken, str]]:
        for number in range(20):
            source = Broken(b"RIFF of no use")
            begun.append(weakref.ref(source))
            yield source, str(number)

    held = []
    for _, event in transcriber.listen(sources()):
        assert isinstance(event, Ended)
        gc.collect()
        held.append(sum(source() is not None for source in begun))
    assert max(held) <= 1


def test_other_readings_are_of_whole_pieces(transcriber: Transcriber) -> None:
    samples, texts, _ = talk()
    several = Transcriber(speller(), vad=False, lm=None, nbest=3)
    segments = several.transcribe(samples, RATE).segments
    assert all(2 <= len(segment.nbest) <= 3 for segment in segments)
    assert [segment.nbest[0].text for segment in segments] == [segment.text for segment in segments]
    assert all(not segment.nbest for segment in transcriber.transcribe(samples, RATE).segments)
    assert len(texts) == len(TEXTS)


def test_what_takes_the_time_is_counted(transcriber: Transcriber) -> None:
    samples, _, _ = talk(8)
    transcriber.seconds.clear()
    transcriber.transcribe(samples, RATE)
    assert transcriber.seconds["audio"] == pytest.approx(len(samples) / RATE)
    assert 0 < transcriber.seconds["speech"] < transcriber.seconds["audio"]
    assert all(transcriber.seconds[stage] > 0 for stage in ("gate", "features", "network", "decoding"))


def test_a_header_that_claims_an_absurd_length_costs_no_memory(transcriber: Transcriber) -> None:
    data = bytearray(encoded(spelled("cat act")))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 0x7F000000)
    with pytest.raises(InputError, match=wording("cut-short")):
        transcriber.transcribe(bytes(data))


def test_devices() -> None:
    with pytest.raises(InputError, match=wording("cpu-and-gpu")):
        Transcriber(speller(), device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=wording("no-gpu")):
            Transcriber(speller(), device="gpu")
        return
    model = load_model("digits-en")
    samples = spelled("tack")
    heard = [Transcriber(model, vad=False, device=device).transcribe(samples, RATE) for device in ("cpu", "gpu")]
    assert heard[0].text == heard[1].text


def test_half_precision_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.utils.device.has_bf16", lambda: False)
    with pytest.raises(InputError, match=wording("precision-bf16")):
        Transcriber(speller(), precision="bf16", device="cpu")
    state = torch.random.get_rng_state()
    monkeypatch.undo()
    has_bf16.cache_clear()
    assert has_bf16() in (True, False)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bfloat16")
def test_half_precision_hears_the_same_less_exactly(tmp_path: Path) -> None:
    (tmp_path / "lexicon.txt").write_text("tack\ntaco\n")
    samples, _, _ = talk()
    full, half = (
        Transcriber(speller(), vad=False, lexicon=tmp_path / "lexicon.txt", nbest=2, precision=precision).transcribe(
            samples, RATE
        )
        for precision in ("fp32", "bf16")
    )
    assert half.text == full.text
    scores = [[segment.nbest[0].score for segment in transcript.segments] for transcript in (full, half)]
    assert scores[0] == pytest.approx(scores[1], abs=0.5)
    assert scores[0] != scores[1]
    with pytest.raises(InputError, match=wording("fp32-and-bf16")):
        Transcriber(speller(), precision="fp16")  # type: ignore[arg-type]


def test_stopped_what_was_read_is_recognised(transcriber: Transcriber) -> None:
    samples, texts, begins = talk(60)
    heard = []
    events = transcriber.listen([((samples, RATE), "a"), ((samples, RATE), "b")], batch_seconds=20)
    for number, event in events:
        assert number == 0
        if isinstance(event, Segment):
            heard.append(event.text)
            transcriber.stop()
        else:
            assert event.stopped
            assert event.error is None
            assert 60 < event.duration < 0.5 * len(samples) / RATE
            assert len(heard) == pytest.approx(sum(begin < event.duration for begin in begins), abs=1)
    assert heard[:-1] == texts[: len(heard) - 1]
    assert transcriber.transcribe(spelled("tack"), RATE).text == "tack"


def test_stopped_while_it_waits_for_a_pipe(transcriber: Transcriber) -> None:
    samples, texts, _ = talk(3)
    read, write = os.pipe()
    head = bytearray(encoded(samples[:1]))
    data = encoded(samples)
    head[:44] = data[:40] + b"\xff\xff\xff\xff"

    def feed() -> None:
        os.write(write, bytes(head[:44]))
        for first in range(44, len(data), 1 << 15):
            os.write(write, data[first : first + (1 << 15)])
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, lambda *_: transcriber.stop())
    try:
        feeder = threading.Thread(target=feed)
        feeder.start()
        with open(read, "rb") as pipe:  # nobody closes the other end
            events = [event for _, event in transcriber.listen([(pipe, "microphone")])]
        feeder.join()
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(write)
    assert [event.text for event in events if isinstance(event, Segment)] == texts
    assert isinstance(events[-1], Ended)
    assert events[-1].stopped


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_recognised_at_a_time_is_some_audio(transcriber: Transcriber, seconds: float) -> None:
    with pytest.raises(InputError, match="batch_seconds"):
        list(transcriber.transcribe_all([], batch_seconds=seconds))


def test_each_channel_has_a_transcript_of_its_own(transcriber: Transcriber, tmp_path: Path) -> None:
    first, second = spelled("tack taco", 3), spelled("taco", 6)
    stereo = np.zeros((max(len(first), len(second)), 2), np.float32)
    stereo[: len(first), 0], stereo[: len(second), 1] = first, second
    soundfile.write(tmp_path / "call.wav", stereo, RATE)
    data = (tmp_path / "call.wav").read_bytes()
    read, write = os.pipe()
    with open(write, "wb") as f:
        f.write(data)
    with open(read, "rb") as pipe, open(tmp_path / "call.wav", "rb") as file:
        for source in (tmp_path / "call.wav", data, io.BytesIO(data), file, pipe, (stereo, RATE)):
            heard = transcriber.transcribe(source, channel="each")
            assert [(each.text, each.channel) for each in heard] == [("tack taco", 0), ("taco", 1)]
    assert transcriber.transcribe(data, channel=1, track=1).text == "taco"
    assert [segment.text for segment in transcriber.segments(data, channel=1)] == ["taco"]
    assert transcriber.transcribe(data).channel is None
    assert len(transcriber.transcribe(first, RATE, channel="each")) == 1
    for channel in (2, -1, "left", True):
        with pytest.raises(InputError, match=f"{channel!r}"):
            transcriber.transcribe(data, channel=channel)
    with pytest.raises(InputError, match="call"):
        transcriber.transcribe(b"nothing", channel="each", name="call")
