from __future__ import annotations

import itertools
import math

import pytest
import torch

from asr.models.losses import choose_pronunciations, ctc_loss, frames_needed


def brute_force(log_probs: torch.Tensor, target: list[int]) -> float:
    """-log of the summed probability of all paths that collapse to the target."""
    frames, vocab = log_probs.shape
    total = 0.0
    for path in itertools.product(range(vocab), repeat=frames):
        collapsed = [token for token, _ in itertools.groupby(path) if token]
        if collapsed == target:
            total += math.exp(sum(float(log_probs[t, token]) for t, token in enumerate(path)))
    return -math.log(total)


@pytest.mark.parametrize("target", [[1], [1, 2], [1, 1], [2, 1, 2], []])
def test_equals_the_sum_over_all_paths(target: list[int]) -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(1, 5, 3).log_softmax(2)
    tokens = torch.tensor([target], dtype=torch.long)
    loss = ctc_loss(log_probs, torch.tensor([5]), tokens, torch.tensor([len(target)]))
    assert float(loss.sum) == pytest.approx(brute_force(log_probs[0], target), rel=1e-5)
    assert int(loss.count) == len(target)


def test_padding_counts_for_nothing() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(2, 8, 4).log_softmax(2)
    tokens = torch.tensor([[1, 2, 3], [2, 3, 3]])
    both = ctc_loss(log_probs, torch.tensor([8, 4]), tokens, torch.tensor([3, 1]))
    second = ctc_loss(log_probs[1:, :4], torch.tensor([4]), tokens[1:, :1], torch.tensor([1]))
    assert float(both.per_item[1]) == pytest.approx(float(second.sum), rel=1e-5)
    assert int(both.count) == 4


def test_what_does_not_fit_is_left_out_and_harms_nothing() -> None:
    torch.manual_seed(0)
    scores = torch.randn(4, 5, 4, requires_grad=True)
    tokens = torch.tensor([[1, 2, 0], [1, 1, 1], [1, 2, 3], [1, 0, 0]])
    # The second needs two blanks more than it has frames for, the third has two frames, the last none.
    loss = ctc_loss(scores.log_softmax(2), torch.tensor([5, 4, 2, 0]), tokens, torch.tensor([2, 3, 3, 1]))
    assert loss.left_out.tolist() == [False, True, True, True]
    assert torch.isfinite(loss.per_item).all()
    assert loss.per_item[1:].tolist() == [0, 0, 0]
    assert int(loss.count) == 2
    loss.sum.backward()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[0].abs().sum() > 0
    assert not scores.grad[1:].any()


def test_nothing_fits() -> None:
    scores = torch.randn(1, 1, 3, requires_grad=True)
    loss = ctc_loss(scores.log_softmax(2), torch.tensor([1]), torch.tensor([[1, 2]]), torch.tensor([2]))
    loss.sum.backward()
    assert loss.sum.item() == 0
    assert int(loss.count) == 0
    assert not scores.grad.any()


def test_frames_needed_counts_blanks_between_equal_neighbours() -> None:
    tokens = torch.tensor([[1, 1, 2, 2, 2], [1, 2, 1, 1, 1]])
    assert frames_needed(tokens, torch.tensor([5, 3])).tolist() == [8, 3]
    assert frames_needed(torch.zeros(1, 0, dtype=torch.long), torch.tensor([0])).tolist() == [0]


def test_the_pronunciation_that_is_heard_is_chosen() -> None:
    """Frames that say 'a b' and 'c' plainly, whatever the lexicon's first pronunciations are."""
    a, b, c = 1, 2, 3
    said = torch.tensor([[a, 0, b, 0, c, 0], [c, 0, a, a, 0, 0]])
    log_probs = torch.full((2, 6, 4), -4.0).scatter(2, said[..., None], 0.0).log_softmax(2)
    first = [[[c, b], [a, c], [a, b]], [[c]]]  # three pronunciations of a word, one of another
    second = [[[a], [c]], [[b], [c], [a]]]
    tokens, lens = choose_pronunciations(log_probs, torch.tensor([6, 4]), [first, second])
    assert [row[:n].tolist() for row, n in zip(tokens, lens, strict=True)] == [[a, b, c], [c, a]]
    # Of one that has no frames to fit into the first stays; words without a choice are as they are.
    tokens, lens = choose_pronunciations(log_probs[:, :1], torch.tensor([1, 1]), [first, [[[b]]]])
    assert [row[:n].tolist() for row, n in zip(tokens, lens, strict=True)] == [[c, b, c], [b]]
    tokens, lens = choose_pronunciations(log_probs, torch.tensor([6, 6]), [[], [[[b]]]])
    assert lens.tolist() == [0, 1]


def test_pronunciations_that_fit_alone_and_not_together() -> None:
    """Each of two longer ones lowers the loss of four frames; the five tokens of both would have no alignment."""
    torch.manual_seed(36)
    log_probs = (torch.randn(1, 4, 4) * 2).log_softmax(2)
    a, b, c = 1, 2, 3
    tokens, lens = choose_pronunciations(log_probs, torch.tensor([4]), [[[[b], [a, b]], [[c]]]])
    assert tokens[0].tolist() == [a, b, c]
    tokens, lens = choose_pronunciations(log_probs, torch.tensor([4]), [[[[b]], [[c], [b, c]]]])
    assert tokens[0].tolist() == [b, b, c]
    tokens, lens = choose_pronunciations(log_probs, torch.tensor([4]), [[[[b], [a, b]], [[c], [b, c]]]])
    assert tokens[0, : lens[0]].tolist() == [b, c]
