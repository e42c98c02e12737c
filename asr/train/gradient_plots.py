"""Pictures of what `asr.train.gradient_flow` measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asr.train.gradient_flow import NAMES, CellResult, Fading

_STYLES: dict[str, dict[str, Any]] = {
    "rnn": {"linestyle": ":", "color": "0.0"},
    "rnn-relu": {"linestyle": "-.", "color": "0.55"},
    "rnn-sigmoid": {"linestyle": (0, (4, 1, 1, 1, 1, 1)), "color": "0.35"},
    "lstm": {"linestyle": "-", "color": "0.0"},
    "gru": {"linestyle": "--", "color": "0.3"},
}


def draw(results: Sequence[CellResult], frame_seconds: float, clip: float, path: Path, format: str) -> None:
    """Four pictures of what was measured; lines differ in their kind, not their colour alone."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.5), layout="constrained")
    axes = figure.subplots(2, 2)
    for place, title in ((0, "before training"), (1, f"after {results[0].stages[-1].steps} steps")):
        axis = axes[0][place]
        for result in results:
            fading = result.stages[-1 if place else 0].hidden
            _draw_fading(axis, fading, frame_seconds, label=NAMES[result.kind], **_STYLES[result.kind])
        axis.set(title=title, yscale="log", xlabel="seconds before", ylabel="gradient left, by h", ylim=(1e-12, 3))
        axis.legend(fontsize=8, loc="lower right")
    axis = axes[1][0]
    for result in results:
        width = max(1, len(result.norms) // 40)  # steps
        smooth = np.convolve(np.log(np.maximum(result.norms, 1e-9)), np.ones(width) / width, "valid")
        label = f"{NAMES[result.kind]}: {100 * result.clipped:.0f} % clipped"
        axis.plot(np.exp(smooth), label=label, **_STYLES[result.kind])
    axis.axhline(clip, color="0.7", linewidth=0.8)
    axis.set(title="the gradient of a step, before it is clipped", yscale="log", xlabel="training step", ylabel="norm")
    axis.legend(fontsize=8)
    axis = axes[1][1]
    by_bias = next((result.slopes_by_bias for result in results if result.slopes_by_bias), {})
    for number, (bias, fading) in enumerate(by_bias.items()):
        line = (":", "-.", "-", "--")[number % 4]
        _draw_fading(axis, fading, frame_seconds, label=f"bias {bias}", linestyle=line, color="0.0")
    if by_bias:
        axis.legend(fontsize=8, loc="lower left")
    axis.set(title="LSTM before training, by its forget gate's bias", yscale="log", xlabel="seconds before")
    axis.set(ylabel="gradient left, by c", ylim=(1e-12, 3))
    figure.savefig(path, format=format, dpi=150, metadata={"Date": None} if format == "svg" else None)


def _draw_fading(axis: Any, fading: Fading, frame_seconds: float, **style: Any) -> None:
    lags = np.arange(len(fading.median)) * frame_seconds
    axis.plot(lags, np.maximum(fading.median, 1e-16), linewidth=1.6, **style)


def draw_gates(example: dict[str, Any], path: Path, format: str) -> None:
    """An utterance and its gates: the median of the units, the middle half of them grey."""
    from matplotlib.figure import Figure

    gates: dict[str, list[list[float]]] = example["gates"]
    figure = Figure(figsize=(9, 1.8 * (1 + len(gates))), layout="constrained")
    axes = figure.subplots(1 + len(gates), sharex=True)
    mel = np.array(example["features"]).T
    axes[0].imshow(mel, aspect="auto", origin="lower", cmap="gray_r", extent=(0, example["seconds"], 0, len(mel)))
    axes[0].set_ylabel("mel band")
    for axis, (name, (low, median, high)) in zip(axes[1:], gates.items(), strict=True):
        at = (np.arange(len(median)) + 0.5) * example["frame_seconds"]
        axis.fill_between(at, low, high, color="0.8")
        axis.plot(at, median, color="0.0")
        axis.set(ylabel=f"{name} gate", ylim=(0, 1))
    axes[-1].set_xlabel("seconds")
    figure.suptitle(NAMES[example["kind"]])
    figure.savefig(path, format=format, dpi=150, metadata={"Date": None} if format == "svg" else None)
