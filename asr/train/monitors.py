"""How training looks on a terminal: live where there is one, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asr.train.distributed import is_main_process
from asr.train.progress import Monitor, Progress, SilentMonitor, Validation
from asr.utils.units import duration_words

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text


@contextmanager
def training_monitor(*, quiet: bool = False) -> Iterator[Monitor]:
    """A monitor that shows training on standard error: live on a terminal, else a line an epoch.

    Args:
        quiet: Show nothing.
    """
    if quiet or not is_main_process():
        yield SilentMonitor()
        return
    if not sys.stderr.isatty():
        yield PlainMonitor()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4, redirect_stdout=False) as live:
        monitor = LiveMonitor()
        monitor.refresh = lambda: live.update(monitor.picture())
        monitor.print = live.console.print
        yield monitor


class PlainMonitor:
    """A line an epoch, and one half a minute within long epochs."""

    def __init__(self) -> None:
        self.said = time.monotonic()

    def step(self, progress: Progress) -> None:
        if time.monotonic() - self.said > 30:
            self.said = time.monotonic()
            step = f"step {progress.epoch_step}/{progress.epoch_steps}"
            self.note(f"epoch {progress.epoch}/{progress.epochs}, {step}: {_facts(progress)}")

    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None:
        self.said = time.monotonic()
        reference, hypothesis = validation.example
        example = f"; {reference!r} recognised as {hypothesis!r}" if reference or hypothesis else ""
        self.note(
            f"epoch {progress.epoch}/{progress.epochs}: {_facts(progress)}; dev loss {validation.loss:.3f},"
            f" dev {validation.summary}{' (best)' if best else ''}{example}"
        )

    def note(self, text: str) -> None:
        print(f"asr: {text}", file=sys.stderr, flush=True)


class LiveMonitor:
    """The last epochs as a table, the current one as a bar, and an utterance with what is heard in it."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []
        self.progress: Progress | None = None
        self.example = ("", "")
        self.refresh: Callable[[], None] = lambda: None
        self.print: Callable[[Text], None] = lambda text: None

    def step(self, progress: Progress) -> None:
        self.progress = progress
        self.refresh()

    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None:
        self.example = validation.example
        losses = f"{progress.loss:.3f}", f"{validation.loss:.3f}"
        speed = f"{progress.audio_rate:,.0f}"
        self.rows.append((str(progress.epoch), *losses, validation.summary, speed, "best" if best else ""))
        self.refresh()

    def note(self, text: str) -> None:
        from rich.text import Text

        self.print(Text(text))

    def picture(self) -> Group:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold")
        unit = f"{self.progress.unit}/s" if self.progress else ""
        for name in ("epoch", "loss", "dev loss", "dev", unit, ""):
            table.add_column(name, justify="right")
        for row in self.rows[-12:]:
            table.add_row(*row)
        parts: list[Table | Text] = [table]
        if self.progress is not None:
            p = self.progress
            parts.append(Text(f"epoch {p.epoch}/{p.epochs}, step {p.epoch_step}/{p.epoch_steps}: {_facts(p)}"))
            bar = Table.grid()  # a bar alone would not end its line
            done = (p.epoch - 1) * p.epoch_steps + p.epoch_step
            bar.add_row(ProgressBar(total=p.epochs * p.epoch_steps, completed=done, width=60))
            parts.append(bar)
        if any(self.example):
            parts.append(Text(f"reference:  {self.example[0]}\nhypothesis: {self.example[1]}"))
        return Group(*parts)


def _facts(p: Progress) -> str:
    return (
        f"loss {p.loss:.3f}, gradient {p.gradient_norm:.2f}, {p.audio_rate:,.0f} {p.unit}/s,"
        f" {duration_words(p.seconds_left)} left"
    )
