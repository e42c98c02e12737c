"""Beam search: against the two references, by hand, at the edges, and what it does to memory, threads and files."""

from __future__ import annotations

import itertools
import logging
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from ctc_reference import (
    LN10,
    MODES,
    SPACE,
    Scores,
    Task,
    TinyLM,
    Words,
    brute_force,
    logs,
    prefix_search,
    random_log_probs,
    random_task,
    readings,
    write_tiny_arpa,
)
from hypothesis import given, settings, strategies as st
from wording import wording

from asr.data.transcript import Hypothesis
from asr.decode import ctc_beam_kernel as kernel
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.hotwords import read_hotwords
from asr.lm.files import read_ngram, save_ngram
from asr.lm.ngram import NgramModel
from asr.models.decoding_options import DecodingOptions
from asr.text.lexicon import Lexicon
from asr.utils.errors import InputError

ALL = {"beam_size": 0, "beam_threshold": math.inf, "token_threshold": math.inf, "nbest": 1_000_000}
LETTERS = ["<blank>", SPACE, *"abcdefghijklmnopqrstuvwxyz"]


def model_of(lm: TinyLM, folder: Path) -> NgramModel:
    write_tiny_arpa(lm, folder / "tiny.arpa")
    return read_ngram(folder / "tiny.arpa")


def decoder_of(task: Task, folder: Path, **options: Any) -> CtcBeamDecoder:
    """A decoder for a task of the reference."""
    assert task.lm is None or isinstance(task.lm, TinyLM)
    return CtcBeamDecoder(
        task.tokens,
        lm=None if task.lm is None else model_of(task.lm, folder),
        lexicon=task.lexicon,
        hotwords={as_text(phrase, task): boost for phrase, boost in task.hotwords.items()},
        log_prior=task.log_prior,
        threads=1,
        lm_weight=task.lm_weight,
        word_score=task.word_score,
        unk_score=task.unk_score,
        unk_letter_score=task.unk_letter_score,
        prior_weight=task.prior_weight,
        lm_unit="token" if task.mode == "tokens" else "word",
        **options,
    )


def any_task(rng: random.Random, mode: str, *parts: bool) -> Task:
    """A random task whose hot words can be written as text: no space at their ends, nor two in a row."""
    task = random_task(rng, mode, *parts)
    texts = {phrase: as_text(phrase, task) for phrase in task.hotwords}
    usable = {p: boost for p, boost in task.hotwords.items() if texts[p] == " ".join(texts[p].split())}
    return replace(task, hotwords=usable)


def as_text(words: Words, task: Task) -> str:
    if task.mode == "tokens":
        return "".join(" " if word == SPACE else word for word in words)
    return " ".join(words)


def decode(decoder: CtcBeamDecoder, log_probs: Sequence[Sequence[float]] | npt.NDArray[Any]) -> list[Hypothesis]:
    array = np.asarray(log_probs, np.float32).reshape(1, -1, len(decoder.tokens))
    return decoder.decode(array, [array.shape[1]])[0]


def compare(found: list[Hypothesis], expected: dict[Words, Scores], task: Task) -> None:
    """All hypotheses there are, each with all its scores, best first."""
    if not expected:
        assert [(h.text, h.score) for h in found] == [("", -math.inf)]
        return
    by_text = {as_text(words, task): scores for words, scores in expected.items()}
    assert len(by_text) == len(expected)
    assert {h.text for h in found} == set(by_text)
    assert len(found) == len(by_text)
    for h in found:
        scores = by_text[h.text]
        parts = (h.score, h.acoustic_score, h.lm_score, h.word_score, h.hotword_score)
        wanted = (scores.total, scores.acoustic, scores.lm, scores.words, scores.hotwords)
        assert parts == pytest.approx(wanted, abs=1e-4)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


# Against the references ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 30), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("hotwords", [False, True])
@pytest.mark.parametrize("lm", [False, True])
@pytest.mark.parametrize(("mode", "lexicon"), MODES)
def test_nothing_pruned_is_exact(
    tmp_path: Path, mode: str, lexicon: bool, lm: bool, hotwords: bool, prior: bool, seeds: range
) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        task = any_task(rng, mode, lexicon, lm, hotwords, prior)
        frames = seed % 7
        log_probs = random_log_probs(rng, frames, len(task.tokens), rng.uniform(0.3, 4))
        compare(decode(decoder_of(task, tmp_path, **ALL), log_probs), prefix_search(log_probs, task), task)


@pytest.mark.parametrize(("mode", "lexicon"), MODES)
def test_every_path_counts(tmp_path: Path, mode: str, lexicon: bool) -> None:
    for seed in range(10):
        rng = random.Random(100 + seed)
        task = any_task(rng, mode, lexicon, True, True, True)
        log_probs = random_log_probs(rng, 4, len(task.tokens), 1.0)
        compare(decode(decoder_of(task, tmp_path, **ALL), log_probs), brute_force(log_probs, task), task)


def words_of(found: Hypothesis, task: Task) -> Words:
    """The hypothesis's words, if its tokens say them: not so where a word has only begun."""
    meant = readings([token.text for token in found.tokens], task)
    return next((words for words in meant if as_text(words, task) == found.text), ("?",))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**9), frames=st.integers(0, 6), beam=st.integers(1, 60), case=st.sampled_from(MODES))
def test_pruned_scores_are_never_above_the_exact_ones(
    tmp_path_factory: pytest.TempPathFactory, seed: int, frames: int, beam: int, case: tuple[str, bool]
) -> None:
    rng = random.Random(seed)
    task = any_task(rng, case[0], case[1], rng.random() < 0.7, rng.random() < 0.5, rng.random() < 0.5)
    log_probs = random_log_probs(rng, frames, len(task.tokens), rng.uniform(0.3, 4))
    exact = {as_text(words, task): s.total for words, s in prefix_search(log_probs, task).items()}
    decoder = decoder_of(task, tmp_path_factory.mktemp("lm"), nbest=1000, beam_size=beam)
    found = decode(decoder, log_probs)
    if not exact or as_text(words_of(found[0], task), task) != found[0].text:
        return  # a small beam may lose all that is complete
    assert len({h.text for h in found}) == len(found)
    for h in found:
        assert h.score <= exact[h.text] + 1e-4
    everything = decode(decoder.with_options(**ALL), log_probs)
    assert everything[0].score == pytest.approx(max(exact.values()), abs=1e-4)


@pytest.mark.slow
def test_a_wide_beam_finds_the_best(tmp_path: Path) -> None:
    """Of longer utterances, with the thresholds of the defaults."""
    for seed in range(40):
        rng = random.Random(seed)
        mode, lexicon = MODES[seed % len(MODES)]
        task = any_task(rng, mode, lexicon, True, False, True)
        log_probs = random_log_probs(rng, 9, len(task.tokens), 3.0)
        expected = prefix_search(log_probs, task)
        if expected:
            found = decode(decoder_of(task, tmp_path, beam_size=2000), log_probs)[0]
            of_found = next(s.total for words, s in expected.items() if as_text(words, task) == found.text)
            assert of_found == pytest.approx(max(s.total for s in expected.values()), abs=0.02)


# By hand -------------------------------------------------------------------------------------------------------------


def said(text: str, tokens: Sequence[str] = LETTERS, sure: float = 0.9) -> npt.NDArray[np.float32]:
    """Each letter for a frame, a blank after each; (T, V)."""
    rows = []
    for c in text:
        for token in (tokens.index(SPACE if c == " " else c), 0):
            row = np.full(len(tokens), (1 - sure) / (len(tokens) - 1))
            row[token] = sure
            rows.append(row)
    with np.errstate(divide="ignore"):
        return np.log(np.array(rows, np.float32).reshape(-1, len(tokens)))


def test_confidence_is_the_mass_of_the_word_at_its_place() -> None:
    # "a" 0.6 or "b" 0.4, a space, "c".
    tokens = ["<blank>", SPACE, "a", "b", "c"]
    log_probs = logs((0, 0, 0.6, 0.4, 0), (0, 1, 0, 0, 0), (0.25, 0, 0, 0, 0.75))
    found = decode(CtcBeamDecoder(tokens, nbest=10, **{k: v for k, v in ALL.items() if k != "nbest"}), log_probs)
    assert [h.text for h in found] == ["a c", "b c", "a", "b"]
    assert [w.confidence for w in found[0].words] == pytest.approx([0.6, 0.75])
    assert [w.confidence for w in found[1].words] == pytest.approx([0.4, 0.75])
    # An alignment, not a position: "c" is the second word of one and the first of the other.
    log_probs = logs((0.3, 0, 0.7, 0, 0), (0, 1, 0, 0, 0), (0, 0, 0, 0, 1))
    (best, other) = decode(CtcBeamDecoder(tokens, nbest=10), log_probs)
    assert (best.text, other.text) == ("a c", "c")
    assert [w.confidence for w in best.words] == pytest.approx([0.7, 1.0])
    assert [w.confidence for w in other.words] == pytest.approx([1.0])


def test_temperature_flattens_confidences_and_nothing_else() -> None:
    tokens = ["<blank>", SPACE, "a", "b"]
    log_probs = logs((0, 0, 0.8, 0.2))
    (cold,) = decode(CtcBeamDecoder(tokens), log_probs)
    (warm,) = decode(CtcBeamDecoder(tokens, temperature=2.0), log_probs)
    assert cold.words[0].confidence == pytest.approx(0.8)
    assert warm.words[0].confidence == pytest.approx(0.8**0.5 / (0.8**0.5 + 0.2**0.5))
    assert cold.score == warm.score == pytest.approx(math.log(0.8))


def test_calibration_changes_confidences_and_nothing_else() -> None:
    tokens = ["<blank>", SPACE, "a", "b"]
    log_probs = logs((0, 0, 0.8, 0.2))
    (plain,) = decode(CtcBeamDecoder(tokens), log_probs)
    (made,) = decode(CtcBeamDecoder(tokens, calibration=(0.5, -1.0)), log_probs)
    assert made.words[0].confidence == pytest.approx(1 / (1 + math.exp(1 - 0.5 * math.log(4))))
    assert replace(made, words=plain.words) == plain


def test_times_of_tokens_and_words() -> None:
    tokens = ["<blank>", SPACE, "a", "b"]
    path = [0, 2, 2, 0, 3, 1, 1, 0, 3, 0]
    log_probs = np.log(np.full((len(path), 4), 0.02))
    for t, i in enumerate(path):
        log_probs[t, i] = math.log(0.94)
    (found,) = decode(CtcBeamDecoder(tokens, frame_seconds=0.02), log_probs)
    assert found.text == "ab b"
    assert [(w.text, round(w.start, 3), round(w.end, 3)) for w in found.words] == [("ab", 0.02, 0.1), ("b", 0.16, 0.18)]
    assert [(t.text, round(t.start, 3), round(t.end, 3)) for t in found.tokens] == [
        ("a", 0.02, 0.06),
        ("b", 0.08, 0.10),
        (SPACE, 0.10, 0.14),
        ("b", 0.16, 0.18),
    ]
    assert [t.confidence for t in found.tokens] == pytest.approx([0.94] * 4, rel=1e-5)


def test_the_lm_decides_between_homophones(tmp_path: Path) -> None:
    ngrams = {("<unk>",): (-3.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0)}
    words = {("two",): -0.5, ("too",): -0.9, ("me",): -1.0}
    lm = TinyLM(2, {**ngrams, **{w: (p, -0.1) for w, p in words.items()}, ("me", "too"): (-0.1, 0.0)})
    lexicon = {"two": [("T", "UW")], "too": [("T", "UW")], "me": [("M", "IY")]}
    tokens = ["<blank>", "T", "UW", "M", "IY"]
    decoder = CtcBeamDecoder(tokens, lm=model_of(lm, tmp_path), lexicon=lexicon, lm_weight=1.0, nbest=5)
    sure = [[0.96 if v == said else 0.01 for v in range(5)] for said in (1, 2)]
    first = decode(decoder, np.log(sure))
    assert first[0].text == "two"
    after = [[0.96 if v == said else 0.01 for v in range(5)] for said in (3, 4, 1, 2)]
    second = decode(decoder, np.log(after))
    assert [h.text for h in second[:2]] == ["me too", "me two"]
    assert second[0].acoustic_score == pytest.approx(second[1].acoustic_score, abs=1e-6)
    # p(two | me) is that of "two" alone, with the back-off weight of "me".
    assert second[0].lm_score - second[1].lm_score == pytest.approx((-0.1 - (-0.1 - 0.5)) * LN10, abs=1e-4)


def test_pronunciations_and_segmentations_of_the_same_words_are_one() -> None:
    # Either way of saying "data", 0.5 each.
    lexicon = {"data": [("D", "EY"), ("D", "AE")]}
    found = decode(
        CtcBeamDecoder(["<blank>", "D", "EY", "AE"], lexicon=lexicon, **ALL),
        logs((0, 1, 0, 0), (0, 0, 0.5, 0.5)),
    )
    assert [(h.text, round(h.score, 4)) for h in found] == [("data", 0.0)]
    pieces = ["<blank>", "▁", "▁a", "a"]
    found = decode(CtcBeamDecoder(pieces, **ALL), logs((0, 0.5, 0.5, 0), (0.5, 0, 0, 0.5)))
    by_text = {h.text: math.exp(h.score) for h in found}
    assert by_text == pytest.approx({"a": 0.25 + 0.25, "aa": 0.25, "": 0.25})


def test_a_language_model_over_pieces(tmp_path: Path) -> None:
    """Ways to cut the same words are one hypothesis there too, with the language model's scores of all of them."""
    tokens = ["<blank>", "▁a", "b", "▁ab"]
    ngrams = {("<unk>",): (-3.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-0.0, 0.0)}
    lm = model_of(TinyLM(1, {**ngrams, ("▁a",): (-0.5, 0.0), ("b",): (-0.5, 0.0), ("▁ab",): (-0.25, 0.0)}), tmp_path)
    log_probs = logs((0, 0.3, 0, 0.7), (0.6, 0, 0.4, 0))
    decoder = CtcBeamDecoder(tokens, lm=lm, lm_unit="token", lm_weight=1.0, **ALL)
    found = {h.text: math.exp(h.score) for h in decode(decoder, log_probs)}
    one, half, quarter = 0.1, 10**-0.5, 10**-0.25
    assert found == pytest.approx(
        {"ab": 0.7 * 0.6 * quarter + 0.3 * 0.4 * one, "a": 0.3 * 0.6 * half, "abb": 0.7 * 0.4 * quarter * half},
        rel=1e-4,
    )
    with pytest.raises(InputError, match="lm_unit=word"):
        CtcBeamDecoder(tokens, hotwords=["ab"], lm_unit="token")


def test_unknown_words_pay_unk_score(tmp_path: Path) -> None:
    ngrams = {("<unk>",): (-2.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0), ("ab",): (-0.5, 0.0)}
    decoder = CtcBeamDecoder(
        LETTERS, lm=model_of(TinyLM(1, ngrams), tmp_path), unk_score=-7.0, unk_letter_score=-0.25, lm_weight=0.5
    )
    known, unknown = decode(decoder, said("ab"))[0], decode(decoder.with_options(unk_score=-1), said("cab"))[0]
    assert (known.text, unknown.text) == ("ab", "cab")
    assert known.lm_score == pytest.approx(0.5 * LN10 * (-0.5 - 1.0), abs=1e-5)
    assert unknown.lm_score == pytest.approx(0.5 * LN10 * (-2.0 - 1.0) - 1.0 - 3 * 0.25, abs=1e-5)
    assert decoder.has_unknown_words


def test_hot_words() -> None:
    heard = said("the koala", sure=0.6)
    heard[8] = np.log(np.full(len(LETTERS), 1e-3))
    heard[8, [LETTERS.index("k"), LETTERS.index("c")]] = np.log([0.4, 0.5])
    assert decode(CtcBeamDecoder(LETTERS), heard)[0].text == "the coala"
    hot = CtcBeamDecoder(LETTERS, hotwords={"koala": 2.0})
    found = decode(hot, heard)[0]
    assert (found.text, found.hotword_score) == ("the koala", 2.0)
    assert decode(CtcBeamDecoder(LETTERS, hotwords=["koala"], hotword_boost=3.0), heard)[0].hotword_score == 3.0
    assert decode(CtcBeamDecoder(LETTERS, hotwords={"the koala": 2.0}), heard)[0].text == "the koala"
    # A phrase that breaks off gives its credit back.
    broken = decode(CtcBeamDecoder(LETTERS, hotwords={"the koala": 2.0}), said("the bear"))[0]
    assert (broken.text, broken.hotword_score) == ("the bear", 0.0)
    # What the lexicon lacks is added; a phrase twice counts twice.
    both = decode(CtcBeamDecoder(LETTERS, lexicon=["the", "bear"], hotwords={"koala": 2.0}), said("koala the koala"))
    assert (both[0].text, both[0].hotword_score) == ("koala the koala", 4.0)


def test_hot_words_that_cannot_be_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        decoder = CtcBeamDecoder(LETTERS, hotwords={"naïve": None, "good": None})
    assert "naïve" in caplog.text
    assert ": ï" in caplog.text
    assert decode(decoder, said("good"))[0].hotword_score == DecodingOptions().hotword_boost


def test_the_prior_is_subtracted() -> None:
    tokens, log_probs = ["<blank>", "a", "b"], logs((0.1, 0.5, 0.4))
    options = {"lm_unit": "token", "log_prior": np.log([0.5, 0.4, 0.1]), **ALL}
    assert decode(CtcBeamDecoder(tokens, **options), log_probs)[0].text == "a"
    found = decode(CtcBeamDecoder(tokens, prior_weight=1.0, **options), log_probs)
    assert {h.text: round(math.exp(h.score), 4) for h in found} == {"b": 4.0, "a": 1.25, "": 0.2}


def test_a_frame_where_nothing_likely_can_follow() -> None:
    """Rather than nothing, what is unlikely: an hour is not lost to a frame."""
    decoder = CtcBeamDecoder(LETTERS, lexicon=["ab", "cd"], token_threshold=2.0)
    heard = said("ab xx cd", sure=1 - 1e-6)
    assert decode(decoder, heard)[0].text == "ab cd"
    heard[6:9, 0] = -30.0  # not even a blank is likely there
    assert decode(decoder, heard)[0].text.split()[::2] == ["ab", "cd"]


def test_words_of_a_lexicon_without_a_lexicon_are_not_cut() -> None:
    """Only whole words of the lexicon; where none is complete, the complete ones before."""
    decoder = CtcBeamDecoder(LETTERS, lexicon=["hello", "world"])
    assert decode(decoder, said("hello wor"))[0].text in ("hello", "hello world")
    assert decode(decoder, said("hello wor", sure=1.0))[0].text == "hello"


def test_languages_without_spaces(tmp_path: Path) -> None:
    tokens = ["<blank>", "今", "日", "は", "わ"]
    ngrams = {("<unk>",): (-3.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0)}
    ngrams |= {(t,): (-1.0, -0.2) for t in tokens[1:]}
    lm = model_of(TinyLM(2, {**ngrams, ("日", "は"): (-0.1, 0.0)}), tmp_path)
    heard = np.log([[0.01, 0.96, 0.01, 0.01, 0.01], [0.01, 0.01, 0.96, 0.01, 0.01], [0.02, 0.01, 0.01, 0.47, 0.49]])
    assert decode(CtcBeamDecoder(tokens, words=False), heard)[0].text == "今日わ"
    found = decode(CtcBeamDecoder(tokens, lm=lm, words=False), heard)[0]
    assert found.text == "今日は"
    assert [w.text for w in found.words] == ["今", "日", "は"]
    assert decode(CtcBeamDecoder(tokens, lexicon=["今日", "は"], words=False), heard)[0].text == "今日は"


def test_rare_words_are_looked_ahead(tmp_path: Path) -> None:
    """A word that is likely by its end is not lost to a beam of two while its beginning is unlikely."""
    words = {"wonderful": -0.5, "x": -4.0}
    ngrams = {("<unk>",): (-6.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0)}
    lm = model_of(TinyLM(1, {**ngrams, **{(w,): (p, 0.0) for w, p in words.items()}}), tmp_path)
    heard = said("wonderful")
    heard[0] = np.log(np.full(len(LETTERS), 1e-4))
    heard[0, [LETTERS.index("w"), LETTERS.index("x"), LETTERS.index("v")]] = np.log([0.1, 0.45, 0.4])
    assert decode(CtcBeamDecoder(LETTERS, lm=lm, beam_size=2), heard)[0].text == "wonderful"


# At the edges --------------------------------------------------------------------------------------------------------

BUILDS: dict[str, dict[str, Any]] = {
    "any text": {},
    "lexicon": {"lexicon": ["a", "ab", "b"]},
    "hot": {"hotwords": {"ab": 2.0, "a b": 1.0}},
    "beam 1": {"beam_size": 1},
    "all": ALL,
}


@pytest.mark.parametrize("options", BUILDS.values(), ids=BUILDS)
def test_frames_that_say_nothing(options: dict[str, Any]) -> None:
    decoder = CtcBeamDecoder(["<blank>", SPACE, "a", "b"], **options)
    assert decode(decoder, np.zeros((0, 4)))[0] == Hypothesis("")
    blank = np.log(np.array([[1.0, 1e-30, 1e-30, 1e-30]] * (6 if options is ALL else 50)))
    assert decode(decoder, blank)[0].text == ""
    impossible = np.full((3, 4), -np.inf)
    assert [(h.text, h.score) for h in decode(decoder, impossible)] == [("", -math.inf)]
    only_blank = impossible.copy()
    only_blank[:, 0] = -1.0
    found = decode(decoder, only_blank)
    assert [(h.text, round(h.score, 5)) for h in found] == [("", -3.0)]
    assert decode(decoder, logs((0.1, 0.1, 0.7, 0.1)))[0].text == "a"
    silent_end = np.concatenate([only_blank, impossible[:1]])
    assert decode(decoder, silent_end)[0].score == -math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_none_name_the_utterance(bad: float) -> None:
    batch = torch.zeros(3, 5, 4).log_softmax(-1)
    batch[1, 3, 2] = bad
    decoder = CtcBeamDecoder(["<blank>", SPACE, "a", "b"])
    with pytest.raises(InputError, match=r"frame 3") as raised:
        decoder.decode(batch, [5, 5, 5], names=["x", "talk-7", "y"])
    assert "talk-7" in str(raised.value)
    assert len(decoder.decode(batch, torch.tensor([5, 3, 5]))) == 3  # what is beyond the length is not looked at


@pytest.mark.parametrize(
    ("shape", "lens"), [((2, 3, 5), [3, 3]), ((3, 4), [3]), ((1, 3, 4), [4]), ((1, 3, 4), [-1]), ((2, 3, 4), [3])]
)
def test_shapes_that_do_not_fit(shape: tuple[int, ...], lens: list[int]) -> None:
    with pytest.raises(InputError, match=wording("of-shape")):
        CtcBeamDecoder(["<blank>", SPACE, "a", "b"]).decode(np.zeros(shape, np.float32), lens)


def test_vocabularies_of_two_and_of_five_thousand() -> None:
    assert decode(CtcBeamDecoder(["<blank>", "a"]), logs((0.1, 0.9), (0.9, 0.1), (0.2, 0.8)))[0].text == "a a"
    tokens = ["<blank>", *(f"▁w{i}" for i in range(2499)), *(f"x{i}" for i in range(2500))]
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (40, 5000))
    path = rng.integers(1, 2500, 20)
    logits[np.arange(0, 40, 2), path] += 20
    logits[1::2, 0] += 20
    log_probs = torch.from_numpy(logits).log_softmax(-1).numpy()
    wanted = " ".join(tokens[i][1:] for i in path)
    assert decode(CtcBeamDecoder(tokens), log_probs)[0].text == wanted
    assert decode(CtcBeamDecoder(tokens, token_threshold=math.inf, beam_size=10), log_probs)[0].text == wanted
    lexicon = {token[1:]: [(token,)] for token in tokens[1:2500]}
    assert decode(CtcBeamDecoder(tokens, lexicon=lexicon), log_probs)[0].text == wanted


@pytest.mark.parametrize("mode", ["any text", "eager", "spaced"])
def test_more_letters_than_bits(mode: str) -> None:
    """Letters whose numbers agree in their last bits are not taken for each other."""
    letters = [chr(0x4E00 + i) for i in range(200)]
    tokens = ["<blank>", *letters] if mode == "eager" else ["<blank>", SPACE, *letters]
    words = [letters[5] + letters[6], letters[69] + letters[70], letters[133]]
    for listed in (words, words[:1], words[1:]):
        options = {"hotwords": listed} if mode == "any text" else {"lexicon": listed}
        decoder = CtcBeamDecoder(tokens, words=mode != "eager", **options)
        for word in words:
            found = decode(decoder, said(word, tokens, sure=1 - 1e-7))[0]
            assert math.isfinite(found.score)
            assert (found.text == word) == (mode == "any text" or word in listed)


def test_perceived_characters_cut_between_tokens(tmp_path: Path) -> None:
    """As pieces and letters of many scripts are: a consonant and its vowel sign are one character, but two tokens."""
    word = "\u0915\u093f"
    ngrams = {("<unk>",): (-6.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0), (word,): (-1.0, 0.0)}
    lm = model_of(TinyLM(1, ngrams), tmp_path)
    for tokens, path in (
        (["<blank>", "▁", "▁\u0915", "\u093f", "\u0924"], [2, 3]),
        (["<blank>", SPACE, "\u0915", "\u093f"], [2, 3]),
    ):
        rows = np.full((2, len(tokens)), 0.02)
        rows[[0, 1], path] = 0.9
        for options in ({"lm": lm}, {"lexicon": [word]}, {"hotwords": [word]}):
            found = decode(CtcBeamDecoder(tokens, **options), np.log(rows))[0]
            assert found.text == word
            if "lm" in options:
                assert found.lm_score == pytest.approx(DecodingOptions().lm_weight * -2 * LN10, abs=1e-4)


@pytest.mark.parametrize("weights", [{"lm_weight": 20.0}, {"unk_score": -300.0}, {"unk_letter_score": -300.0}])
def test_unlikely_is_not_impossible(tmp_path: Path, weights: dict[str, float]) -> None:
    """A word that the model gives next to nothing is heard where nothing else was said."""
    ngrams = {("<unk>",): (-100.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0), ("zebra",): (-0.5, 0.0)}
    lm = model_of(TinyLM(1, ngrams), tmp_path)
    found = decode(CtcBeamDecoder(LETTERS, lm=lm, **weights), said("nine", sure=1 - 1e-7))[0]
    assert found.text == "nine"
    assert math.isfinite(found.score)


def test_arrays_of_any_kind() -> None:
    decoder = CtcBeamDecoder(LETTERS)
    heard = torch.from_numpy(said("any kind"))[None]
    expected = decoder.decode(heard, [heard.shape[1]])[0][0].text
    fixed = heard[0].numpy().copy()
    fixed.setflags(write=False)
    assert decoder.decode(fixed[None], [len(fixed)])[0][0].text == expected
    for array in (
        heard.double(),
        heard.half(),
        heard.bfloat16(),
        heard.clone().requires_grad_(),
        heard.numpy()[:, :, :],
    ):
        assert decoder.decode(array, torch.tensor([heard.shape[1]]))[0][0].text == expected
    backwards = heard.flip(2).numpy()[:, :, ::-1]
    assert decoder.decode(backwards, np.array([heard.shape[1]]))[0][0].text == expected
    assert len(kernel.search.signatures) == 1


def test_words_of_sixty_letters(tmp_path: Path) -> None:
    word = "donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunter"[:60]
    other = word[:-1] + "x"
    ngrams = {("<unk>",): (-6.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0)}
    lm = model_of(TinyLM(1, {**ngrams, (word,): (-1.0, 0.0), (other,): (-3.0, 0.0)}), tmp_path)
    heard = said(f"{word} {word}", sure=0.7)
    for options in ({}, {"lexicon": [word, other]}, {"hotwords": [word]}, {"lm": lm}, {"lm": lm, "lexicon": [word]}):
        found = decode(CtcBeamDecoder(LETTERS, **options), heard)[0]
        assert found.text == f"{word} {word}"
        assert len(found.words) == 2


def test_ten_thousand_hot_words() -> None:
    rng = random.Random(1)
    phrases = {" ".join("".join(rng.choices("abcdefgh", k=5)) for _ in range(rng.randint(1, 3))) for _ in range(10_000)}
    phrase = max(sorted(phrases), key=len)
    plain, hot = CtcBeamDecoder(LETTERS), CtcBeamDecoder(LETTERS, hotwords=sorted(phrases))
    heard = said(phrase)
    assert decode(hot, heard)[0].text == phrase
    assert decode(hot, heard)[0].hotword_score >= DecodingOptions().hotword_boost
    assert decode(plain, heard)[0].hotword_score == 0


@pytest.mark.parametrize("numbers", ["word_score", "unk_score", "lm_weight", "prior_weight", "hotword_boost"])
def test_weights_may_be_whole_or_large(tmp_path: Path, numbers: str) -> None:
    ngrams = {("<unk>",): (-6.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0), ("ab",): (-2.0, 0.0)}
    lm = model_of(TinyLM(1, ngrams), tmp_path)
    options = {"lm": lm, "hotwords": ["ab"], "log_prior": np.log(np.full(len(LETTERS), 1 / len(LETTERS)))}
    whole = decode(CtcBeamDecoder(LETTERS, **options, **{numbers: 2}), said("ab ab"))[0]
    assert whole == decode(CtcBeamDecoder(LETTERS, **options, **{numbers: 2.0}), said("ab ab"))[0]
    for value in (300, -300) if "weight" not in numbers else (20,):
        large = CtcBeamDecoder(LETTERS, nbest=9, **{**options, "hotwords": ["ab", "ab ab"]}, **{numbers: value})
        assert all(math.isfinite(h.score) for h in decode(large, said("ab ab")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": -1}, "beam_size: -1"),
        ({"nbest": 0}, "nbest: 0"),
        ({"lm_weight": -1.0}, "lm_weight"),
        ({"word_score": 301.0}, "word_score"),
        ({"prior_weight": math.inf}, "prior_weight"),
        ({"hotwords": {"a": 1000.0}}, wording("boost-1000-0-of-a")),
        ({"lm_weight": math.nan}, "lm_weight"),
        ({"temperature": 0.0}, "temperature"),
        ({"calibration": (0.0, 0.0)}, "calibration"),
        ({"calibration": (1.0,)}, "calibration"),
        ({"calibration": (1.0, math.nan)}, "calibration"),
        ({"beam_threshold": -1.0}, "beam_threshold"),
        ({"beam_threshold": math.nan}, "beam_threshold"),
        ({"lm_unit": "letter"}, "lm_unit"),
        ({"beam_size": 50.0}, "beam_size: 50.0"),
        ({"beam_size": 10**20}, "beam_size"),
        ({"unk_letter_score": 0.5}, "unk_letter_score"),
        ({"tokens": ["<blank>", "a", "a"]}, "twice"),
        ({"beams": 3}, "beams"),
        ({"log_prior": [0.0]}, "log_prior"),
        ({"log_prior": [0.0, math.nan, 0, 0]}, "log_prior"),
        ({"lexicon": ["x"]}, wording("none-of-its-1-words")),
        ({"lexicon": []}, wording("no-word")),
        ({"lexicon": ["a"], "lm_unit": "token"}, "lm_unit"),
        ({"hotwords": ["  "]}, "empty"),
        ({"hotwords": {"a": math.nan}}, "boost"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CtcBeamDecoder(**{"tokens": ["<blank>", SPACE, "a", "b"], **options})


def test_words_without_spaces_need_a_lexicon() -> None:
    with pytest.raises(InputError, match="lexicon"):
        CtcBeamDecoder(["<blank>", "a", "b"], lm_unit="word")


def test_words_that_the_tokens_cannot_say_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        decoder = CtcBeamDecoder(["<blank>", SPACE, "a", "b"], lexicon=["ab", "añb", "ba", "c"])
    assert wording("2-of-4-words") in caplog.text
    assert "ñ" in caplog.text
    assert list(decoder.unsayable) == ["añb", "c"]


def test_a_language_model_of_pieces_is_none_of_words(tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=4\n\n\\1-grams:\n-1 <unk>\n-99 <s>\n-1 </s>\n-1 \u2581ab\n\n\\end\\\n"
    )
    for tokens in (["<blank>", SPACE, "a", "b"], ["<blank>", "\u2581ab", "b"]):
        with pytest.raises(InputError, match="\u2581ab") as error:
            CtcBeamDecoder(tokens, lm=tmp_path / "lm.arpa")
        assert str(error.value).startswith(str(tmp_path / "lm.arpa"))
    CtcBeamDecoder(["<blank>", "\u2581ab", "b"], lm=tmp_path / "lm.arpa", lm_unit="token")


def test_a_language_model_in_another_case_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ngrams = {("<unk>",): (-1.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0)}
    lm = model_of(TinyLM(1, {**ngrams, ("AB",): (-1.0, 0.0), ("BA",): (-1.0, 0.0), ("a",): (-1.0, 0.0)}), tmp_path)
    tokens = ["<blank>", SPACE, "a", "b"]
    with caplog.at_level(logging.WARNING):
        CtcBeamDecoder(tokens, lm=lm)
    assert wording("2-of-3-words-of") in caplog.text
    assert "A B" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        CtcBeamDecoder(tokens, lm=lm, lexicon=["ab", "ba", "a"])
    assert wording("does-not-know-2-of") in caplog.text


def test_hot_word_files(tmp_path: Path) -> None:
    path = tmp_path / "hot.txt"
    path.write_text("new york\t7.5\n\nkoala\r\n  two   spaces \n", encoding="utf-8")
    assert read_hotwords(path) == {"new york": 7.5, "koala": None, "two spaces": None}
    for text, message in (
        ("", wording("no-phrase")),
        ("\t3\n", "line 1"),
        ("a\n\nb\tmuch\n", "line 3"),
        ("a\tnan\n", "line 1"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message) as raised:
            read_hotwords(path)
        assert "hot.txt" in str(raised.value)


# Memory, threads, compilation ----------------------------------------------------------------------------------------


def speech(frames: int, seed: int, vocab: int = len(LETTERS), sharpness: float = 3.0) -> npt.NDArray[np.float32]:
    logits = np.random.default_rng(seed).normal(0, sharpness, (frames, vocab)).astype(np.float32)
    logits[::2, 0] += 8
    return torch.from_numpy(logits).log_softmax(-1).numpy()


def test_threads_give_what_one_gives(tmp_path: Path) -> None:
    rng = random.Random(5)
    task = any_task(rng, "separator", True, True, True, True)
    batch = torch.stack([torch.from_numpy(speech(60, i, len(task.tokens), 2.0)) for i in range(24)])
    lens = [rng.randint(0, 60) for _ in range(24)]
    one = decoder_of(task, tmp_path, nbest=5)
    many = decoder_of(task, tmp_path, nbest=5)
    many.threads = 4
    assert many.decode(batch, lens) == one.decode(batch, lens)
    alone = [one.decode(batch[i : i + 1], [lens[i]])[0] for i in range(24)]
    assert alone == one.decode(batch, lens)


def test_what_is_given_stays_as_it_is() -> None:
    batch = torch.from_numpy(speech(30, 1))[None]
    before = batch.clone()
    CtcBeamDecoder(LETTERS).decode(batch, [30])
    assert torch.equal(batch, before)


def sizes(decoder: CtcBeamDecoder, log_probs: npt.NDArray[np.float32]) -> tuple[int, int, int]:
    d = decoder
    return tuple(kernel.search(log_probs, d._offset, d._vocabulary, d._lm, d._hot, d._weights).sizes.tolist())


@pytest.mark.slow
def test_memory_does_not_grow_with_time(tmp_path: Path) -> None:
    """An hour at 50 frames a second: of silence nothing is kept, of speech what the beam's hypotheses say."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 9))) for _ in range(200)]
    silence = speech(3_000, 1)
    silence[:, 0] = 0.0
    text = " ".join(rng.choices(words, k=100)) + " "
    heard = np.repeat(said(text, sure=0.6), 2, axis=0)
    for lexicon in (words, None):
        decoder = CtcBeamDecoder(LETTERS, threads=1, lexicon=lexicon)
        assert sum(sizes(decoder, np.tile(silence, (60, 1)))) < 50_000
        repeats = 180_000 // len(heard)
        histories, records, slots = sizes(decoder, np.tile(heard, (repeats, 1)))
        assert slots < 20_000
        assert 20 * (histories + records) < 50e6  # bytes


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["any text", "lexicon", "pieces", "without spaces", "tokens"])
def test_forgetting_changes_nothing(mode: str) -> None:
    """An utterance so long that words, spellings and records are collected many times: its text and all its times."""
    rng = random.Random(3)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 9))) for _ in range(900)]
    text, tokens, options = " ".join(words), LETTERS, dict[str, Any]()
    if mode == "lexicon":
        options = {"lexicon": sorted(set(words))}
    elif mode == "pieces":
        tokens = ["<blank>", *(f"▁{c}" for c in "abcdefgh"), *"abcdefgh"]
    elif mode == "without spaces":
        tokens = ["<blank>", *"abcdefgh"]
        words = rng.choices(["ab", "cde", "fgh", "ha"], k=2000)
        text, options = " ".join(words), {"lexicon": ["ab", "cde", "fgh", "ha"]}
    elif mode == "tokens":
        options = {"lm_unit": "token"}
    spelled = [SPACE if c == " " else c for c in text]
    if mode == "pieces":
        spelled = [f"▁{c}" if not i else c for word in words for i, c in enumerate(word)]
    elif mode == "without spaces":
        spelled = list("".join(words))
    rows = np.full((2 * len(spelled), len(tokens)), 0.3 / (len(tokens) - 1))
    rows[np.arange(0, len(rows), 2), [tokens.index(unit) for unit in spelled]] = 0.7
    rows[1::2, 0] = 0.7
    decoder = CtcBeamDecoder(tokens, threads=1, **options)
    found = decode(decoder, np.log(rows))[0]
    assert found.text == text
    assert [w.text for w in found.words] == words
    assert [t.text for t in found.tokens] == spelled
    frames = [round(t.start / decoder.frame_seconds) for t in found.tokens]
    assert frames == list(range(0, len(rows), 2))
    assert all(t.end > t.start for t in found.tokens)
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(found.words))


@pytest.mark.slow
def test_scores_after_forgetting(tmp_path: Path) -> None:
    """Words that no list has keep their letters' number, which is a part of their score, when memory is tidied."""
    rng = random.Random(3)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 9))) for _ in range(900)]
    ngrams = {("<unk>",): (-2.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0), ("abba",): (-1.0, 0.0)}
    decoder = CtcBeamDecoder(LETTERS, lm=model_of(TinyLM(1, ngrams), tmp_path), lm_weight=0.5, unk_score=-2, threads=1)
    found = decode(decoder, said(" ".join(words), sure=0.99))[0]
    assert found.text == " ".join(words)
    options = decoder.options
    each = 0.5 * LN10 * -2.0 + options.unk_score
    letters = options.unk_letter_score * sum(map(len, words))
    assert found.lm_score == pytest.approx(len(words) * each + letters + 0.5 * LN10 * -1.0, rel=1e-6)


@pytest.mark.slow
def test_what_is_not_long_ago_may_still_be_otherwise() -> None:
    """A word in doubt a hundred words before the end is in doubt at the end, however often memory was tidied."""
    rng = random.Random(4)
    words = ["".join(rng.choices("bcdefgh", k=rng.randint(3, 9))) for _ in range(900)]
    words[800] = "a"
    heard = said(" ".join(words), sure=0.97)
    doubtful = 2 * (len(" ".join(words[:800])) + 1)
    heard[doubtful, [LETTERS.index("a"), LETTERS.index("i")]] = np.log([0.5, 0.45])
    found = decode(CtcBeamDecoder(LETTERS, threads=1, nbest=2), heard)
    assert found[0].text == " ".join(words)
    assert found[1].text == " ".join([*words[:800], "i", *words[801:]])
    assert found[0].words[800].confidence < 0.7 < found[0].words[801].confidence


def test_a_fixed_set_of_signatures(tmp_path: Path) -> None:
    """Whatever is decoded, the search is compiled once: a second time would be half a minute for a user."""
    rng = random.Random(1)
    for mode, lexicon in MODES:
        for flags in itertools.product([False, True], repeat=2):
            task = any_task(rng, mode, lexicon, *flags, True)
            decode(decoder_of(task, tmp_path), random_log_probs(rng, 5, len(task.tokens), 1.0))
            if task.lm is not None:
                save_ngram(model_of(task.lm, tmp_path), tmp_path / "lm.safetensors")
                decoder = CtcBeamDecoder(task.tokens, lm=tmp_path / "lm.safetensors", lexicon=task.lexicon)
                decoder.decode(torch.zeros(1, 4, len(task.tokens), dtype=torch.float64), torch.tensor([4]))
    for function in (kernel.search, kernel.trace, kernel.words_of, kernel.word_posteriors):
        assert len(function.signatures) == 1, function.__name__


def test_the_search_needs_no_torch() -> None:
    code = "import sys, asr, asr.decode.ctc_beam; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_lexica_are_taken_in_any_form(tmp_path: Path) -> None:
    (tmp_path / "lexicon.txt").write_text("ab\ta b\nba\tb a\n", encoding="utf-8")
    lexica: list[Any] = [["ab", "ba"], {"ab": [("a", "b")], "ba": ["ba"]}, Lexicon.spelled(["ab", "ba"])]
    for lexicon in [*lexica, tmp_path / "lexicon.txt", str(tmp_path / "lexicon.txt")]:
        assert decode(CtcBeamDecoder(LETTERS, lexicon=lexicon), said("ab ba"))[0].text == "ab ba"


def test_confidences_of_a_long_utterance_know_of_readings_that_the_beam_gave_up() -> None:
    """Each word is "a" at 0.6 or "b" at 0.4: so sure it is, wherever it stands; a small beam forgets the first ones."""
    tokens = ["<blank>", "<space>", "a", "b"]
    frame = {"<blank>": [1.0, 0, 0, 0], "<space>": [0, 1.0, 0, 0], "word": [0, 0, 0.6, 0.4]}
    rows = [frame[name] for _ in range(40) for name in ("word", "<blank>", "<space>", "<blank>")]
    log_probs = np.log(np.array([rows]) + 1e-9)
    decoder = CtcBeamDecoder(tokens, lexicon=["a", "b"], beam_size=300)
    (nbest,) = decoder.decode(log_probs, [len(rows)])
    assert nbest[0].text == " ".join("a" * 40)
    assert [word.confidence for word in nbest[0].words] == pytest.approx([0.6] * 40, abs=0.02)
    (plain,) = decoder.decode(log_probs, [len(rows)], confidences=False)
    assert min(word.confidence for word in plain[0].words[:20]) > 0.9  # what was forgotten does not count
    assert (plain[0].text, plain[0].score) == (nbest[0].text, nbest[0].score)
    assert [(w.start, w.end) for w in plain[0].words] == [(w.start, w.end) for w in nbest[0].words]


def test_confidences_of_words_that_no_list_has() -> None:
    tokens = ["<blank>", "<space>", *"abc"]
    row = {"a": [0, 0, 1.0, 0, 0], "c": [0, 0, 0, 0.2, 0.8]}
    blank, space = [1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0]
    rows = [r for _ in range(12) for r in (row["c"], blank, row["a"], blank, space, blank)]
    decoder = CtcBeamDecoder(tokens, beam_size=300)
    (nbest,) = decoder.decode(np.log(np.array([rows]) + 1e-9), [len(rows)])
    assert nbest[0].text == " ".join(["ca"] * 12)
    assert [word.confidence for word in nbest[0].words] == pytest.approx([0.8] * 12, abs=0.02)
