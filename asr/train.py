"""Training: a loop to be read from top to bottom, and what a recogniser needs around it.

`train` knows nothing of speech: it takes anything whose `forward(batch)` returns a Loss. `train_recognizer` builds a
recogniser from a configuration and prepared data, and trains it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import yaml
from torch import nn

from asr.augment import SpecAugmentConfig
from asr.checkpoint import load_checkpoint, only_process, save_checkpoint
from asr.config import check, to_dict
from asr.data import Batch, Utterance, load_batches, plan_batches, read_cuts
from asr.errors import InputError
from asr.evaluate import recognize, unknown_characters
from asr.files import read_text, remove_leftovers, write_text
from asr.model_folder import Model, save_model
from asr.models.recognizer import ModelConfig, build_recognizer
from asr.provenance import provenance
from asr.score import score
from asr.text import TextNormalizer, has_word_spaces
from asr.tokenizer import CharTokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that determines a run, but for the data."""

    model: ModelConfig = field(default_factory=ModelConfig)
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    epochs: int = 40
    batch_seconds: float = 100.0  # of audio in a batch, padding included
    learning_rate: float = 1e-3  # the peak
    warmup_steps: int = 200  # steps of linear rise
    hold: float = 0.35  # share of the run after which the rate falls, along a cosine
    final_rate: float = 0.01  # of the peak, at the end
    weight_decay: float = 0.01
    clip: float = 1.0  # norm to which gradients are cut
    patience: int = 10  # epochs without a better dev error before stopping; 0: never
    seed: int = 1
    num_workers: int = 0  # processes that read audio; 0: the training process itself
    checkpoint_minutes: float = 5.0  # between checkpoints; there is one at the end of each epoch, too
    device: Literal["auto", "cpu", "gpu"] = "auto"

    def __post_init__(self) -> None:
        check(self.epochs >= 1, f"epochs {self.epochs} is not at least 1")
        check(self.batch_seconds > 0, f"batch_seconds {self.batch_seconds} is not above 0")
        check(0 < self.learning_rate <= 1, f"learning_rate {self.learning_rate} is not in 0-1")
        check(self.warmup_steps >= 0, f"warmup_steps {self.warmup_steps} is below 0")
        check(0 <= self.hold <= 1, f"hold {self.hold} is not in 0-1")
        check(0 <= self.final_rate <= 1, f"final_rate {self.final_rate} is not in 0-1")
        check(self.weight_decay >= 0, f"weight_decay {self.weight_decay} is below 0")
        check(self.clip > 0, f"clip {self.clip} is not above 0")
        check(self.patience >= 0, f"patience {self.patience} is below 0")
        check(0 <= self.num_workers <= 256, f"num_workers {self.num_workers} is not between 0 and 256")
        check(self.checkpoint_minutes >= 0, f"checkpoint_minutes {self.checkpoint_minutes} is below 0")


@dataclass(frozen=True)
class Progress:
    """Where training is, after a step."""

    epoch: int  # from 1
    epochs: int
    batch: int  # from 1, within the epoch
    batches: int
    step: int  # from 1, since the start
    loss: float  # nats a token, smoothed
    learning_rate: float
    gradient_norm: float  # before clipping
    audio_rate: float  # seconds of audio a second
    seconds_left: float


@dataclass(frozen=True)
class Validation:
    """How good a model is on the dev set. The smaller (error, loss), the better."""

    error: float  # the share that counts: WER, or CER for languages without words
    loss: float  # nats a token
    summary: str  # "WER 3.21 %"
    metrics: dict[str, float] = field(default_factory=dict)
    example: tuple[str, str] = ("", "")  # a reference and its hypothesis
    only_blanks: bool = False  # nothing was heard in any utterance


class Monitor(Protocol):
    """Is told how training goes."""

    def step(self, progress: Progress) -> None: ...
    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None: ...
    def note(self, text: str) -> None: ...


class LogMonitor:
    """Tells the log, an epoch a line."""

    def step(self, progress: Progress) -> None: ...

    def epoch(self, progress: Progress, validation: Validation, best: bool) -> None:
        log.info(
            "epoch %d/%d: loss %.3f, dev loss %.3f, dev %s%s",
            *(progress.epoch, progress.epochs, progress.loss, validation.loss, validation.summary),
            " (best)" if best else "",
        )

    def note(self, text: str) -> None:
        log.info("%s", text)


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    best_epoch: int
    best: Validation
    steps: int
    wall_seconds: float


@dataclass
class _State:
    """Where a run stands, besides weights, optimiser and random numbers."""

    epoch: int = 0  # epochs that are over
    batch: int = 0  # batches done of the next one
    step: int = 0
    smoothed: float | None = None
    best: Validation | None = None
    best_epoch: int = 0
    skipped: int = 0
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    log_bytes: int = 0  # of log.jsonl, which is cut to it
    finished: bool = False


def train(
    model: nn.Module,
    batches: Callable[[int, int], tuple[int, Iterable[Batch]]],
    validate: Callable[[], Validation],
    save_best: Callable[[Validation, int], None],
    config: TrainConfig,
    folder: Path,
    monitor: Monitor,
) -> TrainResult:
    """Trains `model` in place and saves the best; goes on where an earlier call in `folder` was stopped.

    Args:
        model: Its `forward(batch)` returns a Loss.
        batches: Epoch (from 0) and how many of its batches are done -> the number of all its batches, and the rest.
        validate: Measures the model on the dev set; called after each epoch.
        save_best: Called when the model is better than before, with the epoch (from 1).
        folder: Gets log.jsonl, a line an epoch and every few steps, and checkpoints/.
    """
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=_accelerator(config), devices=1)
    fabric.launch()
    adamw = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    runner, optimizer = fabric.setup(model, adamw)
    log_path = folder / "log.jsonl"
    state = _resume(folder, model, adamw, log_path, monitor)
    started = time.perf_counter() - state.seconds
    saved = time.perf_counter()

    def save() -> None:
        state.seconds = time.perf_counter() - started
        state.log_bytes = log_path.stat().st_size if log_path.exists() else 0
        _save(folder, state, model, adamw)

    with stop_signals() as stopping:
        while state.epoch < config.epochs and not state.finished:
            runner.train()
            count, stream = batches(state.epoch, state.batch)
            audio, epoch_started = 0.0, time.perf_counter()
            for batch in stream:
                batch = batch.to(fabric.device)
                state.step += 1
                state.batch += 1
                done = state.epoch + state.batch / count  # epochs
                rate = learning_rate(config, state.step, done / config.epochs)
                for group in adamw.param_groups:
                    group["lr"] = rate
                loss = runner(batch)
                mean = loss.sum / loss.count
                fabric.backward(mean)
                clipped: Any = fabric.clip_gradients(runner, optimizer, max_norm=config.clip, error_if_nonfinite=False)
                norm = float(clipped)
                if math.isfinite(norm):
                    optimizer.step()
                else:
                    state.skipped += 1
                    monitor.note(
                        f"step {state.step}: the gradient is not finite; the step is skipped ({state.skipped} so far)"
                    )
                optimizer.zero_grad(set_to_none=True)
                new = [key for key, out in zip(batch.ids, loss.left_out.tolist(), strict=True) if out]
                state.left_out = list(dict.fromkeys([*state.left_out, *new]))

                value = float(mean.detach())
                if math.isfinite(value):
                    state.smoothed = value if state.smoothed is None else 0.95 * state.smoothed + 0.05 * value
                audio += batch.seconds
                progress = Progress(
                    epoch=state.epoch + 1,
                    epochs=config.epochs,
                    batch=state.batch,
                    batches=count,
                    step=state.step,
                    loss=value if state.smoothed is None else state.smoothed,
                    learning_rate=rate,
                    gradient_norm=norm,
                    audio_rate=audio / (time.perf_counter() - epoch_started),
                    seconds_left=(time.perf_counter() - started) * (config.epochs / done - 1),
                )
                monitor.step(progress)
                if state.step % 10 == 1:
                    _append(log_path, {"kind": "step", **_facts(progress), "batch_loss": value})
                if state.batch < count and (stopping() or time.perf_counter() - saved > 60 * config.checkpoint_minutes):
                    save()
                    saved = time.perf_counter()
                    if stopping():
                        raise KeyboardInterrupt
            if state.epoch == 0 and state.left_out:
                monitor.note(_left_out_note(state.left_out))

            validation = validate()
            state.epoch, state.batch = state.epoch + 1, 0
            best = state.best
            better = best is None or (validation.error, validation.loss) < (best.error, best.loss)
            if better:
                state.best, state.best_epoch = validation, state.epoch
                save_best(validation, state.epoch)
            monitor.epoch(progress, validation, better)
            _append(
                log_path,
                {
                    "kind": "epoch",
                    **_facts(progress),
                    "dev_loss": validation.loss,
                    **{f"dev_{name}": v for name, v in validation.metrics.items()},
                    "best": better,
                    "left_out": len(state.left_out),
                    "skipped_steps": state.skipped,
                    "seconds": round(time.perf_counter() - started, 1),
                },
            )
            if validation.only_blanks and state.epoch == 1:
                monitor.note(BLANK_NOTE)
            if config.patience and state.epoch - state.best_epoch >= config.patience:
                monitor.note(f"no better dev error for {config.patience} epochs: stopped early")
                state.finished = True
            state.finished = state.finished or state.epoch == config.epochs
            if state.finished:
                end = {"step": state.step, "best_epoch": state.best_epoch}
                _append(log_path, {"kind": "end", **end, "seconds": round(time.perf_counter() - started, 1)})
            save()
            saved = time.perf_counter()
            if stopping() and not state.finished:
                raise KeyboardInterrupt
    assert state.best is not None
    return TrainResult(state.best_epoch, state.best, state.step, state.seconds)


def _save(folder: Path, state: _State, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    values = {
        "state": asdict(state),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    save_checkpoint(folder / "checkpoints", values)


def _resume(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, log_path: Path, monitor: Monitor
) -> _State:
    """Loads the newest checkpoint into model, optimiser and torch's generators; a fresh state where there is none."""
    values = load_checkpoint(folder / "checkpoints")
    if values is None:
        log_path.unlink(missing_ok=True)
        return _State()
    best = values["state"].pop("best")
    state = _State(best=best and Validation(**best), **values["state"])
    model.load_state_dict(values["model"])
    optimizer.load_state_dict(values["optimizer"])
    torch.set_rng_state(values["random"])
    if values["random_cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(values["random_cuda"])
    if log_path.exists() and log_path.stat().st_size > state.log_bytes:
        os.truncate(log_path, state.log_bytes)
    if not state.finished:
        monitor.note(f"going on after epoch {state.epoch}, batch {state.batch} (step {state.step})")
    return state


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: the first is only noted, so that a step can end; a second stops at once."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread alone
        yield lambda: False
        return

    owner = os.getpid()

    def note(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a process that reads data: Ctrl-C is its parent's, SIGTERM its own
            if number == signal.SIGTERM:
                os._exit(143)
            return
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_finished(out_dir: str | Path) -> bool:
    """Whether the run in `out_dir` came to its end."""
    path = Path(out_dir) / "log.jsonl"
    lines = read_text(path).splitlines() if path.is_file() else []
    try:
        return bool(lines) and json.loads(lines[-1])["kind"] == "end"
    except (ValueError, TypeError, KeyError):  # a line of which only a part was written
        return False


def _accelerator(config: TrainConfig) -> str:
    there = torch.cuda.is_available()
    if config.device == "gpu" and not there:
        raise InputError("there is no GPU that torch can use", where="device: gpu", remedy="device=auto or device=cpu")
    return "cpu" if config.device == "cpu" or not there else "cuda"


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


def train_recognizer(
    config: TrainConfig, data_dir: str | Path, out_dir: str | Path, *, monitor: Monitor | None = None
) -> TrainResult:
    """Trains a recogniser on `cuts_train.jsonl.gz` of `data_dir`, judged by `cuts_dev.jsonl.gz`.

    `out_dir` gets config.yaml, log.jsonl, checkpoints/ and model/, the best model so far. The same call after an
    interruption, however hard, goes on where it was and ends with the weights of an uninterrupted run.
    Denormal numbers are flushed to zero from here on, in this process.

    Raises:
        InputError: The data cannot be used, or `out_dir` holds a run of other settings or data.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved.
    """
    data_dir, out_dir = Path(data_dir), Path(out_dir)
    _accelerator(config)
    training, dev = (read_cuts(data_dir / f"cuts_{split}.jsonl.gz") for split in ("train", "dev"))
    torch.set_flush_denormal(True)
    with only_process(out_dir):
        return _train_recognizer(config, data_dir, training, dev, out_dir, monitor or LogMonitor())


def _train_recognizer(
    config: TrainConfig,
    data_dir: Path,
    training: list[Utterance],
    dev: list[Utterance],
    out_dir: Path,
    monitor: Monitor,
) -> TrainResult:
    text = config.model.text
    if text.words == "auto":
        text = replace(text, words="spaces" if has_word_spaces(u.text for u in training) else "none")
    model_config = replace(config.model, text=text)
    config = replace(config, model=model_config)
    facts = provenance()
    described = {
        "run": {"data": str(data_dir.resolve()), "data_sha256": _digest(training, dev), **facts},
        **to_dict(config),
    }
    resumed = _check_same(described, out_dir)
    remove_leftovers(out_dir / "model")
    tokenizer = _tokenizer(text, training, monitor)

    torch.manual_seed(config.seed)
    recognizer = build_recognizer(model_config, len(tokenizer))
    recognizer.spec_augment = config.spec_augment
    model = Model(recognizer, tokenizer, model_config, name=out_dir.name)
    if unknown := unknown_characters(model, dev):
        monitor.note(f"characters of dev that training never has, each an error: {dict(unknown.most_common(10))}")

    def batches(epoch: int, done: int) -> tuple[int, Iterable[Batch]]:
        settings: dict[str, Any] = {"batch_seconds": config.batch_seconds, "seed": config.seed, "epoch": epoch}
        plan = plan_batches([u.duration for u in training], **settings)
        stream = load_batches(
            training,
            tokenizer,
            TextNormalizer(text),
            sample_rate=recognizer.sample_rate,
            shuffle=True,
            num_workers=config.num_workers,
            skip=done,
            **settings,
        )
        return len(plan), stream

    if not resumed:
        if model_config.features.normalize == "global":
            recognizer.frontend.normalizer.fit(
                recognizer.frontend.raw(batch.samples, batch.sample_lens) for batch in batches(0, 0)[1]
            )
        write_text(out_dir / "config.yaml", yaml.safe_dump(described, allow_unicode=True, sort_keys=False))
    hours = sum(u.duration for u in training) / 3600
    parameters = sum(p.numel() for p in recognizer.parameters())
    monitor.note(
        f"{len(training)} utterances ({hours:.2f} h) for training, {len(dev)} for dev;"
        f" {len(tokenizer)} tokens, {parameters / 1e6:.2f} M parameters"
    )

    def save_best(validation: Validation, epoch: int) -> None:
        save_model(out_dir / "model", model, _card(model, data_dir, training, dev, validation, epoch, facts))

    return train(recognizer, batches, lambda: _validate(model, dev, config), save_best, config, out_dir, monitor)


def _digest(*cuts: Sequence[Utterance]) -> str:
    """Of the utterances that a run depends on."""
    return hashlib.sha256(repr(cuts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _check_same(described: dict[str, Any], out_dir: Path) -> bool:
    """Whether `out_dir` holds a run to go on with: one of the same settings and data.

    Raises:
        InputError: It holds another; the differences are listed.
    """
    path = out_dir / "config.yaml"
    if not path.exists():
        return False
    try:
        earlier = yaml.safe_load(read_text(path, limit=1 << 20))
        earlier["run"]["data_sha256"]
    except (yaml.YAMLError, TypeError, KeyError) as e:
        raise InputError("is no run of this version", where=path, remedy="choose another --out, or remove it") from e

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return found

    free = {"num_workers", "checkpoint_minutes"}  # these change nothing in the result
    old, new = flat(earlier), flat(described)
    keys = [k for k in dict.fromkeys([*old, *new]) if k == "run.data_sha256" or not (k.startswith("run.") or k in free)]
    differing = [f"{k} {old.get(k)} -> {new.get(k)}" for k in keys if old.get(k) != new.get(k)]
    if differing:
        raise InputError(
            f"holds a run of other settings or data: {', '.join(differing)}",
            where=out_dir,
            remedy="choose another --out, or remove it to start anew",
        )
    return any((out_dir / "checkpoints").glob("*.pt"))  # else it was stopped before the first


def _tokenizer(text: Any, training: Sequence[Utterance], monitor: Monitor) -> CharTokenizer:
    normalizer = TextNormalizer(text)
    texts = [normalizer(u.text) for u in training]
    empty = [u.id for u, normal in zip(training, texts, strict=True) if not normal]
    if changed := normalizer.report():
        more = f", and {len(changed) - 8} more" if len(changed) > 8 else ""
        monitor.note(f"text normalisation: {', '.join(changed[:8])}{more}")
    if empty:
        monitor.note(f"{len(empty)} utterances have no text after normalisation (first: {empty[0]})")
    return CharTokenizer.train(texts)


def _validate(model: Model, dev: Sequence[Utterance], config: TrainConfig) -> Validation:
    results = list(recognize(model, dev, batch_seconds=config.batch_seconds, num_workers=config.num_workers))
    counted = [r for r in results if not r.left_out]
    result = score([r.reference for r in results], [r.hypothesis.text for r in results])
    # The example is always the same utterance, of middling length, so that one sees it come about.
    example = min(results, key=lambda r: (abs(r.utterance.duration - 3.0), r.utterance.id))
    return Validation(
        error=result.words.rate if model.has_words else result.characters.rate,
        loss=sum(r.loss for r in counted) / max(1, sum(r.tokens for r in counted)),
        summary=result.headline(words=model.has_words),
        metrics={"wer": result.words.rate, "cer": result.characters.rate},
        example=(example.reference, example.hypothesis.text),
        only_blanks=not any(r.hypothesis.text for r in results),
    )


def _left_out_note(ids: Sequence[str]) -> str:
    return (
        f"{len(ids)} utterances have more tokens than frames and are left out: {', '.join(ids[:5])}"
        f"{', ...' if len(ids) > 5 else ''}; check their texts, or lower model.encoder.factor"
    )


def _facts(progress: Progress) -> dict[str, Any]:
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "loss": progress.loss,
        "learning_rate": progress.learning_rate,
        "gradient_norm": progress.gradient_norm,
        "audio_rate": round(progress.audio_rate, 1),
    }


def _append(path: Path, row: dict[str, Any]) -> None:
    with open(path, "a", encoding="utf-8") as f:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        f.write(json.dumps(finite, allow_nan=False) + "\n")


def _card(
    model: Model,
    data_dir: Path,
    training: Sequence[Utterance],
    dev: Sequence[Utterance],
    validation: Validation,
    epoch: int,
    facts: dict[str, Any],
) -> str:
    hours = sum(u.duration for u in training) / 3600
    speakers = len({u.speaker for u in training if u.speaker})
    return f"""# {model.name}

A speech recogniser trained with Kikitori.

- Training data: {data_dir.name}, {len(training)} utterances, {hours:.2f} h, {speakers or "unknown"} speakers.
- Dev error ({len(dev)} utterances, which chose this epoch, {epoch}): {validation.summary}.
- Audio: {model.recognizer.sample_rate} Hz. Tokens: {len(model.tokenizer)}.
- Trained by `{facts["command"]}`, commit {facts["commit"] or "unknown"}, on {facts["hardware"]}.
- Licence: that of the training data; state it here before you share the model.

Use: `asr transcribe FILE --model FOLDER`.
"""
