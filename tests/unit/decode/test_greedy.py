from __future__ import annotations

import math

import pytest
import torch

from asr.decode.greedy import greedy_search

TOKENS = ["<blank>", "<space>", "a", "b"]


def path(ids: list[int], probability: float = 0.7) -> torch.Tensor:
    """Log-probabilities (1, T, 4) whose best path is `ids`, each frame with `probability`."""
    probs = torch.full((1, len(ids), 4), (1 - probability) / 3)
    for t, i in enumerate(ids):
        probs[0, t, i] = probability
    return probs.log()


def test_a_hand_made_path() -> None:
    log_probs = path([0, 2, 2, 0, 2, 3, 1, 1, 0, 3, 0])
    log_probs[0, 5] = torch.tensor([0.2, 0.1, 0.2, 0.5]).log()
    (hypothesis,) = greedy_search(log_probs, torch.tensor([11]), TOKENS, frame_seconds=0.02)
    assert hypothesis.text == "aab b"
    first, second = hypothesis.words
    assert (first.text, second.text) == ("aab", "b")
    assert (first.start, first.end) == pytest.approx((0.02, 0.12))
    assert (second.start, second.end) == pytest.approx((0.18, 0.20))
    assert first.confidence == pytest.approx(0.5)  # its least sure token
    assert second.confidence == pytest.approx(0.7)
    assert hypothesis.score == pytest.approx(10 * math.log(0.7) + math.log(0.5), rel=1e-5)


def test_frames_beyond_the_length_are_not_read() -> None:
    batch = torch.cat([path([2, 3, 3, 3]), path([2, 2, 2, 2])])
    first, second = greedy_search(batch, torch.tensor([1, 0]), TOKENS, frame_seconds=0.02)
    assert first.text == "a"
    assert second.text == ""
    assert second.words == ()


def test_languages_without_spaces_have_a_word_a_token() -> None:
    (hypothesis,) = greedy_search(path([2, 0, 3]), torch.tensor([3]), TOKENS, frame_seconds=0.02, words=False)
    assert hypothesis.text == "ab"
    assert [word.text for word in hypothesis.words] == ["a", "b"]


@pytest.mark.parametrize(("ids", "text"), [([1, 2, 1], "a"), ([1, 1], ""), ([0, 0], ""), ([2, 1, 0, 1, 3], "a b")])
def test_spaces_at_the_ends_and_twice(ids: list[int], text: str) -> None:
    (hypothesis,) = greedy_search(path(ids), torch.tensor([len(ids)]), TOKENS, frame_seconds=0.02)
    assert hypothesis.text == text
