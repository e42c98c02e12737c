"""Whether a reader that fails is noticed; `make soak` gives it broken files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import fuzz
import pytest


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
