"""What several verbs need."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def ready_torch() -> None:
    """Sets the process up for torch; to be called before anything imports it.

    Denormal numbers are flushed before worker threads exist (they inherit it). Idle threads spin only briefly before
    they sleep: endless spinning slows two processes on one machine down, sleeping at once halves the speed of one.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    import torch

    torch.set_flush_denormal(True)


def is_quiet() -> bool:
    """Whether --quiet was given."""
    return not logging.getLogger("asr").isEnabledFor(logging.INFO)


def say(line: str = "") -> None:
    """A line for the person at the terminal, on standard error."""
    if not is_quiet():
        print(line, file=sys.stderr, flush=True)


def counter(what: str) -> Callable[[int, int | None], None]:
    """A progress callback (done, in all) that rewrites one line of a terminal, and is silent elsewhere."""
    if is_quiet() or not sys.stderr.isatty():
        return lambda done, total: None

    def show(done: int, total: int | None) -> None:
        end = "\n" if done == total else ""
        print(
            f"\r{what}: {done:,}" + (f" of {total:,}" if total else "") + "\033[K", end=end, file=sys.stderr, flush=True
        )

    return show


def corpora() -> list[str]:
    """The corpora that `asr prepare` knows: the modules of data_prep, but for the shared one."""
    import data_prep

    return sorted(
        p.stem for p in Path(data_prep.__file__).parent.glob("*.py") if p.stem not in ("__init__", "manifest")
    )
