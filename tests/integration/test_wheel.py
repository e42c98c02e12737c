"""The package as people get it: a wheel, in an environment of its own, away from the checkout."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from helpers import speechlike, tone_table

from asr.models.hub import available_models
from asr.train.presets import available_presets
from asr.utils.files import data_home

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
UV = Path(sys.executable).with_name("uv")
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(not UV.is_file(), reason="no uv beside this Python: `make install` brings it")


def checkout(folder: Path) -> Path:
    """A copy of what the wheel is made of: what lies about from another build would hide what is missing."""
    folder.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in ("asr", "data_prep"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command of a new environment that holds the wheel and what it needs."""
    home = tmp_path_factory.mktemp("wheel")
    quiet = {"check": True, "capture_output": True, "text": True}
    subprocess.run([UV, "build", "--wheel", "--out-dir", home / "dist", checkout(home / "checkout")], **quiet)
    (wheel,) = (home / "dist").glob("*.whl")
    shutil.rmtree(home / "checkout")
    subprocess.run([UV, "venv", "--python", sys.executable, home / "env"], **quiet)
    install = [UV, "pip", "install", "--python", home / "env" / "bin" / "python"]
    subprocess.run([*install, "--constraint", ROOT / "constraints.txt", f"{wheel}[phones]"], **quiet)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA"))}
    environment |= {"HOME": str(home), "ASR_DATA": str(data_home())}
    environment |= {"PATH": os.pathsep.join([str(home / "env" / "bin"), environment["PATH"]])}
    environment.pop("VIRTUAL_ENV", None)

    def run(command: str, folder: Path, **variables: object) -> subprocess.CompletedProcess[str]:
        given = {**environment, **{name: str(value) for name, value in variables.items()}}
        done = subprocess.run(shlex.split(command), cwd=folder, env=given, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def spoken(folder: Path) -> None:
    """The recordings that README's commands name."""
    soundfile.write(folder / "seven.wav", speechlike(1.0, 16000), 16000)
    for name in ("talk.mp3", "interview.mp3"):
        soundfile.write(folder / name, speechlike(4.0, 16000), 16000)


def test_it_is_the_wheel_that_runs(run: Run, tmp_path: Path) -> None:
    done = run("python -c 'import asr, data_prep; print(asr.__file__, data_prep.__file__)'", tmp_path)
    assert all("site-packages" in path for path in done.stdout.split())
    assert str(ROOT) not in done.stdout
    listed = run("asr train --list", tmp_path).stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(available_presets())


@pytest.mark.parametrize("model", available_models())
def test_each_model_transcribes(run: Run, tmp_path: Path, model: str) -> None:
    spoken(tmp_path)
    run(f"asr transcribe seven.wav talk.mp3 --model {model} --format json --output-dir out", tmp_path)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["seven.json", "talk.json"]


def test_digits_are_heard(run: Run, fsdd: Path) -> None:
    assert run("asr transcribe 7_jackson_0.wav --model digits-en", fsdd / "recordings").stdout == "seven\n"


def test_quickstart(run: Run, tmp_path: Path) -> None:
    """With a quarter of the real corpus, where it is there; else it makes synthetic speech, as without a network."""
    for path in (data_home() / "fsdd").rglob("*.wav"):
        if int(path.stem.rpartition("_")[2]) < 15:
            (tmp_path / "fsdd" / "recordings").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, tmp_path / "fsdd" / "recordings" / path.name)
    done = run("asr quickstart", tmp_path, ASR_DATA=tmp_path)
    rate = re.search(r"^WER (\d+\.\d\d) % on \d+ test utterances", done.stdout, re.M)
    assert rate, done.stdout
    assert float(rate[1]) < 70  # of so few recordings
    (results,) = (tmp_path / "quickstart").glob("exp/*/results/test")
    assert {"report.html", "scores.json", "hypotheses.jsonl"} <= {path.name for path in results.iterdir()}
    for command in re.findall(r"^  (asr (?:evaluate|train) .*?)(?: +#.*)?$", done.stdout, re.M):
        assert not any(word.startswith(("recipes/", "docs/")) for word in command.split())


def test_readmes_commands(run: Run, tmp_path: Path) -> None:
    """All that begin with `asr`, as they stand, but for fewer epochs; and the lines of Python."""
    commands = [line.partition("  #")[0].strip() for line in re.findall(r"^    (asr .*)$", README, re.M)]
    assert {command.split()[1] for command in commands} >= {"quickstart", "prepare", "train", "tune", "transcribe"}
    spoken(tmp_path)
    table = tone_table(tmp_path / "mine", 60)
    rows = table.read_text().splitlines()
    (tmp_path / "recordings.csv").write_text("\n".join([rows[0], *(f"mine/{row}" for row in rows[1:])]) + "\n")
    (tmp_path / "text.txt").write_text("low high low\nhigh low\nlow low high\n" * 20)
    for command in commands:
        if command != "asr quickstart":  # has a test of its own
            run(command + (" epochs=1" if command.startswith("asr train") else ""), tmp_path)
    assert (tmp_path / "exp" / "mine" / "results" / "report.html").is_file()
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert re.search(r"\[(\(.*\))?\]$", run(f"python -c {shlex.quote(code)}", tmp_path).stdout)


def test_the_page_of_a_check(run: Run, tmp_path: Path) -> None:
    """It needs its template."""
    code = "from asr.data.check import *; print(report_page(Report({}, {}, ()), title='mine'))"
    assert "mine" in run(f"python -c {shlex.quote(code)}", tmp_path).stdout
