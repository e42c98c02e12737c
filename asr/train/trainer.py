"""Training: a loop to be read from top to bottom.

It knows nothing of speech: a Trainer takes a Task, whose objective gives the Loss of a batch. What a recogniser needs
around it is in `asr.train.recognizer`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asr.train.checkpoint import average_weights, load_checkpoint, prune_weights, save_checkpoint, save_weights
from asr.train.config import OptimConfig
from asr.train.distributed import any_process, gather, stop_signals
from asr.train.gradients import StepBatch, StepSums, clip_gradients, mean_gradients, parameter_groups, using_weights
from asr.train.progress import Monitor, Progress, SilentMonitor, Validation
from asr.train.run_folder import RunLog
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# Steps in a row without a finite gradient after which a run has no future.
MOST_SKIPPED = 10


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    best: Validation
    best_epoch: int  # the last of those averaged, where an average was best
    best_from: str  # "epoch 12", "the average of epochs 9, 11, 12"
    steps: int
    wall_seconds: float


class Task(Protocol):
    """A task tells a Trainer what to train, on what, and how to score it."""

    unit: str  # of what batches hold, for messages: audio s, words

    @property
    def network(self) -> nn.Module:
        """Its weights are learnt."""

    @property
    def objective(self) -> nn.Module:
        """objective(batch) -> Loss; it holds the network."""

    def on_epoch_start(self, epoch: int) -> None:
        """Switches what a schedule switches, before the batches of an epoch (from 0) are asked for."""

    def batches(self, epoch: int, done: int) -> tuple[int, Iterable[StepBatch]]:
        """The number of an epoch's steps, and this process's batches of those after the first `done`: `accumulate` for
        each step."""

    def validate(self) -> Validation:
        """Scores the network on dev; the result is the same in each process."""

    def save_best(self, validation: Validation, epochs: str) -> None:
        """Keeps the network as it is: the best so far, from these epochs, in words."""


@dataclass
class _Epoch:
    """Sums over the steps of the epoch one is in."""

    steps: int = 0
    audio: float = 0.0  # what batches held, in the task's unit
    padded: float = 0.0  # padding included
    clipped: int = 0  # steps
    left_out: int = 0  # utterances, too short for their tokens


@dataclass
class _State:
    """Where a run stands, besides weights and optimiser. Random numbers follow from the seed and the batch."""

    epoch: int = 0  # epochs that are over
    epochs: int = 0  # to which it was to go
    prolonged: int = 0  # the epoch after which it was to go further
    now: _Epoch = field(default_factory=_Epoch)
    step: int = 0
    smoothed: float | None = None
    best: Validation | None = None
    best_epoch: int = 0
    best_from: str = ""  # in words
    best_list: list[list[float]] = field(default_factory=list)  # (*rank, epoch): weights kept
    skipped: int = 0  # steps
    skipped_in_a_row: int = 0
    seconds: float = 0.0
    log_bytes: int = 0  # of log.jsonl, which is cut to it
    stage: Literal["train", "average", "done"] = "train"


class _Stopwatch:
    """Where the time of an epoch goes, since it was begun or gone on with."""

    def __init__(self, audio_before: float) -> None:
        self.began, self.audio_before, self.waited = time.perf_counter(), audio_before, 0.0

    def next_batches(self, stream: Iterable[StepBatch], count: int) -> list[StepBatch]:
        """So many batches; the time until they are there is counted."""
        started = time.perf_counter()
        batches = list(islice(stream, count))
        self.waited += time.perf_counter() - started
        return batches


class Trainer:
    """Trains a network in place and keeps the best; goes on where an earlier Trainer in `folder` was stopped.

    Args:
        fabric: Launched. Of several processes each has a Trainer; the first one writes.
        task: What is trained.
        config: How.
        folder: Gets log.jsonl, checkpoints/, and tensorboard/ where it is installed.
        monitor: Is told how it goes.

    Raises:
        InputError: The processes found different checkpoints; a group of parameters has none.
    """

    def __init__(self, fabric: Fabric, task: Task, config: OptimConfig, folder: Path, monitor: Monitor) -> None:
        self.fabric, self.task, self.config, self.folder = fabric, task, config, folder
        self.monitor = monitor if fabric.is_global_zero else SilentMonitor()
        self.groups = parameter_groups(task.network, config)
        self.optimizer = torch.optim.AdamW(
            [{"params": list(group.parameters.values())} for group in self.groups],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=config.weight_decay,
        )
        self.module = fabric.setup_module(task.objective)  # the objective itself, and the exchange of gradients
        # Sums of losses have gradients of about 1, so that half precision needs no large scale.
        self.scaler = torch.amp.GradScaler(fabric.device.type, init_scale=1.0, enabled=config.precision == "fp16")
        self.named = [(name, p) for name, p in task.network.named_parameters() if p.requires_grad]
        self.ema = _moving_average(task.network, config.ema) if config.ema else None
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

    def train(self) -> TrainResult:
        """Trains to the end.

        Raises:
            InputError: Gradients are not finite time and again.
            KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved.
        """
        state = self.state
        with stop_signals() as stopping:
            while state.stage == "train":
                self._train_epoch(stopping)
            if state.stage == "average":
                self._average_best()
                state.stage = "done"
                end = {"step": state.step, "best_epoch": state.best_epoch, "seconds": round(self.seconds, 1)}
                self._write("end", end)
                self.save()
            if self.log is not None:
                self.log.close()
        assert state.best is not None
        return TrainResult(state.best, state.best_epoch, state.best_from, state.step, state.seconds)

    def _train_epoch(self, stopping: Callable[[], bool]) -> None:
        """The rest of an epoch, and what follows it."""
        state, config = self.state, self.config
        self.module.train()
        self.task.on_epoch_start(state.epoch)
        steps, stream = self.task.batches(state.epoch, state.now.steps)
        if steps < 1:
            raise InputError("an epoch has no step: there is nothing to learn from", where=self.folder)
        left, stopwatch = iter(stream), _Stopwatch(state.now.audio)
        while state.now.steps < steps:
            progress = self._train_step(stopwatch.next_batches(left, config.accumulate), steps, stopwatch)
            self.monitor.step(progress)
            if state.now.steps < steps:
                stop = any_process(self.fabric, stopping())
                if stop or time.perf_counter() - self.saved > 60 * config.checkpoint_minutes:
                    self.save()
                if stop:
                    raise KeyboardInterrupt
        self._end_epoch(progress)
        self.save()
        if any_process(self.fabric, stopping()) and state.stage == "train":
            raise KeyboardInterrupt

    def _train_step(self, batches: Sequence[StepBatch], steps: int, stopwatch: _Stopwatch) -> Progress:
        """One step of the `steps` of an epoch."""
        config, state, now = self.config, self.state, self.state.now
        state.step += 1
        now.steps += 1
        done = state.epoch + now.steps / steps  # epochs
        rate = learning_rate(config, state.step, done / config.epochs)
        for group, parameters in zip(self.groups, self.optimizer.param_groups, strict=True):
            parameters["lr"] = rate * group.rate

        sums = mean_gradients(self.fabric, self.module, batches, self.scaler, config.precision)
        for group in self.groups:
            if state.epoch < group.freeze_epochs:
                for parameter in group.parameters.values():
                    parameter.grad = None  # then nothing moves it, decay neither
        self.scaler.unscale_(self.optimizer)
        norms, norm = clip_gradients(self.named, config.clip)
        if math.isfinite(norm) and sums.count:
            self.scaler.step(self.optimizer)
            if self.ema is not None:
                self.ema.update_parameters(self.task.network)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

        self._count_skipped(finite=math.isfinite(norm))
        now.clipped += math.isfinite(norm) and norm > config.clip
        mean = self._count(sums)
        elapsed = time.perf_counter() - stopwatch.began
        progress = Progress(
            epoch=state.epoch + 1,
            epochs=config.epochs,
            epoch_step=now.steps,
            epoch_steps=steps,
            step=state.step,
            loss=mean if state.smoothed is None else state.smoothed,
            learning_rate=rate,
            gradient_norm=norm,
            audio_rate=(now.audio - stopwatch.audio_before) / elapsed,
            seconds_left=self.seconds * (config.epochs / done - 1),
            clipped=now.clipped / now.steps,
            padding=1 - now.audio / max(now.padded, 1e-9),
            waiting=stopwatch.waited / elapsed,
            unit=self.task.unit,
        )
        if state.step % 10 == 1:
            self._write("step", {**progress.facts(), "batch_loss": mean, "gradient_norms": norms})
        return progress

    def _count(self, sums: StepSums) -> float:
        """Adds a step to its epoch's sums; the mean loss of a token in it."""
        state, now = self.state, self.state.now
        now.audio += sums.size
        now.padded += sums.padded_size
        now.left_out += sums.left_out
        mean = sums.loss / max(sums.count, 1)
        if math.isfinite(mean) and sums.count:
            state.smoothed = mean if state.smoothed is None else 0.95 * state.smoothed + 0.05 * mean
        return mean

    def _count_skipped(self, *, finite: bool) -> None:
        """Says that a step was skipped; ends a run in which none is taken any more."""
        state, config = self.state, self.config
        if finite:
            state.skipped_in_a_row = 0
            return
        state.skipped += 1
        state.skipped_in_a_row += 1
        self.monitor.note(f"step {state.step}: the gradient is not finite; skipped ({state.skipped} so far)")
        if state.skipped_in_a_row == MOST_SKIPPED:
            less = "" if config.precision == "fp32" else "; or precision=fp32"
            raise InputError(
                f"{MOST_SKIPPED} steps in a row had no finite gradient (up to step {state.step})",
                where=self.folder,
                remedy=f"look at the data (speech: `asr check`); lower learning_rate ({config.learning_rate:g}) or clip"
                f" ({config.clip:g}), and name another output{less}",
            )

    def _end_epoch(self, progress: Progress) -> None:
        """Judges the network, and keeps it where it is among the best."""
        state, config = self.state, self.config
        state.epoch += 1
        values = [] if self.ema is None else list(self.ema.module.parameters())
        with using_weights(list(self.task.network.parameters()), values) if values else nullcontext():
            validation = self.task.validate()
            better = self._keep_if_best(validation, state.epoch, f"epoch {state.epoch}")
            entry = [*validation.rank, state.epoch]
            state.best_list = sorted([*state.best_list, entry])[: config.average_best]
            if entry in state.best_list and self.fabric.is_global_zero:
                save_weights(self.folder / "checkpoints", self.task.network, state.epoch)
        self.monitor.epoch(progress, validation, better)
        self._write(
            "epoch",
            {
                **progress.facts(),
                "dev_loss": validation.loss,
                **{f"dev_{name}": v for name, v in validation.metrics.items()},
                "best": better,
                "left_out": state.now.left_out,
                "skipped_steps": state.skipped,
                "seconds": round(self.seconds, 1),
            },
        )
        if state.epoch == 1 and state.now.left_out:
            self.monitor.note(f"{state.now.left_out} utterances have more tokens than frames and are left out")
        if state.epoch == 1 and validation.note:
            self.monitor.note(validation.note)
        state.now = _Epoch()
        early = config.patience and state.epoch - max(state.best_epoch, state.prolonged) >= config.patience
        if early:
            self.monitor.note(f"no better model for {config.patience} epochs: stopped early")
        if early or state.epoch == config.epochs:
            state.stage = "average"

    def _keep_if_best(self, validation: Validation, epoch: int, named: str) -> bool:
        """Saves the network where it is the best so far; returns whether it is."""
        state = self.state
        if state.best is not None and validation.rank >= state.best.rank:
            return False
        state.best, state.best_epoch, state.best_from = validation, epoch, named
        if self.fabric.is_global_zero:
            self.task.save_best(validation, named)
        return True

    def _average_best(self) -> None:
        """Judges the average of the best epochs' weights, and keeps it where it is the best."""
        state, network = self.state, self.task.network
        if len(state.best_list) < 2:
            return
        epochs = sorted(int(epoch) for *_, epoch in state.best_list)
        self.fabric.barrier()  # until the first process has written them
        mean = average_weights(self.folder / "checkpoints", epochs)
        named = f"the average of epochs {', '.join(map(str, epochs))}"
        with using_weights(list(network.parameters()), [mean[name] for name, _ in network.named_parameters()]):
            validation = self.task.validate()
            better = self._keep_if_best(validation, epochs[-1], named)
        verdict = " (best)" if better else ", no better than the best epoch"
        self.monitor.note(f"{named}: dev {validation.summary}{verdict}")
        metrics = {f"dev_{name}": v for name, v in validation.metrics.items()}
        row = {"step": state.step, "epochs": epochs, "dev_loss": validation.loss, **metrics, "best": better}
        self._write("average", row)

    @property
    def seconds(self) -> float:
        """The seconds that the run has taken, earlier processes included."""
        return time.perf_counter() - self.started

    def _write(self, kind: str, row: dict[str, Any]) -> None:
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
            "model": self.task.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else {},
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
            return _State(epochs=self.config.epochs)
        best, now = values["state"].pop("best"), values["state"].pop("now")
        state = _State(best=best and Validation(**best), now=_Epoch(**now), **values["state"])
        self.task.network.load_state_dict(values["model"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.scaler.load_state_dict(values["scaler"])
        if self.ema is not None:
            self.ema.load_state_dict(values["ema"])
        if self.config.epochs > state.epochs:
            self._prolong(state)
        elif state.stage != "done":
            self.monitor.note(f"going on after epoch {state.epoch}, step {state.now.steps} (step {state.step} in all)")
        return state

    def _prolong(self, state: _State) -> None:
        """Lets a run go further than it was to; the rate goes on as that of a run of so many epochs."""
        config = self.config
        rate = learning_rate(config, state.step + 1, state.epoch / config.epochs)
        before = self.optimizer.param_groups[0]["lr"] / self.groups[0].rate
        self.monitor.note(
            f"prolonged from {state.epochs} to {config.epochs} epochs, after epoch {state.epoch}: the learning rate"
            f" goes on as that of {config.epochs} epochs, with {rate:.2g} (it was {before:.2g})"
        )
        state.epochs, state.prolonged, state.stage = config.epochs, state.epoch, "train"


def _moving_average(network: nn.Module, most: float) -> AveragedModel:
    """An exponential moving average of the weights, whose decay rises to `most`: young averages forget faster."""

    def average(averages: Any, values: Any, count: Any) -> None:
        decayed: Any = get_ema_multi_avg_fn
        decayed(min(most, (1 + int(count)) / (10 + int(count))))(averages, values, count)

    return AveragedModel(network, multi_avg_fn=average)


def learning_rate(config: OptimConfig, step: int, done: float) -> float:
    """The rate of a step (from 1), `done` (0-1) of the run being over: linear rise, flat, then down a cosine."""
    rise = min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
    fall = max(0.0, done - config.hold) / max(1e-9, 1 - config.hold)
    decay = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))
    return config.learning_rate * rise * decay
