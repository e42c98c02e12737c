"""The command as a user meets it: exit codes, one clear line, nothing heavy at start."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from helpers import speechlike
from typer.testing import CliRunner

from asr.cli import app

runner = CliRunner()


def asr(*arguments: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from asr.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **kwargs)


@pytest.mark.parametrize("arguments", [["--help"], ["transcribe", "--help"], ["train", "--help"], ["--version"]])
def test_help_is_quick(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["asr", *{arguments!r}]
from asr.cli import main
try:
    main()
except SystemExit as e:
    assert not e.code, e.code
heavy = {{"torch", "numba", "lhotse", "numpy", "rich", "omegaconf", "jiwer", "librosa"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_defaults_in_the_help_are_those_of_the_functions() -> None:
    from asr.evaluate import evaluate
    from asr.transcriber import Transcriber
    from data_prep import fsdd, table

    prepares = [table.prepare, fsdd.prepare]
    owners = {"evaluate": [evaluate], "transcribe": [Transcriber.transcribe_all], "prepare": prepares}
    checked = 0
    for verb, functions in owners.items():
        text = " ".join(runner.invoke(app, [verb, "--help"]).output.split())
        for option, default in re.findall(r"--([a-z-]+) <[a-z]+>(?:(?! --).)*?Default: ([\w.]+?)\.(?= |$)", text):
            parameter = option.replace("-", "_")
            (value,) = [
                inspect.signature(f).parameters[parameter].default
                for f in functions
                if parameter in inspect.signature(f).parameters
            ]
            assert default == (f"{value:g}" if isinstance(value, float) else str(value)), option
            checked += 1
    assert checked >= 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transcribe", "nowhere.wav", "--model", "no-such-model"], "no such model"),
        (["evaluate", "no-such-model", "cuts.jsonl.gz"], "no such model"),
        (["prepare", "klingon", "--out", "d"], "no corpus 'klingon'"),
        (["prepare", "yesno", "nowhere", "--out", "d"], "holds 0 files"),
        (["prepare", "yesno", "nowhere", "--out", "d", "--leave-out", "x"], "--leave-out means nothing for yesno"),
        (["train", "nowhere.yaml", "--data", "d", "--out", "e"], "nowhere.yaml: no such file"),
        (["score", "nowhere.txt", "nowhere.txt"], "nowhere.txt: no such file"),
        (["transcribe", "x.wav", "--model", "m", "--format", "docx"], "there are txt, json"),
        (["transcribe", ".", "--model", "m"], "holds no audio file"),
    ],
)
def test_one_clear_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())  # nothing half-written


def test_a_misspelt_setting_suggests_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: {encoder: {dropuot: 0.1}}\n")
    result = runner.invoke(app, ["train", str(tmp_path / "c.yaml"), "--data", "d", "--out", str(tmp_path / "e")])
    assert result.exit_code == 2
    assert "Did you mean: 'dropout'" in result.stderr
    result = runner.invoke(
        app, ["train", str(tmp_path / "c.yaml"), "epoch=3", "--data", "d", "--out", str(tmp_path / "e")]
    )
    assert result.exit_code == 2


def test_a_traceback_only_when_asked(tmp_path: Path) -> None:
    arguments = ["score", str(tmp_path / "a"), str(tmp_path / "b")]
    assert "Traceback" not in runner.invoke(app, arguments).stderr
    assert "Traceback" in runner.invoke(app, ["--verbose", *arguments]).stderr


def test_a_fault_of_ours_is_exit_code_70(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("asr.score.read_texts", lambda path: 1 / 0)
    result = runner.invoke(app, ["score", "a", "b"])
    assert result.exit_code == 70
    assert "report it" in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asr.score.read_texts", interrupted)
    assert runner.invoke(app, ["score", "a", "b"]).exit_code == 130


def test_score_by_id_and_by_line(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("u1 a b c\nu2 d\n")
    (tmp_path / "hyp").write_text("u2 d\nu1 a x c\n")
    result = runner.invoke(app, ["score", str(tmp_path / "ref"), str(tmp_path / "hyp")])
    assert result.exit_code == 0
    assert "WER 25.00 % (1 of 4 words" in result.stdout
    result = runner.invoke(app, ["score", "--lines", "--json", str(tmp_path / "ref"), str(tmp_path / "hyp")])
    assert '"utterances": 2' in result.stdout


def test_score_of_plain_lines_suggests_the_option(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("the cat sat\n")
    (tmp_path / "hyp").write_text("a cat sat\n")
    result = runner.invoke(app, ["score", str(tmp_path / "ref"), str(tmp_path / "hyp")])
    assert result.exit_code == 2
    assert "--lines" in result.stderr


def test_quickstart_touches_no_folder_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    result = runner.invoke(app, ["quickstart", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "not a quickstart's" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text")
def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    (tmp_path / name).write_bytes(b"")
    done = asr("prepare", "table", tmp_path / name, "--out", tmp_path / "d")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_unwritable_output_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    soundfile.write(tmp_path / "a.wav", speechlike(0.5, 8000), 8000)
    result = runner.invoke(
        app, ["transcribe", str(tmp_path / "a.wav"), "--model", "m", "--output-dir", str(tmp_path / "file" / "out")]
    )
    assert result.exit_code == 2
    assert "cannot be made" in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("u1 a\n")
    command = f"{sys.executable} -c 'from asr.cli import main; main()' score {tmp_path}/ref {tmp_path}/ref | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
