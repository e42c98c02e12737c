"""Tables and manifests of other programs: read for what they are, or refused by their names."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import speechlike
from hypothesis import given, settings, strategies as st
from wording import wording

from asr.data.cuts import Utterance, read_cuts
from asr.utils.errors import InputError
from data_prep import kaldi
from data_prep.table import prepare

NAMES = "abcdef"
SECONDS = 2.0


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two seconds: a.wav to f.wav, and two.wav with two channels."""
    folder = tmp_path_factory.mktemp("recordings")
    samples = [speechlike(SECONDS, 8000, seed) for seed in range(6)]
    for name, each in zip(NAMES, samples, strict=True):
        soundfile.write(folder / f"{name}.wav", each, 8000)
    soundfile.write(folder / "two.wav", np.stack(samples[:2], 1), 8000)
    return folder


@pytest.fixture
def folder(recordings: Path, tmp_path: Path) -> Path:
    for path in recordings.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path


def utterances(out: Path) -> dict[str, Utterance]:
    return {u.id: u for path in out.glob("cuts_*.jsonl.gz") for u in read_cuts(path)}


def made(path: Path, content: str | bytes, **options: Any) -> tuple[dict[str, Utterance], list[str]]:
    """What comes of a table, by id; and the notes. Nothing may be left out."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    summary = prepare(path, path.parent / "out", **options)
    assert summary.left_out == []
    return utterances(summary.folder), summary.notes


def lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


# ------------------------------------------------------------------------------------------------ what columns are


NEMO = [{"audio_filepath": f"{n}.wav", "offset": 0.5, "duration": 1.0, "text": n, "pred_text": "no"} for n in NAMES]


@pytest.mark.parametrize(
    "content",
    [
        lines(NEMO),
        json.dumps(NEMO),
        json.dumps(NEMO, indent=2),
        json.dumps({"data": NEMO, "version": 1}),
        json.dumps({f"u{n}": row for n, row in zip(NAMES, NEMO, strict=True)}),
        "\n".join(json.dumps(row, indent=2) for row in NEMO),
    ],
)
def test_segments_of_nemo(content: str, folder: Path) -> None:
    got, notes = made(folder / "n.json", content)
    assert {(u.text, u.start, u.duration) for u in got.values()} == {(n, 0.5, 1.0) for n in NAMES}
    taken, unused = notes
    assert "audio_filepath for path, offset for start" in taken
    assert "pred_text" in unused


def test_a_duration_alone_is_that_of_the_file(folder: Path) -> None:
    rows = [{"audio_filepath": f"{n}.wav", "offset": None, "duration": SECONDS, "text": n} for n in NAMES]
    got, _ = made(folder / "n.json", lines(rows))
    assert {(u.start, u.duration) for u in got.values()} == {(0.0, SECONDS)}
    rows[0]["duration"], rows[1]["duration"] = 0.5, 1.7  # a part of it; rounded
    (folder / "n.json").write_text(lines(rows))
    summary = prepare(folder / "n.json", folder / "again")
    (left_out,) = summary.left_out
    assert "row 1: " in left_out
    assert "0.50 s" in left_out
    assert any("row 2" in note for note in summary.notes)


def test_tarred_manifests_are_refused_unless_unpacked(folder: Path) -> None:
    rows = [{"audio_filepath": f"x/{n}.wav", "duration": SECONDS, "text": n, "shard_id": 0} for n in NAMES]
    (folder / "tarred.json").write_text(lines(rows))
    with pytest.raises(InputError, match="shard_id"):
        prepare(folder / "tarred.json", folder / "out")
    for row in rows:
        row["audio_filepath"] = row["audio_filepath"].removeprefix("x/")
    assert len(made(folder / "tarred.json", lines(rows))[0]) == 6


@pytest.mark.parametrize("ending", [".mp3", ""])
@pytest.mark.parametrize("header", ["client_id path sentence", "client_id path sentence_id sentence up_votes segment"])
def test_common_voice(header: str, ending: str, folder: Path) -> None:
    (folder / "clips").mkdir()
    rows = ["\t".join(header.split())]
    for n in NAMES:
        soundfile.write(folder / "clips" / f"cv_{n}.mp3", speechlike(0.5, 16000), 16000)
        row = {"client_id": f"s{n}", "path": f"cv_{n}{ending}", "sentence": f'"Hi, {n}', "up_votes": "2"}
        rows.append("\t".join(row.get(name, "") for name in header.split()))
    got, _ = made(folder / "validated.tsv", "\n".join(rows))
    assert {(u.id, u.text, u.speaker) for u in got.values()} == {(f"cv_{n}", f'"Hi, {n}', f"s{n}") for n in NAMES}


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("metadata.csv", "file_name,transcription", "{0}.wav,hi {0}"),
        ("metadata.csv", "audio,sentence", "{0}.wav,hi {0}"),
        ("d.csv", "wav_filename,wav_filesize,transcript", "{0}.wav,99,hi {0}"),
        ("c.csv", "audio_file|text|speaker_name", "{0}.wav|hi {0}|s{0}"),
        ("c.csv", "﻿\" Audio Path \", 'TEXT'", '{0}.wav, "hi {0}"'),
        ("p.csv", ",path,text", "7,{0}.wav,hi {0}"),
        ("p.csv", "path,text,,", "{0}.wav,hi {0},,"),
        ("t.tsv", "path,text", "{0}.wav,hi {0}"),
        ("t.tsv", '"path"\t"text"', '"{0}.wav"\t"hi {0}"'),
        ("t.csv", "path\ttext", "{0}.wav\thi {0}"),
    ],
)
def test_well_known_tables(name: str, header: str, row: str, folder: Path) -> None:
    got, _ = made(folder / name, "\n".join([header, *(row.format(n) for n in NAMES)]))
    assert {(Path(u.audio).name, u.text) for u in got.values()} == {(f"{n}.wav", f"hi {n}") for n in NAMES}


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        ("path;text;begin;stop", "{0}.wav;x;0,5;1,25", {}),
        ("path;text;begin;stop", "{0}.wav;x;00:00:00,500;00:00:01,250", {}),
        ("path;text;start_ms;end_ms", "{0}.wav;x;500;1250", {}),
        ("path;text;Start (ms);End [ms]", "{0}.wav;x;500;1250", {}),
        ("path;text;start;duration", "{0}.wav;x;0.5;0.75", {}),
        ("path;text;offset;duration_ms", "{0}.wav;x;0.5;750", {}),
        ("path;text;von;bis", "{0}.wav;x;500;1250", {"start_ms": "von", "end_ms": "bis"}),
        ("path;text;von_ms;end_time_ms", "{0}.wav;x;500;1250", {"start_ms": "von_ms"}),
    ],
)
def test_times(header: str, row: str, columns: dict[str, str], folder: Path) -> None:
    got, _ = made(folder / "t.csv", "\n".join([header, *(row.format(n) for n in NAMES)]), columns=columns)
    assert {(u.start, u.duration) for u in got.values()} == {(0.5, 0.75)}


def test_milliseconds_that_are_not_called_so(folder: Path) -> None:
    (folder / "t.csv").write_text("path,text,start,end\n" + "".join(f"{n}.wav,x,500,1500\n" for n in NAMES))
    with pytest.raises(InputError, match="start_ms"):
        prepare(folder / "t.csv", folder / "out")


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("path,raw_transcription,transcription", "--column text="),
        ("audio,file_name,text", "--column path="),
        ("path,text,speaker_id,client_id", "--column speaker="),
        ("path,text,onset,begin", "--column start="),
    ],
)
def test_what_may_be_either_is_asked_for(header: str, asked: str, folder: Path) -> None:
    (folder / "t.csv").write_text(header + "\n" + ",".join("1" for _ in header.split(",")) + "\n")
    with pytest.raises(InputError, match=asked):
        prepare(folder / "t.csv", folder / "out")


def test_our_names_go_before_those_of_others(folder: Path) -> None:
    rows = "".join(f"{n}.wav,right,wrong,wrong\n" for n in NAMES)
    got, (unused,) = made(folder / "t.csv", "path,text,sentence,filename\n" + rows)
    assert {u.text for u in got.values()} == {"right"}
    assert unused.endswith("sentence, filename")


def test_an_id_that_is_not_the_utterances(folder: Path) -> None:
    table = "id,file_name,text\n" + "".join(f"7,{n}.wav,x\n" for n in NAMES)  # of a sentence
    (folder / "t.csv").write_text(table)
    with pytest.raises(InputError, match="--column"):
        prepare(folder / "t.csv", folder / "out")
    got, _ = made(folder / "t.csv", table, columns={"id": "file_name"})
    assert got.keys() == {f"{n}.wav" for n in NAMES}


def test_quotes_where_bars_separate(folder: Path) -> None:
    rows = ['a.wav|"Yes," he said', 'b.wav|he said "no', "c.wav|x"]
    got, _ = made(folder / "t.csv", "\n".join(["path|text", *rows]))
    assert {u.text for u in got.values()} == {'"Yes," he said', 'he said "no', "x"}


def test_channels(folder: Path) -> None:
    rest = "".join(f"{n}.wav,x,\n" for n in "abc")
    for zero, one in ("01", "AB", ("left", "right")):
        got, _ = made(folder / "t.csv", f"path,text,channel\ntwo.wav,first,{zero}\ntwo.wav,second,{one}\n{rest}")
        by_text = {u.text: u for u in got.values()}
        for text, channel in (("first", 0), ("second", 1)):
            assert by_text[text].channel == channel
            expected = soundfile.read(folder / "two.wav", dtype="float32")[0][:, channel]
            np.testing.assert_array_equal(by_text[text].samples(8000), expected)
        assert by_text["x"].channel is None
        shutil.rmtree(folder / "out")


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("t.csv", b"PK\x03\x04....", wording("is-a-spreadsheet")),
        ("t.xlsx", b"PK\x03\x04....", wording("is-a-spreadsheet")),
        ("t.csv", b"PAR1....", "Parquet"),
        ("t.txt", "0.0\t1.5\thi\n", "Audacity"),
        ("t.txt", "1\n00:00:00,000 --> 00:00:01,000\nhi\n", "SubRip"),
        ("t.txt", '<?xml version="1.0"?>\n<!-- x -->\n<ANNOTATION_DOCUMENT/>', "prepare elan"),
        ("t.txt", 'File type = "ooTextFile"\nObject class = "TextGrid"\n', "prepare textgrid"),
        ("t.txt", "@UTF8\n@Begin\n", "CHAT"),
        ("wav.scp", "a a.wav\n", "prepare kaldi"),
        ("metadata.csv", "LJ001-0001|One|one\n", "prepare ljspeech"),
        ("m.csv", "a.wav|hi\nb.wav|ho\n", "a.wav|hi".replace("|", r"\|")),
        ("t.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs"),
        ("m.tsv", "/data\na.wav\t16000\nb.wav\t16000\n", "fairseq"),
        ("cuts.jsonl.gz", gzip.compress(lines([{"id": "x", "supervisions": []}]).encode()), "Lhotse.*asr train"),
        ("recordings.jsonl", lines([{"id": "x", "sources": [], "sampling_rate": 1}]), "Lhotse"),
        ("s.jsonl", lines([{"id": "x", "recording_id": "r", "start": 0, "duration": 1, "text": "x"}]), "Lhotse"),
        ("data.json", json.dumps({"utts": {"a": {"input": []}}}), "ESPnet"),
        ("w.json", json.dumps({"text": "x", "segments": [{"id": 0}]}), wording("transcript-of-one-recording")),
        ("l.json", json.dumps([{"id": 1, "data": {"audio": "x"}, "annotations": []}]), "Label Studio.*JSON-MIN"),
    ],
)
def test_other_kinds_are_refused_by_their_names(name: str, content: str | bytes, kind: str, folder: Path) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=kind) as caught:
        prepare(folder / name, folder / "out")
    assert name in str(caught.value)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('path,text\na.wav,x\nb.wav,"open\nc.wav,x\nd.wav,y\n', "line 3"),
        ('path,text\na.wav,x\nb.wav,"open\nc.wav,x"\nd.wav,y\ne.wav,y\n', "line 3"),
        ('sep=,\npath,text\n\na.wav,x\nb.wav,"open\nc.wav,"x"\n', "line 5"),
    ],
)
def test_open_quotes_are_found_where_they_open(content: str, line: str, folder: Path) -> None:
    (folder / "t.csv").write_text(content)
    with pytest.raises(InputError, match=line):
        prepare(folder / "t.csv", folder / "out")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("https://example.org/a.wav", wording("is-an-address")),
        ("sox a.wav -t wav - |", wording("is-a-command")),
        ("data.ark:99", "Kaldi"),
        ("{data_root}/x.wav", "data_root"),
        ("aa.wav", "'a.wav'"),
        ({"bytes": "a.wav"}, "path"),
    ],
)
def test_what_is_no_path_is_left_out(path: Any, why: str, folder: Path) -> None:
    rows = [{"path": path, "text": "x"}, *({"path": f"{n}.wav", "text": "x"} for n in NAMES)]
    (folder / "t.jsonl").write_text(lines(rows))
    summary = prepare(folder / "t.jsonl", folder / "out")
    (left_out,) = summary.left_out
    assert why in left_out
    assert len(utterances(summary.folder)) == 6


def test_json_is_taken_at_its_word(folder: Path) -> None:
    rows = '{"path": "a.wav", "text": 1e3, "id": 010}'.replace("010", "10"), '{"path": "b.wav", "text": 3.10}'
    rest = lines([{"path": f"{n}.wav", "text": True if n == "c" else "x"} for n in "cdef"])
    (folder / "t.jsonl").write_text("\n".join([*rows, rest]))
    summary = prepare(folder / "t.jsonl", folder / "out")
    assert {u.text for u in utterances(summary.folder).values()} == {"1e3", "3.10", "x"}
    assert "row 3: " in summary.left_out[0]


# ------------------------------------------------------------------------------------------------ names


def test_names_are_the_same_when_people_see_them_as_the_same(folder: Path) -> None:
    (folder / "w").mkdir()
    (folder / "a.wav").rename(folder / "w" / unicodedata.normalize("NFD", "Café.wav"))
    people = ["José", unicodedata.normalize("NFD", "José"), "Ana  Lu", "Ana\u00a0Lu", "ana lu", "Cy"]
    rows = [{"path": f"{n}.wav", "text": n, "speaker": person} for n, person in zip(NAMES, people, strict=True)]
    rows[0]["path"] = "w/CAFÉ.wav"
    got, notes = made(folder / "t.jsonl", lines(rows))
    assert {u.speaker for u in got.values()} == {"José", "Ana Lu", "ana lu", "Cy"}
    assert any("'Ana Lu'" in note and "'ana lu'" in note for note in notes)
    assert any("row 1" in note for note in notes)  # a path in another case
    (folder / "t.jsonl").write_text(lines([*rows, {**rows[1], "path": "B.WAV"}]))
    with pytest.raises(InputError, match=r"B\.WAV"):
        prepare(folder / "t.jsonl", folder / "again")


def test_a_split_column_and_two_spellings_of_a_speaker(folder: Path) -> None:
    rows = "".join(f"{n}.wav,x,S{n},train\n" for n in "abc") + "d.wav,x,José,train\ne.wav,x,Jose\u0301,dev\n"
    (folder / "t.csv").write_text("path,text,speaker,split\n" + rows)
    with pytest.raises(InputError, match="José"):
        prepare(folder / "t.csv", folder / "out")


# ------------------------------------------------------------------------------------------------ beyond the end


@pytest.mark.parametrize(("over", "cut"), [(0.0004, False), (0.03, True), (0.099, True), (0.1, None), (0.5, None)])
def test_what_overruns_its_recording_is_cut_and_counted(over: float, cut: bool | None, folder: Path) -> None:
    rows = [{"path": f"{n}.wav", "text": n, "start": 1.0, "end": SECONDS} for n in NAMES]
    rows[0]["end"] = SECONDS + over
    (folder / "t.jsonl").write_text(lines(rows))
    summary = prepare(folder / "t.jsonl", folder / "out")
    got = {u.text: u for u in utterances(summary.folder).values()}
    assert len(summary.left_out) == (cut is None)
    assert len(summary.notes) == bool(cut)
    assert ("a" in got) == (cut is not None)
    assert all(u.duration == pytest.approx(1.0) for u in got.values())
    assert prepare(folder / "t.jsonl", folder / "out").notes == summary.notes


def test_what_begins_a_hair_before_its_recording(folder: Path) -> None:
    rows = [{"path": f"{n}.wav", "text": n, "start": -0.05, "end": 1.0} for n in NAMES]
    got, notes = made(folder / "t.jsonl", lines(rows))
    assert {(u.start, u.duration) for u in got.values()} == {(0.0, 1.0)}
    assert len(notes) == 1


# ------------------------------------------------------------------------------------------------ all forms alike


TEXTS = st.lists(
    st.text(alphabet="aé語'\",;|\\-", min_size=1, max_size=4).filter(lambda text: text.strip("-")),
    min_size=1,
    max_size=3,
).map(" ".join)
ROWS = st.lists(
    st.tuples(TEXTS, st.sampled_from(["Ana", "Bo", "Cyé"]), st.integers(0, 8), st.integers(1, 8)),
    min_size=4,
    max_size=len(NAMES),
)


def as_csv(rows: Sequence[dict[str, str]], path: Path, delimiter: str) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_kaldi(rows: Sequence[dict[str, str]], folder: Path) -> Path:
    data = folder / "data" / "train"
    data.mkdir(parents=True)
    ids = [f"u{n}" for n in range(len(rows))]
    for name, line in (
        ("wav.scp", "{path} {path}"),
        ("text", "{id} {text}"),
        ("utt2spk", "{id} {speaker}"),
        ("segments", "{id} {path} {start} {end}"),
    ):
        text = "".join(line.format(id=key, **row) + "\n" for key, row in zip(ids, rows, strict=True))
        (data / name).write_text("\n".join(dict.fromkeys(text.splitlines())) + "\n", encoding="utf-8")
    return data


def as_nemo(rows: Sequence[dict[str, str]], path: Path) -> Path:
    written = [
        {
            "audio_filepath": row["path"],
            "offset": float(row["start"]),
            "duration": float(row["end"]) - float(row["start"]),
            "text": row["text"],
            "speaker": row["speaker"],
        }
        for row in rows
    ]
    path.write_text(lines(written), encoding="utf-8")
    return path


def forms(rows: Sequence[dict[str, str]], folder: Path) -> Iterator[tuple[Callable[..., Any], Path, dict[str, str]]]:
    """The same rows as every program would write them."""
    random = {"split_by": "random"}
    for name, delimiter in (("c.csv", ","), ("s.csv", ";"), ("p.csv", "|"), ("t.tsv", "\t")):
        yield prepare, as_csv(rows, folder / name, delimiter), random
    (folder / "j.jsonl").write_text(lines(rows), encoding="utf-8")
    yield prepare, folder / "j.jsonl", random
    (folder / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    yield prepare, folder / "a.json", random
    yield prepare, as_nemo(rows, folder / "n.json"), random
    yield kaldi.prepare, as_kaldi(rows, folder), {}


@settings(max_examples=6, deadline=None)
@given(ROWS)
def test_the_same_rows_in_every_form_give_the_same_utterances(
    tmp_path_factory: pytest.TempPathFactory, recordings: Path, rows: list[tuple[str, str, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("forms")
    written = [
        {
            "path": str(recordings / f"{name}.wav"),
            "text": text,
            "speaker": speaker,
            "start": f"{start / 8}",
            "end": f"{(start + length) / 8}",
        }
        for name, (text, speaker, start, length) in zip(NAMES, rows, strict=False)
    ]
    expected = sorted((row["path"], row["text"], row["speaker"], float(row["start"])) for row in written)
    for number, (run, path, options) in enumerate(forms(written, folder)):
        summary = run(path, folder / f"out{number}", **options)
        assert summary.left_out == []
        got = sorted((u.audio, u.text, u.speaker, u.start) for u in utterances(summary.folder).values())
        assert got == expected, path
    shutil.rmtree(folder)
