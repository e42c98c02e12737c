"""Corpora on real speech: as many utterances as the publisher has, none left out, and what Lhotse's recipes find."""

from __future__ import annotations

from pathlib import Path

import pytest
from lhotse.recipes import prepare_librispeech, prepare_ljspeech

from asr.data.cuts import Utterance, read_cuts
from asr.utils.files import data_home
from data_prep import librispeech as librispeech_corpus, ljspeech as ljspeech_corpus, mboshi as mboshi_corpus

SPLITS = ("train", "dev", "test")


def utterances(out: Path) -> dict[str, list[Utterance]]:
    return {split: list(read_cuts(out / f"cuts_{split}.jsonl.gz")) for split in SPLITS}


def test_librispeech(librispeech: Path, tmp_path: Path) -> None:
    summary = librispeech_corpus.prepare(librispeech, tmp_path / "out")
    assert summary.utterances == {"train": 1043, "dev": 124, "test": 180}
    assert summary.left_out == []
    assert [round(seconds / 3600, 2) for seconds in summary.seconds.values()] == [3.66, 0.39, 0.63]
    splits = utterances(tmp_path / "out")
    assert {u.speaker for u in splits["dev"]} == {"118", "5789"}
    assert {u.speaker for u in splits["test"]} == {"1867", "1970", "3664", "7859"}
    assert len({u.speaker for u in splits["train"]}) == 18
    parts = {"train": "train-clean-5", "dev": "dev-heldout", "test": "test-heldout"}
    theirs = prepare_librispeech(next(librispeech.rglob("train-clean-5")).parent, dataset_parts=list(parts.values()))
    for split, part in parts.items():
        expected = {s.id: (s.text, s.speaker, s.duration) for s in theirs[part]["supervisions"]}
        assert {u.id: (u.text, u.speaker, pytest.approx(u.duration, abs=1e-3)) for u in splits[split]} == expected


def test_a_part_by_itself_is_split_by_speaker(librispeech: Path, tmp_path: Path) -> None:
    summary = librispeech_corpus.prepare(next(librispeech.rglob("test-heldout")), tmp_path / "test")
    assert summary.utterances == {"test": 180}
    librispeech_corpus.prepare(next(librispeech.rglob("train-clean-5")), tmp_path / "out")
    splits = utterances(tmp_path / "out")
    voices = [{u.speaker for u in found} for found in splits.values()]
    assert sum(map(len, voices)) == len(set().union(*voices)) == 18
    assert sum(map(len, splits.values())) == 1043
    assert all(0.05 < len(splits[split]) / 1043 < 0.15 for split in ("dev", "test"))


def test_ljspeech(tmp_path: Path) -> None:
    folder = data_home() / "ljspeech-part"
    if not folder.is_dir():
        pytest.skip(f"no real speech at {folder}: put chapters LJ001-LJ004 of LJ Speech there, or set ASR_DATA")
    summary = ljspeech_corpus.prepare(folder, tmp_path / "out")
    assert summary.utterances == {"train": 916, "dev": 100, "test": 100}
    assert summary.left_out == []
    splits = utterances(tmp_path / "out")
    ends = {split: (splits[split][0].id, splits[split][-1].id) for split in ("dev", "test")}
    assert ends == {"dev": ("LJ004-0048", "LJ004-0150"), "test": ("LJ004-0151", "LJ004-0250")}  # three are not there
    found = prepare_ljspeech(next(folder.rglob("metadata.csv")).parent)["supervisions"]
    expected = {s.id: (s.custom["normalized_text"], s.duration) for s in found}
    ours = {u.id: (u.text, pytest.approx(u.duration, abs=1e-3)) for group in splits.values() for u in group}
    assert ours == expected
    (shown,) = [u.text for u in splits["test"] if u.id == "LJ004-0249"]
    assert shown == "As the Prison Discipline Society pertinently observed in a report dated eighteen twenty,"


def test_mboshi(mboshi: Path, tmp_path: Path) -> None:
    summary = mboshi_corpus.prepare(mboshi, tmp_path / "out")
    assert summary.utterances == {"train": 4416, "dev": 200, "test": 514}
    assert summary.left_out == []
    assert [round(seconds) for seconds in summary.seconds.values()] == [13838, 643, 1586]
    splits = utterances(tmp_path / "out")
    assert all(len({u.speaker for u in found}) == 3 for found in splits.values())
    for split, folder in (("train", "train"), ("dev", "train"), ("test", "dev")):
        for utterance in splits[split][::50]:
            audio = Path(utterance.audio)
            assert (audio.parent.name, audio.stem) == (folder, utterance.id)
            assert audio.with_suffix(".mb.cleaned").read_text(encoding="utf-8").strip() == utterance.text
