"""`asr check` as a user meets it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
from helpers import speechlike, tone_data
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.models.objective import Objective
from asr.train import time_estimate
from data_prep import table

runner = CliRunner()
NO_TRIAL = ["--trial", "0"]
PROMPTS = ["one old king", "the lazy dog", "seven brown zebras", "a box of quartz", "keep it under lock"]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Clean, as `asr prepare table` makes it: whole speakers on each side, letters that training has, 16 kHz."""
    lines = ["path,text,speaker,split"]
    for i in range(30):
        split = "train" if i < 20 else "dev" if i < 25 else "test"
        text = f"{PROMPTS[i % 5]} {PROMPTS[(i // 5 + 1) % 5]}"
        samples = speechlike(len(text) / 14, 16000, seed=i)
        soundfile.write(tmp_path / f"u{i:02d}.wav", samples, 16000)
        lines.append(f"u{i:02d}.wav,{text},{split}{i % 2},{split}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return table.prepare(tmp_path / "table.csv", tmp_path / "data").folder


def edit(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    with gzip.open(path, "rt") as f:
        rows = [json.loads(line) for line in f]
    change(rows)
    with gzip.open(path, "wt") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)


def findings(*arguments: object) -> dict[str, int]:
    result = runner.invoke(app, ["check", "--data", *map(str, arguments), "--json", *NO_TRIAL])
    values = json.loads(result.stdout)
    assert values["format"] == 1
    assert result.exit_code == (1 if any(f["severity"] == "fatal" for f in values["findings"]) else 0)
    return {f["kind"]: f["count"] for f in values["findings"]}


def sentences_again(found: dict[str, int]) -> dict[str, int]:
    """Five prompts make few sentences: they come again in dev, which is told, and right."""
    return {kind: count for kind, count in found.items() if kind != "shared-texts"}


def test_a_clean_folder(prepared: Path) -> None:
    result = runner.invoke(app, ["check", "--data", str(prepared), *NO_TRIAL])
    assert result.exit_code == 0, result.output
    assert "nothing would ruin training" in result.stdout
    assert sentences_again(findings(prepared)) == {"little-speech": 1}  # some seconds
    assert "    train  45 s\n" in result.stdout
    assert len(result.stdout.splitlines()) <= 40


def test_what_would_ruin_training_is_exit_code_1(prepared: Path) -> None:
    (prepared / "cuts_dev.jsonl.gz").unlink()
    result = runner.invoke(app, ["check", "--data", str(prepared), *NO_TRIAL])
    assert result.exit_code == 1
    assert "FATAL: splits without utterances" in result.stdout
    assert "empty-split" in findings(prepared)


def test_audio_that_has_gone_is_named(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "u03.wav").unlink()
    result = runner.invoke(app, ["check", "--data", str(prepared), *NO_TRIAL])
    assert result.exit_code == 1
    assert "u03" in result.stdout
    whole = runner.invoke(app, ["check", "--data", str(prepared), "--json", *NO_TRIAL]).stdout
    assert "u03.wav: no such file" in whole


def test_a_single_manifest(prepared: Path) -> None:
    assert set(findings(prepared / "cuts_test.jsonl.gz")) <= {"rare-characters"}
    assert (prepared / ".audio_facts.jsonl").is_file()


def test_settings_come_from_the_file_and_from_words(prepared: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("model: {encoder: {factor: 12}}\n")
    assert findings(prepared, config)["does-not-fit"] == 30
    assert "does-not-fit" not in findings(prepared, config, "model.encoder.factor=2")
    assert findings(prepared, "batch_seconds=1")["longer-than-batch"] == 30
    assert findings(prepared, "model.features.sample_rate=22050")["low-rate"] == 30


def test_a_misspelt_setting(prepared: Path) -> None:
    result = runner.invoke(app, ["check", "--data", str(prepared), "model.encoder.dropuot=1"])
    assert result.exit_code == 2
    assert wording("did-you-mean-dropout") in result.stderr


@pytest.mark.parametrize(
    ("data", "message"), [("nowhere", wording("no-such-file")), (".", wording("cuts-train-jsonl-gz-no"))]
)
def test_no_corpus_there(data: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["check", "--data", data])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_all_cases_on_demand(prepared: Path) -> None:
    edit(prepared / "cuts_train.jsonl.gz", lambda rows: [row["supervisions"][0].update(text="") for row in rows[:9]])
    few, everything = (
        runner.invoke(app, ["check", "--data", str(prepared), *NO_TRIAL, *more]).stdout for more in ([], ["--all"])
    )
    assert "and 4 more" in few
    assert all(f"u{i:02d}" in everything for i in range(9))


def test_what_a_stranger_wrote_does_not_steer_the_terminal(prepared: Path) -> None:
    def plant(rows: list[dict[str, Any]]) -> None:
        rows[0]["id"] = "\x1b]0;owned\x07\u202e\x9b2J"
        rows[0]["supervisions"][0]["text"] = "\x1b[2J \x9b31m one\u2028 old king"
        rows[1]["recording"]["sources"][0]["source"] = "\x1b[2Jno\nwhere.wav"

    edit(prepared / "cuts_train.jsonl.gz", plant)
    for more in ([], ["--all"], ["--json"]):
        result = runner.invoke(app, ["check", "--data", str(prepared), *NO_TRIAL, *more])
        assert result.exit_code == 1
        assert all(c.isprintable() or c == "\n" for c in result.stdout)


def test_the_second_time_reads_no_audio(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = runner.invoke(app, ["check", "--data", str(prepared), *NO_TRIAL])
    monkeypatch.setattr("asr.data.check.audio_facts.measure_audio", lambda u: 1 / 0)
    assert runner.invoke(app, ["check", "--data", str(prepared), *NO_TRIAL]).stdout == first.stdout


def test_tones_are_trained_on_too(tmp_path: Path) -> None:
    """The corpus that other tests train on is odd, but would not be stopped."""
    data = tone_data(tmp_path, 40)
    result = runner.invoke(app, ["check", "--data", str(data), *NO_TRIAL])
    assert result.exit_code == 0, result.stdout


SMALL = [
    "model.encoder.hidden=16",
    "model.encoder.layers=1",
    "epochs=3",
    "augment.speed=[0.9]",
    "augment.noise=generated",
    "augment.noise_chance=1",
]


@pytest.mark.slow
def test_a_trial_tells_how_long_training_takes(prepared: Path) -> None:
    result = runner.invoke(app, ["check", "--data", str(prepared), *SMALL, "--trial", "1", "--json"])
    assert result.exit_code == 0, result.output
    training = json.loads(result.stdout)["training"]
    seconds = sum(len(f"{PROMPTS[i % 5]} {PROMPTS[(i // 5 + 1) % 5]}") / 14 for i in range(20))
    assert training["epoch_seconds"] > seconds / 0.9 / training["audio_rate"] * 0.9
    assert training["run_seconds"] == pytest.approx(3 * training["epoch_seconds"])
    words = runner.invoke(app, ["check", "--data", str(prepared), *SMALL, "--trial", "0.2"]).stdout
    assert re.search(r"training does \d+ audio s/s here: an epoch takes about \d+ s, all of them \d+ s", words)


@pytest.mark.slow
def test_a_decoder_that_learns_later_takes_its_time_later(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, learnt, clock = Objective.forward, [], [0.0]

    def slow(self: Objective, batch: Any) -> Any:
        learnt.append(self.decoder_learns)
        clock[0] += batch.size * (4 if self.decoder_learns else 1)
        return forward(self, batch)

    def tick() -> float:
        clock[0] += 1e-3
        return clock[0]

    monkeypatch.setattr(Objective, "forward", slow)
    monkeypatch.setattr(time_estimate, "time", SimpleNamespace(perf_counter=tick))

    def seconds_of_audio(epochs: int, start: int, *more: str) -> float:
        learnt.clear()
        options = [
            "model.decoder.kind=attention",
            "model.decoder.hidden=8",
            f"model.decoder.start_epoch={start}",
            *more,
        ]
        run = ["check", "--data", str(prepared), *SMALL, *options, f"epochs={epochs}", "--trial", "0.1", "--json"]
        return 1 / json.loads(runner.invoke(app, run).stdout)["training"]["audio_rate"]

    late = seconds_of_audio(3, 4)
    assert learnt[0]
    assert len(learnt) > 1
    assert not any(learnt[1:])
    both = seconds_of_audio(6, 4)
    assert False in learnt
    assert learnt[1:] == sorted(learnt[1:])
    always = seconds_of_audio(6, 1)
    assert all(learnt)
    assert always == pytest.approx(4 * late, rel=0.01)
    assert both == pytest.approx((late + always) / 2, rel=0.01)
    seconds_of_audio(6, 4, "model.decoder.ctc_weight=0")
    assert all(learnt)


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def contents(self, tag: str) -> list[bytes]:
        sources = [str(attributes["src"]) for name, attributes in self.tags if name == tag]
        assert all(source.startswith("data:") for source in sources)
        return [base64.b64decode(source.split(",", 1)[1]) for source in sources]


@pytest.mark.slow
def test_the_page_shows_what_augmentation_does(prepared: Path, tmp_path: Path) -> None:
    page_path = tmp_path / "check.html"
    result = runner.invoke(app, ["check", "--data", str(prepared), *SMALL, "--html", str(page_path), "--trial", "0"])
    assert result.exit_code == 0, result.output
    page = Page(page_path.read_text(encoding="utf-8"))
    assert {"data: what training will meet", "as recorded"} <= {line.strip() for line in page.text.splitlines()}
    pictures = page.contents("img")
    assert len(pictures) == 9
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    for before, after in zip(*[iter(page.contents("audio"))] * 2, strict=True):
        recorded, rate = soundfile.read(io.BytesIO(before))
        heard, _ = soundfile.read(io.BytesIO(after))
        assert rate == 16000
        assert len(heard) == pytest.approx(len(recorded) / 0.9, abs=1)
    assert "http" not in re.sub(r"http-equiv", "", page_path.read_text(encoding="utf-8"))
    assert str(tmp_path) not in page_path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_nothing_of_a_corpus_becomes_markup(prepared: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"

    def plant(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["id"] = f"{evil}{row['id']}"
            row["supervisions"][0]["speaker"] = evil
        rows[0]["supervisions"][0]["text"] = ""
        for row in rows[1:]:
            row["supervisions"][0]["text"] += f" {evil}\u202e"

    edit(prepared / "cuts_train.jsonl.gz", plant)
    page_path = tmp_path / "check.html"
    result = runner.invoke(
        app, ["check", "--data", str(prepared), "model.encoder.factor=1", *NO_TRIAL, "--html", str(page_path)]
    )
    assert result.exit_code == 0, result.output
    page = Page(page_path.read_text(encoding="utf-8"))
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert evil in page.text  # as text
    assert "\u202e" not in page.text


def test_training_stops_at_what_would_ruin_it(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "u03.wav").unlink()
    words = ["train", *SMALL, "epochs=1", "--data", str(prepared), "--out"]
    result = runner.invoke(app, [*words, str(tmp_path / "run")])
    assert result.exit_code == 2
    assert re.search(r"audio that cannot be read \(1 of 25\).*u03.*no such file.*asr check.*--no-check", result.stderr)
    assert not (tmp_path / "run" / "config.yaml").exists()
    edit(prepared / "cuts_train.jsonl.gz", lambda rows: rows.pop(3))
    edit(prepared / "cuts_train.jsonl.gz", lambda rows: rows[4]["supervisions"][0].update(text=""))
    result = runner.invoke(app, [*words, str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert wording("no-text-after-normalisation-1") in result.stderr
    result = runner.invoke(app, [*words, str(tmp_path / "other"), "--no-check"])
    assert result.exit_code == 0, result.output
    assert "(1 of 24)" not in result.stderr


def test_a_dev_set_without_text_would_choose_the_worst_model(prepared: Path) -> None:
    edit(prepared / "cuts_dev.jsonl.gz", lambda rows: [row["supervisions"][0].update(text="!!") for row in rows])
    result = runner.invoke(app, ["check", "--data", str(prepared), *NO_TRIAL])
    assert result.exit_code == 1
    assert "FATAL: no text after normalisation (5 of 30)" in result.stdout


def test_what_cannot_be_tried_does_not_lose_the_report(prepared: Path, tmp_path: Path) -> None:
    words = [
        "check",
        "--data",
        str(prepared),
        "augment.noise=/nonexistent",
        "--trial",
        "0.1",
        "--html",
        str(tmp_path / "c.html"),
    ]
    result = runner.invoke(app, words)
    assert result.exit_code == 1
    assert "nothing would ruin training" in result.stdout
    assert "training would fail: /nonexistent: no such folder" in result.stdout
    assert "/nonexistent: no such folder" in (tmp_path / "c.html").read_text(encoding="utf-8")
