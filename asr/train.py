"""Training: a loop to be read from top to bottom, and what a recogniser needs around it.

`train` knows nothing of speech: it takes anything whose `forward(batch)` returns a Loss. `train_recognizer` builds a
recogniser from a configuration and prepared data, and trains it.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import yaml
from torch import nn

from asr.augment import SpecAugmentConfig
from asr.config import check, to_dict
from asr.data import Batch, Utterance, load_batches, plan_batches, read_cuts
from asr.errors import InputError
from asr.evaluate import recognize, unknown_characters
from asr.files import make_folder, read_text, write_text
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


def train(
    model: nn.Module,
    batches: Callable[[int], tuple[int, Iterable[Batch]]],
    validate: Callable[[], Validation],
    save_best: Callable[[Validation, int], None],
    config: TrainConfig,
    log_path: Path,
    monitor: Monitor,
) -> TrainResult:
    """Trains `model` in place and saves the best.

    Args:
        model: Its `forward(batch)` returns a Loss.
        batches: Epoch (from 0) -> the number of its batches, and the batches.
        validate: Measures the model on the dev set; called after each epoch.
        save_best: Called when the model is better than before, with the epoch (from 1).
        log_path: log.jsonl: a line an epoch and every few steps.
    """
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=_accelerator(config), devices=1)
    fabric.launch()
    optimizer: Any = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    runner, optimizer = fabric.setup(model, optimizer)

    started = time.perf_counter()
    smoothed: float | None = None
    step, best_epoch, best, skipped = 0, 0, None, 0
    left_out: dict[str, None] = {}
    for epoch in range(config.epochs):
        runner.train()
        count, stream = batches(epoch)
        audio, epoch_started = 0.0, time.perf_counter()
        for number, batch in enumerate(stream, 1):
            batch = batch.to(fabric.device)
            step += 1
            rate = learning_rate(config, step, (epoch + number / count) / config.epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = runner(batch)
            mean = loss.sum / loss.count
            fabric.backward(mean)
            clipped: Any = fabric.clip_gradients(runner, optimizer, max_norm=config.clip, error_if_nonfinite=False)
            norm = float(clipped)
            if math.isfinite(norm):
                optimizer.step()
            else:
                skipped += 1
                monitor.note(f"step {step}: the gradient is not finite; the step is skipped ({skipped} so far)")
            optimizer.zero_grad(set_to_none=True)
            new = [key for key, out in zip(batch.ids, loss.left_out.tolist(), strict=True) if out]
            left_out.update(dict.fromkeys(new))

            value = float(mean.detach())
            if math.isfinite(value):
                smoothed = value if smoothed is None else 0.95 * smoothed + 0.05 * value
            audio += batch.seconds
            elapsed = time.perf_counter() - started
            progress = Progress(
                epoch=epoch + 1,
                epochs=config.epochs,
                batch=number,
                batches=count,
                step=step,
                loss=value if smoothed is None else smoothed,
                learning_rate=rate,
                gradient_norm=norm,
                audio_rate=audio / (time.perf_counter() - epoch_started),
                seconds_left=elapsed * (config.epochs / (epoch + number / count) - 1),
            )
            monitor.step(progress)
            if step % 10 == 1:
                _append(log_path, {"kind": "step", **_facts(progress), "batch_loss": value})
        if epoch == 0 and left_out:
            monitor.note(_left_out_note(list(left_out)))

        validation = validate()
        better = best is None or (validation.error, validation.loss) < (best.error, best.loss)
        if better:
            best, best_epoch = validation, epoch + 1
            save_best(validation, epoch + 1)
        monitor.epoch(progress, validation, better)
        _append(
            log_path,
            {
                "kind": "epoch",
                **_facts(progress),
                "dev_loss": validation.loss,
                **{f"dev_{name}": v for name, v in validation.metrics.items()},
                "best": better,
                "left_out": len(left_out),
                "skipped_steps": skipped,
                "seconds": round(time.perf_counter() - started, 1),
            },
        )
        if validation.only_blanks and epoch == 0:
            monitor.note(BLANK_NOTE)
        if config.patience and epoch + 1 - best_epoch >= config.patience:
            monitor.note(f"no better dev error for {config.patience} epochs: stopped early")
            break
    assert best is not None
    wall_seconds = time.perf_counter() - started
    _append(log_path, {"kind": "end", "step": step, "best_epoch": best_epoch, "seconds": round(wall_seconds, 1)})
    return TrainResult(best_epoch, best, step, wall_seconds)


def is_finished(out_dir: str | Path) -> bool:
    """Whether the run in `out_dir` came to its end."""
    path = Path(out_dir) / "log.jsonl"
    lines = read_text(path).splitlines() if path.is_file() else []
    return bool(lines) and json.loads(lines[-1]).get("kind") == "end"


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

    `out_dir` gets config.yaml, log.jsonl and model/, the best model so far: also after Ctrl-C.
    Denormal numbers are flushed to zero from here on, in this process.

    Raises:
        InputError: The data cannot be used, or `out_dir` holds a run.
    """
    torch.set_flush_denormal(True)
    monitor = monitor or LogMonitor()
    data_dir, out_dir = Path(data_dir), Path(out_dir)
    _accelerator(config)
    if (out_dir / "config.yaml").exists():
        state = (
            "holds a run already"
            if is_finished(out_dir)
            else "holds a run that was stopped, and cannot be gone on with"
        )
        raise InputError(state, where=out_dir, remedy="choose another --out, or remove it")
    training, dev = read_cuts(data_dir / "cuts_train.jsonl.gz"), read_cuts(data_dir / "cuts_dev.jsonl.gz")

    text = config.model.text
    if text.words == "auto":
        text = replace(text, words="spaces" if has_word_spaces(u.text for u in training) else "none")
    model_config = replace(config.model, text=text)
    config = replace(config, model=model_config)
    tokenizer = _tokenizer(text, training, monitor)

    torch.manual_seed(config.seed)
    recognizer = build_recognizer(model_config, len(tokenizer))
    recognizer.spec_augment = config.spec_augment
    model = Model(recognizer, tokenizer, model_config, name=out_dir.name)
    if unknown := unknown_characters(model, dev):
        monitor.note(f"characters of dev that training never has, each an error: {dict(unknown.most_common(10))}")

    def batches(epoch: int) -> tuple[int, Iterable[Batch]]:
        settings: dict[str, Any] = {"batch_seconds": config.batch_seconds, "seed": config.seed, "epoch": epoch}
        plan = plan_batches([u.duration for u in training], **settings)
        stream = load_batches(
            training,
            tokenizer,
            TextNormalizer(text),
            sample_rate=recognizer.sample_rate,
            shuffle=True,
            num_workers=config.num_workers,
            **settings,
        )
        return len(plan), stream

    if model_config.features.normalize == "global":
        recognizer.frontend.normalizer.fit(
            recognizer.frontend.raw(batch.samples, batch.sample_lens) for batch in batches(0)[1]
        )
    make_folder(out_dir)
    facts = provenance()
    described = {"run": {"data": str(data_dir.resolve()), **facts}, **to_dict(config)}
    write_text(out_dir / "config.yaml", yaml.safe_dump(described, allow_unicode=True, sort_keys=False))
    (out_dir / "log.jsonl").unlink(missing_ok=True)
    hours = sum(u.duration for u in training) / 3600
    parameters = sum(p.numel() for p in recognizer.parameters())
    monitor.note(
        f"{len(training)} utterances ({hours:.2f} h) for training, {len(dev)} for dev;"
        f" {len(tokenizer)} tokens, {parameters / 1e6:.2f} M parameters"
    )

    def save_best(validation: Validation, epoch: int) -> None:
        save_model(out_dir / "model", model, _card(model, data_dir, training, dev, validation, epoch, facts))

    return train(
        recognizer, batches, lambda: _validate(model, dev, config), save_best, config, out_dir / "log.jsonl", monitor
    )


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
