"""Training: a loop to be read from top to bottom.

It knows nothing of speech: `train` takes anything whose `forward(batch)` returns a Loss. What a recogniser needs
around it is in `asr.train_recognizer`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from asr.augment import AugmentConfig
from asr.checkpoint import load_checkpoint, load_weights, prune_weights, save_checkpoint, save_weights
from asr.config import check
from asr.data import Batch
from asr.errors import InputError
from asr.models.recognizer import ModelConfig
from asr.monitor import Monitor, Progress, SilentMonitor, Validation
from asr.processes import gather, stop_signals, sum_over_processes
from asr.run_folder import RunLog
from asr.spec_augment import SpecAugmentConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# Steps in a row without a finite gradient after which a run has no future.
MOST_SKIPPED = 10


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that determines a run, but for the data."""

    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    epochs: int = 40
    batch_seconds: float = 100.0  # of audio in a batch, padding included
    accumulate: int = 1  # batches of a step, in each process
    learning_rate: float = 1e-3  # the peak
    warmup_steps: int = 200  # steps of linear rise
    hold: float = 0.35  # share of the run after which the rate falls, along a cosine
    final_rate: float = 0.01  # of the peak, at the end
    weight_decay: float = 0.01
    clip: float = 1.0  # norm to which gradients are cut
    ema: float = 0.0  # decay of an exponential moving average of the weights, which is then what is judged and kept
    average_best: int = 0  # epochs whose weights are averaged at the end, and kept where that is better on dev
    patience: int = 10  # epochs without a better dev error before stopping; 0: never
    seed: int = 1
    num_workers: int = 0  # processes that read audio; 0: the training process itself
    checkpoint_minutes: float = 5.0  # between checkpoints; there is one at the end of each epoch, too
    device: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of products; fp16 on GPUs alone

    def __post_init__(self) -> None:
        check(self.epochs >= 1, f"epochs {self.epochs} is not at least 1")
        check(self.batch_seconds > 0, f"batch_seconds {self.batch_seconds} is not above 0")
        check(self.accumulate >= 1, f"accumulate {self.accumulate} is not at least 1")
        check(0 < self.learning_rate <= 1, f"learning_rate {self.learning_rate} is not in 0-1")
        check(self.warmup_steps >= 0, f"warmup_steps {self.warmup_steps} is below 0")
        check(0 <= self.hold <= 1, f"hold {self.hold} is not in 0-1")
        check(0 <= self.final_rate <= 1, f"final_rate {self.final_rate} is not in 0-1")
        check(self.weight_decay >= 0, f"weight_decay {self.weight_decay} is below 0")
        check(self.clip > 0, f"clip {self.clip} is not above 0")
        check(0 <= self.ema < 1, f"ema {self.ema} is not in 0-1")
        check(0 <= self.average_best <= 100, f"average_best {self.average_best} is not between 0 and 100")
        check(self.patience >= 0, f"patience {self.patience} is below 0")
        check(0 <= self.num_workers <= 256, f"num_workers {self.num_workers} is not between 0 and 256")
        check(self.checkpoint_minutes >= 0, f"checkpoint_minutes {self.checkpoint_minutes} is below 0")
        check(
            not self.spec_augment.frequency_warp or self.model.features.kind == "fbank",
            "spec_augment.frequency_warp warps the mel axis, which mfcc does not have",
        )


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    best_epoch: int  # the last of those averaged, where an average was best
    best: Validation
    steps: int
    wall_seconds: float


@dataclass
class _Epoch:
    """Sums over the steps of the epoch one is in."""

    steps: int = 0
    audio: float = 0.0  # seconds
    padded: float = 0.0  # seconds, padding included
    clipped: int = 0  # steps
    left_out: int = 0  # utterances, too short for their tokens


@dataclass
class _State:
    """Where a run stands, besides weights and optimiser. Random numbers follow from the seed and the batch."""

    epoch: int = 0  # epochs that are over
    now: _Epoch = field(default_factory=_Epoch)
    step: int = 0
    smoothed: float | None = None
    best: Validation | None = None
    best_epoch: int = 0
    best_list: list[list[float]] = field(default_factory=list)  # (error, loss, epoch): weights kept
    skipped: int = 0  # steps
    skipped_in_a_row: int = 0
    seconds: float = 0.0
    log_bytes: int = 0  # of log.jsonl, which is cut to it
    trained: bool = False  # no epoch is left to do
    finished: bool = False


Batches = Callable[[int, int], tuple[int, Iterable[Batch]]]


def train(
    fabric: Fabric,
    model: nn.Module,
    batches: Batches,
    validate: Callable[[], Validation],
    save_best: Callable[[Validation, str], None],
    config: TrainConfig,
    folder: Path,
    monitor: Monitor,
) -> TrainResult:
    """Trains `model` in place and saves the best; goes on where an earlier call in `folder` was stopped.

    Args:
        fabric: Launched. Of several processes each calls this; the first one writes.
        model: Its `forward(batch)` returns a Loss.
        batches: Epoch (from 0) and how many of its steps are done -> the number of all its steps, and this process's
            batches of the rest, `accumulate` for each step.
        validate: Measures the model on the dev set; called after each epoch, gives the same in each process.
        save_best: Called when the model is better than before, with the epochs it is from, in words.
        folder: Gets log.jsonl, checkpoints/, and tensorboard/ where it is installed.

    Raises:
        InputError: Gradients are not finite time and again; the GPU's memory is too small.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved.
    """
    with stop_signals() as stopping, _memory_advice(config):
        run = _Run(fabric, model, config, folder, monitor if fabric.is_global_zero else SilentMonitor())
        while not run.state.trained:
            steps, stream = batches(run.state.epoch, run.state.now.steps)
            for progress in _steps(run, steps, iter(stream), stopping):
                run.monitor.step(progress)
            _finish_epoch(run, progress, validate, save_best)
            run.save()
            if _stopping(run, stopping) and not run.state.trained:
                raise KeyboardInterrupt
        if not run.state.finished:
            _average_best(run, validate, save_best)
            _finish(run)
    if run.log is not None:
        run.log.close()
    state = run.state
    assert state.best is not None
    return TrainResult(state.best_epoch, state.best, state.step, state.seconds)


class _Run:
    """What a step needs: the model as it is trained, its optimiser, the state, and where they are written."""

    def __init__(self, fabric: Fabric, model: nn.Module, config: TrainConfig, folder: Path, monitor: Monitor) -> None:
        self.fabric, self.model, self.config, self.folder, self.monitor = fabric, model, config, folder, monitor
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        self.module = fabric.setup_module(model)  # `model` itself, and the exchange of gradients
        # Sums of losses have gradients of about 1, so that half precision needs no large scale.
        if config.precision == "fp16" and fabric.device.type == "cpu":
            raise InputError("is for GPUs", where="precision: fp16", remedy="precision=bf16 or fp32")
        self.scaler = torch.amp.GradScaler(fabric.device.type, init_scale=1.0, enabled=config.precision == "fp16")
        self.named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.ema = [p.detach().clone() for _, p in self.named] if config.ema else []
        self.state = self._resume()
        self.listed = {int(epoch) for *_, epoch in self.state.best_list}  # by the newest checkpoint
        stands = (self.state.epoch, self.state.now.steps, self.state.step)
        if len({*gather(fabric, [stands])}) > 1:
            raise InputError(
                "the processes found different checkpoints", where=folder, remedy="all machines need to see --out"
            )
        self.log = RunLog(folder, self.state.log_bytes, self.state.step) if fabric.is_global_zero else None
        self.started = time.perf_counter() - self.state.seconds
        self.saved = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def write(self, kind: str, row: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write(kind, row)

    def save(self) -> None:
        """Writes the state; the other processes have the same."""
        self.saved = time.perf_counter()
        if self.log is None:
            return
        self.state.seconds, self.state.log_bytes = self.seconds, self.log.size()
        values = {
            "state": asdict(self.state),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema,
        }
        save_checkpoint(self.folder / "checkpoints", values)
        # What either of the two checkpoints lists stays.
        listed = {int(epoch) for *_, epoch in self.state.best_list}
        prune_weights(self.folder / "checkpoints", listed | self.listed)
        self.listed = listed

    def _resume(self) -> _State:
        """Loads the newest checkpoint; a fresh state where there is none."""
        values = load_checkpoint(self.folder / "checkpoints")
        if values is None:
            return _State()
        best, now = values["state"].pop("best"), values["state"].pop("now")
        state = _State(best=best and Validation(**best), now=_Epoch(**now), **values["state"])
        self.model.load_state_dict(values["model"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.scaler.load_state_dict(values["scaler"])
        for mine, loaded in zip(self.ema, values["ema"], strict=True):
            mine.copy_(loaded)
        if not state.finished:
            self.monitor.note(f"going on after epoch {state.epoch}, step {state.now.steps} (step {state.step} in all)")
        return state


def _steps(run: _Run, steps: int, stream: Iterator[Batch], stopping: Callable[[], bool]) -> Iterator[Progress]:
    """Trains on the rest of an epoch of so many steps."""
    config, state = run.config, run.state
    run.module.train()
    began, audio_before, waited = time.perf_counter(), state.now.audio, 0.0
    while state.now.steps < steps:
        waiting = time.perf_counter()
        group = list(islice(stream, config.accumulate))
        waited += time.perf_counter() - waiting
        state.step += 1
        state.now.steps += 1
        done = state.epoch + state.now.steps / steps  # epochs
        rate = learning_rate(config, state.step, done / config.epochs)

        mean = _gradients(run, group)
        norms = _clip_gradients(run)
        norm = math.hypot(*norms.values())
        _update(run, rate, norm)

        if math.isfinite(mean):
            state.smoothed = mean if state.smoothed is None else 0.95 * state.smoothed + 0.05 * mean
        elapsed = time.perf_counter() - began
        progress = Progress(
            epoch=state.epoch + 1,
            epochs=config.epochs,
            epoch_step=state.now.steps,
            epoch_steps=steps,
            step=state.step,
            loss=mean if state.smoothed is None else state.smoothed,
            learning_rate=rate,
            gradient_norm=norm,
            audio_rate=(state.now.audio - audio_before) / elapsed,
            seconds_left=run.seconds * (config.epochs / done - 1),
            clipped=state.now.clipped / state.now.steps,
            padding=1 - state.now.audio / max(state.now.padded, 1e-9),
            waiting=waited / elapsed,
        )
        yield progress
        if state.step % 10 == 1:
            run.write("step", {**progress.facts(), "batch_loss": mean, "gradient_norms": norms})
        if state.now.steps < steps:
            stop = _stopping(run, stopping)
            if stop or time.perf_counter() - run.saved > 60 * config.checkpoint_minutes:
                run.save()
            if stop:
                raise KeyboardInterrupt


def _stopping(run: _Run, stopping: Callable[[], bool]) -> bool:
    """Whether any process was told to stop: the same answer in all."""
    return sum_over_processes(run.fabric, [stopping()])[0] > 0


def _gradients(run: _Run, group: list[Batch]) -> float:
    """Gradients of the mean loss of a token, over the batches of a step in all processes; returns that loss."""
    fabric, config, now = run.fabric, run.config, run.state.now
    totals = torch.zeros(3, dtype=torch.float64, device=fabric.device)
    audio = padded = 0.0
    for i, batch in enumerate(group):
        batch = batch.to(fabric.device)
        torch.manual_seed(batch.seed)  # of dropout
        more = i < len(group) - 1  # gradients are exchanged once a step
        with fabric.no_backward_sync(run.module, enabled=more and fabric.world_size > 1):
            with autocast(config, fabric.device):
                loss = run.module(batch)
            fabric.backward(run.scaler.scale(loss.sum))
        totals += torch.stack([loss.sum.detach(), loss.count, loss.left_out.sum()])
        audio += batch.seconds
        padded += batch.padded_seconds
    total, count, left_out, audio, padded = sum_over_processes(fabric, [*totals.tolist(), audio, padded])
    now.audio += audio
    now.padded += padded
    now.left_out += int(left_out)
    run.scaler.unscale_(run.optimizer)
    # Fabric has averaged the gradients of the sums over the processes.
    for _, parameter in run.named:
        if parameter.grad is not None:
            parameter.grad.mul_(fabric.world_size / count)
    return total / count


def autocast(config: TrainConfig, device: torch.device) -> torch.autocast:
    """Within it products of matrices have the configured precision; weights and their updates keep theirs."""
    dtype = torch.float16 if config.precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=config.precision != "fp32")


def _clip_gradients(run: _Run) -> dict[str, float]:
    """Cuts the gradients to the norm `clip`; returns the norm of each layer's before that."""
    found = [(name, p.grad) for name, p in run.named if p.grad is not None]
    norms: dict[str, float] = {}
    for (name, _), norm in zip(found, torch.stack([g.norm() for _, g in found]).tolist(), strict=True):
        layer = layer_of(name)
        norms[layer] = math.hypot(norms.get(layer, 0.0), norm)
    total = math.hypot(*norms.values())
    if math.isfinite(total) and total > run.config.clip:
        run.state.now.clipped += 1
        for _, gradient in found:
            gradient.mul_(run.config.clip / total)
    return norms


def layer_of(parameter: str) -> str:
    """`encoder.layers.0.forwards.weight_ih_l0` -> `encoder.layers.0`, `head.bias` -> `head`."""
    parts = parameter.split(".")
    numbered = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[:-1] if numbered is None else parts[: numbered + 1]) or parameter


def _update(run: _Run, rate: float, norm: float) -> None:
    """Takes the step, unless a gradient is not finite."""
    state = run.state
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    if math.isfinite(norm):
        state.skipped_in_a_row = 0
        run.scaler.step(run.optimizer)
        for mine, (_, parameter) in zip(run.ema, run.named, strict=False):
            decay = min(run.config.ema, (1 + state.step) / (10 + state.step))  # young averages forget faster
            mine.lerp_(parameter.detach(), 1 - decay)
    else:
        state.skipped += 1
        state.skipped_in_a_row += 1
        run.monitor.note(f"step {state.step}: the gradient is not finite; skipped ({state.skipped} so far)")
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    if state.skipped_in_a_row == MOST_SKIPPED:
        raise InputError(
            f"{MOST_SKIPPED} steps in a row had no finite gradient (up to step {state.step})",
            where=run.folder,
            remedy=f"look at the data with `asr check`; lower learning_rate ({run.config.learning_rate:g}) or clip"
            f" ({run.config.clip:g}), in a new --out"
            + ("; or precision=fp32" if run.config.precision != "fp32" else ""),
        )


def _finish_epoch(
    run: _Run, progress: Progress, validate: Callable[[], Validation], save_best: Callable[[Validation, str], None]
) -> None:
    """Judges the model, and keeps it where it is among the best."""
    state, config = run.state, run.config
    state.epoch += 1
    with _weights(run, run.ema):
        validation = validate()
        better = state.best is None or validation.rank < state.best.rank
        if better:
            state.best, state.best_epoch = validation, state.epoch
            if run.fabric.is_global_zero:
                save_best(validation, f"epoch {state.epoch}")
        entry = [*validation.rank, state.epoch]
        state.best_list = sorted([*state.best_list, entry])[: config.average_best]
        if entry in state.best_list and run.fabric.is_global_zero:
            save_weights(run.folder / "checkpoints", run.model, state.epoch)
    run.monitor.epoch(progress, validation, better)
    run.write(
        "epoch",
        {
            **progress.facts(),
            "dev_loss": validation.loss,
            **{f"dev_{name}": v for name, v in validation.metrics.items()},
            "best": better,
            "left_out": state.now.left_out,
            "skipped_steps": state.skipped,
            "seconds": round(run.seconds, 1),
        },
    )
    if state.epoch == 1 and state.now.left_out:
        run.monitor.note(f"{state.now.left_out} utterances have more tokens than frames and are left out")
    if state.epoch == 1 and validation.only_blanks:
        run.monitor.note(BLANK_NOTE)
    state.now = _Epoch()
    state.trained = state.epoch == config.epochs
    if config.patience and state.epoch - state.best_epoch >= config.patience:
        run.monitor.note(f"no better dev error for {config.patience} epochs: stopped early")
        state.trained = True


def _average_best(run: _Run, validate: Callable[[], Validation], save_best: Callable[[Validation, str], None]) -> None:
    """Judges the average of the best epochs' weights, and keeps it where it is the best."""
    state = run.state
    if len(state.best_list) < 2:
        return
    epochs = sorted(int(entry[2]) for entry in state.best_list)
    run.fabric.barrier()  # until the first process has written them
    sums = [torch.zeros_like(p) for _, p in run.named]
    for epoch in epochs:
        weights = load_weights(run.folder / "checkpoints", epoch)
        for total, (name, _) in zip(sums, run.named, strict=True):
            total.add_(weights[name].to(total.device), alpha=1 / len(epochs))
    with _weights(run, sums):
        validation = validate()
        assert state.best is not None
        better = validation.rank < state.best.rank
        named = f"the average of epochs {', '.join(map(str, epochs))}"
        if better:
            state.best, state.best_epoch = validation, epochs[-1]
            if run.fabric.is_global_zero:
                save_best(validation, named)
    run.monitor.note(f"{named}: dev {validation.summary}{' (best)' if better else ', no better than the best epoch'}")
    metrics = {f"dev_{name}": v for name, v in validation.metrics.items()}
    run.write("average", {"step": state.step, "epochs": epochs, "dev_loss": validation.loss, **metrics, "best": better})


def _finish(run: _Run) -> None:
    run.state.finished = True
    end = {"step": run.state.step, "best_epoch": run.state.best_epoch, "seconds": round(run.seconds, 1)}
    run.write("end", end)
    run.save()


@contextmanager
def _weights(run: _Run, values: list[Tensor]) -> Iterator[None]:
    """The model has these weights for a while; its own where there are none."""
    own = [p.detach().clone() for _, p in run.named] if values else []
    for (_, parameter), value in zip(run.named, values, strict=False):
        parameter.data.copy_(value)
    try:
        yield
    finally:
        for (_, parameter), value in zip(run.named, own, strict=False):
            parameter.data.copy_(value)


@contextmanager
def _memory_advice(config: TrainConfig) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as e:
        half = config.batch_seconds / 2
        raise InputError(
            f"the GPU's memory does not hold a batch of {config.batch_seconds:g} s ({str(e).splitlines()[0][:90]})",
            where="batch_seconds",
            remedy=f"batch_seconds={half:g} accumulate={2 * config.accumulate} in a new --out: the same steps in half"
            " the memory; or precision=bf16",
        ) from e


BLANK_NOTE = (
    "the model hears nothing yet: CTC first learns to say blank everywhere, and letters come after some hundred"
    " steps, rather suddenly. If the loss stays where it is for a thousand, raise learning_rate or check the texts"
)


def learning_rate(config: TrainConfig, step: int, done: float) -> float:
    """The rate of a step (from 1), `done` (0-1) of the run being over: linear rise, flat, then down a cosine."""
    rise = min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
    fall = max(0.0, done - config.hold) / max(1e-9, 1 - config.hold)
    decay = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))
    return config.learning_rate * rise * decay
