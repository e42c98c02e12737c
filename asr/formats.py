"""A Transcript as txt or json."""

from __future__ import annotations

import json
from collections.abc import Callable

from asr.transcript import Transcript


def to_txt(transcript: Transcript) -> str:
    """The text alone, one line."""
    return transcript.text + "\n"


def to_json(transcript: Transcript) -> str:
    """One line of JSON: audio, text, words (text, start, end, confidence), duration, model, nbest where asked for."""
    values = {
        "audio": transcript.audio,
        "text": transcript.text,
        "words": [word.as_dict() for word in transcript.words],
        "duration": round(transcript.duration, 3),
        "model": transcript.model,
        **({"nbest": [each.as_dict() for each in transcript.nbest]} if transcript.nbest else {}),
    }
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Transcript], str]] = {"txt": to_txt, "json": to_json}
