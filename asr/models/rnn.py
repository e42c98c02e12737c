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
from typing import Any

import torch
from torch import Tensor, nn

from asr.models.cells import RnnKind, SigmoidRnn
from asr.models.encoder import Encoder, EncoderConfig, EncoderStates, LayeredConfig
from asr.models.layers import Dropout, build_subsampling
from asr.utils.config import setting
from asr.utils.masks import reverse_index, zero_padding


@EncoderConfig.register
@dataclass(frozen=True, kw_only=True)
class RnnConfig(LayeredConfig):
    """Recurrent layers behind a subsampling."""

    kind: RnnKind = "lstm"  # rnn has tanh
    projection: int = setting(0, "[0, 16384]")  # width to which each layer's output is projected; 0: not at all
    layer_norm: bool = False  # after the convolutions and each layer

    def build(self, input_dim: int) -> RnnEncoder:
        return RnnEncoder(input_dim, self)


class RnnEncoder(Encoder):
    """Subsampling, then recurrent layers.

    Args:
        input_dim: F.
        config: All else.
    """

    def __init__(self, input_dim: int, config: RnnConfig) -> None:
        super().__init__(config.projection or config.hidden * (2 if config.bidirectional else 1), config.factor)
        self.subsampling = build_subsampling(config.subsampling, input_dim, config.factor, config.layer_norm)
        widths = [self.subsampling.output_dim, *[self.output_dim] * (config.layers - 1)]
        self.layers = nn.ModuleList(RnnLayer(width, config) for width in widths)
        self.dropout = Dropout(config.dropout)

    def forward(self, features: Tensor, lens: Tensor, intermediate_layer: int = 0) -> EncoderStates:
        x, lens = self.subsampling(features, lens)  # (B, T', F')
        reverse = reverse_index(lens, x.shape[1])  # (B, T')
        intermediate = None
        for number, layer in enumerate(self.layers, 1):
            x = self.dropout(layer(x, reverse))
            if number == intermediate_layer:
                intermediate = x
        return EncoderStates(zero_padding(x, lens), lens, intermediate)

    def intermediate_dim(self, layer: int) -> int:
        return self.output_dim


class RnnLayer(nn.Module):
    """One recurrent layer, (B, T, D_in) -> (B, T, D_out), one direction or both."""

    def __init__(self, input_dim: int, config: RnnConfig) -> None:
        super().__init__()
        hidden = config.hidden
        make: Callable[[], nn.Module] = {
            "rnn": lambda: nn.RNN(input_dim, hidden, batch_first=True),
            "rnn-relu": lambda: nn.RNN(input_dim, hidden, nonlinearity="relu", batch_first=True),
            "rnn-sigmoid": lambda: SigmoidRnn(input_dim, hidden),
            "lstm": lambda: nn.LSTM(input_dim, hidden, batch_first=True),
            "gru": lambda: nn.GRU(input_dim, hidden, batch_first=True),
        }[config.kind]
        self.forwards = make()
        self.backwards = make() if config.bidirectional else None
        width = hidden * (2 if config.bidirectional else 1)
        self.projection = nn.Linear(width, config.projection) if config.projection else None
        self.norm = nn.LayerNorm(config.projection or width) if config.layer_norm else None
        if config.kind == "lstm":
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
