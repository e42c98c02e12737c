"""asr train"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.common import is_quiet, say
from asr.cli.training import Data, Preset, Settings, training_config


def _list_presets(asked: bool) -> None:
    if asked:
        from asr.train.presets import available_presets

        for name, purpose in available_presets().items():
            print(f"{name:14}{purpose}")
        raise typer.Exit


def train(
    words: Settings = None,
    *,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for the run, e.g. exp/fsdd.")],
    preset: Preset = None,
    list_presets: Annotated[
        bool,
        typer.Option("--list", callback=_list_presets, is_eager=True, help="Show the presets, and what each is for."),
    ] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not look for faults of the data first.")] = False,
) -> None:
    """Train a recogniser.

    The best model so far lies in OUT/model. After an interruption, even a hard one, the same command goes on.
    """
    from asr.utils.device import configure_torch

    configure_torch()
    from asr.train.distributed import is_main_process
    from asr.train.monitors import training_monitor
    from asr.train.recognizer import train_recognizer

    wanted = training_config(words, preset)
    try:
        with training_monitor(quiet=is_quiet()) as monitor:
            result = train_recognizer(wanted, data, out, monitor=monitor, check=not no_check)
    except KeyboardInterrupt:
        if not is_main_process():
            raise
        if (out / "model").is_dir():
            say(f"asr: the best model so far is {out}/model")
        if (out / "checkpoints").is_dir():
            say("asr: the same command goes on where this stopped")
        raise
    if not is_main_process():
        return
    if result.best.only_blanks:
        say(f"asr: the model hears nothing: more speech, more epochs, or look for faults: `asr check --data {data}`")
    print(f"{out}/model: dev {result.best.summary} ({result.best_from}), {result.wall_seconds:.0f} s")
    say(f"asr: next: asr evaluate {data}/cuts_test.jsonl.gz --model {out}/model --out {out}/results/test")
