from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import spelled_cuts, spelled_texts
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.evaluate.wer import ErrorCounts
from asr.train.config import TrainConfig
from asr.train.learning_curve import fit
from asr.utils.config import read_config
from asr.utils.errors import InputError

CONFIG = """
model:
  features: {sample_rate: 8000, num_mel_bins: 16}
  encoder: {hidden: 8, layers: 1, factor: 4, dropout: 0.0}
spec_augment: {start_epoch: 4}
epochs: 1
batch_seconds: 20
"""
runner = CliRunner()


def law(hours: float, size: int = 400, seed: int = 0) -> list[ErrorCounts]:
    """Errors in tens of words, each wrong with the probability 0.2 * hours ** -0.5."""
    rng = np.random.default_rng(seed)
    return [ErrorCounts(int(n), 0, 0, 10) for n in rng.binomial(10, 0.2 * hours**-0.5, size)]


def parts_of(*hours: float, size: int = 400, seed: int = 0) -> list[tuple[float, float, list[ErrorCounts], float]]:
    parts = []
    for i, h in enumerate(hours):
        each = law(h, size, seed + i)
        parts.append((h / hours[-1], h, each, sum(n.errors for n in each) / (10 * size)))
    return parts


def test_a_planted_law_is_found() -> None:
    curve = fit(parts_of(0.5, 1, 2, 4, size=4000), "test")
    assert curve.exponent == pytest.approx(0.5, abs=0.05)
    assert curve.scale == pytest.approx(0.2, rel=0.05)
    assert curve.doubled == pytest.approx(0.2 * 8**-0.5, rel=0.06)
    low, high = curve.doubled_interval
    assert low < curve.doubled < high
    assert curve.exponent_interval[0] < 0.5 < curve.exponent_interval[1]
    assert [point.hours for point in curve.points] == [0.5, 1, 2, 4]
    assert str(curve).startswith("with 4.00 h ")


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        low, high = fit(parts_of(0.5, 1, 2, 4, size=60, seed=1000 * seed), "test").doubled_interval
        held += low < 0.2 * 8**-0.5 < high
    assert 86 <= held <= 100  # 95 expected


def test_exactly_on_the_line() -> None:
    parts = [(1 / h, h, [ErrorCounts(e, 0, 0, 1000)], e / 1000) for h, e in ((1.0, 400), (2.0, 200), (4.0, 100))]
    curve = fit(parts, "dev")
    assert (curve.scale, curve.exponent, curve.doubled) == pytest.approx((0.4, 1.0, 0.05))
    assert curve.doubled_interval == pytest.approx((0.05, 0.05))


def test_a_curve_that_rises_is_no_law() -> None:
    parts = [(h / 4, h, [ErrorCounts(e, 0, 0, 1000)], e / 1000) for h, e in ((1.0, 200), (2.0, 250), (4.0, 300))]
    assert str(fit(parts, "dev")) == "with 4.00 h 30.00 %; more speech did not make it better: no law to go on"


def test_without_errors_there_is_nothing_to_fit() -> None:
    parts = [(0.5, 1.0, [ErrorCounts(1, 0, 0, 10)], 0.1), (1.0, 2.0, [ErrorCounts(0, 0, 0, 10)], 0.0)]
    with pytest.raises(InputError, match=wording("test-a-part-of-the")):
        fit(parts, "test")


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in gzip.open(path)]


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for i, (split, count) in enumerate((("train", 32), ("dev", 4), ("test", 6))):
        cuts = spelled_cuts(tmp_path / split, spelled_texts(count, i), 100 * i)
        cuts.rename(data / f"cuts_{split}.jsonl.gz")
    (tmp_path / "c.yaml").write_text(CONFIG)
    arguments = ["diagnose", "learning-curve", str(tmp_path / "c.yaml"), "--data", str(data), "--out"]
    arguments += [str(tmp_path / "out"), "--fractions", "0.25,0.5,1"]
    done = runner.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "more speech did not make it better" in done.stdout  # nothing is learnt in so little
    curve = json.loads((tmp_path / "out/learning-curve.json").read_text())
    assert [point["fraction"] for point in curve["points"]] == [0.25, 0.5, 1.0]
    assert (tmp_path / "out/learning-curve.svg").read_text().startswith("<?xml")
    kept = [set(ids(tmp_path / f"out/{name}/data/cuts_train.jsonl.gz")) for name in ("0.25", "0.5", "1")]
    assert kept[0] < kept[1] < kept[2] == set(ids(data / "cuts_train.jsonl.gz"))
    assert len(kept[0]) == pytest.approx(8, abs=2)
    epochs = [
        sum('"kind": "epoch"' in line for line in (tmp_path / f"out/{name}/run/log.jsonl").read_text().splitlines())
        for name in ("0.25", "0.5", "1")
    ]
    assert epochs == [2, 1, 1]
    runs = [tmp_path / f"out/{name}/run/config.yaml" for name in ("0.25", "0.5", "1")]
    starts = [read_config(TrainConfig, run, ignore=["run"]).spec_augment.start_epoch for run in runs]
    assert starts == [7, 5, 4]  # 1 + 3 epochs later, stretched

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("model.safetensors")}
    again = runner.invoke(app, arguments)
    assert again.stdout == done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before

    done = runner.invoke(app, [*arguments[:-1], "1"])
    assert (done.exit_code, wording("two-are-needed") in done.stderr) == (2, True)
    done = runner.invoke(app, [*arguments, "--split", "other"])
    assert (done.exit_code, wording("cuts-other-jsonl-gz-no") in done.stderr) == (2, True)
