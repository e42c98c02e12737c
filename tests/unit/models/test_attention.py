from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from wording import wording

from asr.models.attention import (
    AdditiveAttention,
    Attention,
    AttentionKind,
    DotAttention,
    LocationAttention,
    MultiHeadAttention,
    build_attention,
)
from asr.utils.errors import InputError

KINDS: tuple[AttentionKind, ...] = ("additive", "location", "dot", "multi-head")
B, K, T, D, Q = 3, 2, 7, 6, 5
LENS = torch.tensor([7, 4, 1])


def look(attention: Attention, encoder_out: Tensor, lens: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    memory = attention.memory(encoder_out, lens)
    return attention(query, memory, attention.first(memory, query.shape[1]))


def made(kind: AttentionKind) -> Attention:
    torch.manual_seed(0)
    return build_attention(kind, query_dim=Q, memory_dim=D, dim=8, heads=2)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_never_looked_at(kind: AttentionKind) -> None:
    attention, states, query = made(kind), torch.randn(B, T, D), torch.randn(B, K, Q)
    context, weights = look(attention, states, LENS, query)
    assert weights.shape == (B, attention.heads, K, T)
    assert context.shape == (B, K, attention.output_dim)
    assert torch.allclose(weights.sum(-1), torch.ones(B, attention.heads, K))
    assert not weights[1, :, :, 4:].any()
    assert not weights[2, :, :, 1:].any()
    for filler in (1e9, math.nan, math.inf):  # whatever stands there
        spoilt = states.clone()
        for b, length in enumerate(LENS):
            spoilt[b, length:] = filler
        again = look(attention, spoilt, LENS, query)
        assert torch.equal(again[0], context)
        assert torch.equal(again[1], weights)
    # an utterance alone, without padding
    alone, its = look(attention, states[1:2, :4], LENS[1:2], query[1:2])
    assert torch.allclose(alone, context[1:2], atol=1e-6)
    assert torch.allclose(its, weights[1:2, :, :, :4], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_queries_do_not_see_each_other(kind: AttentionKind) -> None:
    attention, states, query = made(kind), torch.randn(B, T, D), torch.randn(B, K, Q)
    memory = attention.memory(states, LENS)
    previous = torch.rand(B, attention.heads, K, T)
    together, weights = attention(query, memory, previous)
    for k in range(K):
        alone, its = attention(query[:, k : k + 1], memory, previous[:, :, k : k + 1])
        assert torch.allclose(alone, together[:, k : k + 1], atol=1e-6)
        assert torch.allclose(its, weights[:, :, k : k + 1], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_numbers_also_of_an_utterance_without_frames(kind: AttentionKind) -> None:
    attention, states = made(kind), torch.randn(2, T, D, requires_grad=True)
    context, weights = look(attention, states, torch.tensor([3, 0]), torch.randn(2, K, Q))
    assert not weights[1].any()
    context.sum().backward()  # type: ignore[no-untyped-call]
    assert states.grad is not None
    assert torch.isfinite(states.grad).all()
    assert states.grad[0, :3].any()
    assert not states.grad[0, 3:].any()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in attention.parameters())


def test_additive_by_the_formula() -> None:
    attention = made("additive")
    assert isinstance(attention, AdditiveAttention)
    states, query = torch.randn(1, 4, D), torch.randn(1, 1, Q)
    _, weights = look(attention, states, torch.tensor([4]), query)
    w, b, u, v = attention.query.weight, attention.query.bias, attention.key.weight, attention.score.weight[0]
    energies = torch.stack([v @ torch.tanh(w @ query[0, 0] + b + u @ states[0, t]) for t in range(4)])
    assert torch.allclose(weights[0, 0, 0], energies.softmax(0), atol=1e-6)


def test_dot_products_are_those_of_torch() -> None:
    attention = made("dot")
    assert isinstance(attention, DotAttention)
    states, query = torch.randn(B, T, D), torch.randn(B, K, Q)
    context, _ = look(attention, states, LENS, query)
    mask = torch.arange(T) < LENS[:, None]
    expected = nn.functional.scaled_dot_product_attention(
        attention.query(query), attention.key(states), states, attn_mask=mask[:, None].expand(-1, K, -1)
    )
    assert torch.allclose(context, expected, atol=1e-6)


def test_several_heads_are_those_of_torch() -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(8, 8, dim=8, heads=2)
    witness = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        for part, weight, bias in zip(
            (attention.query, attention.key, attention.value),
            witness.in_proj_weight.chunk(3),
            witness.in_proj_bias.chunk(3),
            strict=True,
        ):
            part.weight.copy_(weight)
            part.bias.copy_(bias)
        attention.output.load_state_dict(witness.out_proj.state_dict())
    states, query = torch.randn(B, T, 8), torch.randn(B, K, 8)
    context, weights = look(attention, states, LENS, query)
    padding = torch.arange(T) >= LENS[:, None]
    expected, maps = witness(query, states, states, key_padding_mask=padding, average_attn_weights=False)
    assert torch.allclose(context, expected, atol=1e-5)
    assert torch.allclose(weights, maps, atol=1e-6)


def test_it_sees_where_it_looked_before() -> None:
    attention = made("location")
    assert isinstance(attention, LocationAttention)
    memory = attention.memory(torch.zeros(1, T, D), torch.tensor([T]))  # frames are alike: only places differ
    query = torch.zeros(1, 1, Q)
    with torch.no_grad():  # a kernel that moves the weights one frame on, and a network that lets them through
        attention.convolution.weight.zero_()
        attention.convolution.weight[0, 0, 50 - 1] = 1.0
        attention.location.weight.zero_()
        attention.location.weight[0, 0] = 1.0
        attention.query.bias.zero_()
        attention.score.weight.zero_()
        attention.score.weight[0, 0] = 10.0
    previous = torch.zeros(1, 1, 1, T)
    for t in range(T - 1):
        previous = nn.functional.one_hot(torch.tensor([[[t]]]), T).float()
        _, weights = attention(query, memory, previous)
        assert weights[0, 0, 0].argmax() == t + 1


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match=wording("width-10-cannot-be-parted")):
        build_attention("multi-head", query_dim=4, memory_dim=4, dim=10, heads=4)
    with pytest.raises(InputError, match=wording("attention-soft-is-none-of")):
        build_attention("soft", query_dim=4, memory_dim=4)  # type: ignore[arg-type]
