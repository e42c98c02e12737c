"""Recipes from the corpus to their figures: prepare, train, language model, tuning, evaluation; and the same again."""

from __future__ import annotations

import gzip
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml
from helpers import spelled, spelled_texts
from wording import wording

from asr.data.cuts import read_cuts
from asr.lm.files import read_ngram
from asr.models.folder import load_model
from asr.train.recipe import TextModel, run as recipes_run

RECIPES = Path(__file__).parents[2] / "recipes"
CONFIG = """
model:
  features: {sample_rate: 8000, num_mel_bins: 24, normalize: global}
  encoder: {hidden: 32, layers: 1, factor: 2, dropout: 0.0}
spec_augment: {frequency_masks: 0, time_masks_per_second: 0}
epochs: 6
batch_seconds: 10
learning_rate: 2.0e-2
warmup_steps: 10
"""


# How other corpora write the letters of `spelled`.
KANA = str.maketrans("aockt", "あおうくつ")
HAN = str.maketrans("aockt", "安欧西可特")
PHONES = {"a": ["aa"], "o": ["ao"], "c": ["kcl", "q"], "k": ["gcl", "g"], "t": ["tcl", "t"], " ": ["pau"]}
TIMIT_SPEAKERS = {"train": ("TRAIN/DR1", "FCJF0"), "dev": ("TEST/DR1", "FAKS0"), "test": ("TEST/DR1", "MDAB0")}


def run(name: str, home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, RECIPES / name / "run.py", *arguments]
    environment = {**os.environ, "ASR_DATA": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, timeout=300)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of corpora with a Mboshi of letters that are tones."""
    for part, count in (("train", 80), ("dev", 6)):
        folder = tmp_path / "home" / "mboshi" / "full_corpus_newsplit" / part
        folder.mkdir(parents=True)
        for i, text in enumerate(spelled_texts(count)):
            soundfile.write(folder / f"abiayi_{part}_{i}.wav", spelled(text, i), 8000)
            (folder / f"abiayi_{part}_{i}.mb.cleaned").write_text(text + "\n")
            (folder / f"abiayi_{part}_{i}.fr.cleaned").write_text(f"l&apos; {text[::-1]}\n")
    return tmp_path / "home"


def test_from_the_corpus_to_its_figures(home: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    arguments = (tmp_path / "small.yaml", "--data", tmp_path / "data", "--out", tmp_path / "exp")
    first = run("mboshi", home, *arguments)
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["dev-greedy", "dev-8-gram", "test-greedy", "test-8-gram"]
    assert {path.name for path in (tmp_path / "exp" / "model").iterdir()} >= {"lm.safetensors", "model.safetensors"}
    for name, search in (("test-greedy", "greedy"), ("test-8-gram", "beam")):
        scores = json.loads((tmp_path / "exp" / "results" / name / "scores.json").read_text())
        assert scores["decoding"]["search"] == search
        assert scores["utterances"] == 6
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "exp" / "model").iterdir()}
    second = run("mboshi", home, *arguments)
    assert second.stdout == first.stdout
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "exp" / "model").iterdir()}

    # Another run takes its language model and its options.
    longer = tmp_path / "longer.yaml"
    longer.write_text(f"{CONFIG}init_from: {tmp_path / 'exp'}\n")
    like = TextModel(like=tmp_path / "exp")
    found = recipes_run(lambda _, data: data, longer, tmp_path / "data", tmp_path / "more", like)
    assert set(found["scores"]) == {"test-greedy", "test-3-gram"}
    assert "tune" not in found["seconds"]
    assert found["settings"]["init_from"] == str(tmp_path / "exp")
    ours, theirs = load_model(tmp_path / "more"), load_model(tmp_path / "exp")
    assert ours.head.decoding == theirs.head.decoding
    assert ours.head.decoding is not None
    for name in ("lm.safetensors", "tokens.txt"):
        assert (tmp_path / "more" / "model" / name).read_bytes() == (tmp_path / "exp" / "model" / name).read_bytes()


DECODER = "  decoder: {kind: attention, hidden: 24, embedding: 8, attention_dim: 16, start_epoch: 2}\n"


def test_with_an_attention_decoder(home: Path, tmp_path: Path) -> None:
    (tmp_path / "joint.yaml").write_text(CONFIG.replace("  encoder", f"{DECODER}  encoder"))
    arguments = ("--data", tmp_path / "data", "--out", tmp_path / "exp")
    done = run("mboshi", home, tmp_path / "joint.yaml", *arguments)
    assert done.returncode == 0, done.stderr
    ways = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert ways == [
        f"{split}-{way}" for split in ("dev", "test") for way in ("greedy", "8-gram", "attention", "two-pass")
    ]
    tuned = yaml.safe_load((tmp_path / "exp" / "tuned.yaml").read_text())
    for way, search in (("8-gram", "ctc"), ("attention", "attention"), ("two-pass", "two-pass")):  # each with its own
        found = json.loads((tmp_path / "exp" / "results" / f"test-{way}" / "scores.json").read_text())["decoding"]
        assert found["lm_weight"] == tuned[search]["lm_weight"]
        assert search == "ctc" or found["ctc_weight"] == tuned[search]["ctc_weight"]
    assert load_model(tmp_path / "exp").head.decoding.search in tuned
    alone = CONFIG.replace("  encoder", DECODER.replace("}", ", ctc_weight: 0}") + "  encoder")
    (tmp_path / "alone.yaml").write_text(alone.replace("epochs: 6", "epochs: 1"))
    done = run("mboshi", home, tmp_path / "alone.yaml", "--data", tmp_path / "data", "--out", tmp_path / "alone")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["dev", "test"]
    assert list(yaml.safe_load((tmp_path / "alone" / "tuned.yaml").read_text())) == ["attention"]


def test_translation(home: Path, tmp_path: Path) -> None:
    (tmp_path / "joint.yaml").write_text(
        CONFIG.replace("  encoder", f"{DECODER}  encoder").replace("epochs: 6", "epochs: 3")
    )
    arguments = ("--data", tmp_path / "data", "--out", tmp_path / "exp", "--translate")
    done = run("mboshi", home, tmp_path / "joint.yaml", *arguments)
    assert done.returncode == 0, done.stderr
    assert all("; BLEU " in line for line in done.stdout.splitlines())
    found = json.loads((tmp_path / "exp" / "results.json").read_text())
    assert found["scores"].keys() == {f"{split}-{way}" for split in ("dev", "test") for way in ("attention", "alone")}
    texts = [u.text for u in read_cuts(tmp_path / "data-french" / "cuts_train.jsonl.gz")]
    assert all(text.startswith("l'") for text in texts)
    frequent = found["most frequent text"]
    assert frequent["times"] == max(map(texts.count, texts))
    assert frequent["scores"].keys() == {"dev", "test"}
    assert found["scores"]["test-alone"]["decoding"]["ctc_weight"] == 0
    assert 0 <= found["scores"]["test-alone"]["translation"]["bleu"] <= 100


def test_a_corpus_that_is_not_there_gets_a_word(tmp_path: Path) -> None:
    result = run("mboshi", tmp_path, "--data", tmp_path / "data", "--out", tmp_path / "exp")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "full_corpus_newsplit" in result.stderr
    assert "Traceback" not in result.stderr


def said(split: str, count: int) -> Iterator[tuple[int, str]]:
    """Numbers and texts of a split."""
    first = {"train": 0, "dev": 1000, "test": 2000, "test_other": 3000}[split]
    yield from enumerate(spelled_texts(count, first), first)


def record(path: Path, text: str, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, spelled(text, number), 8000)


def small(tmp_path: Path, *settings: str, epochs: int = 6) -> Path:
    """A configuration with further settings of the model, a line each."""
    path = tmp_path / "small.yaml"
    lines = "".join(f"  {line}\n" for line in settings)
    path.write_text(CONFIG.replace("model:\n", f"model:\n{lines}").replace("epochs: 6", f"epochs: {epochs}"))
    return path


def scores_of(name: str, home: Path, tmp_path: Path, *arguments: object) -> dict[str, Any]:
    """The scores of a recipe's run, which are in its results folders and in results.json."""
    out = tmp_path / "exp"
    done = run(name, home, *arguments, "--data", tmp_path / "data", "--out", out)
    assert done.returncode == 0, done.stderr
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(out.glob("results/*/scores.json"))}
    kept = json.loads((out / "results.json").read_text())["scores"]
    assert {way: scores["headline"] for way, scores in kept.items()} == {way: s["headline"] for way, s in found.items()}
    for scores in found.values():
        assert scores[scores["headline"]]["length"] > 0
        assert scores["interval"][0] <= scores[scores["headline"]]["rate"] <= scores["interval"][1]
    return found


def references(tmp_path: Path, name: str) -> dict[str, str]:
    lines = (tmp_path / "exp" / "results" / name / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"]: row["reference"] for row in map(json.loads, lines)}


@pytest.fixture
def librispeech_home(tmp_path: Path) -> Path:
    """The parts that 100 hours need, another part of train, and the text for the language model."""
    home = tmp_path / "home"
    parts = {"train-clean-100": ("train", 80), "dev-clean": ("dev", 6), "test-clean": ("test", 6)}
    parts |= {"test-other": ("test_other", 5)}
    for speaker, (part, (split, count)) in enumerate(parts.items(), 19):
        folder = home / "librispeech" / "LibriSpeech" / part / str(speaker) / "198"
        lines = []
        for i, text in said(split, count):
            record(folder / f"{speaker}-198-{i:04d}.flac", text, i)
            lines.append(f"{speaker}-198-{i:04d} {text.upper()}\n")
        (folder / f"{speaker}-198.trans.txt").write_text("".join(lines))
    more = home / "librispeech" / "LibriSpeech" / "train-clean-360" / "99" / "1"
    record(more / "99-1-0000.flac", "coat", 99)
    (more / "99-1.trans.txt").write_text("99-1-0000 COAT\n99-1-0001 NOT THERE\n")
    with gzip.open(home / "librispeech-lm-norm.txt.gz", "wt") as f:
        f.writelines(f"{text.upper()} STOAT\n" for text in spelled_texts(200, 5))
    return home


def test_librispeech(librispeech_home: Path, tmp_path: Path) -> None:
    pieces = small(tmp_path, "tokenizer: {kind: bpe, size: 14}", epochs=12)
    scores = scores_of("librispeech", librispeech_home, tmp_path, pieces, "--hours", "100")
    assert sorted(scores) == ["test-3-gram", "test-greedy", "test_other-3-gram", "test_other-greedy"]
    assert {name: found["headline"] for name, found in scores.items()} == dict.fromkeys(scores, "wer")
    assert {name: found["utterances"] for name, found in scores.items()} == {
        **{"test-3-gram": 6, "test-greedy": 6, "test_other-3-gram": 5, "test_other-greedy": 5}
    }
    assert scores["test-3-gram"]["wer"]["length"] == 18
    assert scores["test-3-gram"]["wer"]["rate"] < 0.5
    assert len(read_cuts(tmp_path / "data" / "cuts_train.jsonl.gz")) == 80  # of one part alone
    assert sorted(path.name for path in (tmp_path / "data").glob("cuts_*")) == [
        f"cuts_{split}.jsonl.gz" for split in ("dev", "test", "test_other", "train")
    ]
    assert json.loads((tmp_path / "data" / "corpus.json").read_text())["left_out"] == []
    assert "stoat" in read_ngram(tmp_path / "exp" / "lm.safetensors").words  # of the text, not of training


def test_librispeech_needs_its_parts(librispeech_home: Path, tmp_path: Path) -> None:
    arguments = ("--data", tmp_path / "data", "--out", tmp_path / "exp")
    result = run("librispeech", librispeech_home, "--hours", "960", *arguments)
    assert result.returncode == 2
    assert wording("train-other-500-is-none") in result.stderr
    (librispeech_home / "librispeech" / "LibriSpeech" / "test-other").rename(tmp_path / "elsewhere")
    result = run("librispeech", librispeech_home, *arguments)
    assert result.returncode == 2
    assert wording("has-no-test-other") in result.stderr
    assert not (tmp_path / "exp" / "model").exists()


def test_mini_librispeech_its_ablation_and_english_small(tmp_path: Path) -> None:
    """On copies of the recipes, with a small network and their own settings otherwise."""
    home, recipes = tmp_path / "home", tmp_path / "recipes"
    for part, speaker, (split, count) in (
        ("train-a", 1, ("train", 80)),
        ("dev-a", 2, ("dev", 6)),
        ("test-a", 3, ("test", 6)),
    ):
        folder = home / "librispeech-mini" / part / str(speaker) / "198"
        lines = []
        for i, text in said(split, count):
            record(folder / f"{speaker}-198-{i:04d}.flac", text, i)
            lines.append(f"{speaker}-198-{i:04d} {text.upper()}\n")
        (folder / f"{speaker}-198.trans.txt").write_text("".join(lines))
    lines = []
    for i, text in said("test_other", 40):
        record(home / "ljspeech" / "LJSpeech-1.1" / "wavs" / f"LJ001-{i:04d}.wav", text, i)
        lines.append(f"LJ001-{i:04d}|{text}|{text}\n")
    (home / "ljspeech" / "LJSpeech-1.1" / "metadata.csv").write_text("".join(lines))
    (home / "lm-text").mkdir()
    (home / "lm-text" / "lm_text_en.txt").write_text("".join(f"{text.upper()}\n" for text in spelled_texts(200, 5)))
    settings = (
        "heads: [phones, characters]",
        "tokenizer: {language: en}",
        "criterion: {kind: ctc-crf, warm_up_epochs: 2}",
    )
    for name in ("mini_librispeech", "english_small"):
        shutil.copytree(
            RECIPES / name, recipes / name, ignore=shutil.ignore_patterns("exp", "data", "results", "ablation.json")
        )
        shutil.copyfile(small(tmp_path, *settings), recipes / name / "conf" / "blstm.yaml")
    with open(recipes / "english_small" / "conf" / "blstm.yaml", "a") as f:
        f.write("init_from: recipes/mini_librispeech/exp/blstm\n")

    def call(*command: str) -> str:
        environment = {**os.environ, "ASR_DATA": str(home), "OMP_NUM_THREADS": "1"}
        words = [sys.executable, *command]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    printed = call("recipes/mini_librispeech/run.py")
    assert [line.split(":")[0] for line in printed.splitlines()] == [
        "dev-greedy",
        "dev-4-gram",
        "test-greedy",
        "test-4-gram",
    ]
    mini = recipes / "mini_librispeech"
    assert (
        json.loads((mini / "exp" / "blstm" / "results.json").read_text())["scores"]["test-4-gram"]["wer"]["rate"] < 0.5
    )

    changes = ["as it is", "one speed", "no prior", "characters, any word"]
    call("recipes/mini_librispeech/ablation.py", *changes)
    call("recipes/mini_librispeech/ablation.py", "--publish")
    kept = json.loads((mini / "ablation.json").read_text())
    assert list(kept) == changes
    for name in changes:
        ran = mini / "exp" / "ablation" / "".join(c if c.isalnum() else "-" for c in name)
        found = load_model(ran)
        assert found.head.decoding is not None
        if "characters" not in name:
            best = load_model(mini / "exp" / "ablation" / "as-it-is").head.decoding
            assert found.head.decoding == (replace(best, prior_weight=0.0) if name == "no prior" else best)
        assert found.tokenizer.kind == ("characters" if "characters" in name else "phones")
        assert ("tune" in kept[name]["seconds"]) == (name == "as it is" or "characters" in name)
        wer = kept[name]["scores"]["dev-4-gram"]["wer"]["rate"]
        assert f"| {name} | {100 * wer:.2f} % | " in (mini / "README.md").read_text()
    config = (mini / "exp" / "ablation" / "one-speed" / "config.yaml").read_text()
    assert "epochs: 10\n" in config
    assert "speed:\n  - 1.0\n" in config

    call("recipes/english_small/run.py")
    english, first = load_model(recipes / "english_small" / "exp" / "blstm"), load_model(mini / "exp" / "blstm")
    assert english.head.decoding == first.head.decoding
    assert english.head.lexicon is not None
    assert english.trained_on is not None
    assert first.trained_on is not None
    assert set(english.trained_on.tolist()) > set(first.trained_on.tolist())
    cuts = [read_cuts(path) for path in (recipes / "english_small" / "data").glob("cuts_*.jsonl.gz")]
    assert sum(map(len, cuts)) == 80 + 6 + 6 + 40


def test_common_voice(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "common_voice" / "xx"
    for split, count in (("train", 80), ("dev", 6), ("test", 6)):
        rows = ["client_id\tpath\tsentence"]
        for i, text in said(split, count):
            record(folder / "clips" / f"common_voice_xx_{i}.mp3", text, i)
            rows.append(f"{split}{i % 3}\tcommon_voice_xx_{i}.mp3\t{text.capitalize()}.")
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    home = tmp_path / "home"
    scores = scores_of("common_voice", home, tmp_path, small(tmp_path), "--language", "xx")
    assert {name: found["headline"] for name, found in scores.items()} == {"test-3-gram": "wer", "test-greedy": "wer"}
    assert scores["test-3-gram"]["wer"]["length"] == 18
    assert scores["test-3-gram"]["wer"]["rate"] < 0.5
    other = run("common_voice", home, "--language", "yy", "--data", tmp_path / "d", "--out", tmp_path / "e")
    assert other.returncode == 2
    assert wording("common-voice-yy-no-such") in other.stderr


def test_aishell(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "aishell" / "data_aishell"
    lines, characters = [], 0
    for speaker, (split, count) in enumerate((("train", 80), ("dev", 6), ("test", 6)), 2):
        for i, text in said(split, count):
            key = f"BAC009S{speaker:04d}W{i:04d}"
            record(folder / "wav" / split / f"S{speaker:04d}" / f"{key}.wav", text.replace(" ", ""), i)
            lines.append(f"{key} {text.translate(HAN)}\n")  # with spaces between words, as the publisher has it
            characters += len(text.replace(" ", "")) if split == "test" else 0
    (folder / "transcript").mkdir()
    (folder / "transcript" / "aishell_transcript_v0.8.txt").write_text("".join(lines), encoding="utf-8")
    scores = scores_of("aishell", tmp_path / "home", tmp_path, small(tmp_path))
    assert {name: found["headline"] for name, found in scores.items()} == {"test-3-gram": "cer", "test-greedy": "cer"}
    for name in scores:
        assert scores[name]["cer"]["length"] == characters  # without the spaces
        assert scores[name]["cer"]["rate"] < 0.5
        assert not any(" " in text for text in references(tmp_path, name).values())
    assert set(read_ngram(tmp_path / "exp" / "lm.safetensors").words) == {"<unk>", "<s>", "</s>", *"安欧西可特"}


def test_jsut(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "jsut" / "jsut_ver1.1" / "basic5000"
    lines, texts = [], []
    for i, text in said("train", 240):
        text = text.replace(" ", "")
        record(folder / "wav" / f"BASIC5000_{i:04d}.wav", text, i)
        texts.append(text.translate(KANA))
        lines.append(f"BASIC5000_{i:04d}:{texts[-1]}。\n")
    (folder / "transcript_utf8.txt").write_text("".join(lines), encoding="utf-8")
    scores = scores_of("jsut", tmp_path / "home", tmp_path, small(tmp_path, epochs=8))
    assert {name: found["headline"] for name, found in scores.items()} == {"test-3-gram": "cer", "test-greedy": "cer"}
    assert scores["test-greedy"]["cer"]["length"] == sum(map(len, texts[160:]))  # a third; without punctuation
    assert scores["test-greedy"]["cer"]["rate"] < 0.5


def test_timit_is_scored_in_39_classes(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "timit"
    kept = 0
    for split, (part, speaker) in TIMIT_SPEAKERS.items():
        for i, text in said(split, 80 if split == "train" else 6):
            path = folder / part / speaker / f"SX{i}.WAV"
            record(path, text, i)
            labels = ["h#", *(phone for letter in text for phone in PHONES[letter]), "h#"]
            path.with_suffix(".PHN").write_text("".join(f"{n} {n + 1} {label}\n" for n, label in enumerate(labels)))
            kept += len([label for label in labels if label != "q"]) if split == "test" else 0
    config = small(tmp_path, "text: {case: keep, punctuation: keep, words: spaces}", "tokenizer: {kind: words}")
    scores = scores_of("timit", tmp_path / "home", tmp_path, config)
    assert sorted(scores) == ["dev-3-gram", "dev-greedy", "test-3-gram", "test-greedy"]
    for name, found in scores.items():
        assert found["headline"] == "per"
        assert not found.keys() & {"wer", "cer"}
        assert found["per"]["rate"] < 0.5
        assert list(found["speakers"]) == [TIMIT_SPEAKERS[name.partition("-")[0]][1]]
        assert sum(each["errors"] for each in found["speakers"].values()) == found["per"]["errors"]
    assert scores["test-greedy"]["per"]["length"] == kept
    said_in_48 = {phone for text in references(tmp_path, "test-greedy").values() for phone in text.split()}
    assert said_in_48 == {"sil", "aa", "ao", "cl", "vcl", "g", "t"}  # 39 classes have no ao, cl, vcl


def test_classes_that_timit_does_not_tell_apart(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "speaker": "F", "reference": "sil aa cl t ax sil", "text": "vcl ao epi t ah cl"},
        {"id": "b", "speaker": "M", "reference": "sil zh en", "text": "sil sh m en"},
    ]
    (tmp_path / "hypotheses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "scores.json").write_text('{"headline": "wer", "wer": {}, "cer": {}, "data": "x"}')
    runpy.run_path(str(RECIPES / "timit" / "run.py"))["score_classes"](tmp_path)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["per"] == {
        **{"rate": 1 / 9, "errors": 1, "substitutions": 0, "deletions": 0, "insertions": 1, "length": 9}
    }
    assert scores["headline"] == "per"
    assert scores["data"] == "x"
    assert not scores.keys() & {"wer", "cer"}
    assert {name: (own["errors"], own["length"]) for name, own in scores["speakers"].items()} == {
        "F": (0, 6),
        "M": (1, 3),
    }
