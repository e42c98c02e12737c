"""Commands on a terminal, where they show tables and bars that files never get."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import tone_table

pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")

CONFIG = """
model:
  tokenizer: {kind: KIND, lexicon: LEXICON}
  features: {sample_rate: 8000, num_mel_bins: 20, normalize: global}
  encoder: {hidden: 32, layers: 1, factor: 2, dropout: 0}
epochs: 2
batch_seconds: 6
learning_rate: 0.02
warmup_steps: 10
"""


def asr(*arguments: str, cwd: Path) -> tuple[int, str]:
    """The exit code, and all that a terminal was sent, without its colours and movements."""
    here, there = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "asr", *arguments], cwd=cwd, env=environment, stdin=there, stdout=there, stderr=there
    )
    os.close(there)
    sent = b""
    while True:
        try:
            part = os.read(here, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not part:
            break
        sent += part
    os.close(here)
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent.decode())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with prepared data, a lexicon, and configurations of characters and phones."""
    folder = tmp_path_factory.mktemp("terminal")
    tone_table(folder / "audio", 60)
    (folder / "lexicon.txt").write_text("low\tL OW\nhigh\tHH AY\n")
    for kind, lexicon in (("characters", "''"), ("phones", str(folder / "lexicon.txt"))):
        (folder / f"{kind}.yaml").write_text(CONFIG.replace("KIND", kind).replace("LEXICON", lexicon))
    code, sent = asr("prepare", "table", "audio/table.csv", "--out", "data", cwd=folder)
    assert code == 0, sent
    return folder


@pytest.mark.parametrize(("kind", "rates"), [("characters", ["WER ", "CER "]), ("phones", ["PER "])])
def test_training_and_use(work: Path, kind: str, rates: list[str]) -> None:
    code, sent = asr("train", f"{kind}.yaml", "--data", "data", "--out", kind, cwd=work)
    assert code == 0, sent
    assert all(part in sent for part in ("epoch 2/2", "audio s/s", "recognised as", *rates))
    for command in (
        ("evaluate", "data/cuts_test.jsonl.gz", "--model", kind, "--out", f"{kind}-test"),
        ("transcribe", "audio/u000.wav", "audio/u001.wav", "--model", kind),
    ):
        code, sent = asr(*command, cwd=work)
        assert code == 0, sent


def test_a_neural_language_model(work: Path) -> None:
    (work / "text.txt").write_text("low high low\nhigh high\nlow\nhigh low\n" * 50)
    options = ("model.hidden=16", "model.layers=1", "epochs=2", "--data", "text.txt", "--out", "lm.safetensors")
    code, sent = asr("lm", "train-neural", *options, cwd=work)
    assert code == 0, sent
    assert "perplexity" in sent
