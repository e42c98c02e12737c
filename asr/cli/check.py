"""asr check"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


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
    show_all: Annotated[bool, typer.Option("--all", help="Show all cases of each finding, not a few.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with all cases.")] = False,
) -> None:
    """Look for what would go wrong in training.

    Exit code 1 where something would ruin it. The second time is quick: what was measured of the audio is kept in
    DATA/.audio_facts.jsonl.
    """
    from asr.cli.common import counter, ready_torch

    ready_torch()
    from asr.config import read_config
    from asr.preflight import cache_path, check_data, read_splits, report_text
    from asr.train import TrainConfig

    wanted = read_config(TrainConfig, config, settings or [], ignore=["run"])
    report = check_data(
        read_splits(data),
        wanted.model,
        batch_seconds=wanted.batch_seconds,
        cache=cache_path(data),
        progress=counter("audio read"),
    )
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        print(report_text(report, examples=1 << 30 if show_all else None))
    if report.fatal:
        raise typer.Exit(1)
