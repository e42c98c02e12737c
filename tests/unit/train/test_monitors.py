"""What a person sees of training, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from asr.train.monitors import LiveMonitor, PlainMonitor
from asr.train.progress import Progress, Validation

PROGRESS = Progress(
    epoch=2,
    epochs=5,
    epoch_step=3,
    epoch_steps=10,
    step=13,
    loss=0.5,
    learning_rate=1e-3,
    gradient_norm=1.25,
    audio_rate=200.0,
    seconds_left=600.0,
)
VALIDATION = Validation(0.125, 0.25, "WER 12.50 %", {"wer": 0.125, "cer": 0.0625}, example=("three", "[b]thre"))


def test_live_picture_has_everything_on_lines_of_its_own() -> None:
    monitor = LiveMonitor()
    pictures: list[str] = []
    console = Console(width=100, record=True, file=io.StringIO())

    def refresh() -> None:
        console.print(monitor.picture())
        pictures.append(console.export_text())

    monitor.refresh = refresh
    monitor.step(PROGRESS)
    monitor.epoch(PROGRESS, VALIDATION, True)
    lines = [line.strip() for line in pictures[-1].splitlines()]
    assert "2  0.500     0.250  WER 12.50 %        200  best" in lines
    assert "epoch 2/5, step 3/10: loss 0.500, gradient 1.25, 200 audio s/s, 10 min left" in lines
    assert lines[-2:] == ["reference:  three", "hypothesis: [b]thre"]  # a text is no markup
    assert len(pictures) == 2


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    monitor = PlainMonitor()
    monitor.step(PROGRESS)  # half a minute has not gone by
    monitor.epoch(PROGRESS, VALIDATION, False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asr: epoch 2/5: loss 0.500,")
    assert "dev loss 0.250, dev WER 12.50 %; 'three' recognised as '[b]thre'" in line
