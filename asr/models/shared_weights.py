"""Weights that each step of a sequence multiplies by: their gradient is made once, of all steps together.

A step has few rows, and its products cost what reading the weights costs. Autograd writes a gradient of their size at
each step and adds it to that of the others, which costs some times as much; the products of all steps' rows are one
large product instead. (What is put off is the same sum, in another order.)

    weights = shared(layer.weight.t())
    for ...:
        x = times(x, weights)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Shared(NamedTuple):
    """A matrix, or several (..., N, P), that steps use; its gradient waits for all of them."""

    matrix: Tensor  # without gradient
    token: Tensor  # a number that each step takes, so that autograd knows when the last is done
    kept: list[Any]  # what each step adds to the gradient


def shared(matrix: Tensor) -> Shared:
    """Matrices (..., N, P) for `times`, of as many steps as there may be."""
    kept: list[tuple[Tensor, Tensor]] = []

    def together() -> Tensor:
        rows, gradients = (torch.cat(each, dim=-2) for each in zip(*kept, strict=True))
        return rows.transpose(-2, -1) @ gradients

    return Shared(matrix.detach(), _Token.apply(matrix, kept, together), kept)


def summed(tensor: Tensor) -> Shared:
    """A tensor that steps use by functions of their own, which add to its gradient by `add_gradient`."""
    kept: list[Tensor] = []
    return Shared(tensor.detach(), _Token.apply(tensor, kept, lambda: kept[0]), kept)


def add_gradient(kept: list[Tensor], gradient: Tensor) -> None:
    """Adds to the gradient of what was `summed`; the tensor is not to be used any more."""
    if kept:
        kept[0] += gradient
    else:
        kept.append(gradient)


def times(x: Tensor, matrix: Tensor | Shared) -> Tensor:
    """x (..., K, N) @ matrix (..., N, P)."""
    if isinstance(matrix, Tensor):
        return x @ matrix
    product: Tensor = _Times.apply(x, matrix.token, matrix.matrix, matrix.kept)
    return product


class _Token(torch.autograd.Function):
    """A tensor -> a zero; on the way back, when all that took the zero are done, the tensor's gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, kept: list[Any], gradient: Callable[[], Tensor]) -> Tensor:
        ctx.kept, ctx.gradient, ctx.dtype = kept, gradient, tensor.dtype
        return tensor.new_zeros(())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, None, None]:
        found = ctx.gradient().to(ctx.dtype) if ctx.kept else None
        ctx.kept.clear()
        return found, None, None


class _Times(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, token: Tensor, matrix: Tensor, kept: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.save_for_backward(x, matrix)
        ctx.kept = kept
        return x @ matrix

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, matrix = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1]
        if wanted:
            ctx.kept.append((x.to(gradient.dtype), gradient))
        back = gradient @ matrix.to(gradient.dtype).transpose(-2, -1)
        return back.to(x.dtype), gradient.new_zeros(()) if wanted else None, None, None
