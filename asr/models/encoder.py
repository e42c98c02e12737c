"""What an encoder is: features (B, T, F) -> states (B, T', D). Each kind has a module of its own (docs/plugins.md).

B batch, T frames of features, T' states, F feature bins, D output width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from asr.utils.config import KindConfig, require, setting
from asr.utils.masks import ceil_div


class EncoderStates(NamedTuple):
    """The output of an encoder."""

    states: Tensor  # (B, T', D), zero behind each utterance's end
    lens: Tensor  # (B,), real states
    intermediate: Tensor | None  # (B, T', D'), of the layer that was asked for


class Encoder(nn.Module, ABC):
    """Base of encoders. An utterance's states may not depend on what it is batched with.

    Args:
        output_dim: D.
        factor: Frames of features for each state.
    """

    def __init__(self, output_dim: int, factor: int) -> None:
        super().__init__()
        self.output_dim, self.factor = output_dim, factor

    @abstractmethod
    def forward(self, features: Tensor, lens: Tensor, intermediate_layer: int = 0) -> EncoderStates:
        """Encodes features.

        Args:
            features: (B, T, F), T > 0.
            lens: (B,), real frames; 0 is possible.
            intermediate_layer: The layer, from 1, whose output is wanted as well; 0: none.
        """

    @abstractmethod
    def intermediate_dim(self, layer: int) -> int:
        """The width D' of a layer's output; layers count from 1."""

    def output_lens(self, lens: Tensor) -> Tensor:
        """The states (B,) of so many frames (B,)."""
        return ceil_div(lens, self.factor)


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(KindConfig):
    """Base of encoders' configurations. A kind says how many layers it has, and how many frames make a state."""

    part: ClassVar[str] = "encoder"
    default_kind: ClassVar[str] = "lstm"
    kinds: ClassVar[dict[str, type[EncoderConfig]]] = {}

    layers: int  # of which one before the last may learn as well (IntermediateConfig)
    factor: int  # frames of features for each state

    @property
    def lower_factors(self) -> list[int]:
        """Factors below `factor` that could be chosen instead, the highest first."""
        return []

    @abstractmethod
    def build(self, input_dim: int) -> Encoder:
        """A new encoder of features of width F, its weights drawn at random."""


@dataclass(frozen=True, kw_only=True)
class LayeredConfig(EncoderConfig):
    """The settings that the encoders of this package share: equal layers behind a subsampling."""

    hidden: int = setting(320, "[1, 16384]")  # for each direction; of a Transformer, its width
    layers: int = setting(4, "[1, 64]")
    bidirectional: bool = True  # whether frames see those that follow
    dropout: float = setting(0.2, "[0, 1)")  # between layers, and before the head
    # stack: `factor` neighbouring frames become one; conv: 3x3 convolutions of stride 2, factor 2 or 4
    subsampling: Literal["stack", "conv"] = "stack"
    factor: int = setting(3, "[1, 64]")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.subsampling != "conv" or self.factor in (2, 4),
            f"factor {self.factor}: convolutions subsample by 2 or 4",
        )

    @property
    def lower_factors(self) -> list[int]:
        return [f for f in range(self.factor - 1, 0, -1) if self.subsampling != "conv" or f in (2, 4)]
