from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from helpers import speechlike
from wording import wording

from asr.data.cuts import read_cuts
from asr.utils.errors import InputError
from data_prep.fsdd import WORDS, download, prepare

SPEAKERS = ("george", "jackson", "theo")
INDICES = (0, 4, 5, 9, 10, 49)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """FSDD's layout, with digits 0, 3 and 9 of three speakers, and what else lies in such a folder."""
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for seed, speaker in enumerate(SPEAKERS):
        for digit in (0, 3, 9):
            for index in INDICES:
                soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", speechlike(0.1, 8000, seed), 8000)
    (folder / "._0_george_0.wav").write_bytes(b"of a Mac")
    (folder.parent / "README.md").write_text("read me")
    return tmp_path / "fsdd"


def ids(out: Path) -> dict[str, set[str]]:
    return {split: {u.id for u in read_cuts(out / f"cuts_{split}.jsonl.gz")} for split in ("train", "dev", "test")}


def named(speakers: tuple[str, ...], indices: tuple[int, ...]) -> set[str]:
    return {f"{digit}_{speaker}_{index}" for digit in (0, 3, 9) for speaker in speakers for index in indices}


def test_the_publishers_split(corpus: Path, tmp_path: Path) -> None:
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances == {"train": 18, "dev": 18, "test": 18}
    assert summary.left_out == []
    assert ids(tmp_path / "out") == {
        "train": named(SPEAKERS, (10, 49)),
        "dev": named(SPEAKERS, (5, 9)),
        "test": named(SPEAKERS, (0, 4)),
    }
    for utterance in read_cuts(tmp_path / "out" / "cuts_test.jsonl.gz"):
        digit, speaker, _ = utterance.id.split("_")
        assert (utterance.text, utterance.speaker) == ({"0": "zero", "3": "three", "9": "nine"}[digit], speaker)
    assert len(WORDS) == 10


def test_a_speaker_left_out_is_the_whole_test_split(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus, tmp_path / "out", leave_out="jackson")
    assert ids(tmp_path / "out") == {
        "train": named(("george", "theo"), (10, 49)),
        "dev": named(("george", "theo"), (5, 9)),
        "test": named(("jackson",), INDICES),
    }
    with pytest.raises(InputError, match=wording("nobody-is-none-of-george")):
        prepare(corpus, tmp_path / "other", leave_out="nobody")


def test_again_is_a_no_op_and_another_split_is_refused(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus, out)
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.iterdir()}
    assert prepare(corpus, out).already_done
    with pytest.raises(InputError, match=wording("choose-another-out")):
        prepare(corpus, out, leave_out="theo")
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.iterdir()} == before


def test_a_part_of_train_and_what_is_made_of_it(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus, tmp_path / "part", hours=0.55 / 3600, joined=20)
    part, rest = ids(tmp_path / "part"), named(SPEAKERS, (5, 9))
    alone = {name for name in part["train"] if not name.startswith("joined")}
    assert len(alone) == 5
    assert alone < named(SPEAKERS, (10, 49))
    assert rest < part["dev"]
    speakers = {name.split("_")[1] for name in alone}
    assert {name.split("_")[3] for name in part["train"] - alone} <= speakers
    prepare(corpus, tmp_path / "more", hours=1.05 / 3600)
    assert alone < ids(tmp_path / "more")["train"]


def test_a_broken_recording_is_named_and_the_rest_done(corpus: Path, tmp_path: Path) -> None:
    path = corpus / "recordings" / "3_theo_49.wav"
    path.write_bytes(path.read_bytes()[:500])
    summary = prepare(corpus, tmp_path / "out")
    assert len(summary.left_out) == 1
    assert summary.left_out[0].startswith(f"{path}: is cut short")
    assert ids(tmp_path / "out")["train"] == named(SPEAKERS, (10, 49)) - {"3_theo_49"}


def test_a_recording_there_twice_is_refused(corpus: Path, tmp_path: Path) -> None:
    (corpus / "copy").mkdir()
    (corpus / "copy" / "0_theo_0.wav").write_bytes((corpus / "recordings" / "0_theo_0.wav").read_bytes())
    with pytest.raises(InputError, match=wording("0-theo-0-stands-for")):
        prepare(corpus, tmp_path / "out")


def test_a_folder_without_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("holds-no-file-named-like", tmp_path)):
        prepare(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match=wording("none-no-such-folder-it", tmp_path)):
        prepare(tmp_path / "none", tmp_path / "out")


def test_what_is_there_is_not_fetched(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_prep.fsdd.download_archive", lambda *args, **kwargs: pytest.fail("fetched"))
    monkeypatch.setenv("ASR_DATA", str(tmp_path))
    assert download() == download(corpus) == corpus
    assert prepare(None, tmp_path / "out").utterances["test"] == 18


def test_made_utterances_say_their_digits_and_keep_splits_apart(corpus: Path, tmp_path: Path) -> None:
    summary = prepare(corpus, tmp_path / "out", leave_out="jackson", joined=40)
    assert summary.utterances == {"train": 12 + 40, "dev": 12 + 2, "test": 18, "joined": 4}
    for split, speakers in (("train", {"george", "theo"}), ("joined", {"jackson"})):
        made = [u for u in read_cuts(tmp_path / "out" / f"cuts_{split}.jsonl.gz") if u.id.startswith("joined")]
        assert {u.speaker for u in made} <= speakers
        for utterance in made:
            digits = utterance.id.rsplit("_", 1)[1]
            assert utterance.text == " ".join(WORDS[int(digit)] for digit in digits)
            assert 1 <= len(digits) <= 5
            assert utterance.duration >= 0.1 / 1.14 * len(digits)
    again = prepare(corpus, tmp_path / "again", leave_out="jackson", joined=40)
    first, second = (next(tmp_path.glob(f"{name}-joined-*")) / "train" for name in ("out", "again"))
    assert again.utterances == summary.utterances
    prepare(corpus, tmp_path / "out2", leave_out="theo", joined=40)
    assert not list(next(tmp_path.glob("out2-joined-*")).glob("train/*_theo_*"))
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {p.name: p.read_bytes() for p in second.iterdir()}
