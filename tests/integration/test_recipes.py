"""A recipe from the corpus to its figures: prepare, train, language model, tuning, evaluation; and the same again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from helpers import spelled, spelled_texts

RECIPES = Path(__file__).parents[2] / "recipes"
CONFIG = """
model:
  features: {sample_rate: 8000, num_mel_bins: 24, normalize: global}
  encoder: {hidden: 32, layers: 1, factor: 2, dropout: 0.0}
spec_augment: {frequency_masks: 0, time_masks_per_second: 0}
epochs: 6
batch_seconds: 10
learning_rate: 2.0e-2
warmup_steps: 10
"""


def run(name: str, home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, RECIPES / name / "run.py", *arguments]
    environment = {**os.environ, "ASR_DATA": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, timeout=300)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of corpora with a Mboshi of letters that are tones."""
    for part, count in (("train", 80), ("dev", 6)):
        folder = tmp_path / "home" / "mboshi" / "full_corpus_newsplit" / part
        folder.mkdir(parents=True)
        for i, text in enumerate(spelled_texts(count)):
            soundfile.write(folder / f"abiayi_{part}_{i}.wav", spelled(text, i), 8000)
            (folder / f"abiayi_{part}_{i}.mb.cleaned").write_text(text + "\n")
    return tmp_path / "home"


def test_from_the_corpus_to_its_figures(home: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    arguments = (tmp_path / "small.yaml", "--data", tmp_path / "data", "--out", tmp_path / "exp")
    first = run("mboshi", home, *arguments)
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["test-greedy", "test-3-gram"]
    assert {path.name for path in (tmp_path / "exp" / "model").iterdir()} >= {"lm.safetensors", "model.safetensors"}
    for name, search in (("test-greedy", "greedy"), ("test-3-gram", "beam")):
        scores = json.loads((tmp_path / "exp" / "results" / name / "scores.json").read_text())
        assert scores["decoding"]["search"] == search
        assert scores["utterances"] == 6
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "exp" / "model").iterdir()}
    second = run("mboshi", home, *arguments)
    assert second.stdout == first.stdout
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "exp" / "model").iterdir()}


def test_a_corpus_that_is_not_there_gets_a_word(tmp_path: Path) -> None:
    result = run("mboshi", tmp_path, "--data", tmp_path / "data", "--out", tmp_path / "exp")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "full_corpus_newsplit" in result.stderr
    assert "Traceback" not in result.stderr
