"""What an attention decoder is: encoder states and the tokens so far -> the next token's log-probabilities.

    log_probs = decoder(encoder_out, lens, tokens, token_lens)          # all steps, the right tokens given
    memory, state = decoder.start(encoder_out, lens, beam=K)            # or one step at a time
    log_probs, state = decoder.step(tokens, state, memory)              # (B, K) -> (B, K, V)
    state = state.chosen(parents)                                       # hypotheses that go on, (B, K')

Token 0, which is CTC's blank, is here both the start and the end of a text: so tokens have one number everywhere.

B batch, K hypotheses of each utterance (1 in training), T frames, U target tokens, V vocabulary, D encoder width,
S attention heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from asr.models.losses import Loss, label_smoothed_cross_entropy
from asr.utils.config import KindConfig, require, setting

END_ID = 0  # and start


class Decoder(nn.Module, ABC):
    """Base of what learns beside the CTC heads, from the encoder's states."""

    @abstractmethod
    def loss(self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor) -> Loss:
        """The loss of texts: encoder states (B, T, D), lengths (B,), tokens (B, U), lengths (B,)."""


class StepDecoder(Decoder):
    """Base of attention decoders, which say a text token by token.

    Args:
        label_smoothing: Of the loss in training.
    """

    embedding: nn.Embedding  # of tokens
    output: nn.Linear  # the last layer: a row a token

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    @abstractmethod
    def start(self, encoder_out: Tensor, lens: Tensor, beam: int = 1) -> tuple[Any, Any]:
        """Returns the memory of encoder states (B, T, D) with lengths (B,), and the state before the first token."""

    @abstractmethod
    def step(self, tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any]:
        """Tokens (B, K), those last said -> log-probabilities of the next ones (B, K, V), and the state after them."""

    @abstractmethod
    def given(
        self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor, *, maps: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of K texts of each utterance, the right tokens given (teacher forcing), and attention.

        Args:
            encoder_out: (B, T, D).
            lens: (B,).
            tokens: (B, K, U), padded with anything.
            token_lens: (B, K).
            maps: Whether to keep the weights.

        Returns:
            (B, K, U + 1, V) of the tokens and the end, beyond which there is something that means nothing; attention's
            weights (B, S, K, U + 1, T).
        """

    def forward(self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor) -> Tensor:
        """Calls `given` with one text of each utterance: tokens (B, U), lengths (B,) -> (B, U + 1, V)."""
        log_probs, _ = self.given(encoder_out, lens, tokens[:, None], token_lens[:, None])
        return log_probs[:, 0]

    def loss(self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor) -> Loss:
        """Cross-entropy of the tokens and the end, smoothed in training."""
        log_probs = self(encoder_out, lens, tokens, token_lens)
        smoothing = self.label_smoothing if self.training else 0.0
        return label_smoothed_cross_entropy(log_probs, *with_end(tokens, token_lens), smoothing=smoothing)


class DecoderConfig(KindConfig):
    """Base of decoders' configurations."""

    part: ClassVar[str] = "decoder"
    default_kind: ClassVar[str] = "none"
    kinds: ClassVar[dict[str, type[DecoderConfig]]] = {}

    @property
    def ctc_weight(self) -> float:
        """The share of CTC's loss; the decoder has the rest. 0: attention alone."""
        return 1.0

    @property
    def start_epoch(self) -> int:
        """The first epoch, from 1, in which the decoder learns: CTC finds the alignment before."""
        return 1

    @abstractmethod
    def build(self, encoder_dim: int, vocab_size: int) -> Decoder | None:
        """A new decoder over encoder states of width D, its weights drawn at random; None: there is none."""


@DecoderConfig.register
@dataclass(frozen=True, kw_only=True)
class NoDecoderConfig(DecoderConfig):
    """CTC alone."""

    kind: Literal["none"] = "none"

    def build(self, encoder_dim: int, vocab_size: int) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class LayeredDecoderConfig(DecoderConfig):
    """The settings that the decoders of this package share."""

    hidden: int = setting(320, "[1, 16384]")
    layers: int = setting(1, "[1, 16]")
    heads: int = setting(4, "[1, inf)")  # of multi-head attention
    dropout: float = setting(0.2, "[0, 1)")
    label_smoothing: float = setting(0.1, "[0, 1)")
    ctc_weight: float = setting(0.3, "[0, 1)")  # of CTC's loss, the decoder has the rest; 0: attention alone
    # the first epoch in which the decoder learns: CTC finds the alignment before (of ctc_weight 0: 1)
    start_epoch: int = setting(4, "[1, inf)")


def require_heads(name: str, width: int, heads: int) -> None:
    """Raises an InputError where attention of a width cannot have so many heads."""
    require(width % heads == 0, f"{name} {width} cannot be parted into {heads} heads of the same width")


def with_end(tokens: Tensor, token_lens: Tensor) -> tuple[Tensor, Tensor]:
    """Appends the end to each text: tokens (B, U), lengths (B,) -> targets (B, U + 1), lengths (B,)."""
    targets = nn.functional.pad(tokens, (0, 1), value=END_ID)
    at = torch.arange(targets.shape[1], device=tokens.device)
    return targets.masked_fill(at >= token_lens[:, None], END_ID), token_lens + 1
