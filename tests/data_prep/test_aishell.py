from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lhotse.recipes import prepare_aishell
from wording import wording

from asr.utils.errors import InputError
from asr.utils.files import UTF8
from data_prep.aishell import prepare

KEYS = {
    "train": ["BAC009S0002W0122", "BAC009S0002W0123", "BAC009S0003W0121"],
    "dev": ["BAC009S0724W0121"],
    "test": ["BAC009S0764W0121"],
}
TEXT = "而 对 楼市 成交 ｋtv"


@pytest.fixture
def corpus(tmp_path: Path, record: Callable[..., Path]) -> Path:
    folder = tmp_path / "aishell" / "data_aishell"
    (folder / "transcript").mkdir(parents=True)
    (folder / "wav").mkdir()
    (folder / "wav" / "S0002.tar.gz").write_bytes(b"unpacked already")
    for split, keys in KEYS.items():
        for key in keys:
            record(folder / "wav" / split / key[6:11] / f"{key}.wav", "而 对 楼市", voice="cmn")
    lines = [f"{key} {TEXT}\n" for key in sorted(key for keys in KEYS.values() for key in keys)]
    (folder / "transcript" / "aishell_transcript_v0.8.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def test_the_publishers_splits_and_texts(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    assert prepare(corpus.parent, tmp_path / "out").left_out == []
    splits = prepared(tmp_path / "out")
    assert splits == {split: {key: (TEXT, key[6:11]) for key in keys} for split, keys in KEYS.items()}
    assert prepare(corpus.parent, tmp_path / "out").already_done
    theirs = prepare_aishell(corpus.parent)  # their texts are changed
    assert {split: {s.id: s.speaker for s in theirs[split]["supervisions"]} for split in KEYS} == {
        split: {key: speaker for key, (_, speaker) in found.items()} for split, found in splits.items()
    }


@pytest.mark.parametrize(
    ("second", "complaints"),
    [
        (b"BAC009S0002W0123", ["{}: {/}BAC009S0002W0123.wav: BAC009S0002W0123 has no text"]),
        (b"", ["{/}BAC009S0002W0123.wav: has no line in aishell_transcript_v0.8.txt"]),
        (
            "BAC009S0009W0001 对".encode(),
            [
                "{}: there is no BAC009S0009W0001.wav",
                "{/}BAC009S0002W0123.wav: has no line in aishell_transcript_v0.8.txt",
            ],
        ),
        (
            "BAC009S0002W0123 对".encode("gbk"),
            ["{}: the text of BAC009S0002W0123 is not UTF-8; " + UTF8],
        ),
    ],
)
def test_what_cannot_be_used_is_named(second: bytes, complaints: list[str], corpus: Path, tmp_path: Path) -> None:
    transcript = corpus / "transcript" / "aishell_transcript_v0.8.txt"
    lines = transcript.read_bytes().split(b"\n")
    lines[1] = second
    transcript.write_bytes(b"\n".join(lines))
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances == {"train": 2, "dev": 1, "test": 1}
    assert sorted(summary.left_out) == sorted(
        line.replace("{}", f"{transcript}, line 2").replace("{/}", f"{corpus}/wav/train/S0002/") for line in complaints
    )


def test_recordings_that_are_cut_short_or_there_twice(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    cut = corpus / "wav" / "train" / "S0002" / "BAC009S0002W0122.wav"
    cut.write_bytes(cut.read_bytes()[:2000])
    again = corpus / "wav" / "test" / "S0003" / "BAC009S0003W0121.wav"
    again.parent.mkdir()
    again.write_bytes((corpus / "wav" / "dev" / "S0724" / "BAC009S0724W0121.wav").read_bytes())
    first, second = prepare(corpus, tmp_path / "out").left_out
    assert first == f"{corpus}/wav/train/S0003/BAC009S0003W0121.wav: BAC009S0003W0121 is there already: {again}"
    assert {split: list(found) for split, found in prepared(tmp_path / "out").items()} == {
        **{"train": ["BAC009S0002W0123"], "dev": KEYS["dev"]},
        "test": ["BAC009S0003W0121", "BAC009S0764W0121"],
    }
    assert second.startswith(f"{corpus}/transcript/aishell_transcript_v0.8.txt, line 1: {cut}: is cut short")


def test_an_older_transcript_beside_it(corpus: Path, tmp_path: Path) -> None:
    transcript = corpus / "transcript" / "aishell_transcript_v0.8.txt"
    transcript.with_name(f"old-{transcript.name}").write_text("BAC009S0002W0122 X\n")
    assert prepare(corpus, tmp_path / "out").utterances == {"train": 3, "dev": 1, "test": 1}


def test_another_folder(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=wording("holds-0-files-aishell-transcript")):
        prepare(tmp_path / "empty", tmp_path / "out")
    for path in corpus.rglob("*.wav"):
        path.unlink()
    with pytest.raises(InputError, match=wording("wav-holds-no-recording-unpack")):
        prepare(corpus, tmp_path / "out")
