"""docs/corpora.md: its examples run, and it describes what there is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from wording import wording

import data_prep
from asr.cli import app
from asr.cli.prepare import corpora

PAGE = (Path(__file__).parents[2] / "docs" / "corpora.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Saves an example as a module of data_prep, and runs `asr prepare` on it."""

    def run(name: str, code: str, *words: str | Path) -> Any:
        folder = tmp_path / "modules"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.setattr(data_prep, "__path__", [*data_prep.__path__, str(folder)])
        monkeypatch.setattr(data_prep, "__file__", str(folder / "__init__.py"))
        monkeypatch.delitem(sys.modules, f"data_prep.{name}", raising=False)
        return CliRunner().invoke(app, ["prepare", name, *map(str, words)])

    return run


def test_the_page_names_all_corpora() -> None:
    for name in corpora():
        assert f"`{name}`" in PAGE, name
    assert len(EXAMPLES) == 2
    assert all(len([line for line in code.splitlines() if line.strip()]) <= 30 for code in EXAMPLES)


def test_the_example_of_a_module(
    prepare: Callable[..., Any], tmp_path: Path, prepared: Any, record: Callable[..., Path]
) -> None:
    for part, speakers in (("train", ("VIVOSSPK01", "VIVOSSPK02", "VIVOSSPK03")), ("test", ("VIVOSDEV01",))):
        keys = [f"{speaker}_R{i:03d}" for speaker in speakers for i in range(2)]
        for key in keys:
            record(tmp_path / "vivos" / part / "waves" / key.partition("_")[0] / f"{key}.wav", "xin chào", voice="vi")
        (tmp_path / "vivos" / part / "prompts.txt").write_text("".join(f"{key} XIN CHÀO\n" for key in keys))
    gone = tmp_path / "vivos" / "test" / "waves" / "VIVOSDEV01" / "VIVOSDEV01_R001.wav"
    gone.unlink()
    result = prepare("vivos", EXAMPLES[0], tmp_path / "vivos", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert wording("left-out-vivos-test-prompts", tmp_path) in result.stderr
    splits = prepared(tmp_path / "out")
    assert {split: len(found) for split, found in splits.items()} == {"train": 4, "dev": 2, "test": 1}
    assert splits["test"] == {"VIVOSDEV01_R000": ("XIN CHÀO", "VIVOSDEV01")}
    assert {speaker for _, speaker in splits["dev"].values()}.isdisjoint(s for _, s in splits["train"].values())
    again = prepare("vivos", EXAMPLES[0], tmp_path / "vivos", "--out", tmp_path / "out")
    assert "(already prepared)" in again.output


def test_the_example_of_a_recipe(
    prepare: Callable[..., Any], tmp_path: Path, prepared: Any, record: Callable[..., Path]
) -> None:
    folder = tmp_path / "stcmds" / "ST-CMDS-20170001_1-OS"
    keys = [f"20170001P{speaker:05d}A{i:04d}" for speaker in range(4) for i in range(3)]
    for key in keys:
        record(folder / f"{key}.wav", "二", voice="cmn")
        (folder / f"{key}.txt").write_text("二")
    (folder / f"{keys[0]}.txt").unlink()
    result = prepare("stcmds", EXAMPLES[1], tmp_path / "stcmds", "--out", tmp_path / "out")
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("asr: left out")]
    assert lines == [f"asr: left out: {folder}/{keys[0]}.wav: has no transcript"]
    splits = prepared(tmp_path / "out")
    assert sorted(key for found in splits.values() for key in found) == keys[1:]
    assert all(splits[split] for split in ("train", "dev", "test"))
    # a recipe that stops is no fault of ours
    (folder / f"{keys[1]}.wav").write_bytes(b"")
    result = prepare("stcmds", EXAMPLES[1], tmp_path / "stcmds", "--out", tmp_path / "other")
    assert result.exit_code == 2
    assert wording("stcmds-lhotse-s-recipe-stopped") in result.stderr
