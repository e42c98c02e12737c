"""What a result came from: versions, commit, machine, date."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def provenance() -> dict[str, Any]:
    """Facts for a result's file: the command, versions, the commit where the code lies in a git checkout, hardware."""
    return {
        "command": command(),
        "date": now(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: found for name in ("kikitori", "torch", "numpy", "lhotse") if (found := _version(name))},
        "hardware": hardware(),
        "threads": _threads(),
    }


def command() -> str:
    """This process's, as a shell takes it; of a script of this checkout the path within it."""
    program, checkout = Path(sys.argv[0]).resolve(), Path(__file__).resolve().parents[2]
    within = program.suffix == ".py" and program.is_relative_to(checkout)
    return shlex.join([str(program.relative_to(checkout)) if within else program.name, *sys.argv[1:]])


def now() -> str:
    """The date and time, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _threads() -> int | None:
    """How many torch computes with, where it is in use."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def hardware() -> str:
    """Processor, cores this process may use, and GPUs, where torch is in use."""
    torch = sys.modules.get("torch")
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else []
    return ", ".join([f"{name}, {cores} cores", *gpus])


def _commit() -> str | None:
    here = Path(__file__).parents[1]
    try:
        head = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # An installed package may lie in somebody else's checkout: only one that holds this file counts.
    tracked = subprocess.run(["git", "-C", str(here), "ls-files", "__init__.py"], capture_output=True, text=True)
    return head.stdout.strip() or None if head.returncode == 0 and tracked.stdout.strip() else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
