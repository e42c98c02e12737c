"""Broken files, some hundred of them, each read in a process of its own; and whether a reader that fails is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fuzz
import pytest

HARNESS = Path(__file__).parents[1] / "fuzz.py"


def test_broken_files_are_taken_or_refused() -> None:
    done = subprocess.run(
        [sys.executable, str(HARNESS), "--mutants", "300", "--seed", "1"], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout
    assert "300 in all, 0 failed" in done.stdout
    taken = sum(int(line.split()[3]) for line in done.stdout.splitlines() if " tried, " in line)
    assert 30 < taken < 270  # mutants are neither all harmless nor all worthless


def crash(_: Path) -> None:
    os.abort()


def stray(path: Path) -> None:
    (path.parent.parent / "stray").write_text("x")


def hang(_: Path) -> None:
    time.sleep(60)


def grow(_: Path) -> None:
    bytearray(2 << 30)


def shell(_: Path) -> None:
    os.system("true")


def bug(_: Path) -> None:
    raise KeyError("x")


@pytest.mark.parametrize(
    ("reader", "why"),
    [
        (crash, "exit -6"),
        (stray, "wrote "),
        (hang, "more than 1 s"),
        (grow, "more than 1 GB"),
        (shell, "a program was started"),
        (bug, "KeyError"),
    ],
)
def test_a_reader_that_fails_is_noticed(
    reader: Callable[[Path], None], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    (tmp_path / "0").mkdir()
    result, reason = fuzz.tried(reader, tmp_path / "0" / "a")
    assert result == "failed"
    assert why in reason


def test_a_reader_that_takes_or_refuses(tmp_path: Path) -> None:
    from asr.utils.errors import InputError

    def refuse(_: Path) -> None:
        raise InputError("no")

    (tmp_path / "0").mkdir()
    assert fuzz.tried(lambda _: None, tmp_path / "0" / "a") == ("taken", "")
    assert fuzz.tried(refuse, tmp_path / "0" / "a") == ("refused", "")
