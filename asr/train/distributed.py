"""One run in several processes: each has its own GPU or cores, they agree after every step.

The processes are started by torchrun or SLURM, here they only find each other. Signals stop them at the same step.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from asr.utils.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


def process_counts() -> tuple[int, int]:
    """Processes in all and on this machine, as torchrun or srun say in the environment; (1, 1) without them."""
    e = os.environ
    if "TORCHELASTIC_RUN_ID" in e:
        return int(e["WORLD_SIZE"]), int(e["LOCAL_WORLD_SIZE"])
    # An interactive shell on a cluster has the variables too, but is one process.
    if "SLURM_NTASKS" in e and "SLURM_PROCID" in e and e.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        world = int(e["SLURM_NTASKS"])
        return world, max(1, world // int(e.get("SLURM_NNODES", "1")))
    return 1, 1


def is_main_process() -> bool:
    """Whether this process speaks for the run; the only one, or the one of rank 0."""
    if process_counts() == (1, 1):
        return True
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0


def launch(device: str) -> Fabric:
    """Joins the run's other processes.

    Args:
        device: auto | cpu | gpu

    Raises:
        InputError: There is no GPU, or there are fewer than processes.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "gpu" and not gpus:
        raise InputError("there is no GPU that torch can use", where="device: gpu", remedy="device=auto or device=cpu")
    on_gpu = gpus > 0 and device != "cpu"
    world, here = process_counts()
    if on_gpu and here > gpus:
        raise InputError(f"{here} processes and {gpus} GPUs", where="torchrun", remedy=f"--nproc-per-node {gpus}")
    from lightning_fabric import Fabric

    try:
        fabric = Fabric(
            accelerator="cuda" if on_gpu else "cpu",
            devices=here,
            num_nodes=max(1, world // here),
            strategy="ddp" if world > 1 else "auto",
        )
        fabric.launch()
    except (RuntimeError, ValueError) as e:  # SLURM's options do not fit each other, or the others are not found
        raise InputError(" ".join(str(e).split()), where=f"{world} processes, {here} on this machine") from e
    return fabric


def sum_over_processes(fabric: Fabric, values: Sequence[float]) -> list[float]:
    """Each value's sum over the processes, the same numbers in all of them."""
    if fabric.world_size == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    torch.distributed.all_reduce(sums)
    return [float(value) for value in sums.tolist()]


def any_process(fabric: Fabric, here: bool) -> bool:
    """Returns whether it is so in any process; the answer is the same in all."""
    return sum_over_processes(fabric, [here])[0] > 0


def gather(fabric: Fabric, items: list[T]) -> list[T]:
    """The items of all processes, in the order of their ranks."""
    if fabric.world_size == 1:
        return items
    parts: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(parts, items)
    return [item for part in parts for item in part]


@contextmanager
def lost_processes(fabric: Fabric) -> Iterator[None]:
    """Says in a word that another process of the run is gone."""
    try:
        yield
    except RuntimeError as e:
        reason = " ".join(str(e).split())
        if fabric.world_size > 1 and any(w in reason for w in ("gloo", "NCCL", "Connection closed", "Broken pipe")):
            raise InputError(
                f"another process of this run is gone ({reason[:80]} ...)",
                where=f"process {fabric.global_rank} of {fabric.world_size}",
                remedy="see what that one said last; the same command goes on from the last checkpoint",
            ) from e
        raise


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: the first is only noted, so that a step can end; a second stops at once."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread alone
        yield lambda: False
        return

    owner = os.getpid()

    def note(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a process that reads data: Ctrl-C is its parent's, SIGTERM its own
            if number == signal.SIGTERM:
                os._exit(143)
            return
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
