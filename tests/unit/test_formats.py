from __future__ import annotations

import json

import pytest

from asr.formats import FORMATS, to_json, to_txt
from asr.transcript import Transcript, Word

TRANSCRIPT = Transcript(
    audio="a/b c.wav",
    text="mɔ\u0301 が",
    words=(Word("mɔ\u0301", 0.12345, 0.5, 0.987654), Word("が", 0.5, 1 / 3 + 1, 1.0)),
    duration=2.00049,
    model="mboshi",
)


def test_txt_is_the_text_on_one_line() -> None:
    assert to_txt(TRANSCRIPT) == "mɔ\u0301 が\n"
    assert to_txt(Transcript("a.wav", "")) == "\n"


def test_json_is_one_line_with_everything() -> None:
    line = to_json(TRANSCRIPT)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert "が" in line  # as it is, not escaped
    assert json.loads(line) == {
        "audio": "a/b c.wav",
        "text": "mɔ\u0301 が",
        "words": [
            {"text": "mɔ\u0301", "start": 0.123, "end": 0.5, "confidence": 0.9877},
            {"text": "が", "start": 0.5, "end": 1.333, "confidence": 1.0},
        ],
        "duration": 2.0,
        "model": "mboshi",
    }


def test_json_of_an_awkward_text() -> None:
    text = 'a "b" \\ c\nd\u2028e'
    line = to_json(Transcript("x.wav", text))
    assert line.count("\n") == 1
    assert json.loads(line)["text"] == text
    assert json.loads(line)["words"] == []


def test_json_never_holds_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_json(Transcript("x.wav", "a", (Word("a", 0.0, 1.0, float("nan")),)))


def test_formats_by_name() -> None:
    assert sorted(FORMATS) == ["json", "txt"]
    assert FORMATS["txt"](TRANSCRIPT) == to_txt(TRANSCRIPT)
    assert FORMATS["json"](TRANSCRIPT) == to_json(TRANSCRIPT)
