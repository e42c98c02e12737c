from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asr.utils.errors import InputError
from asr.utils.plugins import load_plugin


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_a_file_and_a_module_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first_plugin.py").write_text("loaded = True\n")
    (tmp_path / "second_plugin.py").write_text("loaded = True\n")
    load_plugin(str(tmp_path / "first_plugin.py"))
    assert sys.modules["first_plugin"].loaded
    monkeypatch.chdir(tmp_path)
    load_plugin("second_plugin")
    assert sys.modules["second_plugin"].loaded
    load_plugin("second_plugin.py")  # again, by its file


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("queue.py", "loaded = True", "'queue'"),  # another module has this name
        ("broken_plugin.py", "1 / 0", "ZeroDivisionError"),
        ("lacking_plugin.py", "import not_there_at_all", "not_there_at_all"),
    ],
)
def test_files_that_cannot_be_loaded(tmp_path: Path, name: str, text: str, part: str) -> None:
    (tmp_path / name).write_text(text + "\n")
    with pytest.raises(InputError, match=part) as error:
        load_plugin(str(tmp_path / name))
    assert name in str(error.value)


@pytest.mark.parametrize("module", ["nowhere.py", "nowhere_at_all", "nowhere.at.all"])
def test_what_is_not_there(module: str) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_plugin(module)
