from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import speechlike
from hypothesis import given, settings, strategies as st
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.data.cuts import Utterance, read_cuts
from asr.utils.errors import InputError
from data_prep._manifest import Source
from data_prep._splits import split_sources
from data_prep.table import prepare

SPLITS = ("train", "dev", "test")
NAMES = [f"{letter}.wav" for letter in "abcdefghij"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten recordings of a second each."""
    for seed, name in enumerate(NAMES):
        soundfile.write(tmp_path / name, speechlike(1.0, 8000, seed), 8000)
    return tmp_path


def prepared(table: Path, content: str | bytes, **options: Any) -> dict[str, Utterance]:
    """What came of a table, by id; `left_out` is checked to be empty."""
    table.write_bytes(content.encode() if isinstance(content, str) else content)
    assert prepare(table, table.parent / "out", **options).left_out == []
    return {u.id: u for split in SPLITS for u in read_cuts(table.parent / "out" / f"cuts_{split}.jsonl.gz")}


def split_of(out: Path) -> dict[str, str]:
    return {u.id: split for split in SPLITS for u in read_cuts(out / f"cuts_{split}.jsonl.gz")}


def listed(rows: int, speakers: str = "") -> str:
    """A CSV of that many of the recordings; speaker i % n of the letters given."""
    lines = ["path,text,speaker"]
    lines += [f"{NAMES[i]},text {i},{speakers[i % len(speakers)] if speakers else ''}" for i in range(rows)]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------ formats


def test_csv_with_quotes_commas_and_lines(folder: Path) -> None:
    found = prepared(
        folder / "t.csv",
        'Text , PATH,note\r\n"He said ""yes"", twice",a.wav,\r\n"two\nlines",b.wav,x\r\n\r\n  plain  ,c.wav\r\n',
    )
    assert {u.id: u.text for u in found.values()} == {
        "a": 'He said "yes", twice',
        "b": "two\nlines",
        "c": "plain",
    }
    assert found["a"].audio == str(folder / "a.wav")


def test_as_a_spreadsheet_of_another_country_has_it(folder: Path) -> None:
    """Semicolons, a mark of the byte order, CRLF, empty cells behind, commas in numbers, paths of Windows."""
    lines = [
        "Sprecher;Wort;Datei;Von;Bis;text;;",
        "Ana;ein, zwei;.\\a.wav;0,25;0,75;x;;",
        'Bo;"drei; vier";D:\\Aufnahmen\\b.wav;0:00,5;00:00:01;x;;',
        "Cy;fünf;c.wav;;;x;;",
    ]
    columns = {"path": "Datei", "text": "WORT", "speaker": "Sprecher", "start": "Von", "end": "Bis"}
    found = prepared(folder / "t.csv", b"\xef\xbb\xbf" + "\r\n".join(lines).encode(), columns=columns)
    rows = [(u.speaker, u.text, Path(u.audio).name, u.start, u.duration) for u in found.values()]
    assert sorted(rows) == [
        ("Ana", "ein, zwei", "a.wav", 0.25, 0.5),
        ("Bo", "drei; vier", "b.wav", 0.5, 0.5),
        ("Cy", "fünf", "c.wav", 0.0, 1.0),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_unicode_text_as_spreadsheets_export_it(encoding: str, folder: Path) -> None:
    content = "path\ttext\na.wav\tčaj\nb.wav\tžába\nc.wav\tš\n".encode(encoding)
    assert {u.text for u in prepared(folder / "t.txt", content).values()} == {"čaj", "žába", "š"}


@pytest.mark.parametrize(
    "content",
    [
        b'path;text;"Notes, comments, remarks, other"\na.wav;x;\nb.wav;y;\nc.wav;z;\n',
        b"sep=;\r\npath;text\r\na.wav;x\r\nb.wav;y\r\nc.wav;z\r\n",
        b"\n\npath,text\na.wav,x\nb.wav,y\nc.wav,z\n",
        b"path,text\ra.wav,x\rb.wav,y\rc.wav,z\r",
    ],
)
def test_odd_tables(content: bytes, folder: Path) -> None:
    assert {u.text for u in prepared(folder / "t.csv", content).values()} == {"x", "y", "z"}


def test_quotes_of_unicode_text(folder: Path) -> None:
    content = 'path\ttext\na.wav\t"he said ""no"", twice"\nb.wav\t"two\nlines"\nc.wav\tz\n'.encode("utf-16")
    assert {u.text for u in prepared(folder / "t.txt", content).values()} == {'he said "no", twice', "two\nlines", "z"}


def test_tables_that_would_be_misread(folder: Path) -> None:
    for content, message in (
        ("path,text,text\na.wav,x,y\n", wording("has-text-2-times-rename")),
        ("path,text\nC:\\s1\\a.wav,x\nC:\\s2\\a.wav,y\nb.wav,z\n", wording("c-s1-a-wav-and")),
    ):
        (folder / "t.csv").write_text(content)
        with pytest.raises(InputError, match=message):
            prepare(folder / "t.csv", folder / "out")
    (folder / "t.csv").write_text(f"path,text\n/{'x' * 300}.wav,x\n" + "".join(f"{name},x\n" for name in NAMES))
    (left_out,) = prepare(folder / "t.csv", folder / "out").left_out
    assert "t.csv, row 2" in left_out


def test_which_column_is_which(folder: Path) -> None:
    rows = [{"Pfad": f"{name}.wav", "Text": "not this", "Satz": name} for name in "abc"]
    content = "\n".join(map(json.dumps, rows))
    found = prepared(folder / "t.jsonl", content, columns={"path": "pfad", "text": "Satz"})
    assert {u.text for u in found.values()} == {"a", "b", "c"}
    for columns, message in (
        ({"text": "Satz"}, wording("has-no-column-path-only")),
        ({"path": "Pfad", "text": "Wort"}, wording("has-no-column-wort-only")),
        ({"path": "Pfad", "words": "Satz"}, wording("words-is-none-of-path")),
    ):
        with pytest.raises(InputError, match=message):
            prepare(folder / "t.jsonl", folder / "no", columns=columns)
    result = CliRunner().invoke(
        app, ["prepare", "table", str(folder / "t.jsonl"), "--column", "path=Pfad", "--out", str(folder / "cli")]
    )
    assert result.exit_code == 0, result.output
    for column in ("path", "path="):
        result = CliRunner().invoke(
            app, ["prepare", "table", str(folder / "t.jsonl"), "--column", column, "--out", str(folder / "cli")]
        )
        assert result.exit_code == 2
        assert wording("is-not-name-header") in result.stderr


@pytest.mark.parametrize("time", ["1:2:3:4", "a:1", "-1:2", "1,2,3", "1:", "inf", ""])
def test_what_is_no_time(time: str, folder: Path) -> None:
    (folder / "t.csv").write_text(f"path;text;start;end\na.wav;x;{time};0.5\n" + "b.wav;x;0;1\n" * 4)
    if time == "":
        prepare(folder / "t.csv", folder / "out")
    else:
        (left_out,) = prepare(folder / "t.csv", folder / "out").left_out
        assert "t.csv, row 2" in left_out


@pytest.mark.parametrize("suffix", [".tsv", ".txt", ".TSV"])
def test_in_a_tsv_quotes_are_quotes(suffix: str, folder: Path) -> None:
    found = prepared(folder / f"t{suffix}", 'path\ttext\na.wav\t"Oh, he said\nb.wav\tno "end\nc.wav\t""\n')
    assert [u.text for u in sorted(found.values(), key=lambda u: u.id)] == ['"Oh, he said', 'no "end', '""']


def test_jsonl(folder: Path) -> None:
    rows = [
        {"path": "a.wav", "text": "line\u2028separator \x85 はい", "speaker": 0, "id": 0},
        {"path": str(folder / "b.wav"), "text": 7, "speaker": 1, "id": 1, "start": 0.25, "end": "0.75"},
        {"path": "c.wav", "text": "x", "speaker": 2, "id": None, "start": None, "other": [1]},
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    found = prepared(folder / "t.jsonl", text, split_by="speaker")
    assert {u.id: (u.text, u.speaker) for u in found.values()} == {
        "0": (rows[0]["text"], "0"),
        "1": ("7", "1"),
        "c": ("x", "2"),
    }
    assert (found["1"].start, found["1"].duration) == (0.25, 0.5)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_byte_order_mark_is_no_part_of_a_name(suffix: str, folder: Path) -> None:
    rows = [{"path": name, "text": "é"} for name in NAMES[:3]]
    if suffix == ".jsonl":
        text = "\n".join(map(json.dumps, rows))
    else:
        text = "path,text\n" + "\n".join(f"{row['path']},é" for row in rows)
    text = text.replace(",", "\t") if suffix == ".tsv" else text
    assert len(prepared(folder / f"t{suffix}", b"\xef\xbb\xbf" + text.encode())) == 3


def test_ids_come_from_paths(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.wav").write_bytes((folder / "a.wav").read_bytes())
    found = prepared(folder / "t.csv", "path,text,id\nsub/a.wav,x,\na.wav,x,\nb.wav,x,mine\n")
    assert set(found) == {"sub-a", "a", "mine"}


def test_segments_are_stretches_of_a_file(folder: Path) -> None:
    found = prepared(folder / "t.csv", "path,text,start,end\na.wav,x,0.25,0.5\na.wav,y,0,0.25\na.wav,z,0.5,1\n")
    assert {u.text: (u.start, u.duration) for u in found.values()} == {
        "x": (0.25, 0.25),
        "y": (0.0, 0.25),
        "z": (0.5, 0.5),
    }
    assert len(found) == 3
    signal = soundfile.read(folder / "a.wav", dtype="float32")[0]
    for utterance in found.values():
        begin = round(utterance.start * 8000)
        length = round(utterance.duration * 8000)
        np.testing.assert_array_equal(utterance.samples(8000), signal[begin : begin + length])


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "place,text\na.wav,x\n", wording("has-no-column-path-only-2")),
        ("t.jsonl", '{"path": "a.wav"}\n', wording("has-no-column-text-only")),
        ("t.csv", "", wording("is-empty")),
        ("t.csv", "path,text\n", wording("no-row-can-be-used")),
        ("t.csv", "path,text\n,x\nb.wav,\n", wording("no-row-can-be-used-2")),
        ("t.csv", "path,text\na.wav,x\nb.wav,yes, and no\n", wording("line-3-has-3-fields")),
        ("t.csv", 'path,text\na.wav,x\nb.wav,"open\n', wording("line-3-cannot-be-read")),
        ("t.jsonl", '{"path": "a.wav", "text": "x"}\n{"path"\n', wording("line-2-is-not-json")),
        ("t.jsonl", '{"path": "a.wav", "text": "x"}\n[1]\n', wording("line-2-is-not-a")),
        ("t.jsonl", "[" * 100_000, wording("line-1-is-not-json")),
        ("t.xlsx", "PK", wording("is-not-a-table")),
        ("t.csv", b"path,text\na.wav,\xe9\n", wording("line-2-is-not-utf")),
        ("t.csv", "path,text\na.wav,x\na.wav,x\nb.wav,z\n", wording("t-csv-row-3-the")),
        ("t.csv", "path,text\na.wav,x\nb.wav,y\n", wording("2-utterances-cannot-be-split")),
    ],
)
def test_tables_that_are_refused(name: str, content: str | bytes, words: str, folder: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        prepared(folder / name, content)
    assert name in str(caught.value)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_utf_16_without_its_mark(encoding: str, folder: Path) -> None:
    with pytest.raises(InputError, match=wording("t-tsv-looks-like-utf")):
        prepared(folder / "t.tsv", "path\ttext\na.wav\tx\n".encode(encoding))


def test_what_is_not_utf_8_takes_no_place_in_a_split(folder: Path) -> None:
    rows = [{"path": name, "text": "x"} for name in NAMES[:5]]
    rows[0]["text"], rows[1]["id"], rows[2]["path"] = "\udce9", "\udce9", "\udce9.wav"
    with pytest.raises(InputError, match=wording("t-jsonl-2-utterances-cannot")):
        prepared(folder / "t.jsonl", "\n".join(map(json.dumps, rows)))


def test_a_table_that_is_not_there(folder: Path) -> None:
    with pytest.raises(InputError, match=wording("no-such-file")):
        prepare(folder / "none.csv", folder / "out")
    with pytest.raises(InputError, match=wording("table-needs-a-csv")):
        prepare(None, folder / "out")


@pytest.mark.parametrize(
    "options", [{"split_by": "chance"}, {"dev": 0.0}, {"test": 1.0}, {"dev": 0.5, "test": 0.5}, {"dev": float("nan")}]
)
def test_options_that_cannot_be(options: dict, folder: Path) -> None:
    with pytest.raises(InputError, match=next(iter(options)) if "split_by" in options else "leave nothing"):
        prepared(folder / "t.csv", listed(10), **options)


def test_rows_that_cannot_be_used_are_named_and_the_rest_done(folder: Path) -> None:
    (folder / "b.wav").write_bytes(b"RIFF")
    rows = [
        {"path": "a.wav", "text": "good 1"},
        {"path": "b.wav", "text": "broken"},
        {"path": "c.wav", "text": " "},
        {"path": "", "text": "x"},
        {"path": ".", "text": "x"},
        {"path": "d.wav", "text": "x", "start": "soon", "end": 1},
        {"path": "d.wav", "text": "x", "start": [1], "end": 1},
        {"path": "d.wav", "text": "x", "start": 10**400, "end": 1},
        {"path": "d.wav", "text": "x", "start": 0.5, "end": 0.5},
        {"path": "d.wav", "text": "x", "start": 0.5},
        {"path": "d.wav", "text": "x", "start": -1, "end": 1},
        {"path": "d.wav", "text": "x", "start": 0.5, "end": 1.5, "id": "late"},
        {"path": "nul\0.wav", "text": "x"},
        {"text": "x"},
        {"path": "e.wav", "text": "good 2"},
        {"path": "f.wav", "text": "good 3"},
        *({"path": name, "text": "good"} for name in NAMES[6:]),
    ]
    table = folder / "t.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)))
    summary = prepare(table, folder / "out", dev=0.2, test=0.2)
    assert sorted(split_of(folder / "out")) == ["a", *"efghij"]
    complaints = {int(line.split(":")[0].removeprefix(f"{table}, row ")): line for line in summary.left_out}
    assert sorted(complaints) == list(range(2, 15))
    words = {2: "b.wav: ", 3: "no text", 4: "no path", 5: "no path", 6: "'soon'", 7: '["1"]', 8: "start", 9: "ends at"}
    words |= {10: "neither end", 11: "-1", 12: "1.000 s long", 13: "no such file", 14: "no path"}
    for number, word in words.items():
        assert word in complaints[number]


# ------------------------------------------------------------------------------------------------ splits


def columned(*rows: str) -> str:
    return "path,text,speaker,split\n" + "\n".join(f"{name},x,{row}" for name, row in zip(NAMES, rows, strict=False))


def test_the_split_column_decides(folder: Path) -> None:
    found = prepared(folder / "t.csv", columned("A,train", "A, Train", "B,dev", "C,TEST", ",train"))
    assert len(found) == 5
    assert split_of(folder / "out") == {"a": "train", "b": "train", "c": "dev", "d": "test", "e": "train"}


def test_a_split_column_without_test_is_enough(folder: Path) -> None:
    (folder / "t.csv").write_text(columned("A,train", "B,dev"))
    assert prepare(folder / "t.csv", folder / "out").utterances == {"train": 1, "dev": 1}


def test_a_speaker_on_both_sides_is_refused_unless_asked_for(folder: Path) -> None:
    table = columned("A,train", "B,dev", "A,test")
    with pytest.raises(InputError, match=wording("speaker-a-is-in-train")):
        prepared(folder / "t.csv", table)
    prepared(folder / "t.csv", table, split_by="column")
    assert split_of(folder / "out") == {"a": "train", "b": "dev", "c": "test"}


def test_an_unknown_split_names_its_row(folder: Path) -> None:
    with pytest.raises(InputError, match=wording("t-csv-row-3-split")):
        prepared(folder / "t.csv", columned("A,train", "B,eval"))


def test_speakers_where_the_table_names_them(folder: Path) -> None:
    found = prepared(folder / "t.csv", listed(10, "ABCDE"))
    split = split_of(folder / "out")
    sides = {name: {found[i].speaker for i in split if split[i] == name} for name in SPLITS}
    assert all(sides.values())
    assert sum(map(len, sides.values())) == 5


@pytest.mark.parametrize("speakers", ["A", "AB"])
def test_too_few_speakers(speakers: str, folder: Path) -> None:
    with pytest.raises(InputError, match=wording("speakers-cannot-be-split-split", len(speakers))):
        prepared(folder / "t.csv", listed(10, speakers))
    assert len(prepared(folder / "t.csv", listed(10, speakers), split_by="random")) == 10


def test_rows_without_a_speaker_are_counted(folder: Path) -> None:
    with pytest.raises(InputError, match=wording("2-rows-name-no-speaker")):
        prepared(folder / "t.csv", listed(8, "ABCD") + "i.wav,x,\nj.wav,x,\n")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=3, max_size=15),
    st.integers(0, 1000),
    st.floats(0.01, 0.4),
    st.floats(0.01, 0.4),
)
def test_no_speaker_is_on_both_sides(counts: list[int], seed: int, dev: float, test: float) -> None:
    sources = [
        Source(f"{speaker}-{i}", Path("x.wav"), "x", str(speaker)) for speaker, n in enumerate(counts) for i in range(n)
    ]
    splits = split_sources(sources, [""] * len(sources), split_by="auto", dev=dev, test=test, seed=seed, where="t.csv")
    sides = {name: {source.speaker for source in found} for name, found in splits.items()}
    assert list(sides) == list(SPLITS)
    assert all(sides.values())
    assert sum(map(len, sides.values())) == len(counts)
    assert sorted(s.id for found in splits.values() for s in found) == sorted(s.id for s in sources)
    again = split_sources(
        sources[::-1], [""] * len(sources), split_by="auto", dev=dev, test=test, seed=seed, where="t.csv"
    )
    assert {name: {source.speaker for source in found} for name, found in again.items()} == sides
    # A side is over its share by half a speaker at most, unless it is a single speaker.
    for name, share in (("dev", dev), ("test", test)):
        assert len(sides[name]) == 1 or len(splits[name]) <= share * len(sources) + max(counts) / 2


@settings(max_examples=50, deadline=None)
@given(st.integers(10, 200), st.integers(0, 1000), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_random_split_has_its_shares_and_follows_from_the_seed(count: int, seed: int, dev: float, test: float) -> None:
    sources = [Source(f"u{i}", Path("x.wav"), "x") for i in range(count)]

    def ids(sources: list[Source], seed: int) -> dict[str, list[str]]:
        splits = split_sources(sources, [""] * count, split_by="random", dev=dev, test=test, seed=seed, where="t.csv")
        return {name: sorted(source.id for source in found) for name, found in splits.items()}

    found = ids(sources, seed)
    assert sorted(itertools.chain(*found.values())) == sorted(source.id for source in sources)
    assert abs(len(found["dev"]) - dev * count) <= 0.5
    assert abs(len(found["test"]) - test * count) <= 0.5
    assert ids(sources[::-1], seed) == found
    assert any(ids(sources, other) != found for other in range(seed + 1, seed + 5))


def test_again_is_a_no_op_and_a_changed_table_is_refused(folder: Path) -> None:
    table = folder / "t.csv"
    prepared(table, listed(10))
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (folder / "out").iterdir()}
    assert prepare(table, folder / "out").already_done
    with pytest.raises(InputError, match=wording("choose-another-out")):
        prepare(table, folder / "out", seed=2)
    with pytest.raises(InputError, match=wording("choose-another-out")):
        prepared(table, listed(9))
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (folder / "out").iterdir()} == before
    prepare(table, folder / "two", seed=1)
    prepare(table, folder / "three", seed=1)
    assert split_of(folder / "two") == split_of(folder / "three")
