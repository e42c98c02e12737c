from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, tone_data
from torch import Tensor, nn
from wording import wording

from asr.audio.augment import AugmentConfig
from asr.audio.spec_augment import SpecAugmentConfig
from asr.data.batches import Batch, Targets
from asr.models.folder import load_model
from asr.models.losses import Loss
from asr.models.objective import Objective
from asr.train.checkpoint import load_checkpoint
from asr.train.config import OptimConfig, TrainConfig
from asr.train.distributed import launch
from asr.train.progress import Progress, SilentMonitor, Validation
from asr.train.recognizer import train_recognizer
from asr.train.run_folder import is_finished, only_process
from asr.train.task import BLANK_NOTE
from asr.train.trainer import Trainer, learning_rate
from asr.utils.config import read_config
from asr.utils.device import has_bf16
from asr.utils.errors import InputError


def test_the_rate_rises_holds_and_falls() -> None:
    config = TrainConfig(learning_rate=1e-2, warmup_steps=10, hold=0.4, final_rate=0.1)
    assert learning_rate(config, 1, 0.01) == pytest.approx(1e-3)
    assert learning_rate(config, 10, 0.1) == pytest.approx(1e-2)
    assert learning_rate(config, 500, 0.4) == pytest.approx(1e-2)
    assert learning_rate(config, 700, 0.7) == pytest.approx(5.5e-3)  # half way down the cosine
    assert learning_rate(config, 1000, 1.0) == pytest.approx(1e-3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    return tone_data(folder, 60)


def test_a_small_model_learns_two_words_and_keeps_the_best(prepared: Path, tmp_path: Path) -> None:
    result = train_recognizer(SMALL, prepared, tmp_path / "exp")
    assert result.best.error < 0.1
    assert result.best.characters == result.best.metrics["cer"]  # which chooses where hardly a word is right
    assert result.best.summary == "WER {wer:.2%}, CER {cer:.2%}".format(**result.best.metrics).replace("%", " %")
    rows = [json.loads(line) for line in (tmp_path / "exp" / "log.jsonl").read_text().splitlines()]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    assert len(epochs) == 20
    assert epochs[-1]["loss"] < 0.3 * epochs[0]["loss"]
    best = min(epochs, key=lambda row: (row["dev_wer"], row["dev_loss"]))
    assert best["epoch"] == result.best_epoch
    model = load_model(tmp_path / "exp" / "model")
    assert model.tokenizer.tokens == ["<blank>", "<space>", *"ghilow"]
    assert model.config.text.words == "spaces"  # `auto` is resolved
    assert "dev" in (tmp_path / "exp" / "model" / "README.md").read_text().lower()
    assert is_finished(tmp_path / "exp")
    again = read_config(TrainConfig, tmp_path / "exp" / "config.yaml", ignore=["run"])  # a run can be repeated from it
    assert replace(again, model=SMALL.model) == SMALL
    assert train_recognizer(SMALL, prepared, tmp_path / "exp") == result  # there is nothing left to do
    assert len((tmp_path / "exp" / "log.jsonl").read_text().splitlines()) == len(rows)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(prepared: Path, tmp_path: Path) -> None:
    def weights(name: str, **changes: object) -> dict[str, Tensor]:
        config = replace(SMALL, epochs=2, **changes)
        config = replace(config, spec_augment=SpecAugmentConfig(frequency_width=4))
        train_recognizer(config, prepared, tmp_path / name)
        return load_model(tmp_path / name / "model").recognizer.state_dict()

    first, again, workers, other = weights("a"), weights("b"), weights("c", num_workers=2), weights("d", seed=2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(first[name], workers[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


class Toy(nn.Module):
    """Anything with `forward(batch) -> Loss` can be trained: this one fits a number to 3."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))
        self.poison = 0

    def forward(self, batch: Batch) -> Loss:
        loss = (self.value - 3).square().expand(2)
        if self.poison and len(batch.ids):
            self.poison -= 1
            loss = loss * float("nan")
        return Loss(loss.sum(), torch.tensor(2), loss, torch.tensor([False, True]))


class ToyTask:
    """The least that a Trainer needs."""

    unit = "words"

    def __init__(self, model: nn.Module, batches: list, validate: Any, save_best: Any = lambda *_: None) -> None:
        self.network = self.objective = model
        self.steps, self.validate, self.save_best = batches, validate, save_best
        self.per_step = 1

    def on_epoch_start(self, epoch: int) -> None:
        self.epoch = epoch

    def batches(self, epoch: int, done: int) -> tuple[int, list]:
        assert self.epoch == epoch
        return len(self.steps) // self.per_step, self.steps[done * self.per_step :]


class Notes(SilentMonitor):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def run_toy(
    tmp_path: Path,
    errors: list[float],
    model: Toy,
    patience: int = 0,
    characters: list[float] | None = None,
    epochs: int = 0,
) -> tuple[object, list[str], list[str]]:
    batch = Batch(["a", "b"], ["", ""], *[torch.zeros(2, 1)] * 2, {}, torch.zeros(2, 1), size=1.0, padded_size=1.25)
    saved: list[str] = []
    values, finer = iter(errors), iter(characters or [])
    monitor = Notes()
    task = ToyTask(
        model,
        [batch] * 3,
        lambda: Validation(next(values), loss=1.0, summary="", note=BLANK_NOTE, characters=next(finer, None)),
        lambda validation, epochs: saved.append(epochs),
    )
    config = OptimConfig(
        epochs=epochs or len(errors), learning_rate=0.3, warmup_steps=0, weight_decay=0, patience=patience
    )
    result = Trainer(launch("cpu"), task, config, tmp_path, monitor).train()
    return result, saved, monitor.notes


def test_the_loop_trains_anything_that_gives_a_loss(tmp_path: Path) -> None:
    model = Toy()
    result, saved, notes = run_toy(tmp_path, [0.9, 0.5, 0.7, 0.5, 0.3, 0.4, *[0.6] * 10], model)
    assert float(model.value.detach()) == pytest.approx(3, abs=0.2)
    assert saved == ["epoch 1", "epoch 2", "epoch 5"]
    assert result.best_epoch == 5
    assert any("more tokens than frames" in note and "3 utterances" in note for note in notes)
    assert any("blank" in note for note in notes)  # the plateau is explained


def test_early_stopping(tmp_path: Path) -> None:
    result, saved, notes = run_toy(tmp_path, [0.5, 0.4, 0.6, 0.6, 0.6, 0.1], Toy(), patience=3)
    assert saved == ["epoch 1", "epoch 2"]
    assert result.steps == 15
    assert any("stopped early" in note for note in notes)


def test_a_gradient_that_is_not_finite_changes_nothing(tmp_path: Path) -> None:
    model = Toy()
    model.poison = 2
    _, _, notes = run_toy(tmp_path, [0.5] * 8, model)
    assert float(model.value.detach()) == pytest.approx(3, abs=1)
    assert sum("not finite" in note for note in notes) == 2


def test_gradients_that_are_never_finite_end_the_run_with_advice(tmp_path: Path) -> None:
    model = Toy()
    model.poison = 1000
    with pytest.raises(InputError, match=wording("10-steps-in-a-row")):
        run_toy(tmp_path, [0.5] * 8, model)
    assert float(model.value.detach()) == 0


def test_a_gpu_without_enough_memory_gets_a_word(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(self: Objective, batch: object) -> Loss:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Objective, "forward", large)
    config = replace(SMALL, batch_seconds=100)
    with pytest.raises(InputError, match=wording("batch-of-100-s-cuda")):
        train_recognizer(config, prepared, tmp_path / "run")


def rows_of(run: Path, kind: str) -> list[dict]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


def test_what_the_log_holds_of_a_step(prepared: Path, tmp_path: Path) -> None:
    train_recognizer(replace(SMALL, epochs=1, clip=1e-4), prepared, tmp_path / "run")
    first = rows_of(tmp_path / "run", "step")[0]
    assert first["learning_rate"] == pytest.approx(2e-3)  # a tenth of the way up
    assert set(first["gradient_norms"]) == {"encoder.layers.0", "heads.characters"}
    squares = sum(norm**2 for norm in first["gradient_norms"].values())
    assert squares == pytest.approx(first["gradient_norm"] ** 2)
    assert first["clipped"] == 1  # all steps
    assert 0 < first["padding"] < 0.5
    assert 0 < first["waiting"] < 1
    assert first["audio_rate"] > 0


@pytest.mark.slow
def test_tensorboard_has_the_same_curves(prepared: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(RuntimeError):
        train_recognizer(replace(RESUMED, epochs=2), prepared, tmp_path / "run", monitor=Stop(12))
    train_recognizer(replace(RESUMED, epochs=2), prepared, tmp_path / "run")
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    losses = [(e.step, pytest.approx(e.value)) for e in board.Scalars("step/batch_loss")]
    assert [(row["step"], row["batch_loss"]) for row in rows_of(tmp_path / "run", "step")] == losses
    assert "step/gradient_norms/encoder.layers.1" in board.Tags()["scalars"]


def test_gradients_do_not_depend_on_how_a_step_is_cut_into_batches(tmp_path: Path) -> None:
    """Loss and gradient are those of one batch of all: sums over the number of all tokens."""

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = nn.Parameter(torch.zeros(1))

        def forward(self, batch: Batch) -> Loss:
            losses = (self.slope * batch.samples[:, 0] - 1).square()
            return Loss(
                losses.sum(), batch.targets[""].lens.sum(), losses, torch.zeros(len(batch.ids), dtype=torch.bool)
            )

    def batch(values: list[float]) -> Batch:
        n = len(values)
        x, lens = torch.tensor(values)[:, None], torch.full((n,), 3)
        said = {"": Targets(torch.zeros(n, 3), lens)}
        return Batch([""] * n, [""] * n, x, lens, said, lens, size=1, padded_size=1)

    logs = []
    for name, parts in {"whole": [[1.0, 2.0, 3.0, 4.0]], "parts": [[1.0], [2.0, 3.0, 4.0]]}.items():
        steps = [batch(part) for part in parts]
        config = OptimConfig(epochs=1, accumulate=len(parts), warmup_steps=0, clip=100)
        task = ToyTask(Line(), steps, lambda: Validation(1.0, 1.0, ""))
        task.per_step = len(parts)
        (tmp_path / name).mkdir()
        Trainer(launch("cpu"), task, config, tmp_path / name, SilentMonitor()).train()
        logs.append(rows_of(tmp_path / name, "step")[0])
    # at slope 0: each loss is 1, each gradient -2x; four utterances of three tokens
    assert [row["batch_loss"] for row in logs] == pytest.approx([4 / 12, 4 / 12])
    assert [row["gradient_norm"] for row in logs] == pytest.approx([20 / 12, 20 / 12])


def test_a_step_of_which_nothing_fits_changes_nothing(tmp_path: Path) -> None:
    class Nothing(Toy):
        def forward(self, batch: Batch) -> Loss:
            loss = super().forward(batch)
            self.steps = getattr(self, "steps", 0) + 1
            return loss if self.steps == 1 else Loss(loss.sum * 0, torch.tensor(0), loss.per_item * 0, loss.left_out)

    model = Nothing()
    run_toy(tmp_path, [0.5] * 3, model)
    assert float(model.value.detach()) == pytest.approx(0.3)  # the first step alone: no momentum, no decay
    assert {row["loss"] for row in rows_of(tmp_path, "epoch")} == {9.0}  # nor a loss of 0 that is none


def test_characters_count_where_hardly_a_word_is_right(tmp_path: Path) -> None:
    """A model that says nothing has 100 % and would stay the best: training would end before words are learnt."""
    errors, characters = [1.0, 1.02, 1.01, 1.03, 1.0, 0.5, 0.89, 0.5], [1.0, 0.8, 0.9, 0.7, 0.6, 0.3, 0.2, 0.2]
    result, saved, notes = run_toy(tmp_path, errors, Toy(), patience=3, characters=characters)
    assert saved == ["epoch 1", "epoch 2", "epoch 4", "epoch 5", "epoch 6"]
    assert result.best_epoch == 6
    assert not any("stopped early" in note for note in notes)


def test_averages_of_weights(tmp_path: Path) -> None:
    """The moving average is what is judged; the mean of the best epochs is judged at the end."""

    def run(name: str, errors: list[float], **changes: float) -> tuple[list[float], list[tuple[str, float]], Toy]:
        model, judged, saved, values = Toy(), [], [], iter(errors)
        batch = Batch(["a", "b"], ["", ""], *[torch.zeros(2, 1)] * 2, {}, torch.zeros(2, 1), size=1.0, padded_size=1.0)

        def validate() -> Validation:
            judged.append(float(model.value.detach()))
            return Validation(error=next(values), loss=1.0, summary="")

        settings = {"epochs": 4, "learning_rate": 0.3, "warmup_steps": 0, "weight_decay": 0, "patience": 0, **changes}
        (tmp_path / name).mkdir()
        task = ToyTask(
            model, [batch], validate, lambda validation, epochs: saved.append((epochs, float(model.value.detach())))
        )
        Trainer(launch("cpu"), task, OptimConfig(**settings), tmp_path / name, SilentMonitor()).train()
        return judged, saved, model

    raw, saved, model = run("plain", [0.4, 0.3, 0.2, 0.1])
    assert saved[-1] == ("epoch 4", raw[-1])
    judged, saved, model = run("ema", [0.4, 0.3, 0.2, 0.1], ema=0.9)
    average = 0.0
    for step, value in enumerate(raw):  # it begins with the first
        decay = min(0.9, (1 + step) / (10 + step)) if step else 0.0
        average = decay * average + (1 - decay) * value
    assert judged[-1] == pytest.approx(average)
    assert saved[-1][1] == pytest.approx(average)
    assert float(model.value.detach()) == pytest.approx(raw[-1])  # training goes on from the weights themselves
    judged, saved, _ = run("best", [0.4, 0.2, 0.3, 0.1, 0.05], average_best=3)
    assert judged[-1] == pytest.approx((raw[1] + raw[2] + raw[3]) / 3)
    assert saved[-1] == ("the average of epochs 2, 3, 4", pytest.approx(judged[-1]))
    names = {path.name for path in (tmp_path / "best" / "checkpoints").glob("epoch-*")}
    assert names == {f"epoch-000{epoch}.safetensors" for epoch in (2, 3, 4)}
    judged, saved, _ = run("worse", [0.4, 0.2, 0.3, 0.1, 0.11], average_best=3)
    assert saved[-1] == ("epoch 4", raw[-1])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_precision_can_be_given_as_it_is_documented(precision: str, prepared: Path, tmp_path: Path) -> None:
    config = read_config(TrainConfig, None, [f"precision={precision}"])
    assert config.precision == precision
    if precision == "fp16" and not torch.cuda.is_available():
        with pytest.raises(InputError, match=wording("for-gpus")):
            train_recognizer(replace(SMALL, precision="fp16"), prepared, tmp_path / "run")


def test_half_precision_where_the_processor_has_none(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr.utils.device.has_bf16", lambda: False)
    with pytest.raises(InputError, match=wording("precision-bf16-precision-fp32")):
        train_recognizer(replace(SMALL, precision="bf16", device="cpu"), prepared, tmp_path / "run")


def test_checkpoints_without_their_settings_are_refused(prepared: Path, tmp_path: Path) -> None:
    train_recognizer(replace(SMALL, epochs=1), prepared, tmp_path / "run")
    (tmp_path / "run" / "config.yaml").unlink()
    with pytest.raises(InputError, match=wording("config-yaml-is-gone")):
        train_recognizer(replace(SMALL, epochs=1), prepared, tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bfloat16")
@pytest.mark.slow
def test_half_precision_learns_too(prepared: Path, tmp_path: Path) -> None:
    """On a CPU it is slow, but the same code."""
    whole = train_recognizer(replace(SMALL, epochs=3), prepared, tmp_path / "whole")
    half = train_recognizer(replace(SMALL, epochs=3, precision="bf16"), prepared, tmp_path / "half")
    assert half.best.loss == pytest.approx(whole.best.loss, rel=0.1)
    assert half.best.loss != whole.best.loss


class Stop(SilentMonitor):
    """Stops a run at a step, as Ctrl-C (by a signal) or as a crash (by an exception)."""

    def __init__(self, step: int, signal_number: int = 0) -> None:
        self.at, self.signal_number = step, signal_number

    def step(self, progress: Progress) -> None:
        if progress.step == self.at:
            if not self.signal_number:
                raise RuntimeError("crash")
            signal.raise_signal(self.signal_number)


RESUMED = replace(
    SMALL,
    model=replace(SMALL.model, encoder=replace(SMALL.model.encoder, layers=2, dropout=0.3)),
    spec_augment=SpecAugmentConfig(frequency_width=4),
    augment=AugmentConfig(speed=(0.9, 1.0, 1.1), noise="generated", reverb="generated", volume=3),
    epochs=3,
    ema=0.9,
    average_best=2,
    checkpoint_minutes=0,  # after each step
)


def state_of(run: Path) -> tuple[dict[str, Tensor], list[tuple]]:
    """Weights at the end, and what the log says apart from times."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    facts = [tuple(v for k, v in row.items() if k not in ("audio_rate", "seconds", "waiting")) for row in rows]
    state = load_checkpoint(run / "checkpoints")
    assert state is not None
    return state["model"], facts


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_to_the_same_weights_bit_for_bit(
    prepared: Path, tmp_path: Path, num_workers: int
) -> None:
    config = replace(RESUMED, num_workers=num_workers)
    whole = train_recognizer(replace(config, num_workers=0), prepared, tmp_path / "whole")
    steps = whole.steps // 3
    # in an epoch, by Ctrl-C; at an epoch's last step; by a crash; by SIGTERM
    for monitor, error in [
        (Stop(3, signal.SIGINT), KeyboardInterrupt),
        (Stop(steps, signal.SIGINT), KeyboardInterrupt),
        (Stop(steps + 2), RuntimeError),
        (Stop(2 * steps + 1, signal.SIGTERM), KeyboardInterrupt),
    ]:
        with pytest.raises(error):
            train_recognizer(config, prepared, tmp_path / "stopped", monitor=monitor)
    assert train_recognizer(config, prepared, tmp_path / "stopped").best == whole.best
    weights, log = state_of(tmp_path / "stopped")
    expected, expected_log = state_of(tmp_path / "whole")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert log == expected_log
    best, expected_best = (load_model(tmp_path / n / "model").recognizer.state_dict() for n in ("stopped", "whole"))
    assert all(torch.equal(best[name], expected_best[name]) for name in best)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_recognizer(RESUMED, prepared, tmp_path / "whole")
    with pytest.raises(RuntimeError):
        train_recognizer(RESUMED, prepared, tmp_path / "run", monitor=Stop(8))
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:2000])
    train_recognizer(RESUMED, prepared, tmp_path / "run")
    assert wording("last-pt-is-damaged") in caplog.text
    weights, expected = state_of(tmp_path / "run")[0], state_of(tmp_path / "whole")[0]
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_anew(prepared: Path, tmp_path: Path) -> None:
    train_recognizer(RESUMED, prepared, tmp_path / "whole")
    with pytest.raises(RuntimeError):
        train_recognizer(replace(RESUMED, checkpoint_minutes=5), prepared, tmp_path / "run", monitor=Stop(2))
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / ".last.pt.4711.part").write_bytes(b"half")
    train_recognizer(RESUMED, prepared, tmp_path / "run")
    assert state_of(tmp_path / "run")[1] == state_of(tmp_path / "whole")[1]
    weights, expected = state_of(tmp_path / "run")[0], state_of(tmp_path / "whole")[0]
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("last", ['{"kind": "epo', '{"kind": "epoch"}', "7", ""])
def test_a_log_that_ends_otherwise_is_not_finished(tmp_path: Path, last: str) -> None:
    log = tmp_path / "log.jsonl"
    assert not is_finished(tmp_path)
    log.write_text('{"kind": "step"}\n' + last)
    assert not is_finished(tmp_path)
    log.write_text('{"kind": "step"}\n{"kind": "end"}\n')
    assert is_finished(tmp_path)


def test_another_run_in_the_same_folder_is_refused(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr.train.run_folder._LOCK_SECONDS", 0.1)
    with pytest.raises(RuntimeError):
        train_recognizer(RESUMED, prepared, tmp_path / "run", monitor=Stop(5))
    encoder = replace(RESUMED.model.encoder, hidden=16)
    changed = replace(RESUMED, learning_rate=1e-3, model=replace(RESUMED.model, encoder=encoder))
    with pytest.raises(InputError, match=wording("hidden-32-16-learning-rate")):
        train_recognizer(changed, prepared, tmp_path / "run")
    other = tone_data(tmp_path, 40)
    with pytest.raises(InputError, match="data_sha256"):
        train_recognizer(RESUMED, other, tmp_path / "run")
    with only_process(tmp_path / "run"), pytest.raises(InputError, match=wording("another-process")):
        train_recognizer(RESUMED, prepared, tmp_path / "run")


def test_a_finished_run_can_be_prolonged(prepared: Path, tmp_path: Path) -> None:
    """Its weights go on, its learning rate is that of the longer run; a shorter one is another run."""
    train_recognizer(replace(RESUMED, epochs=2), prepared, tmp_path / "run")
    assert is_finished(tmp_path / "run")
    monitor = Notes()
    result = train_recognizer(replace(RESUMED, epochs=5), prepared, tmp_path / "run", monitor=monitor)
    (told,) = (note for note in monitor.notes if note.startswith("prolonged"))
    assert {"2", "5"} <= set(re.findall(r"\d+", told))
    rows = rows_of(tmp_path / "run", "epoch")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["step"] == result.steps
    for row, epochs in zip(rows, (2, 2, 5, 5, 5), strict=True):
        rate = learning_rate(replace(RESUMED, epochs=epochs), row["step"], row["epoch"] / epochs)
        assert row["learning_rate"] == pytest.approx(rate)
    assert read_config(TrainConfig, tmp_path / "run" / "config.yaml", ignore=["run"]).epochs == 5
    assert is_finished(tmp_path / "run")
    again = train_recognizer(replace(RESUMED, epochs=5), prepared, tmp_path / "run")
    assert (again.best_from, again.steps) == (result.best_from, result.steps)
    with pytest.raises(InputError, match="epochs 5 -> 3"):
        train_recognizer(replace(RESUMED, epochs=3), prepared, tmp_path / "run")


def test_patience_begins_anew_where_a_run_is_prolonged(tmp_path: Path) -> None:
    run_toy(tmp_path, [0.5, 0.6, 0.7, 0.8], Toy(), patience=3)
    _, saved, notes = run_toy(tmp_path, [0.9, 0.9, 0.1, 0.2, 0.3], Toy(), patience=3, epochs=9)
    assert saved == ["epoch 7"]
    assert not any("stopped early" in note for note in notes)


def test_training_shows_its_progress_by_itself(prepared: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    train_recognizer(replace(SMALL, epochs=2), prepared, tmp_path / "run")
    said = capfd.readouterr().err
    assert "epoch 1/2" in said
    assert "epoch 2/2" in said


@pytest.mark.parametrize("change", [{"epochs": 0}, {"learning_rate": 0.0}, {"clip": 0.0}, {"batch_seconds": -1.0}])
def test_settings_that_cannot_be(change: dict) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        TrainConfig(**change)
