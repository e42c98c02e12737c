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
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from asr.train.config import GroupConfig, OptimConfig
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
    def size(self) -> float:
        """The size of the batch in the task's unit: seconds of audio, words."""

    @property
    def padded_size(self) -> float:
        """The size with padding."""

    def to(self, device: torch.device) -> StepBatch:
        """The batch on a device."""


@dataclass(frozen=True)
class StepSums:
    """What the batches of a step come to, over all processes."""

    loss: float  # nats
    count: float  # target tokens; 0 where no utterance fits its frames
    left_out: int  # utterances
    size: float  # in the task's unit
    padded_size: float


def mean_gradients(
    fabric: Fabric, module: _FabricModule, batches: Sequence[StepBatch], scaler: torch.amp.GradScaler, precision: str
) -> StepSums:
    """Leaves the gradients of the mean loss of a token in the parameters, over the batches of all processes.

    They are still multiplied by the scaler's scale.
    """
    totals = torch.zeros(3, dtype=torch.float64, device=fabric.device)
    size = padded_size = 0.0
    for i, batch in enumerate(batches):
        batch = batch.to(fabric.device)
        torch.manual_seed(batch.seed)  # of dropout
        more = i < len(batches) - 1  # gradients are exchanged once a step
        with fabric.no_backward_sync(module, enabled=more and fabric.world_size > 1):
            with autocast(precision, fabric.device):
                loss = module(batch)
            fabric.backward(scaler.scale(loss.sum))
        totals += torch.stack([loss.sum.detach(), loss.count, loss.left_out.sum()])
        size += batch.size
        padded_size += batch.padded_size
    sums = [*totals.tolist(), size, padded_size]
    total, count, left_out, size, padded_size = sum_over_processes(fabric, sums)
    for parameter in module.parameters():
        if parameter.grad is not None:  # Fabric has averaged those of the sums over the processes
            parameter.grad.mul_(fabric.world_size / max(count, 1))
    return StepSums(total, count, int(left_out), size, padded_size)


def clip_gradients(named: Named, most: float) -> tuple[dict[str, float], float]:
    """Cuts the gradients to the norm `most`.

    Returns:
        The norms of each layer's and of all before that.
    """
    layers: dict[str, list[Tensor]] = {}
    for name, parameter in named:
        if parameter.grad is not None:
            layers.setdefault(layer_of(name), []).append(parameter.grad)
    each = torch.stack([get_total_norm(gradients) for gradients in layers.values()])
    total = get_total_norm([each])
    if math.isfinite(total):
        clip_grads_with_norm_([parameter for _, parameter in named], most, total)
    return dict(zip(layers, each.tolist(), strict=True)), float(total)


def layer_of(parameter: str) -> str:
    """`encoder.layers.0.forwards.weight_ih_l0` -> `encoder.layers.0`, `head.bias` -> `head`."""
    parts = parameter.split(".")
    numbered = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[:-1] if numbered is None else parts[: numbered + 1]) or parameter


@contextmanager
def using_weights(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> Iterator[None]:
    """The parameters have these values for a while."""
    own = [p.detach().clone() for p in parameters]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.data.copy_(value)
    try:
        yield
    finally:
        for parameter, value in zip(parameters, own, strict=True):
            parameter.data.copy_(value)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn alike."""

    parameters: dict[str, nn.Parameter]
    rate: float  # of the learning rate
    freeze_epochs: int  # the first, in which they stay as they are


def parameter_groups(network: nn.Module, config: OptimConfig) -> list[ParameterGroup]:
    """The parameters of a network as `config.groups` parts them, by the longest name that theirs begins with.

    Raises:
        InputError: A group has no parameter.
    """
    members: dict[str, dict[str, nn.Parameter]] = {name: {} for name in ("", *config.groups)}
    for name, parameter in network.named_parameters():
        owners = [group for group in config.groups if f"{name}.".startswith(f"{group}.")]
        members[max(owners, key=len, default="")][name] = parameter
    for group in config.groups:
        if not members[group]:
            known = sorted({layer_of(name) for name, _ in network.named_parameters()})
            raise InputError(f"no parameter is in {group!r}", where="groups", remedy=f"there are {', '.join(known)}")
    settings = {"": GroupConfig(), **config.groups}
    if all(settings[group].freeze_epochs for group in members if members[group]):
        raise InputError("nothing learns in the first epoch", where="groups", remedy="leave a part unfrozen")
    return [
        ParameterGroup(parameters, settings[group].rate, settings[group].freeze_epochs)
        for group, parameters in members.items()
        if parameters
    ]


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
