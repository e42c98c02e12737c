"""Training: a loop to be read from top to bottom.

It knows nothing of speech: `train` takes anything whose `forward(batch)` returns a Loss. What a recogniser needs
around it is in `asr.train.recognizer`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from asr.train.checkpoint import average_weights, load_checkpoint, prune_weights, save_checkpoint, save_weights
from asr.train.config import TrainConfig
from asr.train.distributed import gather, stop_signals, sum_over_processes
from asr.train.gradients import StepBatch, clip_gradients, mean_gradients, using_weights
from asr.train.progress import Monitor, Progress, SilentMonitor, Validation
from asr.train.run_folder import RunLog
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

BLANK_NOTE = (
    "the model hears nothing yet: CTC first learns to say blank everywhere, and letters come after some hundred"
    " steps, rather suddenly. If the loss stays where it is for a thousand, raise learning_rate or check the texts"
)

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
    best_from: str = ""  # in words
    best_list: list[list[float]] = field(default_factory=list)  # (*rank, epoch): weights kept
    skipped: int = 0  # steps
    skipped_in_a_row: int = 0
    seconds: float = 0.0
    log_bytes: int = 0  # of log.jsonl, which is cut to it
    stage: Literal["train", "average", "done"] = "train"


Batches = Callable[[int, int], tuple[int, Iterable[StepBatch]]]


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
        InputError: Gradients are not finite time and again.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved.
    """
    with stop_signals() as stopping:
        run = _Run(fabric, model, config, folder, monitor if fabric.is_global_zero else SilentMonitor())
        state = run.state
        while state.stage == "train":
            run.module.train()
            steps, stream = batches(state.epoch, state.now.steps)
            left, clock = iter(stream), _Clock(state.now.audio)
            while state.now.steps < steps:
                with clock.waiting():
                    group = list(islice(left, config.accumulate))
                progress = _step(run, group, steps, clock)
                run.monitor.step(progress)
                if state.now.steps < steps:
                    stop = _any(run, stopping())
                    if stop or time.perf_counter() - run.saved > 60 * config.checkpoint_minutes:
                        run.save()
                    if stop:
                        raise KeyboardInterrupt
            _finish_epoch(run, progress, validate, save_best)
            run.save()
            if _any(run, stopping()) and state.stage == "train":
                raise KeyboardInterrupt
        if state.stage == "average":
            _average_best(run, validate, save_best)
            state.stage = "done"
            end = {"step": state.step, "best_epoch": state.best_epoch, "seconds": round(run.seconds, 1)}
            run.write("end", end)
            run.save()
        run.close()
    assert state.best is not None
    return TrainResult(state.best, state.best_epoch, state.best_from, state.step, state.seconds)


class _Clock:
    """Where the time of an epoch goes, since it was begun or gone on with."""

    def __init__(self, audio_before: float) -> None:
        self.began, self.audio_before, self.waited = time.perf_counter(), audio_before, 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.waited += time.perf_counter() - started


class _Run:
    """What a step needs: the model as it is trained, its optimiser, the state, and where they are written."""

    def __init__(self, fabric: Fabric, model: nn.Module, config: TrainConfig, folder: Path, monitor: Monitor) -> None:
        self.fabric, self.model, self.config, self.folder, self.monitor = fabric, model, config, folder, monitor
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        self.module = fabric.setup_module(model)  # `model` itself, and the exchange of gradients
        # Sums of losses have gradients of about 1, so that half precision needs no large scale.
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

    def close(self) -> None:
        if self.log is not None:
            self.log.close()

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
        if state.stage != "done":
            self.monitor.note(f"going on after epoch {state.epoch}, step {state.now.steps} (step {state.step} in all)")
        return state


def _step(run: _Run, group: Sequence[StepBatch], steps: int, clock: _Clock) -> Progress:
    """One step of the `steps` of an epoch."""
    config, state, now = run.config, run.state, run.state.now
    state.step += 1
    now.steps += 1
    done = state.epoch + now.steps / steps  # epochs
    rate = learning_rate(config, state.step, done / config.epochs)
    for parameters in run.optimizer.param_groups:
        parameters["lr"] = rate

    sums = mean_gradients(run.fabric, run.module, group, run.scaler, config.precision)
    if state.epoch < config.freeze_epochs:
        for name, parameter in run.named:
            if name.startswith("encoder."):
                parameter.grad = None  # then nothing moves it, decay neither
    run.scaler.unscale_(run.optimizer)
    norms, norm = clip_gradients(run.named, config.clip)
    if math.isfinite(norm) and sums.count:
        run.scaler.step(run.optimizer)
        for mine, (_, parameter) in zip(run.ema, run.named, strict=False):
            decay = min(config.ema, (1 + state.step) / (10 + state.step))  # young averages forget faster
            mine.lerp_(parameter.detach(), 1 - decay)
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)

    _count_skipped(run, finite=math.isfinite(norm))
    now.audio += sums.audio
    now.padded += sums.padded
    now.left_out += sums.left_out
    now.clipped += math.isfinite(norm) and norm > config.clip
    mean = sums.loss / max(sums.count, 1)
    if math.isfinite(mean) and sums.count:
        state.smoothed = mean if state.smoothed is None else 0.95 * state.smoothed + 0.05 * mean
    elapsed = time.perf_counter() - clock.began
    progress = Progress(
        epoch=state.epoch + 1,
        epochs=config.epochs,
        epoch_step=now.steps,
        epoch_steps=steps,
        step=state.step,
        loss=mean if state.smoothed is None else state.smoothed,
        learning_rate=rate,
        gradient_norm=norm,
        audio_rate=(now.audio - clock.audio_before) / elapsed,
        seconds_left=run.seconds * (config.epochs / done - 1),
        clipped=now.clipped / now.steps,
        padding=1 - now.audio / max(now.padded, 1e-9),
        waiting=clock.waited / elapsed,
    )
    if state.step % 10 == 1:
        run.write("step", {**progress.facts(), "batch_loss": mean, "gradient_norms": norms})
    return progress


def _count_skipped(run: _Run, *, finite: bool) -> None:
    """Says that a step was skipped; ends a run in which none is taken any more."""
    state, config = run.state, run.config
    if finite:
        state.skipped_in_a_row = 0
        return
    state.skipped += 1
    state.skipped_in_a_row += 1
    run.monitor.note(f"step {state.step}: the gradient is not finite; skipped ({state.skipped} so far)")
    if state.skipped_in_a_row == MOST_SKIPPED:
        less = "" if config.precision == "fp32" else "; or precision=fp32"
        raise InputError(
            f"{MOST_SKIPPED} steps in a row had no finite gradient (up to step {state.step})",
            where=run.folder,
            remedy=f"look at the data (speech: `asr check`); lower learning_rate ({config.learning_rate:g}) or clip"
            f" ({config.clip:g}), and name another output{less}",
        )


def _any(run: _Run, here: bool) -> bool:
    """Whether it is so in any process: the same answer in all."""
    return sum_over_processes(run.fabric, [here])[0] > 0


def _finish_epoch(
    run: _Run, progress: Progress, validate: Callable[[], Validation], save_best: Callable[[Validation, str], None]
) -> None:
    """Judges the model, and keeps it where it is among the best."""
    state, config = run.state, run.config
    state.epoch += 1
    with using_weights(run.named, run.ema) if run.ema else nullcontext():
        validation = validate()
        better = _keep_if_best(run, validation, state.epoch, f"epoch {state.epoch}", save_best)
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
    early = config.patience and state.epoch - state.best_epoch >= config.patience
    if early:
        run.monitor.note(f"no better model for {config.patience} epochs: stopped early")
    if early or state.epoch == config.epochs:
        state.stage = "average"


def _keep_if_best(
    run: _Run, validation: Validation, epoch: int, named: str, save_best: Callable[[Validation, str], None]
) -> bool:
    """Whether the model as it is now is the best so far; then it is saved."""
    state = run.state
    if state.best is not None and validation.rank >= state.best.rank:
        return False
    state.best, state.best_epoch, state.best_from = validation, epoch, named
    if run.fabric.is_global_zero:
        save_best(validation, named)
    return True


def _average_best(run: _Run, validate: Callable[[], Validation], save_best: Callable[[Validation, str], None]) -> None:
    """Judges the average of the best epochs' weights, and keeps it where it is the best."""
    state = run.state
    if len(state.best_list) < 2:
        return
    epochs = sorted(int(epoch) for *_, epoch in state.best_list)
    run.fabric.barrier()  # until the first process has written them
    mean = average_weights(run.folder / "checkpoints", epochs)
    named = f"the average of epochs {', '.join(map(str, epochs))}"
    with using_weights(run.named, [mean[name] for name, _ in run.named]):
        validation = validate()
        better = _keep_if_best(run, validation, epochs[-1], named, save_best)
    run.monitor.note(f"{named}: dev {validation.summary}{' (best)' if better else ', no better than the best epoch'}")
    metrics = {f"dev_{name}": v for name, v in validation.metrics.items()}
    run.write("average", {"step": state.step, "epochs": epochs, "dev_loss": validation.loss, **metrics, "best": better})


def learning_rate(config: TrainConfig, step: int, done: float) -> float:
    """The rate of a step (from 1), `done` (0-1) of the run being over: linear rise, flat, then down a cosine."""
    rise = min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
    fall = max(0.0, done - config.hold) / max(1e-9, 1 - config.hold)
    decay = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))
    return config.learning_rate * rise * decay
