"""What recognition gives: plain data, no torch. Times are seconds from the file's start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Word:
    """A word as it was heard. `confidence` is 0-1: the least posterior of its tokens."""

    text: str
    start: float
    end: float
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: milliseconds are enough."""
        return {
            "text": self.text,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "confidence": round(self.confidence, 4),
        }


@dataclass(frozen=True)
class Hypothesis:
    """One reading of an utterance: its text, its words, and the log-probability of its best path."""

    text: str
    words: tuple[Word, ...] = ()
    score: float = 0.0


@dataclass(frozen=True)
class Transcript:
    """A transcribed file."""

    audio: str  # the file's name as it was given
    text: str
    words: tuple[Word, ...] = field(default=())
    duration: float = 0.0  # seconds
    model: str = ""
