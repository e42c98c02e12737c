"""Gradients through time: planted slopes, CTC's loss frame by frame, and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import SMALL, tone_data
from PIL import Image
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.models.losses import ctc_loss
from asr.train.gradient_flow import Fading, _quartiles, fading, frame_losses, gradients
from asr.utils.errors import InputError


@pytest.mark.parametrize("rho", [0.8, 1.0, 1.1])
def test_a_linear_recurrence_has_the_slope_of_its_radius(rho: float) -> None:
    """h(t) = rho Q h(t - 1) + x(t) with Q orthogonal: each step backwards has the factor rho, whatever comes."""
    torch.manual_seed(3)
    orthogonal = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64))[0]
    w = rho * orthogonal
    h, states = torch.zeros(4, 16, dtype=torch.float64, requires_grad=True), []
    for _ in range(60):
        h = h @ w.t() + torch.randn(4, 16, dtype=torch.float64)
        states.append(h)
    losses = (torch.stack(states, 1) * torch.randn(4, 60, 16, dtype=torch.float64)).sum(2)
    norms = fading(states, losses, [50, 59], 50)
    assert norms.shape == (2, 4, 51)
    found = _quartiles(norms)
    assert found.slope == pytest.approx(math.log(rho), abs=1e-6)
    assert found.low == pytest.approx(found.high)


def test_slopes_of_what_is_cut_off() -> None:
    assert Fading([], [0.1**k for k in range(40)], []).slope == pytest.approx(math.log(0.1))  # up to 1e-12
    assert Fading([], [1.0, 0.0, 0.0], []).slope == -math.inf


def test_frame_by_frame_it_is_ctcs_loss() -> None:
    torch.manual_seed(1)
    logits = torch.randn(3, 12, 5, dtype=torch.float64, requires_grad=True)
    lens, tokens, token_lens = torch.tensor([12, 7, 9]), torch.randint(1, 5, (3, 4)), torch.tensor([4, 2, 3])
    log_probs = logits.log_softmax(2)
    (whole,) = torch.autograd.grad(ctc_loss(log_probs, lens, tokens, token_lens).sum, logits, retain_graph=True)
    each = frame_losses(log_probs, lens, tokens, token_lens)
    real = torch.arange(12) < lens[:, None]
    (found,) = torch.autograd.grad((each * real).sum(), logits)
    assert (found - whole).abs().max() < 1e-10


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone_data(tmp_path_factory.mktemp("tones"), 60)


CONFIG = replace(SMALL, batch_seconds=8.0)


@pytest.mark.slow
def test_from_the_command_line(prepared: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "model:\n  features: {sample_rate: 8000, num_mel_bins: 16}\n  encoder: {hidden: 8, layers: 2, factor: 2}\n"
        "batch_seconds: 8\n"
    )
    words = ["diagnose", "gradients", str(config), "--data", str(prepared), "--out", str(tmp_path / "out")]
    words += ["--cells", "rnn,lstm", "--lags", "8", "--steps", "3"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["cell", "RNN (tanh)", "LSTM"]
    assert all(float(value) == float(value) for row in rows[1:] for value in row[1:])
    found = json.loads((tmp_path / "out" / "gradients.json").read_text())
    rnn, lstm = found["cells"]
    assert [stage["steps"] for stage in rnn["stages"]] == [0, 3]
    assert rnn["stages"][0]["hidden"]["median"][0] == 1
    assert len(rnn["stages"][0]["hidden"]["median"]) == 9
    assert rnn["stages"][0]["cell"] is None
    assert rnn["stages"][0]["hidden"]["median"][8] < 0.1
    assert len(rnn["norms"]) == 3
    assert set(lstm["stages"][1]["gates"]) == {"input", "forget", "output"}
    opened = [lstm["slopes_by_bias"][bias]["median"][8] for bias in ("-1", "0", "1", "2")]
    assert opened == sorted(opened)
    assert opened[0] < 0.3 * opened[3]
    for name in ("gradients", "gates"):
        assert Image.open(tmp_path / "out" / f"{name}.png").size[0] > 1000
        assert (tmp_path / "out" / f"{name}.svg").read_text().startswith("<?xml")
    written = (tmp_path / "out" / "lstm.json").stat().st_mtime_ns
    again = CliRunner().invoke(app, words)  # what is there is not measured again
    assert (again.stdout, again.exit_code) == (done.stdout, 0)
    assert (tmp_path / "out" / "lstm.json").stat().st_mtime_ns == written
    other = CliRunner().invoke(app, [*words[:-1], "4"])
    assert other.exit_code == 0
    assert (tmp_path / "out" / "lstm.json").stat().st_mtime_ns != written


@pytest.mark.slow
def test_where_no_gradient_is_left(prepared: Path, tmp_path: Path) -> None:
    """Training that goes astray: what is no number is null in the files, which are read again all the same."""
    astray = replace(CONFIG, learning_rate=1.0, warmup_steps=0)
    (result,) = gradients(astray, prepared, tmp_path, cells=["rnn-relu"], lags=4, steps=5)
    assert all(math.isnan(value) for value in [*result.stages[1].hidden.median, result.stages[1].hidden.slope])
    (cell,) = json.loads((tmp_path / "gradients.json").read_text())["cells"]
    assert cell["stages"][1]["hidden"]["median"] == [None] * 5
    assert (cell["slopes"][0] < 0, cell["slopes"][1]) == (True, None)
    written = (tmp_path / "rnn-relu.json").stat().st_mtime_ns
    (again,) = gradients(astray, prepared, tmp_path, cells=["rnn-relu"], lags=4, steps=5)
    assert (tmp_path / "rnn-relu.json").stat().st_mtime_ns == written
    assert str(again) == str(result)  # NaN is not equal to itself


@pytest.mark.slow
def test_what_cannot_be_measured(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("cells-lsmt-there-are-rnn")):
        gradients(CONFIG, prepared, tmp_path, cells=["rnn", "lsmt"])
    with pytest.raises(InputError, match=wording("no-utterance-of-dev-is")) as caught:
        gradients(CONFIG, prepared, tmp_path, cells=["rnn"], lags=5000)
    most = int(str(caught.value).partition("--lags ")[2])  # what is advised can be done, and no more
    with pytest.raises(InputError, match=f"--lags {most}$"):
        gradients(CONFIG, prepared, tmp_path, cells=["rnn"], lags=most + 1)
    (result,) = gradients(CONFIG, prepared, tmp_path, cells=["rnn"], lags=most, steps=1)
    assert len(result.stages[0].hidden.median) == most + 1
    with pytest.raises(InputError, match="lags 0"):
        gradients(CONFIG, prepared, tmp_path, lags=0)
