from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wording import wording

from asr.utils.errors import InputError
from data_prep.jsut import prepare

TEXT = "水をマレーシアから買わなくてはならないのです。"


@pytest.fixture
def corpus(tmp_path: Path, record: Callable[..., Path]) -> Path:
    folder = tmp_path / "jsut_ver1.1"
    for subset, count in (("basic5000", 7), ("repeat500", 1)):
        keys = [f"{subset.upper()}_{i:04d}" for i in range(1, count + 1)]
        for key in keys:
            record(folder / subset / "wav" / f"{key}.wav", "みずを", voice="ja", rate=48000)
        transcript = folder / subset / "transcript_utf8.txt"
        transcript.write_text("".join(f"{key}:{TEXT}{key[-1]}\n" for key in keys), encoding="utf-8")
    return folder


def test_the_end_of_basic5000_is_held_out(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    assert prepare(corpus.parent, tmp_path / "out").left_out == []
    splits = prepared(tmp_path / "out")
    assert {split: [key[-1] for key in found] for split, found in splits.items()} == {
        **{"train": ["1", "2", "3"], "dev": ["4", "5"]},
        "test": ["6", "7"],
    }
    assert splits["test"]["BASIC5000_0007"] == (TEXT + "7", "JSUT")
    assert prepare(corpus.parent, tmp_path / "out").already_done
    assert prepare(corpus / "basic5000", tmp_path / "again").utterances == {"train": 3, "dev": 2, "test": 2}


@pytest.mark.parametrize(
    ("first", "complaints"),
    [
        ("BASIC5000_0001", ["{}: is not a line `ID:text`"]),
        ("BASIC5000_0001:", ["{}: {/}BASIC5000_0001.wav: BASIC5000_0001 has no text"]),
        ("", ["{/}BASIC5000_0001.wav: has no line in transcript_utf8.txt"]),
        (
            "BASIC5000_0002:水",
            [
                "{/../}transcript_utf8.txt, line 2: BASIC5000_0002 is there already: {}",
                "{/}BASIC5000_0001.wav: has no line in transcript_utf8.txt",
            ],
        ),
        (
            "BASIC5000_9999:水",
            ["{}: there is no BASIC5000_9999.wav", "{/}BASIC5000_0001.wav: has no line in transcript_utf8.txt"],
        ),
    ],
)
def test_what_cannot_be_used_is_named(first: str, complaints: list[str], corpus: Path, tmp_path: Path) -> None:
    transcript = corpus / "basic5000" / "transcript_utf8.txt"
    lines = transcript.read_text(encoding="utf-8").split("\n")
    transcript.write_text("\n".join([first, *lines[1:]]), encoding="utf-8")
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances == {"train": 2, "dev": 2, "test": 2}
    assert summary.left_out == [
        line.replace("{}", f"{transcript}, line 1")
        .replace("{/}", f"{transcript.parent}/wav/")
        .replace("{/../}", f"{transcript.parent}/")
        for line in complaints
    ]


def test_an_older_transcript_beside_it(corpus: Path, tmp_path: Path) -> None:
    (corpus / "basic5000" / "old-transcript_utf8.txt").write_text("x")
    assert prepare(corpus, tmp_path / "out").utterances == {"train": 3, "dev": 2, "test": 2}


def test_shift_jis_is_named_line_by_line(corpus: Path, tmp_path: Path) -> None:
    transcript = corpus / "basic5000" / "transcript_utf8.txt"
    transcript.write_bytes(transcript.read_text(encoding="utf-8").encode("shift-jis"))
    with pytest.raises(InputError, match=wording("no-utterance-of-train-can")):
        prepare(corpus, tmp_path / "out")


def test_a_recording_that_is_cut_short(corpus: Path, tmp_path: Path) -> None:
    cut = corpus / "basic5000" / "wav" / "BASIC5000_0001.wav"
    cut.write_bytes(cut.read_bytes()[:2000])
    (line,) = prepare(corpus, tmp_path / "out").left_out
    assert line.startswith(f"{corpus}/basic5000/transcript_utf8.txt, line 1: {cut}: is cut short")


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("holds-0-files-basic5000-transcript")):
        prepare(tmp_path, tmp_path / "out")
