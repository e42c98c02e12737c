"""Data folders of Kaldi."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import speechlike
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.data.cuts import Utterance, read_cuts
from asr.utils.errors import InputError
from data_prep.kaldi import prepare

NAMES = "abcdef"
SCP = "".join(f"u{n} wav dir/{n}.wav\n" for n in NAMES)
TEXT = "".join(f"u{n} {n} is  said\n" for n in reversed(NAMES))
SPEAKERS = "".join(f"u{n} {'xyz'[i % 3]}\n" for i, n in enumerate(NAMES))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six recordings of two seconds, and one with two channels."""
    (tmp_path / "wav dir").mkdir()
    samples = [speechlike(2.0, 8000, seed) for seed in range(6)]
    for name, each in zip(NAMES, samples, strict=True):
        soundfile.write(tmp_path / "wav dir" / f"{name}.wav", each, 8000)
    soundfile.write(tmp_path / "two.wav", np.stack(samples[:2], 1), 8000)
    return tmp_path


def data(folder: Path, name: str = "data", **files: str) -> Path:
    """A data folder; wav_scp is wav.scp."""
    made = folder / name
    made.mkdir(parents=True)
    for file, content in files.items():
        (made / file.replace("wav_scp", "wav.scp")).write_text(content, encoding="utf-8")
    return made


def utterances(out: Path) -> dict[str, Utterance]:
    return {u.id: u for path in out.glob("cuts_*.jsonl.gz") for u in read_cuts(path)}


def test_a_data_folder(folder: Path) -> None:
    made = data(folder, wav_scp=SCP, text=TEXT, utt2spk=SPEAKERS, spk2gender="x f\n")
    summary = prepare(made, folder / "out")
    assert summary.left_out == []
    assert sum(summary.utterances.values()) == 6
    got = utterances(folder / "out")
    assert {key: u.text for key, u in got.items()} == {f"u{n}": f"{n} is  said" for n in NAMES}
    assert {key: u.speaker for key, u in got.items()} == dict(line.split() for line in SPEAKERS.splitlines())
    sides = [{u.speaker for u in read_cuts(path)} for path in sorted((folder / "out").glob("cuts_*"))]
    assert sum(map(len, sides)) == 3  # whole speakers
    assert "spk2gender" in summary.notes[0]
    assert prepare(made, folder / "out").already_done
    (made / "text").write_text(TEXT.replace("is", "was"))
    with pytest.raises(InputError, match=wording("choose-another-out")):
        prepare(made, folder / "out")


def test_segments(folder: Path) -> None:
    segments = {
        "s1": "r1 0 1.0",
        "s2": "r1 1.0 -1",  # to the end
        "s3": "r2 -0.001 1",
        "s4": "r2 1.5 2.05",  # beyond the end by a little
        "s5": "r2 0.5 2.5",  # by much
        "s6": "r3 0 1",
        "s7": "r2 1 1",
        "s8": "r2 one 1",
        "s9": "r2 0.2 0.8",
    }
    text = "".join(f"{key} x\n" for key in segments if key != "s9") + "s0 x\ns1 again\n"
    made = data(
        folder,
        wav_scp="r1 wav dir/a.wav\nr2 wav dir/b.wav\n",
        segments="".join(f"{key} {value}\n" for key, value in segments.items()),
        text=text,
    )
    summary = prepare(made, folder / "out")
    assert {key: (u.start, round(u.duration, 3)) for key, u in utterances(folder / "out").items()} == {
        "s1": (0.0, 1.0),
        "s2": (1.0, 1.0),
        "s3": (0.0, 1.0),
        "s4": (1.5, 0.5),
    }
    (beyond,) = [line for line in summary.left_out if "2.500 s" in line]
    assert "segments, line 5" in beyond
    for key in ("s5", "s6", "s7", "s8", "s9", "s0", "s1"):
        assert any(key in line or f"line {key[1]}" in line for line in summary.left_out)
    assert len(summary.notes) == 1


def test_channels_of_telephone_calls(folder: Path) -> None:
    rest = {"wav_scp": "r-A two.wav\nr-B two.wav\nm wav dir/a.wav\n", "text": "r-A a\nr-B b\nm c\n"}
    prepare(data(folder, "one", **rest, reco2file_and_channel="r-A r A\nr-B r B\nm m B\n"), folder / "out1")
    assert {key: u.channel for key, u in utterances(folder / "out1").items()} == {"r-A": 0, "r-B": 1, "m": None}
    segments = "u1 r 0 1 0\nu2 r 0 1 1\nu3 r 1 2\n"
    prepare(data(folder, "two", wav_scp="r two.wav\n", segments=segments, text="u1 a\nu2 b\nu3 c\n"), folder / "out2")
    assert {key: u.channel for key, u in utterances(folder / "out2").items()} == {"u1": 0, "u2": 1, "u3": None}


@pytest.mark.parametrize(
    ("place", "why"),
    [("touch {0}/run |", wording("is-a-command")), ("x.ark:99", "Kaldi"), ("", wording("names-no-file"))],
)
def test_commands_and_archives_are_refused(place: str, why: str, folder: Path) -> None:
    scp = SCP + f"ug {place.format(folder)}\n"
    summary = prepare(data(folder, wav_scp=scp, text=TEXT + "ug x\n"), folder / "out")
    assert why in summary.left_out[0]
    assert len(utterances(folder / "out")) == 6
    assert not (folder / "run").exists()
    with pytest.raises(InputError, match=why.replace("(", r"\(")) as raised:
        prepare(data(folder, "all", wav_scp=f"ua {place.format(folder)}\n", text=TEXT), folder / "no")
    assert "wav.scp, line 1" in str(raised.value)


def test_names_of_parts_say_what_they_are_for(folder: Path) -> None:
    rest = {"wav_scp": SCP.replace("wav dir", str(folder / "wav dir"))}
    for part, letters in (("train_clean", "abc"), ("dev", "d"), ("test", "ef"), ("split2", "")):
        text = "".join(f"u{n} x\n" for n in letters)
        data(folder / "data", part, text=text, **(rest if letters else {}))
    result = CliRunner().invoke(app, ["prepare", "kaldi", str(folder / "data"), "--out", str(folder / "out")])
    assert result.exit_code == 1  # recordings without a text
    counts = {path.name: len(read_cuts(path)) for path in (folder / "out").glob("cuts_*")}
    assert counts == {"cuts_train.jsonl.gz": 3, "cuts_dev.jsonl.gz": 1, "cuts_test.jsonl.gz": 2}


def test_utterances_that_are_their_own_speakers_say_nothing(folder: Path) -> None:
    made = data(folder, wav_scp=SCP, text=TEXT, utt2spk="".join(f"u{n} u{n}\n" for n in NAMES))
    assert len(prepare(made, folder / "out").notes) == 1
    assert {u.speaker for u in utterances(folder / "out").values()} == {""}
    made = data(folder, "two", wav_scp=SCP, text=TEXT, spk2utt="x ua ub\ny uc ud\nz ue uf\n")
    prepare(made, folder / "out2")
    assert {u.speaker for u in utterances(folder / "out2").values()} == {"x", "y", "z"}


@pytest.mark.parametrize(
    ("files", "left_out", "noted"),
    [
        ({"utt2spk": SPEAKERS + "ub x\n"}, ["ub"], False),
        ({"utt2spk": SPEAKERS + "ub y\n"}, [], False),
        ({"spk2utt": "x ua ub\ny ub uc\nz ud ue uf\n"}, ["ub"], False),
        ({"utt2spk": SPEAKERS, "spk2utt": "x ua ud ub\ny ue\nz uc uf\n"}, [], True),
        ({"utt2spk": SPEAKERS.replace(" x", " <unk>")}, [], True),
    ],
)
def test_speakers_that_contradict(files: dict[str, str], left_out: list[str], noted: bool, folder: Path) -> None:
    summary = prepare(data(folder, wav_scp=SCP, text=TEXT, **files), folder / "out")
    assert [name for name in ("ua", "ub", "uc") if any(f" {name} " in line for line in summary.left_out)] == left_out
    assert bool(summary.notes) == noted
    assert len(utterances(folder / "out")) == 6 - len(left_out)


def test_the_same_stretch_twice_and_overlaps_are_told(folder: Path) -> None:
    segments = {"s1": "r 0 1", "s2": "r 0.002 1", "s3": "r 0 0.999", "s4": "r 1 1.9", "s5": "r 1.1 2"}
    texts = {"s1": "x", "s2": "x", "s3": "other", "s4": "y", "s5": "z"}
    speakers = {"s1": "a", "s2": "a", "s3": "a", "s4": "b", "s5": "c"}
    made = data(
        folder,
        wav_scp="r wav dir/a.wav\n",
        **{
            name: "".join(f"{key} {value}\n" for key, value in each.items())
            for name, each in (("segments", segments), ("text", texts), ("utt2spk", speakers))
        },
    )
    summary = prepare(made, folder / "out")
    assert len(utterances(folder / "out")) == 5
    same, another, over = summary.notes
    assert (": 1, " in same, ": 1, " in another, ": 2, " in over) == (True, True, True)
    assert ("text, line 2" in same, "text, line 3" in another, "text, line " in over) == (True, True, True)


def test_what_is_no_data_folder(folder: Path) -> None:
    for where, message in (
        (None, "FOLDER"),
        (folder / "none", wording("no-such-folder")),
        (folder / "wav dir", "wav.scp"),
        (data(folder, wav_scp=SCP), "`text`"),
    ):
        with pytest.raises(InputError, match=message):
            prepare(where, folder / "out")
