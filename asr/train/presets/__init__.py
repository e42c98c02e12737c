"""Settings of trainings that come with the package: a YAML file each, whose first line says what it is for."""

from __future__ import annotations

import difflib
from pathlib import Path

from asr.utils.errors import InputError

_FOLDER = Path(__file__).parent


def available_presets() -> dict[str, str]:
    """Returns what each preset is for, by its name."""
    files = sorted(_FOLDER.glob("*.yaml"))
    return {path.stem: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in files}


def preset_path(name: str) -> Path:
    """Returns the file of a preset.

    Raises:
        InputError: There is none of that name.
    """
    names = list(available_presets())
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"there is no preset {name!r}", remedy=f"{guess}There are {', '.join(names)}")
    return _FOLDER / f"{name}.yaml"
