from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from helpers import speechlike
from wording import wording

from asr.data.cuts import read_cuts
from asr.utils.errors import InputError
from data_prep.yesno import download, prepare


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """60 files in the publisher's layout; sorted, file k is named by k's eight binary digits."""
    folder = tmp_path / "yesno" / "waves_yesno"
    folder.mkdir(parents=True)
    for k in range(60):
        soundfile.write(folder / f"{name(k)}.wav", speechlike(0.1, 8000, k), 8000)
    soundfile.write(folder / "0_1.wav", speechlike(0.1, 8000), 8000)  # not one of its names
    (folder / "README").write_text("read me")
    return tmp_path / "yesno"


def name(k: int) -> str:
    return "_".join(f"{k:08b}")


def test_splits_and_texts(corpus: Path, tmp_path: Path) -> None:
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances == {"train": 25, "dev": 5, "test": 30}
    found = {split: read_cuts(tmp_path / "out" / f"cuts_{split}.jsonl.gz") for split in ("train", "dev", "test")}
    ids = {split: [u.id for u in utterances] for split, utterances in found.items()}
    assert ids["test"] == [name(k) for k in range(1, 60, 2)]
    assert ids["dev"] == [name(k) for k in range(0, 60, 12)]
    assert ids["train"] == [name(k) for k in range(0, 60, 2) if k % 12]
    assert found["train"][0].text == "NO NO NO NO NO NO YES NO"
    assert found["test"][-1].text == "NO NO YES YES YES NO YES YES"  # 59


def test_again_is_a_no_op_and_another_corpus_is_refused(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus, tmp_path / "out")
    assert prepare(corpus, tmp_path / "out").already_done
    with pytest.raises(InputError, match=wording("choose-another-out")):
        prepare(corpus / "waves_yesno", tmp_path / "out")


def test_a_broken_recording_is_named_and_the_rest_done(corpus: Path, tmp_path: Path) -> None:
    path = corpus / "waves_yesno" / f"{name(2)}.wav"
    path.write_bytes(b"")
    summary = prepare(corpus, tmp_path / "out")
    assert [line.split(": ")[0] for line in summary.left_out] == [str(path)]
    assert summary.utterances == {"train": 24, "dev": 5, "test": 30}


def test_a_folder_without_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("holds-0-files-named-like")):
        prepare(tmp_path, tmp_path / "out")


def test_what_is_there_is_not_fetched(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_prep.yesno.download_archive", lambda *args, **kwargs: pytest.fail("fetched"))
    monkeypatch.setenv("ASR_DATA", str(tmp_path))
    assert download() == corpus
