"""Decoding options of an attention decoder, found on a dev set: of its search, and of its choice among CTC's texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asr.data.transcript import Hypothesis
from asr.decode.attention_search import AttentionSearch, TwoPassSearch
from asr.evaluate.wer import Scores, Unit, score
from asr.models.decoding_options import DecodingOptions

CTC_WEIGHTS = tuple(n / 10 for n in range(9, -1, -1))  # of two-pass search, which costs nothing to try
# One after another, the others as they were found: with CTC, and alone.
JOINED: dict[str, tuple[float, ...]] = {
    "ctc_weight": (0.3, 0.1, 0.2, 0.5, 0.7),
    "lm_weight": (0.0, 0.2, 0.4, 0.8),
    "length_reward": (0.0, -0.5, 0.5, 1.0),
}
ALONE: dict[str, tuple[float, ...]] = {
    "length_norm": (0.0, 0.5, 1.0),
    "lm_weight": (0.0, 0.2, 0.4, 0.8),
    "length_reward": (0.0, -0.5, 0.5, 1.0),
    "end_factor": (math.inf, 1.5, 1.2),
}
_TOGETHER = 16  # utterances that are searched at a time
LogProbs = Sequence[npt.NDArray[np.float32]]  # of CTC, (T, V) of each utterance
States = Sequence[torch.Tensor]  # of the encoder, (1, T, D) of each
Found = tuple[DecodingOptions, list[Hypothesis], Scores]


def best_two_pass(
    search: TwoPassSearch,
    warped: Sequence[tuple[LogProbs, States]],
    references: Sequence[str],
    unit: Unit,
) -> Found:
    """The share of CTC with which both choose best among CTC's texts; of those as good the one with the most of CTC.

    Args:
        warped: What the network says with each warp of the mel axis.
    """
    texts, sure = [], []
    for log_probs, states in warped:
        texts.append(search.search.decode_each(log_probs, confidences=False))
        sure.append([search.attention(state, each) for state, each in zip(states, texts[-1], strict=True)])
    found: list[Found] = []
    for weight in CTC_WEIGHTS:
        search.options = replace(search.options, search="two-pass", ctc_weight=weight)
        best = [
            [search.chosen(several, attention)[0] for several, attention in zip(*each, strict=True)]
            for each in zip(texts, sure, strict=True)
        ]
        chosen = [max(of_warps, key=lambda h: h.score) for of_warps in zip(*best, strict=True)]
        found.append((search.options, chosen, score(references, [each.text for each in chosen], unit=unit)))
    return min(found, key=lambda each: each[2].error.errors)


def best_attention(
    search: AttentionSearch,
    log_probs: LogProbs,
    states: States,
    references: Sequence[str],
    unit: Unit,
    progress: Callable[[], None] = lambda: None,
    kept: Callable[[DecodingOptions, Callable[[], list[float]]], list[float]] = lambda options, compute: compute(),
) -> Found:
    """How much CTC, language model (where the search has one) and length count where the decoder says the tokens.

    Args:
        progress: Called after each decoding.
        kept: What some options give, computed where it is not known yet.
    """
    made: dict[DecodingOptions, Found] = {}

    def decoded(options: DecodingOptions) -> Found:
        search.options = options
        heard = [nbest[0] for nbest in heard_by_attention(search, log_probs, states)]
        made[options] = options, heard, score(references, [each.text for each in heard], unit=unit)
        return made[options]

    def error(options: DecodingOptions) -> float:
        (rate,) = kept(options, lambda: [decoded(options)[2].error.rate])
        progress()
        return rate

    choices = _choices(search)
    first: dict[str, Any] = {name: values[0] for name, values in choices.items()}
    best = replace(search.options, search="attention", warps=(), **first)
    least = error(best)
    for name, values in choices.items():
        for value in values[1:]:
            change: dict[str, Any] = {name: value}
            tried = replace(best, **change)
            if (rate := error(tried)) < least:
                best, least = tried, rate
    return made.get(best) or decoded(best)


def decodings(search: AttentionSearch) -> int:
    """How many best_attention needs."""
    return 1 + sum(len(values) - 1 for values in _choices(search).values())


def _choices(search: AttentionSearch) -> dict[str, tuple[float, ...]]:
    choices = JOINED if search.options.ctc_weight else ALONE
    return {name: values for name, values in choices.items() if name != "lm_weight" or search.lm is not None}


def heard_by_attention(search: AttentionSearch, log_probs: LogProbs, states: States) -> list[list[Hypothesis]]:
    """The best hypotheses of each utterance."""
    return [
        each
        for _, scores, lens, memory in _batches(log_probs, states)
        for each in search(scores, lens, encoder_out=memory)
    ]


def timed_by_attention(
    search: AttentionSearch, found: Sequence[Hypothesis], log_probs: LogProbs, states: States
) -> list[Hypothesis]:
    """Hypotheses with their words' times and confidences."""
    return [
        each
        for at, scores, lens, memory in _batches(log_probs, states)
        for (each,) in search.timed([[h] for h in found[at : at + len(lens)]], scores, lens, encoder_out=memory)
    ]


def _batches(log_probs: LogProbs, states: States) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """The number of the first utterance, log-probabilities (B, T, V), lengths (B,), states (B, T, C) of each batch."""
    for at in range(0, len(states), _TOGETHER):
        parts = [torch.from_numpy(each) for each in log_probs[at : at + _TOGETHER]]
        encoder_out = [each[0] for each in states[at : at + _TOGETHER]]
        scores, memory = (torch.nn.utils.rnn.pad_sequence(x, batch_first=True) for x in (parts, encoder_out))
        yield at, scores, torch.tensor([len(each) for each in parts]), memory
