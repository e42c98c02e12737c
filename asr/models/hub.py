"""The name of a model -> its folder. No torch here."""

from __future__ import annotations

import difflib
from pathlib import Path

from asr.utils.errors import InputError

SHIPPED = Path(__file__).parents[1] / "shipped"


def available_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/config.yaml"))


def model_name(folder: Path) -> str:
    """What a model folder is called: exp/fsdd/model is fsdd."""
    path = folder.resolve()
    return path.parent.name if path.name == "model" else path.name


def find_model(model: str | Path) -> Path:
    """The folder of a model: itself, the one inside a run's folder, or that of one that comes with the package."""
    folder = Path(model)
    try:
        if (folder / "model" / "config.yaml").is_file():  # the run's folder
            return folder / "model"
        if (folder / "config.yaml").is_file():
            return folder
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror or e})", where=model) from e
    names = available_models()
    if str(model) in names:
        return SHIPPED / str(model)
    if folder.is_dir():
        raise InputError("is not a model folder: it has no config.yaml", where=folder)
    near = difflib.get_close_matches(folder.name, names, 1)
    guess = f"did you mean {near[0]}? Else " if near else ""
    raise InputError(
        "no such model",
        where=model,
        remedy=f"{guess}name a model folder, or one that comes with the package: {', '.join(names) or 'there is none'}",
    )


def folder_size(folder: str | Path) -> dict[str, int]:
    """Bytes of each file of a model folder."""
    return {path.name: path.stat().st_size for path in sorted(Path(folder).iterdir())}
