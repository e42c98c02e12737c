"""Beam search with an attention decoder, alone or joined with CTC and language models.

    score(Y) = (1 - ctc_weight) * log p_attention(Y, end) + ctc_weight * log p_ctc(Y)
             + lm_weight * log p_lm(Y, end) + length_reward * tokens

and what has the best score / (tokens + 1) ** length_norm is the best. A search whose beam holds everything finds it.

All hypotheses of all utterances take a step together; encoder states are not copied for them. The decoder, and a
language model, are step functions: (tokens (B, K), state) -> (log-probabilities of the next (B, K, V), state), where
state.chosen(parents (B, K')) are the hypotheses that go on. Token 0 is start and end.

B utterances, K hypotheses of each, U tokens, T frames, V tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from asr.decode.ctc_prefix import CtcPrefixScorer
from asr.models.decoding_options import DecodingOptions

END_ID = 0
S = TypeVar("S", bound="State")


class State(Protocol):
    """What a step function remembers."""

    def chosen(self: S, parents: Tensor) -> S: ...


Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


@dataclass(frozen=True)
class TokenHypothesis:
    """A text as tokens, without its end."""

    tokens: tuple[int, ...]
    score: float  # with everything, not normalised
    attention: float  # natural logarithms
    ctc: float
    lm: float
    rank: float  # by which it was chosen: the score, normalised


def attention_beam_search(
    step: Step,
    state: Any,
    max_tokens: Tensor,
    options: DecodingOptions,
    *,
    ctc: CtcPrefixScorer | None = None,
    lm: tuple[Step, Any] | None = None,
) -> list[list[TokenHypothesis]]:
    """The best texts of each utterance, best first; at least one each, the empty one where nothing else is found.

    Args:
        step: The decoder.
        state: Of one hypothesis an utterance, before the first token.
        max_tokens: (B,): no text of an utterance has more. CTC allows no more than frames.
        options: How to search: attention_beam, nbest, ctc_weight, lm_weight, length_reward, length_norm, end_factor.
        ctc: Without it attention is alone, whatever ctc_weight.
        lm: A step function and its state, of one hypothesis an utterance.
    """
    count, limits = len(max_tokens), max_tokens.tolist()
    done: list[list[TokenHypothesis]] = [[] for _ in range(count)]
    texts: list[list[tuple[int, ...]]] = [[()] for _ in range(count)]
    running = [True] * count
    dead = torch.zeros(count, 1, dtype=torch.bool)  # where there are fewer hypotheses than the beam holds
    last = torch.full((count, 1), END_ID)
    totals = torch.zeros(3, count, 1, dtype=torch.double)  # of attention, CTC, language model
    ctc_weight, lm_weight = options.ctc_weight if ctc else 0.0, options.lm_weight if lm else 0.0
    weights = (1 - ctc_weight, ctc_weight, lm_weight)
    prefixes = ctc.start() if ctc is not None else None
    lm_step, lm_state = lm if lm is not None else (None, None)
    for length in range(max(limits, default=0) + 1):
        log_probs, state = step(last, state)  # (B, K, V)
        log_probs = log_probs.detach().cpu().double()
        parts = totals[..., None].repeat(1, 1, 1, log_probs.shape[2])  # (3, B, K, V)
        parts[0] += log_probs
        if ctc is not None and prefixes is not None:
            parts[1] = ctc.scores(prefixes)
        if lm_step is not None:
            spoken, lm_state = lm_step(last, lm_state)
            parts[2] += spoken.detach().cpu().double()
        score = sum(w * part for w, part in zip(weights, parts, strict=True) if w) + options.length_reward * length
        assert isinstance(score, Tensor)
        score = score.masked_fill(dead[:, :, None], -math.inf)
        likeliest = log_probs[:, :, END_ID + 1 :].amax(dim=2).clamp(max=-1e-9)
        may_end = log_probs[:, :, END_ID] >= options.end_factor * likeliest
        for b in range(count):
            for k, text in enumerate(texts[b] if running[b] else []):
                total = float(score[b, k, END_ID])
                if total > -math.inf and (may_end[b, k] or length == limits[b]):
                    rank = total / (length + 1) ** options.length_norm
                    by_attention, by_ctc, by_lm = parts[:, b, k, END_ID].tolist()
                    done[b].append(TokenHypothesis(text, total, by_attention, by_ctc, by_lm, rank))
            done[b] = sorted(done[b], key=lambda h: -h.rank)[: options.nbest]

        score[:, :, END_ID] = -math.inf
        best, index = score.flatten(1).topk(min(options.attention_beam, score[0].numel()), dim=1)  # (B, K')
        parents, tokens = index // score.shape[2], index % score.shape[2]
        for b, reach in enumerate(best[:, 0].tolist()):
            hope = _most(reach + options.length_reward, length + 1, limits[b], options)
            enough = len(done[b]) == options.nbest and done[b][-1].rank >= hope
            running[b] = running[b] and length < limits[b] and reach > -math.inf and not enough
        if not any(running):
            break
        totals, dead = parts.flatten(2).gather(2, index.expand(3, -1, -1)), best == -math.inf
        if lm_step is not None and lm_state is not None:
            lm_state = lm_state.chosen(parents)
        if ctc is not None and prefixes is not None:
            prefixes = ctc.chosen(prefixes, parents, tokens)
        state, last = state.chosen(parents), tokens
        texts = [
            [(*own[p], t) for p, t in zip(parents[b].tolist(), tokens[b].tolist(), strict=True)] if running[b] else []
            for b, own in enumerate(texts)
        ]
    nothing = TokenHypothesis((), -math.inf, -math.inf, -math.inf, -math.inf, -math.inf)
    return [found or [nothing] for found in done]


def _most(score: float, length: int, limit: int, options: DecodingOptions) -> float:
    """What a hypothesis can reach at most: its parts never grow, but for the reward."""
    score += max(0.0, options.length_reward) * max(0, limit - length)
    return float(score / (length + 1 if score > 0 else limit + 1) ** options.length_norm)
