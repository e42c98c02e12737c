from __future__ import annotations

import gzip
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from helpers import tone_data
from hypothesis import given, strategies as st
from wording import wording

from asr.data.batches import load_batches, plan_batches
from asr.data.cuts import read_cuts, utterance_seed
from asr.text.normalize import TextNormalizer
from asr.text.tokenizer import CharTokenizer
from asr.utils.errors import InputError


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return tone_data(tmp_path, 20)


def cuts_with(prepared: Path, change: dict) -> Path:
    """A manifest of one cut whose recording was changed."""
    with gzip.open(prepared / "cuts_train.jsonl.gz", "rt") as f:
        cut = json.loads(f.readline())
    cut["recording"].update(change)
    path = prepared / "planted.jsonl"
    path.write_text(json.dumps(cut) + "\n")
    return path


def test_a_planted_command_is_refused_and_does_not_run(prepared: Path) -> None:
    witness = prepared / "ran"
    sources = [{"type": "command", "channels": [0], "source": f"touch {witness}; cat {prepared}"}]
    with pytest.raises(InputError, match=wording("planted-jsonl-line-1-type")):
        read_cuts(cuts_with(prepared, {"sources": sources}))
    assert not witness.exists()


@pytest.mark.parametrize("kind", ["url", "memory", "shar", "nonsense"])
def test_only_files_are_read(prepared: Path, kind: str) -> None:
    sources = [{"type": kind, "channels": [0], "source": "http://127.0.0.1:9/a.wav"}]
    with pytest.raises(InputError, match=wording("only-a-single-file")):
        read_cuts(cuts_with(prepared, {"sources": sources}))


def test_a_pipe_in_the_file_name_is_only_a_name(prepared: Path) -> None:
    witness = prepared / "ran"
    sources = [{"type": "file", "channels": [0], "source": f"touch {witness} |"}]
    (utterance,) = read_cuts(cuts_with(prepared, {"sources": sources}))
    with pytest.raises(InputError, match=wording("no-such-file")):
        utterance.samples(8000)
    assert not witness.exists()


def test_a_file_that_is_longer_than_its_manifest_says(prepared: Path) -> None:
    path = cuts_with(prepared, {})
    cut = json.loads(path.read_text())
    cut["duration"] = cut["recording"]["duration"] = cut["supervisions"][0]["duration"] = 0.1
    path.write_text(json.dumps(cut) + "\n")
    (utterance,) = read_cuts(path)
    with pytest.raises(InputError, match=wording("its-manifest-says-0")):
        utterance.samples(8000)


def test_a_text_that_is_a_number(prepared: Path) -> None:
    path = cuts_with(prepared, {})
    cut = json.loads(path.read_text())
    cut["supervisions"][0]["text"] = 7
    path.write_text(json.dumps(cut) + "\n")
    with pytest.raises(InputError, match=wording("not-a-text")):
        read_cuts(path)


def test_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "cuts.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 50_000_000))
    with pytest.raises(InputError, match=wording("a-line-of-more-than")):
        read_cuts(path)


@pytest.mark.parametrize("text", ["", "{}\n", "not json\n", '{"type": "MixedCut", "id": "a", "tracks": []}\n', "[1]\n"])
def test_malformed_manifests(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cuts.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"cuts\.jsonl"):
        read_cuts(path)


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("asr-prepare")):
        read_cuts(tmp_path / "cuts_train.jsonl.gz")


@given(
    st.lists(st.floats(0.1, 30), min_size=1, max_size=200),
    st.floats(1, 100),
    st.integers(0, 3),
    st.booleans(),
)
def test_each_utterance_once_and_padding_within_the_budget(
    durations: list[float], budget: float, epoch: int, shuffle: bool
) -> None:
    plan = plan_batches(durations, budget, seed=1, epoch=epoch, shuffle=shuffle)
    assert sorted(i for batch in plan for i in batch) == list(range(len(durations)))
    for batch in plan:
        assert len(batch) == 1 or len(batch) * max(durations[i] for i in batch) <= budget
    assert plan == plan_batches(durations, budget, seed=1, epoch=epoch, shuffle=shuffle)


def test_order_is_new_each_epoch_and_similar_durations_stay_together() -> None:
    durations = [1 + (i * 37 % 100) / 10 for i in range(400)]
    first, second = (plan_batches(durations, 60, seed=1, epoch=epoch) for epoch in (0, 1))
    assert first != second
    assert first != plan_batches(durations, 60, seed=2, epoch=0)
    padded = sum(len(batch) * max(durations[i] for i in batch) for batch in first)
    assert padded < 1.15 * sum(durations)
    longest = plan_batches(durations, 60, shuffle=False)[0]
    assert max(durations) in [durations[i] for i in longest]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_what_was_said(prepared: Path, workers: int) -> None:
    utterances = read_cuts(prepared / "cuts_train.jsonl.gz")
    normalizer = TextNormalizer()
    tokenizer = CharTokenizer.train(["low high"])
    batches = list(
        load_batches(utterances, tokenizer, normalizer, sample_rate=8000, batch_seconds=5, num_workers=workers)
    )
    seen = [key for batch in batches for key in batch.ids]
    assert sorted(seen) == sorted(u.id for u in utterances)
    by_id = {u.id: u for u in utterances}
    for batch in batches:
        said = batch.targets["characters"]
        for i, key in enumerate(batch.ids):
            utterance = by_id[key]
            n = int(batch.sample_lens[i])
            assert torch.equal(batch.samples[i, :n], torch.from_numpy(utterance.samples(8000)))
            assert utterance.text.endswith("!")  # the publisher's text is untouched
            assert tokenizer.decode(said.tokens[i, : said.lens[i]].tolist()) == batch.texts[i]
            assert batch.texts[i] == normalizer(utterance.text)
            assert int(batch.seeds[i]) == utterance_seed(0, 0, key)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_vanished_is_named(prepared: Path, workers: int) -> None:
    utterances = read_cuts(prepared / "cuts_train.jsonl.gz")
    Path(utterances[3].audio).unlink()
    tokenizer = CharTokenizer.train(["low high"])
    with pytest.raises(InputError, match=Path(utterances[3].audio).name):
        list(
            load_batches(
                utterances, tokenizer, TextNormalizer(), sample_rate=8000, batch_seconds=5, num_workers=workers
            )
        )


@given(st.lists(st.floats(0.1, 30), min_size=7, max_size=60), st.integers(1, 7), st.floats(0.5, 60))
def test_every_plan_can_be_dealt_and_has_no_empty_batch(durations: list[float], multiple: int, budget: float) -> None:
    plan = plan_batches(durations, budget, seed=1, multiple=multiple)
    assert len(plan) % multiple == 0
    assert all(plan)
    assert {i for batch in plan for i in batch} == set(range(len(durations)))
    assert all(len(batch) == 1 or len(batch) * max(durations[i] for i in batch) <= budget for batch in plan)


def test_a_killed_reader_is_named(tmp_path: Path) -> None:
    cuts = read_cuts(tone_data(tmp_path, 20) / "cuts_train.jsonl.gz")

    class Dies(TextNormalizer):
        def __call__(self, text: str) -> str:
            os.kill(os.getpid(), signal.SIGKILL)
            return text

    batches = load_batches(cuts, CharTokenizer.train(["a"]), Dies(), sample_rate=8000, batch_seconds=5, num_workers=1)
    with pytest.raises(InputError, match=wording("num-workers-a-process-that")):
        list(batches)
