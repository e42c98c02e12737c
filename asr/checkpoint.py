"""The state of a training run on disk: written whole, the one before kept, read without unpickling code.

checkpoints/last.pt         the newest
checkpoints/previous.pt     the one before, used where the newest is damaged
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from asr.errors import InputError
from asr.files import atomic_path, make_folder, remove_leftovers

log = logging.getLogger(__name__)

FORMAT = 1


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
        if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
            raise InputError("was written by another version", where=path, remedy=_ANEW)
        return state
    if found:
        raise InputError("no checkpoint can be read", where=folder, remedy=_ANEW)
    return None


_ANEW = "to start anew, remove the run's folder or choose another --out"


@contextmanager
def only_process(folder: str | Path) -> Iterator[None]:
    """Holds the folder for this process alone, until the block or the process ends, however it ends.

    Raises:
        InputError: Another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = make_folder(folder) / ".lock"
    try:
        file = open(path, "a")  # noqa: SIM115
    except OSError as e:
        raise InputError(f"cannot be written ({e.strerror or e})", where=path) from e
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another process trains here", where=folder, remedy="wait for it, or stop it") from None
        yield
