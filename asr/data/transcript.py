"""What recognition gives: plain data, no torch. Times are seconds from the file's start."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Word:
    """A word as it was heard.

    `confidence` is 0-1: in beam search the word's posterior at its place, in greedy search the least of its tokens.
    """

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
    """One reading of an utterance. Scores are natural logarithms, weighted: `score` is the sum of the others."""

    text: str
    words: tuple[Word, ...] = ()
    score: float = 0.0
    acoustic_score: float = 0.0  # greedy: of its best path; beam search: of all its paths
    lm_score: float = 0.0
    word_score: float = 0.0
    hotword_score: float = 0.0
    tokens: tuple[Word, ...] = ()  # each with its frames, and the greatest of its posteriors there

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the text and its scores (null where nothing could be said)."""
        names = ("score", "acoustic_score", "lm_score", "word_score", "hotword_score")
        scores = {name: getattr(self, name) for name in names}
        return {"text": self.text, **{k: round(v, 4) if math.isfinite(v) else None for k, v in scores.items()}}


PAUSE = 0.6  # seconds between words that part two segments, and two cues


@dataclass(frozen=True)
class Segment:
    """A stretch of speech between two pauses."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    nbest: tuple[Hypothesis, ...] = ()  # the best one and others, where more than one was asked for

    @property
    def confidence(self) -> float:
        """The mean of its words', 0-1; 0 where there are none."""
        return math.fsum(word.confidence for word in self.words) / len(self.words) if self.words else 0.0


@dataclass(frozen=True)
class Transcript:
    """A transcribed file."""

    audio: str  # the file's name as it was given
    segments: tuple[Segment, ...] = ()
    duration: float = 0.0  # seconds
    model: str = ""
    language: str = ""
    spaces: bool = True  # whether spaces part words
    partial: bool = False  # whether it is of the audio's beginning alone: the rest could not be had
    channel: int | None = None  # of a recording with several, from 0; None where they were mixed

    @property
    def text(self) -> str:
        """All that was said, on one line."""
        return self.joined(segment.text for segment in self.segments)

    @property
    def words(self) -> tuple[Word, ...]:
        """Those of all segments."""
        return tuple(word for segment in self.segments for word in segment.words)

    def joined(self, texts: Iterable[str]) -> str:
        """Texts as the language joins them."""
        return (" " if self.spaces else "").join(filter(None, texts))
