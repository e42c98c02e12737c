"""Padding masks and lengths. B batch, T frames; True = real."""

from __future__ import annotations

import torch
from torch import Tensor


def length_mask(lens: Tensor, max_len: int) -> Tensor:
    """(B,) lengths -> (B, max_len) mask, True where a position is real."""
    return torch.arange(max_len, device=lens.device) < lens[:, None]


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
