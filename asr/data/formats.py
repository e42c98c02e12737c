"""A Transcript as txt, json, srt, vtt, tsv, ctm, TextGrid or eaf (asr.data.elan_writer).

Names and fields are those of OpenAI's whisper where it has them. In what has times, each begins where the one before
has ended or later, and lasts a millisecond or more, whatever the transcript says.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import PurePath
from string import ascii_uppercase
from typing import Any

from asr.data.elan_writer import to_eaf, with_confidence
from asr.data.praat_symbols import to_trigraphs
from asr.data.transcript import PAUSE, Segment, Transcript, Word
from asr.utils.unicode import graphemes
from asr.utils.units import clock

LINE = 42  # columns of a subtitle's line
LINES = 2
LONGEST = 7.0  # seconds of a cue
SHORTEST = 1.0  # seconds, where there is time until the next


@dataclass(frozen=True)
class Cue:
    """What is shown at a time: milliseconds, and its words, line by line."""

    start: int
    end: int
    lines: tuple[tuple[Word, ...], ...]


def to_txt(transcript: Transcript, word_times: bool = False) -> str:
    """The text, a line a segment."""
    return "".join(f"{segment.text}\n" for segment in transcript.segments if segment.text) or "\n"


def to_json(transcript: Transcript, word_times: bool = False) -> str:
    """One line of JSON: text, segments (id, start, end, text, confidence; words and nbest where asked for), language,
    audio, duration, model; channel, where it is of one of several. Words have word, start, end, probability."""
    segments: list[dict[str, Any]] = []
    for number, segment in enumerate(transcript.segments):
        row = {"id": number, **_seconds(segment), "text": segment.text}
        row["confidence"] = round(segment.confidence, 4)
        if word_times:
            row["words"] = [
                {"word": w.text, **_seconds(w), "probability": round(w.confidence, 4)} for w in segment.words
            ]
        if segment.nbest:
            row["nbest"] = [each.as_dict() for each in segment.nbest]
        segments.append(row)
    values = {
        "text": transcript.text,
        "segments": segments,
        "language": transcript.language,
        "audio": transcript.audio,
        "duration": round(transcript.duration, 3),
        "model": transcript.model,
        **({"partial": True} if transcript.partial else {}),
        **({"channel": transcript.channel} if transcript.channel is not None else {}),
    }
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def to_srt(transcript: Transcript, word_times: bool = False) -> str:
    """SubRip subtitles; a cue a word where the words' times are asked for."""
    parts = []
    for number, cue in enumerate(cues(transcript, each_word=word_times), 1):
        text = "\n".join(re.sub("-+>", "->", _line(transcript, line)) for line in cue.lines)
        parts.append(f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{text}\n")
    return "\n".join(parts)


def to_vtt(transcript: Transcript, word_times: bool = False) -> str:
    """WebVTT subtitles; within cues, each word after the first has its time where that is asked for."""
    parts = ["WEBVTT\n"]
    for cue in cues(transcript):
        lines, last, first = [], cue.start, True
        for line in cue.lines:
            words = []
            for word in line:
                shown, at = _escaped(word.text), _milliseconds(word.start)
                if word_times and not first and last < at < cue.end:
                    shown, last = f"<{clock(at, '.')}>{shown}", at
                words.append(shown)
                first = False
            lines.append(transcript.joined(words))
        parts.append(f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def to_tsv(transcript: Transcript, word_times: bool = False) -> str:
    """Columns start, end (milliseconds) and text, a line a segment, or a word."""
    rows: Iterable[Segment | Word] = transcript.words if word_times else transcript.segments
    lines = [f"{start}\t{end}\t{' '.join(row.text.split())}\n" for start, end, row in _in_order(rows)]
    return "start\tend\ttext\n" + "".join(lines)


def to_ctm(transcript: Transcript, word_times: bool = False, *, others: Sequence[Transcript] = ()) -> str:
    """NIST's CTM: recording, channel, start and duration (seconds), word, confidence; a line a word. The channel is 1,
    or A, B, ... of a recording with several, those of its `others` behind it."""
    lines = []
    for each in (transcript, *others):
        recording = "_".join(PurePath(each.audio).stem.split()) or "audio"
        channel = "1" if each.channel is None else ascii_uppercase[each.channel : each.channel + 1] or each.channel + 1
        for start, end, row in _in_order(each.words):
            times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
            lines.append(f"{recording} {channel} {times} {'_'.join(row.text.split())} {row.confidence:.4f}\n")
    return "".join(lines)


def to_textgrid(
    transcript: Transcript, word_times: bool = False, *, check_below: float = 0.0, others: Sequence[Transcript] = ()
) -> str:
    """Praat's TextGrid, in its long form: a tier of segments and one of words, the time between them empty; a third of
    the words whose confidence is below `check_below`, if any number is given. Where there are `others`, of the same
    recording's other channels, the tiers of each are named after its channel."""
    tiers: list[tuple[str, list[tuple[int, int, Segment | Word]]]] = []
    for each in (transcript, *others):
        suffix = f"-ch{each.channel}" if others else ""
        words = [*_in_order(each.words)]
        tiers += [(f"segments{suffix}", [*_in_order(each.segments)]), (f"words{suffix}", words)]
        if check_below:
            doubtful = [
                (start, end, replace(word, text=with_confidence(word)))
                for start, end, word in words
                if word.confidence < check_below
            ]
            tiers.append((f"check{suffix}", [*doubtful]))
    durations = [_milliseconds(each.duration) for each in (transcript, *others)]
    end = max([*durations, 1, *(row[1] for _, rows in tiers for row in rows)])
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end / 1000:.3f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, rows) in enumerate(tiers, 1):
        intervals = [*_filled(rows, end)]
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {end / 1000:.3f}", f"        intervals: size = {len(intervals)}"]
        for place, (first, last, text) in enumerate(intervals, 1):
            quoted = to_trigraphs(" ".join(text.split())).replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {first / 1000:.3f}"]
            lines += [f"            xmax = {last / 1000:.3f}", f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[..., str]] = {  # of a Transcript, and whether words' times are wanted
    "txt": to_txt,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
    "ctm": to_ctm,
    "TextGrid": to_textgrid,
    "eaf": to_eaf,
}
ONE_FILE = ("ctm", "TextGrid", "eaf")  # hold all channels of a recording, and take `others`


# Subtitles.


def cues(transcript: Transcript, *, each_word: bool = False) -> list[Cue]:
    """What is shown when: words between pauses, as many as two lines hold, parted where that leaves the fullest cues
    and where the speaker paused longest."""
    groups: list[tuple[tuple[Word, ...], ...]] = []
    for segment in transcript.segments:
        words = [piece for word in _shown(segment, transcript.spaces) for piece in _cut(word)]
        for run in _runs(words):
            groups += [((word,),) for word in run] if each_word else _parted(run, transcript)
    spans = [(group[0][0].start, max(word.end for line in group for word in line)) for group in groups]
    result: list[Cue] = []
    free = 0
    for number, ((start, end), group) in enumerate(zip(spans, groups, strict=True)):
        last = number + 1 == len(spans)
        following = _milliseconds(transcript.duration if last else spans[number + 1][0])
        first = max(_milliseconds(start), free)
        free = max(min(_milliseconds(end), first + round(1000 * LONGEST)), first + 1)
        if not each_word:
            free = max(free, min(first + round(1000 * SHORTEST), following))
        if not last:
            free = min(free, max(following, first + 1))
        result.append(Cue(first, free, group))
    return result


def _shown(segment: Segment, spaces: bool) -> Sequence[Word]:
    """The words of a segment; of one that has a text alone, its parts, each with its share of the time."""
    if segment.words or not segment.text.strip():
        return [word for word in segment.words if word.text.strip()]
    texts = segment.text.split() if spaces else [c for c in graphemes(segment.text) if c.strip()]
    total = sum(map(len, texts))
    each = (segment.end - segment.start) / total
    words, at = [], segment.start
    for text in texts:
        words.append(Word(text, at, at + each * len(text), segment.confidence))
        at += each * len(text)
    return words


def _cut(word: Word) -> Iterator[Word]:
    """A word; one that is too long for a line, in pieces."""
    text = " ".join(word.text.split())
    if _columns(text) <= LINE:
        yield Word(text, word.start, word.end, word.confidence)
        return
    pieces = [""]
    for character in graphemes(text):
        if _columns(pieces[-1] + character) > LINE and pieces[-1]:
            pieces.append("")
        pieces[-1] += character
    each = (word.end - word.start) / len(pieces)
    for i, piece in enumerate(pieces):
        yield Word(piece, word.start + i * each, word.start + (i + 1) * each, word.confidence)


def _runs(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words, parted at pauses."""
    run: list[Word] = []
    for word in words:
        if run and word.start - run[-1].end >= PAUSE:
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def _parted(run: Sequence[Word], transcript: Transcript) -> list[tuple[tuple[Word, ...], ...]]:
    """A run of words -> cues of at most two lines and seven seconds; the least cost of all ways to part it."""
    space = 1 if transcript.spaces else 0
    ends = [0, *accumulate(_columns(word.text) + space for word in run)]  # columns up to each word, its space included

    def columns(begin: int, end: int) -> int:
        return ends[end] - ends[begin] - space

    def cut(begin: int, end: int) -> int | None:
        """Where the second line begins, of lines as equal as can be: `end` if one holds all, None if two do not."""
        if columns(begin, end) <= LINE:
            return end
        middle = bisect_left(ends, (ends[begin] + ends[end]) / 2, begin)
        ways = [at for at in (middle - 1, middle) if begin < at < end]
        ways = [at for at in ways if max(columns(begin, at), columns(at, end)) <= LINE]
        return min(ways, key=lambda at: abs(columns(begin, at) - columns(at, end)), default=None)

    best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # cost, where its last cue begins, and that one's second line
    for end in range(1, len(run) + 1):
        pause = 0.0 if end == len(run) else min(run[end].start - run[end - 1].end, PAUSE)
        found: tuple[float, int, int] | None = None
        for begin in range(end - 1, -1, -1):
            second = cut(begin, end)
            if begin < end - 1 and (second is None or run[end - 1].end - run[begin].start > LONGEST):
                break
            lines = 1 if second in (None, end) else 2
            room = 1 - (columns(begin, end) - (lines - 1) * space) / (LINE * LINES)
            cost = best[begin][0] + room**2 - 2 * pause + 0.1
            if found is None or cost < found[0]:
                found = cost, begin, end if second is None else second
        assert found is not None
        best.append(found)
    groups, end = [], len(run)
    while end:
        _, begin, second = best[end]
        groups.append(tuple(tuple(line) for line in (run[begin:second], run[second:end]) if line))
        end = begin
    return groups[::-1]


def _line(transcript: Transcript, words: Iterable[Word]) -> str:
    return transcript.joined(word.text for word in words)


def _columns(text: str) -> int:
    """Those that a text takes: two for a wide character, and never fewer than it has code points."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# Times.


def _seconds(row: Segment | Word) -> dict[str, float]:
    return {"start": round(row.start, 3), "end": round(row.end, 3)}


def _in_order(rows: Iterable[Segment | Word]) -> Iterator[tuple[int, int, Segment | Word]]:
    """Start and end in milliseconds of what has a text, none within another."""
    last = 0
    for row in rows:
        if row.text.strip():
            start = max(_milliseconds(row.start), last)
            last = max(_milliseconds(row.end), start + 1)
            yield start, last, row


def _filled(rows: Iterable[tuple[int, int, Segment | Word]], end: int) -> Iterator[tuple[int, int, str]]:
    """Rows, and what lies between them, without text."""
    last = 0
    for start, stop, row in rows:
        if start > last:
            yield last, start, ""
        yield start, stop, row.text
        last = stop
    if last < end:
        yield last, end, ""


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
