"""The folder of a training run: whose run it is, its log, and the one process that may write there."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from filelock import FileLock, Timeout

from asr.train.distributed import launch, lost_processes
from asr.train.monitors import training_monitor
from asr.train.progress import Monitor, SilentMonitor
from asr.utils.errors import InputError
from asr.utils.files import make_folder, read_text, without_nan, write_text

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

# What changes nothing in the result; the batches of a step, over all processes, stand in `run.batches_per_step`.
_FREE = {"num_workers", "checkpoint_minutes", "accumulate"}
_LOCK_SECONDS = 10.0  # that a lock is waited for: processes that read data may outlive a killed run for some
_COMPARED = {"run.data_sha256", "run.batches_per_step"}


class RunLog:
    """log.jsonl, a line an event, and TensorBoard's files where it is installed.

    Args:
        size: Bytes of it that belong to the state one goes on from; what was written later is cut off.
        step: The step of that state.
    """

    def __init__(self, folder: Path, size: int, step: int) -> None:
        self.path = make_folder(folder) / "log.jsonl"
        with self._words():
            if not size:
                self.path.unlink(missing_ok=True)
            elif self.path.exists() and self.size() > size:
                os.truncate(self.path, size)
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def write(self, kind: str, row: dict[str, Any]) -> None:
        """Appends a line; numbers that are not finite become null.

        Raises:
            InputError: It cannot be written (a full disk).
        """
        finite = without_nan(row)
        with self._words(), open(self.path, "a", encoding="utf-8") as f:
            f.write(json.dumps({"kind": kind, **finite}, allow_nan=False) + "\n")
        if self._board is not None:
            with self._words():
                for name, value in _flat(finite, "/").items():
                    if isinstance(value, int | float) and name not in ("step", "epoch"):
                        self._board.add_scalar(f"{kind}/{name}", value, row["step"])
                if kind != "step":
                    self._board.flush()

    @contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise InputError(f"cannot be written ({e.strerror or e})", where=self.path) from e

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def is_finished(out_dir: str | Path) -> bool:
    """Whether the run in `out_dir` came to its end."""
    path = Path(out_dir) / "log.jsonl"
    lines = read_text(path).splitlines() if path.is_file() else []
    try:
        return bool(lines) and json.loads(lines[-1])["kind"] == "end"
    except (ValueError, TypeError, KeyError):  # a line of which only a part was written
        return False


@contextmanager
def open_run(folder: Path, device: str, monitor: Monitor | None) -> Iterator[tuple[Fabric, Monitor]]:
    """Joins the processes of a run, holds its folder for them, and finds whom to tell how it goes.

    Denormal numbers are flushed to zero from here on, in this process.

    Args:
        device: auto | cpu | gpu
        monitor: None: the terminal.

    Raises:
        InputError: There is no such device; another run holds the folder; another process of this one is gone.
    """
    torch.set_flush_denormal(True)
    fabric = launch(device)
    # One process holds the folder for all of them.
    with lost_processes(fabric), only_process(folder) if fabric.is_global_zero else nullcontext():
        fabric.barrier()
        if not fabric.is_global_zero:
            yield fabric, SilentMonitor()
            return
        with nullcontext(monitor) if monitor is not None else training_monitor() as told:
            yield fabric, told


def check_same_run(described: dict[str, Any], out_dir: Path, fabric: Fabric) -> bool:
    """Returns whether `out_dir` holds a run to go on with: the same settings and data, perhaps fewer epochs.

    All processes have looked when it returns.

    Args:
        described: What config.yaml holds, the data's digest and versions under `run`.

    Raises:
        InputError: It holds another; the differences are listed.
    """
    earlier = _described(out_dir)
    if earlier is not None:
        old, new = _flat(earlier), _flat(described)
        keys = [k for k in {**old, **new} if k in _COMPARED or not (k.startswith("run.") or k in _FREE)]
        differing = [f"{k} {old.get(k)} -> {new.get(k)}" for k in keys if old.get(k) != new.get(k)]
        if longer(old, new):
            differing = [each for each in differing if not each.startswith("epochs ")]
        if differing:
            raise InputError(
                f"holds a run of other settings or data: {', '.join(differing)}",
                where=out_dir,
                remedy="name another output, or remove it to start anew",
            )
    there = any((out_dir / "checkpoints").glob("*.pt"))
    fabric.barrier()
    return earlier is not None and there  # else it was stopped before the first


def longer(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Returns whether the new settings have more epochs than the old ones."""
    return isinstance(old.get("epochs"), int) and new["epochs"] > old["epochs"]


def describe_run(described: dict[str, Any], out_dir: Path) -> None:
    """Writes config.yaml where the run is new, or is to go further than it was to."""
    earlier = _described(out_dir)
    if earlier is None or longer(earlier, described):
        write_text(out_dir / "config.yaml", yaml.safe_dump(described, allow_unicode=True, sort_keys=False))


def _described(out_dir: Path) -> dict[str, Any] | None:
    """Reads config.yaml; None where there is no run."""
    path = out_dir / "config.yaml"
    if not path.exists():
        if any((out_dir / "checkpoints").glob("*.pt")):
            raise InputError("is gone, but there are checkpoints", where=path, remedy="name another output")
        return None
    try:
        earlier = yaml.safe_load(read_text(path, limit=1 << 20))
        earlier["run"]["data_sha256"]
    except (yaml.YAMLError, TypeError, KeyError) as e:
        raise InputError("is no run of this version", where=path, remedy="name another output, or remove it") from e
    assert isinstance(earlier, dict)
    return earlier


@contextmanager
def only_process(folder: str | Path) -> Iterator[None]:
    """Holds the folder for this process alone, until the block or the process ends, however it ends.

    Raises:
        InputError: Another process holds it.
    """
    lock = FileLock(make_folder(folder) / ".lock", timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise InputError("another process trains here", where=folder, remedy="wait for it, or stop it") from None
    except OSError as e:
        if e.errno != errno.ENOLCK:
            raise InputError(f"cannot be written ({e.strerror or e})", where=folder) from e
        log.warning("%s: a second process would not be noticed here (%s)", folder, e.strerror)
    try:
        yield
    finally:
        lock.release()


def _flat(values: dict[str, Any], joint: str = ".", prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= _flat(value, joint, name + joint) if isinstance(value, dict) else {name: value}
    return found
