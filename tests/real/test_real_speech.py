"""On real speech, where it is: the features' references, the recipes' way from corpus to score, the shipped model."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import asr
from asr.audio.fbank import Fbank
from asr.audio.features import Mfcc
from asr.audio.reader import audio_info, read_audio
from asr.audio.segmentation import Segmenter
from asr.data.cuts import read_cuts
from asr.evaluate.evaluation import evaluate
from asr.evaluate.wer import score
from asr.models.folder import load_model
from asr.models.hub import available_models, find_model, folder_size
from asr.text.normalize import TextNormalizer
from asr.text.tokenizer import CharTokenizer
from asr.train.checkpoint import load_checkpoint
from asr.train.config import TrainConfig
from asr.train.recognizer import train_recognizer
from asr.train.run_folder import is_finished
from asr.utils.config import read_config
from asr.utils.unicode import graphemes
from data_prep import fsdd as fsdd_corpus, librispeech as librispeech_corpus, yesno as yesno_corpus

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
def test_features_of_speech_equal_torchaudios(librispeech: Path, rate: int) -> None:
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi", exc_type=(ImportError, OSError))
    fbank, mfcc = Fbank(rate, 80), Mfcc(rate)
    for path in sorted(librispeech.rglob("test-heldout/**/*.flac"))[::60]:
        wave = torch.from_numpy(read_audio(path, rate))[None]
        lens = torch.tensor([wave.shape[1]])
        difference = (
            fbank(wave, lens)[0][0] - kaldi.fbank(wave, sample_frequency=rate, num_mel_bins=80, dither=0.0)
        ).abs()
        assert difference.max() < 0.02
        assert difference.mean() < 1e-4
        difference = (mfcc(wave, lens)[0][0] - kaldi.mfcc(wave, sample_frequency=rate, dither=0.0)).abs()
        assert difference.max() < 0.02
        assert difference.mean() < 1e-4


def test_yesno_from_corpus_to_score(yesno: Path, tmp_path: Path) -> None:
    summary = yesno_corpus.prepare(yesno, tmp_path / "data")
    assert summary.utterances == {"train": 25, "dev": 5, "test": 30}
    config = read_config(TrainConfig, ROOT / "recipes" / "yesno" / "conf" / "blstm.yaml")
    train_recognizer(config, tmp_path / "data", tmp_path / "exp")
    result = evaluate(
        load_model(tmp_path / "exp" / "model"), tmp_path / "data" / "cuts_test.jsonl.gz", tmp_path / "results"
    )
    assert result.words.length == 240
    assert result.words.rate <= 0.02
    scores = json.loads((tmp_path / "results" / "scores.json").read_text())
    assert scores["wer"]["errors"] == result.words.errors


def test_yesno_killed_at_any_moment_ends_with_the_same_weights(yesno: Path, tmp_path: Path) -> None:
    """kill -9 at random moments, ASR_TEST_KILLS of them (3), checkpoints being written after every step."""
    yesno_corpus.prepare(yesno, tmp_path / "data")
    config = ROOT / "recipes" / "yesno" / "conf" / "blstm.yaml"

    def start(name: str) -> subprocess.Popen[bytes]:
        words = ["train", str(config), "epochs=8", "checkpoint_minutes=0", "augment.speed=[0.9,1.0,1.1]"]
        words += ["augment.noise=generated", "ema=0.9", "average_best=3", "--data", "data", "--out", name]
        command = [sys.executable, "-c", "from asr.cli import main; main()", *words]
        return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    assert start("whole").wait(300) == 0
    kills = int(os.environ.get("ASR_TEST_KILLS", "3"))
    chance = random.Random(kills)
    last = tmp_path / "killed" / "checkpoints" / "last.pt"
    for number in range(kills):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = start("killed")
        while process.poll() is None and (last.stat().st_mtime_ns if last.exists() else 0) == before:
            time.sleep(0.005)  # until it has gone on by a step at least
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.wait()
        if is_finished(tmp_path / "killed"):
            assert number > 0, "the run ended before the first kill"
            break
    assert start("killed").wait(300) == 0
    assert not list((tmp_path / "killed").rglob(".*.part"))
    killed, whole = (load_model(tmp_path / name / "model").recognizer.state_dict() for name in ("killed", "whole"))
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    states = [load_checkpoint(tmp_path / name / "checkpoints") for name in ("killed", "whole")]
    weights, expected = (state["model"] for state in states if state is not None)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_fsdd_is_the_publishers(fsdd: Path, tmp_path: Path) -> None:
    from asr.utils.files import files_sha256

    files = list(fsdd.rglob("*.wav"))
    assert files_sha256(files) == fsdd_corpus.RECORDINGS_SHA256
    summary = fsdd_corpus.prepare(fsdd, tmp_path / "data")
    assert summary.utterances == {"train": 2400, "dev": 300, "test": 300}
    assert {int(u.id.split("_")[2]) for u in read_cuts(tmp_path / "data" / "cuts_test.jsonl.gz")} == set(range(5))


def test_the_shipped_digits_model(fsdd: Path, tmp_path: Path) -> None:
    assert "digits-en" in available_models()
    fsdd_corpus.prepare(fsdd, tmp_path / "data")
    result = evaluate(load_model("digits-en"), tmp_path / "data" / "cuts_test.jsonl.gz")
    assert result.utterances == 300
    assert result.words.rate <= 0.02


def test_words_of_a_moment_are_taken_for_speech(fsdd: Path) -> None:
    """They begin and end where the recording does; the network for voice activity wants silence before."""
    files = sorted(fsdd.rglob("*.wav"))[::12]
    assert len(files) == 250
    lost = [path for path in files if not list(Segmenter(8000).pieces([read_audio(path, 8000)]))]
    assert len(lost) <= 2


def test_how_loud_speech_is_decides_nothing(librispeech: Path, tmp_path: Path) -> None:
    librispeech_corpus.prepare(librispeech, tmp_path / "data")
    utterances = read_cuts(tmp_path / "data" / "cuts_test.jsonl.gz")[::20]
    samples = np.concatenate([x for u in utterances for x in (u.samples(16000), np.zeros(32000, np.float32))])
    heard = {}
    for decibels in (0, -40, -50, 90):
        segmenter = Segmenter(16000)
        list(segmenter.pieces([samples * np.float32(10 ** (decibels / 20))]))
        heard[decibels] = segmenter.heard.pieces
    assert heard[0] > 0.9 * sum(u.duration for u in utterances)
    assert min(heard.values()) > 0.97 * heard[0], heard  # what is left out more is pauses
    transcriber = asr.load("english-small", warps=())
    minute = samples[: 60 * 16000]
    texts = [transcriber.transcribe(minute * np.float32(gain), 16000).text for gain in (1, 0.001, 30000)]
    for text in texts[1:]:
        assert score(texts[:1], [text]).words.rate < 0.1  # without amplification 0.44 where it is faint


def test_the_shipped_yes_and_no(yesno: Path, tmp_path: Path) -> None:
    yesno_corpus.prepare(yesno, tmp_path / "data")
    result = evaluate(load_model("yesno-he"), tmp_path / "data" / "cuts_test.jsonl.gz")
    assert result.utterances == 30
    assert result.words.rate <= 0.01


def test_the_shipped_english_model(librispeech: Path, tmp_path: Path) -> None:
    """On speakers it was trained on: whether it is whole, not how good it is."""
    librispeech_corpus.prepare(librispeech, tmp_path / "data")
    utterances = read_cuts(tmp_path / "data" / "cuts_test.jsonl.gz")[::12]
    transcriber = asr.load("english-small")
    texts = [transcriber.transcribe(u.audio).text for u in utterances]
    normalizer = transcriber.model.normalizer()
    assert score([normalizer(u.text) for u in utterances], texts).words.rate < 0.25


def test_models_that_come_with_the_package_are_small_and_have_cards() -> None:
    sizes = {name: sum(folder_size(find_model(name)).values()) for name in available_models()}
    assert sizes.keys() >= {"digits-en", "english-small", "yesno-he"}
    assert max(sizes.values()) <= 20_000_000
    assert sum(sizes.values()) <= 40_000_000
    for name in sizes:
        card = (find_model(name) / "README.md").read_text(encoding="utf-8")
        assert card.startswith(f"# {name}\n")
        for heading in ("**Data**", "**Model**", "**Errors**", "**Made by**", "**Limits**", "**Licence**"):
            assert f"- {heading}" in card


def test_mboshi_transcripts_keep_their_tones(mboshi: Path) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(mboshi.rglob("*.mb.cleaned"))]
    normalizer = TextNormalizer()
    normal = [normalizer(text) for text in texts]
    tokenizer = CharTokenizer.train(normal)
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in normal)
    assert {"á", "ó", "έ", "ώ"} <= {character for text in normal for character in graphemes(text)}


def test_durations_come_from_the_header(librispeech: Path) -> None:
    for path in sorted(librispeech.rglob("*.flac"))[::200]:
        info = audio_info(path)
        assert info.duration == pytest.approx(len(read_audio(path, info.sample_rate)) / info.sample_rate)
