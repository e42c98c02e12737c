"""The Transformer: encoder and decoder without recurrence (Vaswani et al., "Attention is all you need", 2017).

Layer norm stands before each part, not behind it (Xiong et al. 2020), so that it learns without thousands of steps of
warm-up. Positions are sinusoids. What goes in and comes out is as with the recurrent encoder and the attention decoder:
losses, masks, decoding and checkpoints are the same.

B batch, K hypotheses of each utterance (1 in training), T frames, U target tokens, V vocabulary, A width, S heads,
d = A / S, L layers, D encoder width, F feature bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asr.models.attention import Memory, MultiHeadAttention
from asr.models.decoder import END_ID, DecoderConfig, LayeredDecoderConfig, StepDecoder, require_heads, with_end
from asr.models.encoder import Encoder, EncoderConfig, EncoderStates, LayeredConfig
from asr.models.layers import Dropout, build_subsampling
from asr.utils.config import setting
from asr.utils.masks import length_mask, zero_padding


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Positions (...,) -> (..., width): sines and cosines of wavelengths from 2 pi to 10,000 times that, in turn."""
    rates = torch.exp(torch.arange(0, width, 2, device=positions.device) * (-math.log(10_000.0) / width))
    angles = positions[..., None].float() * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :width]


class SelfAttention(nn.Module):
    """Each position looks at all, or, if it must not see what follows, at those before: (B, T, A) -> (B, T, A)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        require_heads("attention of width", width, heads)
        self.heads = heads
        self.parts = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """
        Args:
            x: (B, T, A).
            mask: (B, T, T) or (B, 1, T), True where a position may look; none: at those up to its own.
        """
        query, key, value = self._parted(x)
        looked = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=None if mask is None else mask[:, None], is_causal=mask is None
        )
        return self._joined(looked)

    def one(self, x: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """A position x (N, A) behind those whose keys and values (N, S, U, d) are given: (N, A), and all of these."""
        query, key, value = self._parted(x[:, None])
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        looked = nn.functional.scaled_dot_product_attention(query, key, value)
        return self._joined(looked)[:, 0], (key, value)

    def _parted(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, A) -> three of (B, S, T, d)"""
        b, t, _ = x.shape
        query, key, value = self.parts(x).reshape(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return query, key, value

    def _joined(self, x: Tensor) -> Tensor:
        joined: Tensor = self.output(x.transpose(1, 2).flatten(2))
        return joined


class Layer(nn.Module):
    """A layer: self-attention, then, of a decoder, a look at the encoder's states, then two dense layers."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float, memory_dim: int = 0) -> None:
        super().__init__()
        self.output_dim = width
        self.own_norm, self.own = nn.LayerNorm(width), SelfAttention(width, heads)
        if memory_dim:
            self.other_norm = nn.LayerNorm(width)
            self.other = MultiHeadAttention(width, memory_dim, dim=width, heads=heads)
        self.dense_norm = nn.LayerNorm(width)
        self.dense = nn.Sequential(
            nn.Linear(width, feed_forward), nn.ReLU(), Dropout(dropout), nn.Linear(feed_forward, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, A), as SelfAttention's."""
        return self.think(x + self.dropout(self.own(self.own_norm(x), mask)))

    def think(self, x: Tensor) -> Tensor:
        """The two dense layers."""
        y: Tensor = x + self.dropout(self.dense(self.dense_norm(x)))
        return y

    def look(self, x: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Queries (B, K, A) look at a memory: (B, K, A), and the weights (B, S, K, T)."""
        context, weights = self.other(self.other_norm(x), memory, x)  # what was looked at before means nothing here
        return x + self.dropout(context), weights


@EncoderConfig.register
@dataclass(frozen=True, kw_only=True)
class TransformerConfig(LayeredConfig):
    """Layers of self-attention behind a subsampling. Layer norm is everywhere."""

    kind: Literal["transformer"] = "transformer"
    heads: int = setting(4, "[1, inf)")
    feed_forward: int = setting(0, "[0, 65536]")  # width of the dense layers; 0: four times hidden

    def __post_init__(self) -> None:
        super().__post_init__()
        require_heads("hidden", self.hidden, self.heads)

    def build(self, input_dim: int) -> TransformerEncoder:
        return TransformerEncoder(input_dim, self)


class TransformerEncoder(Encoder):
    """Subsampling, then layers.

    Args:
        input_dim: F.
        config: All else.
    """

    def __init__(self, input_dim: int, config: TransformerConfig) -> None:
        super().__init__(config.hidden, config.factor)
        self.bidirectional = config.bidirectional
        self.subsampling = build_subsampling(config.subsampling, input_dim, config.factor)
        self.input = nn.Linear(self.subsampling.output_dim, config.hidden)
        size = config.feed_forward or 4 * config.hidden
        self.layers = nn.ModuleList(
            Layer(config.hidden, config.heads, size, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.hidden)
        self.dropout = Dropout(config.dropout)

    def forward(self, features: Tensor, lens: Tensor, intermediate_layer: int = 0) -> EncoderStates:
        x, lens = self.subsampling(features, lens)  # (B, T', F')
        t = x.shape[1]
        # An utterance without a frame looks at the first one of its padding: numbers stay numbers.
        mask = length_mask(lens.clamp(min=1), t)[:, None]  # (B, 1, T')
        if not self.bidirectional:
            mask = mask & torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
        x = self.dropout(self.input(x) + sinusoids(torch.arange(t, device=x.device), self.output_dim))
        intermediate = None
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, mask)
            if number == intermediate_layer:
                intermediate = self.norm(x)
        return EncoderStates(zero_padding(self.norm(x), lens), lens, intermediate)

    def intermediate_dim(self, layer: int) -> int:
        return self.output_dim


@dataclass(frozen=True)
class TransformerState:
    """What the decoder remembers of K hypotheses of each utterance: keys and values of each layer, (B, K, S, U, d)."""

    past: tuple[tuple[Tensor, Tensor], ...]  # empty before the first token
    length: int = 0

    def chosen(self, parents: Tensor) -> TransformerState:
        """Those of the hypotheses `parents` (B, K') alone, in that order."""
        own = torch.arange(len(parents), device=parents.device)[:, None]
        return TransformerState(tuple((k[own, parents], v[own, parents]) for k, v in self.past), self.length)


@DecoderConfig.register
@dataclass(frozen=True, kw_only=True)
class TransformerDecoderConfig(LayeredDecoderConfig):
    """Layers of self-attention that look at the encoder's states."""

    kind: Literal["transformer"] = "transformer"
    feed_forward: int = setting(0, "[0, 65536]")  # width of the dense layers; 0: four times hidden

    def __post_init__(self) -> None:
        super().__post_init__()
        require_heads("hidden", self.hidden, self.heads)

    def build(self, encoder_dim: int, vocab_size: int) -> TransformerDecoder:
        return TransformerDecoder(encoder_dim, vocab_size, self)


class TransformerDecoder(StepDecoder):
    """Says a text token by token, as AttentionDecoder does.

    Args:
        encoder_dim: D.
        vocab_size: V.
        config: All else.
    """

    def __init__(self, encoder_dim: int, vocab_size: int, config: TransformerDecoderConfig) -> None:
        super().__init__(config.label_smoothing)
        width = self.width = config.hidden
        self.embedding = nn.Embedding(vocab_size, width)
        size = config.feed_forward or 4 * width
        self.layers = nn.ModuleList(
            Layer(width, config.heads, size, config.dropout, encoder_dim) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocab_size)
        self.dropout = Dropout(config.dropout)

    def start(self, encoder_out: Tensor, lens: Tensor, beam: int = 1) -> tuple[list[Memory], TransformerState]:
        return [each.other.memory(encoder_out, lens) for each in self._layers()], TransformerState(())

    def step(self, tokens: Tensor, state: TransformerState, memory: list[Memory]) -> tuple[Tensor, TransformerState]:
        b, k = tokens.shape
        x = self._embedded(tokens, torch.full_like(tokens, state.length))  # (B, K, A)
        past = []
        for number, (each, seen) in enumerate(zip(self._layers(), memory, strict=True)):
            before = state.past[number] if state.past else None
            flat = None if before is None else (before[0].flatten(0, 1), before[1].flatten(0, 1))
            own, (key, value) = each.own.one(each.own_norm(x).flatten(0, 1), flat)
            past.append((key.reshape(b, k, *key.shape[1:]), value.reshape(b, k, *value.shape[1:])))
            x, _ = each.look(x + self.dropout(own.reshape(b, k, -1)), seen)
            x = each.think(x)
        return self._log_probs(x), TransformerState(tuple(past), state.length + 1)

    def given(
        self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor, *, maps: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        memory, _ = self.start(encoder_out, lens)
        targets, _ = with_end(tokens.flatten(0, 1), token_lens.flatten())  # (B K, U + 1)
        begun = targets.roll(1, dims=1)
        begun[:, 0] = END_ID
        x = self._embedded(begun, torch.arange(begun.shape[1], device=begun.device))  # (B K, U + 1, A)
        b, k, u = len(tokens), tokens.shape[1], begun.shape[1]
        weights = None
        for each, seen in zip(self._layers(), memory, strict=True):
            x = x + self.dropout(each.own(each.own_norm(x)))
            looked, weights = each.look(x.reshape(b, k * u, -1), seen)  # all texts' positions look together
            x = each.think(looked).reshape(b * k, u, -1)
        log_probs = self._log_probs(x).reshape(b, k, u, -1)
        assert weights is not None
        return log_probs, weights.reshape(b, -1, k, u, weights.shape[3]) if maps else None

    def _layers(self) -> list[Layer]:
        return [each for each in self.layers if isinstance(each, Layer)]

    def _embedded(self, tokens: Tensor, positions: Tensor) -> Tensor:
        x: Tensor = self.dropout(self.embedding(tokens) + sinusoids(positions, self.width))
        return x

    def _log_probs(self, x: Tensor) -> Tensor:
        log_probs: Tensor = self.output(self.norm(x)).float().log_softmax(dim=-1)
        return log_probs
