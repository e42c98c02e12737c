"""How far transcription is, on a terminal."""

from __future__ import annotations

import sys
import time

from asr.cli.common import is_quiet, say
from asr.utils.units import duration_words


class TranscriptionProgress:
    """How far transcription is: a line that is rewritten on a terminal, a line every half minute elsewhere."""

    MANY = 200  # files whose lengths are not looked up

    def __init__(self, paths: list[str], what: str = "file") -> None:
        from asr.audio.reader import header_duration

        self.files, self.what = len(paths), what
        self.lengths = [header_duration(path) for path in paths] if len(paths) <= self.MANY else []
        self.live = not is_quiet() and sys.stderr is not None and sys.stderr.isatty()
        self.began = self.said = time.monotonic()
        self.done, self.before, self.seconds = 0, 0.0, 0.0  # files; seconds of those, and of all
        self.shown = False
        self.first: tuple[float, float] | None = None  # when something was first heard, and its seconds

    def heard(self, number: int, until: float) -> None:
        """Notes that an input has been transcribed up to a second."""
        self.seconds = self.before + until
        self.first = self.first or (time.monotonic(), self._share())
        self._show()

    def ended(self, number: int, duration: float) -> None:
        """Notes that an input of so many seconds is done."""
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
        files = f"1 {self.what}" if self.done == 1 else f"{self.done:,} {self.what}s"
        times = self.seconds / took
        speed = f", {times:.{0 if times >= 10 else 1}f} times as fast as it was said" if self.seconds > 1 else ""
        return f"{files}, {duration_words(self.seconds)} of audio in {duration_words(took)}{speed}"

    def _show(self) -> None:
        now = time.monotonic()
        if is_quiet() or now - self.said < (0.2 if self.live else 30):
            return
        self.said = now
        line = f"{self.done} of {self.files} {self.what}s, " if self.files > 1 else ""
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
        """Returns the share of the work that is done; 0 where it is not known."""
        known = [length for length in self.lengths if length is not None]
        if self.lengths and len(known) == len(self.lengths):
            return min(self.seconds / max(sum(known), 1e-9), 1.0)
        return self.done / self.files if self.files > 1 else 0.0
