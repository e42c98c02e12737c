"""`asr check` on real speech: no warning on LibriSpeech, what is true elsewhere, planted faults among thousands."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asr.audio.reader import read_audio
from asr.data.check import Report, check_data, read_splits
from asr.data.cuts import Utterance
from asr.models.config import ModelConfig
from data_prep import fsdd as fsdd_corpus, yesno as yesno_corpus
from data_prep._manifest import (
    Source,
    write_corpus,
)

Splits = dict[str, list[Utterance]]


@pytest.fixture(scope="module")
def libri(librispeech: Path, tmp_path_factory: pytest.TempPathFactory) -> Splits:
    def sources(part: str) -> list[Source]:
        found = []
        for listing in sorted(librispeech.rglob(f"{part}/**/*.trans.txt")):
            for line in listing.read_text().splitlines():
                key, _, text = line.partition(" ")
                found.append(Source(key, listing.parent / f"{key}.flac", text, speaker=key.split("-")[0]))
        return found

    folder = tmp_path_factory.mktemp("libri") / "data"
    parts = {"train": "train-clean-5", "dev": "dev-heldout", "test": "test-heldout"}
    write_corpus(folder, {split: sources(part) for split, part in parts.items()}, {})
    return read_splits(folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audio is read once for all tests here."""
    return tmp_path_factory.mktemp("cache") / "facts.jsonl"


def kinds(report: Report) -> dict[str, set[str]]:
    return {finding.kind: {example.name for example in finding.examples} for finding in report.findings}


# Apostrophes behind words, of possessives, are told: elsewhere they are letters.
POSSESSIVES = {"dropped-at-edges": {repr("'")}, "dropped-characters": {repr("'")}}


def test_librispeech_has_no_warning(libri: Splits, cache: Path) -> None:
    report = check_data(libri, ModelConfig(), batch_seconds=100, cache=cache)
    assert kinds(report) == POSSESSIVES
    assert {finding.severity for finding in report.findings} == {"note"}
    assert report.splits["train"].utterances == 1043
    assert report.splits["train"].seconds / 3600 == pytest.approx(3.66, abs=0.01)
    started = time.monotonic()
    check_data(libri, ModelConfig(), batch_seconds=100, cache=cache)
    assert time.monotonic() - started < 10


def two_speakers(x: np.ndarray) -> np.ndarray:
    """The left speaks while the right is silent, and the other way round, each second."""
    left = np.arange(len(x)) // 16000 % 2 == 0
    noise = 3e-4 * np.random.default_rng(0).standard_normal((len(x), 2))
    return np.stack([x * left, x[::-1] * ~left], axis=1) + noise


# What is planted -> the audio made from the utterance's own (N,), and its rate.
AUDIO: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "silent": (np.zeros_like, 16000),
    "clipped": (lambda x: np.clip(x * 8 / np.abs(x).max(), -1, 1), 16000),
    "low-level": (lambda x: x * 0.01, 16000),
    "digital-silence": (lambda x: x * (np.arange(len(x)) < 0.4 * len(x)), 16000),
    "offset": (lambda x: 0.5 * x + 0.1, 16000),
    "narrow-band": (lambda x: soxr.resample(soxr.resample(x, 16000, 8000), 8000, 16000), 16000),
    "low-rate": (lambda x: soxr.resample(x, 16000, 8000), 8000),
    "mono-in-stereo": (lambda x: np.stack([x, x], axis=1), 16000),
    "silent-channel": (lambda x: np.stack([x, np.zeros_like(x)], axis=1), 16000),
    "opposite-channels": (lambda x: np.stack([x, -0.5 * x], axis=1), 16000),
    "different-channels": (two_speakers, 16000),
}


def test_faults_planted_in_librispeech(libri: Splits, cache: Path, tmp_path: Path) -> None:
    """All at once, each in two utterances of its own: found where they are, and nowhere else."""
    train, dev, test = (list(libri[split]) for split in ("train", "dev", "test"))
    expected: dict[str, set[str]] = {}
    at = iter(range(0, 1000, 13))

    def plant(kind: str, change: Callable[[Utterance], Utterance]) -> None:
        for _ in range(2):
            i = next(at)
            train[i] = change(train[i])
            expected.setdefault(kind, set()).add(train[i].id)

    for kind, (make, rate) in AUDIO.items():

        def made(u: Utterance, kind: str = kind, make: Callable = make, rate: int = rate) -> Utterance:
            path = tmp_path / f"{u.id}-{kind}.wav"
            soundfile.write(path, make(read_audio(u.audio, 16000)), rate)
            return replace(u, audio=str(path), duration=soundfile.info(path).duration)

        plant(kind, made)

    def cut(u: Utterance) -> Utterance:
        path = tmp_path / f"{u.id}.flac"
        path.write_bytes(Path(u.audio).read_bytes()[: Path(u.audio).stat().st_size // 2])
        return replace(u, audio=str(path))

    plant("unreadable", cut)
    plant("unreadable", lambda u: replace(u, audio=str(tmp_path / f"{u.id}-gone.flac")))
    plant("unreadable", lambda u: replace(u, duration=u.duration + 2))
    plant("empty-text", lambda u: replace(u, text=" - "))
    plant("text-too-short", lambda u: replace(u, text="NO"))
    plant("text-too-long", lambda u: replace(u, text=f"{u.text} {u.text[::-1]}"))
    plant("two-spellings", lambda u: replace(u, text=f"{u.text} CAFE\u0301"))
    for _ in range(5):
        i = next(at)
        train[i] = replace(train[i], text=f"{train[i].text} CAFÉ")
    for character, kind in (
        ("\ufffd", "broken-characters"),
        ("\u200b", "invisible-characters"),
        ("Ñ", "rare-characters"),
    ):
        i = next(at)
        train[i] = replace(train[i], text=f"{train[i].text} A{character}A")
        expected[kind] = {character.lower()}
    i = next(at)
    train[i] = replace(train[i], text=train[i].text.replace("A", "А"))  # Cyrillic
    expected["mixed-scripts"] = {"а"}
    i = next(at)
    train[i] = replace(train[i], text=f"{train[i].text} DON’T")
    expected["marks-made-one"] = {f"wrote '’' as {chr(39)!r}"}
    expected |= {**POSSESSIVES, "dropped-characters": {repr("'"), repr("-")}}

    dev[3] = replace(dev[3], speaker=train[0].speaker)
    expected["shared-speakers"] = {train[0].speaker}
    dev[4] = replace(dev[4], audio=train[5].audio, duration=train[5].duration, text=train[5].text)
    expected["leaked-audio"], expected["shared-texts"] = {dev[4].id}, {dev[4].id}
    train.append(replace(train[6], id="again"))
    expected["same-audio"] = {"again"}
    test[0] = replace(test[0], text=f"{test[0].text} Ø")
    expected["unseen-characters"] = {"ø"}

    report = check_data({"train": train, "dev": dev, "test": test}, ModelConfig(), batch_seconds=100, cache=cache)
    found = kinds(report)
    found.pop("does-not-fit", None)
    assert found == expected
    assert [f.kind for f in report.fatal] == ["unreadable"]


def test_swapped_texts_stand_out_where_their_lengths_differ(libri: Splits, cache: Path) -> None:
    """Texts of random pairs change places. One that is twice as long or 0.4 times as long as the right one is told."""
    train = list(libri["train"])
    chosen = np.random.default_rng(1).permutation(len(train))[:100]
    for i, j in zip(chosen[:50], chosen[50:], strict=True):
        train[i], train[j] = replace(train[i], text=train[j].text), replace(train[j], text=train[i].text)
    found = kinds(check_data({**libri, "train": train}, ModelConfig(), cache=cache))
    told = set().union(*(ids for kind, ids in found.items() if kind not in POSSESSIVES))
    grown = {train[i].id: len(train[i].text) / len(libri["train"][i].text) for i in chosen}
    assert told <= grown.keys()
    plain = {key for key, ratio in grown.items() if ratio > 2 or ratio < 0.4}
    assert len(plain) >= 10
    assert len(plain & told) >= 0.8 * len(plain)


def test_fsdd(fsdd: Path, tmp_path: Path) -> None:
    fsdd_corpus.prepare(fsdd, tmp_path / "data")
    report = check_data(read_splits(tmp_path / "data"), ModelConfig())
    found = kinds(report)
    assert set(found) == {"low-rate", "clipped", "low-level", "shared-speakers"}
    assert len(found["low-rate"]) == 3000
    assert len(found["clipped"]) <= 5
    assert {key.split("_")[1] for key in found["low-level"]} == {"theo"}
    assert [f.severity for f in report.findings if f.kind == "shared-speakers"] == ["note"]


def test_yesno(yesno: Path, tmp_path: Path) -> None:
    yesno_corpus.prepare(yesno, tmp_path / "data")
    assert set(kinds(check_data(read_splits(tmp_path / "data"), ModelConfig()))) == {"low-rate"}


def test_mboshi_is_written_with_greek_letters(mboshi: Path, tmp_path: Path) -> None:
    def sources(split: str) -> list[Source]:
        paths = sorted(mboshi.rglob(f"{split}/*.wav"))
        return [Source(p.stem, p, p.with_suffix(".mb.cleaned").read_text("utf-8"), p.name.split("_")[0]) for p in paths]

    write_corpus(tmp_path / "data", {split: sources(split) for split in ("train", "dev")}, {})
    report = check_data(read_splits(tmp_path / "data"), ModelConfig())
    found = kinds(report)
    assert found.pop("mixed-scripts") == {"ε", "έ", "ω", "ώ"}
    assert len(found.pop("text-too-short")) <= 3
    assert set(found) == {"shared-speakers"}
    assert not report.fatal
