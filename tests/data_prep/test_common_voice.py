from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wording import wording

from asr.utils.errors import InputError
from data_prep.common_voice import prepare

HEADER = "client_id\tpath\tsentence_id\tsentence\tup_votes\tdown_votes\tage"
TEXTS = {"train": ["Dia duit.", '"Cad é sin?" arsa Seán', "Ná bac leis!\u2028"], "dev": ["Slán"], "test": ['"Oíche']}


@pytest.fixture
def corpus(tmp_path: Path, record: Callable[..., Path]) -> Path:
    """Irish, as the publisher lays it out: clips of other tables, too."""
    folder = tmp_path / "cv-corpus-9.0" / "ga-IE"
    number = 0
    for split, texts in [*TEXTS.items(), ("invalidated", ["Faic"])]:
        rows = [HEADER]
        for text in texts:
            number += 1
            record(folder / "clips" / f"common_voice_ga-IE_{number}.mp3", text, voice="ga", rate=32000)
            rows.append(f"{number % 2:064x}\tcommon_voice_ga-IE_{number}.mp3\t{number:08x}\t{text}\t2\t0\t")
        (folder / f"{split}.tsv").write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return folder


def test_the_publishers_splits_and_texts(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    assert prepare(corpus.parents[1], tmp_path / "out").left_out == []
    splits = prepared(tmp_path / "out")
    assert {split: [text for text, _ in found.values()] for split, found in splits.items()} == TEXTS
    assert splits["dev"] == {"common_voice_ga-IE_4": ("Slán", "0" * 64)}
    assert prepare(corpus.parents[1], tmp_path / "out").already_done


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (b"a\tcommon_voice_ga-IE_2.mp3\tx\tDia", "{}: has 4 columns, the first line 7"),
        (b"a\tcommon_voice_ga-IE_2.mp3\tx\tDia\tduit\t2\t0\t", "{}: has 8 columns, the first line 7"),
        (b"a\tcommon_voice_ga-IE_9.mp3\tx\tDia\t2\t0\t", "{}: there is no clips/common_voice_ga-IE_9.mp3"),
        (
            b"a\t../clips/common_voice_ga-IE_1.mp3\tx\tD\t2\t0\t",
            "{}: there is no clips/../clips/common_voice_ga-IE_1.mp3",
        ),
        (
            b"a\tcommon_voice_ga-IE_1.mp3\tx\tD\t2\t0\t",
            "{}: common_voice_ga-IE_1 is there already: {/}train.tsv, line 2",
        ),
        (
            b"a\tcommon_voice_ga-IE_2.mp3\tx\t\t2\t0\t",
            "{}: {/}clips/common_voice_ga-IE_2.mp3: common_voice_ga-IE_2 has no text",
        ),
        (
            b"a\tcommon_voice_ga-IE_2.mp3\tx\tSl\xe1n\t2\t0\t",
            "{}: the text of common_voice_ga-IE_2 is not UTF-8; convert it",
        ),
    ],
)
def test_what_cannot_be_used_is_named(row: bytes, complaint: str, corpus: Path, tmp_path: Path) -> None:
    table = corpus / "train.tsv"
    lines = table.read_bytes().split(b"\n")
    lines[2] = row
    table.write_bytes(b"\n".join(lines))
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances == {"train": 2, "dev": 1, "test": 1}
    (line,) = summary.left_out
    assert line.startswith(complaint.replace("{}", f"{table}, line 3").replace("{/}", f"{corpus}/"))


def test_a_clip_that_is_cut_short(corpus: Path, tmp_path: Path) -> None:
    clip = corpus / "clips" / "common_voice_ga-IE_1.mp3"
    clip.write_bytes(b"no MP3" * 100)
    summary = prepare(corpus, tmp_path / "out")
    assert len(summary.left_out) == 1
    assert summary.left_out[0].startswith(f"{corpus}/train.tsv, line 2: {clip}: ")


def test_a_clip_of_another_folder_is_not_taken(corpus: Path, tmp_path: Path) -> None:
    (corpus / "old").mkdir()
    (corpus / "clips" / "common_voice_ga-IE_1.mp3").rename(corpus / "old" / "common_voice_ga-IE_1.mp3")
    assert prepare(corpus, tmp_path / "out").left_out == [
        f"{corpus}/train.tsv, line 2: there is no clips/common_voice_ga-IE_1.mp3"
    ]


def test_train_loses_a_clip_that_is_in_test_too(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    rows = (corpus / "train.tsv").read_text(encoding="utf-8").split("\n")
    (corpus / "test.tsv").write_text("\n".join(rows[:2]) + "\n", encoding="utf-8")
    assert prepare(corpus, tmp_path / "out").left_out == [
        f"{corpus}/train.tsv, line 2: common_voice_ga-IE_1 is there already: {corpus}/test.tsv, line 2"
    ]
    assert {split: list(found) for split, found in prepared(tmp_path / "out").items()} == {
        **{"train": ["common_voice_ga-IE_2", "common_voice_ga-IE_3"], "dev": ["common_voice_ga-IE_4"]},
        "test": ["common_voice_ga-IE_1"],
    }


def test_another_folder(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=wording("holds-0-files-train-tsv")):
        prepare(tmp_path / "empty", tmp_path / "out")
    (corpus.parent / "cy" / "clips").mkdir(parents=True)
    (corpus.parent / "cy" / "train.tsv").write_text(HEADER)
    with pytest.raises(InputError, match=wording("holds-2-files-train-tsv")):
        prepare(corpus.parent, tmp_path / "out")
    with pytest.raises(InputError, match=wording("cy-dev-tsv-cannot-be")):
        prepare(corpus.parent / "cy", tmp_path / "out")
    (corpus / "dev.tsv").write_text(HEADER.replace("sentence\t", "text\t"))
    with pytest.raises(InputError, match=wording("dev-tsv-has-no-column")):
        prepare(corpus, tmp_path / "out")
    (corpus / "dev.tsv").write_text(HEADER + "\n")
    with pytest.raises(InputError, match=wording("no-utterance-of-dev-can")):
        prepare(corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()
