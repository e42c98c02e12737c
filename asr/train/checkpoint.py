"""The state of a training run on disk: written whole, the one before kept, read without unpickling code.

checkpoints/last.pt                 the newest
checkpoints/previous.pt             the one before, used where the newest is damaged
checkpoints/epoch-0012.safetensors  weights of the best epochs, where they are averaged at the end
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from asr.utils.errors import InputError
from asr.utils.files import atomic_path, make_folder, remove_leftovers

log = logging.getLogger(__name__)

FORMAT = 4


def save_checkpoint(folder: str | Path, state: dict[str, Any]) -> None:
    """Writes plain values and tensors to last.pt; what was there becomes previous.pt.

    Raises:
        InputError: It cannot be written (a full disk); the checkpoints that were there stay.
    """
    folder = make_folder(folder)
    data = io.BytesIO()  # torch's own writer answers a full disk with a RuntimeError
    torch.save({"format": FORMAT, **state}, data)
    last = folder / "last.pt"
    with atomic_path(last) as temporary:
        with open(temporary, "wb") as f:
            f.write(data.getbuffer())
            f.flush()
            os.fsync(f.fileno())
        if last.exists():
            last.replace(folder / "previous.pt")


def load_checkpoint(folder: str | Path) -> dict[str, Any] | None:
    """The newest state that can be read; None where no checkpoint was ever written.

    No other process may be writing there: what a killed one left half-written is removed.

    Raises:
        InputError: There are checkpoints, none can be read; or they are of another format.
    """
    remove_leftovers(Path(folder) / "last.pt")
    found = [path for name in ("last.pt", "previous.pt") if (path := Path(folder) / name).exists()]
    for path in found:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as e:  # torch raises whatever damage leads to
            log.warning("%s is damaged (%s)", path, " ".join(str(e).split())[:100])
            continue
        written = state.pop("format", None) if isinstance(state, dict) else None
        if written != FORMAT:
            raise InputError(f"was written by another version: format {written} -> {FORMAT}", where=path, remedy=_ANEW)
        if path.name == "previous.pt":
            (Path(folder) / "last.pt").unlink(missing_ok=True)  # damaged: it must not take the place of this one
        found_state: dict[str, Any] = state
        return found_state
    if found:
        raise InputError("no checkpoint can be read", where=folder, remedy=_ANEW)
    return None


_ANEW = "to start anew, remove the run's folder or name another output"


def save_weights(folder: str | Path, model: nn.Module, epoch: int) -> None:
    """Writes the model's weights as those of an epoch."""
    with atomic_path(_weights_path(make_folder(folder), epoch)) as temporary:
        temporary.write_bytes(save({name: p.detach().contiguous() for name, p in model.named_parameters()}))


def prune_weights(folder: str | Path, epochs: Collection[int]) -> None:
    """Removes the weights of all other epochs, and what killed processes left of some."""
    kept = [_weights_path(Path(folder), epoch) for epoch in epochs]
    for path in [*Path(folder).glob("epoch-*.safetensors"), *Path(folder).glob(".epoch-*.part")]:
        if path not in kept:
            path.unlink()


def average_weights(folder: str | Path, epochs: Sequence[int]) -> dict[str, Tensor]:
    """The mean of what save_weights wrote of some epochs.

    Raises:
        InputError: One is not there or damaged.
    """
    mean: dict[str, Tensor] = {}
    for epoch in epochs:
        path = _weights_path(Path(folder), epoch)
        try:
            weights = load_file(path)
        except (OSError, SafetensorError) as e:
            raise InputError(f"cannot be read ({e})", where=path, remedy=_ANEW) from e
        for name, values in weights.items():
            mean[name] = mean.get(name, torch.zeros_like(values)).add_(values, alpha=1 / len(epochs))
    return mean


def _weights_path(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}.safetensors"
