"""recipes/results.py in a small checkout made here: what it refuses, and the figures on the pages it writes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr.config import read_config, to_dict
from asr.train import TrainConfig

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "recipes" / "results.py"
CONFIG = """
model:
  features: {sample_rate: 8000, num_mel_bins: 24}
  encoder: {hidden: 32, layers: 1}
epochs: 2
num_workers: 2
"""
MARKS = "# Demo\n\nBefore.\n\n<!-- results -->\n<!-- /results -->\n\nAfter.\n"
COMMIT = "0123456789ab"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("recipe_results", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


results = load()


def counts(errors: int, length: int) -> dict[str, Any]:
    parts = {"substitutions": errors, "deletions": 0, "insertions": 0}
    return {"rate": errors / length, "errors": errors, **parts, "length": length}


def score(errors: int, made: dict[str, Any], split: str = "test", kind: str = "wer") -> dict[str, Any]:
    """Of 30 utterances with 200 words, of two speakers."""
    speakers = {
        "ann": {"rate": round(errors / 300, 5), "interval": [0.01, 0.02], "errors": errors, "length": 300},
        "bob": {"rate": 0.0, "interval": [0.0, 0.0], "errors": 0, "length": 7},
    }
    rates = {"per": counts(errors, 200)} if kind == "per" else {"wer": counts(errors, 200), "cer": counts(7, 900)}
    return {
        "headline": kind,
        **rates,
        "utterances": 30,
        "interval": [errors / 400, errors / 100],
        "speakers": speakers,
        "data": f"cuts_{split}.jsonl.gz",
        "decoding": {"search": "greedy"},
        **made,
    }


class Checkout:
    """A checkout with one recipe, `demo`."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root.resolve(), capsys
        self.recipe = self.root / "recipes" / "demo"
        (self.recipe / "conf").mkdir(parents=True)
        (self.recipe / "run.py").write_text("")
        (self.recipe / "README.md").write_text(MARKS)
        (self.root / "README.md").write_text(MARKS)
        self.config = self.recipe / "conf" / "blstm.yaml"
        self.config.write_text(CONFIG)

    def result(self, errors: int = 10, seed: int = 1) -> dict[str, Any]:
        """As a recipe writes it."""
        command = "recipes/demo/run.py" + (f" --seed {seed}" if seed != 1 else "")
        made = {"command": command, "commit": COMMIT, "hardware": "A processor, 2 cores", "threads": 1}
        settings = to_dict(read_config(TrainConfig, self.config, [f"seed={seed}"]))
        settings["model"]["text"]["words"] = "spaces"
        return {
            "format": 1,
            "config": "blstm.yaml",
            "seed": seed,
            "settings": settings,
            "data": {"train": {"utterances": 1250, "hours": 1.236, "speakers": 2}},
            "trained": {**made, "batches_per_step": 1, "data_sha256": "2e08cc0b16c94f2c"},
            "best_epoch": 2,
            "seconds": {"prepare": 7.0, "evaluate": 13.0, "train": 100.0},
            "scores": {"test": score(errors, made)},
        }

    def put(self, data: Any, name: str = "blstm") -> Path:
        path = self.recipe / "results" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    def call(self, *arguments: object) -> tuple[int, str]:
        """The exit code and what was told on standard error."""
        code = results.main([*map(str, arguments)], self.root)
        return code, self.capsys.readouterr().err

    def page(self) -> str:
        return (self.root / "docs" / "results.md").read_text()


@pytest.fixture
def checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checkout:
    return Checkout(tmp_path / "checkout", capsys)


def without(data: dict[str, Any], *keys: str) -> None:
    for key in keys[:-1]:
        data = data[key]
    del data[keys[-1]]


def both(data: dict[str, Any], key: str, value: Any) -> None:
    data["trained"][key] = data["scores"]["test"][key] = value


Change = Callable[[dict[str, Any]], Any]
REFUSED: dict[str, tuple[Change, str]] = {
    "format": (lambda d: d.update(format=2), "is of format 2, not 1"),
    "no seed": (lambda d: without(d, "seed"), "should be: seed"),
    "no data": (lambda d: without(d, "data", "train", "hours"), "data.train.hours"),
    "no interval": (lambda d: without(d, "scores", "test", "interval"), "scores.test.interval"),
    "no CER": (lambda d: without(d, "scores", "test", "cer"), "scores.test.cer"),
    "no errors": (lambda d: without(d, "scores", "test", "wer", "errors"), "scores.test.wer.errors"),
    "no threads": (lambda d: without(d, "scores", "test", "threads"), "scores.test.threads"),
    "text": (lambda d: d["scores"]["test"]["wer"].update(errors="10"), "scores.test.wer.errors"),
    "not a number": (lambda d: d["seconds"].update(prepare=float("nan")), "seconds.prepare"),
    "no test": (lambda d: d["scores"].clear(), "scores.test"),
    "score": (lambda d: d["scores"].update(test=3), "scores.test"),
    "headline": (lambda d: d["scores"]["test"].update(headline="bleu", bleu=counts(1, 2)), "'bleu' is none of"),
    "other data": (lambda d: d["scores"]["test"].update(data="cuts_dev.jsonl.gz"), "not of cuts_test.jsonl.gz"),
    "interval": (lambda d: d["scores"]["test"].update(interval=[0.2, 0.1]), "interval"),
    "no commit": (lambda d: d["trained"].update(commit=None), "trained.commit is not there"),
    "no score's commit": (lambda d: d["scores"]["test"].update(commit=None), "scores.test.commit is not there"),
    "dirty": (lambda d: d["scores"]["test"].update(commit=COMMIT + "-dirty"), "scores.test.commit 0123456789ab-dirty"),
    "not a commit": (lambda d: both(d, "commit", "main"), "'main' is no commit"),
    "script": (lambda d: both(d, "command", "recipes/other/run.py"), "begins with 'recipes/other/run.py'"),
    "program": (
        lambda d: d["scores"]["test"].update(command="asr evaluate m"),
        "scores.test.command begins with 'asr'",
    ),
    "absolute": (lambda d: both(d, "command", "recipes/demo/run.py --data /tmp/d"), "names /tmp/d, outside"),
    "home": (lambda d: both(d, "command", "recipes/demo/run.py --data=~/d"), "names --data=~/d, outside"),
    "beside": (lambda d: both(d, "command", "recipes/demo/run.py --out exp/../../x"), "names exp/../../x, outside"),
    "other config": (lambda d: both(d, "command", "recipes/demo/run.py mine/blstm.yaml"), "names mine/blstm.yaml, not"),
    "no config": (lambda d: d.update(config="gone.yaml"), "conf/gone.yaml: no such file"),
    "config's path": (lambda d: d.update(config="../run.py"), "is no file's name"),
    "stale": (lambda d: d["settings"]["model"]["encoder"].update(hidden=64), "model.encoder.hidden 64 -> 32"),
    "words": (lambda d: d["settings"].update(epochs=9), "epochs 9 -> 2"),
    "unknown setting": (lambda d: d["settings"].update(magic=1), "settings are no longer any"),
    "settings' seed": (lambda d: d["settings"].update(seed=5), "seed 5 -> 1"),
    "batches": (lambda d: d["trained"].update(batches_per_step=4), "4 batches a step"),
    "command's seed": (lambda d: both(d, "command", "recipes/demo/run.py --seed 3"), "does not give the seed 1"),
    "rate": (lambda d: d["scores"]["test"]["wer"].update(rate=0.049), "scores.test.wer.rate 0.049 is not errors"),
    "CER": (lambda d: d["scores"]["test"]["cer"].update(rate=0.0), "scores.test.cer.rate 0.0 is not errors"),
    "sum": (lambda d: d["scores"]["test"]["wer"].update(deletions=1), "has 10 errors, which add up to 11"),
    "speaker": (lambda d: d["scores"]["test"]["speakers"]["bob"].update(rate=0.1), "speakers.bob.rate 0.1 is not"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_hold_is_named_and_no_page_is_written(checkout: Checkout, case: str) -> None:
    change, told = REFUSED[case]
    data = checkout.result()
    change(data)
    path = checkout.put(data)
    for arguments in ((), ("--check",)):
        code, error = checkout.call(*arguments)
        assert code == 1
        lines = [line for line in error.splitlines() if not line.startswith("note: ")]
        assert any(told in line for line in lines), error
        assert all("demo/results/blstm.json: " in line and "; " in line for line in lines)
    assert not (checkout.root / "docs").exists()
    run = checkout.root / "exp" / "blstm"
    run.mkdir(parents=True)
    (run / "results.json").write_text(path.read_text())
    path.unlink()
    assert checkout.call("add", run)[0] in (1, 2)
    assert not path.exists()


def test_what_is_no_json_is_named(checkout: Checkout) -> None:
    for text in ("{", "[]", '"x"', "1" * 5000):
        checkout.put(text)
        code, error = checkout.call("--check")
        assert code == 1
        assert "results/blstm.json: is " in error


def test_what_a_run_resolves_and_what_changes_nothing_may_differ(checkout: Checkout, tmp_path: Path) -> None:
    checkout.config.write_text(CONFIG.replace("model:", "model:\n  tokenizer: {lexicon: words.txt}"))
    data = checkout.result()
    data["settings"] |= {"num_workers": 0, "checkpoint_minutes": 1.0, "device": "gpu", "accumulate": 1}
    data["settings"]["model"]["tokenizer"]["lexicon"] = str(tmp_path / "words.txt")
    del data["settings"]["model"]["intermediate"]  # a setting that came later
    checkout.put(data)
    assert checkout.call()[0] == 0
    checkout.config.write_text(checkout.config.read_text().replace("model:", "model:\n  text: {words: none}"))
    code, error = checkout.call("--check")
    assert code == 1
    assert "model.text.words 'spaces' -> 'none'" in error


@pytest.mark.parametrize(("name", "seed"), [("blstm", 2), ("blstm-seed3", 2), ("wide", 1), ("blstm-seed2", 1)])
def test_a_name_that_says_another_configuration_or_seed(checkout: Checkout, name: str, seed: int) -> None:
    checkout.put(checkout.result(seed=seed), name)
    code, error = checkout.call()
    assert code == 1
    assert f"is named {name}, a result of blstm.yaml with seed {seed}" in error


def test_a_script_that_is_gone(checkout: Checkout) -> None:
    checkout.put(checkout.result())
    (checkout.recipe / "run.py").unlink()
    code, error = checkout.call()
    assert code == 1
    assert "begins with 'recipes/demo/run.py', not with a recipes/demo/run.py that is there" in error


def test_two_results_of_one_seed(checkout: Checkout) -> None:
    checkout.put(checkout.result())
    checkout.put(checkout.result(errors=3) | {"seconds": {"train": 1}}, "blstm-seed1")
    code, error = checkout.call()
    assert code == 1
    assert "is of the same seed as " in error


def test_commits_are_in_the_history(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def git(*words: str, where: Path = checkout.root) -> str:
        done = subprocess.run(["git", "-C", str(where), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def problems(commit: str) -> str:
        data = checkout.result()
        both(data, "commit", commit)
        checkout.put(data)
        code, error = checkout.call()
        assert code == (1 if "is not in the history" in error else 0)
        return error

    assert "note: whether commits are in the history is not checked: " in problems(COMMIT)
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    first = git("rev-parse", "--short=12", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "second")
    second = git("rev-parse", "HEAD")
    assert problems(first) == problems(second) == ""
    git("reset", "-q", "--hard", first)
    assert problems(first) == ""
    assert f"trained.commit {second} is not in the history of HEAD" in problems(second)
    assert f"trained.commit {COMMIT} is not in the history of HEAD" in problems(COMMIT)
    clone = checkout.root.parent / "clone"
    git("commit", "-q", "--allow-empty", "-m", "third")
    git("clone", "-q", "--depth", "1", checkout.root.as_uri(), str(clone))
    assert results.history(clone) is None
    assert "the clone is shallow" in checkout.capsys.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert "there is no git" in problems(COMMIT)


def test_adding_and_writing(checkout: Checkout) -> None:
    run = checkout.recipe / "exp" / "blstm"
    run.mkdir(parents=True)
    code, error = checkout.call("add", run)
    assert (code, error) == (2, f"error: {run / 'results.json'}: no such file\n")
    (run / "results.json").write_text(json.dumps(checkout.result(), indent=2))
    assert checkout.call("add", run)[0] == 0
    published = checkout.recipe / "results" / "blstm.json"
    assert published.read_bytes() == (run / "results.json").read_bytes()

    pages = [checkout.root / name for name in ("README.md", "recipes/demo/README.md", "docs/results.md")]
    code, error = checkout.call("--check")
    assert code == 1
    for page in pages:
        assert f"{page.relative_to(checkout.root)}: is not what would be written" in error
    assert pages[0].read_text() == MARKS
    assert checkout.call()[0] == 0
    first = [(page.read_bytes(), page.stat().st_mtime_ns) for page in pages]
    assert checkout.call()[0] == 0
    assert [(page.read_bytes(), page.stat().st_mtime_ns) for page in pages] == first
    assert checkout.call("--check")[0] == 0
    for page in pages:
        text = page.read_text()
        assert text.count("WER 5.00 %") == 1
        page.write_text(text.replace("WER 5.00 %", "WER 4.00 %"))
        code, error = checkout.call("--check")
        assert code == 1
        assert error.splitlines()[-1].startswith(f"{page.relative_to(checkout.root)}: is not what")
        page.write_text(text)
    assert pages[0].read_text().startswith("# Demo\n\nBefore.\n\n<!-- results -->\n\n|")
    assert pages[0].read_text().endswith(" |\n\n<!-- /results -->\n\nAfter.\n")


def test_without_results_the_pages_say_so(checkout: Checkout) -> None:
    assert checkout.call() == (0, "")
    said = MARKS.replace("<!-- results -->\n", "<!-- results -->\n\nNo run is published yet.\n\n")
    assert (checkout.root / "README.md").read_text() == said
    assert (checkout.recipe / "README.md").read_text() == said
    assert checkout.page().splitlines()[0].startswith("<!-- Generated by `python recipes/results.py`")
    assert checkout.page().endswith("\n## demo\n\nNo run is published yet.\n")


def test_a_readme_needs_its_marks(checkout: Checkout) -> None:
    checkout.put(checkout.result())
    for text in ("# Demo\n", MARKS + MARKS, "<!-- /results -->\n<!-- results -->\n"):
        (checkout.recipe / "README.md").write_text(text)
        code, error = checkout.call()
        assert code == 1
        assert "recipes/demo/README.md: has no lines `<!-- results -->`" in error
        assert (checkout.recipe / "README.md").read_text() == text
        assert not (checkout.root / "docs").exists()


def test_rows_of_a_run(checkout: Checkout) -> None:
    data = checkout.result()
    made = data["trained"]
    data["scores"] = {
        "dev-4-gram": score(4, made, "dev"),
        "test-10-gram": score(14, made),
        "test-4-gram": score(12, made),
        "test-greedy": score(46, made, kind="per"),
        "test-4-gram-39": {key: v for key, v in score(13, made).items() if key != "speakers"},
    }
    data["scores"]["dev-4-gram"]["commit"] = "fedcba987654"
    checkout.put(data)
    assert checkout.call()[0] == 0
    page = checkout.page()
    rows = [line for line in page.splitlines() if line.startswith("| blstm |")]
    assert rows == [
        "| blstm | `test-greedy` | greedy | PER 23.00 % | 11.50 to 46.00 | – | 30 | 200 phones |",
        "| blstm | `test-4-gram` | greedy | WER 6.00 % | 3.00 to 12.00 | 0.78 % | 30 | 200 words |",
        "| blstm | `test-4-gram-39` | greedy | WER 6.50 % | 3.25 to 13.00 | 0.78 % | 30 | 200 words |",
        "| blstm | `test-10-gram` | greedy | WER 7.00 % | 3.50 to 14.00 | 0.78 % | 30 | 200 words |",
        "| blstm | `dev-4-gram` | greedy | WER 2.00 % | 1.00 to 4.00 | 0.78 % | 30 | 200 words |",
    ]
    readme = (checkout.recipe / "README.md").read_text()
    assert [line for line in readme.splitlines() if line.startswith("| blstm |")] == rows
    assert "(../../docs/results.md#demo)" in readme
    # the headline: not the lowest, but the last way
    row = "| [demo](docs/results.md#demo) | 1.24 h | `test-10-gram` | WER 7.00 % (3.50 to 14.00) | 2 min |"
    assert row in (checkout.root / "README.md").read_text().splitlines()
    heard = "| speaker | `test-greedy`, PER | `test-4-gram`, WER | `test-4-gram-39`, WER | `test-10-gram`, WER |"
    assert heard in page
    assert "| ann | 15.33 % (1.00 to 2.00) | 4.00 % (1.00 to 2.00) | – | 4.67 % (1.00 to 2.00) |" in page
    assert "| speaker | `dev-4-gram`, WER |" in page
    assert (
        "- `blstm`: 1.24 h of training speech (1,250 utterances, 2 speakers); `python recipes/demo/run.py`,"
        f" commit {COMMIT}; A processor, 2 cores, 1 thread; seed 1; 2 min in all"
        " (prepare 7 s, train 2 min, evaluate 13 s); epoch 2 was chosen.\n"
        "  `dev-4-gram`: `python recipes/demo/run.py`, commit fedcba987654;"
    ) in page
    assert "`test-4-gram`: `python" not in page
    assert "Over seeds" not in page


@pytest.mark.parametrize(("count", "shown"), [(1, False), (2, True), (20, True), (21, False)])
def test_speakers_are_shown_where_they_are_two_to_twenty(checkout: Checkout, count: int, shown: bool) -> None:
    data = checkout.result()
    one = data["scores"]["test"]["speakers"]["bob"]
    data["scores"]["test"]["speakers"] = {f"s{i}": one for i in range(count)}
    checkout.put(data)
    assert checkout.call()[0] == 0
    assert ("by speaker:" in checkout.page()) == shown


def test_over_seeds(checkout: Checkout) -> None:
    for seed, errors in ((1, 20), (2, 10), (10, 13)):
        checkout.put(checkout.result(errors, seed), "blstm" if seed == 1 else f"blstm-seed{seed}")
    checkout.put(checkout.result(99), "blstm-small")  # of its own
    assert checkout.call()[0] == 0
    # 10 %, 5 %, 6.5 %: median 6.5, mean 7.1667
    row = "| blstm | `test` | WER | 1, 2, 10 | 6.50 % | 7.17 % | 5.00 to 10.00 % |"
    for page in (checkout.page(), (checkout.recipe / "README.md").read_text()):
        assert [line for line in page.splitlines() if "7.17" in line] == [row]
    short = (checkout.root / "README.md").read_text()
    assert short.count("[demo]") == 1
    assert "WER 10.00 %" in short


def test_speakers_left_out(checkout: Checkout) -> None:
    for speaker, errors, joined in (("theo", 10, 30), ("ann", 30, 8), ("mia", 11, 10)):
        data = checkout.result(errors)
        data["scores"]["joined"] = score(joined, data["trained"], "joined")
        checkout.put(data, f"blstm-without-{speaker}")
    checkout.put(checkout.result())
    assert checkout.call()[0] == 0
    for page in (checkout.page(), (checkout.recipe / "README.md").read_text()):
        lines = page.splitlines()
        first = lines.index("| left out | `test` | `joined` |")
        assert lines[first + 2 : first + 7] == [
            "| ann | WER 15.00 % (7.50 to 30.00) | WER 4.00 % (2.00 to 8.00) |",
            "| mia | WER 5.50 % (2.75 to 11.00) | WER 5.00 % (2.50 to 10.00) |",
            "| theo | WER 5.00 % (2.50 to 10.00) | WER 15.00 % (7.50 to 30.00) |",
            "| mean | 8.50 % | 8.00 % |",
            "| worst | 15.00 % (ann) | 15.00 % (theo) |",
        ]
        assert sum(line.startswith("| blstm") for line in lines) == 1
        assert "Over seeds" not in page


def test_names_cannot_break_a_table(checkout: Checkout) -> None:
    data = checkout.result()
    speakers = data["scores"]["test"]["speakers"]
    speakers["a|b\n<!-- /results -->"] = speakers.pop("ann")
    checkout.put(data)
    assert checkout.call()[0] == 0
    assert "| a\\|b &lt;!-- /results --> | 3.33 %" in checkout.page()


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_the_pages_of_this_checkout_are_what_its_results_say() -> None:
    done = run_script("--check")
    assert done.returncode == 0, done.stderr


def test_bad_calls_get_a_line(tmp_path: Path) -> None:
    done = run_script("add", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'results.json'}: no such file\n"
    assert run_script("--check", "add", str(tmp_path)).returncode == 2
