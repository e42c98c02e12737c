from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import srt
import webvtt
from hypothesis import given, settings, strategies as st
from praatio import textgrid
from praatio.utilities.textgrid_io import parseTextgridStr

from asr.data.formats import FORMATS, LINE, LONGEST, Cue, cues
from asr.data.transcript import PAUSE, Hypothesis, Segment, Transcript, Word

WORDS = (Word("mɔ\u0301", 0.12345, 0.5, 0.987654), Word("が", 0.5, 1 / 3 + 1, 1.0))
TRANSCRIPT = Transcript(
    audio="a/b c.wav",
    segments=(Segment(0.12345, 1 / 3 + 1, "mɔ\u0301 が", WORDS), Segment(2.0, 2.4, "a", (Word("a", 2.0, 2.4, 0.5),))),
    duration=2.50049,
    model="mboshi",
    language="mdw",
)
NOTHING = Transcript("a.wav", duration=3.0)


def spoken(text: str, *, start: float = 0.0, each: float = 0.3, pauses: dict[int, float] | None = None) -> Transcript:
    """Words one after another, with pauses before some of them."""
    words, at = [], start
    for number, word in enumerate(text.split()):
        at += (pauses or {}).get(number, 0.0)
        words.append(Word(word, at, at + each, 1.0))
        at += each
    return Transcript("talk.wav", (Segment(start, at, text, tuple(words)),), at + 1)


def clock(cue: srt.Subtitle) -> tuple[float, float]:
    return cue.start.total_seconds(), cue.end.total_seconds()


def seconds(time: str) -> float:
    parts = [float(part) for part in time.split(":")]
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def test_txt_is_the_text_a_line_a_segment() -> None:
    assert FORMATS["txt"](TRANSCRIPT, False) == "mɔ\u0301 が\na\n"
    assert FORMATS["txt"](NOTHING, False) == "\n"
    assert TRANSCRIPT.text == "mɔ\u0301 が a"
    assert Transcript("x", TRANSCRIPT.segments, spaces=False).text == "mɔ\u0301 がa"


def test_json_is_one_line_with_whispers_names() -> None:
    line = FORMATS["json"](TRANSCRIPT, True)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert "が" in line  # as it is, not escaped
    found = json.loads(line)
    assert found == {
        "text": "mɔ\u0301 が a",
        "segments": [
            {
                "id": 0,
                "start": 0.123,
                "end": 1.333,
                "text": "mɔ\u0301 が",
                "confidence": 0.9938,
                "words": [
                    {"word": "mɔ\u0301", "start": 0.123, "end": 0.5, "probability": 0.9877},
                    {"word": "が", "start": 0.5, "end": 1.333, "probability": 1.0},
                ],
            },
            {
                "id": 1,
                "start": 2.0,
                "end": 2.4,
                "text": "a",
                "confidence": 0.5,
                "words": [{"word": "a", "start": 2.0, "end": 2.4, "probability": 0.5}],
            },
        ],
        "language": "mdw",
        "audio": "a/b c.wav",
        "duration": 2.5,
        "model": "mboshi",
    }
    for segment in found["segments"]:
        del segment["words"]
    assert json.loads(FORMATS["json"](TRANSCRIPT, False)) == found


def test_json_has_other_readings_where_asked_for() -> None:
    nbest = (Hypothesis("a", score=-1.0), Hypothesis("b", score=float("-inf")))
    found = json.loads(FORMATS["json"](Transcript("x.wav", (Segment(0, 1, "a", nbest=nbest),)), False))
    assert [(row["text"], row["score"]) for row in found["segments"][0]["nbest"]] == [("a", -1.0), ("b", None)]


def test_json_of_an_awkward_text() -> None:
    text = 'a "b" \\ c\nd\u2028e'
    line = FORMATS["json"](Transcript("x.wav", (Segment(0, 1, text),)), False)
    assert line.count("\n") == 1
    assert json.loads(line)["text"] == text


def test_json_never_holds_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        FORMATS["json"](Transcript("x.wav", (Segment(0, float("nan"), "a"),)), False)


def test_srt() -> None:
    assert FORMATS["srt"](TRANSCRIPT, False) == (
        "1\n00:00:00,123 --> 00:00:01,333\nmɔ\u0301 が\n\n2\n00:00:02,000 --> 00:00:02,500\na\n"
    )
    assert FORMATS["srt"](NOTHING, False) == ""
    each = [*srt.parse(FORMATS["srt"](TRANSCRIPT, True))]
    assert [(*clock(cue), cue.content) for cue in each] == [
        (0.123, 0.5, "mɔ\u0301"),
        (0.5, 1.333, "が"),
        (2.0, 2.4, "a"),
    ]


def test_srt_of_what_looks_like_its_own_marks() -> None:
    found = [*srt.parse(FORMATS["srt"](spoken("a --> b ---> 1"), False))]
    assert [cue.content for cue in found] == ["a -> b -> 1"]


def test_an_hour_and_more_has_its_hours() -> None:
    text = FORMATS["srt"](spoken("a", start=100 * 3600 + 61.5), False)
    assert "100:01:01,500 --> 100:01:02,500" in text
    assert "100:01:01.500 --> 100:01:02.500" in FORMATS["vtt"](spoken("a", start=100 * 3600 + 61.5), False)


def test_vtt_escapes_its_markup() -> None:
    text = FORMATS["vtt"](spoken("<b> --> & x"), False)
    assert text == "WEBVTT\n\n00:00:00.000 --> 00:00:01.200\n&lt;b&gt; --&gt; &amp; x\n"
    assert FORMATS["vtt"](NOTHING, False) == "WEBVTT\n"
    (cue,) = webvtt.from_string(text)
    assert cue.text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == "<b> --> & x"


def test_vtt_with_the_times_of_words() -> None:
    text = FORMATS["vtt"](spoken("one two three"), True)
    assert text.splitlines()[3] == "one <00:00:00.300>two <00:00:00.600>three"
    (cue,) = webvtt.from_string(text)
    assert cue.text == "one two three"


def test_tsv_has_milliseconds() -> None:
    assert FORMATS["tsv"](TRANSCRIPT, False) == "start\tend\ttext\n123\t1333\tmɔ\u0301 が\n2000\t2400\ta\n"
    assert FORMATS["tsv"](TRANSCRIPT, True).splitlines()[1:] == ["123\t500\tmɔ\u0301", "500\t1333\tが", "2000\t2400\ta"]
    assert FORMATS["tsv"](Transcript("x", (Segment(0, 1, "a\tb\nc"),)), False).splitlines()[1:] == ["0\t1000\ta b c"]


def test_ctm() -> None:
    assert FORMATS["ctm"](TRANSCRIPT, False) == (
        "b_c 1 0.123 0.377 mɔ\u0301 0.9877\nb_c 1 0.500 0.833 が 1.0000\nb_c 1 2.000 0.400 a 0.5000\n"
    )
    assert FORMATS["ctm"](NOTHING, False) == ""


def read_textgrid(transcript: Transcript, folder: Path) -> textgrid.Textgrid:
    path = folder / "a.TextGrid"
    path.write_text(FORMATS["TextGrid"](transcript, False), encoding="utf-8")
    return textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="error")


def test_textgrid(tmp_path: Path) -> None:
    found = read_textgrid(TRANSCRIPT, tmp_path)
    assert (found.minTimestamp, found.maxTimestamp) == (0, 2.5)
    assert [tuple(e) for e in found.getTier("segments").entries] == [(0.123, 1.333, "mɔ\u0301 が"), (2.0, 2.4, "a")]
    words = [tuple(e) for e in found.getTier("words").entries]
    assert words == [(0.123, 0.5, "mɔ\u0301"), (0.5, 1.333, "が"), (2.0, 2.4, "a")]
    assert read_textgrid(NOTHING, tmp_path).getTier("words").entries == ()
    assert 'text = "say ""ah"""' in FORMATS["TextGrid"](Transcript("x", (Segment(0, 1, 'say "ah"'),), 2.0), False)
    (quoted,) = read_textgrid(Transcript("x", (Segment(0, 1, 'say "ah"'),), 2.0), tmp_path).getTier("segments").entries
    assert quoted.label == 'say "ah"'


def test_words_to_be_checked_in_a_textgrid(tmp_path: Path) -> None:
    words = (Word("ma", 0.5, 0.8, 0.9), Word(" ", 0.8, 0.9, 0.1), Word("lo", 0.7, 1.2, 0.3), Word("ki", 1.2, 1.3, 0.6))
    heard = Transcript("x.wav", (Segment(0.5, 1.3, "ma lo ki", words),), 2.5)
    (tmp_path / "a.TextGrid").write_text(FORMATS["TextGrid"](heard, False, check_below=0.6))
    found = textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False, reportingMode="error")
    assert [tuple(e) for e in found.getTier("check").entries] == [(0.8, 1.2, "lo 0.30")]
    assert "check" not in FORMATS["TextGrid"](heard, False)


def test_formats_by_name() -> None:
    assert [*FORMATS] == ["txt", "json", "srt", "vtt", "tsv", "ctm", "TextGrid", "eaf"]


# Cues.


def texts(found: list[Cue]) -> list[list[str]]:
    return [[" ".join(word.text for word in line) for line in cue.lines] for cue in found]


def test_a_cue_ends_at_a_pause() -> None:
    assert texts(cues(spoken("so it is then", pauses={2: PAUSE}))) == [["so it"], ["is then"]]
    assert texts(cues(spoken("so it is then", pauses={2: PAUSE / 2}))) == [["so it is then"]]


def test_lines_are_equal_and_cues_full() -> None:
    text = " ".join(["word"] * 12)  # 59 columns
    assert texts(cues(spoken(text))) == [[" ".join(["word"] * 6)] * 2]
    more = texts(cues(spoken(" ".join(["word"] * 32))))
    assert [sum(line.count("word") for line in lines) for lines in more] == [16, 16]


def test_what_does_not_fit_is_parted_at_the_longest_pause() -> None:
    text = " ".join(["word"] * 20)
    assert [sum(len(line) for line in cue.lines) for cue in cues(spoken(text, pauses={7: 0.4}))] == [7, 13]


def test_no_cue_lasts_long() -> None:
    found = cues(spoken(" ".join(["a"] * 30), each=0.9))
    assert max(cue.end - cue.start for cue in found) <= 1000 * LONGEST
    assert sum(len(line) for cue in found for line in cue.lines) == 30


def test_a_word_that_lasts_long_is_not_shown_so_long() -> None:
    (cue,) = cues(spoken("oh", each=20.0))
    assert (cue.start, cue.end) == (0, 1000 * LONGEST)


def test_a_word_longer_than_a_line_is_cut() -> None:
    found = cues(spoken("ab " + "x" * 100 + " cd"))
    assert [line for lines in texts(found) for line in lines] == ["ab", "x" * LINE, "x" * LINE, "x" * 16 + " cd"]


def test_scripts_without_spaces_have_wide_characters() -> None:
    words = tuple(Word(c, i * 0.2, i * 0.2 + 0.2, 1.0) for i, c in enumerate("あ" * 30))
    lines = cues(Transcript("x", (Segment(0, 6, "あ" * 30, words),), 6.0, spaces=False))[0].lines
    assert [len(line) for line in lines] == [15, 15]


def test_a_text_without_words_has_its_time_shared() -> None:
    assert cues(Transcript("x", (Segment(1.0, 3.0, "a bbb"),), 4.0)) == [
        Cue(1000, 3000, ((Word("a", 1.0, 1.5, 0.0), Word("bbb", 1.5, 3.0, 0.0)),))
    ]


def test_a_short_cue_stays_a_second_where_there_is_time() -> None:
    found = cues(spoken("a b c", each=0.2, pauses={1: 0.6, 2: 5.0}))
    assert [(cue.start, cue.end) for cue in found] == [(0, 800), (800, 1800), (6000, 7000)]


WORD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=60)
TIMES = st.floats(-1, 30)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.tuples(WORD, TIMES, TIMES), min_size=1, max_size=12), max_size=4),
    st.floats(0, 30),
    st.booleans(),
    st.booleans(),
)
def test_times_are_valid_and_readers_agree_whatever_the_transcript_says(
    rows: list[list[tuple[str, float, float]]], duration: float, spaces: bool, word_times: bool
) -> None:
    segments = []
    for row in rows:
        words = tuple(Word(text, start, end, 0.5) for text, start, end in row)
        segments.append(Segment(row[0][1], row[-1][2], " ".join(word.text for word in words), words))
    transcript = Transcript("x.wav", tuple(segments), duration, spaces=spaces)
    letters = re.sub(r"\s|-->", "", "".join(word.text for word in transcript.words))

    found = cues(transcript)
    shown = [line for cue in found for line in cue.lines]
    assert "".join(word.text for line in shown for word in line).replace("-->", "") == letters
    assert all(len(cue.lines) <= 2 for cue in found)
    assert all(len((" " if spaces else "").join(word.text for word in line)) <= LINE for line in shown)

    text = FORMATS["srt"](transcript, word_times)
    subtitles = [*srt.parse(text)]
    assert [cue.index for cue in subtitles] == [*range(1, len(subtitles) + 1)]
    captions = webvtt.from_string(FORMATS["vtt"](transcript, word_times))
    spans = [(seconds(cue.start), seconds(cue.end)) for cue in captions]
    assert len(spans) == len(found)
    rows_of = [line.split("\t") for line in FORMATS["tsv"](transcript, word_times).splitlines()[1:]]
    for times in (map(clock, subtitles), spans, ((int(row[0]), int(row[1])) for row in rows_of)):
        last = 0.0
        for start, end in times:
            assert last <= start < end
            last = end
    assert all(len(line.split(" ")) == 6 for line in FORMATS["ctm"](transcript, False).splitlines())
    grid = parseTextgridStr(FORMATS["TextGrid"](transcript, False), includeEmptyIntervals=True)
    for tier in grid["tiers"]:
        edges = [(float(start), float(end)) for start, end, _ in tier["entries"]]
        assert edges[0][0] == 0
        assert edges[-1][1] == grid["xmax"]
        assert all(start < end for start, end in edges)
        assert all(one[1] == other[0] for one, other in pairwise(edges))


CALL = [replace(TRANSCRIPT, channel=0), replace(NOTHING, channel=1), replace(TRANSCRIPT, channel=2)]


def test_channels_of_a_recording_in_one_file() -> None:
    lines = FORMATS["ctm"](CALL[0], False, others=CALL[1:]).splitlines()
    words = [line.split()[4] for line in FORMATS["ctm"](TRANSCRIPT, False).splitlines()]
    assert [line.split()[1] for line in lines] == ["A"] * len(words) + ["C"] * len(words)
    assert [line.split()[4] for line in lines] == words * 2
    grid = parseTextgridStr(FORMATS["TextGrid"](CALL[0], False, others=CALL[1:]))
    names = [f"{tier}-ch{channel}" for channel in range(3) for tier in ("segments", "words")]
    assert [tier["name"] for tier in grid["tiers"]] == names
    assert {tier["xmax"] for tier in grid["tiers"]} == {3.0}
    written = FORMATS["eaf"](CALL[0], False, tier="draft", others=CALL[1:])
    tiers = re.findall('TIER_ID="(.*?)"', written)
    assert {"draft-ch0", "draft-ch0-words", "draft-ch1", "draft-ch2", "draft-ch2-words"} <= set(tiers)


def test_a_channel_by_itself() -> None:
    assert json.loads(FORMATS["json"](CALL[2], False))["channel"] == 2
    assert "channel" not in json.loads(FORMATS["json"](TRANSCRIPT, False))
    assert {line.split()[1] for line in FORMATS["ctm"](CALL[2], False).splitlines()} == {"C"}
    assert {line.split()[1] for line in FORMATS["ctm"](TRANSCRIPT, False).splitlines()} == {"1"}
    assert FORMATS["TextGrid"](CALL[2], False) == FORMATS["TextGrid"](TRANSCRIPT, False)
