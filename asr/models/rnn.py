"""The recurrent encoder: features (B, T, F), lengths (B,) -> encoder_out (B, T', D), lengths (B,).

B batch, T frames, T' frames after subsampling, F feature bins, C channels, H hidden, D output width.

Both directions run as two one-directional passes over padded batches, the second over each utterance reversed
within its own length. The result is that of packed sequences, whose backward pass is several times slower on a
CPU: it zeroes gradient buffers of full size at every time step. Gradients that fade through the padding become
denormal numbers; `train()` has the processor flush them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asr.models.cells import RnnKind, SigmoidRnn
from asr.models.layers import Dropout, build_subsampling
from asr.utils.config import Config, require, setting
from asr.utils.masks import ceil_div, reverse_index, zero_padding


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(Config):
    """A stack of layers behind a subsampling: recurrent ones, or those of a Transformer (asr.models.transformer)."""

    # rnn (tanh) | rnn-relu | rnn-sigmoid | lstm | gru | transformer
    kind: Literal["rnn", "rnn-relu", "rnn-sigmoid", "lstm", "gru", "transformer"] = "lstm"
    hidden: int = setting(320, "[1, 16384]")  # for each direction; of a Transformer, its width
    layers: int = setting(4, "[1, 64]")
    bidirectional: bool = True
    dropout: float = setting(0.2, "[0, 1)")  # between layers, and before the head
    projection: int = setting(0, "[0, 16384]")  # width to which each layer's output is projected; 0: not at all
    layer_norm: bool = False  # after the convolutions and each layer; a Transformer has its own
    heads: int = setting(4, "[1, inf)")  # of a Transformer
    feed_forward: int = setting(0, "[0, 65536]")  # of a Transformer's dense layers; 0: four times hidden
    # stack: `factor` neighbouring frames become one; conv: 3x3 convolutions of stride 2, factor 2 or 4
    subsampling: Literal["stack", "conv"] = "stack"
    factor: int = setting(3, "[1, 64]")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.kind != "transformer" or self.hidden % self.heads == 0,
            f"hidden {self.hidden} cannot be parted into {self.heads} heads of the same width",
        )
        require(self.kind != "transformer" or not self.projection, "projection is of recurrent layers")
        require(
            self.subsampling != "conv" or self.factor in (2, 4),
            f"factor {self.factor}: convolutions subsample by 2 or 4",
        )

    @property
    def lower_factors(self) -> list[int]:
        """Factors below `factor` that could be chosen instead, the highest first."""
        return [f for f in range(self.factor - 1, 0, -1) if self.subsampling != "conv" or f in (2, 4)]


class RnnEncoder(nn.Module):
    """Subsampling, then recurrent layers. An utterance's output does not depend on what it is batched with.

    Args:
        input_dim: F.
        Others: as in EncoderConfig.
    """

    def __init__(
        self,
        input_dim: int,
        *,
        kind: RnnKind = "lstm",
        hidden: int = 320,
        layers: int = 4,
        bidirectional: bool = True,
        dropout: float = 0.2,
        projection: int = 0,
        layer_norm: bool = False,
        subsampling: Literal["stack", "conv"] = "stack",
        factor: int = 3,
    ) -> None:
        super().__init__()
        self.factor = factor
        self.subsampling = build_subsampling(subsampling, input_dim, factor, layer_norm)
        self.layers = nn.ModuleList()
        width = self.subsampling.output_dim
        for _ in range(layers):
            layer = RnnLayer(width, hidden, kind, bidirectional, projection, layer_norm)
            self.layers.append(layer)
            width = layer.output_dim
        self.dropout = Dropout(dropout)
        self.output_dim = width

    def output_lens(self, lens: Tensor) -> Tensor:
        """Frames after subsampling."""
        return ceil_div(lens, self.factor)

    def forward(self, features: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x, lens, _ = self.with_intermediate(features, lens, 0)
        return x, lens

    def with_intermediate(self, features: Tensor, lens: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """The output, the lengths, and what the layer of that number gives, counted from 1; None of layer 0."""
        x, lens = self.subsampling(features, lens)  # (B, T', F')
        reverse = reverse_index(lens, x.shape[1])  # (B, T')
        intermediate = None
        for number, each in enumerate(self.layers, 1):
            x = self.dropout(each(x, reverse))
            if number == layer:
                intermediate = x
        return zero_padding(x, lens), lens, intermediate


class RnnLayer(nn.Module):
    """One recurrent layer, (B, T, D_in) -> (B, T, D_out), one direction or both."""

    def __init__(
        self, input_dim: int, hidden: int, kind: RnnKind, bidirectional: bool, projection: int, layer_norm: bool
    ) -> None:
        super().__init__()
        make: Callable[[], nn.Module] = {
            "rnn": lambda: nn.RNN(input_dim, hidden, batch_first=True),
            "rnn-relu": lambda: nn.RNN(input_dim, hidden, nonlinearity="relu", batch_first=True),
            "rnn-sigmoid": lambda: SigmoidRnn(input_dim, hidden),
            "lstm": lambda: nn.LSTM(input_dim, hidden, batch_first=True),
            "gru": lambda: nn.GRU(input_dim, hidden, batch_first=True),
        }[kind]
        self.forwards = make()
        self.backwards = make() if bidirectional else None
        width = hidden * (2 if bidirectional else 1)
        self.projection = nn.Linear(width, projection) if projection else None
        self.output_dim = projection or width
        self.norm = nn.LayerNorm(self.output_dim) if layer_norm else None
        if kind == "lstm":
            self._remember()

    def _remember(self) -> None:
        """Forget gates start open (bias 1; Jozefowicz et al. 2015), so that gradients reach back from the start."""
        for name, parameter in self.named_parameters():
            if "bias_ih" in name:  # gates in the order input, forget, cell, output
                hidden = len(parameter) // 4
                with torch.no_grad():
                    parameter[hidden : 2 * hidden].fill_(1.0)

    def forward(self, x: Tensor, reverse: Tensor) -> Tensor:
        y: Tensor = self.forwards(x)[0]  # (B, T, H)
        if self.backwards is not None:
            backward: Tensor = self.backwards(reordered(x, reverse))[0]
            y = torch.cat([y, reordered(backward, reverse)], dim=2)  # (B, T, 2H)
        return self.after(y)

    def after(self, y: Tensor) -> Tensor:
        """What is done with the states of both directions (B, T, 2H): projection, layer norm."""
        if self.projection is not None:
            y = self.projection(y)
        if self.norm is not None:
            y = self.norm(y)
        return y


class _Reorder(torch.autograd.Function):
    """Frames of x (B, T, D) in the order of index (B, T), whose inverse is itself.

    So the gradient is reordered the same way; torch's own would add frames up one by one, slower and, on a GPU, in
    any order.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return gradient.gather(1, index[..., None].expand(-1, -1, gradient.shape[2])), None


def reordered(x: Tensor, index: Tensor) -> Tensor:
    """Frames of x (B, T, D) in the order of index (B, T), whose inverse is itself: masks.reverse_index is."""
    found: Tensor = _Reorder.apply(x, index)
    return found
