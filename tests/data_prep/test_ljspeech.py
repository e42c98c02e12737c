from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lhotse.recipes import prepare_ljspeech
from wording import wording

from asr.utils.errors import InputError
from asr.utils.files import UTF8
from data_prep.ljspeech import prepare

CHAPTERS = {"LJ001": 2, "LJ003": 1, "LJ010": 7}  # the last is split 3, 2, 2


@pytest.fixture
def corpus(tmp_path: Path, record: Callable[..., Path]) -> Path:
    folder = tmp_path / "LJSpeech-1.1"
    keys = [f"{chapter}-{i:04d}" for chapter, count in CHAPTERS.items() for i in range(1, count + 1)]
    for key in keys:
        record(folder / "wavs" / f"{key}.wav", "in 1455", rate=22050)
    lines = [f'{key}|In 1455, "{key}"|In fourteen fifty-five, "{key[-1]}"\n' for key in keys]
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    return folder


def edit(corpus: Path, line: int, new: str | bytes | None) -> None:
    """Replaces a line of the table, from 1; None removes it."""
    table = corpus / "metadata.csv"
    lines = table.read_bytes().splitlines(keepends=True)
    data = new.encode() if isinstance(new, str) else new
    lines[line - 1 : line] = [] if data is None else [data + b"\n"]
    table.write_bytes(b"".join(lines))


def test_the_ends_of_the_last_chapter_are_held_out(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    assert prepare(corpus.parent, tmp_path / "out").left_out == []  # the folder above will do
    splits = prepared(tmp_path / "out")
    assert {split: list(found) for split, found in splits.items()} == {
        "train": ["LJ001-0001", "LJ001-0002", "LJ003-0001", "LJ010-0001", "LJ010-0002", "LJ010-0003"],
        "dev": ["LJ010-0004", "LJ010-0005"],
        "test": ["LJ010-0006", "LJ010-0007"],
    }
    assert splits["test"]["LJ010-0007"] == ('In fourteen fifty-five, "7"', "LJ")
    assert prepare(corpus.parent, tmp_path / "out").already_done


def test_of_a_long_chapter_a_hundred_each(tmp_path: Path, record: Callable[..., Path]) -> None:
    wave = record(tmp_path / "wave.wav", rate=8000)
    (tmp_path / "c" / "wavs").mkdir(parents=True)
    keys = [f"LJ050-{i:04d}" for i in range(1, 279)]
    for key in keys:
        os.link(wave, tmp_path / "c" / "wavs" / f"{key}.wav")
    (tmp_path / "c" / "metadata.csv").write_text("".join(f"{key}|a|b\n" for key in keys))
    assert prepare(tmp_path / "c", tmp_path / "out").utterances == {"train": 78, "dev": 100, "test": 100}


def test_the_order_of_the_table_does_not_matter(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    prepare(corpus, tmp_path / "out")
    table = corpus / "metadata.csv"
    table.write_text("".join(reversed(table.read_text().splitlines(keepends=True))))
    prepare(corpus, tmp_path / "again")
    assert prepared(tmp_path / "again") == prepared(tmp_path / "out")


def test_lhotse_finds_the_same(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    prepare(corpus, tmp_path / "out")
    theirs = {s.id: s.custom["normalized_text"] for s in prepare_ljspeech(corpus)["supervisions"]}
    ours = {key: text for found in prepared(tmp_path / "out").values() for key, (text, _) in found.items()}
    assert ours == theirs


WITHOUT_A_LINE = "{}/wavs/LJ001-0002.wav: has no line in metadata.csv"


@pytest.mark.parametrize(
    ("second", "complaints"),
    [
        ("LJ001-0002|one column less", ["{}: has 2 columns, not id|text|normalised text"]),
        ("LJ001-0002|a|b|c", ["{}: has 4 columns, not id|text|normalised text"]),
        ("no bars", ["{}: has 1 columns, not id|text|normalised text", WITHOUT_A_LINE]),
        ("LJ009-0009|a|b", ["{}: there is no LJ009-0009.wav", WITHOUT_A_LINE]),
        ("../LJ001-0001|a|b", ["{}: there is no ../LJ001-0001.wav", WITHOUT_A_LINE]),
        ("LJ001-0001|a|b", ["{}: LJ001-0001 is there already: {}/metadata.csv, line 1", WITHOUT_A_LINE]),
        (None, [WITHOUT_A_LINE]),
        ("LJ001-0002|a| ", ["{}: {}/wavs/LJ001-0002.wav: LJ001-0002 has no text"]),
        (
            b"LJ001-0002|a|caf\xe9",
            ["{}: the text of LJ001-0002 is not UTF-8; " + UTF8],
        ),
    ],
)
def test_what_cannot_be_used_is_named(
    second: str | bytes | None, complaints: list[str], corpus: Path, tmp_path: Path
) -> None:
    edit(corpus, 2, second)
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances == {"train": 5, "dev": 2, "test": 2}
    where = f"{corpus}/metadata.csv, line 2"
    expected = [line.replace("{}/", f"{corpus}/").replace("{}", where) for line in complaints]
    assert summary.left_out == expected


def test_tabs_windows_lines_and_a_byte_order_mark(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    edit(corpus, 2, "LJ001-0002|a|café\tau lait")
    table = corpus / "metadata.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert prepare(corpus, tmp_path / "out").left_out == []
    train = prepared(tmp_path / "out")["train"]
    assert next(iter(train)) == "LJ001-0001"
    assert train["LJ001-0002"][0] == "café\tau lait"


def test_recordings_that_are_cut_short_or_none(corpus: Path, tmp_path: Path) -> None:
    cut, none = corpus / "wavs" / "LJ001-0001.wav", corpus / "wavs" / "LJ001-0002.wav"
    cut.write_bytes(cut.read_bytes()[:2000])
    none.write_bytes(b"")
    (corpus / "wavs" / "._LJ001-0001.wav").write_bytes(b"of a Mac")
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances["train"] == 4
    assert [line.split(": ")[:2] for line in summary.left_out] == [
        [f"{corpus}/metadata.csv, line 1", str(cut)],
        [f"{corpus}/metadata.csv, line 2", str(none)],
    ]
    assert "cut short" in summary.left_out[0]


def test_an_older_table_beside_it_and_a_relative_folder(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (corpus / "old-metadata.csv").write_text("x|y|z")
    (corpus / "wavs" / "LJ001-0001.wav").write_bytes(b"")
    edit(corpus, 2, None)
    monkeypatch.chdir(tmp_path)
    summary = prepare("LJSpeech-1.1", tmp_path / "out")
    assert summary.utterances == {"train": 4, "dev": 2, "test": 2}
    assert [line.split(": ")[0] for line in summary.left_out] == [  # absolute, all of them
        *(f"{corpus}/wavs/LJ001-0002.wav", f"{corpus}/metadata.csv, line 1"),
    ]


def test_a_text_that_cannot_be_used_takes_no_place_in_a_split(corpus: Path, tmp_path: Path) -> None:
    for line in (9, 10):
        edit(corpus, line, f"LJ010-000{line - 3}|a|".encode() + b"caf\xe9")  # both of test
    assert prepare(corpus, tmp_path / "out").utterances == {"train": 6, "dev": 1, "test": 1}


def test_too_few_to_split(corpus: Path, tmp_path: Path) -> None:
    table = corpus / "metadata.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    for path in sorted((corpus / "wavs").glob("*.wav"))[2:]:
        path.unlink()
    with pytest.raises(InputError, match=wording("no-utterance-of-dev-can-2", corpus)):
        prepare(corpus, tmp_path / "out")


def test_another_folder(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=wording("empty-holds-0-files-metadata")):
        prepare(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InputError, match=wording("none-no-such-folder")):
        prepare(tmp_path / "none", tmp_path / "out")
    (corpus / "metadata.csv").write_text("")
    with pytest.raises(InputError, match=wording("no-utterance-of-train-can-3")):
        prepare(corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()
