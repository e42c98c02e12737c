"""CTC-CRF: CTC's paths, normalised over the whole utterance.

Xiang and Ou, "CRF-based single-stage acoustic modeling with CTC topology" (2019). A path of labels l weighs p(l) times
the product of what the network gives its frames, p being an n-gram model of tokens; the probability of the labels is
their paths' share of all paths:

    loss = -log sum over paths of l - log p(l) + log Z,  Z = sum over all paths

Its gradient by the network's log-probabilities is the difference of two occupancies: how likely a token is in a frame
on all paths, and on those of the labels. B batch, T frames, U target tokens, V vocabulary with the blank, which is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asr.lm.corpus import BOS, EOS, Corpus
from asr.lm.kneser_ney import EstimateOptions, estimate_ngram
from asr.lm.ngram import NgramModel
from asr.models.criterion import Criterion, CriterionConfig
from asr.models.losses import Loss, ctc_loss
from asr.utils.config import setting
from asr.utils.errors import InputError
from asr.utils.jit import warm_up

DENSE = 64  # tokens, up to which the table of a trigram is small
MOST_ENTRIES = 1 << 26  # of a table: 256 MB


@CriterionConfig.register
@dataclass(frozen=True, kw_only=True)
class CtcCrfConfig(CriterionConfig):
    """CTC-CRF, by an n-gram model of the training texts' tokens."""

    kind: Literal["ctc-crf"] = "ctc-crf"
    ctc_share: float = setting(0.1, "[0, 10]")  # of CTC's loss, which is added
    warm_up_epochs: int = setting(3, "[0, inf)")  # the first, with CTC alone
    order: Literal[0, 2, 3] = 0  # of the n-gram model; 0: 3 of up to 64 tokens, 2 of more

    uses_token_lm: ClassVar[bool] = True

    def estimate(self, sequences: Iterable[Sequence[int]], tokens: Sequence[str]) -> NgramModel:
        model = estimate_tokens(sequences, tokens, order=self.order)
        token_numbers(model, tokens)  # too many are told at once
        return model

    def build(self, tokens: Sequence[str], token_lm: NgramModel | None) -> Criterion:
        if token_lm is None:
            raise InputError("CTC-CRF needs a model of tokens, and there is none")
        ngram = token_ngram(token_lm, tokens)

        def loss(log_probs: Tensor, lens: Tensor, targets: Tensor, target_lens: Tensor) -> Loss:
            on_device = ngram.to(log_probs.device)
            return ctc_crf_loss(log_probs, lens, targets, target_lens, on_device, ctc_share=self.ctc_share)

        return loss


@dataclass(frozen=True)
class TokenNgram:
    """A bigram or trigram of tokens, as a table.

    Args:
        trans: (A, V, V), probability of a token after the last but one a and the last b. Among histories 0 stands for
            the start; no token is 0, so nothing leads there. A is V of a trigram, 1 of a bigram.
        end: (A, V), probability that the utterance ends there.
    """

    trans: Tensor
    end: Tensor

    def log_prob(self, tokens: Tensor, token_lens: Tensor) -> Tensor:
        """(B,), natural logarithms, of tokens (B, U) and the end behind them."""
        trans, end = self.trans.log(), self.end.log()
        b = torch.nn.functional.pad(tokens, (1, 0))  # the start before the first
        a = torch.nn.functional.pad(b, (1, 0))[:, :-1] if len(trans) > 1 else torch.zeros_like(b)
        each = trans[a[:, :-1], b[:, :-1], tokens]  # (B, U)
        counted = torch.arange(tokens.shape[1], device=tokens.device) < token_lens[:, None]
        last = token_lens[:, None]
        ends = end[a.gather(1, last), b.gather(1, last)][:, 0]
        return each.masked_fill(~counted, 0.0).sum(1) + ends

    def to(self, device: torch.device) -> TokenNgram:
        return TokenNgram(self.trans.to(device), self.end.to(device))


def estimate_tokens(sequences: Iterable[Sequence[int]], tokens: Sequence[str], *, order: int = 0) -> NgramModel:
    """The n-gram model (modified Kneser-Ney) of the tokens of training texts.

    Args:
        sequences: Token ids of each text, none of them the blank.
        tokens: The V tokens, blank first.
        order: 2 or 3; 0: 3 of up to 64 tokens, 2 of more.
    """
    order = order or (3 if len(tokens) <= DENSE else 2)
    ids = np.concatenate([[BOS, *(token + EOS for token in sequence), EOS] for sequence in sequences])
    words = ["<unk>", "<s>", "</s>", *tokens[1:]]  # token 1 is word 3
    return estimate_ngram(Corpus(words, ids.astype(np.int32)), EstimateOptions(order=order))


def token_numbers(model: NgramModel, tokens: Sequence[str]) -> npt.NDArray[np.int64]:
    """(V,): the number that a model of tokens has for each of them; for the blank, that of the end.

    Raises:
        InputError: It lacks a token, its order is not 2 or 3, or its table would be too large.
    """
    numbers = np.array([model.eos, *(model.index.get(token, -1) for token in tokens[1:])])
    if model.order not in (2, 3) or numbers.min() < 0 or model.bos < 0:
        raise InputError(f"a token model of order {model.order} over {len(model.words)} units is not of these tokens")
    if len(tokens) ** model.order > MOST_ENTRIES:
        raise InputError(
            f"{len(tokens)} tokens are too many for CTC-CRF with a token model of order {model.order}",
            remedy="criterion.order=2, fewer tokens (tokenizer.size), or criterion.kind=ctc",
        )
    return numbers


def token_ngram(model: NgramModel, tokens: Sequence[str]) -> TokenNgram:
    """A model of tokens, of order 2 or 3, as a table.

    Raises:
        InputError: As `token_numbers`.
    """
    size, number = len(tokens), token_numbers(model, tokens)
    width = size if model.order == 3 else 1
    table = np.zeros((width, size, size), np.float32)
    for a in range(width):
        for b in range(min(a, 1), size):
            history = [model.bos] if b == 0 else [model.bos if a == 0 else number[a], number[b]][1 - model.order :]
            sentences = np.column_stack([np.tile(history, (size, 1)), number])
            log_probs, _ = model.score_ids(sentences.ravel(), np.arange(size) * sentences.shape[1])
            table[a, b] = 10.0 ** log_probs.reshape(sentences.shape)[:, -1]
    table /= np.maximum(table.sum(2, keepdims=True), 1e-30)  # no token is <unk>
    end = table[..., 0].copy()
    table[..., 0] = 0
    return TokenNgram(torch.from_numpy(table), torch.from_numpy(end))


def ctc_crf_loss(
    log_probs: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor, ngram: TokenNgram, *, ctc_share: float = 0.1
) -> Loss:
    """CTC-CRF's loss, and so many times CTC's besides, which keeps alignments from drifting.

    Args:
        log_probs: (B, T, V), natural logarithms.
        lens: (B,), real frames.
        tokens: (B, U), padded with anything.
        token_lens: (B,).
    """
    ctc = ctc_loss(log_probs, lens, tokens, token_lens)
    weighed = log_partition(log_probs, lens, ngram) - ngram.log_prob(tokens.clamp(min=0), token_lens)  # (B,)
    per_item = ((1 + ctc_share) * ctc.per_item + weighed).masked_fill(ctc.left_out | (lens == 0), 0.0)
    return Loss(per_item.sum(), ctc.count, per_item, ctc.left_out)


def log_partition(log_probs: Tensor, lens: Tensor, ngram: TokenNgram) -> Tensor:
    """(B,): log Z, the weight of all paths of any tokens.

    Args:
        log_probs: (B, T, V), natural logarithms.
        lens: (B,), real frames; where there are none, log Z is that of the end alone.
    """
    total: Tensor = _LogPartition.apply(log_probs, lens, ngram)
    return total


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_probs: Tensor, lens: Tensor, ngram: TokenNgram) -> Tensor:
        total, occupancy = _forward_backward(log_probs.detach().float().exp().cpu(), lens, ngram)
        ctx.save_for_backward(occupancy.to(log_probs))
        return total.to(log_probs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (occupancy,) = ctx.saved_tensors
        return occupancy * gradient[:, None, None], None, None


def _forward_backward(probs: Tensor, lens: Tensor, ngram: TokenNgram) -> tuple[Tensor, Tensor]:
    """log Z (B,) and occupancies (B, T, V), on the CPU, a thread an utterance.

    So for a GPU's probabilities as well: frame after frame, its small products wait for one another. In plain torch
    operations an H100 took 760 ms for 5 utterances of 400 frames, 16 cores 32 ms.
    """
    from asr.models import ctc_crf_kernel as kernel

    y, trans, end = probs.numpy(), ngram.trans.cpu().contiguous().numpy(), ngram.end.cpu().contiguous().numpy()
    occupancy = np.zeros_like(y)
    totals = np.zeros(len(y))

    def one(i: int, size: int) -> None:
        totals[i] = kernel.partition(np.ascontiguousarray(y[i, :size]), trans, end, occupancy[i, :size])

    warm_up("CTC-CRF", kernel.partition, lambda: one(0, 0))
    longest_first = sorted(enumerate(lens.tolist()), key=lambda item: -item[1])
    if torch.get_num_threads() > 1:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(one, *zip(*longest_first, strict=True)))
    else:
        for i, size in longest_first:
            one(i, size)
    return torch.from_numpy(totals), torch.from_numpy(occupancy)
