"""How the error falls with the hours of training speech, and what twice as many would likely give."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.data.cuts import read_cuts
from asr.evaluate.evaluation import evaluate
from asr.evaluate.report import read_results
from asr.evaluate.wer import ErrorCounts
from asr.models.folder import load_model
from asr.train.config import TrainConfig
from asr.train.recognizer import train_recognizer
from asr.train.run_folder import is_finished
from asr.utils.config import require
from asr.utils.errors import InputError
from asr.utils.files import atomic_path, make_folder, write_json

log = logging.getLogger(__name__)

FRACTIONS = (0.125, 0.25, 0.5, 1.0)
_SAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Point:
    """A recogniser of some of the training speech."""

    fraction: float
    hours: float
    rate: float  # of the error that counts
    interval: tuple[float, float]  # 95 %, utterances drawn anew


@dataclass(frozen=True)
class Curve:
    """Points, and the power law error = scale * hours ** -exponent through them."""

    split: str
    points: tuple[Point, ...]
    scale: float
    exponent: float
    exponent_interval: tuple[float, float]
    doubled: float  # the error that twice the speech would likely give
    doubled_interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = (100 * edge for edge in self.doubled_interval)
        last = self.points[-1]
        if self.exponent <= 0:
            return (
                f"with {last.hours:.2f} h {100 * last.rate:.2f} %; more speech did not make it better: no law to go on"
            )
        return (
            f"with {last.hours:.2f} h {100 * last.rate:.2f} %; twice as much would likely give"
            f" {100 * self.doubled:.2f} % (95 % interval {low:.2f} to {high:.2f}), if it goes on falling as it did"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def learning_curve(
    config: TrainConfig,
    data: str | Path,
    out: str | Path,
    *,
    fractions: Sequence[float] = FRACTIONS,
    split: str = "test",
    say: Callable[[str], None] = log.info,
) -> Curve:
    """Trains on nested parts of the training set and scores each; what is there is left out.

    A part's utterances are those of the smallest hashes of their ids, so that a smaller one is in each larger one. A
    fraction f of the speech is seen in f ** -0.5 times as many epochs; what begins at an epoch begins as much later.

    Args:
        config: Of the whole.
        data: A folder of manifests.
        out: Gets a folder for each part, learning-curve.json and learning-curve.svg.
        split: That errors are counted on.
        say: Is told what is done.

    Raises:
        InputError: As train_recognizer; fractions are none; the set has no such split.
    """
    data, out = Path(data), make_folder(out)
    parts = sorted(set(fractions))
    usable = len(parts) >= 2 and parts[0] > 0 and parts[-1] <= 1
    require(usable, f"fractions {list(fractions)}: two are needed, up to 1")
    read_cuts(data / f"cuts_{split}.jsonl.gz")  # before hours of training
    folders = []
    for fraction in parts:
        folder = out / f"{fraction:g}"
        _part(data, folder / "data", fraction, split)
        run = _stretched(config, 1 / math.sqrt(fraction))
        if not is_finished(folder / "run"):
            say(f"{100 * fraction:g} % of the speech, {run.epochs} epochs")
            train_recognizer(run, folder / "data", folder / "run")
        results = folder / "run" / "results" / split
        if not (results / "scores.json").is_file():
            evaluate(load_model(folder / "run"), folder / "data" / f"cuts_{split}.jsonl.gz", results)
        folders.append(folder)
    curve = fit(
        [(f, _hours(folder / "data"), *_errors(folder, split)) for f, folder in zip(parts, folders, strict=True)], split
    )
    write_json(out / "learning-curve.json", curve.as_dict())
    with atomic_path(out / "learning-curve.svg") as temporary:
        _draw(curve, temporary)
    return curve


def fit(parts: Sequence[tuple[float, float, Sequence[ErrorCounts], float]], split: str) -> Curve:
    """The curve of parts (fraction, hours, errors of each utterance, rate).

    A straight line through the logarithms of hours and rates, each part counting alike. Its uncertainty comes from
    drawing the utterances anew, the same for all parts; that another training would end elsewhere is not in it.
    """
    hours = np.array([h for _, h, _, _ in parts])
    errors = np.array([[n.errors for n in each] for _, _, each, _ in parts])  # (parts, utterances)
    lengths = np.array([n.length for n in parts[0][2]])
    if (errors.sum(axis=1) == 0).any():
        raise InputError(
            "a part of the speech gives no error at all: there is nothing to fit",
            where=split,
            remedy="count on a larger or harder set, or take smaller fractions",
        )
    chosen = np.random.default_rng(_SEED).integers(len(lengths), size=(_SAMPLES, len(lengths)), dtype=np.int32)
    drawn: npt.NDArray[np.float64] = errors[:, chosen].sum(axis=2) / np.maximum(
        lengths[chosen].sum(axis=1), 1
    )  # (parts, samples)
    drawn = drawn.clip(0.5 / max(1, int(lengths.sum())))  # no logarithm of nothing
    lines = _line(np.log(hours), np.log(drawn))
    offset, slope = _line(np.log(hours), np.log(errors.sum(axis=1) / lengths.sum())[:, None])[:, 0]
    twice = math.log(2 * hours[-1])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    points = tuple(
        Point(fraction, h, rate, (float(low[i]), float(high[i]))) for i, (fraction, h, _, rate) in enumerate(parts)
    )
    return Curve(
        split,
        points,
        scale=float(np.exp(offset)),
        exponent=float(-slope),
        exponent_interval=_edges(-lines[1]),
        doubled=float(np.exp(offset + slope * twice)),
        doubled_interval=_edges(np.exp(lines[0] + lines[1] * twice)),
    )


def _line(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(parts,), (parts, N) -> (2, N), offset and slope of least squares."""
    across = np.stack([np.ones_like(x), x], axis=1)
    return np.asarray(np.linalg.lstsq(across, y, rcond=None)[0], np.float64)


def _edges(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _stretched(config: TrainConfig, factor: float) -> TrainConfig:
    """A training of so many times the epochs, and its schedule with it."""

    def later(epochs: int) -> int:
        return round(factor * epochs)

    def start(epoch: int) -> int:  # they count from 1
        return 1 + later(epoch - 1)

    augment, masks = config.augment, config.spec_augment
    criterion: Any = config.model.criterion
    if criterion.warm_up_epochs:
        criterion = replace(criterion, warm_up_epochs=later(criterion.warm_up_epochs))
    return replace(
        config,
        epochs=max(1, later(config.epochs)),
        augment=replace(augment, start_epoch=start(augment.start_epoch), ramp_epochs=later(augment.ramp_epochs)),
        spec_augment=replace(
            masks,
            start_epoch=start(masks.start_epoch),
            frequency_warp_start=start(masks.frequency_warp_start),
            ramp_epochs=later(masks.ramp_epochs),
        ),
        model=replace(config.model, criterion=criterion),
    )


def _part(data: Path, folder: Path, fraction: float, split: str) -> None:
    """Manifests of a part: train is cut, the others are as they are."""
    make_folder(folder)
    for name in {"dev", split}:
        with atomic_path(folder / f"cuts_{name}.jsonl.gz") as temporary:
            temporary.write_bytes((data / f"cuts_{name}.jsonl.gz").read_bytes())
    known = {u.id: u.duration for u in read_cuts(data / "cuts_train.jsonl.gz")}
    room = fraction * sum(known.values()) + 1e-6
    kept: set[str] = set()
    for key in sorted(known, key=lambda key: hashlib.blake2b(key.encode(), digest_size=8).digest()):
        if (room := room - known[key]) < 0:
            break
        kept.add(key)
    if not kept:
        raise InputError(f"has less than one utterance in {fraction:g} of it", where=data / "cuts_train.jsonl.gz")
    with gzip.open(data / "cuts_train.jsonl.gz") as lines:
        chosen = [line for line in lines if line.strip() and _id(line) in kept]
    with atomic_path(folder / "cuts_train.jsonl.gz") as temporary, gzip.GzipFile(temporary, "wb", mtime=0) as f:
        f.writelines(chosen)


def _id(line: bytes) -> str:
    return str(json.loads(line)["id"])


def _hours(folder: Path) -> float:
    return sum(u.duration for u in read_cuts(folder / "cuts_train.jsonl.gz")) / 3600


def _errors(folder: Path, split: str) -> tuple[Sequence[ErrorCounts], float]:
    results = read_results(str(folder / "run" / "results" / split))
    return results.scores.each, results.scores.error.rate


def _draw(curve: Curve, path: Path) -> None:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axis = figure.subplots()
    hours = np.array([point.hours for point in curve.points])
    rates = np.array([point.rate for point in curve.points])
    edges = np.array([point.interval for point in curve.points]).T
    axis.errorbar(hours, 100 * rates, 100 * np.abs(edges - rates), fmt="o", capsize=3, label="measured, 95 %")
    reach = np.geomspace(hours[0], 2 * hours[-1], 50)
    axis.plot(reach, 100 * curve.scale * reach**-curve.exponent, label=f"hours to the power of {-curve.exponent:.2f}")
    low, high = curve.doubled_interval
    doubled = 100 * np.array([[curve.doubled - low], [high - curve.doubled]])
    axis.errorbar([2 * hours[-1]], [100 * curve.doubled], doubled, fmt="s", capsize=3, label="twice as much, 95 %")
    axis.set_xscale("log")
    axis.set_yscale("log")
    ticks = [*hours, 2 * hours[-1]]
    axis.set_xticks(ticks, [f"{h:.3g}" for h in ticks])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("hours of training speech")
    axis.set_ylabel(f"error on {curve.split}, %")
    axis.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})
