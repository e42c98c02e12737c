"""Layers that encoders are made of: dropout, subsampling.

B batch, T frames, F feature bins, C channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from asr.utils.masks import ceil_div, zero_padding


class Dropout(nn.Dropout):
    """Dropout whose draws cost a quarter of torch's on a CPU: 16 random bits an element; p is rounded to 2^-16."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p or x.device.type != "cpu":
            return super().forward(x)
        count = x.numel()
        draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
        dropped = draws.view(torch.int16)[:count].view(x.shape) < round(self.p * 2**16) - 2**15
        return x * torch.where(dropped, 0.0, 1 / (1 - self.p)).to(x.dtype)


class StackFrames(nn.Module):
    """Concatenates each `factor` neighbouring frames, (B, T, F) -> (B, ceil(T / factor), F * factor)."""

    def __init__(self, input_dim: int, factor: int) -> None:
        super().__init__()
        self.factor, self.output_dim = factor, input_dim * factor

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x = zero_padding(x, lens)
        b, t, f = x.shape
        missing = -t % self.factor
        x = nn.functional.pad(x, (0, 0, 0, missing))
        return x.reshape(b, (t + missing) // self.factor, f * self.factor), ceil_div(lens, self.factor)


class ConvFrames(nn.Module):
    """3x3 convolutions of stride 2 over time and frequency, (B, T, F) -> (B, ceil(T / factor), C * ceil(F / factor)).

    Padding is set to zero before each convolution, so it looks the same as the zeros beyond a batch's end.
    """

    def __init__(self, input_dim: int, factor: int, layer_norm: bool = False, channels: int = 32) -> None:
        super().__init__()
        count = factor.bit_length() - 1
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels if i else 1, channels, 3, stride=2, padding=1) for i in range(count)
        )
        self.output_dim = channels * -(-input_dim // factor)
        self.norm = nn.LayerNorm(self.output_dim) if layer_norm else None

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x = zero_padding(x, lens)[:, None]  # (B, 1, T, F)
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))  # (B, C, T / 2, F / 2)
            lens = ceil_div(lens, 2)
            x = zero_padding(x.transpose(1, 2), lens).transpose(1, 2)
        b, c, t, f = x.shape
        y = x.transpose(1, 2).reshape(b, t, c * f)
        return (y if self.norm is None else self.norm(y)), lens


def build_subsampling(
    kind: Literal["stack", "conv"], input_dim: int, factor: int, layer_norm: bool = False
) -> StackFrames | ConvFrames:
    """A subsampling of a kind, as EncoderConfig has it."""
    return StackFrames(input_dim, factor) if kind == "stack" else ConvFrames(input_dim, factor, layer_norm)
