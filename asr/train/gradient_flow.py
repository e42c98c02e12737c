"""Gradients through time: how much the loss of a frame still changes with the state some frames before.

A recurrent layer's state h(t) depends on h(t - k) by a product of k Jacobians: its size falls or rises about
exponentially with k (Bengio et al. 1994, Pascanu et al. 2013). Measured on real utterances, in a network as configured,
for several kinds of cells of one width: before training and after some hundred steps, with what clipping cuts, what the
gates do, and what the bias of the forget gate does.

B utterances, T frames, H hidden, V vocabulary.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from torch import Tensor

from asr.data.batches import Batch
from asr.data.cuts import Utterance, read_cuts
from asr.models.cells import GATES, RnnKind, Unrolled, step_jacobian, unroll
from asr.models.losses import ctc_loss
from asr.models.model import Model
from asr.models.rnn import RnnConfig, RnnEncoder, RnnLayer, reordered
from asr.train.config import TrainConfig
from asr.train.gradients import clip_gradients
from asr.train.progress import SilentMonitor
from asr.train.recognizer import fit_normalizer, new_model, resolve
from asr.train.task import RecognizerTask, batches_of
from asr.train.trainer import learning_rate
from asr.utils.config import require, to_dict
from asr.utils.errors import InputError
from asr.utils.files import atomic_path, make_folder, without_nan, write_json
from asr.utils.masks import reverse_index
from asr.utils.units import duration_words

log = logging.getLogger(__name__)

CELLS: tuple[RnnKind, ...] = ("rnn", "rnn-relu", "rnn-sigmoid", "lstm", "gru")
NAMES = {"rnn": "RNN (tanh)", "rnn-relu": "RNN (ReLU)", "rnn-sigmoid": "RNN (sigmoid)", "lstm": "LSTM", "gru": "GRU"}
UTTERANCES = 12  # that are measured
PLACES = 6  # frames t of each
FORGET_BIASES = (-1.0, 0.0, 1.0, 2.0)
_FRAMES = 6  # of which the Jacobian is taken
_SHOWN = 3.0  # seconds of the utterance whose gates are drawn, at most
_LEAST = 1e-12  # of a norm, relative to that of lag 0, from where on it is not fitted


@dataclass(frozen=True)
class Fading:
    """|| d loss(t) / d h(t - k) || over k, relative to k = 0; of places and utterances the quartiles."""

    low: list[float]
    median: list[float]
    high: list[float]

    @property
    def slope(self) -> float:
        """Of the median's natural logarithm, a lag: log rho, were it a power of rho; NaN where there is none."""
        norms = np.array(self.median)
        usable = np.flatnonzero(np.isfinite(norms) & (norms > _LEAST))
        if not len(usable):
            return math.nan
        last = int(usable[-1])
        first = min(2, max(0, last - 1))
        if last <= first:
            return -math.inf
        lags = np.arange(first, last + 1)
        return float(np.polyfit(lags, np.log(norms[first : last + 1]), 1)[0])


@dataclass(frozen=True)
class Stage:
    """A cell at a time of its training."""

    steps: int
    loss: float  # nats a token, of the utterances that are measured
    hidden: Fading
    cell: Fading | None  # by an LSTM's cell state instead
    radius: float  # of a plain cell's recurrent matrix, or of that of the candidate: its largest eigenvalue
    step_radius: float  # the same of a whole step's Jacobian, the median of some frames
    gates: dict[str, list[float]]  # of GATES, the quartiles of all units and frames


@dataclass(frozen=True)
class CellResult:
    """What was measured of a kind of cell."""

    kind: str
    parameters: int
    stages: list[Stage]
    norms: list[float]  # of the gradient in each step, before clipping
    clipped: float  # share of the steps
    slopes_by_bias: dict[str, Fading]  # of an LSTM at the start, by the bias of its forget gate


def gradients(
    config: TrainConfig,
    data: str | Path,
    out: str | Path,
    *,
    cells: Sequence[str] = CELLS,
    lags: int = 60,
    steps: int = 300,
    say: Callable[[str], None] = log.info,
) -> list[CellResult]:
    """Measures how gradients fade, cell by cell; what is there already is not measured again.

    Args:
        config: The network, of which the kind of cell is replaced, and how it learns.
        data: A folder of manifests; utterances of dev are measured.
        out: Gets gradients.json, gradients.png and .svg, gates.png and .svg, and a file for each cell.
        cells: Of CELLS.
        lags: The longest k, in frames of the encoder.
        steps: Of training, between the two measurements.
        say: Is told what is done.

    Raises:
        InputError: Another name of a cell; no utterance of dev is that long.
    """
    unknown = sorted(set(cells) - set(get_args(RnnKind)))
    require(bool(cells) and not unknown, f"cells {', '.join(unknown) or 'none'}: there are {', '.join(CELLS)}")
    require(1 <= lags <= 10_000, f"lags {lags} is not between 1 and 10,000")
    require(1 <= steps <= 1_000_000, f"steps {steps} is not between 1 and 1,000,000")
    data, out = Path(data), make_folder(out)
    training, dev = (read_cuts(data / f"cuts_{split}.jsonl.gz") for split in ("train", "dev"))
    torch.set_flush_denormal(True)
    config = resolve(config, training)
    network = config.model.encoder
    if not isinstance(network, RnnConfig):
        raise InputError(f"{network.kind} has no recurrent cells", where="model.encoder.kind", remedy="name lstm")
    results, example = [], None
    for kind in dict.fromkeys(cells):
        encoder = replace(network, kind=cast("RnnKind", kind))
        one = replace(config, model=replace(config.model, encoder=encoder))
        settings = {"config": to_dict(one), "lags": lags, "steps": steps, "data": str(data.resolve())}
        result, shown = _kept(out / f"{kind}.json", settings)
        if result is None:
            say(f"{NAMES[kind]}: {steps} steps")
            result, shown = _measured(one, training, dev, lags, steps, say)
            kept = {"settings": settings, "result": asdict(result), "example": shown}
            write_json(out / f"{kind}.json", without_nan(kept))
        results.append(result)
        example = example or (shown if kind in GATES else None)
    frame = _frame_seconds(config)
    rows = [{**asdict(result), "slopes": [stage.hidden.slope for stage in result.stages]} for result in results]
    found = {"frame_seconds": frame, "lags": lags, "steps": steps, "cells": without_nan(rows)}
    write_json(out / "gradients.json", found)
    from asr.train.gradient_plots import draw, draw_gates

    for ending in ("png", "svg"):
        with atomic_path(out / f"gradients.{ending}") as temporary:
            draw(results, frame, config.clip, temporary, ending)
        if example:
            with atomic_path(out / f"gates.{ending}") as temporary:
                draw_gates(example, temporary, ending)
    return results


def fading(hidden: Sequence[Tensor], losses: Tensor, places: Sequence[int], lags: int) -> Tensor:
    """Norms of d loss(t) / d h(t - k): (P, B, K + 1), of P places t and lags 0 to K.

    Args:
        hidden: States (B, H) from the first frame on, each made of the one before, within autograd's sight.
        losses: (B, T), made of them; that of an utterance depends on no other's states.
        places: t, each at least K.
    """
    found = []
    for t in places:
        wanted = [hidden[t - k] for k in range(lags + 1)]
        each = torch.autograd.grad(losses[:, t].sum(), wanted, retain_graph=True, allow_unused=True)
        zero = torch.zeros_like(wanted[0])
        found.append(torch.stack([(zero if g is None else g).double().norm(dim=1) for g in each], 1))
    return torch.stack(found)


def frame_losses(log_probs: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor) -> Tensor:
    """CTC's loss frame by frame, (B, T): the cross-entropy of log_probs (B, T, V) and CTC's posteriors of the tokens.

    The posteriors are held fixed; the gradient of the sum over frames is then that of CTC's loss.
    """
    free = log_probs.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(ctc_loss(free, lens, tokens, token_lens).sum, free)
    # Its gradient in torch is p - posterior: that of what the softmax was taken of.
    posteriors = (free.detach().exp() - gradient).clamp(min=0)
    return -(posteriors * log_probs).sum(2)


def _measured(
    config: TrainConfig,
    training: list[Utterance],
    dev: list[Utterance],
    lags: int,
    steps: int,
    say: Callable[[str], None],
) -> tuple[CellResult, dict[str, Any]]:
    """A cell, before and after `steps` of training; and the gates over an utterance."""
    kind = config.model.encoder.kind
    model = new_model(config, training, name=kind, monitor=SilentMonitor())
    fit_normalizer(config, model, training)
    batch = _longest(config, model, dev, lags)
    by_bias: dict[str, Fading] = {}
    if kind == "lstm":
        for bias in FORGET_BIASES:
            by_bias[f"{bias:g}"] = _with_bias(model, batch, lags, bias)
    stages = [_stage(model, batch, lags, 0)]
    norms = _trained(config, model, training, steps, say)
    stages.append(_stage(model, batch, lags, steps))
    finite = [norm for norm in norms if math.isfinite(norm)]
    clipped = sum(norm > config.clip for norm in finite) / max(1, len(norms))
    parameters = sum(p.numel() for p in model.recognizer.parameters())
    result = CellResult(kind, parameters, stages, [round(n, 5) for n in finite], clipped, by_bias)
    return result, _example(model, batch)


def _trained(
    config: TrainConfig, model: Model, training: list[Utterance], steps: int, say: Callable[[str], None]
) -> list[float]:
    """Trains for some steps; the gradients' norms before they are clipped."""
    task = RecognizerTask(config, model, training)
    objective = task.objective.train()
    named = list(model.recognizer.named_parameters())
    optimizer = torch.optim.AdamW(
        [p for _, p in named], lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    norms: list[float] = []
    epoch, started = 0, time.monotonic()
    while len(norms) < steps:
        task.on_epoch_start(epoch)
        for batch in islice(task.batches(epoch)[1], steps - len(norms)):
            for parameters in optimizer.param_groups:
                parameters["lr"] = learning_rate(config, len(norms) + 1, 0.0)
            torch.manual_seed(batch.seed)
            loss = objective(batch)
            (loss.sum / loss.count.clamp(min=1)).backward()
            _, norm = clip_gradients(named, config.clip)
            if math.isfinite(norm) and loss.count:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            norms.append(norm)
            if len(norms) in (20, steps // 2):
                left = (time.monotonic() - started) * (steps / len(norms) - 1)
                say(f"{len(norms)} of {steps} steps, {duration_words(left)} left")
        epoch += 1
    return norms


def _longest(config: TrainConfig, model: Model, dev: list[Utterance], lags: int) -> Batch:
    """The batch that is measured: utterances of dev that have more frames than lags, those of the smallest ids."""
    frame = model.recognizer.frame_seconds
    room = {u.id: int((u.duration - 0.1) / frame + 1e-6) - 2 for u in dev}  # lags
    chosen = sorted((u for u in dev if room[u.id] >= lags), key=lambda u: u.id)[:UTTERANCES]
    if not chosen:
        least, longest = (lags + 2) * frame + 0.1, max((u.duration for u in dev), default=0.0)
        most = max(room.values(), default=0)
        raise InputError(
            f"no utterance of dev is {least:.2f} s long, as {lags} lags need; the longest has {longest:.2f} s",
            remedy=f"--lags {most}" if most > 0 else "longer ones are needed",
        )
    whole = replace(config, batch_seconds=1e9)
    (batch,) = batches_of(whole, model, chosen)
    return batch


def _stage(model: Model, batch: Batch, lags: int, steps: int) -> Stage:
    layer, kind = _layer(model), model.config.encoder.kind
    states, losses, lens = _unrolled(model, batch)
    last = int(lens.min()) - 1
    places = sorted({int(t) for t in np.linspace(lags, last, PLACES)})
    hidden = _quartiles(fading(states.hidden, losses, places, lags))
    cell = _quartiles(fading(states.cell, losses, places, lags)) if states.cell else None
    recurrent = dict(layer.forwards.named_parameters())[_name(layer, "weight_hh_l0")].detach()
    own = recurrent.chunk({"lstm": 4, "gru": 3}.get(kind, 1))[2 if kind in GATES else 0]
    inputs, jacobians = _inputs(model, batch)[0], []
    for t in np.linspace(1, last, _FRAMES, dtype=int):
        before = states.hidden[t - 1][0].detach()
        kept = states.cell[t - 1][0].detach() if states.cell else before
        jacobians.append(_radius(step_jacobian(layer.forwards, kind, inputs[0, t], before, kept).detach()))
    real = torch.arange(losses.shape[1]) < lens[:, None]
    gates = {
        name: [round(float(q), 4) for q in np.quantile(gate[real].numpy(), [0.25, 0.5, 0.75])]
        for name, gate in states.gates.items()
    }
    loss = float((losses.detach() * real).sum() / batch.targets[model.recognizer.main].lens.sum())
    return Stage(steps, loss, hidden, cell, _radius(own), float(np.median(jacobians)), gates)


def _with_bias(model: Model, batch: Batch, lags: int, bias: float) -> Fading:
    """How gradients fade by an LSTM's cell state, were the forget gate's bias this one."""
    layer = _layer(model).forwards
    own = {name: p.detach().clone() for name, p in layer.named_parameters()}
    size = len(own["bias_hh_l0"]) // 4
    with torch.no_grad():
        dict(layer.named_parameters())["bias_ih_l0"][size : 2 * size] = bias
    states, losses, lens = _unrolled(model, batch)
    places = sorted({int(t) for t in np.linspace(lags, int(lens.min()) - 1, PLACES)})
    found = _quartiles(fading(states.cell, losses, places, lags))
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.copy_(own[name])
    return found


def _unrolled(model: Model, batch: Batch) -> tuple[Unrolled, Tensor, Tensor]:
    """The last layer's states of its forward direction, step by step, and the losses (B, T) that are made of them; all
    before that layer, and the other direction, is held fixed."""
    recognizer = model.recognizer.eval()
    layer = _layer(model)
    x, lens = _inputs(model, batch)
    states = unroll(layer.forwards, model.config.encoder.kind, x)
    y = torch.stack(states.hidden, 1)
    if layer.backwards is not None:
        index = reverse_index(lens, x.shape[1])
        with torch.no_grad():
            backward = reordered(layer.backwards(reordered(x, index))[0], index)
        y = torch.cat([y, backward], 2)
    log_probs = recognizer.ctc(layer.after(y))
    targets = batch.targets[recognizer.main]
    return states, frame_losses(log_probs, lens, targets.tokens, targets.lens), lens


def _inputs(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the last layer is given (B, T, D), lengths (B,)."""
    recognizer = model.recognizer.eval()
    encoder = recognizer.encoder
    assert isinstance(encoder, RnnEncoder)
    with torch.no_grad():
        features, lens = recognizer.features(batch.samples, batch.sample_lens, batch.speakers)
        x, lens = encoder.subsampling(features, lens)
        reverse = reverse_index(lens, x.shape[1])
        for each in list(encoder.layers)[:-1]:
            x = each(x, reverse)
    return x, lens


def _layer(model: Model) -> RnnLayer:
    encoder = model.recognizer.encoder
    assert isinstance(encoder, RnnEncoder)
    layer = encoder.layers[-1]
    assert isinstance(layer, RnnLayer)
    return layer


def _name(layer: RnnLayer, ending: str) -> str:
    return next(name for name, _ in layer.forwards.named_parameters() if name.endswith(ending))


def _radius(matrix: Tensor) -> float:
    """The largest absolute eigenvalue; NaN where numbers are none."""
    if not matrix.isfinite().all():
        return math.nan
    return float(torch.linalg.eigvals(matrix.double()).abs().max())


def _quartiles(norms: Tensor) -> Fading:
    """Norms (P, B, K + 1) relative to those of lag 0; what has none at lag 0 does not count."""
    flat = norms.reshape(-1, norms.shape[2]).numpy()
    relative = flat[flat[:, 0] > 0] / flat[flat[:, 0] > 0, :1]
    if not len(relative):
        nothing = [math.nan] * flat.shape[1]
        return Fading(nothing, nothing, nothing)
    low, median, high = (edge.tolist() for edge in np.quantile(relative, [0.25, 0.5, 0.75], axis=0))
    return Fading(low, median, high)


def _example(model: Model, batch: Batch) -> dict[str, Any]:
    """An utterance, and what gates do in it: the quartiles of their units, frame by frame."""
    recognizer = model.recognizer.eval()
    states, _, lens = _unrolled(model, batch)
    short = lens * recognizer.frame_seconds <= _SHOWN
    one = int((lens * short).argmax() if short.any() else lens.argmin())
    with torch.no_grad():
        features, frames = recognizer.features(batch.samples, batch.sample_lens, batch.speakers)
    mel = features[one, : int(frames[one])].numpy()
    gates = {
        name: np.quantile(gate[one, : int(lens[one])].numpy(), [0.25, 0.5, 0.75], axis=1).round(4).tolist()
        for name, gate in states.gates.items()
    }
    return {
        "kind": model.config.encoder.kind,
        "frame_seconds": recognizer.frame_seconds,
        "seconds": len(mel) * recognizer.frontend.frame_seconds,
        "features": mel.round(2).tolist(),
        "gates": gates,
    }


def _kept(path: Path, settings: dict[str, Any]) -> tuple[CellResult | None, dict[str, Any]]:
    """What was measured with these settings, if it was."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["settings"] != json.loads(json.dumps(settings)):
            return None, {}
        result = _with_nan(values["result"])
        stages = [
            Stage(**{**stage, "hidden": Fading(**stage["hidden"]), "cell": stage["cell"] and Fading(**stage["cell"])})
            for stage in result["stages"]
        ]
        by_bias = {name: Fading(**each) for name, each in result["slopes_by_bias"].items()}
        return CellResult(**{**result, "stages": stages, "slopes_by_bias": by_bias}), _with_nan(values["example"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, {}


def _with_nan(value: Any, key: str = "") -> Any:
    """What `without_nan` was given; a cell that is None is none."""
    if isinstance(value, dict):
        return {key: _with_nan(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_nan(each) for each in value]
    return math.nan if value is None and key != "cell" else value


def _frame_seconds(config: TrainConfig) -> float:
    return config.model.features.frame_shift / 1000 * config.model.encoder.factor
