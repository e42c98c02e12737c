"""What the verbs that train have in common: [CONFIG] [KEY=VALUE ...] --preset NAME --data DATA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.utils.errors import InputError

if TYPE_CHECKING:
    from asr.train.config import TrainConfig

Data = Annotated[Path, typer.Option("--data", help="A folder made by `asr prepare`.")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONFIG] [KEY=VALUE ...]",
        help="A YAML file of settings, and settings that win over it or over --preset. All have defaults.",
    ),
]
Preset = Annotated[
    str | None, typer.Option("--preset", help="Settings that come with the package: `asr train --list` shows them.")
]


def training_config(words: list[str] | None, preset: str | None) -> TrainConfig:
    """The settings of a training, from [CONFIG] [KEY=VALUE ...] or --preset. CONFIG may be a run's own config.yaml."""
    from asr.train.config import TrainConfig
    from asr.train.presets import preset_path
    from asr.utils.config import read_config

    config, overrides = config_and_settings(words)
    if preset is not None:
        if config is not None:
            raise InputError(f"cannot go with --preset {preset}", where=config, remedy="leave one of them out")
        config = preset_path(preset)
    return read_config(TrainConfig, config, overrides, ignore=["run"])


def config_and_settings(words: list[str] | None) -> tuple[Path | None, list[str]]:
    """The file of settings, if there is one, and the settings that win over it, from [CONFIG] [KEY=VALUE ...]."""
    config, overrides = None, list(words or [])
    if overrides and "=" not in overrides[0]:
        config = Path(overrides.pop(0))
    return config, overrides
