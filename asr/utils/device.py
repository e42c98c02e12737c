"""What a process and its devices are set up with. Torch is imported only where it is used."""

from __future__ import annotations

import gc
import os
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

from asr.utils.errors import InputError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "gpu"]


def find_device(name: str | None = None) -> torch.device:
    """Returns the device for a network; auto is a GPU where torch can use one."""
    import torch

    if name not in (None, *get_args(Device)):
        raise InputError(f"no device {name!r}", where="device", remedy=f"there are {', '.join(get_args(Device))}")
    there = torch.cuda.is_available()
    if name == "gpu" and not there:
        raise InputError("no GPU that torch can use", where="device", remedy="auto or cpu")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Within it products of matrices have the precision (fp32 | bf16 | fp16); weights and their updates keep theirs.

    Raises:
        InputError: fp16 on a CPU, or bf16 on one that does not know it.
    """
    import torch

    if precision == "fp16" and device.type == "cpu":
        raise InputError("is for GPUs", where="precision: fp16", remedy="precision=bf16 or fp32")
    if precision == "bf16" and device.type == "cpu" and not has_bf16():
        raise InputError("this processor does not have it (AVX-512)", where="precision: bf16", remedy="precision=fp32")
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


@cache
def has_bf16() -> bool:
    """Tells whether torch can run an LSTM in bfloat16 on this processor. Random numbers are left as they are."""
    import torch

    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            torch.nn.LSTM(8, 8)(torch.zeros(2, 1, 8))
    except RuntimeError:  # oneDNN "could not create a primitive descriptor"
        return False
    return True


def configure_torch() -> None:
    """Sets the process up for torch; to be called before anything imports it.

    Denormal numbers are flushed before worker threads exist (they inherit it). Idle threads spin only briefly before
    they sleep: endless spinning slows two processes on one machine down, sleeping at once halves the speed of one.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    gc.disable()  # what is imported is there for good: to look for garbage in it takes a sixth of the time
    import numpy as np
    import torch

    gc.freeze()
    gc.enable()
    for kind in (np.float32, np.float64):  # NumPy looks at its types once, and would find denormals gone
        np.finfo(kind)
    torch.set_flush_denormal(True)
