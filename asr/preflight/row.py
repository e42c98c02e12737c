"""An utterance as the checks see it."""

from __future__ import annotations

from dataclasses import dataclass

from asr.data import Utterance
from asr.errors import InputError
from asr.preflight.audio_facts import AudioFacts
from asr.preflight.report import Example


@dataclass(frozen=True)
class Row:
    """An utterance and what is known of it."""

    split: str
    utterance: Utterance
    text: str  # normalised
    length: int  # perceived characters of `text`
    audio: AudioFacts | InputError | None = None

    def example(self, detail: str = "") -> Example:
        return Example(self.utterance.id, detail)

    @property
    def shown(self) -> str:
        """Its text, not too long."""
        text = " ".join(self.utterance.text.split())
        return f"'{text[:47]}...'" if len(text) > 50 else f"'{text}'"
