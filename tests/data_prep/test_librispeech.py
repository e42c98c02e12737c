from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lhotse.recipes import prepare_librispeech
from wording import wording

from asr.utils.errors import InputError
from asr.utils.files import UTF8
from data_prep._parts import splits_of_parts
from data_prep.librispeech import _part_folder, prepare

Add = Callable[..., Path]


@pytest.fixture
def add(tmp_path: Path, record: Callable[..., Path]) -> Add:
    """Adds a chapter to a corpus: its transcript and its recordings."""

    def chapter(part: str, speaker: str, chapter: str, count: int = 2, *, ending: str = ".flac") -> Path:
        folder = tmp_path / "LibriSpeech" / part / speaker / chapter
        keys = [f"{speaker}-{chapter}-{i:04d}" for i in range(count)]
        for key in keys:
            record(folder / f"{key}{ending}", "IT'S ONE")
        transcript = folder / f"{speaker}-{chapter}.trans.txt"
        transcript.write_text("".join(f"{key} IT'S {key[-1]}\n" for key in keys))
        return transcript

    return chapter


def ids(splits: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {split: list(found) for split, found in splits.items()}


def test_the_publishers_parts(add: Add, tmp_path: Path, prepared: Any) -> None:
    for i, part in enumerate(
        ["train-clean-100", "train-other-500", "dev-clean", "dev-other", "test-clean", "test-other"]
    ):
        add(part, str(19 + i), "198")
    (tmp_path / "LibriSpeech" / "dev-clean" / "21" / "198" / "._21-198.trans.txt").write_bytes(b"of a Mac\xff")
    (tmp_path / "LibriSpeech" / "BOOKS.TXT").write_text("a list")
    assert prepare(tmp_path, tmp_path / "out").left_out == []
    splits = prepared(tmp_path / "out")
    assert ids(splits) == {
        "train": ["19-198-0000", "19-198-0001", "20-198-0000", "20-198-0001"],
        "dev": ["21-198-0000", "21-198-0001"],
        "dev_other": ["22-198-0000", "22-198-0001"],
        "test": ["23-198-0000", "23-198-0001"],
        "test_other": ["24-198-0000", "24-198-0001"],
    }
    assert splits["dev_other"]["22-198-0001"] == ("IT'S 1", "22")
    assert prepare(tmp_path, tmp_path / "out").already_done


def test_lhotse_finds_the_same(add: Add, tmp_path: Path, prepared: Any) -> None:
    parts = {"train": "train-clean-5", "dev": "dev-clean-2", "test": "test-heldout"}
    for i, part in enumerate(parts.values()):
        add(part, str(19 + i), "198", count=3)
    prepare(tmp_path / "LibriSpeech", tmp_path / "out")
    theirs = prepare_librispeech(tmp_path / "LibriSpeech", dataset_parts=list(parts.values()))
    assert prepared(tmp_path / "out") == {
        split: {s.id: (s.text, s.speaker) for s in sorted(theirs[part]["supervisions"], key=lambda s: s.id)}
        for split, part in parts.items()
    }


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("train-clean-5 dev-clean-2", "train=train-clean-5 dev=dev-clean-2"),
        ("train-a train-b dev-b dev-a test-b", "train=train-a,train-b dev=dev-a test=test-b dev_b=dev-b"),
        ("train dev test", "train=train dev=dev test=test"),
        (
            "train dev-big dev-clean test-big test",
            "train=train dev=dev-clean test=test dev_big=dev-big test_big=test-big",
        ),
        ("Train_1 my-dev our.test", "train=Train_1 dev=my-dev test=our.test"),
        ("old-testament new-testament devotional", "train=devotional,new-testament,old-testament"),
        ("trains testimony-1 dev1", "train=testimony-1,trains dev=dev1"),
        ("training valid eval", "train=training dev=valid test=eval"),
        (
            "train evaluation-b development validation",
            "train=train dev=development test=evaluation-b validation=validation",
        ),
        ("trainé dev-é", "train=trainé dev=dev-é"),
        ("one two test-clean", "train=one,two test=test-clean"),
        ("one two", "train=one,two"),
        ("train-a voices", "train=train-a voices=voices"),
        ("train/a train/b dev/x test/y", "train=train/a,train/b dev=dev/x test=test/y"),
        ("train-a/dev-a train-a/other", "train=train-a/other dev=train-a/dev-a"),
        ("test-clean", "test=test-clean"),
    ],
)
def test_names_of_parts_tell_their_splits(parts: str, expected: str) -> None:
    splits = splits_of_parts(reversed(parts.split()), {"dev": None, "test": None}, Path("x"))
    assert " ".join(f"{split}={','.join(names)}" for split, names in splits.items()) == expected


def test_parts_that_are_chosen() -> None:
    def chosen(dev: str | None, test: str | None) -> dict[str, list[str]]:
        return splits_of_parts(["dev", "b", "dev-clean", "a", "train-x"], {"dev": dev, "test": test}, Path("x"))

    assert chosen("a", "b") == {
        **{"train": ["train-x"], "dev": ["a"], "test": ["b"]},
        **{"dev_part": ["dev"], "dev_clean": ["dev-clean"]},
    }
    assert chosen(None, "dev")["dev"] == ["dev-clean"]
    with pytest.raises(InputError, match=wording("dev-part-c-is-none")):
        chosen("c", None)
    with pytest.raises(InputError, match=wording("test-part-a-is-dev")):
        chosen("a", "a")


def test_parts_of_train_that_are_chosen() -> None:
    def chosen(*train: str, dev: str | None = None) -> dict[str, list[str]]:
        parts = ["train-a", "train-b", "train-c", "dev-clean", "extra", "test"]
        return splits_of_parts(parts, {"dev": dev, "test": None}, Path("x"), train)

    others = {"dev": ["dev-clean"], "test": ["test"], "extra": ["extra"]}
    assert chosen("train-b", "train-a", "train-b") == {"train": ["train-a", "train-b"], **others}
    assert chosen("extra") == {"train": ["extra"], "dev": ["dev-clean"], "test": ["test"]}
    assert chosen("train-a", dev="train-b")["dev"] == ["train-b"]
    with pytest.raises(InputError, match=wording("train-part-train-d-is")):
        chosen("train-a", "train-d")
    with pytest.raises(InputError, match=wording("dev-part-train-a-is")):
        chosen("train-a", dev="train-a")


def test_only_the_chosen_parts_of_train_are_used(add: Add, tmp_path: Path, prepared: Any) -> None:
    for speaker, part in enumerate(
        ("train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "test-clean")
    ):
        add(part, str(speaker), "1")
    other = tmp_path / "LibriSpeech" / "train-other-500" / "2"
    (other / "1" / "2-1-0000.flac").unlink()  # which is no matter where the part is not used
    (other / "2").mkdir()
    (other / "2" / "2-2-0000.flac").write_bytes(b"fLaC")
    parts = ("train-clean-360", "train-clean-100")
    summary = prepare(tmp_path, tmp_path / "out", train_part=parts)
    assert summary.utterances == {"train": 4, "dev": 2, "test": 2}
    assert summary.left_out == []
    assert {speaker for _, speaker in prepared(tmp_path / "out")["train"].values()} == {"0", "1"}
    assert prepare(tmp_path, tmp_path / "out", train_part=parts[::-1]).already_done
    with pytest.raises(InputError, match=wording("choose-another-out")):
        prepare(tmp_path, tmp_path / "out")
    summary = prepare(tmp_path, tmp_path / "all")
    assert summary.utterances["train"] == 5
    assert len(summary.left_out) == 2


def test_missing_splits_are_taken_from_train_by_speaker(
    add: Add, tmp_path: Path, prepared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for speaker in range(30, 42):
        add("clean" if speaker % 2 else "noisy", str(speaker), "7")
    with caplog.at_level(logging.WARNING):
        prepare(tmp_path, tmp_path / "out")
    splits = prepared(tmp_path / "out")
    voices = {split: {speaker for _, speaker in found.values()} for split, found in splits.items()}
    assert sum(map(len, voices.values())) == len(set().union(*voices.values())) == 12
    assert {split: len(found) for split, found in voices.items()} == {"train": 10, "dev": 1, "test": 1}
    (held_out,) = [r.getMessage() for r in caplog.records]
    taken = ", ".join(sorted(voices["dev"] | voices["test"]))
    assert f"no part named dev and test: speakers {taken} of train are taken; --dev-part and --test-part" in held_out
    # another folder, the same split
    (tmp_path / "LibriSpeech").rename(tmp_path / "moved")
    prepare(tmp_path / "moved", tmp_path / "again")
    assert prepared(tmp_path / "again") == splits
    # with a part named for test only dev is taken
    prepare(tmp_path / "moved", tmp_path / "third", test_part="noisy")
    splits = prepared(tmp_path / "third")
    assert {split: len(found) for split, found in splits.items()} == {"train": 10, "dev": 2, "test": 12}
    with pytest.raises(InputError, match=wording("choose-another-out")):
        prepare(tmp_path / "moved", tmp_path / "third")


@pytest.mark.parametrize(
    ("transcript", "part"),
    [
        ("x/y/part/19/198/19-198.trans.txt", "x/y/part"),
        ("19/198/19-198.trans.txt", ""),
        ("x/part/anna/one/19-198.trans.txt", "x/part"),
        ("part/anna/19-198.trans.txt", "part"),
        ("part/19/198/19-198.TRANS.TXT", "part"),
        ("part/anna/anna.trans.txt", "part"),
        ("part/19-198.trans.txt", "part"),
        ("19-198.trans.txt", ""),
    ],
)
def test_the_part_of_a_transcript(transcript: str, part: str) -> None:
    assert _part_folder(Path("/c") / transcript, Path("/c")) == Path("/c") / part


def test_one_speaker_alone_is_split_by_utterance(
    add: Add, tmp_path: Path, prepared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add("mine", "5", "1", count=12)
    prepare(tmp_path / "LibriSpeech" / "mine", tmp_path / "out")  # a part by itself
    assert {split: len(found) for split, found in prepared(tmp_path / "out").items()} == {
        **{"train": 10, "dev": 1, "test": 1}
    }
    assert wording("utterances-of-train-are-taken") in caplog.text
    add("two", "7", "1", count=6)
    add("two", "8", "1", count=6)
    assert prepare(tmp_path / "LibriSpeech" / "two", tmp_path / "two").utterances == {"train": 10, "dev": 1, "test": 1}
    add("tiny", "6", "1", count=2)
    with pytest.raises(InputError, match=wording("tiny-2-utterances-cannot-be")):
        prepare(tmp_path / "LibriSpeech" / "tiny", tmp_path / "tiny")


def test_only_parts_to_test_on(add: Add, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add("test-clean", "5", "1")
    add("test-other", "6", "1")
    assert prepare(tmp_path, tmp_path / "out").utterances == {"test": 2, "test_other": 2}
    assert wording("has-no-part-to-train") in caplog.text


def test_other_names_of_speakers_and_chapters_wav_and_links(
    tmp_path: Path, prepared: Any, record: Callable[..., Path]
) -> None:
    far = tmp_path / "far" / "train-mine"
    for folder, key in ((far / "anna" / "ch1", "x1"), (tmp_path / "c" / "dev", "y1"), (tmp_path / "c" / "test", "z1")):
        record(folder / f"{key}.WAV")
        (folder / "anna-one.trans.txt").write_text(f"{key}\tone two\n")
    (tmp_path / "c" / "train").symlink_to(far)
    (far / "back").symlink_to(tmp_path / "c")  # a circle
    assert prepare(tmp_path / "c", tmp_path / "out").left_out == []
    assert prepared(tmp_path / "out") == {
        **{"train": {"x1": ("one two", "anna")}, "dev": {"y1": ("one two", "anna")}},
        "test": {"z1": ("one two", "anna")},
    }


def test_speakers_are_named_by_transcripts_in_either_case(
    tmp_path: Path, prepared: Any, record: Callable[..., Path]
) -> None:
    for part, name in (("train", "anna.trans.txt"), ("dev", "Ben-1.TRANS.TXT"), ("test", "cem.Trans.Txt")):
        folder = tmp_path / "c" / part / "x"
        record(folder / f"{part}1.wav")
        (folder / name).write_text(f"{part}1 one two\n")
    assert prepare(tmp_path / "c", tmp_path / "out").left_out == []
    splits = prepared(tmp_path / "out")
    speakers = {split: speaker for split, found in splits.items() for _, speaker in found.values()}
    assert speakers == {"train": "anna", "dev": "Ben", "test": "cem"}


def test_a_speaker_whose_texts_cannot_be_used_is_drawn_for_nothing(add: Add, tmp_path: Path, prepared: Any) -> None:
    for speaker in range(30, 34):
        add("mine", str(speaker), "7", count=6)
    prepare(tmp_path, tmp_path / "out")
    drawn = {speaker for _, speaker in prepared(tmp_path / "out")["test"].values()}
    (transcript,) = (path for speaker in drawn for path in tmp_path.rglob(f"{speaker}-7.trans.txt"))
    transcript.write_bytes(transcript.read_bytes().replace(b"IT'S", "CAFÉ".encode("latin-1")))
    summary = prepare(tmp_path / "LibriSpeech", tmp_path / "again")
    assert summary.utterances == {"train": 6, "dev": 6, "test": 6}
    assert len(summary.left_out) == 6


@pytest.fixture
def broken(add: Add) -> Path:
    """A transcript of four utterances, in a corpus that is whole."""
    add("dev-clean", "1", "1")
    add("test-clean", "2", "1")
    return add("train-clean-5", "3", "1", count=4)


@pytest.mark.parametrize(
    ("second", "complaints"),
    [
        (b"3-1-0001", ["{}, line 2: {/}3-1-0001.flac: 3-1-0001 has no text"]),
        (
            b"3-1-0009 NINE",
            ["{}, line 2: there is no 3-1-0009.flac or .wav beside it", "{/}3-1-0001.flac: has no transcript"],
        ),
        (
            b"3-1-0000 NULL",
            ["{}, line 2: 3-1-0000 is there already: {}, line 1", "{/}3-1-0001.flac: has no transcript"],
        ),
        (b"", ["{/}3-1-0001.flac: has no transcript"]),
        (
            "3-1-0001 CAFÉ".encode("latin-1"),
            ["{}, line 2: the text of 3-1-0001 is not UTF-8; " + UTF8],
        ),
    ],
)
def test_what_cannot_be_used_is_named(second: bytes, complaints: list[str], broken: Path, tmp_path: Path) -> None:
    lines = broken.read_bytes().splitlines()
    lines[1] = second
    broken.write_bytes(b"\n".join(lines))
    summary = prepare(tmp_path, tmp_path / "out")
    assert summary.utterances == {"train": 3, "dev": 2, "test": 2}
    expected = [line.replace("{}", str(broken)).replace("{/}", f"{broken.parent}/") for line in complaints]
    assert summary.left_out == expected


def test_tabs_cyrillic_and_windows_lines(broken: Path, tmp_path: Path, prepared: Any) -> None:
    broken.write_bytes("\ufeff3-1-0000\tОДИН\tДВА\r\n3-1-0001  TWO  \r\n3-1-0002 3\r\n\r\n3-1-0003 4".encode())
    assert prepare(tmp_path, tmp_path / "out").left_out == []
    assert [text for text, _ in prepared(tmp_path / "out")["train"].values()] == ["ОДИН\tДВА", "TWO", "3", "4"]


def test_recordings_that_are_cut_short_or_missing_or_unlisted(broken: Path, tmp_path: Path) -> None:
    cut, gone = (broken.parent / f"3-1-000{i}.flac" for i in (0, 1))
    cut.write_bytes(cut.read_bytes()[:-3000])
    gone.unlink()
    elsewhere = broken.parents[1] / "2" / "3-2-0000.flac"  # of a chapter that has no transcript
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"fLaC")
    summary = prepare(tmp_path, tmp_path / "out")
    assert summary.utterances["train"] == 2
    assert summary.left_out[0] == f"{broken}, line 2: there is no 3-1-0001.flac or .wav beside it"
    assert summary.left_out[1] == f"{elsewhere}: has no transcript"
    assert summary.left_out[2].startswith(f"{broken}, line 1: {cut}: ")
    assert len(summary.left_out) == 3


def test_what_is_in_two_parts_is_used_once(add: Add, tmp_path: Path, prepared: Any) -> None:
    for part in ("train-clean-5", "train-clean-100", "dev-clean", "dev-clean-2", "test-clean"):
        add(part, "4" if part.startswith("dev") else "3", "1")
    add("train-clean-100", "5", "1")
    summary = prepare(tmp_path, tmp_path / "out")
    assert ids(prepared(tmp_path / "out")) == {
        **{"train": ["5-1-0000", "5-1-0001"], "dev": ["4-1-0000", "4-1-0001"], "test": ["3-1-0000", "3-1-0001"]}
    }
    corpus = tmp_path / "LibriSpeech"
    assert summary.left_out[-1] == (
        f"{corpus}/train-clean-5/3/1/3-1.trans.txt, line 2: 3-1-0001 is there already: "
        f"{corpus}/test-clean/3/1/3-1.trans.txt, line 2"
    )
    assert len(summary.left_out) == 6


def test_a_test_part_without_audio_is_not_replaced(broken: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "LibriSpeech" / "test-clean").rglob("*.flac"):
        path.unlink()
    with pytest.raises(InputError, match=wording("no-utterance-of-test-can")):
        prepare(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=wording("empty-holds-no-file-named")):
        prepare(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InputError, match=wording("none-no-such-folder")):
        prepare(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty" / "1-1.trans.txt").write_text("\n")
    with pytest.raises(InputError, match=wording("no-utterance-of-train-can-2")):
        prepare(tmp_path / "empty", tmp_path / "out")


def test_where_it_is_looked_for(add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_DATA", str(tmp_path / "home"))
    with pytest.raises(InputError, match=wording("home-librispeech-no-such-folder")):
        prepare(None, tmp_path / "out")
    add("test-clean", "5", "1")
    (tmp_path / "home").mkdir()
    (tmp_path / "LibriSpeech").rename(tmp_path / "home" / "librispeech-mini")
    assert prepare(None, tmp_path / "out").utterances == {"test": 2}
