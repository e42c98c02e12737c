"""Kikitori: speech recognition that people train themselves.

import asr

recognizer = asr.load("digits-en")
print(recognizer.transcribe("seven.wav").text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from asr.audio.reader import AudioSource
    from asr.data.transcript import Transcript
    from asr.inference.transcriber import Transcriber

__version__ = "0.1.0"
__all__ = ["load", "transcribe"]


def load(model: str | Path, **decoding: Any) -> Transcriber:
    """A recogniser from a model folder, or by the name of one that comes with the package.

    Args:
        decoding: How to search: greedy, lm, lexicon, hotwords, and the fields of asr.decode.ctc_beam.DecodingOptions.
    """
    from asr.inference.transcriber import Transcriber

    return Transcriber.load(model, **decoding)


def transcribe(audio: AudioSource, model: str | Path, **decoding: Any) -> Transcript:
    """Transcribes one file; to transcribe several, `load` the model once."""
    return load(model, **decoding).transcribe(audio)
