"""Attention: a decoder's queries look at encoder states. Four kinds, one interface.

B batch, K queries of each utterance (hypotheses of a beam; 1 in training), T frames, D encoder width, Q query width,
A attention width, S heads.

    attention = build_attention("location", query_dim=Q, memory_dim=D)
    memory = attention.memory(encoder_out, lens)            # once an utterance: it is not copied for its K queries
    weights = attention.first(memory, K)
    context, weights = attention(query, memory, weights)    # (B, K, Q) -> (B, K, D), (B, S, K, T)

Padding gets no weight, whatever stands there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from asr.models.shared_weights import Shared, add_gradient, shared, summed, times
from asr.utils.config import require
from asr.utils.masks import length_mask, zero_padding

AttentionKind = Literal["additive", "location", "dot", "multi-head"]


class Memory(NamedTuple):
    """What is looked at."""

    keys: Tensor | Shared  # (B, T, A); of dot products (B, A, T), multi-head: (B, S, A / S, T)
    values: Tensor | Shared  # (B, T, D), padding zero; multi-head: (B, S, T, A / S)
    mask: Tensor  # (B, T), True where a frame is real


class Attention(nn.Module):
    """What all kinds have in common: keys are made once, energies become weights, weights a sum of values."""

    def __init__(self, query_dim: int, memory_dim: int, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, dim)
        self.key = nn.Linear(memory_dim, dim, bias=False)
        self.heads, self.output_dim = 1, memory_dim

    def memory(self, encoder_out: Tensor, lens: Tensor, *, learning: bool = False) -> Memory:
        """Encoder states (B, T, D) and lengths (B,), as they are looked at.

        Args:
            learning: Many steps follow, of which the gradient is wanted: it is made of all of them together.
        """
        values = zero_padding(encoder_out, lens)
        keys, mask = self.keys(values), length_mask(lens, values.shape[1])
        return Memory(self.many(keys), shared(values), mask) if learning else Memory(keys, values, mask)

    def many(self, keys: Tensor) -> Shared:
        """Keys for many steps, whose gradient is made of all together: those that are added to."""
        return summed(keys)

    def keys(self, values: Tensor) -> Tensor:
        """Encoder states (B, T, D) -> what queries are compared with."""
        keys: Tensor = self.key(values)
        return keys

    def first(self, memory: Memory, queries: int) -> Tensor:
        """The weights before the first step (B, S, K, T): all frames alike."""
        shares = memory.mask / memory.mask.sum(1, keepdim=True).clamp(min=1)  # (B, T)
        return shares[:, None, None].expand(-1, self.heads, queries, -1).to(self.query.weight.dtype)

    def forward(self, query: Tensor, memory: Memory, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Looks once.

        Args:
            query: (B, K, Q).
            memory: Of `memory`.
            previous: Weights of the step before (B, S, K, T).

        Returns:
            The context (B, K, output_dim), and the weights (B, S, K, T), which sum to one over real frames.
        """
        weights = _weights(self.energies(self.query(query), memory, previous), memory.mask)  # (B, K, T)
        return times(weights, memory.values), weights[:, None]

    def energies(self, query: Tensor, memory: Memory, previous: Tensor) -> Tensor:
        """Queries (B, K, A) -> how much each frame is wanted (B, K, T)."""
        raise NotImplementedError


class AdditiveAttention(Attention):
    """A small network compares query and frame (Bahdanau et al., "Neural machine translation by jointly learning to
    align and translate", 2015)."""

    def __init__(self, query_dim: int, memory_dim: int, *, dim: int = 256) -> None:
        super().__init__(query_dim, memory_dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)

    def energies(self, query: Tensor, memory: Memory, previous: Tensor) -> Tensor:
        if isinstance(memory.keys, Shared):
            return self._shared_energies(query, memory.keys, None, None, None)
        return (query[:, :, None] + memory.keys[:, None]).tanh_() @ self.score.weight[0]

    def _shared_energies(self, query: Tensor, keys: Shared, *location: Tensor | None) -> Tensor:
        """As energies, of one of many steps: how it adds to the gradient of the keys is _Compared's."""
        score = self.score.weight[0]
        energies: Tensor = _Compared.apply(query, *location, score, keys.token, keys.matrix, keys.kept)
        return energies


class LocationAttention(AdditiveAttention):
    """Additive, and it sees where it looked before (Chorowski et al., "Attention-based models for speech recognition",
    2015): the previous weights through a convolution."""

    def __init__(
        self, query_dim: int, memory_dim: int, *, dim: int = 256, channels: int = 10, width: int = 101
    ) -> None:
        super().__init__(query_dim, memory_dim, dim=dim)
        self.convolution = nn.Conv1d(1, channels, width, padding=width // 2, bias=False)
        self.location = nn.Linear(channels, dim, bias=False)

    def energies(self, query: Tensor, memory: Memory, previous: Tensor) -> Tensor:
        if isinstance(memory.keys, Shared):
            taps, spread = self.convolution.weight[:, 0], self.location.weight
            return self._shared_energies(query, memory.keys, previous[:, 0], taps, spread)
        b, _, k, t = previous.shape
        seen = self.convolution(previous.reshape(b * k, 1, t))[..., :t]  # (B K, C, T)
        # (B, K, T, A) in as few goes over it as can be: queries and location, keys, tanh
        spread = self.location.weight.t().expand(b * k, -1, -1)
        compared = torch.baddbmm(query.reshape(b * k, 1, -1), seen.transpose(1, 2), spread).reshape(b, k, t, -1)
        return compared.add_(memory.keys[:, None]).tanh_() @ self.score.weight[0]


class DotAttention(Attention):
    """Scaled dot products (Luong et al. 2015; Vaswani et al. 2017)."""

    def __init__(self, query_dim: int, memory_dim: int, *, dim: int = 256) -> None:
        super().__init__(query_dim, memory_dim, dim)

    def energies(self, query: Tensor, memory: Memory, previous: Tensor) -> Tensor:
        return times(query, memory.keys) / math.sqrt(query.shape[-1])

    def keys(self, values: Tensor) -> Tensor:
        return super().keys(values).transpose(1, 2)

    def many(self, keys: Tensor) -> Shared:
        return shared(keys)


class MultiHeadAttention(Attention):
    """Several scaled dot products, each over its own projections (Vaswani et al., "Attention is all you need", 2017).

    What torch.nn.MultiheadAttention computes, with keys and values made once.
    """

    def __init__(self, query_dim: int, memory_dim: int, *, dim: int = 256, heads: int = 4) -> None:
        require(dim % heads == 0, f"attention of width {dim} cannot be parted into {heads} heads of the same width")
        super().__init__(query_dim, memory_dim, dim)
        self.key = nn.Linear(memory_dim, dim)
        self.value = nn.Linear(memory_dim, dim)
        self.output = nn.Linear(dim, dim)
        self.heads, self.output_dim = heads, dim

    def memory(self, encoder_out: Tensor, lens: Tensor, *, learning: bool = False) -> Memory:
        x = zero_padding(encoder_out, lens)
        keys, values, mask = self.keys(x), self._parted(self.value(x)), length_mask(lens, x.shape[1])
        return Memory(shared(keys), shared(values), mask) if learning else Memory(keys, values, mask)

    def keys(self, values: Tensor) -> Tensor:
        return self._parted(self.key(values)).transpose(2, 3)

    def forward(self, query: Tensor, memory: Memory, previous: Tensor) -> tuple[Tensor, Tensor]:
        q = self._parted(self.query(query))  # (B, S, K, A / S)
        energies = times(q, memory.keys) / math.sqrt(q.shape[-1])  # (B, S, K, T)
        weights = _weights(energies, memory.mask[:, None])
        context: Tensor = self.output(times(weights, memory.values).transpose(1, 2).flatten(2))  # (B, K, A)
        return context, weights

    def _parted(self, x: Tensor) -> Tensor:
        """(B, X, A) -> (B, S, X, A / S)"""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class _Compared(torch.autograd.Function):
    """score . tanh(query + keys + spread . taps * previous), of (B, K, A), (B, T, A), (A, C), (C, W) and (B, K, T)
    -> (B, K, T).

    In place: (B, K, T, A) is written once, where autograd's way has four sums of that size. Keys get their gradient
    when all steps are done.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        previous: Tensor | None,
        taps: Tensor | None,
        spread: Tensor | None,
        score: Tensor,
        token: Tensor,
        keys: Tensor,
        kept: list[Tensor],
    ) -> Tensor:
        dtype, seen = query.dtype, None  # half of it, maybe
        sums = query[:, :, None] + keys[:, None].to(dtype)  # (B, K, T, A)
        if previous is not None and taps is not None and spread is not None:
            seen = _windows(previous, taps.shape[1]).to(dtype) @ taps.to(dtype).t()  # (B K T, C)
            sums.view(-1, sums.shape[3]).addmm_(seen, spread.to(dtype).t())
        ctx.save_for_backward(previous, taps, spread, seen, score, sums.tanh_())
        ctx.kept = kept
        return sums @ score.to(dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        previous, taps, spread, seen, score, said = ctx.saved_tensors
        (b, k, t, a), dtype = said.shape, said.dtype
        gradient = gradient.to(dtype)
        of_score = (gradient.reshape(1, -1) @ said.view(-1, a))[0]
        back = torch.ops.aten.tanh_backward(gradient[..., None] * score.to(dtype), said)  # (B, K, T, A)
        if ctx.needs_input_grad[5]:
            add_gradient(ctx.kept, back[:, 0] if k == 1 else back.sum(1))
        of_previous = of_taps = of_spread = None
        if previous is not None:
            rows, width = back.view(-1, a), taps.shape[1]
            of_spread = (seen.t() @ rows).t()
            of_seen = rows @ spread.to(dtype)  # (B K T, C)
            of_taps = of_seen.t() @ _windows(previous, width).to(dtype)
            frames = of_seen.view(b * k, t, -1).transpose(1, 2)
            padded = nn.functional.conv_transpose1d(frames, taps.to(dtype)[:, None])  # (B K, 1, T + W - 1)
            of_previous = padded[:, 0, width // 2 : width // 2 + t].reshape(b, k, t)
        return back.sum(2), of_previous, of_taps, of_spread, of_score, gradient.new_zeros(()), None, None


def _windows(weights: Tensor, width: int) -> Tensor:
    """(B, K, T) -> what lies around each frame (B K T, W)."""
    padded = nn.functional.pad(weights, (width // 2, width - 1 - width // 2))
    return padded.unfold(2, width, 1).reshape(-1, width)


def build_attention(
    kind: AttentionKind, *, query_dim: int, memory_dim: int, dim: int = 256, heads: int = 4
) -> Attention:
    """An attention of a kind: additive | location | dot | multi-head.

    Args:
        query_dim: Q.
        memory_dim: D.
        dim: A, in which they are compared.
        heads: S, of multi-head alone.
    """
    make: dict[str, Callable[[], Attention]] = {
        "additive": lambda: AdditiveAttention(query_dim, memory_dim, dim=dim),
        "location": lambda: LocationAttention(query_dim, memory_dim, dim=dim),
        "dot": lambda: DotAttention(query_dim, memory_dim, dim=dim),
        "multi-head": lambda: MultiHeadAttention(query_dim, memory_dim, dim=dim, heads=heads),
    }
    require(kind in make, f"attention {kind!r} is none of {', '.join(make)}")
    return make[kind]()


def _weights(energies: Tensor, mask: Tensor) -> Tensor:
    """Energies (B, ..., K, T) and mask (B, ..., T) -> weights; all 0 where no frame is real."""
    mask = mask.unsqueeze(-2)
    least = torch.finfo(torch.float32).min  # not infinite: where nothing is real, gradients stay numbers
    weights = energies.float().masked_fill(~mask, least).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0).to(energies.dtype)
