from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from helpers import speechlike

from asr.data.check import check_data
from asr.data.cuts import Utterance, read_cuts
from asr.data.names import is_no_name, names_that_look_the_same
from asr.models.config import ModelConfig


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["Maria", "maria", "Mario"], [("Maria", "maria")]),
        (["Mаria", "Maria"], [("Maria", "Mаria")]),  # with a Cyrillic а
        (["José", "Jose\u0301", "José\u200b"], []),  # one name
        (["Ana Lu", "ana\u00a0lu"], [("Ana Lu", "ana lu")]),
        (["Ștefan", "Ştefan"], [("Ştefan", "Ștefan")]),
        (["s1", "s2", ""], []),
        (["Ana B", "Ana_B", "Ana-B"], [("Ana B", "Ana-B"), ("Ana B", "Ana_B")]),
        (["1", "01", "1.0", "１", "10", "2"], [("01", "1"), ("01", "1.0"), ("01", "１")]),
        (["s1-1", "s11", "s1", "s01"], [("s01", "s1")]),
    ],
)
def test_names_that_look_the_same(names: list[str], pairs: list[tuple[str, str]]) -> None:
    assert names_that_look_the_same(names) == pairs


@pytest.mark.parametrize(
    ("name", "none"),
    [("nan", True), ("N/A", True), ("-", True), ("??", True), ("Nat", False), ("", False), ("X-", False)],
)
def test_names_that_are_none(name: str, none: bool) -> None:
    assert is_no_name(name) == none


def test_speakers_of_both_sides_whatever_their_spelling(tmp_path: Path) -> None:
    def spoken(name: str, *speakers: str) -> list[Utterance]:
        got = []
        for i, speaker in enumerate(speakers):
            soundfile.write(tmp_path / f"{name}{i}.wav", speechlike(1.0, 16000, seed=len(name) + 10 * i), 16000)
            got.append(Utterance(f"{name}{i}", str(tmp_path / f"{name}{i}.wav"), "seven zebras", 1.0, speaker=speaker))
        return got

    splits = {"train": spoken("train", "José", "Maria", "Bo"), "dev": spoken("dev", "Jose\u0301", "maria", "Cy")}
    examples = {each.kind: [e.name for e in each.examples] for each in check_data(splits, ModelConfig()).findings}
    assert examples["shared-speakers"] == ["José"]
    assert examples["similar-speakers"] == ["Maria"]


def test_speakers_of_a_manifest_have_plain_names(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speechlike(1.0, 8000), 8000)
    recording = {
        "id": "a",
        "sources": [{"type": "file", "channels": [0], "source": str(tmp_path / "a.wav")}],
        **{"sampling_rate": 8000, "num_samples": 8000, "duration": 1.0, "channel_ids": [0]},
    }
    times = {"start": 0.0, "duration": 1.0, "channel": 0}
    speech = {"id": "a", "recording_id": "a", **times, "text": "x", "speaker": "Jose\u0301\u00a0 B"}
    cut = {"id": "a", **times, "supervisions": [speech], "recording": recording, "type": "MonoCut"}
    (tmp_path / "cuts.jsonl").write_text(json.dumps(cut))
    assert [u.speaker for u in read_cuts(tmp_path / "cuts.jsonl")] == ["José B"]
