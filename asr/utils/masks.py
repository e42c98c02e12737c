"""Padding, its masks, and lengths. B batch, T frames; True = real."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def length_mask(lens: Tensor, max_len: int) -> Tensor:
    """(B,) lengths -> (B, max_len) mask, True where a position is real."""
    return torch.arange(max_len, device=lens.device) < lens[:, None]


def padded(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Several lists of numbers -> (B, U), padded with zeros; their lengths (B,)."""
    tensors = [torch.tensor(sequence, dtype=torch.long) for sequence in sequences]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), torch.tensor([len(t) for t in tensors])


def zero_padding(x: Tensor, lens: Tensor) -> Tensor:
    """Sets the padded frames of x (B, T, ...) to zero."""
    mask = length_mask(lens, x.shape[1])
    return x.masked_fill(~mask.reshape(*mask.shape, *[1] * (x.dim() - 2)), 0.0)


def reverse_index(lens: Tensor, max_len: int) -> Tensor:
    """(B,) lengths -> (B, max_len) indices that reverse each row within its own length; padding stays in place.

    Applying the index twice gives the original order.
    """
    t = torch.arange(max_len, device=lens.device).expand(len(lens), -1)
    return torch.where(t < lens[:, None], lens[:, None] - 1 - t, t)


def ceil_div(lens: Tensor, by: int) -> Tensor:
    """Lengths after subsampling by `by`: a last, incomplete group of frames counts."""
    return torch.div(lens + by - 1, by, rounding_mode="floor")
