"""Recurrent cells, one step at a time: what torch's fused layers compute, with every state in autograd's sight.

B batch, T frames, D input width, H hidden. The plain cell, LSTM (Hochreiter and Schmidhuber 1997, with
the forget gate of Gers et al. 2000) and GRU (Cho et al. 2014).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

RnnKind = Literal["rnn", "rnn-relu", "rnn-sigmoid", "lstm", "gru"]
GATES = {"lstm": ("input", "forget", "output"), "gru": ("reset", "update")}


def step(kind: str, of_input: Tensor, of_state: Tensor, hidden: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """A step of a cell.

    Args:
        kind: RnnKind.
        of_input: Weights times input, and bias: (B, H), of an LSTM (B, 4 H), of a GRU (B, 3 H), as torch orders them.
        of_state: The same of the hidden state before.
        hidden: The hidden state before (B, H).
        kept: What an LSTM keeps, its cell state (B, H); others hand it on.

    Returns:
        Both after the step.
    """
    if kind == "lstm":
        into, forget, new, out = (of_input + of_state).chunk(4, dim=1)
        kept = torch.sigmoid(forget) * kept + torch.sigmoid(into) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(kept), kept
    if kind == "gru":
        (reset, update, new), (reset2, update2, new2) = of_input.chunk(3, dim=1), of_state.chunk(3, dim=1)
        candidate = torch.tanh(new + torch.sigmoid(reset + reset2) * new2)
        return candidate + torch.sigmoid(update + update2) * (hidden - candidate), kept
    return {"rnn": torch.tanh, "rnn-relu": torch.relu, "rnn-sigmoid": torch.sigmoid}[kind](of_input + of_state), kept


class SigmoidRnn(nn.Module):
    """torch.nn.RNN with the logistic function instead of tanh: (B, T, D) -> (B, T, H), and the last state.

    As sigmoid(a) = (1 + tanh(a / 2)) / 2, it is the tanh layer with other weights, as fast as that.
    """

    def __init__(self, input_dim: int, hidden: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(input_dim, hidden, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        w = dict(self.rnn.named_parameters())
        weights = {
            "weight_ih_l0": w["weight_ih_l0"] / 2,
            "weight_hh_l0": w["weight_hh_l0"] / 4,
            "bias_ih_l0": w["bias_ih_l0"] / 2 + w["weight_hh_l0"].sum(1) / 4,
            "bias_hh_l0": w["bias_hh_l0"] / 2,
        }
        start = x.new_full((1, len(x), self.rnn.hidden_size), -1.0)
        y, last = torch.func.functional_call(self.rnn, weights, (x, start))
        return (1 + y) / 2, (1 + last) / 2


class Unrolled(NamedTuple):
    """A layer's states, one by one."""

    hidden: list[Tensor]  # T of (B, H)
    cell: list[Tensor]  # the same of an LSTM; else empty
    gates: dict[str, Tensor]  # name -> (B, T, H), 0-1


def unroll(layer: nn.Module, kind: str, x: Tensor) -> Unrolled:
    """What a fused layer of one direction (torch.nn.RNN, LSTM, GRU, or SigmoidRnn) computes of x (B, T, D), step by
    step, beginning with zeros."""
    w: dict[str, Any] = {name.rpartition(".")[2]: value for name, value in layer.named_parameters()}
    hidden = kept = x.new_zeros(len(x), w["weight_hh_l0"].shape[1])
    of_inputs = x @ w["weight_ih_l0"].t() + w["bias_ih_l0"]  # (B, T, H ...)
    states, cells, opened = [], [], []
    for of_input in of_inputs.unbind(1):
        of_state = hidden @ w["weight_hh_l0"].t() + w["bias_hh_l0"]
        hidden, kept = step(kind, of_input, of_state, hidden, kept)
        states.append(hidden)
        cells.append(kept)
        opened.append((of_input + of_state).detach())
    names = GATES.get(kind, ())
    open_gates = torch.sigmoid(torch.stack(opened, 1)).chunk(4 if kind == "lstm" else 3, dim=2) if names else ()
    order = ("input", "forget", "", "output") if kind == "lstm" else ("reset", "update", "")
    gates = {name: gate for name, gate in zip(order, open_gates, strict=False) if name in names}
    return Unrolled(states, cells if kind == "lstm" else [], gates)


def step_jacobian(layer: nn.Module, kind: str, x: Tensor, hidden: Tensor, kept: Tensor) -> Tensor:
    """The derivative of a step's state by the state before, for one input x (D,): (S, S), S = H, or 2 H of an LSTM,
    whose state is (hidden, kept)."""
    w: dict[str, Any] = {name.rpartition(".")[2]: value for name, value in layer.named_parameters()}
    of_input = (w["weight_ih_l0"] @ x + w["bias_ih_l0"])[None]

    def after(state: Tensor) -> Tensor:
        h, c = state.chunk(2) if kind == "lstm" else (state, state)
        found = step(kind, of_input, (w["weight_hh_l0"] @ h + w["bias_hh_l0"])[None], h[None], c[None])
        return torch.cat(found, 1)[0] if kind == "lstm" else found[0][0]

    state = torch.cat([hidden, kept]) if kind == "lstm" else hidden
    jacobian: Tensor = torch.func.jacrev(after)(state)
    return jacobian
