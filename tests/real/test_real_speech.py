"""On real speech, where it is: the features' references, the recipes' way from corpus to score, the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from asr.audio import audio_info, read_audio
from asr.config import read_config
from asr.data import read_cuts
from asr.evaluate import evaluate
from asr.features import Fbank, Mfcc
from asr.model_folder import load_model, pretrained_names
from asr.text import TextNormalizer, graphemes
from asr.tokenizer import CharTokenizer
from asr.train import TrainConfig, train_recognizer
from data_prep import fsdd as fsdd_corpus, yesno as yesno_corpus

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
    config = read_config(TrainConfig, ROOT / "recipes" / "yesno" / "conf" / "blstm.yaml", ["epochs=50"])
    train_recognizer(config, tmp_path / "data", tmp_path / "exp")
    result = evaluate(
        load_model(tmp_path / "exp" / "model"), tmp_path / "data" / "cuts_test.jsonl.gz", tmp_path / "results"
    )
    assert result.words.length == 240
    assert result.words.rate <= 0.02
    scores = json.loads((tmp_path / "results" / "scores.json").read_text())
    assert scores["wer"]["errors"] == result.words.errors


def test_fsdd_is_the_publishers(fsdd: Path, tmp_path: Path) -> None:
    from asr.files import files_sha256

    files = list(fsdd.rglob("*.wav"))
    assert files_sha256(files) == fsdd_corpus.RECORDINGS_SHA256
    summary = fsdd_corpus.prepare(fsdd, tmp_path / "data")
    assert summary.utterances == {"train": 2400, "dev": 300, "test": 300}
    assert {int(u.id.split("_")[2]) for u in read_cuts(tmp_path / "data" / "cuts_test.jsonl.gz")} == set(range(5))


def test_the_shipped_digits_model(fsdd: Path, tmp_path: Path) -> None:
    assert "digits-en" in pretrained_names()
    fsdd_corpus.prepare(fsdd, tmp_path / "data")
    result = evaluate(load_model("digits-en"), tmp_path / "data" / "cuts_test.jsonl.gz")
    assert result.utterances == 300
    assert result.words.rate <= 0.02


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
