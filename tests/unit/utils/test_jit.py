"""Compiling with numba: what is kept, where, and what is said."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wording import wording

from asr.utils import jit

TOY = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from asr.utils.jit import jit, warm_up

@jit
def half(x):
    return other(x) / 2

@jit
def other(x):
    return x + 1

if __name__ == "__main__":
    import toy
    warm_up("toy", toy.half, lambda: toy.half(3))
    print(toy.half(5), sum(toy.half.stats.cache_hits.values()), sum(toy.half.stats.cache_misses.values()))
"""


def test_an_installation_that_cannot_be_written(tmp_path: Path) -> None:
    """What is compiled is kept in the user's cache folder; where that is damaged, it is compiled for one process."""
    site, cache = tmp_path / "site", tmp_path / "cache"
    site.mkdir()
    (site / "toy.py").write_text(TOY)
    (site / "__pycache__").write_text("not a folder")  # root may write anywhere, but not here
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(Path(jit.__file__).parents[2])])}
    environment |= {"XDG_CACHE_HOME": str(cache), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    for attempt, hits, misses in (("compiles", 0, 1), ("is kept", 1, 0), ("is damaged", 0, 1)):
        if attempt == "is damaged":
            for index in cache.rglob("*.nbi"):
                index.write_bytes(index.read_bytes()[:10])
        done = subprocess.run(
            [sys.executable, "-m", "toy"], capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"3.0 {hits} {misses}\n", attempt
        assert (wording("compiling-without-it") in done.stderr) == (attempt == "is damaged")
    assert list(cache.rglob("*.nbi"))


class Compiled:
    """What numba makes of a function, as far as `warm_up` looks at it."""

    def __init__(self) -> None:
        self.signatures: list[str] = []


def test_it_says_so_where_compiling_takes_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jit, "_PATIENCE", 0.2)
    caplog.set_level(logging.INFO)
    for seconds, said in ((0.0, 0), (0.6, 1)):
        caplog.clear()
        function = Compiled()

        def call(function: Compiled = function, seconds: float = seconds) -> None:
            time.sleep(seconds)
            function.signatures.append("float64(float64)")

        jit.warm_up("toy", function, call)
        assert len(function.signatures) == 1
        assert caplog.text.count(wording("compiling-the-toy")) == said
        jit.warm_up("toy", function, call)  # it is compiled
        assert len(function.signatures) == 1
