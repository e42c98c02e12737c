"""What cells of tables hold: times in other units, empty ones of other programs, names that are numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import speechlike

from asr.data.cuts import Utterance, read_cuts
from asr.utils.errors import InputError
from data_prep._manifest import Summary
from data_prep.table import prepare

NAMES = "abcdef"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of a second, one with two channels, and a long one of ten."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed, name in enumerate(NAMES):
        soundfile.write(folder / f"{name}.wav", speechlike(1.0, 8000, seed), 8000)
    soundfile.write(folder / "two.wav", np.stack([speechlike(1.0, 8000, seed) for seed in (7, 8)], 1), 8000)
    soundfile.write(folder / "long.wav", speechlike(10.0, 8000, 9), 8000)
    return folder


@pytest.fixture
def folder(recordings: Path, tmp_path: Path) -> Path:
    for path in recordings.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path


def of_table(path: Path, content: str, **options: Any) -> tuple[list[Utterance], Summary]:
    """What comes of a table, in the order of the texts."""
    path.write_text(content, encoding="utf-8")
    summary = prepare(path, path.parent / "out", **options)
    got = [u for cuts in summary.folder.glob("cuts_*.jsonl.gz") for u in read_cuts(cuts)]
    return sorted(got, key=lambda u: u.text), summary


def rows_left_out(summary: Summary) -> list[int]:
    return [int(line.split(":")[0].rpartition(" ")[2]) for line in summary.left_out]


def of_long(header: str, *spans: str) -> str:
    return "\n".join([f"path;text;{header}", *(f"long.wav;w{i};{span}" for i, span in enumerate(spans))])


@pytest.mark.parametrize(
    ("header", "spans", "starts", "told"),
    [
        ("start_ms;end_ms", ("0;1,500", "2,000;3,500", "4,000;5,000"), [0, 2, 4], True),
        ("start_ms;end_ms", ("0;1.500", "2.000;3.500", "4.000;5.000"), [0, 2, 4], True),
        ("start_ms;end_ms", ("0;1 500", "2 000;3 500", "4\u202f000;5'000"), [0, 2, 4], False),
        ("start_ms;end_ms", ("0;1,500.0", "2,000.0;3,500.5", "4,000;5,000"), [0, 2, 4], True),
        ("start_ms;end_ms", ("0.125;1500.125", "500.125;1600.125", "999.125;5000.125"), [0, 0.5, 0.999], False),
        ("start_ms;end_ms", ("0,5;1500", "500,5;1600", "900,5;5000"), [0, 0.5, 0.9], False),
        ("start_ms;end_ms", ("0;0:01", "2000;00:00:03,500", "4000;5000"), [0, 2, 4], False),
        ("start;end", ("0,125;1,500", "2,000;3,500", "4,000;5,000"), [0.125, 2, 4], False),
    ],
)
def test_marks_that_part_thousands(
    header: str, spans: tuple[str, ...], starts: list[float], told: bool, folder: Path
) -> None:
    got, summary = of_table(folder / "t.csv", of_long(header, *spans))
    assert [u.start for u in got] == pytest.approx(starts, abs=0.002)
    assert all(u.duration >= 1 for u in got)
    assert any("2000" in note for note in summary.notes) == told


def test_marks_in_columns_that_the_user_names(folder: Path) -> None:
    table = of_long("von;bis", "0;1.500", "2.000;3.500", "4.000;5.000")
    got, _ = of_table(folder / "t.csv", table, columns={"start_ms": "von", "end_ms": "bis"})
    assert [u.start for u in got] == [0, 2, 4]


def test_marks_that_may_be_either(folder: Path) -> None:
    spans = ("0;1000", "2,000;3000", "4000;5,000", "4000;5000", "6000;7000,5")
    got, summary = of_table(folder / "t.csv", of_long("start_ms;end_ms", *spans))
    assert rows_left_out(summary) == [3, 4]
    assert [u.start for u in got] == [0, 4, 6]
    assert "2000" in summary.left_out[0]


def test_utterances_of_no_length_are_told(folder: Path) -> None:
    _, summary = of_table(folder / "t.csv", of_long("start;end", "0.001;0.01", "1;2", "3;4"))
    assert any("row 2" in note and "0.02" in note for note in summary.notes)


# ------------------------------------------------------------------------------------------------ empty cells


@pytest.mark.parametrize("word", ["nan", "<NA>", "#N/A", "#NV", "#REF!", "#VALUE!", "#WERT!", "#NAME?", "#DIV/0!"])
def test_empty_cells_are_no_texts(word: str, folder: Path) -> None:
    got, summary = of_table(
        folder / "t.csv", "path,text\n" + f"a.wav,{word}\n" + "".join(f"{n}.wav,x\n" for n in "bcd")
    )
    assert {u.text for u in got} == {"x"}
    assert rows_left_out(summary) == [2]
    assert word in summary.left_out[0]


@pytest.mark.parametrize("word", ["None", "null", "n/a", "NaN", "NA"])
def test_words_that_may_be_empty_cells_are_told(word: str, folder: Path) -> None:
    got, summary = of_table(
        folder / "t.csv", "path,text\n" + f"a.wav,{word}\n" + "".join(f"{n}.wav,x\n" for n in "bcd")
    )
    assert {u.text for u in got} == {"x", word}
    assert any(repr(word) in note and "row 2" in note for note in summary.notes)


def test_nan_of_json(folder: Path) -> None:
    """NaN is null: of a text nothing, of a duration none; "nan" in quotes is a word."""
    rows = [{"path": f"{n}.wav", "text": n, "duration": float("nan"), "speaker": float("nan")} for n in NAMES]
    rows[0]["text"], rows[1]["text"] = float("nan"), "nan"
    got, summary = of_table(folder / "t.jsonl", "\n".join(map(json.dumps, rows)))
    assert [u.text for u in got] == ["c", "d", "e", "f", "nan"]
    assert rows_left_out(summary) == [1]


@pytest.mark.parametrize("name", ["nan", "None", "null", "<NA>", "#N/A", "n/a", "NA", "-", "?", "unknown", "Unknown"])
def test_who_is_no_speaker(name: str, folder: Path) -> None:
    table = "path,text,speaker,start,split\n" + f"a.wav,1,{name},nan,\n" + "".join(f"{n}.wav,2,{n},,\n" for n in "bcde")
    got, summary = of_table(folder / "t.csv", table, split_by="random")
    assert not got[0].speaker
    assert {u.speaker for u in got[1:]} == set("bcde")
    assert any(repr(name) in note and "row 2" in note for note in summary.notes)
    with pytest.raises(InputError, match="row 2"):
        prepare(folder / "t.csv", folder / "again")


def test_speakers_that_pandas_made_numbers(folder: Path) -> None:
    speakers = ["1.0", "1", "2.0", "3.0", "01", ""]
    table = "path,text,speaker\n" + "".join(f"{n}.wav,{n},{s}\n" for n, s in zip(NAMES, speakers, strict=True))
    got, summary = of_table(folder / "t.csv", table, split_by="random")
    assert [u.speaker for u in got] == ["1", "1", "2", "3", "01", ""]
    assert any("1.0" in note for note in summary.notes)
    assert any("'01'" in note and "'1'" in note for note in summary.notes)


# ------------------------------------------------------------------------------------------------ times and none


@pytest.mark.parametrize(
    "header",
    [
        "segment_start;segment_end",
        "xmin;xmax",
        "from;to",
        "onset;offset",
        "begin;finish",
        "t_start;t_end",
        "onset (s);offset (s)",
        "Segment Start (s);Segment End (s)",
    ],
)
def test_names_of_times(header: str, folder: Path) -> None:
    got, summary = of_table(folder / "t.csv", of_long(header, "0;1", "2;3.5", "4;5"))
    assert [(u.start, u.duration) for u in got] == [(0, 1), (2, 1.5), (4, 1)]
    assert summary.left_out == []


def test_names_that_mean_times_only_where_they_hold_some(folder: Path) -> None:
    rows = "".join(f"{n}.wav,{n},de,en\n" for n in NAMES)
    got, summary = of_table(folder / "t.csv", "path,text,from,to\n" + rows)
    assert [u.duration for u in got] == [1.0] * len(NAMES)
    assert any("from, to" in note for note in summary.notes)


@pytest.mark.parametrize("header", ["start_sample;end_sample", "SegmentStartFrame;SegmentEndFrame"])
def test_samples_are_no_seconds(header: str, folder: Path) -> None:
    with pytest.raises(InputError, match=header.split(";")[0]):
        of_table(folder / "t.csv", of_long(header, "0;8000", "8000;16000"))


def test_several_texts_of_one_recording_need_times(folder: Path) -> None:
    with pytest.raises(InputError, match=r"start=von\b"):
        of_table(folder / "t.csv", of_long("von;bis;note", "0;1;", "2;3;x", "4;5;"))
    rest = "".join(f"{n}.wav,x\n" for n in "cdef")
    got, summary = of_table(folder / "t.csv", "path,text\na.wav,one\na.wav,two\n" + rest)
    assert rows_left_out(summary) == [2, 3]
    assert len(got) == 4


@pytest.mark.parametrize("above", ["# made by me\n", "# made, by me\n#\n", "#"])
def test_remarks_above_the_header(above: str, folder: Path) -> None:
    got, summary = of_table(
        folder / "t.csv", f"{above}path,text\n" + "".join(f"{n}.wav,{n}\n" for n in NAMES) + "x,y\n"
    )
    assert [u.text for u in got] == list(NAMES)
    assert len(summary.notes) == ("made" in above)
    assert rows_left_out(summary) == [8 + above.count("\n")]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/data/local-files/?d=rec/in here/1.wav", "1.wav"),
        ("http://localhost:8080/data/local-files/?d=in%20here/1.wav", "1.wav"),
        ("in%20here/1.wav", "1.wav"),
        ("in here/100%25.wav", "100%25.wav"),
        ("file:///home/ana/in%20here/1.wav", "1.wav"),
        ("file://localhost/C:/in%20here/1.wav", "1.wav"),
        ("~/in here/1.wav", "1.wav"),
        ("~/mine.wav", "mine.wav"),
        ("{data_root}/in here/1.wav", "1.wav"),
        ("$data_root/in here/1.wav", "1.wav"),
        ("${DATA}/in here/1.wav", "1.wav"),
        ({"path": "in here/1.wav", "bytes": None}, "1.wav"),
    ],
)
def test_paths_of_other_programs(place: Any, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "in here").mkdir()
    for each in ("1", "100%", "100%25"):
        (folder / "in here" / f"{each}.wav").hardlink_to(folder / "a.wav")
    (folder / "home").mkdir()
    (folder / "home" / "mine.wav").hardlink_to(folder / "b.wav")
    monkeypatch.setenv("HOME", str(folder / "home"))
    rows = [{"path": place, "text": "a"}, *({"path": f"{n}.wav", "text": "x"} for n in "cdef")]
    got, summary = of_table(folder / "t.jsonl", "\n".join(map(json.dumps, rows)))
    assert summary.left_out == []
    assert Path(got[0].audio).name == name


@pytest.mark.parametrize(
    "row",
    [
        {"wav": "{data_root}/0.wav", "length": 1.0, "words": "w"},  # of SpeechBrain
        {"key": "0", "source": "0.wav", "source_len": 100, "target": "w", "target_len": 1},  # of FunASR
        {"audio_filepath": "0.wav", "duration": 1.0, "text": "w", "channel_selector": 0},  # of NeMo
        {"audio": {"path": "0.wav"}, "sentence": "w"},  # of Hugging Face
    ],
)
def test_rows_of_other_programs(row: dict[str, Any], folder: Path) -> None:
    rows = {f"u{n}": json.loads(json.dumps(row).replace("0.wav", f"{n}.wav")) for n in NAMES}
    for n in NAMES:
        if "key" in row:
            rows[f"u{n}"]["key"] = n
    got, summary = of_table(folder / "t.json", json.dumps(rows))
    assert summary.left_out == []
    assert {(u.text, Path(u.audio).stem) for u in got} == {("w", n) for n in NAMES}


@pytest.mark.parametrize(
    ("span", "hint"), [("0;15", True), ("2000;3000", True), ("5;11", False), ("9;60", True), ("0;99.5", False)]
)
def test_what_may_be_milliseconds(span: str, hint: bool, folder: Path) -> None:
    short = "a.wav" if span == "0;15" else "long.wav"
    rows = [f"{short};x;{span};train", "b.wav;x;0;1;train", "c.wav;x;0;1;dev"]
    _, summary = of_table(folder / "t.csv", "\n".join(["path;text;start;end;split", *rows]))
    (left_out,) = summary.left_out
    assert ("start_ms" in left_out) == hint


def test_an_end_alone(folder: Path) -> None:
    rest = "".join(f"{n}.wav,{n},0.5,\n" for n in "bcd")  # each from the beginning of its recording
    got, summary = of_table(folder / "t.csv", "path,text,end,duration\nlong.wav,x,1,\nlong.wav,y,2,1\n" + rest)
    assert rows_left_out(summary) == [2]
    assert [(u.start, u.duration) for u in got] == [(0, 0.5), (0, 0.5), (0, 0.5), (1, 1)]


@pytest.mark.parametrize(
    ("labels", "channels", "left_out"),
    [
        (["two 1", "two 2", "a 1"], [0, 1, None], 0),  # 2 of two channels: they count from 1
        (["two 1", "a 1.0", "b"], [0, None, None], 0),  # 1 of one channel: so, too
        (["two 1.0", "two 2.0", "a"], [0, 1, None], 0),
        (["two 0", "two 1", "a 0"], [0, 1, None], 0),
        (["two 1", "a", "b"], [None, None], 1),  # the first or the second?
        (["two 0", "a 1", "b"], [0, None], 1),  # a mono file has no second one
        (["two 1", "two 2", "a B"], [0, 1], 1),
    ],
)
def test_from_where_channels_count(labels: list[str], channels: list[int | None], left_out: int, folder: Path) -> None:
    rows = [f"{n}.wav,{i},{label},train" for i, each in enumerate(labels) for n, _, label in [each.partition(" ")]]
    got, summary = of_table(folder / "t.csv", "\n".join(["path,text,channel,split", *rows, "f.wav,x,,dev"]))
    assert len(summary.left_out) == left_out
    assert [u.channel for u in got[:-1]] == channels
