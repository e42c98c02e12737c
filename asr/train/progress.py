"""What training tells while it goes on, and whom it tells. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

HARDLY_ANY_RIGHT = 0.9  # a word error rate


@dataclass(frozen=True)
class Progress:
    """Where training is, after a step."""

    epoch: int  # from 1
    epochs: int
    epoch_step: int  # from 1, within the epoch
    epoch_steps: int
    step: int  # from 1, since the start
    loss: float  # nats a token, smoothed
    learning_rate: float
    gradient_norm: float  # before clipping
    audio_rate: float  # what was learnt a second, in `unit`
    seconds_left: float
    clipped: float = 0.0  # share of the epoch's steps whose gradient was cut
    padding: float = 0.0  # share of the epoch's batches that is padding
    waiting: float = 0.0  # share of the time in which no batch was ready
    unit: str = "audio s"

    def facts(self) -> dict[str, float]:
        """What the log holds of it."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            "clipped": round(self.clipped, 4),
            "padding": round(self.padding, 4),
            "waiting": round(self.waiting, 4),
            "audio_rate": round(self.audio_rate, 1),
        }


@dataclass(frozen=True)
class Validation:
    """How good a model is on the dev set. The smaller its rank, the better."""

    error: float  # what counts: WER, CER for languages without words, PER; perplexity of a language model
    loss: float  # nats a token
    summary: str  # "WER 3.21 %, CER 1.02 %"
    metrics: dict[str, float] = field(default_factory=dict)
    example: tuple[str, str] = ("", "")  # a reference and its hypothesis
    only_blanks: bool = False  # nothing was heard in any utterance
    note: str = ""  # what is worth knowing if it is so after the first epoch
    characters: float | None = None  # the share of them that is wrong, where words are what counts

    @property
    def rank(self) -> tuple[float, float, float]:
        """By error, then by loss; by characters where hardly a word is right: which one is chance, and an empty text
        has no more than 100 %."""
        if self.characters is not None and self.error >= HARDLY_ANY_RIGHT:
            return HARDLY_ANY_RIGHT, self.characters, self.loss
        return self.error, 0.0, self.loss


class Monitor(Protocol):
    """Is told how training goes."""

    def step(self, progress: Progress) -> None: ...
    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None: ...
    def note(self, text: str) -> None: ...


class SilentMonitor:
    """Tells nobody: for all processes of a run but one."""

    def step(self, progress: Progress) -> None: ...
    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None: ...
    def note(self, text: str) -> None: ...
