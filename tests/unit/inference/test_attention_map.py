from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import spelled, speller, with_decoder
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.inference.attention_map import attention_map, draw_attention
from asr.models.folder import save_model
from asr.utils.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "m", with_decoder(), "# card\n")
    soundfile.write(tmp_path / "a.wav", spelled("cat tack"), 8000)
    return tmp_path


def test_weights_are_of_each_token_and_the_end(folder: Path) -> None:
    names, weights, seconds = attention_map(folder / "m", folder / "a.wav")
    duration = soundfile.info(folder / "a.wav").duration
    assert weights.shape == (len(names) + 1, pytest.approx(duration / seconds, abs=2))
    assert weights.sum(1) == pytest.approx(np.ones(len(weights)), abs=1e-4)


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_it_is_drawn(folder: Path, kind: str) -> None:
    out = folder / f"map.{kind}"
    arguments = ["diagnose", "attention", str(folder / "a.wav"), "--model", str(folder / "m"), "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    assert out.stat().st_size > 1000
    assert out.read_bytes()[:5] in (b"<?xml", b"\x89PNG\r", b"%PDF-")


def test_what_cannot_be_drawn(folder: Path) -> None:
    with pytest.raises(InputError, match=wording("map-txt-is-of-none")):
        draw_attention(folder / "m", folder / "a.wav", folder / "map.txt")
    with pytest.raises(InputError, match=wording("is-61-s-long-a")):
        attention_map(folder / "m", (np.zeros(61 * 8000, np.float32), 8000))
    save_model(folder / "ctc", speller(), "# card\n")
    with pytest.raises(InputError, match=wording("ctc-was-trained-with-ctc")):
        attention_map(folder / "ctc", folder / "a.wav")
