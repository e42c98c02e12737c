"""Formats that have times: NIST's CTM and STM, subtitles, tiers of Praat and ELAN, transcripts in JSON."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import regex

from asr.evaluate.texts.alternations import count
from asr.evaluate.texts.contents import Piece, Source, Texts, named_segments, timed_texts
from asr.evaluate.texts.fields import roles_of_row
from asr.evaluate.texts.tables import joined_note
from asr.utils.errors import InputError
from asr.utils.unicode import plain_name

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_STM = regex.compile(rf"\s*(\S+)\s+(\S+)\s+(\S+)\s+({_NUMBER})\s+({_NUMBER})(?:\s+(.*?))?\s*")
_CTM = regex.compile(
    rf"\s*(\S+)\s+(\S+)\s+({_NUMBER})\s+({_NUMBER})\s+(\S+)(?:\s+(-?[\d.]+(?:[eE][-+]?\d+)?|NA))?(\s.*)?"
)
_CHOICE = regex.compile(r"\s*(\S+)\s+(\S+)\s+\*\s+\*\s+<(ALT_BEGIN|ALT|ALT_END)>.*")
_TYPES = ("lex", "fp", "frag", "un-lex", "for-lex", "non-lex", "misc", "noscore", "null", "<na>")
_LABEL = regex.compile(r"(<[^<>\s]*>)(?:\s+|$)")
_LABELS = ("<o>", "<na>", "<f>", "<m>", "<male>", "<female>")
_IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
CUE = regex.compile(rf"^[ \t]*\[?[ \t]*{_CLOCK}[ \t]*(?:-->|,)[ \t]*{_CLOCK}(?:[ \t]*\][ \t]*|[ \t]+|$)(.*)$", regex.M)
_SRT_TAG = regex.compile(r"</?(?:[biu]|font|c|v|lang|ruby|rt)(?:[.\s][^<>]*)?>|\{\\[^{}]*\}", regex.I)
_VTT_TAG = regex.compile(r"<[^<>]*>")
_TIMES = regex.compile(rf"({_NUMBER})\t({_NUMBER})\t")
_TIERS = ("segments", "transcript", "words")  # those that are read where there are others


def is_stm(source: Source) -> bool:
    """Returns whether lines that no name tells from others are those of an STM file."""
    matches = [_STM.fullmatch(line) for _, line in source.lines]
    if not matches or not all(matches):
        return False
    parts = [match.groups() for match in matches if match]
    timed = all("." in start and "." in end and float(start) <= float(end) for *_, start, end, _ in parts)
    labelled = all(text == _IGNORED or _is_label(_LABEL.match(text or "")) for *_, text in parts)
    return (timed or labelled) and not all(regex.fullmatch(_NUMBER, part[2]) for part in parts)


def is_ctm(source: Source) -> bool:
    """Returns whether lines that no name tells from others are those of a CTM file."""
    words = [match for _, line in source.lines if (match := _CTM.fullmatch(line)) and not match[7]]
    others = [line for _, line in source.lines if not _CTM.fullmatch(line)]
    if not words or not all(map(_CHOICE.fullmatch, others)):
        return False
    return all("." in match[3] or "." in match[4] for match in words) and len(words) + len(others) == len(source.lines)


def parse_stm(source: Source) -> Texts:
    """Segments: recording, channel, speaker, start, end, perhaps a label, text."""
    rows = []
    for number, line in source.lines:
        where = source.where(number)
        if not (match := _STM.fullmatch(line)):
            raise InputError(
                "is no line of an STM file", where=where, remedy="recording channel speaker start end text"
            )
        recording, channel, speaker, start, end, text = match.groups()
        if float(end) < float(start):
            raise InputError(f"ends at {end} s, before it begins at {start} s", where=where)
        rows.append((where, recording, channel, plain_name(speaker), float(start), float(end), text or ""))
    texts, label_notes = _without_labels([text for *_, text in rows])
    pieces = []
    for (where, recording, channel, speaker, start, end, _), text in zip(rows, texts, strict=True):
        ignored = text.strip().upper() == _IGNORED
        check_markup(text, where)
        words = "" if ignored else text
        pieces.append(Piece(plain_name(recording), start, end, words, channel, speaker, ignored))
    notes = [*source.notes(), *label_notes, *markup_notes(piece.text for piece in pieces)]
    voices = {key: piece.speaker for key, piece in named_segments(each for each in pieces if not each.ignored).items()}
    return timed_texts(source, "STM", pieces, speakers=voices, markup=True, notes=tuple(notes))


def _without_labels(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts without their labels, and what has to be told.

    `<o,f0,male>` is a label; another word in <> only where all lines begin with one: with a known or the same one.
    """
    matches = [_LABEL.match(text) for text in texts]
    labels = {match[1].casefold() for match in matches if match}
    sure = {match[1].casefold() for match in matches if _is_label(match)}
    plain = labels - sure
    everywhere = all(match or text == _IGNORED for match, text in zip(matches, texts, strict=True))
    if everywhere and (sure or (len(plain) == 1 and sum(map(bool, matches)) > 1)):
        taken = labels
    else:
        taken = {label for label in sure if "," in label}
    kept = [
        text[match.end() :] if match and match[1].casefold() in taken else text
        for match, text in zip(matches, texts, strict=True)
    ]
    notes = []
    if told := sorted(taken & plain):
        notes.append(f"{', '.join(told)[:80]}: taken for labels, as all segments begin with one")
    if told := sorted(labels - taken):
        notes.append(f"{', '.join(told)[:80]} at the beginning of segments: taken for words, not for labels")
    return kept, notes


def _is_label(match: regex.Match[str] | None) -> bool:
    return match is not None and ("," in match[1] or match[1].casefold() in _LABELS)


def is_seglst(row: Mapping[str, Any]) -> bool:
    """Returns whether a row of JSON is a segment of a meeting (SegLST)."""
    return {"session_id", "start_time", "end_time", "words"} <= {*row} and isinstance(row["words"], str)


def parse_seglst(source: Source, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Texts:
    """Segments of meetings: session_id, start_time, end_time, speaker, words."""
    pieces = []
    for where, row in rows:
        try:
            start, end = float(row["start_time"]), float(row["end_time"])
            recording, words = plain_name(str(row["session_id"])), row["words"]
        except (KeyError, TypeError, ValueError):
            raise InputError("lacks session_id, start_time, end_time or words", where=where) from None
        if not recording or not isinstance(words, str):
            raise InputError("has no session_id, or its words are no text", where=where)
        pieces.append(Piece(recording, start, end, words, speaker=plain_name(str(row.get("speaker", "")))))
    voices = {key: piece.speaker for key, piece in named_segments(pieces).items()}
    note = "is SegLST: segments are compared by their times, whoever speaks"
    return timed_texts(source, "SegLST", pieces, speakers=voices, notes=(note,))


def parse_ctm(source: Source) -> Texts:
    """Words: recording, channel, start, duration, word, perhaps its confidence, type and speaker."""
    pieces: list[Piece] = []
    choice: list[list[Piece]] = []  # ways to read an alternation, while one is open
    for number, line in source.lines:
        where = source.where(number)
        if mark := _CHOICE.fullmatch(line):
            if (mark[3] == "ALT_BEGIN") == bool(choice):
                raise InputError(f"<{mark[3]}> is out of place", where=where)
            if mark[3] == "ALT_END":
                pieces += _as_one(choice)
                choice = []
            else:
                choice.append([])
            continue
        match = _CTM.fullmatch(line)
        rest = (match[7] or "").split() if match else []
        if not match or (rest and not (match[6] and rest[0].lower() in _TYPES)):
            remedy = "recording channel start duration word, then its confidence"
            raise InputError("is no line of a CTM file", where=where, remedy=remedy)
        recording, channel, start, duration, word = match.groups()[:5]
        piece = Piece(plain_name(recording), float(start), float(start) + float(duration), word, channel)
        (choice[-1] if choice else pieces).append(piece)
    if choice:
        raise InputError("ends within an alternation", where=source.path)
    notes = [*source.notes(), *markup_notes(piece.text for piece in pieces)]
    return timed_texts(source, "CTM", pieces, words=True, markup=True, notes=tuple(notes))


def is_labels(source: Source) -> bool:
    """Returns whether lines begin with two times and a tab, as Audacity's labels do."""
    matches = [_TIMES.match(line) for _, line in source.numbered]
    return all(match and float(match[1]) <= float(match[2]) for match in matches)


def parse_labels(source: Source) -> Texts:
    """Start, end and text, tabs between them."""
    rows = [line.split("\t", 2) for _, line in source.numbered]
    pieces = [Piece(source.path.stem, float(start), float(end), text) for start, end, text in rows]
    return timed_texts(source, "labels", pieces, named=False, notes=(joined_note(len(pieces), "labels"),))


def parse_subtitles(source: Source) -> Texts:
    """Cues of SubRip and WebVTT; what stands around them in these formats is no text."""
    web = source.text.lstrip().startswith("WEBVTT")
    text = "\n".join(regex.split(r"\r\n|\r|\n", source.text))
    cues = list(CUE.finditer(text))
    pieces: list[Piece] = []
    lines_of: list[list[str]] = []
    for i, cue in enumerate(cues):
        end = cues[i + 1].start() if i + 1 < len(cues) else len(text)
        inline = cue[9] if "]" in cue[0][: cue.start(9) - cue.start()] else ""  # as whisper prints them; else settings
        body = _body(text[cue.end() : end], web=web, last=i + 1 == len(cues))
        lines = [_without_tags(line, web) for line in [inline, *body]]
        lines_of.append([line for line in lines if line])
        pieces.append(Piece(source.path.stem, _seconds(cue.groups()[:4]), _seconds(cue.groups()[4:8]), ""))
    notes = [joined_note(len(cues), "cues")]
    if repeated := _rolled_up(lines_of):
        notes.append(f"{repeated} lines that roll up from the cue before are left out")
    pieces = [
        Piece(each.recording, each.start, each.end, " ".join(lines))
        for each, lines in zip(pieces, lines_of, strict=True)
    ]
    return timed_texts(source, "subtitles", pieces, named=False, notes=tuple(notes))


def parse_textgrid(source: Source) -> Texts:
    """A tier of a TextGrid."""
    from asr.data.textgrid import read_textgrid

    return _parse_tiers(source, "a TextGrid", read_textgrid)


def parse_eaf(source: Source) -> Texts:
    """A tier of an ELAN file."""
    from asr.data.elan import read_eaf

    return _parse_tiers(source, "an ELAN file", read_eaf)


def is_transcript(value: Mapping[str, Any], where: str) -> bool:
    """Returns whether an object of JSON is the transcript of a recording, as recognisers write it."""
    roles = roles_of_row({name: each for name, each in value.items() if name != "audio"}, where)
    if roles.id is not None or roles.reference or roles.hypothesis:
        return False
    parts = _parts(value)
    if isinstance(value.get("text"), str):
        return parts is not None or not {*value} - {"text", "language", "usage", "task", "duration", "logprobs"}
    return bool(parts) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in parts or ())


def transcripts_of(source: Source, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Texts:
    """Returns transcripts: text and segments, of one recording each."""
    pieces, partial = [], 0
    for _, value in rows:
        name = value.get("audio")
        partial += value.get("partial") is True
        recording = name if isinstance(name, str) and name and name != "-" else ""
        if not recording and len(rows) > 1:
            raise InputError("holds several transcripts that do not say of which recording they are", where=source.path)
        pieces += _pieces_of(value, plain_name(recording) or source.path.stem)
    named = all(piece.recording != source.path.stem for piece in pieces)
    notes = [f"{partial} transcripts are of a part of their recording alone"] if partial else []
    if len(pieces) > len(rows):
        notes.append(joined_note(len(pieces), "segments"))
    return timed_texts(source, "JSON", pieces, named=named, notes=tuple(notes))


def check_markup(text: str, where: str) -> None:
    """Refuses alternations that cannot be read."""
    try:
        count(text)
    except ValueError as e:
        raise InputError(f"cannot be read ({e})", where=where, remedy="write an alternation as { a / b }") from e


def markup_notes(texts: Any) -> list[str]:
    """Returns what has to be told of alternations and optional words."""
    counts = [count(text) for text in texts if "{" in text or "(" in text]
    alternations, optional = (sum(each[i] for each in counts) for i in (0, 1))
    notes = []
    if alternations:
        notes.append(f"{alternations} alternations: of references the best counts, of hypotheses the first")
    if optional:
        notes.append(f"{optional} words in parentheses: references may have them or not")
    return notes


def _as_one(choice: Sequence[Sequence[Piece]]) -> list[Piece]:
    """An alternation of words with times as one piece."""
    words = [piece for way in choice for piece in way]
    if not words:
        return []
    ways = [" ".join(piece.text for piece in way) or "@" for way in choice]
    start, end = min(piece.start for piece in words), max(piece.end for piece in words)
    return [Piece(words[0].recording, start, end, f"{{ {' / '.join(ways)} }}", words[0].channel)]


def _body(text: str, *, web: bool, last: bool) -> list[str]:
    """The lines of a cue: not the number or name of the next one, nor what else stands between the two."""
    lines = text.removeprefix("\n").split("\n")
    if not last:
        lines = lines[:-1]  # the next one's line of times begins there
        if not web and lines and lines[-1].strip().isdigit():
            lines = lines[:-1]
    if web:  # an empty line ends a cue; YouTube's begin with a blank that is none
        end = next((i for i, line in enumerate(lines) if not line), len(lines))
        lines = lines[:end]
    return lines


def _without_tags(line: str, web: bool) -> str:
    plain = html.unescape(_VTT_TAG.sub("", line)) if web else _SRT_TAG.sub("", line)
    return " ".join(plain.split())


def _rolled_up(cues: list[list[str]]) -> int:
    """Takes away lines that a cue has from the one before, where most cues have such (YouTube's); returns how many."""
    follows = [bool(before and cue and cue[0] == before[-1]) for before, cue in itertools.pairwise(cues)]
    if len(follows) < 2 or 2 * sum(follows) < len(follows) or max(map(len, cues)) < 2:
        return 0
    last = [list(cue) for cue in cues]
    for i, repeats in enumerate(follows):
        if repeats:
            cues[i + 1] = last[i + 1][1:]
    return sum(follows)


def _seconds(clock: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = clock
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(f"{seconds}.{fraction}")


def _parse_tiers(source: Source, format: str, read: Callable[[Any], Any]) -> Texts:
    """The only tier of texts, or that which holds the transcript."""
    tiers = {tier.name: tier for tier in read(source.path).tiers if any(each.text for each in tier.annotations)}
    names = {plain_name(name).casefold(): name for name in tiers}
    chosen = next((names[name] for name in _TIERS if name in names), None)
    if chosen is None and len(tiers) > 1:
        # `asr transcribe --tier NAME` writes NAME, NAME-words, NAME-check
        whole = [name for name in tiers if f"{name}-words" in tiers and len(tiers) <= 3]
        chosen = whole[0] if whole else None
        if chosen is None:
            raise InputError(
                f"has {len(tiers)} tiers: {', '.join(tiers)[:200]}",
                where=source.path,
                remedy=f"call the one to read {_TIERS[0]}, or save it alone",
            )
    chosen = chosen or next(iter(tiers), None)
    if chosen is None:
        return timed_texts(source, format, [], named=False)
    filled = [each for each in tiers[chosen].annotations if each.text]
    pieces = [Piece(source.path.stem, each.start, each.end, each.text) for each in filled]
    note = f"is {format}, of which the tier {chosen!r} is read; {joined_note(len(filled), 'annotations')}"
    return timed_texts(source, format, pieces, named=False, notes=(note,))


def _parts(value: Mapping[str, Any]) -> list[Any] | None:
    """The parts of a transcript: of whisper, whisper.cpp, transformers, Vosk."""
    for name in ("segments", "transcription", "chunks", "result", "words"):
        if isinstance(value.get(name), list):
            return list(value[name])
    return None


def _pieces_of(value: Mapping[str, Any], recording: str) -> list[Piece]:
    """The segments of a transcript with their times, if they have such; its whole text, if they do not make that."""
    pieces = []
    for part in _parts(value) or ():
        times = _times(part) if isinstance(part, Mapping) else None
        if times is None or not isinstance(part.get("text"), str):
            break
        pieces.append(Piece(recording, *times, part["text"]))
    whole = value.get("text")
    joined = "".join("".join(piece.text.split()) for piece in pieces)
    if (isinstance(whole, str) and joined != "".join(whole.split())) or not pieces:
        if not isinstance(whole, str):
            whole = " ".join(part["text"] for part in _parts(value) or ())
        return [Piece(recording, 0.0, 0.0, whole)]
    if (
        isinstance(whole, str)
        and len(pieces) > 1
        and " ".join(whole.split()) != " ".join(" ".join(piece.text for piece in pieces).split())
    ):  # no spaces part its segments
        return [Piece(recording, 0.0, 0.0, whole)]
    return pieces


def _times(part: Mapping[str, Any]) -> tuple[float, float] | None:
    stamps = part.get("timestamp")
    start, end = stamps if isinstance(stamps, list) and len(stamps) == 2 else (part.get("start"), part.get("end"))
    if isinstance(offsets := part.get("offsets"), Mapping):  # whisper.cpp: milliseconds
        try:
            return float(offsets["from"]) / 1000, float(offsets["to"]) / 1000
        except (KeyError, TypeError, ValueError):
            return None
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return None
    return float(start), float(end)
