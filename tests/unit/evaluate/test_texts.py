"""Files of texts: the same texts in every format are the same, and what is none of them is refused."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from wording import wording

from asr.data.elan_writer import to_eaf
from asr.data.formats import FORMATS
from asr.data.transcript import Segment, Transcript, Word
from asr.evaluate.texts import Pairs, Texts, as_references, pair, read_lines, read_speakers, read_texts
from asr.evaluate.texts.alternations import closest
from asr.evaluate.wer import ErrorCounts, score
from asr.utils.errors import InputError

REFERENCES = {"spk-u1": "hello big world", "spk-u2": "good day"}
HYPOTHESES = {"spk-u1": "hello world", "spk-u2": "good day"}


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def error_of(path: Path, read: Callable[[Path], object] = read_texts) -> str:
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    return str(error.value)


def paired(reference: Path, hypothesis: Path) -> Pairs:
    return pair(as_references(read_texts(reference)), read_texts(hypothesis, empty=True))


def errors(pairs: Pairs) -> tuple[int, int]:
    counts = score(pairs.references, pairs.hypotheses).words
    return counts.errors, counts.length


# The same texts in every format.


def table(texts: Mapping[str, str], delimiter: str = ",", names: tuple[str, str] = ("id", "text")) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerows([names, *texts.items()])
    return out.getvalue()


def rows(texts: Mapping[str, str], **names: str) -> list[dict[str, str]]:
    key, text = names.get("id", "id"), names.get("text", "text")
    return [{key: name, text: each} for name, each in texts.items()]


def lines(values: list[Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def cut(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "start": 0, "duration": 1, "supervisions": [{"id": name, "text": text}], "type": "MonoCut"}


BY_ID: dict[str, Callable[[Mapping[str, str]], str | bytes]] = {
    "text": lambda texts: "".join(f"{key} {text}\n" for key, text in texts.items()),
    "tab.txt": lambda texts: "".join(f"{key}\t{text}\n" for key, text in texts.items()),
    "crlf.txt": lambda texts: "".join(f"{key} {text}\r\n" for key, text in texts.items()),
    "bom.txt": lambda texts: "\ufeff" + "".join(f"{key} {text}\n" for key, text in texts.items()),
    "utf16.txt": lambda texts: "".join(f"{key}\t{text}\n" for key, text in texts.items()).encode("utf-16"),
    "header.txt": lambda texts: "utt_id text\n" + "".join(f"{key} {text}\n" for key, text in texts.items()),
    "a.trn": lambda texts: ";; by hand\n" + "".join(f"{text} ({key})\n" for key, text in texts.items()),
    "trn.txt": lambda texts: "".join(f"{text} ({key})\n" for key, text in texts.items()),
    "sphinx.match": lambda texts: "".join(f"<s> {text} </s> ({key} -7716)\n" for key, text in texts.items()),
    "a.csv": table,
    "semicolon.csv": lambda texts: "\ufeff" + table(texts, ";"),
    "excel.csv": lambda texts: "sep=;\r\n" + table(texts, ";", ("path", "Sentence")),
    "a.tsv": lambda texts: table(texts, "\t", ("path", "sentence")),
    "unicode.csv": lambda texts: table(texts, "\t").encode("utf-16"),
    "pandas.csv": lambda texts: table(texts, names=("", "Transcript")),
    "pipe.csv": lambda texts: table(texts, "|", ("file_name", "transcription")),
    "a.json": lambda texts: json.dumps(dict(texts)),
    "array.json": lambda texts: json.dumps(rows(texts), indent=2),
    "nested.json": lambda texts: json.dumps({key: {"text": text} for key, text in texts.items()}),
    "a.jsonl": lambda texts: lines(rows(texts)),
    "names.jsonl": lambda texts: lines(rows(texts, id="utt_id", text="transcript")),
    "nemo.json": lambda texts: lines(rows(texts, id="audio_filepath")),
    "cuts.jsonl.gz": lambda texts: gzip.compress(lines([cut(*each) for each in texts.items()]).encode()),
}


@pytest.mark.parametrize("name", BY_ID)
def test_the_same_texts_in_every_format(tmp_path: Path, name: str) -> None:
    reference = written(tmp_path / "ref" / name, BY_ID[name](REFERENCES))
    texts = read_texts(reference)
    assert (texts.references, texts.hypotheses) == (REFERENCES, REFERENCES)
    hypothesis = written(tmp_path / "hyp" / name, BY_ID[name](HYPOTHESES))
    assert errors(paired(reference, hypothesis)) == (1, 5)
    plain = written(tmp_path / "plain", BY_ID["text"](REFERENCES))
    assert errors(paired(plain, hypothesis)) == (1, 5)


WORD = st.text(st.sampled_from("abcéößаяاबあ한'-.,;:|\"/@#&<>0159"), min_size=1, max_size=6).filter(
    lambda word: not word.startswith(";;")
)
ID = st.from_regex(r"[a-z]{1,4}[-_][0-9]{1,3}", fullmatch=True)


@given(texts=st.dictionaries(ID, st.lists(WORD, max_size=5).map(" ".join), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_no_format_changes_a_word(texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("texts")
    for name, write in BY_ID.items():
        assert read_texts(written(folder / name, write(texts))).references == texts, name


SEGMENTS = [("hello big world", 0.0, 2.0), ("good day", 2.5, 4.0)]


def clock(seconds: float, comma: str = ".") -> str:
    return f"00:00:{seconds:06.3f}".replace(".", comma)


def transcript(name: str = "talk.wav") -> Transcript:
    segments = []
    for text, start, end in SEGMENTS:
        step = (end - start) / len(text.split())
        words = [Word(word, start + i * step, start + (i + 1) * step, 0.9) for i, word in enumerate(text.split())]
        segments.append(Segment(start, end, text, tuple(words)))
    return Transcript(name, tuple(segments), 5.0, "m", "en")


WHISPER = {
    "text": " hello big world good day",
    "segments": [
        {"id": i, "seek": 0, "start": start, "end": end, "text": f" {text}"}
        for i, (text, start, end) in enumerate(SEGMENTS)
    ],
    "language": "en",
}
OF_A_RECORDING: dict[str, str] = {
    **{f"ours.{name}": write(transcript()) for name, write in FORMATS.items() if name not in ("txt", "eaf")},
    **{f"words.{name}": FORMATS[name](transcript(), True) for name in ("json", "srt", "vtt", "tsv")},
    "ours.eaf": to_eaf(transcript()),
    "a.srt": "".join(
        f"{i}\r\n{clock(a, ',')} --> {clock(b, ',')}\r\n<i>{text}</i>\r\n\r\n"
        for i, (text, a, b) in enumerate(SEGMENTS, 1)
    ),
    "blank.srt": "".join(
        f"{i}\n{clock(a, ',')} --> {clock(b, ',')} X1:40 X2:600\n{{\\an8}}{text}\n"
        for i, (text, a, b) in enumerate(SEGMENTS)
    ),
    "a.vtt": "WEBVTT - a talk\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE made\nby hand\n\n"
    + "".join(
        f"intro {i}\n{clock(a)[3:]} --> {clock(b)[3:]} align:start position:0%\n<v Ann>{text}</v>\n\n"
        for i, (text, a, b) in enumerate(SEGMENTS)
    ),
    "rolling.vtt": "WEBVTT\nKind: captions\n\n"
    "00:00:00.000 --> 00:00:02.000 align:start position:0%\n \n"
    "hello<00:00:00.700><c> big</c><00:00:01.400><c> world</c>\n\n"
    "00:00:02.000 --> 00:00:02.010 align:start position:0%\nhello big world\n \n\n"
    "00:00:02.010 --> 00:00:04.000 align:start position:0%\nhello big world\ngood<00:00:03.000><c> day</c>\n\n",
    "captions.sbv": "".join(f"0:00:0{a:.3f},0:00:0{b:.3f}\n{text}\n\n" for text, a, b in SEGMENTS),
    "printed.txt": "".join(f"[00:0{a:.3f} --> 00:0{b:.3f}]  {text}\n" for text, a, b in SEGMENTS),
    "labels.txt": "".join(f"{a:.6f}\t{b:.6f}\t{text}\n" for text, a, b in SEGMENTS),
    "whisper.json": json.dumps(WHISPER, indent=2),
    "segments.json": json.dumps(WHISPER["segments"]),
    "x.json": json.dumps({"segments": WHISPER["segments"], "word_segments": []}),
    "chunks.json": json.dumps(
        {"text": WHISPER["text"], "chunks": [{"text": f" {t}", "timestamp": [a, b]} for t, a, b in SEGMENTS]}
    ),
    "cpp.json": json.dumps(
        {"transcription": [{"offsets": {"from": a * 1000, "to": b * 1000}, "text": f" {t}"} for t, a, b in SEGMENTS]}
    ),
    "vosk.json": json.dumps({"result": [{"word": "hello", "start": 0, "end": 1}], "text": WHISPER["text"]}),
    "api.json": json.dumps({"text": WHISPER["text"]}),
    "a.csv": "start,end,text\n" + "".join(f'{a * 1000:.0f},{b * 1000:.0f},"{text}"\n' for text, a, b in SEGMENTS),
    "a.stm": ";; by hand\n" + "".join(f"talk 1 ann {a} {b} <o,f0,f> {text}\n" for text, a, b in SEGMENTS),
    "stm.txt": "".join(f"talk 1 ann {a} {b} {text}\n" for text, a, b in SEGMENTS),
    "a.ctm": "".join(
        f"talk A {a + i / 9:.2f} 0.10 {word}\n" for text, a, _ in SEGMENTS for i, word in enumerate(text.split())
    ),
}


@pytest.mark.parametrize("name", OF_A_RECORDING)
def test_the_text_of_a_recording_in_every_format(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / f"talk{Path(name).suffix}", OF_A_RECORDING[name])
    (text,) = read_texts(path).references.values()
    assert text == "hello big world good day"
    plain = written(tmp_path / "plain", "talk hello world good day\n")
    assert errors(paired(path, plain)) == (1, 5)
    other = written(tmp_path / "other.srt", OF_A_RECORDING["a.srt"])
    assert errors(paired(other, path)) == errors(paired(path, other)) == (0, 5)


# Of one format.


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("text", "u1 hello world\nu2  mɔ\u0301 \n\nu3\n", {"u1": "hello world", "u2": "mɔ\u0301", "u3": ""}),
        ("text", "u1\thello world\nu2\t\nu3\n", {"u1": "hello world", "u2": "", "u3": ""}),
        ("text", "\ufeffu1 a\r\nu2 b\r\n", {"u1": "a", "u2": "b"}),
        ("text", "u1 a\ru2 b\r", {"u1": "a", "u2": "b"}),
        ("text", "u1 a\u2028b\nu2 c\u0085d\n", {"u1": "a\u2028b", "u2": "c\u0085d"}),
        (
            "text",
            "my file 1.wav\thello there\nno\u00a0break.wav\tb\n",
            {"my file 1.wav": "hello there", "no break.wav": "b"},
        ),
        ("text", "u1 a\tb\nu2 c d\n", {"u1": "a\tb", "u2": "c d"}),  # not every id ends with a tab
        ("text", "cafe\u0301_1 x\n\u200bu2 y\n", {"caf\u00e9_1": "x", "u2": "y"}),
        ("text", "u10 a\nu9 b\n007 c\n7 d\n", {"u10": "a", "u9": "b", "007": "c", "7": "d"}),
        ("text", "u1 1 2 3 four\nu2 1 2 3 five\n", {"u1": "1 2 3 four", "u2": "1 2 3 five"}),  # no CTM
        ("text", "u1 hello, world\nu2 well; yes\n", {"u1": "hello, world", "u2": "well; yes"}),  # no CSV
        ("text", "id1 id text\nid2 x\n", {"id1": "id text", "id2": "x"}),
        ("text", "[noise]-1 hello\n{a}-2 b\n", {"[noise]-1": "hello", "{a}-2": "b"}),  # no JSON
        ("text", "u1 hello (laughter)\nu2 (laughter)\n", {"u1": "hello (laughter)", "u2": "(laughter)"}),
        ("text", "u1 hello (take-2)\nu2 x (take-2)\n", {"u1": "hello (take-2)", "u2": "x (take-2)"}),
        (
            "text",
            "hello (laughter) world (spk1_u1)\n (spk1_u2)\n",
            {"spk1_u1": "hello (laughter) world", "spk1_u2": ""},
        ),
        ("text", "hello world (ann)\ngood day (bob)\n", {"ann": "hello world", "bob": "good day"}),
        ("x.jsonl", '{"id": "u1", "text": " a b "}\n\n{"text": "", "id": 2, "more": 1}', {"u1": "a b", "2": ""}),
        ("x.jsonl", '{"id": "u1", "text": "a\u2028b\u0085c"}\n', {"u1": "a\u2028b\u0085c"}),
        ("x.csv", 'id,text\nu1,"a, ""b""\nc"\n\nu2,\n', {"u1": 'a, "b"\nc', "u2": ""}),
        (
            "x.tsv",
            'path\tsentence\na.mp3\t"Hm," he said.\nb.mp3\t"Yes."\n',
            {"a.mp3": '"Hm," he said.', "b.mp3": '"Yes."'},
        ),
        ("x.tsv", 'id\ttext\nu1\t"a ""b"""\n', {"u1": 'a "b"'}),
        ("x.csv", "id,text,,\nu1,a,,\n", {"u1": "a"}),
        ("x.json", '[{"id":"u1","text":"hello"}]', {"u1": "hello"}),
        ("x.json", '{"id": "u1", "text": "hello"}', {"u1": "hello"}),
    ],
)
def test_texts_by_id(tmp_path: Path, name: str, content: str, expected: dict[str, str]) -> None:
    assert read_texts(written(tmp_path / name, content)).references == expected


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("text", "u1 a\n\nu2 b\nu1 c\n", ", line 4: "),
        ("text", "cafe\u0301 a\ncaf\u00e9 b\n", ", line 2: "),
        ("x.jsonl", '{"id": "1", "text": "a"}\n{"id": 1, "text": "b"}\n', ", line 2: "),
        ("x.jsonl", '{"id": "u1", "text": "a"}\nu2 b\n', ", line 2: "),
        ("x.jsonl", '{"id": "u1", "text": true}\n', ", line 1: "),
        ("x.jsonl", '{"text": "a"}\n{"text": "b"}\n', ""),
        ("x.jsonl", '{"id": 1, "text": "a"}\n["u2", "b"]\n', ", line 2: "),
        ("x.jsonl", '{"id": 1, "id": 2, "text": "a"}\n', "'id'"),
        ("x.jsonl", '{"id": 1, "text": "a", "transcript": "b"}\n', "'text' and 'transcript'"),
        ("text", '{"id": ' + "1" * 5000 + ', "text": "a"}\n', ", line 1: "),
        ("text", '{"id": ' + "[" * 100_000 + "\n", ", line 1: "),
        ("x.json", '{"u1": "a", "u1": "b"}', "'u1'"),
        ("x.json", '[\n{"id": "u1", "text": "a"},\n{"id": "u2" "text": "b"}\n]\n', ", line 3: "),
        ("x.json", '["hello", "world"]', ", item 1: "),
        ("x.json", '{"results": {"transcripts": [{"transcript": "a"}]}}', "Amazon"),
        ("x.json", '{"results": [{"alternatives": [{"transcript": "a"}]}]}', "Google"),
        ("x.json", '{"metadata": {}, "results": {"channels": []}}', "Deepgram"),
        ("x.json", '{"combinedRecognizedPhrases": [{"display": "a"}]}', "Azure"),
        ("x.json", '{"utts": {"u1": {"output": [{"text": "a", "rec_text": "a"}]}}}', "ESPnet"),
        ("x.json", '{"id": {"0": "u1", "1": "u2"}, "text": {"0": "a", "1": "b"}}', "orient"),
        ("x.json", '{"columns": ["id", "text"], "index": [0], "data": [["u1", "a"]]}', "orient"),
        ("x.json", '{"schema": {"fields": []}, "data": [{"id": "u1", "text": "a"}]}', "orient"),
        ("wer_test.txt", "%WER 25.00 [ 1 / 4, 0 ins, 0 del, 1 sub ]\n%SER 50.00 [ 1 / 2 ]\n", "scores"),
        ("recogs.txt", "u1:\tref=['a']\nu1:\tref=['b']\n", "'u1'"),
        ("recogs.txt", "u1:\tref=['a']\nu1:\thyp=[a]\n", ", line 2: "),
        ("x.json", '[{"session_id": "a", "start_time": "x", "end_time": 1, "words": "b"}]', ", line 1: "),
        ("x.json", "u1 hello\n", ", line 1: "),
        ("text", b"u1 a\nu2 caf\xe9\n", "line 2"),
        ("text", "u1 a\n".encode("utf-16-le"), "UTF-16"),
        ("x.docx", b"PK\x03\x04word/document.xml", "Word"),
        ("x.xlsx", b"PK\x03\x04xl/", "Excel"),
        ("x.pdf", b"%PDF-1.7\n", "PDF"),
        ("x.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", "WAV"),
        ("x.mp4", b"\x00\x00\x00\x18ftypmp42", "MP4"),
        ("x.gz", b"\x1f\x8b\x08\x00broken", ""),
        ("x.ass", "[Script Info]\nTitle: a\n", "SubStation"),
        ("x.mlf", '#!MLF!#\n"*/u1.lab"\nhello\n.\n', "HTK"),
        ("x.html", "<!DOCTYPE html>\n<html><body>a</body></html>\n", "HTML"),
        ("x.ttml", '<?xml version="1.0"?>\n<tt><body/></tt>\n', "XML"),
        ("utt2spk", "u1 ann\n", "utt2spk"),
        ("wav.scp", "u1 a.wav\n", "wav.scp"),
        ("x.scp", "u1 /data/a.wav\nu2 sox b.flac -t wav - |\n", "wav.scp"),
        ("x", "u1-1 rec1 0.00 1.25\nu1-2 rec1 1.25 2.50\n", "segments"),
        ("x", "u1-1 rec1 0.00 1.25 hello big world\nu1-2 rec1 1.25 2.50 good day\n", "segments"),
        ("x.txt", "0:00\nhello there\n0:03\ngood day\n", ""),
        ("x.rttm", "SPEAKER rec 1 0.0 1.0 <NA> <NA> ann <NA>\n", "RTTM"),
        ("x.lrc", "[00:12.00]hello\n[00:14.50]world\n", ""),
        ("x.txt", "00:00:01 hello\n00:00:03 world\n", ""),
        ("x.csv", "u1,hello world\nu2,good day\n", "'u1,hello world'"),
        ("x.txt", "Datei;Inhalt\nu1;hello\n", "'Datei;Inhalt'"),
        ("metadata.csv", "LJ1|Mr. Smith|Mister Smith\nLJ2|a|a\n", "LJ1"),
        ("x.tsv", "Datei\tInhalt\nu1\thello\nu2\tday\n", "Datei"),
        ("x.tsv", "u1\tann\thello\nu2\tbob\tday\n", "3"),
        ("x.csv", "id,duration\nu1,1.5\n", ""),
        ("x.csv", "id,text\nu1,hello, world\n", ", line 2: "),
        ("x.csv", "id,text\nu1\n", ", line 2: "),
        ("x.csv", 'id,text\nu1,"open\n', ", line 2: "),
        ("x.csv", "id,speaker\nu1,ann\n", "id, speaker"),
        ("x.csv", "id,text,text\nu1,a,b\n", "'text'"),
        ("x.trn", "hello (a-1)\nworld\n", ", line 2: "),
        ("x.txt", "hello (a-1)\nbig (a-2)\nworld\n", ", line 3: "),
        ("x.trn", "hello { a / b (a-1)\n", ", line 1: "),
        ("x.stm", "talk 1 ann 0.0 2.0 hello\ntalk 1 ann 2.0 hello\n", ", line 2: "),
        ("x.stm", "talk 1 ann 2.0 1.0 hello\n", ", line 1: "),
        ("x.ctm", "talk 1 0.0 0.5\n", ", line 1: "),
        ("x.ctm", "talk 1 0.0 0.5 new york\n", ", line 1: "),
        ("x.ctm", "talk 1 * * <ALT_BEGIN>\ntalk 1 0.0 0.5 a\n", ""),
        ("x.ctm", "talk 1 * * <ALT>\n", ", line 1: "),
        ("x.srt", "hello\n", ""),
        ("cuts.jsonl", lines([{"id": "a", "supervisions": []}]), ", line 1: "),
        ("text", "", ""),
        ("text", " \n\n", ""),
        ("x.trn", ";; nothing\n", ""),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str | bytes, part: str) -> None:
    assert part in error_of(written(tmp_path / name, content))


def test_names_of_files(tmp_path: Path) -> None:
    for read in (read_texts, read_lines):
        assert wording("no-such-file") in error_of(tmp_path / "nothing", read)
    written(tmp_path / "ré f.txt", "u1 a\n")
    assert read_texts(tmp_path / "re\u0301\u00a0f.txt").references == {"u1": "a"}
    assert "'ré f.txt'" in error_of(tmp_path / "ré g.txt")


@pytest.mark.parametrize(
    ("name", "content", "number"),
    [
        ("text", "u1 a\n", 0),
        ("text", ";; lab\nu1 a\n;; b\n", 1),
        ("text", "the cat sat\na dog ran\n", 1),  # these could be plain lines
        ("text", "my file\ta\n", 1),
        ("x.csv", "id,text\nu1,a\n", 1),
        ("x.csv", "reference,hypothesis\na,b\n", 1),
        ("x.srt", OF_A_RECORDING["a.srt"], 1),
        ("x.vtt", OF_A_RECORDING["rolling.vtt"], 2),
        ("x.jsonl", lines(rows(REFERENCES)), 0),
        ("x.jsonl", lines(rows(REFERENCES, text="hyp")), 1),
        ("x.trn", ";; lab\n(uh) { a / b } (s-1)\n<s> c </s> (s-2)\n", 4),
    ],
)
def test_what_is_interpreted_is_told(tmp_path: Path, name: str, content: str, number: int) -> None:
    assert len(read_texts(written(tmp_path / name, content)).notes) == number


def test_captions_that_do_not_roll_keep_what_is_said_twice(tmp_path: Path) -> None:
    cues = ["no", "no", "yes &amp; no", "42", "a\nb", "b"]
    content = "WEBVTT\n\n" + "".join(f"{clock(i)} --> {clock(i + 1)}\n{text}\n\n" for i, text in enumerate(cues))
    assert [*read_texts(written(tmp_path / "x.vtt", content)).references.values()] == ["no no yes & no 42 a b b"]
    content = "".join(
        f"{i}\n{clock(i, ',')} --> {clock(i + 1, ',')}\n{text}\n\n" for i, text in enumerate(["<unk> 5", "7"], 1)
    )
    assert [*read_texts(written(tmp_path / "x.srt", content)).references.values()] == ["<unk> 5 7"]


def test_tiers(tmp_path: Path) -> None:
    grid = FORMATS["TextGrid"](transcript())
    assert "'a', 'b'" in error_of(
        written(tmp_path / "x.TextGrid", grid.replace('"segments"', '"a"').replace('"words"', '"b"'))
    ).replace("a, b", "'a', 'b'")
    grid = grid.replace('"segments"', '"phones"')
    assert read_texts(written(tmp_path / "y.TextGrid", grid)).references == {"y": "hello big world good day"}
    eaf = to_eaf(transcript(), tier="Ann")
    assert read_texts(written(tmp_path / "z.eaf", eaf)).references == {"z": "hello big world good day"}


# Plain lines.


def test_plain_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "lines", "hello world\r\n\n  mɔ\u0301\u2028x \nlast")
    assert read_lines(path).references == {"1": "hello world", "2": "", "3": "mɔ\u0301\u2028x", "4": "last"}
    assert read_lines(written(path, "a\n\n")).references == {"1": "a", "2": ""}  # the last line's end is no other line
    written(path, "\n\n")
    assert "lines" in error_of(path, read_lines)
    assert read_lines(path, empty=True).hypotheses == {"1": "", "2": ""}
    assert read_texts(path, empty=True).hypotheses == {}  # of a system that heard nothing
    for name in ("a.trn", "a.csv", "a.jsonl"):
        assert "--lines" in error_of(written(tmp_path / name, BY_ID[name](REFERENCES)), read_lines)
    subtitles = read_lines(written(tmp_path / "a.srt", OF_A_RECORDING["a.srt"]))
    assert pair(read_lines(written(path, "hello big\nworld good day\n")), subtitles).references == [
        "hello big world good day"
    ]
    assert pair(subtitles, read_lines(path)).hypotheses == ["hello big world good day"]
    with pytest.raises(InputError):
        pair(subtitles, read_texts(written(path, "hello big world good day\n")))  # what would become of hello?
    named = pair(subtitles, read_texts(written(path, "rec-1 hello big world good day\n")))
    assert named.references == named.hypotheses


# Pairs.


def by_id(**texts: str) -> Texts:
    return Texts(Path("file"), "lines", texts, texts)


def test_pairs_by_id() -> None:
    references = by_id(u1="a b", u2="c", u3="d")
    found = pair(references, by_id(u3="d", u1="a", u2="c"))
    assert (found.references, found.hypotheses, found.notes) == (["a b", "c", "d"], ["a", "c", "d"], [])
    found = pair(references, by_id(u9="z", u2="c", u8="y"))
    assert (found.references, found.hypotheses) == (["a b", "c", "d"], ["", "c", ""])
    assert score(found.references, found.hypotheses).words == ErrorCounts(0, 3, 0, 4)
    assert (found.missing, found.extra) == (["u1", "u3"], ["u9", "u8"])
    assert found.notes == [
        "2 references have no hypothesis and count as deletions (first: u1)",
        "2 hypotheses have no reference and are left out (first: u9)",
    ]
    assert pair(references, by_id()).hypotheses == ["", "", ""]


@pytest.mark.parametrize(
    ("said", "heard", "same"),
    [
        ("clips/a.wav b x\nclips/b.wav c\n", "a b x\nb c\n", True),
        ("C:\\clips\\a.wav b\n", "/data/a.flac b\n", True),
        ("clips/A.WAV b\n", "a b\n", True),
        ("x/a.wav b\ny/a.wav c\n", "a b\n", False),  # which of the two?
        ("s1/001.wav b\ns2/001.wav c\n", "/mnt/s2/001.wav c\n/mnt/s1/001.wav b\n", True),
        ("a/s1/1.wav b\nb/s1/1.wav c\n", "D:\\x\\B\\s1\\1.flac c\nD:\\x\\A\\s1\\1.flac b\n", True),
        ("clips/a.wav b\nclips/b.wav c\nd e\n", "a b\nb c\nd e\n", True),
        ("REC-1 b\nd e\n", "rec-1 b\nd e\n", True),
        ("u1.5 a\nu1.6 b\n", "u1 a\n", False),
        ("a-1 b\n", "a-2 b\n", False),
    ],
)
def test_ids_that_are_paths(tmp_path: Path, said: str, heard: str, same: bool) -> None:
    files = written(tmp_path / "ref", said), written(tmp_path / "hyp", heard)
    if same:
        found = paired(*files)
        assert errors(found)[0] == 0
        assert len(found.notes) == 1
    else:
        with pytest.raises(InputError):
            paired(*files)


def test_references_and_hypotheses_in_one_file(tmp_path: Path) -> None:
    ours = [{"id": "u1", "text": "hello world", "reference": "hello big world", "speaker": "ann", "words": []}]
    path = written(tmp_path / "hypotheses.jsonl", lines(ours))
    other = written(tmp_path / "text", "u1 hello big world\n")
    for reference in (path, other):
        assert errors(paired(reference, path)) == (1, 3)
    assert errors(paired(path, other)) == (0, 3)
    found = paired(path, written(tmp_path / "other.jsonl", lines([{**ours[0], "reference": "hello small world"}])))
    assert errors(found) == (1, 3)
    assert len(found.notes) == 1
    uncounted = written(tmp_path / "phones.jsonl", lines([*ours, {**ours[0], "id": "u2", "counted": False}]))
    assert paired(uncounted, uncounted).ids == ["u1"]
    nemo = [{"audio_filepath": "a.wav", "duration": 1.0, "text": "hello big world", "pred_text": "hello world"}]
    tables = {
        "nemo.json": lines(nemo),
        "a.csv": "id,reference,hypothesis\nu1,hello big world,hello world\n",
        "b.csv": "Reference;Prediction\nhello big world;hello world\n",
        "c.tsv": "ref\thyp\tutt\nhello big world\thello world\tu1\n",
        "d.jsonl": lines([{"key": "u1", "ref": "hello big world", "hyp": "hello world"}]),
        "e.json": json.dumps({"u1": {"ref": "hello big world", "hyp": "hello world"}}),
    }
    for name, content in tables.items():
        path = written(tmp_path / name, content)
        assert errors(paired(path, path)) == (1, 3), name
    alone = written(tmp_path / "hyp.csv", "id,hyp\nu1,a\n"), written(tmp_path / "ref.csv", "id,ref\nu1,a\n")
    assert errors(paired(alone[1], alone[0])) == (0, 1)
    with pytest.raises(InputError):
        paired(alone[0], alone[0])
    with pytest.raises(InputError):
        paired(alone[1], alone[1])


def test_segments_of_one_recording_have_ids_of_their_own(tmp_path: Path) -> None:
    rows_of = [{"audio_filepath": "a.wav", "offset": float(i), "duration": 1.0, "text": str(i)} for i in range(2)]
    path = written(tmp_path / "x.json", lines(rows_of))
    assert [*read_texts(path).references.values()] == ["0", "1"]
    del rows_of[0]["offset"], rows_of[1]["offset"]
    assert ", line 2: " in error_of(written(path, lines(rows_of)))


STM = """;; LABEL "f" "female" "female"
talk A ann 0.0 2.0 <o,f0,f> hello { big / large / @ } world
talk A ann 2.0 3.0 <o,f0,f> IGNORE_TIME_SEGMENT_IN_SCORING
talk A bob 3.0 5.0 <o,f0,m> (uh) good day
talk B inter_segment_gap 0.0 5.0 <o,f0,f>
"""
CTM = """talk A 0.10 0.30 hello 0.9
talk A 0.50 0.30 large 0.8
talk A 1.70 0.50 world NA
talk A 2.20 0.30 noise 0.1
talk A 2.60 0.30 noise 0.1
talk A 3.10 0.30 good 0.9
talk A 5.50 0.30 tail 0.9
talk B 1.00 0.30 cough 0.2
"""


def test_words_go_to_segments_by_their_middle(tmp_path: Path) -> None:
    files = written(tmp_path / "ref.stm", STM), written(tmp_path / "hyp.ctm", CTM)
    found = paired(*files)
    assert found.references == ["hello large world", "good day", ""]
    assert found.hypotheses == ["hello large world", "good tail", "cough"]
    assert found.speakers == ["ann", "bob", "inter_segment_gap"]
    assert len(found.notes) == 2  # the segment that is ignored, the word behind all
    nothing = paired(files[0], written(tmp_path / "nothing", ""))
    assert (nothing.ids, errors(nothing)) == (found.ids, (4, 4))  # what may be missing does not count
    assert [*read_speakers(files[0]).values()] == ["ann", "bob", "inter_segment_gap"]
    if shutil.which("sctk"):  # sclite counts the same, of one channel
        options = ["-r", "ref.stm", "stm", "-h", "hyp.ctm", "ctm", "-D", "-o", "rsum", "stdout"]
        done = subprocess.run(["sctk", "sclite", *options], cwd=tmp_path, capture_output=True, text=True, check=True)
        total = next(line for line in done.stdout.splitlines() if "Sum" in line).replace("|", " ").split()
        counts = score(found.references, found.hypotheses).words
        _, substituted, deleted, inserted = map(int, total[3:7])
        assert (substituted, deleted, inserted) == (counts.substitutions, counts.deletions, counts.insertions)


@pytest.mark.parametrize("channel", ["A", "1", "0"])
def test_the_only_channel_may_be_called_otherwise(tmp_path: Path, channel: str) -> None:
    stm = written(tmp_path / "ref.stm", "talk A ann 0.0 2.0 hello\n")
    ctm = written(tmp_path / "hyp.ctm", f"talk {channel} 0.0 0.5 hello\n")
    assert errors(paired(stm, ctm)) == (0, 1)


def test_ctm_alternations_and_channels(tmp_path: Path) -> None:
    ways = "r A 0.1 0.2 a\nr A * * <ALT_BEGIN>\nr A 0.5 0.2 um\nr A * * <ALT>\nr A * * <ALT_END>\nr B 0.1 0.2 c\n"
    reference = written(tmp_path / "ref.ctm", ways)
    hypothesis = written(tmp_path / "hyp.ctm", "r 2 0.1 0.2 c\nr 1 0.1 0.2 a\n")
    found = paired(reference, hypothesis)
    assert (found.ids, found.references, found.hypotheses) == (["r-A", "r-B"], ["a", "c"], ["a", "c"])


def test_whole_recordings_without_what_is_not_scored(tmp_path: Path) -> None:
    stm = written(tmp_path / "talk.stm", "talk 1 a 0.0 1.0 hello\ntalk 1 a 1.0 2.0 IGNORE_TIME_SEGMENT_IN_SCORING\n")
    cue = "{0}\n00:00:0{0},100 --> 00:00:0{0},900\n{1}\n\n"
    srt = written(tmp_path / "x.srt", cue.format(0, "hello") + cue.format(1, "noise"))
    assert errors(paired(stm, srt)) == (0, 1)
    assert errors(paired(stm, written(tmp_path / "text", "talk hello noise\n"))) == (1, 1)


def test_segments_with_segments(tmp_path: Path) -> None:
    stm = written(tmp_path / "ref.stm", "r 1 a 0.0 1.0 hello\nr 1 b 1.0 2.0 big world\n")
    same = written(tmp_path / "same.stm", "r 1 x 0.00 1.00 hello\nr 1 y 1.00 2.00 world\n")
    assert (errors(paired(stm, same)), paired(stm, same).speakers) == ((1, 3), ["a", "b"])
    other = written(tmp_path / "other.stm", "r 1 x 0.0 1.8 hello big world\n")
    assert (errors(paired(stm, other)), paired(stm, other).ids) == ((0, 3), ["r"])


@pytest.mark.parametrize(
    ("said", "heard", "chosen"),
    [
        ("i've { um / uh / @ } as far", "i've as far", "i've as far"),
        ("i've { um / uh / @ } as far", "i've uh as far", "i've uh as far"),
        ("i've { um / uh } as", "i've as", "i've um as"),
        ("{uh/@} { world / whole { earth / globe } }", "whole globe", "whole globe"),
        ("(uh) yes", "yes", "yes"),
        ("(uh) yes", "uh yes", "uh yes"),
        ("(uh) yes", "(uh) yes", "(uh) yes"),
        ("a {laughter} b", "a b", "a {laughter} b"),
        ("{ a b / c } d { e / f g }", "a b d f g", "a b d f g"),
        ("w/o { x / y }", "w/o y", "w/o y"),
    ],
)
def test_of_alternations_the_best_counts(tmp_path: Path, said: str, heard: str, chosen: str) -> None:
    found = paired(written(tmp_path / "ref.trn", f"{said} (a-1)\n"), written(tmp_path / "hyp", f"a-1 {heard}\n"))
    assert found.references == [chosen]


@given(
    slots=st.lists(st.lists(st.lists(st.sampled_from("abc"), max_size=2), min_size=1, max_size=3), max_size=4),
    heard=st.lists(st.sampled_from("abc"), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_no_other_reading_is_better(slots: list[list[list[str]]], heard: list[str]) -> None:
    text = " ".join("{ " + " / ".join(" ".join(way) or "@" for way in ways) + " / a }" for ways in slots)
    every = itertools.product(*([*ways, ["a"]] for ways in slots))
    readings = {" ".join(word for way in ways for word in way) for ways in every}
    best = min(score([reading], [" ".join(heard)]).words.errors for reading in readings)
    found = closest(text, " ".join(heard), str.split)
    assert found in readings
    assert score([found], [" ".join(heard)]).words.errors == best


# Speakers.


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("utt2spk", "u1 ann\nu2 bob\n", {"u1": "ann", "u2": "bob"}),
        ("utt2spk", "u1 Jose\u0301\u00a0Luis\nu2 Jos\u00e9 Luis\n", {"u1": "Jos\u00e9 Luis", "u2": "Jos\u00e9 Luis"}),
        ("utt2spk", "u 1\tAnn Lee\nu 2\tBob\n", {"u 1": "Ann Lee", "u 2": "Bob"}),
        ("x.csv", "id,speaker\nu1,Ann Lee\nu2,\n", {"u1": "Ann Lee"}),
        (
            "x.jsonl",
            '{"id": 1, "text": "a", "speaker": "ann"}\n{"id": 2, "text": "b", "speaker": null}\n',
            {"1": "ann"},
        ),
        ("x.jsonl", '{"utt_id": "u1", "spk": 7}\n', {"u1": "7"}),
    ],
)
def test_speakers(tmp_path: Path, name: str, content: str, expected: dict[str, str]) -> None:
    assert read_speakers(written(tmp_path / name, content)) == expected


def test_files_that_tell_no_speakers(tmp_path: Path) -> None:
    for name, content in {"spk2utt": "ann u1 u2\n", "x.csv": "id,text\nu1,a\n", "empty": "\n"}.items():
        error_of(written(tmp_path / name, content), read_speakers)
    assert read_texts(written(tmp_path / "text", "u1 ann\n")).speakers == {}
