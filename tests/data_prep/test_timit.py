from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse.recipes import prepare_timit
from lhotse.recipes.timit import get_phonemes
from wording import wording

from asr.audio.reader import read_audio
from asr.utils.errors import InputError
from data_prep.timit import PHONES, fold, prepare

# The publisher's folder (its 24 speakers of the core test, 50 of dev, or others), speaker, sentences
SPEAKERS = [
    ("TRAIN/DR1", "FCJF0", ["SA1", "SI1027", "SX37"]),
    ("TRAIN/DR2", "MARC0", ["SA1", "SI558", "SX108"]),
    ("TEST/DR1", "FAKS0", ["SA1", "SI943", "SX43"]),  # dev
    ("TEST/DR1", "MDAB0", ["SA1", "SI1039", "SX139"]),  # core test
    ("TEST/DR1", "MJSW0", ["SX200"]),  # dev
    ("TEST/DR1", "MREB0", ["SX205"]),  # dev
    ("TEST/DR3", "FCMH0", ["SX104"]),  # dev
    ("TEST/DR3", "FKMS0", ["SX50"]),  # dev
    ("TEST/DR1", "FDAC1", ["SX34"]),  # dev
    ("TEST/DR4", "MCTM0", ["SX90"]),  # neither
]


def sphere(path: Path, wave: Path) -> None:
    """Writes a recording as the publisher did: a SPHERE header of 1024 bytes, then 16-bit samples."""
    samples, rate = soundfile.read(wave, dtype="int16")
    fields = [
        *("database_id -s5 TIMIT", "database_version -s3 1.0", "utterance_id -s8 cjf0_sa1", "channel_count -i 1"),
        *(f"sample_count -i {len(samples)}", f"sample_rate -i {rate}", "sample_min -i -2191", "sample_max -i 2790"),
        *("sample_n_bytes -i 2", "sample_byte_format -s2 01", "sample_sig_bits -i 16", "end_head"),
    ]
    header = "\n".join(["NIST_1A", "   1024", *fields, ""]).encode()
    path.write_bytes(header.ljust(1024) + samples.astype("<i2").tobytes())


@pytest.fixture
def corpus(tmp_path: Path, record: Callable[..., Path]) -> Path:
    folder = tmp_path / "timit" / "TIMIT"
    wave = record(tmp_path / "wave.wav", "she had your dark suit")
    for part, speaker, sentences in SPEAKERS:
        above = folder / part / speaker
        above.mkdir(parents=True)
        for sentence in sentences:
            sphere(above / f"{sentence}.WAV", wave)
            (above / f"{sentence}.TXT").write_text(f"0 46797 {speaker} had your dark suit, {sentence}. \n")
            (above / f"{sentence}.WRD").write_text("0 46797 she\n")
    (folder / "DOC").mkdir()
    (folder / "DOC" / "PROMPTS.TXT").write_text("; prompts")
    return folder


EXPECTED = {
    "train": ["FCJF0-SI1027", "FCJF0-SX37", "MARC0-SI558", "MARC0-SX108"],
    "dev": [
        *("FAKS0-SI943", "FAKS0-SX43", "FDAC1-SX34", "MJSW0-SX200", "MREB0-SX205"),
        *("FCMH0-SX104", "FKMS0-SX50"),
    ],
    "test": ["MDAB0-SI1039", "MDAB0-SX139"],
}


def test_the_usual_splits_without_sa(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    assert prepare(corpus.parent, tmp_path / "out").left_out == []
    splits = prepared(tmp_path / "out")
    assert {split: list(found) for split, found in splits.items()} == EXPECTED
    assert splits["test"]["MDAB0-SX139"] == ("MDAB0 had your dark suit, SX139.", "MDAB0")
    assert prepare(corpus.parent, tmp_path / "out").already_done


def test_lhotse_finds_the_same(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    prepare(corpus, tmp_path / "out")
    for path in corpus.rglob("*.WRD"):
        path.with_suffix(".PHN").write_text("0 46797 h#\n")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "data").symlink_to(corpus)
    theirs = prepare_timit(tmp_path / "theirs")
    expected = {
        split: {s.id: (s.text, s.speaker) for s in theirs[split.upper()]["supervisions"] if "-SA" not in s.id}
        for split in EXPECTED
    }
    assert prepared(tmp_path / "out") == expected


def test_sphere_is_read_sample_by_sample(corpus: Path, tmp_path: Path) -> None:
    samples = read_audio(corpus / "TRAIN" / "DR1" / "FCJF0" / "SX37.WAV", 16000)
    np.testing.assert_array_equal(samples, soundfile.read(tmp_path / "wave.wav", dtype="float32")[0])


def test_the_speakers_are_those_of_the_publisher() -> None:
    from lhotse.recipes.timit import get_speakers

    dev, test = get_speakers()
    assert (len(set(dev)), len(set(test)), set(dev) & set(test)) == (50, 24, set())
    # two men and a woman of each of the eight regions
    assert sorted(speaker[0] for speaker in test) == ["f"] * 8 + ["m"] * 16


def test_lower_case_and_copies_as_riff(
    corpus: Path, tmp_path: Path, prepared: Any, record: Callable[..., Path]
) -> None:
    prepare(corpus, tmp_path / "out")
    lower = tmp_path / "lower"
    for path in corpus.rglob("*.*"):
        new = lower / path.relative_to(corpus).as_posix().lower()
        new.parent.mkdir(parents=True, exist_ok=True)
        path.rename(new)
        if new.suffix == ".wav":
            record(new.with_name(f"{new.name}.wav"))
            if new.stem == "sx37":
                new.unlink()
    assert prepare(lower, tmp_path / "again").left_out == []
    again, first = prepared(tmp_path / "again"), prepared(tmp_path / "out")
    assert {split: set(found) for split, found in again.items()} == {
        split: set(found) for split, found in first.items()
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("She had your dark suit.", "{}: is not a line `first_sample last_sample Text.`"),
        ("0 1 She\n0 1 had", "{}: is not a line `first_sample last_sample Text.`"),
        ("", "{}: is not a line `first_sample last_sample Text.`"),
        ("0 46797 ", "{}: {/}SX37.WAV: FCJF0-SX37 has no text"),
        (b"0 46797 caf\xe9", "{}: the text of FCJF0-SX37 is not UTF-8; convert it"),
        (None, "{/}SX37.WAV: has no .TXT beside it"),
    ],
)
def test_what_cannot_be_used_is_named(text: str | bytes | None, complaint: str, corpus: Path, tmp_path: Path) -> None:
    path = corpus / "TRAIN" / "DR1" / "FCJF0" / "SX37.TXT"
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances == {"train": 3, "dev": 7, "test": 2}
    (line,) = summary.left_out
    assert line.startswith(complaint.replace("{}", str(path)).replace("{/}", f"{path.parent}/"))


def test_recordings_that_are_cut_short_or_missing(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / "TRAIN" / "DR1" / "FCJF0"
    cut = folder / "SX37.WAV"
    cut.write_bytes(cut.read_bytes()[:-100])
    (folder / "SI1027.WAV").unlink()
    summary = prepare(corpus, tmp_path / "out")
    assert summary.utterances == {"train": 2, "dev": 7, "test": 2}
    first, second = summary.left_out
    assert first == f"{folder}/SI1027.TXT: there is no .WAV beside it"
    assert second == f"{cut}: is cut short"


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=wording("holds-no-file-like-train"),
    ):
        prepare(tmp_path, tmp_path / "out")


def test_one_of_its_folders_alone(corpus: Path, tmp_path: Path) -> None:
    for part, example in (
        ("TRAIN", "TEST/DR1/MDAB0/SI1039.TXT for dev and"),
        ("TEST", "TRAIN/DR1/FCJF0/SI1027.TXT for"),
    ):
        with pytest.raises(InputError, match=wording("holds-no-file-like-ldc93s1", part, example)):
            prepare(corpus / part, tmp_path / "out")


def test_train_loses_what_is_in_test_too(corpus: Path, tmp_path: Path, prepared: Any) -> None:
    shutil.copytree(corpus / "TEST" / "DR1" / "MDAB0", corpus / "TRAIN" / "DR1" / "MDAB0")
    assert prepare(corpus, tmp_path / "out").left_out == [
        f"{corpus}/TRAIN/DR1/MDAB0/{name}.TXT: MDAB0-{name} is there already: {corpus}/TEST/DR1/MDAB0/{name}.TXT"
        for name in ("SI1039", "SX139")
    ]
    assert {split: list(found) for split, found in prepared(tmp_path / "out").items()} == EXPECTED


SAID = "h# sh iy hv ae dcl jh ih dcl d ah kcl k s ux q en pau epi ao l zh el ix axr h#"
SAID_48 = "sil sh iy hh ae vcl jh ih vcl d ah cl k s uw en sil epi ao l zh el ix er sil"
SAID_39 = "sil sh iy hh ae sil jh ih sil d ah sil k s uw n sil sil aa l sh l ih er sil"


@pytest.fixture
def phones(corpus: Path) -> Path:
    """The corpus with the phones of each utterance."""
    for path in [*corpus.rglob("*.TXT")]:
        rows = "".join(f"{100 * n} {100 * n + 100} {phone}\n" for n, phone in enumerate(SAID.split()))
        path.with_suffix(".PHN").write_text(rows)
    return corpus


@pytest.mark.parametrize(("count", "text"), [(61, SAID), (48, SAID_48), (39, SAID_39)])
def test_phones_as_texts(count: int, text: str, phones: Path, tmp_path: Path, prepared: Any) -> None:
    assert prepare(phones, tmp_path / "out", phones=count).left_out == []
    splits = prepared(tmp_path / "out")
    assert {split: list(found) for split, found in splits.items()} == EXPECTED
    assert splits["test"]["MDAB0-SX139"] == (text, "MDAB0")
    assert prepare(phones, tmp_path / "out", phones=count).already_done
    with pytest.raises(InputError, match=wording("choose-another-out")):
        prepare(phones, tmp_path / "out")


@pytest.mark.parametrize("count", [48, 39])
def test_lhotse_folds_the_same(count: int) -> None:
    theirs = get_phonemes(count)
    del theirs["sil"]
    assert theirs.keys() == PHONES
    assert len(PHONES) == 61
    assert {phone: fold(phone, count) for phone in PHONES} == theirs
    assert len({fold(phone, count) for phone in PHONES} - {""}) == count
    assert {fold(phone, count) for phone in PHONES} == {fold(fold(phone, 48), count) for phone in PHONES}


def test_another_number_of_phones(phones: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("phones-there-is-no-set")):
        prepare(phones, tmp_path / "out", phones=40)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"0 100 h#\n100 200 ZZ\n", "{}, line 2: 'ZZ' is no phone of TIMIT"),
        (b"0 100 h#\n\n100 sh\n", "{}, line 3: is not `first_sample last_sample phone`"),
        (b"0 100 h# sh\n", "{}, line 1: is not `first_sample last_sample phone`"),
        (b"0 100 caf\xe9\n", "{}, line 1: 'caf\\udce9' is no phone of TIMIT"),
        (b"0 100 q\n", "{}: {/}SX37.WAV: FCJF0-SX37 has no text"),
        (b"", "{}: {/}SX37.WAV: FCJF0-SX37 has no text"),
        (None, "{/}SX37.WAV: has no .PHN beside it"),
    ],
)
def test_phones_that_cannot_be_used_are_named(text: bytes | None, complaint: str, phones: Path, tmp_path: Path) -> None:
    path = phones / "TRAIN" / "DR1" / "FCJF0" / "SX37.PHN"
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text)
    summary = prepare(phones, tmp_path / "out", phones=48)
    assert summary.utterances == {"train": 3, "dev": 7, "test": 2}
    assert summary.left_out == [complaint.replace("{}", str(path)).replace("{/}", f"{path.parent}/")]


def test_a_corpus_without_phones(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("holds-no-file-like-train-2")):
        prepare(corpus, tmp_path / "out", phones=39)
