"""`asr prepare`: its options reach the corpus, and much that is left out is not all shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner
from wording import wording

import data_prep
from asr.cli import app
from asr.cli.prepare import corpora


@pytest.fixture
def corpus(tmp_path: Path, record: Callable[..., Path]) -> Path:
    """In LibriSpeech's layout, parts a and b; in a 22 lines have no recording."""
    folder = tmp_path / "corpus"
    for part, speaker, lines in (("a", "1", 25), ("b", "2", 2), ("c", "3", 2)):
        place = folder / part / speaker / "9"
        for i in range(min(lines, 3)):
            record(place / f"{speaker}-9-{i:04d}.wav")
        text = "".join(f"{speaker}-9-{i:04d} ONE TWO\n" for i in range(lines))
        (place / f"{speaker}-9.trans.txt").write_text(text)
    return folder


def test_parts_are_chosen_and_twenty_lines_shown(corpus: Path, tmp_path: Path) -> None:
    words = ["prepare", "librispeech", corpus, "--out", tmp_path / "out", "--dev-part", "b", "--test-part", "c"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 1
    assert result.stdout == f"{tmp_path}/out: train 3 (0.00 h), dev 2 (0.00 h), test 2 (0.00 h)\n"
    shown = [line for line in result.stderr.splitlines() if line.startswith("asr: left out: ")]
    assert len(shown) == 21
    assert shown[0].endswith("1-9.trans.txt, line 4: there is no 1-9-0003.flac or .wav beside it")
    assert shown[-1] == f"asr: left out: 22 in all, listed in {tmp_path}/out/corpus.json"
    assert len(json.loads((tmp_path / "out" / "corpus.json").read_text())["left_out"]) == 22


def test_several_parts_of_train(corpus: Path, tmp_path: Path) -> None:
    words = ["prepare", "librispeech", str(corpus), "--out", str(tmp_path / "out"), "--dev-part", "c"]
    result = CliRunner().invoke(app, [*words, "--train-part", "a", "--train-part", "b"])
    assert result.exit_code == 1, result.stderr
    settings = json.loads((tmp_path / "out" / "corpus.json").read_text())["settings"]
    assert (settings["train"], settings["dev"]) == (["a", "b"], "c")
    words = ["prepare", "timit", str(corpus), "--out", str(tmp_path / "out"), "--train-part", "a"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--train-part" in result.stderr


def test_parts_mean_nothing_elsewhere(corpus: Path, tmp_path: Path) -> None:
    words = ["prepare", "ljspeech", str(corpus), "--out", str(tmp_path / "out"), "--dev-part", "b"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--dev-part" in result.stderr


def test_training_is_proposed_only_where_there_is_something_to_train_on(corpus: Path, tmp_path: Path) -> None:
    def proposed(folder: Path, out: str) -> str:
        words = ["prepare", "librispeech", str(folder), "--out", str(tmp_path / out)]
        result = CliRunner().invoke(app, words)
        return next(line for line in result.stderr.splitlines() if line.startswith("asr: next"))

    assert proposed(corpus, "a") == f"asr: next: asr train CONFIG --data {tmp_path}/a --out exp/a"
    (corpus / "b").rename(tmp_path / "test-b")
    line = proposed(tmp_path / "test-b", "b")
    assert line.endswith(f"nothing to train on: asr evaluate {tmp_path}/b/cuts_test.jsonl.gz --model MODEL")


def test_names_that_are_not_utf_8_are_left_out(corpus: Path, tmp_path: Path) -> None:
    (corpus / "b" / "2").rename(corpus / "b" / "caf\udce9")
    (corpus / "c").rename(corpus / "caf\udce9")
    result = CliRunner().invoke(app, ["prepare", "librispeech", str(corpus), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{tmp_path}/out: train 1 (0.00 h), dev 1 (0.00 h), test 1 (0.00 h)")
    left_out = json.loads((tmp_path / "out" / "corpus.json").read_text(encoding="utf-8"))["left_out"]
    assert [line.split("; ")[0] for line in left_out if "line 1:" in line] == [
        f"{corpus}/b/caf\ufffd/9/2-9.trans.txt, line 1: the path of 2-9-0000 is not UTF-8",
        f"{corpus}/caf\ufffd/3/9/3-9.trans.txt, line 1: the path of 3-9-0000 is not UTF-8",
    ]


def test_nothing_usable_is_exit_code_2(corpus: Path, tmp_path: Path) -> None:
    for path in corpus.rglob("*.wav"):
        path.write_bytes(b"")
    result = CliRunner().invoke(app, ["prepare", "librispeech", str(corpus), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert wording("can-be-used") in result.stderr
    assert not (tmp_path / "out").exists()


MODULE = '''"""A corpus of one's own. And more."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from asr import InputError


def prepare(
    corpus_dir: str | Path | None,
    out_dir: str | Path,
    *,
    hours: float | None = None,
    part: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    digits: tuple[int, int] = (1, 5),
    text: Literal["said", "read"] = "said",
    strict: bool = False,
    seed=1,
    progress=None,
):
    """Writes cuts.

    Args:
        corpus_dir: The folder.
        hours: Train is no more than this,
            all of it where None.
    """
    raise InputError(f"{corpus_dir} {hours} {part} {names} {digits} {text} {strict} {seed}")
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that are corpora, too."""
    (tmp_path / "modules").mkdir()
    monkeypatch.setattr(data_prep, "__path__", [*data_prep.__path__, str(tmp_path / "modules")])
    return tmp_path / "modules"


def test_a_module_has_its_options_by_itself(own: Path) -> None:
    (own / "own_corpus.py").write_text(MODULE)
    words = ["--hours", "2.5", "--part", "a", "--part", "b", "--name", "x=y", "--digits", "2,3", "--text", "read"]
    done = CliRunner().invoke(app, ["prepare", "own_corpus", "F", "--out", "O", *words, "--strict", "--seed", "7"])
    assert done.stderr == "asr: error: F 2.5 ['a', 'b'] {'x': 'y'} (2, 3) read True 7\n"
    done = CliRunner().invoke(app, ["prepare", "own_corpus", "--out", "O"])
    assert done.stderr == "asr: error: None None () None (1, 5) said False 1\n"
    shown = " ".join(CliRunner().invoke(app, ["prepare", "own_corpus", "--help"]).output.split())
    assert "--hours <float> Train is no more than this, all of it where left out." in shown
    assert "--text <str> Default: said, of said, read." in shown
    done = CliRunner().invoke(app, ["prepare", "own_corpus", "--out", "O", "--name", "x"])
    assert done.exit_code == 2
    assert "--name" in done.stderr


def test_corpora_are_listed_without_being_imported(own: Path) -> None:
    (own / "broken_corpus.py").write_text('"""Cannot be imported.\n\nMore."""\n1 / 0\n')
    shown = CliRunner().invoke(app, ["prepare", "--help"]).output
    assert re.search(r"broken_corpus +Cannot be imported\.\n", shown)
    assert all(name in shown for name in corpora())
