"""The table of what each part of the recipe is worth is that of what was measured."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "mini_librispeech"


def test_the_table_is_what_was_measured() -> None:
    script = runpy.run_path(str(FOLDER / "ablation.py"))
    kept = json.loads((FOLDER / "ablation.json").read_text(encoding="utf-8"))
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert script["page"](readme, kept) == readme
    assert set(kept) <= {*script["TRAINED"], *script["SEARCHED"]}
    assert script["BASE"] in kept


def test_its_commits_are_in_the_history() -> None:
    root = FOLDER.parents[1]
    if not (root / ".git").exists() or (root / ".git" / "shallow").exists():
        pytest.skip("no whole history here")
    kept = json.loads((FOLDER / "ablation.json").read_text(encoding="utf-8"))
    known = subprocess.run(["git", "-C", root, "rev-list", "HEAD"], capture_output=True, text=True, check=True).stdout
    for entry in kept.values():
        for commit in (entry["trained"]["commit"], *(score["commit"] for score in entry["scores"].values())):
            assert f"\n{commit}" in f"\n{known}"
