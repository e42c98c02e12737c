"""The reference that beam searches are tested against: its two halves agree, and agree with sums done by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ctc_reference import (
    LN10,
    MODES,
    TOKENS,
    Lexicon,
    Scores,
    Task,
    TinyLM,
    Words,
    brute_force,
    full_lexicon,
    logs,
    prefix_search,
    random_log_probs,
    random_task,
    readings,
    write_tiny_arpa,
)

pytestmark = pytest.mark.slow

METHODS = [brute_force, prefix_search]
method = pytest.mark.parametrize("method", METHODS)
Method = Callable[[list[list[float]], Task], dict[Words, Scores]]


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("hotwords", [False, True])
@pytest.mark.parametrize("lm", [False, True])
@pytest.mark.parametrize(
    ("mode", "lexicon"),
    MODES,
)
def test_the_two_agree(mode: str, lexicon: bool, lm: bool, hotwords: bool, prior: bool) -> None:
    for seed in range(30):
        rng = random.Random(seed)
        task = random_task(rng, mode, lexicon, lm, hotwords, prior)
        frames = 1 + seed % 4 if len(task.tokens) == 5 else 1 + seed % 5
        log_probs = random_log_probs(rng, frames, len(task.tokens), rng.uniform(0.3, 4))
        enumerated, searched = brute_force(log_probs, task), prefix_search(log_probs, task)
        assert set(searched) == set(enumerated)
        for words, scores in enumerated.items():
            for part in ("total", "acoustic", "lm", "words", "hotwords"):
                assert getattr(searched[words], part) == pytest.approx(getattr(scores, part), abs=1e-9, rel=0)
            assert scores.total == pytest.approx(scores.acoustic + scores.lm + scores.words + scores.hotwords, abs=1e-9)


@pytest.mark.parametrize("mode", ["separator", "pieces", "tokens"])
@method
def test_all_readings_together_have_probability_one(method: Method, mode: Any) -> None:
    log_probs = random_log_probs(random.Random(1), 5, len(TOKENS[mode]), 1.5)
    results = method(log_probs, Task(tokens=TOKENS[mode], mode=mode))
    assert sum(math.exp(scores.total) for scores in results.values()) == pytest.approx(1)


# By hand -------------------------------------------------------------------------------------------------------------


@method
def test_two_frames_of_one_letter(method: Method) -> None:
    task = Task(tokens=["<blank>", "a"], mode="separator", word_score=0.5)
    results = method(logs((0.6, 0.4), (0.3, 0.7)), task)
    # Nothing: blank, blank = 0.6 * 0.3. "a": all the rest.
    assert set(results) == {(), ("a",)}
    assert results[()].total == pytest.approx(math.log(0.18))
    scores = results[("a",)]
    assert (scores.acoustic, scores.lm, scores.words, scores.hotwords) == pytest.approx((math.log(0.82), 0, 0.5, 0))
    assert scores.total == pytest.approx(math.log(0.82) + 0.5)


@method
def test_a_double_letter_needs_a_blank_between(method: Method) -> None:
    results = method(logs((0.6, 0.4), (0.3, 0.7), (0.1, 0.9)), Task(tokens=["<blank>", "a"], mode="separator"))
    assert results[("aa",)].acoustic == pytest.approx(math.log(0.4 * 0.3 * 0.9))
    assert results[()].acoustic == pytest.approx(math.log(0.6 * 0.3 * 0.1))
    assert results[("a",)].acoustic == pytest.approx(math.log(1 - 0.108 - 0.018))


@method
def test_the_prior_is_divided_out_of_every_frame_blanks_too(method: Method) -> None:
    log_prior = [math.log(0.64), math.log(0.04)]
    task = Task(tokens=["<blank>", "a"], mode="pieces", prior_weight=0.5, log_prior=log_prior)
    results = method(logs((0.6, 0.4), (0.3, 0.7)), task)
    # Square roots of the prior: 0.8 and 0.2.
    assert results[()].acoustic == pytest.approx(math.log(0.75 * 0.375))
    assert results[("a",)].acoustic == pytest.approx(math.log(2 * 0.375 + 0.75 * 3.5 + 2 * 3.5))


@method
def test_what_is_impossible_is_not_a_result(method: Method) -> None:
    results = method(logs((0.0, 0.4, 0.6), (0.5, 0.0, 0.5)), Task(tokens=["<blank>", "a", "b"], mode="separator"))
    assert set(results) == {("a",), ("ab",), ("b",)}
    assert results[("b",)].acoustic == pytest.approx(math.log(0.6))


@method
def test_every_cut_into_pronunciations_counts(method: Method) -> None:
    lexicon: Lexicon = {"x": [("a",)], "y": [("b",), ("a", "b")], "z": [("a", "b")]}
    task = Task(tokens=["<blank>", "a", "b"], mode="lexicon", lexicon=lexicon)
    results = method(logs((0.5, 0.3, 0.2), (0.1, 0.2, 0.7)), task)
    expected = {
        (): 0.5 * 0.1,
        ("x",): 0.5 * 0.2 + 0.3 * 0.1 + 0.3 * 0.2,
        ("y",): 0.5 * 0.7 + 0.2 * 0.1 + 0.2 * 0.7 + 0.3 * 0.7,  # b, and a b
        ("z",): 0.3 * 0.7,
        ("x", "y"): 0.3 * 0.7,
        ("y", "x"): 0.2 * 0.2,
    }
    assert {words: math.exp(scores.total) for words, scores in results.items()} == pytest.approx(expected)

    twice = Task(tokens=["<blank>", "a", "b"], mode="lexicon", lexicon={"w": [("a",), ("a", "b"), ("b", "a")]})
    results = method(logs((0.5, 0.3, 0.2), (0.1, 0.2, 0.7), (0.4, 0.5, 0.1)), twice)
    # "aa" is one path; "aba" is one path that can be cut as a, ba and as ab, a.
    assert results[("w", "w")].acoustic == pytest.approx(math.log(0.3 * 0.1 * 0.5 + 2 * 0.3 * 0.7 * 0.5))


@method
def test_words_that_share_a_pronunciation_are_readings_each(method: Method) -> None:
    lexicon: Lexicon = {"to": [("a",)], "two": [("a",)], "ox": [("b", "a")]}
    task = Task(tokens=["<blank>", "<space>", "a", "b"], mode="separator", lexicon=lexicon, hotwords={("b",): 2.0})
    results = method(logs((0.1, 0.2, 0.3, 0.4), (0.4, 0.3, 0.2, 0.1)), task)
    a = 0.3 * 0.4 + 0.3 * 0.2 + 0.1 * 0.2 + 0.3 * 0.3 + 0.2 * 0.2  # a_ aa _a, "a " and " a"
    b = 0.4 * 0.4 + 0.4 * 0.1 + 0.1 * 0.1 + 0.4 * 0.3 + 0.2 * 0.1
    none = 0.1 * 0.4 + 0.1 * 0.3 + 0.2 * 0.4 + 0.2 * 0.3
    expected = {(): none, ("to",): a, ("two",): a, ("ox",): 0.4 * 0.2, ("b",): b * math.exp(2)}
    assert {words: math.exp(scores.total) for words, scores in results.items()} == pytest.approx(expected)


BIGRAMS = TinyLM(
    2,
    {
        ("<unk>",): (-3.0, -0.4),
        ("<s>",): (-99.0, -0.3),
        ("</s>",): (-1.0, 0.0),
        ("a",): (-0.5, -0.2),
        ("<space>",): (-0.7, 0.0),
        ("<s>", "a"): (-0.25, 0.0),
        ("a", "</s>"): (-0.125, 0.0),
    },
)


def test_the_language_model_backs_off() -> None:
    assert BIGRAMS.score([]) == pytest.approx(-0.3 - 1.0)
    assert BIGRAMS.score(["a"]) == pytest.approx(-0.25 - 0.125)
    assert BIGRAMS.score(["a", "a"]) == pytest.approx(-0.25 + (-0.2 - 0.5) - 0.125)
    assert BIGRAMS.score(["q", "a"]) == pytest.approx((-0.3 - 3.0) + (-0.4 - 0.5) - 0.125)
    assert [BIGRAMS.knows(word) for word in ("a", "q", "<unk>")] == [True, False, False]
    trigrams = TinyLM(3, {**BIGRAMS.ngrams, ("a", "a"): (-0.1, -0.6), ("a", "a", "a"): (-0.05, 0.0)})
    # a | <s>; a | <s> a, whose weight is 0; a | a a; </s> | a a, which backs off to </s> | a.
    assert trigrams.score(["a", "a", "a"]) == pytest.approx(-0.25 - 0.1 - 0.05 + (-0.6 - 0.125))


@method
def test_parts_of_the_score(method: Method) -> None:
    task = Task(
        tokens=["<blank>", "<space>", "a", "b"],
        mode="separator",
        lm=BIGRAMS,
        lm_weight=0.5,
        word_score=0.25,
        unk_score=-1.5,
        hotwords={("a", "b"): 2.0, ("b",): 0.125, ("a",): 1.0, ("b", "a"): 64.0},
    )
    results = method(logs((0, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0.25, 0.75)), task)
    assert set(results) == {("a", "a"), ("a", "b")}
    scores = results[("a", "b")]
    log10 = -0.25 + (-0.2 - 3.0) + (-0.4 - 1.0)
    assert scores.acoustic == pytest.approx(math.log(0.75))
    assert scores.lm == pytest.approx(0.5 * LN10 * log10 - 1.5)
    assert scores.words == pytest.approx(0.5)
    assert scores.hotwords == pytest.approx(3.125)
    assert scores.total == pytest.approx(math.log(0.75) + 0.5 * LN10 * log10 - 1.5 + 0.5 + 3.125)


@method
def test_overlapping_hot_phrases_count_each(method: Method) -> None:
    task = Task(tokens=["<blank>", "a"], mode="tokens", hotwords={("a", "a"): 1.0})
    certain = logs((0, 1), (1, 0), (0, 1), (1, 0), (0, 1))
    assert {words: scores.hotwords for words, scores in method(certain, task).items()} == {("a", "a", "a"): 2.0}


@method
def test_tokens_are_scored_with_the_space_at_the_end_and_without(method: Method) -> None:
    task = Task(tokens=["<blank>", "a", "<space>"], mode="tokens", lm=BIGRAMS, word_score=0.25)
    results = method(logs((0.5, 0.3, 0.2), (0.1, 0.3, 0.6)), task)
    assert set(results) == {(), ("a",)}
    none = 0.5 * 0.1 + 0.5 * 0.6 + 0.2 * 0.1 + 0.2 * 0.6
    assert results[()].total == pytest.approx(math.log(none) - 1.3 * LN10)
    plain = 0.3 * 0.1 + 0.5 * 0.3 + 0.3 * 0.3 + 0.2 * 0.3  # the last: " a"
    bare = math.log(plain) + LN10 * (-0.25 - 0.125) + 0.25
    spaced = math.log(0.3 * 0.6) + LN10 * (-0.25 + (-0.2 - 0.7) - 1.0) + 0.5
    scores = results[("a",)]
    total = math.log(math.exp(bare) + math.exp(spaced))
    assert bare > spaced
    assert scores.total == pytest.approx(total)
    assert (scores.lm, scores.words) == pytest.approx((LN10 * -0.375, 0.25))
    assert scores.acoustic == pytest.approx(total - LN10 * -0.375 - 0.25)

    # A hot phrase that ends in the space makes that variant the better one.
    hot = Task(tokens=task.tokens, mode="tokens", hotwords={("a", "<space>"): 3.0})
    scores = method(logs((0.5, 0.3, 0.2), (0.1, 0.3, 0.6)), hot)[("a",)]
    assert scores.hotwords == 3.0
    assert scores.total == pytest.approx(math.log(plain + 0.3 * 0.6 * math.exp(3)))


def test_readings() -> None:
    separator = Task(tokens=["<blank>", "<space>", "a", "b", "ab"], mode="separator")
    assert readings(["<space>", "a", "<space>", "<space>", "b"], separator) == [("a", "b")]
    assert readings(["a", "b", "<space>"], separator) == readings(["ab"], separator) == [("ab",)]
    assert readings(["<space>"], separator) == readings([], separator) == [()]

    pieces = Task(tokens=["<blank>", "▁", "▁a", "a", "b"], mode="pieces")
    assert readings(["▁", "▁a"], pieces) == readings(["▁a", "▁"], pieces) == readings(["▁", "a"], pieces) == [("a",)]
    assert readings(["b", "a", "▁a", "b"], pieces) == [("ba", "ab")]
    assert readings(["▁", "▁"], pieces) == [()]
    listed = Task(tokens=pieces.tokens, mode="pieces", lexicon={"x": [("▁a", "b")], "y": [("a", "b"), ("▁a", "b")]})
    assert sorted(readings(["▁", "a", "b"], listed)) == [("x",), ("y",)]
    assert readings(["▁a", "b", "▁a"], listed) == []

    spelled = Task(tokens=separator.tokens, mode="separator", lexicon={"x": [("a", "b"), ("ab",)], "y": [("a", "b")]})
    assert sorted(readings(["<space>", "a", "b"], spelled)) == [("x",), ("y",)]
    assert readings(["ab", "<space>", "ab"], spelled) == [("x", "x")]
    assert readings(["a", "<space>", "ab"], spelled) == []
    assert readings(["<space>"], spelled) == [()]

    tokens = Task(tokens=["<blank>", "a", "<space>"], mode="tokens")
    spaces = ["<space>", "<space>"]
    assert readings([*spaces, "a", *spaces, "a", *spaces], tokens) == [("a", "<space>", "a", "<space>")]


def test_hot_words_join_the_lexicon_if_they_can_be_spelled() -> None:
    hotwords = {("ba", "x"): 1.0, ("bc",): 1.0}
    lexicon: Lexicon = {"x": [("a",)]}
    task = Task(tokens=["<blank>", "<space>", "a", "b"], mode="separator", lexicon=lexicon, hotwords=hotwords)
    assert full_lexicon(task) == {"x": [("a",)], "ba": [("b", "a")]}
    assert lexicon == {"x": [("a",)]}
    assert full_lexicon(Task(tokens=task.tokens, mode="lexicon", lexicon=lexicon, hotwords=hotwords)) == lexicon
    assert full_lexicon(Task(tokens=task.tokens, mode="separator", hotwords=hotwords)) is None


def test_arpa(tmp_path: Path) -> None:
    lm = TinyLM(2, {k: BIGRAMS.ngrams[k] for k in [("<unk>",), ("<s>",), ("</s>",), ("a",), ("<s>", "a")]})
    write_tiny_arpa(lm, tmp_path / "lm.arpa")
    assert (tmp_path / "lm.arpa").read_text(encoding="utf-8").splitlines() == [
        "\\data\\",
        "ngram 1=4",
        "ngram 2=1",
        "",
        "\\1-grams:",
        "-3.0\t<unk>\t-0.4",
        "-99.0\t<s>\t-0.3",
        "-1.0\t</s>\t0.0",
        "-0.5\ta\t-0.2",
        "",
        "\\2-grams:",
        "-0.25\t<s> a",
        "",
        "\\end\\",
    ]
