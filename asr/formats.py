"""A Transcript as txt or json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from asr.transcript import Transcript


def to_txt(transcript: Transcript) -> str:
    """The text alone, one line."""
    return transcript.text + "\n"


def to_json(transcript: Transcript) -> str:
    """One line of JSON: audio, text, words (text, start, end, confidence), duration, model."""
    values = dataclasses.asdict(transcript)
    for word in values["words"]:
        word.update(start=round(word["start"], 3), end=round(word["end"], 3), confidence=round(word["confidence"], 4))
    values["duration"] = round(values["duration"], 3)
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Transcript], str]] = {"txt": to_txt, "json": to_json}
