"""asr models"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.utils.errors import InputError
from asr.utils.unicode import on_one_line


def models(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER ...]", help="Searched for models, too. Default: exp, if it is there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """List the models that come with the package, and those in folders."""
    from asr.models.hub import SHIPPED, available_models, folder_size

    found = {name: SHIPPED / name for name in available_models()}
    for folder in folders or []:
        if not folder.is_dir():
            raise InputError("no such folder", where=folder)
    for folder in folders or [path for path in [Path("exp")] if path.is_dir()]:
        for path in sorted(folder.rglob("config.yaml")):
            if (path.parent / "model.safetensors").is_file():
                found[str(path.parent)] = path.parent
    rows = []
    for name, folder in found.items():
        size = sum(folder_size(folder).values())
        rows.append({"model": name, **_facts(folder), "megabytes": round(size / 1e6, 1)})
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    for row in rows:
        print(f"{on_one_line(row['model'])}  ({row['language'] or 'language not said'}, {row['megabytes']} MB)")
        for label in ("error", "licence"):
            print(f"    {label}: {row[label] or 'not said'}")


def _facts(folder: Path) -> dict[str, Any]:
    """What a model's configuration and card say of it."""
    import yaml

    from asr.utils.files import read_text

    facts: dict[str, Any] = {"language": "", "error": "", "licence": ""}
    try:
        config = yaml.safe_load(read_text(folder / "config.yaml", limit=1 << 20))
        facts["language"] = on_one_line(str(config.get("text", {}).get("language", "")))
        card = read_text(folder / "README.md", limit=1 << 20)
    except (InputError, yaml.YAMLError, AttributeError):
        return facts
    points = re.split(r"\n(?=- |\n)", card)
    for label, pattern in (("error", r"- \W*(?:Dev e|E)rrors?\b"), ("licence", r"- \W*Licence\b")):
        text = next((point for point in points if re.match(pattern, point.strip())), "")
        text = " ".join(re.sub(r"[*`]", "", text).split())
        facts[label] = on_one_line(re.split(r"(?<=[^\W\d])\. ", text.partition(": ")[2])[0])
    return facts
