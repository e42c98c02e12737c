from __future__ import annotations

import logging
from pathlib import Path

import pytest
from wording import wording

from asr.utils.errors import InputError
from data_prep._manifest import Source
from data_prep._splits import drop_repeats, share_at_random, share_by_speaker, split_ends


@pytest.mark.parametrize(
    ("length", "count", "sizes"), [(10, 2, (6, 2, 2)), (4, 2, (0, 2, 2)), (3, 2, (1, 1, 1)), (2, 2, (2, 0, 0))]
)
def test_the_ends_are_held_out(length: int, count: int, sizes: tuple[int, int, int]) -> None:
    sources = [Source(str(i), Path("x"), "x") for i in range(length)]
    splits = split_ends(sources, count)
    assert tuple(len(splits[split]) for split in ("train", "dev", "test")) == sizes
    assert [*splits["train"], *splits["dev"], *splits["test"]] == sources


def test_speakers_are_shared_out_whole() -> None:
    sources = [Source(f"{speaker}-{i}", Path("x"), "x", speaker) for speaker in "abcdefghij" for i in range(4)]
    owner = share_by_speaker(sources, {"test": 0.2, "dev": 0.1})
    assert sorted(owner.values()) == ["dev"] + ["test"] * 2 + ["train"] * 7
    assert share_by_speaker(sources[::-1], {"test": 0.2, "dev": 0.1}) == owner
    assert share_by_speaker(sources, {"test": 0.2, "dev": 0.1}, seed=2) != owner
    assert sorted(share_by_speaker(sources, {"dev": 0.1}).values()) == ["dev"] + ["train"] * 9
    with pytest.raises(InputError, match=wording("2-speakers-cannot-be-split")):
        share_by_speaker(sources[:8], {"test": 0.2, "dev": 0.1})


def test_utterances_are_shared_out_whatever_their_order() -> None:
    sources = [Source(str(i), Path("x"), "x") for i in range(20)]
    owner = share_at_random(sources, {"test": 0.2, "dev": 0.01})
    assert sorted(owner.values()) == ["dev"] + ["test"] * 4 + ["train"] * 15
    assert share_at_random(sources[::-1], {"test": 0.2, "dev": 0.01}) == owner
    with pytest.raises(InputError, match=wording("1-utterances-cannot-be-split")):
        share_at_random(sources[:1], {"dev": 0.1})


def test_the_folder_that_cannot_be_split_is_named() -> None:
    sources = [Source("a", Path("x"), "x", "s")]
    for share, what in ((share_by_speaker, "speakers"), (share_at_random, "utterances")):
        with pytest.raises(InputError, match=wording("mine-1-cannot-be-split", what)):
            share(sources, {"dev": 0.1}, where="mine")


def test_train_gives_way_and_test_and_dev_keep_what_is_in_two_splits(caplog: pytest.LogCaptureFixture) -> None:
    def some(split: str, ids: str) -> list[Source]:
        return [Source(key, Path(f"{split}.wav"), "x", origin=f"{split} {key}") for key in ids]

    ids = {"train": "abcddx", "other": "bcx", "dev": "bce", "gone": "be", "test": "cf"}
    splits = {split: some(split, keys) for split, keys in ids.items()}
    with caplog.at_level(logging.WARNING):
        left_out = drop_repeats(splits)
    assert {split: "".join(source.id for source in kept) for split, kept in splits.items()} == {
        **{"train": "ad", "other": "x", "dev": "be"},
        "test": "cf",
    }
    assert left_out == [
        "dev c: c is there already: test c",
        *("gone b: b is there already: dev b", "gone e: e is there already: dev e"),
        *("other b: b is there already: dev b", "other c: c is there already: test c"),
        *("train b: b is there already: dev b", "train c: c is there already: test c"),
        *("train d: d is there already: train d", "train x: x is there already: other x"),
    ]
    assert wording("no-utterance-is-left-of") in caplog.text
