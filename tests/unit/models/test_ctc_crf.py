from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from wording import wording

from asr.models import ctc_crf
from asr.models.ctc_crf import TokenNgram, ctc_crf_loss, estimate_tokens, log_partition, token_ngram, token_numbers
from asr.models.losses import ctc_loss
from asr.utils.errors import InputError


def texts(vocab_size: int, count: int = 80, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, vocab_size, rng.integers(0, 6)).tolist() for _ in range(count)]


def ngram_of(sequences: list[list[int]], vocab_size: int, order: int = 0) -> TokenNgram:
    tokens = ["<blank>", *map(str, range(1, vocab_size))]
    return token_ngram(estimate_tokens(sequences, tokens, order=order), tokens)


def random_log_probs(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator)).log_softmax(-1)


def labels_of(path: tuple[int, ...]) -> list[int]:
    return [k for i, k in enumerate(path) if k and (i == 0 or path[i - 1] != k)]


def weights(log_probs: Tensor, ngram: TokenNgram) -> tuple[float, npt.NDArray[np.float64]]:
    """log Z and the occupancies (T, V), by all paths one after the other."""
    n_frames, vocab_size = log_probs.shape
    total, occupancy = 0.0, np.zeros((n_frames, vocab_size))
    for path in itertools.product(range(vocab_size), repeat=n_frames):
        tokens = labels_of(path)
        log_weight = sum(float(log_probs[t, k]) for t, k in enumerate(path))
        log_weight += float(ngram.log_prob(torch.tensor([tokens or [0]]), torch.tensor([len(tokens)]))[0])
        total += math.exp(log_weight)
        occupancy[range(n_frames), path] += math.exp(log_weight)
    return math.log(total), occupancy / total


def log_partition_in_logs(log_probs: Tensor, ngram: TokenNgram) -> float:
    """log Z of one utterance (T, V), frame after frame, in logarithms throughout."""
    with np.errstate(divide="ignore"):
        trans, end = (np.log(table.double().numpy()) for table in (ngram.trans, ngram.end))
    width, vocab_size = end.shape
    said = np.full((width, vocab_size), -np.inf)  # the last frame is the token of the history
    silent = said.copy()  # it is blank
    silent[0, 0] = 0.0
    for frame in log_probs.double().numpy():
        any_way = np.logaddexp(said, silent)
        onwards = said.copy()  # the same token goes on
        for a, b in itertools.product(range(width), range(vocab_size)):
            for v in range(1, vocab_size):
                before = silent[a, b] if v == b else any_way[a, b]
                to = (b if width > 1 else 0, v)
                onwards[to] = np.logaddexp(onwards[to], before + trans[a, b, v])
        said, silent = onwards + frame, any_way + frame[0]
        said[:, 0] = -np.inf
    return float(np.logaddexp.reduce((np.logaddexp(said, silent) + end).ravel()))


@pytest.mark.parametrize(("order", "vocab_size", "n_frames"), [(2, 3, 7), (3, 3, 7), (2, 5, 4), (3, 4, 5), (3, 4, 1)])
def test_the_sum_over_all_paths(order: int, vocab_size: int, n_frames: int) -> None:
    ngram = ngram_of(texts(vocab_size), vocab_size, order=order)
    log_probs = random_log_probs(2, n_frames + 2, vocab_size)
    lens = torch.tensor([n_frames, max(1, n_frames - 1)])
    totals, occupancies = ctc_crf._forward_backward(log_probs.exp(), lens, ngram)
    for i, size in enumerate(lens.tolist()):
        total, occupancy = weights(log_probs[i, :size], ngram)
        assert float(totals[i]) == pytest.approx(total, abs=1e-5)
        assert log_partition_in_logs(log_probs[i, :size], ngram) == pytest.approx(total, abs=1e-5)
        assert np.abs(occupancies[i, :size].numpy() - occupancy).max() < 1e-5
        assert not occupancies[i, size:].any()


@pytest.mark.parametrize("order", [2, 3])
def test_gradients_are_those_of_finite_differences(order: int) -> None:
    ngram = ngram_of(texts(4), 4, order=order)
    logits = random_log_probs(3, 6, 4).requires_grad_()
    lens, tokens, token_lens = (
        torch.tensor([6, 4, 5]),
        torch.tensor([[1, 1, 2], [3, 2, 0], [1, 0, 0]]),
        torch.tensor([3, 2, 1]),
    )

    def loss(values: Tensor) -> Tensor:
        return ctc_crf_loss(values.log_softmax(2), lens, tokens, token_lens, ngram, ctc_share=0.1).sum

    (gradient,) = torch.autograd.grad(loss(logits), logits)
    step = 1e-2
    for at in [(0, 0, 0), (0, 3, 1), (1, 2, 3), (2, 4, 2)]:
        up, down = logits.detach().clone(), logits.detach().clone()
        up[at] += step
        down[at] -= step
        assert float(gradient[at]) == pytest.approx(float(loss(up) - loss(down)) / (2 * step), abs=2e-3)
    assert not gradient[1, 4:].any()


def test_probabilities_of_all_texts_sum_to_one() -> None:
    ngram = ngram_of(texts(3), 3, order=3)
    log_probs, lens = random_log_probs(1, 4, 3), torch.tensor([4])
    total = 0.0
    for size in range(1, 5):
        for tokens in itertools.product([1, 2], repeat=size):
            target = torch.tensor([tokens]), torch.tensor([size])
            found = ctc_crf_loss(log_probs, lens, *target, ngram, ctc_share=0.0)
            if not found.left_out:
                assert float(found.per_item) > 0
                total += math.exp(-float(found.per_item))
    silence = float(log_probs[0, :, 0].sum() + ngram.log_prob(torch.tensor([[0]]), torch.tensor([0])))
    total += math.exp(silence - float(log_partition(log_probs, lens, ngram)))
    assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("order", "vocab_size"), [(3, 40), (2, 200)])
def test_a_minute_of_sure_and_of_unsure_frames(order: int, vocab_size: int) -> None:
    ngram = ngram_of(texts(vocab_size, 500), vocab_size, order=order)
    for scale in (0.0, 30.0):
        log_probs = random_log_probs(1, 1500, vocab_size, scale=scale).requires_grad_()
        total = log_partition(log_probs, torch.tensor([1500]), ngram)
        (occupancy,) = torch.autograd.grad(total.sum(), log_probs)
        assert torch.isfinite(total).all()
        assert (occupancy.sum(2) - 1).abs().max() < 1e-4  # a path has one token in each frame

    ngram = ngram_of(texts(8, 500), 8, order=order)
    log_probs = random_log_probs(1, 300, 8, scale=30.0)
    expected = log_partition_in_logs(log_probs[0], ngram)
    assert float(log_partition(log_probs, torch.tensor([300]), ngram)) == pytest.approx(expected, rel=1e-5)


def test_what_does_not_fit_is_left_out() -> None:
    ngram = ngram_of(texts(4), 4)
    log_probs = random_log_probs(2, 3, 4).requires_grad_()
    lens, tokens, token_lens = torch.tensor([3, 0]), torch.tensor([[1, 1, 1], [1, 0, 0]]), torch.tensor([3, 1])
    loss = ctc_crf_loss(log_probs, lens, tokens, token_lens, ngram)
    assert loss.left_out.all()
    assert loss.count == 0
    assert not loss.per_item.any()
    (gradient,) = torch.autograd.grad(loss.sum, log_probs)
    assert not gradient.any()


def test_the_table_is_the_model_of_the_texts() -> None:
    sequences = [*texts(4), *[[1, 2, 1]] * 50]
    for order, width in ((2, 1), (3, 4)):
        ngram = ngram_of(sequences, 4, order=order)
        assert ngram.trans.shape == (width, 4, 4)
        assert ngram.end.shape == (width, 4)
        sums = (ngram.trans.sum(2) + ngram.end)[:, 1:]
        assert torch.allclose(sums, torch.ones_like(sums), atol=1e-6)
        assert float(ngram.trans[0, 0].sum() + ngram.end[0, 0]) == pytest.approx(1)
        assert ngram.trans[0, 0, 1] > 0.5
        assert ngram.trans[0, 1, 2] > ngram.trans[0, 1, 3]
        assert not ngram.trans[..., 0].any()
    assert ngram_of(texts(70), 70).trans.shape[0] == 1


def test_ctcs_share_is_added() -> None:
    ngram = ngram_of(texts(4), 4)
    batch = random_log_probs(2, 5, 4), torch.tensor([5, 4]), torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1])
    ctc, alone, shared = (
        ctc_loss(*batch),
        ctc_crf_loss(*batch, ngram, ctc_share=0.0),
        ctc_crf_loss(*batch, ngram, ctc_share=0.25),
    )
    assert torch.allclose(shared.per_item, alone.per_item + 0.25 * ctc.per_item)
    assert alone.count == ctc.count == 3


def test_a_table_that_would_be_too_large() -> None:
    tokens = ["<blank>", *map(str, range(1, 500))]
    with pytest.raises(InputError, match=wording("500-tokens-are-too-many")):
        token_numbers(estimate_tokens(texts(500), tokens, order=3), tokens)
    token_numbers(estimate_tokens(texts(500), tokens), tokens)


def test_nan_stays_nan_and_touches_no_other() -> None:
    ngram = ngram_of(texts(4), 4)
    log_probs = random_log_probs(2, 5, 4)
    log_probs[0, 2] = torch.nan
    totals, occupancy = ctc_crf._forward_backward(log_probs.exp(), torch.tensor([5, 5]), ngram)
    assert not math.isfinite(totals[0])
    assert math.isfinite(totals[1])
    assert not occupancy[0].any()
