"""An encoder and a loss from outside the package, as docs/plugins.md has them: trained, kept, loaded, used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import yaml
from helpers import tone_data, tone_words

ROOT = Path(__file__).parents[2]
ENCODER, LOSS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8"), re.S)
SETTINGS = (
    *("model.encoder.kind=conv", "model.encoder.hidden=128", "model.encoder.layers=3", "model.criterion.kind=focal"),
    *("model.features.sample_rate=8000", "model.features.num_mel_bins=23", "model.criterion.gamma=0.1", "epochs=40"),
    *("batch_seconds=10", "learning_rate=2e-3", "warmup_steps=30", "patience=0"),
    *("spec_augment.frequency_masks=0", "spec_augment.time_masks_per_second=0"),
)


def asr(*words: str | Path, folder: Path, fails: bool = False) -> str:
    """What a command says: standard output, or, where it fails, standard error."""
    run = [sys.executable, "-m", "asr", *map(str, words)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        run, capture_output=True, text=True, timeout=500, cwd=folder, env=os.environ | {"PYTHONPATH": path}
    )
    assert (done.returncode != 0) == fails, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "conv_encoder.py").write_text(ENCODER)
    (folder / "focal.py").write_text(LOSS)
    tone_data(folder / "tones", 60)
    soundfile.write(folder / "a.wav", tone_words(["low", "high", "low"], seed=90), 8000)
    given = "--plugin", "conv_encoder.py", "--plugin", "focal"  # a file, and a module of the current folder
    asr("train", "--data", "tones/data", "--out", "exp", "--no-check", *SETTINGS, *given, folder=folder)
    return folder


def test_it_is_evaluated_and_transcribes(folder: Path) -> None:
    given = "--plugin=conv_encoder.py", "--plugin=focal.py"
    test = "tones/data/cuts_test.jsonl.gz"
    asr("evaluate", test, "--model", "exp", "--out", "results", *given, folder=folder)
    assert json.loads((folder / "results" / "scores.json").read_text())["cer"]["rate"] < 0.5
    text = asr(*given, "transcribe", "a.wav", "--model", "exp", "--no-vad", folder=folder)
    assert set(text) <= set("lowhig \n")
    assert len(text) > 3


def test_a_run_goes_on_with_it(folder: Path) -> None:
    config = yaml.safe_load((folder / "exp" / "model" / "config.yaml").read_text())
    assert config["plugins"] == ["conv_encoder", "focal"]
    given = "--plugin", "conv_encoder.py", "--plugin", "focal"
    longer = [*SETTINGS, "epochs=41"]
    asr("train", "--data", "tones/data", "--out", "exp", "--no-check", *longer, *given, folder=folder)
    lines = [json.loads(line) for line in (folder / "exp" / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in lines if row["kind"] == "epoch"] == list(range(1, 42))


def test_without_it_its_name_is_told_and_nothing_is_imported(folder: Path) -> None:
    error = asr("transcribe", "a.wav", "--model", "exp", "--no-vad", folder=folder, fails=True)
    assert "'conv'" in error
    assert "conv_encoder" in error
    error = asr("train", "--data", "tones/data", "--out", "other", *SETTINGS, folder=folder, fails=True)
    assert "--plugin" in error


def test_an_installed_package_needs_no_option(folder: Path) -> None:
    info = folder / "conv_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: conv-package\nVersion: 1.0\n")
    names = "[kikitori.plugins]\nconv = conv_encoder\nfocal = focal\nbroken = not_there\n"
    (info / "entry_points.txt").write_text(names)
    code = "import asr; print(asr.load('exp', vad=False).transcribe('a.wav').text)"
    given = "--plugin=conv_encoder.py", "--plugin=focal.py"
    text = asr(*given, "transcribe", "a.wav", "--model", "exp", "--no-vad", folder=folder)
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.stdout == text, done.stderr
    assert "broken" in done.stderr
