"""asr check"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.common import counter, given
from asr.cli.training import Preset, Settings, training_config
from asr.utils.device import configure_torch
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from asr.data.check import AugmentedExample
    from asr.data.cuts import Utterance
    from asr.train.config import TrainConfig
    from asr.train.time_estimate import TimeEstimate


def check(
    words: Settings = None,
    *,
    data: Annotated[
        Path, typer.Option("--data", help="A folder made by `asr prepare`, or a cut manifest (cuts_*.jsonl.gz).")
    ],
    preset: Preset = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report as a page, with examples of augmentation.")
    ] = None,
    trial: Annotated[
        float | None, typer.Option("--trial", help="Seconds of training tried, to tell how long it takes; 0: none.")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show all cases of each finding, not a few.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with all cases.")] = False,
) -> None:
    """Look for what would go wrong in training.

    Exit code 1 where something would ruin it. The second time is quick: what was measured of the audio is kept in
    DATA/.audio_facts.jsonl.
    """
    configure_torch()
    from asr.data.check import cache_path, check_data, read_splits, report_page, report_text
    from asr.utils.files import write_text

    wanted = training_config(words, preset)
    splits = read_splits(data)
    report = check_data(
        splits,
        wanted.model,
        batch_seconds=wanted.batch_seconds,
        fastest=max(wanted.augment.speed),
        cache=cache_path(data),
        progress=counter("audio read"),
    )
    tried = _Tried()
    if not report.fatal and splits.get("train"):
        tried.attempt(wanted, splits, trial, examples=html is not None)
    if as_json:
        training = tried.estimate and asdict(tried.estimate)
        print(json.dumps({**report.as_dict(), "training": training, "trouble": tried.trouble}))
    else:
        print(report_text(report, examples=1 << 30 if show_all else None, training_time=str(tried)))
    if html is not None:
        title = (data if data.is_dir() else data.parent).resolve().name
        write_text(html, report_page(report, title=title, examples=tried.examples, training_time=str(tried)))
    if report.fatal or tried.trouble:
        raise typer.Exit(1)


class _Tried:
    """What some seconds of training tell; where they fail, the report is not lost."""

    def __init__(self) -> None:
        self.estimate: TimeEstimate | None = None
        self.examples: list[AugmentedExample] = []
        self.trouble = ""

    def __str__(self) -> str:
        return self.trouble or str(self.estimate or "")

    def attempt(
        self, config: TrainConfig, splits: dict[str, list[Utterance]], seconds: float | None, *, examples: bool
    ) -> None:
        from asr.audio.augment import check_folders
        from asr.data.check import augmented_examples
        from asr.models.hub import find_model
        from asr.train.time_estimate import estimate_time

        training, dev = splits["train"], splits.get("dev", [])
        try:
            if config.init_from:
                find_model(config.init_from)
            check_folders(config.augment, config.model.features.sample_rate)
            if dev and seconds != 0:
                self.estimate = estimate_time(config, training, dev, **given(seconds=seconds))
            if examples:
                augmentation = config.model.features, config.augment, config.spec_augment
                self.examples = augmented_examples(training, *augmentation, seed=config.seed, epoch=config.epochs)
        except InputError as e:
            self.trouble = f"training would fail: {e}"
