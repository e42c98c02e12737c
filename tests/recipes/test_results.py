"""recipes/results.py in a small checkout made here: what it refuses, and the figures on the pages it writes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asr.train.config import TrainConfig
from asr.utils.config import read_config, to_dict

pytestmark = pytest.mark.slow

CONFIG = "model:\n  encoder: {hidden: 32, layers: 1}\nepochs: 2\nnum_workers: 2\n"
MARKS = "# Demo\n\nBefore.\n\n<!-- results -->\n<!-- /results -->\n\nAfter.\n"
RUN, COMMIT = "recipes/demo/run.py", "0123456789ab"

spec: Any = importlib.util.spec_from_file_location("results", Path(__file__).parents[2] / "recipes" / "results.py")
results: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results)


def counts(errors: int, length: int) -> dict[str, Any]:
    return {"rate": errors / length, "errors": errors, "length": length}


def score(errors: int, made: dict[str, Any], kind: str = "wer") -> dict[str, Any]:
    """Of 30 utterances with 200 words, of two speakers."""
    ann = {**counts(errors, 300), "rate": round(errors / 300, 5), "interval": [0.01, 0.02]}
    speakers = {"ann": ann, "bob": {**counts(0, 7), "interval": [0.0, 0.0]}}
    rates = {"per": counts(errors, 200)} if kind == "per" else {"wer": counts(errors, 200), "cer": counts(7, 900)}
    found = {"headline": kind, **rates, "utterances": 30, "interval": [errors / 400, errors / 100]}
    return {**found, "speakers": speakers, "decoding": {"search": "greedy"}, **made}


class Checkout:
    """A checkout with one recipe, `demo`."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root.resolve(), capsys
        self.recipe = self.root / "recipes" / "demo"
        (self.recipe / "conf").mkdir(parents=True)
        (self.recipe / "run.py").write_text("")
        self.pages = [self.root / name for name in ("README.md", "recipes/demo/README.md", "docs/results.md")]
        for page in self.pages[:2]:
            page.write_text(MARKS)
        self.config = self.recipe / "conf" / "blstm.yaml"
        self.config.write_text(CONFIG)

    def result(self, errors: int = 10, seed: int = 1) -> dict[str, Any]:
        """As a recipe writes it."""
        command = RUN + (f" --seed {seed}" if seed != 1 else "")
        made = {"command": command, "commit": COMMIT, "hardware": "A processor, 2 cores", "threads": 1}
        settings = to_dict(read_config(TrainConfig, self.config, [f"seed={seed}"]))
        settings["model"]["text"]["words"] = "spaces"
        data = {"train": {"utterances": 1250, "hours": 1.236, "speakers": 2}}
        found = {"format": 1, "config": "blstm.yaml", "seed": seed, "settings": settings, "data": data, "best_epoch": 2}
        seconds = {"prepare": 7.0, "evaluate": 13.0, "train": 100.0}
        scores = {"test": score(errors, made)}
        return {**found, "trained": {**made, "batches_per_step": 1}, "seconds": seconds, "scores": scores}

    def put(self, data: dict[str, Any], name: str = "blstm") -> Path:
        path = self.recipe / "results" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data))
        return path

    def call(self, *arguments: object) -> tuple[int, str]:
        """The exit code and what was told on standard error."""
        code = results.main([*map(str, arguments)], self.root)
        return code, self.capsys.readouterr().err

    def written(self) -> list[str]:
        """README, recipe's README, page of results, of what holds."""
        assert self.call()[0] == 0
        return [page.read_text() for page in self.pages]


@pytest.fixture
def checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checkout:
    return Checkout(tmp_path / "checkout", capsys)


REFUSED: dict[str, tuple[Any, str]] = {
    "format": (lambda d: d.update(format=2), "is of format 2, not 1"),
    "no hours": (lambda d: d["data"]["train"].pop("hours"), "KeyError: 'hours'"),
    "no interval": (lambda d: d["scores"]["test"]["speakers"]["bob"].pop("interval"), "KeyError: 'interval'"),
    "score": (lambda d: d["scores"].update(test=3), "cannot be used (TypeError: "),
    "headline": (lambda d: d["scores"]["test"].update(headline="bleu", bleu=counts(1, 2)), "KeyError: 'bleu'"),
    "no test": (lambda d: d["scores"].update(dev=d["scores"].pop("test")), "has no score of test"),
    "no commit": (lambda d: d["trained"].update(commit=None), "made at commit None, not at a clean one"),
    "dirty": (lambda d: d["scores"]["test"].update(commit=COMMIT + "-dirty"), "made at commit 0123456789ab-dirty"),
    "script": (lambda d: d["trained"].update(command="recipes/other/run.py"), "'recipes/other/run.py' is not of"),
    "absolute": (lambda d: d["trained"].update(command=f"{RUN} --data /tmp/d"), "names /tmp/d, not recipes/demo/conf"),
    "home": (lambda d: d["trained"].update(command=f"{RUN} --data=~/d"), "names ~/d, not recipes/demo/conf"),
    "beside": (lambda d: d["trained"].update(command=f"{RUN} --out exp/../../x"), "names exp/../../x, not recipes/"),
    "other config": (lambda d: d["trained"].update(command=f"{RUN} mine/blstm.yaml"), "names mine/blstm.yaml,"),
    "command's seed": (lambda d: d["trained"].update(command=f"{RUN} --seed 3"), "does not give its seed, 1"),
    "no config": (lambda d: d.update(config="gone.yaml"), "conf/gone.yaml: no such file"),
    "stale": (lambda d: d["settings"]["model"]["encoder"].update(hidden=64), "model.encoder.hidden 64 -> 32"),
    "settings' seed": (lambda d: d["settings"].update(seed=5, epochs=9), "epochs 9 -> 2, seed 5 -> 1"),
    "unknown setting": (lambda d: d["settings"].update(magic=1), "magic"),
    "batches": (lambda d: d["trained"].update(batches_per_step=4), "accumulate 4 -> 1"),
    "rate": (lambda d: d["scores"]["test"]["wer"].update(rate=0.049), "the rate 0.049 of scores.test, wer, is not"),
    "speaker": (lambda d: d["scores"]["test"]["speakers"]["ann"].update(rate=0.0334), "0.0334 of scores.test, ann, is"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_hold_is_named_in_a_line_and_nothing_is_written(checkout: Checkout, case: str) -> None:
    change, told = REFUSED[case]
    data = checkout.result()
    change(data)
    path = checkout.put(data)
    code, error = checkout.call()
    (line,) = [line for line in error.splitlines() if not line.startswith("note: ")]
    assert code == 1
    assert line.startswith("recipes/demo/results/blstm.json: ")
    assert told in line
    assert "run the recipe again" in line
    assert not (checkout.root / "docs").exists()
    run = checkout.root / "blstm"
    run.mkdir()
    path.replace(run / "results.json")
    assert checkout.call("add", run)[0] == 1
    assert not [*checkout.root.glob("recipes/*/results/*.json")]


def test_what_a_run_resolves_and_what_changes_nothing_may_differ(checkout: Checkout, tmp_path: Path) -> None:
    checkout.config.write_text(CONFIG.replace("model:", "model:\n  tokenizer: {lexicon: words.txt}"))
    data = checkout.result()
    data["settings"] |= {"num_workers": 0, "checkpoint_minutes": 1.0, "device": "gpu", "accumulate": 2}
    data["settings"]["model"]["tokenizer"]["lexicon"] = str(tmp_path / "words.txt")
    del data["settings"]["model"]["intermediate"]  # a setting that came later
    checkout.put(data)
    checkout.written()
    checkout.config.write_text(checkout.config.read_text().replace("model:", "model:\n  text: {words: none}"))
    assert "blstm.yaml says otherwise: model.text.words 'spaces' -> 'none'; run" in checkout.call("--check")[1]


def test_names_that_say_another_configuration_or_seed(checkout: Checkout) -> None:
    checkout.put(checkout.result(), "blstm-x")
    for name, seed in (("blstm", 2), ("blstm-seed3", 2), ("blstms", 1)):
        path = checkout.put(checkout.result(seed=seed), name)
        assert f"is named {name}, a result of blstm with seed {seed}" in checkout.call()[1]
        path.unlink()
    checkout.written()
    checkout.put(checkout.result(), "blstm-x-seed1")
    assert "blstm-x.json: is of the same seed as blstm-x-seed1" in checkout.call()[1]


def test_commits_are_in_the_history(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # of a hook that calls the tests
        monkeypatch.delenv(name, raising=False)

    def git(*words: str) -> str:
        command = ["git", "-C", str(checkout.root), "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def problems(commit: str) -> str:
        data = checkout.result()
        data["trained"]["commit"] = data["scores"]["test"]["commit"] = commit
        checkout.put(data)
        code, error = checkout.call()
        assert code == (1 if "is not in the history" in error else 0)
        return error

    assert "note: no git" in problems(COMMIT)
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    first = git("rev-parse", "--short=12", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "second")
    second = git("rev-parse", "HEAD")
    assert problems(first) == problems(second) == ""
    git("reset", "-q", "--hard", first)
    assert f"commit {second} is not in the history of HEAD" in problems(second)
    git("clone", "-q", "--depth", "1", checkout.root.as_uri(), str(checkout.root / "clone"))
    assert results.history(checkout.root / "clone") is None


def test_adding_and_writing(checkout: Checkout) -> None:
    run = checkout.recipe / "exp" / "blstm"
    run.mkdir(parents=True)
    assert checkout.call("add", run) == (2, f"error: {run / 'results.json'}: no such file\n")
    (run / "results.json").write_text(json.dumps(checkout.result(), indent=2))
    assert checkout.call("add", run)[0] == 0
    assert (checkout.recipe / "results" / "blstm.json").read_bytes() == (run / "results.json").read_bytes()
    assert checkout.call("--check")[1].count(": is not what would be written") == 3
    assert not checkout.pages[2].exists()

    short = checkout.written()[0]
    assert short.startswith("# Demo\n\nBefore.\n\n<!-- results -->\n\n|")
    assert short.endswith(" |\n\n<!-- /results -->\n\nAfter.\n")
    assert checkout.call("--check")[0] == 0
    for page in checkout.pages:
        text = page.read_text()
        page.write_text(text.replace("WER 5.00 %", "WER 4.00 %"))
        assert f"{page.relative_to(checkout.root)}: is not what would be written" in checkout.call("--check")[1]
        page.write_text(text)


def test_without_results_the_pages_say_so_between_marks(checkout: Checkout) -> None:
    said = MARKS.replace("<!-- results -->\n", "<!-- results -->\n\nNo run is published yet.\n\n")
    short, readme, page = checkout.written()
    assert short == readme == said
    assert page.startswith("<!-- Generated by `python recipes/results.py`")
    assert page.endswith("\nRecipes of which no run is published yet: demo.\n")
    checkout.put(checkout.result())
    for text in ("# Demo\n", "<!-- results -->\n", "<!-- /results -->\n<!-- results -->\n"):
        checkout.pages[1].write_text(text)
        code, error = checkout.call()
        assert code == 2
        assert "recipes/demo/README.md: has no lines `<!-- results -->`" in error
        assert [page.read_text() for page in checkout.pages] == [short, text, page]


def test_rows_of_a_run(checkout: Checkout) -> None:
    data = checkout.result()
    made = data["trained"]
    data["scores"] = {
        "dev-4-gram": score(4, made) | {"commit": "fedcba987654"},
        "test-10-gram": score(14, made),
        "test-4-gram-39": score(13, made) | {"speakers": {}},
        "test-greedy": score(46, made, "per"),
    }
    checkout.put(data)
    short, readme, page = checkout.written()
    rows = [
        "| blstm | `test-greedy` | greedy | PER 23.00 % | 11.50 to 46.00 | – | 30 | 200 phones |",
        "| blstm | `test-4-gram-39` | greedy | WER 6.50 % | 3.25 to 13.00 | 0.78 % | 30 | 200 words |",
        "| blstm | `test-10-gram` | greedy | WER 7.00 % | 3.50 to 14.00 | 0.78 % | 30 | 200 words |",
        "| blstm | `dev-4-gram` | greedy | WER 2.00 % | 1.00 to 4.00 | 0.78 % | 30 | 200 words |",
    ]
    for text in (readme, page):
        assert [line for line in text.splitlines() if line.startswith("| blstm |")] == rows
        assert "Over seeds" not in text
    assert "(docs/results.md#demo) | 1.24 h | `test-10-gram` | WER 7.00 % (3.50 to 14.00) | 2 min | " in short
    assert "| speaker | `test-greedy`, PER | `test-4-gram-39`, WER | `test-10-gram`, WER |\n" in page
    assert "| ann | 15.33 % (1.00 to 2.00) | – | 4.67 % (1.00 to 2.00) |\n" in page
    assert "| speaker | `dev-4-gram`, WER |" in page
    assert page.endswith(
        "- `blstm`: 1.24 h of training speech (1,250 utterances, 2 speakers); `python recipes/demo/run.py`, commit"
        " 0123456789ab; A processor, 2 cores, 1 thread; seed 1; 2 min in all (prepare 7 s, train 2 min, evaluate 13 s);"
        " epoch 2 was chosen.\n"
        "  `dev-4-gram`: `python recipes/demo/run.py`, commit fedcba987654; A processor, 2 cores, 1 thread.\n"
    )


def test_speakers_are_shown_where_they_are_two_to_twenty(checkout: Checkout) -> None:
    data = checkout.result()
    for number, shown in ((1, False), (2, True), (20, True), (21, False)):
        one = data["scores"]["test"]["speakers"].popitem()[1]
        data["scores"]["test"]["speakers"] = {f"s{i}": one for i in range(number)}
        checkout.put(data)
        assert ("by speaker:" in checkout.written()[2]) == shown


def test_over_seeds_and_speakers_left_out(checkout: Checkout) -> None:
    for seed, errors in ((1, 20), (2, 10), (10, 13)):
        checkout.put(checkout.result(errors, seed), "blstm" if seed == 1 else f"blstm-seed{seed}")
    checkout.put(checkout.result(99), "blstm-small")  # of its own
    for speaker, errors, joined in (("theo", 10, 30), ("ann", 30, 8), ("mia", 11, 10)):
        data = checkout.result(errors)
        data["scores"]["joined"] = score(joined, data["trained"])
        checkout.put(data, f"blstm-without-{speaker}")
    # 20, 10 and 13 errors of 200: neither the first nor the best stands for them.
    assert "| `test` | WER 6.50 % (median of seeds 1, 2, 10: 5.00 to 10.00 %) | " in checkout.written()[0]
    for page in checkout.written()[1:]:
        lines = page.splitlines()
        first = lines.index("| runs | test | of | seeds | median | mean | range |")
        row = "| blstm | `test` | WER | 1, 2, 10 | 6.50 % | 7.17 % | 5.00 to 10.00 % |"  # of 10 %, 5 %, 6.5 %
        assert lines[first + 2 : first + 4] == [row, ""]
        first = lines.index("| left out | `test` | `joined` |")
        assert lines[first - 2] == "`blstm`, trained without a speaker who is then the test:"
        assert lines[first + 2 : first + 7] == [
            "| ann | WER 15.00 % (7.50 to 30.00) | WER 4.00 % (2.00 to 8.00) |",
            "| mia | WER 5.50 % (2.75 to 11.00) | WER 5.00 % (2.50 to 10.00) |",
            "| theo | WER 5.00 % (2.50 to 10.00) | WER 15.00 % (7.50 to 30.00) |",
            "| mean | 8.50 % | 8.00 % |",
            "| worst | 15.00 % (ann) | 15.00 % (theo) |",
        ]
        assert sum(line.startswith("| blstm") for line in lines) == 5  # runs and seeds


def test_a_recipe_without_the_usual_run_shows_its_first_and_one_without_any_none(checkout: Checkout) -> None:
    for name, errors in (("blstm-b", 13), ("blstm-a", 12), ("blstm-0-without-ann", 14)):
        checkout.put(checkout.result(errors), name)
    for name, readme in (("other", "<!-- results -->\n<!-- /results -->\n"), ("a_model", "No place for results.\n")):
        (checkout.root / "recipes" / name).mkdir()
        (checkout.root / "recipes" / name / "run.py").touch()
        (checkout.root / "recipes" / name / "README.md").write_text(readme)
    short, _, page = checkout.written()
    assert short.count("docs/results.md#") == 1
    assert "| [demo](docs/results.md#demo) | 1.24 h | `test` | WER 6.00 % (3.00 to 12.00) | 2 min | " in short
    assert "No run" not in short
    assert page.endswith("\nRecipes of which no run is published yet: other.\n")
    (checkout.recipe / "run.py").unlink()
    assert checkout.call()[1].count("is not of a recipes/demo/run.py that is there") == 3


def test_the_pages_of_this_checkout_are_what_its_results_say() -> None:
    assert results.main(["--check"]) == 0
