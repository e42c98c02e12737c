"""How training looks on a terminal: live where there is one, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asr.cli.common import is_quiet, say
from asr.train.distributed import is_main_process
from asr.utils.units import duration_words

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from asr.train.progress import Monitor, Progress, Validation


@contextmanager
def training_monitor() -> Iterator[Monitor]:
    """A monitor for `train_recognizer`, live on a terminal."""
    if is_quiet() or not sys.stderr.isatty() or not is_main_process():
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
            say(f"epoch {progress.epoch}/{progress.epochs}, {step}: {_facts(progress)}")

    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None:
        self.said = time.monotonic()
        reference, hypothesis = validation.example
        say(
            f"epoch {progress.epoch}/{progress.epochs}: {_facts(progress)}; dev loss {validation.loss:.3f},"
            f" dev {validation.summary}{' (best)' if best else ''}; {reference!r} heard as {hypothesis!r}"
        )

    def note(self, text: str) -> None:
        say(f"note: {text}")


class LiveMonitor:
    """The last epochs as a table, the current one as a bar, and an utterance with what is heard in it."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []
        self.rates: list[str] = []  # what the dev set is judged by: wer and cer, or per
        self.progress: Progress | None = None
        self.example = ("", "")
        self.refresh: Callable[[], None] = lambda: None
        self.print: Callable[[Text], None] = lambda text: None

    def step(self, progress: Progress) -> None:
        self.progress = progress
        self.refresh()

    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None:
        self.example = validation.example
        self.rates = list(validation.metrics)
        metrics = [f"{100 * rate:.2f}" for rate in validation.metrics.values()]
        mark = "best" if best else ""
        self.rows.append(
            (
                str(progress.epoch),
                f"{progress.loss:.3f}",
                f"{validation.loss:.3f}",
                *metrics,
                f"{progress.audio_rate:.0f}",
                mark,
            )
        )
        self.refresh()

    def note(self, text: str) -> None:
        from rich.text import Text

        self.print(Text(f"note: {text}"))

    def picture(self) -> Group:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold")
        for name in ("epoch", "loss", "dev loss", *(f"{rate.upper()} %" for rate in self.rates), "audio s/s", ""):
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
            parts.append(Text(f"said:  {self.example[0]}\nheard: {self.example[1]}"))
        return Group(*parts)


def _facts(p: Progress) -> str:
    return (
        f"loss {p.loss:.3f}, gradient {p.gradient_norm:.2f}, {p.audio_rate:.0f} audio s/s,"
        f" {duration_words(p.seconds_left)} left"
    )


class TranscriptionProgress:
    """How far transcription is: a line that is rewritten on a terminal, a line every half minute elsewhere."""

    MANY = 200  # files whose lengths are not looked up

    def __init__(self, paths: list[str]) -> None:
        from asr.audio.reader import header_duration

        self.files = len(paths)
        self.lengths = [header_duration(path) for path in paths] if len(paths) <= self.MANY else []
        self.live = not is_quiet() and sys.stderr is not None and sys.stderr.isatty()
        self.began = self.said = time.monotonic()
        self.done, self.before, self.seconds = 0, 0.0, 0.0  # files; seconds of those, and of all
        self.shown = False
        self.first: tuple[float, float] | None = None  # when something was first heard, and its seconds

    def heard(self, number: int, until: float) -> None:
        """Of an input: what is said until a second."""
        self.seconds = self.before + until
        self.first = self.first or (time.monotonic(), self._share())
        self._show()

    def ended(self, number: int, duration: float) -> None:
        """An input, of so many seconds."""
        self.done = number + 1
        self.before += duration
        self.seconds = self.before
        self._show()

    def clear(self) -> None:
        """Makes room for another line."""
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self.shown = False

    def summary(self) -> str:
        """Files, length, speed."""
        took = time.monotonic() - self.began
        files = "1 file" if self.done == 1 else f"{self.done:,} files"
        times = self.seconds / took
        speed = f", {times:.{0 if times >= 10 else 1}f} times as fast as it was said" if self.seconds > 1 else ""
        return f"{files}, {duration_words(self.seconds)} of audio in {duration_words(took)}{speed}"

    def _show(self) -> None:
        now = time.monotonic()
        if is_quiet() or now - self.said < (0.2 if self.live else 30):
            return
        self.said = now
        line = f"{self.done} of {self.files} files, " if self.files > 1 else ""
        line += f"{duration_words(self.seconds)} heard"
        if (share := self._share()) > 0:
            line += f", {100 * share:.0f} %"
            # What comes before the first text, such as compiling, tells nothing of the speed.
            if self.first and share > self.first[1]:
                left = (now - self.first[0]) * (1 - share) / (share - self.first[1])
                line += f", {duration_words(left)} left"
        if self.live:
            print(f"\r{line}\033[K", end="", file=sys.stderr, flush=True)
            self.shown = True
        else:
            say(f"asr: {line}")

    def _share(self) -> float:
        """Of the work that is done; 0 where that is not known."""
        known = [length for length in self.lengths if length is not None]
        if self.lengths and len(known) == len(self.lengths):
            return min(self.seconds / max(sum(known), 1e-9), 1.0)
        return self.done / self.files if self.files > 1 else 0.0
