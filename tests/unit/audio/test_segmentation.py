from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import soxr
from helpers import speechlike
from hypothesis import given, settings, strategies as st
from wording import wording

from asr.audio.reader import Samples
from asr.audio.segmentation import Piece, Segmenter, as_loud_as_usual, smoothed_levels
from asr.utils.errors import InputError
from data_prep.synthetic import RATE as SPOKEN_RATE, speak

RATE = 8000
LONGEST = 6.0
NOISE = 0.0005


def blocks(samples: Samples, seconds: float = 1.0) -> Iterator[Samples]:
    size = round(seconds * RATE)
    for first in range(0, len(samples), size):
        yield samples[first : first + size]


def background(seconds: float, level: float = NOISE, seed: int = 0) -> Samples:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def burst(seconds: float, seed: int = 0) -> Samples:
    """Something loud."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.2 * np.sin(2 * np.pi * 700 * t) + background(seconds, seed=seed)).astype(np.float32)


def spans(pieces: list[Piece]) -> list[tuple[float, float]]:
    return [(piece.start, piece.start + len(piece.samples) / RATE) for piece in pieces]


def cut(samples: Samples, *, vad: bool = False, seconds: float = 1.0) -> list[Piece]:
    return list(Segmenter(RATE, longest=LONGEST, vad=vad).pieces(blocks(samples, seconds)))


def test_short_audio_is_one_piece_whole() -> None:
    samples = np.concatenate([background(2), burst(0.5), background(3)])
    (piece,) = cut(samples)
    assert piece.start == 0
    assert piece.samples.tobytes() == samples.tobytes()


@pytest.mark.parametrize("seconds", [0.001, 3.0, 40.0])
def test_nothing_is_heard_in_silence(seconds: float) -> None:
    segmenter = Segmenter(RATE, longest=LONGEST, vad=False)
    assert list(segmenter.pieces(blocks(np.zeros(max(1, round(seconds * RATE)), np.float32)))) == []
    assert segmenter.heard.pieces == 0
    assert segmenter.heard.audio == pytest.approx(max(1, round(seconds * RATE)) / RATE)


def test_pauses_part_pieces_and_long_ones_are_left_out() -> None:
    samples = np.concatenate(
        [background(8), burst(2), background(0.5), burst(2), background(15), burst(3), background(9)]
    )
    assert spans(cut(samples)) == [
        (pytest.approx(7.75, abs=0.06), pytest.approx(12.75, abs=0.06)),
        (pytest.approx(27.25, abs=0.06), pytest.approx(30.75, abs=0.06)),
    ]


def test_of_the_pauses_that_would_do_the_longest_is_cut_at() -> None:
    pauses = [
        0.6,
        0.6,
        0.9,
        0.6,
        0.6,
        0.6,
    ]  # after seconds of sound: four of them and their pauses are near six seconds
    parts = [part for number, pause in enumerate(pauses) for part in (burst(1, number), background(pause))]
    found = spans(cut(np.concatenate([background(1), *parts, background(5)])))
    assert found[0] == (pytest.approx(0.75, abs=0.06), pytest.approx(1 + 3 + 2 * 0.6 + 0.25, abs=0.06))


def test_where_there_is_no_pause_the_quietest_moment_is_cut_at() -> None:
    samples = burst(30)
    dip = slice(round(4.6 * RATE), round(4.66 * RATE))
    samples[dip] *= 0.3
    found = spans(cut(np.concatenate([background(3), samples, background(3)]), seconds=7))
    assert found[0][1] == pytest.approx(3 + 4.63, abs=0.05)
    assert max(end - start for start, end in found) <= LONGEST + 0.01
    assert all(one[1] == pytest.approx(other[0]) for one, other in pairwise(found))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 9.0), st.floats(0.0, 6.0)), min_size=1, max_size=8),
    st.floats(0.05, 20.0),
    st.integers(0, 5),
)
def test_all_that_is_loud_is_in_a_piece_whatever_the_blocks(
    parts: list[tuple[float, float]], seconds: float, seed: int
) -> None:
    made, loud, at = [background(1.0, seed=seed)], [], 1.0
    for long, pause in parts:
        made += [burst(long, seed), background(pause, seed=seed)]
        loud.append((at, at + round(long * RATE) / RATE))
        at += (round(long * RATE) + round(pause * RATE)) / RATE
    samples = np.concatenate([*made, background(2.0)])
    pieces = cut(samples)
    for one, other in zip(pieces, cut(samples, seconds=seconds), strict=True):
        assert one.start == other.start
        assert one.samples.tobytes() == other.samples.tobytes()
    found = spans(pieces)
    assert all(one[1] <= other[0] + 1e-9 for one, other in pairwise(found))
    whole = len(samples) <= LONGEST * RATE
    assert whole or max(end - start for start, end in found) <= LONGEST + 0.011
    covered = np.zeros(len(samples), bool)
    for piece in pieces:
        first = round(piece.start * RATE)
        assert piece.samples.tobytes() == samples[first : first + len(piece.samples)].tobytes()
        covered[first : first + len(piece.samples)] = True
    for start, end in loud:
        assert covered[round(start * RATE) : round(end * RATE)].all()


def test_no_more_is_looked_at_than_is_needed_to_decide() -> None:
    """Else how audio comes would tell what is heard of it: here that somebody will speak."""
    samples = np.concatenate([background(13), burst(3), background(20)])
    found = spans(cut(samples, seconds=1.0))
    assert found == spans(cut(samples, seconds=40.0))
    assert found[0][0] == 0  # nothing to compare the background with


def test_what_was_read_before_an_error_is_not_lost() -> None:
    def broken() -> Iterator[Samples]:
        yield from blocks(np.concatenate([background(1), burst(2), background(1)]))
        raise InputError("is cut short", where="a.wav")

    pieces = Segmenter(RATE, longest=LONGEST, vad=False).pieces(broken())
    assert len(next(pieces).samples) == 4 * RATE
    with pytest.raises(InputError, match=wording("cut-short")):
        next(pieces)


def test_memory_does_not_grow_with_the_audio() -> None:
    def peak(minutes: int) -> int:
        part = np.concatenate([burst(4), background(1)])
        tracemalloc.start()
        for _ in Segmenter(RATE, vad=False).pieces(part for _ in range(12 * minutes)):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    short = peak(5)
    assert peak(30) < 1.1 * short < 40_000_000


def test_levels_are_decibels_of_full_scale() -> None:
    t = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 2000 * t).astype(np.float32)  # the difference of samples: 2 sin(pi f / rate) as large
    levels = smoothed_levels(tone, 80)
    assert len(levels) == 100
    assert levels[50] == pytest.approx(20 * np.log10(2 * np.sin(np.pi / 4) / np.sqrt(2)), abs=0.1)
    assert smoothed_levels(np.zeros(81, np.float32), 80).tolist() == pytest.approx([-120.0, -120.0])
    offset = smoothed_levels(tone + np.float32(0.5), 80)
    assert offset[50] == pytest.approx(levels[50], abs=0.1)


# How loud it is.


@pytest.mark.parametrize("gain", [1.0, 0.05, 0.001])
def test_a_few_samples_do_not_say_how_loud_speech_is(gain: float) -> None:
    speech = gain * speechlike(3.0, RATE)
    alone = as_loud_as_usual(speech, RATE)
    clicks, clap, pop, offset = (speech.copy() for _ in range(4))
    clicks[[5000, 12000, len(speech) - 1]] = 0.9, -0.8, 1.0
    clap[3000:3400] += 0.9 * np.random.default_rng(1).standard_normal(400).astype(np.float32)
    pop[:100] = 0.95
    offset += np.float32(0.2)
    far = np.r_[6000:11000, 13000:23000]  # from what was put in
    for spoilt in (clicks, clap, pop, offset):
        got = as_loud_as_usual(spoilt, RATE)[far]
        ratio = np.std(got) / np.std(alone[far])
        assert 0.4 < ratio < 2.5
        if gain < 1:
            assert np.abs(got).max() < 0.5
            assert np.corrcoef(got, alone[far])[0, 1] > 0.999
    if gain < 1:
        assert np.abs(as_loud_as_usual(clicks, RATE)).max() < 0.5  # the clicks, too


def test_loud_recordings_stay_as_they_are() -> None:
    speech = speechlike(1.0, RATE)
    assert as_loud_as_usual(speech, RATE) is speech
    assert np.abs(as_loud_as_usual(20 * speech, RATE)).max() == pytest.approx(1.0, abs=0.01)
    for nothing in (speech[:0], 0 * speech):
        np.testing.assert_array_equal(as_loud_as_usual(nothing, RATE), nothing)
    for few in (1, 7, 79, 81):  # samples, of which none is a frame
        assert np.isfinite(as_loud_as_usual(0.01 * speech[:few], RATE)).all()


def test_a_long_pause_parts_even_what_is_short_enough() -> None:
    segmenter = Segmenter(RATE, vad=False)
    samples = np.concatenate([background(8.0), burst(1.0), background(7.0), burst(1.0)])
    assert [round(start) for start, _ in spans(list(segmenter.pieces([samples])))] == [8, 16]
    whole = np.concatenate([background(3.0), burst(1.0), background(3.0)])
    assert spans(list(segmenter.pieces([whole]))) == [(0.0, 7.0)]


# With the network.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["white", "hum", "tones", "clicks"])
def test_what_is_no_speech_is_left_out(kind: str) -> None:
    t = np.arange(60 * RATE) / RATE
    samples = {
        "white": background(60, 0.05),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * t) + 0.03 * np.sin(2 * np.pi * 150 * t),
        "tones": 0.2 * np.sin(2 * np.pi * 440 * t) * (np.sin(2 * np.pi * 0.2 * t) > 0) + background(60),
        "clicks": np.where(np.arange(60 * RATE) % 4000 == 0, 0.9, 0.0) + background(60),
    }[kind]
    for gain in (1.0, 0.003):  # what is faint is amplified
        segmenter = Segmenter(RATE, vad=True)
        assert list(segmenter.pieces(blocks((gain * samples).astype(np.float32)))) == []
        assert segmenter.heard.vad <= segmenter.heard.audio + 30


@pytest.mark.slow
def test_speech_is_found_in_silence_and_in_noise() -> None:
    pytest.importorskip("espeakng_loader")
    text = "This is somebody who speaks for a while, and then says no more"
    spoken = np.asarray(soxr.resample(speak(text), SPOKEN_RATE, RATE), np.float32)
    for level in (0.0005, 0.01):
        samples = np.concatenate(
            [
                background(30, level),
                spoken + background(len(spoken) / RATE, level)[: len(spoken)],
                background(30, level),
            ]
        )
        segmenter = Segmenter(RATE, vad=True)
        found = spans(list(segmenter.pieces(blocks(samples))))
        assert found[0][0] == pytest.approx(30, abs=0.8)
        assert found[-1][1] == pytest.approx(30 + len(spoken) / RATE, abs=0.8)
        assert segmenter.heard.pieces < len(spoken) / RATE + 2
        if level < 0.01:
            assert segmenter.heard.vad < 0.05 * len(samples) / RATE  # the gate was sure


@pytest.mark.parametrize("vad", [True, False])
def test_where_nothing_can_be_read_the_error_comes_through(vad: bool) -> None:
    def broken() -> Iterator[Samples]:
        raise InputError("no such file", where="a.wav")
        yield

    with pytest.raises(InputError, match=wording("no-such-file")):
        list(Segmenter(RATE, vad=vad).pieces(broken()))


def test_short_audio_without_speech_is_left_out() -> None:
    for seconds in (0.3, 1.5, 10.0):
        assert list(Segmenter(RATE, vad=True).pieces([background(seconds, 0.05)])) == []


def test_short_audio_with_speech_is_whole() -> None:
    pytest.importorskip("espeakng_loader")
    spoken = np.asarray(soxr.resample(speak("seven"), SPOKEN_RATE, RATE), np.float32)
    for around in (0.4, 4.0):
        samples = np.concatenate([background(around), spoken, background(around)])
        (piece,) = Segmenter(RATE, vad=True).pieces([samples])
        assert piece.start == 0
        assert len(piece.samples) == len(samples)


def test_a_short_word_that_comes_at_once_is_speech() -> None:
    pytest.importorskip("espeakng_loader")
    for word in ("one", "six", "eight"):
        spoken = np.asarray(soxr.resample(speak(word), SPOKEN_RATE, RATE), np.float32)
        loud = np.flatnonzero(np.abs(spoken) > 0.05 * np.abs(spoken).max())
        (piece,) = Segmenter(RATE, vad=True).pieces([spoken[loud[0] : loud[-1]]])
        assert piece.start == 0


@pytest.mark.parametrize(("before", "after"), [(2.0, 0.0), (0.0, 3.0), (4.0, 4.0)])
def test_gaps_of_zeros_are_no_part_of_a_piece(before: float, after: float) -> None:
    speech = speechlike(2.0, RATE, seed=1)
    samples = np.concatenate([np.zeros(round(before * RATE)), speech, np.zeros(round(after * RATE))]).astype(np.float32)
    (piece,) = Segmenter(RATE, vad=False).pieces(iter([samples]))
    assert piece.start == pytest.approx(max(0.0, before), abs=0.5)
    assert len(piece.samples) / RATE == pytest.approx(2.0, abs=0.7)
