"""How training looks on a terminal: a bar and a line an epoch; elsewhere the lines alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asr.train.distributed import is_main_process
from asr.train.progress import Monitor, Progress, SilentMonitor, Validation
from asr.utils.units import duration_words

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


@contextmanager
def training_monitor(*, quiet: bool = False) -> Iterator[Monitor]:
    """A monitor that shows training on standard error.

    Args:
        quiet: Show nothing.
    """
    if quiet or not is_main_process():
        yield SilentMonitor()
    elif not sys.stderr.isatty():
        yield TerminalMonitor()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress as Bar, TextColumn

        columns = TextColumn("{task.description}", markup=False), BarColumn()
        with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
            yield TerminalMonitor(bar)


class TerminalMonitor:
    """A line an epoch, and one half a minute within long epochs, or a bar instead of these.

    Args:
        bar: rich's, started.
    """

    def __init__(self, bar: Bar | None = None) -> None:
        self.bar, self.task = bar, None if bar is None else bar.add_task("")
        self.told = time.monotonic()

    def step(self, progress: Progress) -> None:
        p = progress
        line = f"epoch {p.epoch}/{p.epochs}, step {p.epoch_step}/{p.epoch_steps}: {_facts(p)}"
        if self.bar is not None and self.task is not None:
            done = (p.epoch - 1) * p.epoch_steps + p.epoch_step
            self.bar.update(self.task, total=p.epochs * p.epoch_steps, completed=done, description=line)
        elif time.monotonic() - self.told > 30:
            self.note(line)

    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None:
        reference, hypothesis = validation.example
        example = f"; {reference!r} recognised as {hypothesis!r}" if reference or hypothesis else ""
        self.note(
            f"epoch {progress.epoch}/{progress.epochs}: {_facts(progress)}; dev loss {validation.loss:.3f},"
            f" dev {validation.summary}{' (best)' if best else ''}{example}"
        )

    def note(self, text: str) -> None:
        self.told = time.monotonic()
        if self.bar is not None:
            self.bar.console.print(f"asr: {text}", markup=False, highlight=False, soft_wrap=True)
        else:
            print(f"asr: {text}", file=sys.stderr, flush=True)


def _facts(p: Progress) -> str:
    return (
        f"loss {p.loss:.3f}, gradient {p.gradient_norm:.2f}, {p.audio_rate:,.0f} {p.unit}/s,"
        f" {duration_words(p.seconds_left)} left"
    )
