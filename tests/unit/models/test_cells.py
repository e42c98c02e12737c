"""Cells step by step: the same as torch's fused layers, forwards and backwards."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from asr.models.cells import GATES, RnnKind, SigmoidRnn, step_jacobian, unroll

KINDS = get_args(RnnKind)


def layer(kind: str) -> torch.nn.Module:
    torch.manual_seed(1)
    return {
        "rnn": lambda: torch.nn.RNN(5, 7, batch_first=True),
        "rnn-relu": lambda: torch.nn.RNN(5, 7, nonlinearity="relu", batch_first=True),
        "rnn-sigmoid": lambda: SigmoidRnn(5, 7),
        "lstm": lambda: torch.nn.LSTM(5, 7, batch_first=True),
        "gru": lambda: torch.nn.GRU(5, 7, batch_first=True),
    }[kind]()


@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_the_fused_layer(kind: str) -> None:
    fused, x = layer(kind), torch.randn(3, 40, 5)
    wanted, last = fused(x)
    found = unroll(fused, kind, x)
    y = torch.stack(found.hidden, 1)
    assert (y - wanted).abs().max() < 1e-5
    if kind == "lstm":
        assert (found.cell[-1] - last[1][0]).abs().max() < 1e-5
    else:
        assert not found.cell
    weights = torch.randn_like(y)
    gradients = [torch.autograd.grad((out * weights).sum(), [*fused.parameters()]) for out in (wanted, y)]
    for mine, theirs in zip(*gradients, strict=True):
        assert (mine - theirs).abs().max() < 1e-5 * max(1.0, float(theirs.abs().max()))
    assert tuple(found.gates) == GATES.get(kind, ())
    assert all(gate.shape == y.shape and gate.min() > 0 and gate.max() < 1 for gate in found.gates.values())


def test_the_logistic_cell_is_its_formula() -> None:
    """h(t) = sigmoid(W x(t) + U h(t - 1) + b), from zero."""
    fused, x = layer("rnn-sigmoid"), torch.randn(1, 6, 5)
    w = dict(fused.rnn.named_parameters())
    h = torch.zeros(7)
    for t in range(6):
        a = w["weight_ih_l0"] @ x[0, t] + w["weight_hh_l0"] @ h + w["bias_ih_l0"] + w["bias_hh_l0"]
        h = 1 / (1 + torch.exp(-a))
        assert (fused(x)[0][0, t] - h).abs().max() < 1e-6


def test_gates_are_what_they_are_called() -> None:
    """A forget gate that is open keeps the cell, an update gate that is open the state."""
    lstm, gru, x = layer("lstm"), layer("gru"), torch.randn(1, 9, 5)
    with torch.no_grad():
        lstm.bias_ih_l0[7:14] = 50.0  # forget
        lstm.bias_ih_l0[:7] = -50.0  # input
        gru.bias_ih_l0[7:14] = 50.0  # update
    found = unroll(lstm, "lstm", x)
    assert found.gates["forget"].min() > 0.999
    assert found.gates["input"].max() < 0.001
    assert found.cell[-1].abs().max() < 1e-6  # nothing came in
    found = unroll(gru, "gru", x)
    assert found.gates["update"].min() > 0.999
    assert found.hidden[-1].abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_the_jacobian_of_a_step(kind: str) -> None:
    """By differences."""
    fused = layer(kind).double()
    x, h, c = (torch.randn(size, dtype=torch.float64) for size in (5, 7, 7))
    found = step_jacobian(fused, kind, x, h, c)
    state = torch.cat([h, c]) if kind == "lstm" else h

    def after(state: torch.Tensor) -> torch.Tensor:
        from asr.models.cells import step

        w = {name.rpartition(".")[2]: value for name, value in fused.named_parameters()}
        of_input = (w["weight_ih_l0"] @ x + w["bias_ih_l0"])[None]
        before = state[:7]
        of_state = (w["weight_hh_l0"] @ before + w["bias_hh_l0"])[None]
        new = step(kind, of_input, of_state, before[None], state[7:][None] if kind == "lstm" else before[None])
        return torch.cat(new, 1)[0] if kind == "lstm" else new[0][0]

    size = len(state)
    differences = torch.stack(
        [(after(state + 1e-6 * each) - after(state - 1e-6 * each)) / 2e-6 for each in torch.eye(size).double()], 1
    )
    assert (found - differences).abs().max() < 1e-6
