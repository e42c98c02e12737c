"""The arithmetic of a training step: gradients over batches and processes, clipping, half precision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from asr.train.distributed import sum_over_processes
from asr.utils.device import autocast
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule

Named = Sequence[tuple[str, nn.Parameter]]


class StepBatch(Protocol):
    """What the loop reads of a batch; all else is the model's affair."""

    @property
    def seed(self) -> int:
        """Of dropout."""

    @property
    def seconds(self) -> float:
        """How much is learnt: of audio, or words."""

    @property
    def padded_seconds(self) -> float:
        """The same with padding."""

    def to(self, device: torch.device) -> StepBatch:
        """The batch on a device."""


@dataclass(frozen=True)
class StepSums:
    """What the batches of a step come to, over all processes."""

    loss: float  # nats
    count: float  # target tokens; 0 where no utterance fits its frames
    left_out: int  # utterances
    audio: float  # seconds
    padded: float  # seconds, padding included


def mean_gradients(
    fabric: Fabric, module: _FabricModule, batches: Sequence[StepBatch], scaler: torch.amp.GradScaler, precision: str
) -> StepSums:
    """Leaves the gradients of the mean loss of a token in the parameters, over the batches of all processes.

    They are still multiplied by the scaler's scale.
    """
    totals = torch.zeros(3, dtype=torch.float64, device=fabric.device)
    audio = padded = 0.0
    for i, batch in enumerate(batches):
        batch = batch.to(fabric.device)
        torch.manual_seed(batch.seed)  # of dropout
        more = i < len(batches) - 1  # gradients are exchanged once a step
        with fabric.no_backward_sync(module, enabled=more and fabric.world_size > 1):
            with autocast(precision, fabric.device):
                loss = module(batch)
            fabric.backward(scaler.scale(loss.sum))
        totals += torch.stack([loss.sum.detach(), loss.count, loss.left_out.sum()])
        audio += batch.seconds
        padded += batch.padded_seconds
    total, count, left_out, audio, padded = sum_over_processes(fabric, [*totals.tolist(), audio, padded])
    for parameter in module.parameters():
        if parameter.grad is not None:  # Fabric has averaged those of the sums over the processes
            parameter.grad.mul_(fabric.world_size / max(count, 1))
    return StepSums(total, count, int(left_out), audio, padded)


def clip_gradients(named: Named, most: float) -> tuple[dict[str, float], float]:
    """Cuts the gradients to the norm `most`.

    Returns:
        The norms of each layer's and of all before that.
    """
    found = [(name, p.grad) for name, p in named if p.grad is not None]
    norms: dict[str, float] = {}
    for (name, _), norm in zip(found, torch.stack([g.norm() for _, g in found]).tolist(), strict=True):
        layer = layer_of(name)
        norms[layer] = math.hypot(norms.get(layer, 0.0), norm)
    total = math.hypot(*norms.values())
    if math.isfinite(total) and total > most:
        for _, gradient in found:
            gradient.mul_(most / total)
    return norms, total


def layer_of(parameter: str) -> str:
    """`encoder.layers.0.forwards.weight_ih_l0` -> `encoder.layers.0`, `head.bias` -> `head`."""
    parts = parameter.split(".")
    numbered = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[:-1] if numbered is None else parts[: numbered + 1]) or parameter


@contextmanager
def using_weights(named: Named, values: Sequence[Tensor]) -> Iterator[None]:
    """The parameters have these values for a while."""
    own = [p.detach().clone() for _, p in named]
    for (_, parameter), value in zip(named, values, strict=True):
        parameter.data.copy_(value)
    try:
        yield
    finally:
        for (_, parameter), value in zip(named, own, strict=True):
            parameter.data.copy_(value)


@contextmanager
def memory_advice(where: str | Path, size: str, remedy: str) -> Iterator[None]:
    """An InputError where a GPU's memory is too small for a batch of this size, with a remedy."""
    try:
        yield
    except torch.OutOfMemoryError as e:
        raise InputError(
            f"the GPU's memory does not hold a batch of {size} ({str(e).splitlines()[0][:90]})",
            where=where,
            remedy=remedy,
        ) from e
