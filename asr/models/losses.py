"""Losses per utterance, never infinite and never NaN. B batch, T frames, U target tokens, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asr.utils.masks import padded


@dataclass
class Loss:
    """What `forward(batch)` of anything trainable returns; the mean is sum / count, where count is not 0."""

    sum: Tensor  # (), in nats, over the utterances that count
    count: Tensor  # (), target tokens of those utterances
    per_item: Tensor  # (B,), 0 where an utterance was left out
    left_out: Tensor  # (B,), True where the tokens do not fit the frames


def ctc_loss(log_probs: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor, *, blank_id: int = 0) -> Loss:
    """Connectionist temporal classification (Graves et al. 2006).

    CTC needs a frame for each token and a blank between equal neighbours; an utterance with fewer frames than that
    has no alignment: it is left out and marked.

    Args:
        log_probs: (B, T, V), natural logarithms.
        lens: (B,), real frames.
        tokens: (B, U), padded with anything.
        token_lens: (B,).
    """
    left_out = frames_needed(tokens, token_lens) > lens  # (B,)
    fits = (~left_out & (lens > 0)).nonzero()[:, 0]
    # Zeros that hang on log_probs, so that a batch of which nothing fits still has a (zero) gradient.
    per_item = log_probs[:, 0, 0].masked_fill(torch.ones_like(left_out), 0.0)
    if len(fits):
        losses = torch.nn.functional.ctc_loss(
            log_probs[fits].transpose(0, 1),
            tokens[fits],
            lens[fits],
            token_lens[fits],
            blank=blank_id,
            reduction="none",
            zero_infinity=True,
        )
        per_item = per_item.index_put((fits,), losses)
    count = token_lens[fits].sum()
    return Loss(per_item.sum(), count, per_item, left_out)


def frames_needed(tokens: Tensor, token_lens: Tensor) -> Tensor:
    """(B,): the fewest frames that CTC can spell the tokens in, one each and one between equal neighbours."""
    equal = tokens[:, 1:] == tokens[:, :-1]  # (B, U - 1)
    at = torch.arange(1, max(tokens.shape[1], 1), device=tokens.device)
    return token_lens + (equal & (at < token_lens[:, None])).sum(1)


def choose_pronunciations(
    log_probs: Tensor, lens: Tensor, choices: Sequence[Sequence[Sequence[Sequence[int]]]]
) -> tuple[Tensor, Tensor]:
    """Tokens (B, U) and their lengths (B,): of each word the pronunciation that is heard best.

    Each other pronunciation of each word is tried by itself, the others being the first ones; of those that lower
    the CTC loss each word takes its best. Words lie apart in time, so what is best alone is best together, nearly.

    Args:
        log_probs: (B, T, V), natural logarithms, without gradient.
        lens: (B,), real frames.
        choices: Pronunciations of each word of each utterance, as token ids.
    """
    tried: list[tuple[int, int, int]] = [
        (b, w, k) for b, words in enumerate(choices) for w, several in enumerate(words) for k in range(1, len(several))
    ]
    of_words: list[list[int]] = [[0] * len(words) for words in choices]
    if tried:
        owners = sorted({b for b, _, _ in tried})
        variants = [(b, -1, 0) for b in owners] + tried
        tokens, token_lens = padded(
            [
                [unit for w, several in enumerate(choices[b]) for unit in several[k if w == word else 0]]
                for b, word, k in variants
            ]
        )
        rows = torch.tensor([b for b, _, _ in variants], device=log_probs.device)
        found = ctc_loss(log_probs[rows], lens[rows], tokens.to(rows.device), token_lens.to(rows.device))
        losses = found.per_item.masked_fill(found.left_out, torch.inf).tolist()
        best = {(b, w): losses[i] for i, b in enumerate(owners) for w in range(len(choices[b]))}
        for (b, w, k), loss in zip(tried, losses[len(owners) :], strict=True):
            if loss < best[b, w]:
                best[b, w], of_words[b][w] = loss, k
    tokens, token_lens = padded(_said(choices, of_words))
    for b in (frames_needed(tokens, token_lens) > lens.cpu()).nonzero()[:, 0].tolist():
        of_words[b] = [0] * len(of_words[b])  # longer ones that fit alone may not fit together
    tokens, token_lens = padded(_said(choices, of_words))
    return tokens.to(log_probs.device), token_lens.to(log_probs.device)


def _said(choices: Sequence[Sequence[Sequence[Sequence[int]]]], of_words: Sequence[Sequence[int]]) -> list[list[int]]:
    """The tokens of each utterance, where of each of its words the pronunciation of that number is said."""
    return [
        [unit for several, k in zip(words, ks, strict=True) for unit in several[k]]
        for words, ks in zip(choices, of_words, strict=True)
    ]


def label_smoothed_cross_entropy(
    log_probs: Tensor, targets: Tensor, target_lens: Tensor, *, smoothing: float = 0.0
) -> Loss:
    """Cross-entropy with a target of 1 - smoothing on the right token, the rest spread over all (Szegedy et al. 2016).

    Args:
        log_probs: (B, U, V), natural logarithms.
        targets: (B, U), padded with any token's number.
        target_lens: (B,).
        smoothing: From 0 to 1.
    """
    at = torch.arange(targets.shape[1], device=targets.device)
    real = at < target_lens[:, None]  # (B, U)
    right = -log_probs.gather(2, targets[:, :, None])[:, :, 0]  # (B, U)
    each = (1 - smoothing) * right - smoothing * log_probs.mean(2) if smoothing else right
    per_item = each.masked_fill(~real, 0.0).sum(1)
    return Loss(per_item.sum(), target_lens.sum(), per_item, torch.zeros_like(target_lens, dtype=torch.bool))
