"""From a table of recordings to a used recogniser, by the commands a user types. The words are tones, so that no corpus
is needed and a minute is enough."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import TONES, tone_table, tone_words

CONFIG = """
model:
  features: {sample_rate: 8000, num_mel_bins: 20, normalize: global}
  encoder: {hidden: 32, layers: 1, factor: 3, dropout: 0.0}
spec_augment: {frequency_masks: 0, time_masks_per_second: 0}
epochs: 25
batch_seconds: 6
learning_rate: 2.0e-2
warmup_steps: 10
"""


def asr(*arguments: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "asr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, input=stdin, timeout=300, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with audio/, data/ and exp/, as the commands leave them."""
    folder = tmp_path_factory.mktemp("run")
    done = asr("prepare", "table", tone_table(folder / "audio", 160), "--out", folder / "data")
    assert done.returncode == 0, done.stderr
    assert b"train 128" in done.stdout
    (folder / "c.yaml").write_text(CONFIG)
    done = asr("train", folder / "c.yaml", "seed=3", "--data", folder / "data", "--out", folder / "exp")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    return run / "exp" / "model"


def test_evaluate(run: Path, model: Path) -> None:
    done = asr("evaluate", run / "data" / "cuts_test.jsonl.gz", "--model", model, "--out", run / "results")
    assert done.returncode == 0, done.stderr
    scores = json.loads((run / "results" / "scores.json").read_text())
    assert scores["format"] == 1
    assert scores["utterances"] == 16
    assert scores["wer"]["rate"] < 0.1
    rows = [json.loads(line) for line in (run / "results" / "hypotheses.jsonl").read_text().splitlines()]
    assert len(rows) == 16
    assert all(set(row["reference"].split()) <= {"low", "high"} for row in rows)
    # `asr score` agrees with what `asr evaluate` counted.
    (run / "ref").write_text("".join(f"{row['id']} {row['reference']}\n" for row in rows))
    scored = asr("score", run / "ref", run / "results" / "hypotheses.jsonl", "--json")
    assert json.loads(scored.stdout)["wer"] == scores["wer"]


def test_a_trained_model_is_tuned_on_what_it_never_saw(run: Path, model: Path, tmp_path: Path) -> None:
    from asr.data.cuts import read_cuts
    from asr.models.folder import load_model
    from asr.models.model import utterance_keys

    trained = load_model(model)
    seen = [(u.id, u.duration) for u in read_cuts(run / "data" / "cuts_train.jsonl.gz")]
    assert trained.trained_on is not None
    assert torch.equal(trained.trained_on, utterance_keys(seen))
    assert trained.head.log_prior is not None  # of what it says of its training speech: mostly nothing
    assert float(trained.head.log_prior.exp().sum()) == pytest.approx(1.0, abs=1e-3)
    assert int(trained.head.log_prior.argmax()) == 0
    tuned = tmp_path / "tuned"
    shutil.copytree(model, tuned)
    (tmp_path / "words.txt").write_text("low\nhigh\n")
    done = asr("tune", run / "data" / "cuts_train.jsonl.gz", "--model", tuned, "--lexicon", tmp_path / "words.txt")
    assert done.returncode == 2
    assert b"the model was trained on 128 of its 128 utterances" in done.stderr
    assert not (tuned / "lexicon.txt").exists()
    done = asr("tune", run / "data" / "cuts_dev.jsonl.gz", "--model", tuned, "--lexicon", tmp_path / "words.txt")
    assert done.returncode == 0, done.stderr
    assert b"WER " in done.stdout
    done = asr("evaluate", run / "data" / "cuts_test.jsonl.gz", "--model", tuned, "--out", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "results" / "scores.json").read_text())
    assert (scores["decoding"]["search"], scores["decoding"]["lexicon"]) == ("beam", "lexicon.txt")
    assert scores["wer"]["rate"] < 0.1
    rows = [json.loads(line) for line in (tmp_path / "results" / "hypotheses.jsonl").read_text().splitlines()]
    assert {word for row in rows for word in row["text"].split()} == {"low", "high"}


def test_transcribe_words_with_times(model: Path, tmp_path: Path) -> None:
    samples = tone_words(["high", "low", "low"], seed=99)
    soundfile.write(tmp_path / "a.wav", samples, 8000)
    done = asr("transcribe", "--no-vad", tmp_path / "a.wav", "--model", model, "--format", "json", "--word-times")
    assert done.returncode == 0, done.stderr
    transcript = json.loads(done.stdout)
    assert transcript["text"] == "high low low"
    assert transcript["duration"] == pytest.approx(len(samples) / 8000, abs=0.001)
    assert transcript["model"] == "exp"
    for word, begin in zip(transcript["segments"][0]["words"], (0.1, 0.55, 1.0), strict=True):
        assert begin - 0.1 < word["start"] < word["end"] < begin + 0.55
        assert 0 <= word["probability"] <= 1


def test_standard_input_folders_and_formats(model: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "in" / "deep"
    inputs.mkdir(parents=True)
    high, low = tone_words(["high"], rate=16000, seed=1), tone_words(["low"], rate=16000, seed=2)
    soundfile.write(inputs / "a.flac", np.stack([high, high], 1), 16000)
    soundfile.write(tmp_path / "in" / "a.ogg", low, 16000)
    soundfile.write(tmp_path / "in" / "a.wav", low, 16000)
    done = asr("transcribe", "--no-vad", "-", "--model", model, stdin=(tmp_path / "in" / "a.wav").read_bytes())
    assert (done.returncode, done.stdout) == (0, b"low\n"), done.stderr
    done = asr("transcribe", "--no-vad", tmp_path / "in", "--model", model, "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    written = {str(p.relative_to(tmp_path / "out")): p.read_text() for p in (tmp_path / "out").rglob("*.txt")}
    assert written == {"a.ogg.txt": "low\n", "a.wav.txt": "low\n", "deep/a.txt": "high\n"}
    (tmp_path / "out" / "a.ogg.txt").write_text("mine\n")
    done = asr(
        "transcribe", "--no-vad", tmp_path / "in", "--model", model, "--output-dir", tmp_path / "out", "--skip-existing"
    )
    assert done.returncode == 0
    assert (tmp_path / "out" / "a.ogg.txt").read_text() == "mine\n"
    several = (inputs / "a.flac", "--model", model, "--output-dir", tmp_path / "more", "--skip-existing")
    assert asr("transcribe", "--no-vad", *several, "--format", "srt").returncode == 0
    assert asr("transcribe", "--no-vad", *several, "--format", "all").returncode == 0  # not all of them were there
    names = {path.name for path in (tmp_path / "more").iterdir()}
    assert names == {f"a.{name}" for name in ("txt", "json", "srt", "vtt", "tsv", "ctm", "TextGrid", "eaf")}
    assert "already" in asr("transcribe", "--no-vad", *several, "--format", "all").stderr.decode()


def test_one_broken_file_among_good_ones(model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", tone_words(["low"], seed=4), 8000)
    shutil.copy(tmp_path / "good.wav", tmp_path / "also.wav")
    (tmp_path / "broken.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:900])
    files = [tmp_path / "good.wav", tmp_path / "broken.wav", tmp_path / "nowhere.wav", tmp_path / "also.wav"]
    done = asr("transcribe", "--no-vad", *files, "--model", model)
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == [f"{files[0]}\tlow", f"{files[3]}\tlow"]
    errors = [line for line in done.stderr.decode().splitlines() if line.startswith("asr: error:")]
    assert len(errors) == 2
    assert "nowhere.wav" in errors[0]  # at once
    assert "broken.wav" in errors[1]
    assert asr("transcribe", "--no-vad", files[1], files[2], "--model", model).returncode == 2


def test_silence_and_less_than_a_frame_are_no_error(model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 8000)
    soundfile.write(tmp_path / "short.wav", np.full(10, 0.1), 8000)
    done = asr("transcribe", "--no-vad", tmp_path / "silence.wav", tmp_path / "short.wav", "--model", model)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[1] == f"{tmp_path / 'short.wav'}\t"


def test_python_api_leaves_the_process_as_it_was(model: Path, tmp_path: Path) -> None:
    import asr as library

    state = torch.get_rng_state()
    before = (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype())
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    recognizer = library.load(model, vad=False)
    transcript = recognizer.transcribe(tone_words(["low", "high"], rate=22050, seed=7), 22050)
    assert transcript.text == "low high"
    soundfile.write(tmp_path / "a.wav", tone_words(["low", "high"], seed=7), 8000)
    assert library.transcribe(tmp_path / "a.wav", model, vad=False).text == "low high"
    assert before == (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype())
    assert torch.equal(torch.get_rng_state(), state)
    assert float(tiny / 2) != 0  # denormal numbers are not flushed


def test_a_batch_gives_what_a_file_alone_gives(model: Path) -> None:
    import asr as library

    recognizer = library.load(model, vad=False)
    sources = [((tone_words(["low"] * (1 + i % 3), seed=i), 8000), f"u{i}") for i in range(7)]
    together = list(recognizer.transcribe_all(sources, batch_seconds=4))
    assert [t.audio for t in together] == [name for _, name in sources]
    for (source, name), result in zip(sources, together, strict=True):
        alone = recognizer.transcribe(source, name=name)
        assert (alone.text, alone.words[0].start, alone.words[0].end) == (
            result.text,
            result.words[0].start,
            result.words[0].end,
        )


def test_names_of_all_kinds(model: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    names = [b"a b.wav", b"-x.wav", b"\"q'.wav", b"new\nline.wav", b"tab\tx.wav", "語.wav".encode(), b"\xff.wav"]
    samples = tone_words(["low"], seed=3)
    soundfile.write(tmp_path / "one.wav", samples, 8000)
    for name in names:
        shutil.copy(tmp_path / "one.wav", folder / os.fsdecode(name))
    done = asr("transcribe", "--no-vad", folder, "--model", model, "--output-dir", out, "--format", "txt,json")
    assert done.returncode == 0, done.stderr
    assert {os.fsencode(path.name) for path in out.glob("*.txt")} == {name[:-4] + b".txt" for name in names}
    assert all(path.read_text() == "low\n" for path in out.glob("*.txt"))
    assert all(json.loads(path.read_text())["text"] == "low" for path in out.glob("*.json"))
    done = asr("transcribe", "--no-vad", folder, "--model", model)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(names)
    assert all(line.count("\t") == 1 and line.endswith("\tlow") for line in lines)


def test_a_folder_killed_at_any_moment_has_every_file_once_and_whole(model: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    texts = {}
    for number in range(40):
        name = f"{number % 7}/{number:02d}"
        words = [list(TONES)[(number >> place) % 2] for place in range(4)]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{name}.flac", tone_words(words, seed=number), 8000)
        texts[name] = " ".join(words)
    options = ["--no-vad", "--skip-existing", "--format", "srt,json", "--batch-seconds", "4"]
    command = [sys.executable, "-m", "asr", "transcribe", folder, "--model", model, "--output-dir", out, *options]
    chance = random.Random(1)
    for _ in range(20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not any(out.rglob("*.srt")):
            while process.poll() is None and not any(out.rglob("*.srt")):
                time.sleep(0.002)  # until it writes
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, 5))
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.wait()
        for path in out.rglob("*"):  # nothing half written under a name that means something
            if path.suffix == ".json":
                assert json.loads(path.read_text())["duration"] > 1
    assert subprocess.run(command, capture_output=True).returncode == 0
    found = {
        str(path.relative_to(out).with_suffix("")): json.loads(path.read_text())["text"] for path in out.rglob("*.json")
    }
    assert found == texts
    assert {str(path.relative_to(out).with_suffix("")) for path in out.rglob("*.srt")} == texts.keys()
