from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wording import wording

from asr.utils.errors import InputError
from asr.utils.files import UTF8
from data_prep._splits import hash_share
from data_prep.mboshi import prepare

# Those drawn for dev are the ones whose hash is in the lowest twentieth: of names like the publisher's some of each.
NAMES = [
    f"{speaker}_2015-09-08-11-26-34_samsung-SM-T530_mdw_elicit_Dico18_{n}"
    for speaker in ("abiayi", "kouarata")
    for n in range(200)
]
DEV = sorted([name for name in NAMES if hash_share(name) < 0.05][-3:])
TRAIN = sorted([name for name in NAMES if hash_share(name) >= 0.05][-9:])
TEST = ["martial_2015-09-07-14-58-15_samsung-SM-T530_mdw_elicit_Dico19_1"]


@pytest.fixture
def corpus(tmp_path: Path, record: Callable[..., Path]) -> Path:
    folder = tmp_path / "mboshi" / "full_corpus_newsplit"
    for part, keys in (("train", TRAIN + DEV), ("dev", TEST)):
        for key in keys:
            record(folder / part / f"{key}.wav", "wáa", rate=16000)
            (folder / part / f"{key}.mb.cleaned").write_text(f"wa áyεε la midí {key[-1]}\n", encoding="utf-8")
            (folder / part / f"{key}.fr.cleaned").write_text(
                f"l&apos; ami est venu {key[-1]} &apos;\n", encoding="utf-8"
            )
    return folder


def test_dev_is_drawn_by_a_hash_and_test_the_publishers(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    assert prepare(corpus, tmp_path / "out").left_out == []
    splits = prepared(tmp_path / "out")
    assert list(splits["dev"]) == DEV
    assert list(splits["train"]) == TRAIN
    assert splits["test"] == {TEST[0]: ("wa áyεε la midí 1", "martial")}
    for above in (tmp_path, corpus.parent):  # the folder may be one above
        prepare(above, tmp_path / above.name / "again")
        assert prepared(tmp_path / above.name / "again") == splits
    assert prepare(corpus, tmp_path / "out").already_done


def test_a_part_of_train_is_within_a_larger_part(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    whole = prepare(corpus, tmp_path / "whole").seconds["train"]
    half, third = (prepare(corpus, tmp_path / f"{n}", hours=whole / n / 3600) for n in (2, 3))
    assert 0 < third.seconds["train"] <= whole / 3 < half.seconds["train"] <= whole / 2
    assert set(prepared(third.folder)["train"]) < set(prepared(half.folder)["train"]) < set(TRAIN)
    assert prepared(third.folder)["dev"].keys() == set(DEV)
    with pytest.raises(InputError, match="holds"):
        prepare(corpus, half.folder)


def test_what_is_broken_is_left_out_of_a_part_too(corpus: Path, tmp_path: Path) -> None:
    for key in TRAIN[:8]:
        (corpus / "train" / f"{key}.wav").write_bytes(b"RIFF")
    summary = prepare(corpus, tmp_path / "out", hours=1)
    assert summary.utterances["train"] == 1
    assert len(summary.left_out) == 8


def test_the_hash_does_not_move() -> None:
    assert hash_share("abiayi_1") == 0.01635038578976733


def test_what_cannot_be_used_is_named(corpus: Path, tmp_path: Path) -> None:
    place = [corpus / "train" / key for key in TRAIN]
    place[0].with_name(f"{TRAIN[0]}.wav").unlink()
    place[1].with_name(f"{TRAIN[1]}.mb.cleaned").unlink()
    place[2].with_name(f"{TRAIN[2]}.mb.cleaned").write_text("\n")
    place[3].with_name(f"{TRAIN[3]}.mb.cleaned").write_text("wa\nla\n")
    place[4].with_name(f"{TRAIN[4]}.mb.cleaned").write_bytes(b"\nmid\xed")
    cut = place[5].with_name(f"{TRAIN[5]}.wav")
    cut.write_bytes(cut.read_bytes()[:2000])
    (corpus / "train" / "._a_1.wav").write_bytes(b"of a Mac")
    (corpus / "train" / "._a_1.mb.cleaned").write_bytes(b"\xff")
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances["train"] == 3
    assert summary.left_out[:5] == [
        f"{place[0]}.mb.cleaned: has no {TRAIN[0]}.wav beside it",
        f"{place[2]}.mb.cleaned: has no text",
        f"{place[3]}.mb.cleaned: has 2 lines of text, not one",
        f"{place[4]}.mb.cleaned: the text of {TRAIN[4]} is not UTF-8; " + UTF8,
        f"{place[1]}.wav: has no .mb.cleaned beside it",
    ]
    assert summary.left_out[5].startswith(f"{place[5]}.mb.cleaned: {cut}: is cut short")
    assert len(summary.left_out) == 6


def test_train_loses_what_is_in_both_folders(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    for ending in (".wav", ".mb.cleaned"):
        (corpus / "dev" / f"{TRAIN[0]}{ending}").write_bytes((corpus / "train" / f"{TRAIN[0]}{ending}").read_bytes())
    assert prepare(corpus, tmp_path / "out").left_out == [
        f"{corpus}/train/{TRAIN[0]}.mb.cleaned: {TRAIN[0]} is there already: {corpus}/dev/{TRAIN[0]}.mb.cleaned"
    ]
    splits = prepared(tmp_path / "out")
    assert (list(splits["train"]), sorted(splits["test"])) == (TRAIN[1:], sorted([TRAIN[0], *TEST]))


def test_a_transcript_that_cannot_be_read(corpus: Path, tmp_path: Path) -> None:
    path = corpus / "train" / f"{TRAIN[0]}.mb.cleaned"
    path.unlink()
    path.mkdir()
    path = corpus / "train" / f"{TRAIN[1]}.mb.cleaned"
    path.unlink()
    path.symlink_to(tmp_path / "none")
    summary = prepare(corpus, tmp_path / "out")
    assert summary.left_out == [
        f"{path}: cannot be read (No such file or directory)",
        f"{corpus}/train/{TRAIN[0]}.wav: has no .mb.cleaned beside it",
    ]


def test_a_folder_that_cannot_be_read_is_named(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def refuse(path: Path, **options: Any) -> object:
        if path == corpus / "train":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)  # whatever the rights of who runs the tests
    with pytest.raises(InputError, match=wording("train-cannot-be-read-permission")):
        prepare(corpus, tmp_path / "out")


def test_names_that_are_not_utf_8(corpus: Path, tmp_path: Path) -> None:
    for ending in (".wav", ".mb.cleaned"):
        name = f"{TRAIN[0]}{ending}"
        (corpus / "train" / name).rename(corpus / "train" / f"caf\udce9_{name}")
    (line,) = prepare(corpus, tmp_path / "out").left_out
    assert line.startswith(
        f"{corpus}/train/caf\ufffd_{TRAIN[0]}.mb.cleaned: the path of caf\ufffd_{TRAIN[0]} is not UTF-8"
    )


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("holds-no-folder-train-name")):
        prepare(tmp_path, tmp_path / "out")
    (tmp_path / "train").mkdir()
    (tmp_path / "dev").mkdir()
    with pytest.raises(InputError, match=wording("no-utterance-of-train-can-2")):
        prepare(tmp_path, tmp_path / "out")


def test_the_translation_of_the_same_utterances(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    assert prepare(corpus, tmp_path / "fr", text="french").left_out == []
    prepare(corpus, tmp_path / "mb")
    french, mboshi = prepared(tmp_path / "fr"), prepared(tmp_path / "mb")
    assert french["test"] == {TEST[0]: ("l'ami est venu 1 '", "martial")}
    assert {split: list(texts) for split, texts in french.items()} == {s: list(texts) for s, texts in mboshi.items()}
    with pytest.raises(InputError, match="holds"):
        prepare(corpus, tmp_path / "mb", text="french")
