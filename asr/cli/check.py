"""asr check"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.common import Preset


def check(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A folder made by `asr prepare`, or a cut manifest (cuts_*.jsonl.gz)."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE ...]", help="Settings that win over those of --config."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The settings to train with, as for `asr train`; else its defaults.")
    ] = None,
    preset: Preset = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report as a page, with examples of augmentation.")
    ] = None,
    trial: Annotated[
        float | None,
        typer.Option("--trial", help="Seconds of training tried, to tell how long it takes; 0: none."),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show all cases of each finding, not a few.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with all cases.")] = False,
) -> None:
    """Look for what would go wrong in training.

    Exit code 1 where something would ruin it. The second time is quick: what was measured of the audio is kept in
    DATA/.audio_facts.jsonl.
    """
    from asr.cli.common import config_and_settings, counter, given
    from asr.utils.device import configure_torch

    configure_torch()
    from asr.data.check import (
        AugmentedExample,
        augmented_examples,
        cache_path,
        check_data,
        read_splits,
        report_page,
        report_text,
    )
    from asr.train.config import TrainConfig
    from asr.train.time_estimate import TimeEstimate, estimate_time
    from asr.utils.config import read_config
    from asr.utils.errors import InputError
    from asr.utils.files import write_text

    wanted = read_config(
        TrainConfig,
        *config_and_settings([*([str(config)] if config else []), *(settings or [])], preset),
        ignore=["run"],
    )
    splits = read_splits(data)
    report = check_data(
        splits,
        wanted.model,
        batch_seconds=wanted.batch_seconds,
        fastest=max(wanted.augment.speed),
        cache=cache_path(data),
        progress=counter("audio read"),
    )
    training, dev = splits.get("train", []), splits.get("dev", [])
    estimate: TimeEstimate | None = None
    examples: list[AugmentedExample] = []
    trouble = ""  # of what is tried; the report itself is not lost
    if not report.fatal and training:
        try:
            if dev and trial != 0:
                estimate = estimate_time(wanted, training, dev, **given(seconds=trial))
            if html is not None:
                examples = augmented_examples(
                    training,
                    wanted.model.features,
                    wanted.augment,
                    wanted.spec_augment,
                    seed=wanted.seed,
                    epoch=wanted.epochs,
                )
        except InputError as e:
            trouble = f"training would fail: {e}"
    words = trouble or str(estimate or "")
    if as_json:
        print(json.dumps({**report.as_dict(), "training": estimate and asdict(estimate), "trouble": trouble}))
    else:
        print(report_text(report, examples=1 << 30 if show_all else None, training_time=words))
    if html is not None:
        title = (data if data.is_dir() else data.parent).resolve().name
        write_text(html, report_page(report, title=title, examples=examples, training_time=words))
    if report.fatal or trouble:
        raise typer.Exit(1)
