"""What a person sees of training, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress as Bar, TextColumn

from asr.train.monitors import TerminalMonitor
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


def test_a_bar_with_lines_above_it() -> None:
    console = Console(width=200, file=io.StringIO(), force_terminal=True)
    with Bar(TextColumn("{task.description}", markup=False), console=console, auto_refresh=False) as bar:
        monitor = TerminalMonitor(bar)
        monitor.step(PROGRESS)
        bar.refresh()
        monitor.epoch(PROGRESS, VALIDATION, True)
    shown = console.file.getvalue()
    assert "epoch 2/5, step 3/10: loss 0.500, gradient 1.25, 200 audio s/s, 10 min left" in shown
    assert "asr: epoch 2/5: loss 0.500" in shown
    assert "WER 12.50 % (best); 'three' recognised as '[b]thre'" in shown  # a text is no markup
    (task,) = bar.tasks
    assert (task.completed, task.total) == (13, 50)


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    monitor = TerminalMonitor()
    monitor.step(PROGRESS)  # half a minute has not gone by
    monitor.epoch(PROGRESS, VALIDATION, False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asr: epoch 2/5: loss 0.500,")
    assert "dev loss 0.250, dev WER 12.50 %; 'three' recognised as '[b]thre'" in line
