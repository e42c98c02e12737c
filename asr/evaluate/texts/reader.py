"""Reads files of texts: which format a file has is told by what stands in it; its name decides where that leaves a
doubt."""

from __future__ import annotations

import ast
import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import regex

from asr.evaluate.texts import timed
from asr.evaluate.texts.contents import IDS, Entry, Source, Texts, texts_of
from asr.evaluate.texts.documents import list_of_texts, parse_json
from asr.evaluate.texts.lines import parse_lines
from asr.evaluate.texts.tables import is_id_like, refuse_table, table_of
from asr.utils.errors import InputError
from asr.utils.files import (
    find_path,
    has_utf16_mark,
    is_there,
    is_utf16,
    no_such_file,
    read_bytes,
    read_text,
    sound_kind,
)
from asr.utils.kinds import foreign_kind
from asr.utils.unicode import plain_name

_MOST_BYTES = 1 << 30
_TRN = regex.compile(r"(.*?)\s*\(([^()\s]*[\d_-][^()\s]*)(?:\s+-?[\d.]+)?\)\s*")  # (laughter) is no id
_TRN_ANY = regex.compile(r"(.*?)\s*\(\s*([^()\s]+)(?:\s+-?[\d.]+)?\s*\)\s*")  # Sphinx has a score behind the id
_RECOGS = regex.compile(r"\s*(?:(\S+):\s+)?(ref|hyp)=(\[.*\])\s*")
_EDGES = regex.compile(r"^\s*<s>(?!\S)|(?<!\S)</s>\s*$")
_CLOCK = regex.compile(r"\s*[\[(]?\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?[\])]?(?:\s|$|[^\d\s])")
_RECORDING = regex.compile(
    r"\s*\S+\s+(?:\S+\.(?:wav|flac|mp3|ogg|opus|sph|m4a)|.*\b(?:sox|sph2pipe|ffmpeg|flac|cat)\b.*\|)\s*", regex.I
)
_XML = regex.compile(r"<(?:[?!]|(?:html|tt|transcript|trans|body|text|system)\b[^<>]*>\s*<)", regex.I)
_SEGMENTS = regex.compile(r"\s*\S+\s+(?:\S+\s+)?\d+\.\d+\s+-?\d+(?:\.\d+)?(?:\s.*)?")
_AS_TEXT = "save its texts as a table (CSV with a first line id,text) or as SubRip"
_BEGINNINGS = {
    "[Script Info]": "subtitles of Advanced SubStation Alpha",
    "#!MLF!#": "an HTK master label file",
    "%WER": "a list of scores",
    "compute-wer": "a list of scores",
    "<": "XML or HTML, and no ELAN file",
}
_KALDI = {  # files that lie beside Kaldi's `text`
    **dict.fromkeys(("utt2spk", "spk2utt"), "speakers"),
    **dict.fromkeys(("utt2dur", "reco2dur", "utt2num_frames", "segments"), "times"),
    **dict.fromkeys(("wav.scp", "feats.scp", "cmvn.scp", "reco2file_and_channel"), "names of recordings"),
    **dict.fromkeys(("utt2lang", "spk2gender", "utt2uniq", "vad.scp"), "no texts"),
}


def read_texts(path: str | Path, *, empty: bool = False) -> Texts:
    """Returns the texts of a file: Kaldi's `text`, NIST's trn, STM and CTM, a table, JSON, subtitles, tiers.

    Args:
        empty: Whether a file without any text is one of a system that heard nothing, and no mistake.

    Raises:
        InputError: Names the file and the line of what cannot be read, or what the file is, if none of these.
    """
    source = _source(path)
    if not source.numbered:
        texts = Texts(source.path, "empty")
    elif holds := _KALDI.get(source.path.name):
        raise InputError(f"is Kaldi's {source.path.name}, which holds {holds}", where=path, remedy="name the file text")
    else:
        texts = (_parser(source) or _parse_kaldi)(source)
    if not texts.references and not texts.hypotheses and not empty:
        fields = f": its fields are {', '.join(texts.fields.values())}" if texts.fields else ""
        raise InputError(f"holds no text{fields}", where=path)
    return texts


def as_references(texts: Texts) -> Texts:
    """Returns texts as what others are compared with; where the file has hypotheses, too, that is told.

    Raises:
        InputError: The file holds hypotheses alone.
    """
    if not texts.references:
        raise InputError("holds hypotheses and no references", where=texts.path)
    if "hypothesis" in texts.fields and (field := texts.fields.get("reference")):
        note = f"holds hypotheses, too: its field {field!r} is what they should be"
        texts = replace(texts, notes=(*texts.notes, note))
    return texts


def read_speakers(path: str | Path) -> dict[str, str]:
    """Returns speakers by utterance id: `id speaker` a line, Kaldi's utt2spk, or of what else tells speakers.

    Raises:
        InputError: As read_texts; or the file tells no speakers.
    """
    source = _source(path)
    parse = _parser(source) if source.numbered else None
    if source.path.name == "spk2utt":
        raise InputError("has a speaker's utterances a line", where=path, remedy="name utt2spk")
    texts = parse(source) if parse else _parse_kaldi(source, checked=False)
    speakers = texts.speakers if parse else {key: plain_name(name) for key, name in texts.references.items()}
    if not any(speakers.values()):
        raise InputError("tells no speakers", where=path, remedy="write `id speaker` a line")
    return {key: name for key, name in speakers.items() if name}


def read_lines(path: str | Path, *, empty: bool = False) -> Texts:
    """Returns plain lines in order, the line's number as the id; an empty line is an empty text. So are a table of one
    column, whose first line may be its name, and an array of texts in JSON.

    Of subtitles and the like, which are of one recording, it returns what read_texts does: lines may be of the same.

    Args:
        empty: As in read_texts.

    Raises:
        InputError: The file is of a format in which more stands in a line than a text.
    """
    source = _source(path)
    if not empty and not source.numbered:
        raise InputError("holds no text", where=path)
    if texts := list_of_texts(source):
        return texts
    if source.numbered and (parse := _parser(source)):
        texts = parse(source)
        if texts.pieces and not texts.named:
            return texts
        raise InputError(f"is no file of plain lines, but {texts.format}", where=path, remedy="leave --lines out")
    texts = parse_lines(source)
    if not texts.references and not empty:
        raise InputError("holds no text", where=path)
    return texts


def _source(path: str | Path) -> Source:
    """A file's text: UTF-8 or marked UTF-16, gzipped or not."""
    place = find_path(path)
    if not is_there(place):
        raise no_such_file(path)
    data = read_bytes(place, limit=_MOST_BYTES)
    if packed := data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(place) as f:
                data = f.read(_MOST_BYTES + 1)
        except (OSError, EOFError, zlib.error) as e:
            raise InputError(f"cannot be unpacked ({e})", where=path) from e
        if len(data) > _MOST_BYTES:
            raise InputError(f"holds more than {_MOST_BYTES:,} bytes, which such a file never does", where=path)
    sound = sound_kind(data)
    kind = foreign_kind(data) or (f"sound ({sound})" if sound else "")
    if kind:
        raise InputError(f"is no text, but {kind}", where=path, remedy=_AS_TEXT)
    wide = has_utf16_mark(data)
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as e:
        if wide or packed:
            raise InputError(f"is no whole {'UTF-16' if wide else 'UTF-8'} ({e.reason})", where=path) from e
        text = read_text(place)  # which says what it is
    if "\0" in text:
        what = "is UTF-16 without its mark" if is_utf16(data) else "is no text: it holds zeros"
        raise InputError(what, where=path, remedy="save it as UTF-8")
    return Source(Path(path), text, wide)


def _parser(source: Source) -> Callable[[Source], Texts] | None:
    """What reads the file; None for lines of ids and texts."""
    text = source.text.lstrip()
    if source.ending == ".textgrid" or regex.match(r'File type\s*=\s*"ooTextFile|"?ooTextFile', text):
        return timed.parse_textgrid
    if source.ending == ".eaf" or regex.match(r"<(?:[^<>]*>\s*<)*ANNOTATION_DOCUMENT", text[:4000]):
        return timed.parse_eaf
    for beginning, kind in _BEGINNINGS.items():
        if text.startswith(beginning) and (beginning != "<" or _XML.match(text)):
            raise InputError(f"is {kind}", where=source.path, remedy=_AS_TEXT)
    if text.startswith("WEBVTT") or timed.CUE.search(text) or source.ending in (".srt", ".vtt", ".sbv"):
        return timed.parse_subtitles
    if regex.match(r'\{\s*["}]|\[\s*[\[{"\]]', text) or source.ending in (".json", ".jsonl", ".ndjson"):
        return parse_json
    if all(_RECOGS.fullmatch(line) for _, line in source.numbered):
        return _parse_recogs
    if source.ending == ".stm" or timed.is_stm(source):
        return timed.parse_stm
    if source.ending == ".ctm" or timed.is_ctm(source):
        return timed.parse_ctm
    if timed.is_labels(source):
        return timed.parse_labels
    if source.ending == ".trn" or _is_trn(source):
        return _parse_trn
    if table := table_of(source):
        return lambda _: table
    return None


def _is_trn(source: Source) -> bool:
    """Whether most lines end in an id of their own; whether all do, where they do not begin with one."""
    lines = [line for _, line in source.lines]
    ids = [match[2] for line in lines if (match := _TRN.fullmatch(line))]
    words = [match[2] for line in lines if (match := _TRN_ANY.fullmatch(line))]
    if len(words) == len({*words}) == len(lines) > 1 and not any(is_id_like(line.split()[0]) for line in lines):
        return True
    return len({*ids}) == len(ids) and 2 * len(ids) > len(lines)


def _parse_trn(source: Source) -> Texts:
    """sclite's lines `text (id)`; Sphinx's have <s> and </s> around the text, too."""
    edges = 0
    texts: list[str] = []
    entries: list[Entry] = []
    for number, line in source.lines:
        match = _TRN_ANY.fullmatch(line)
        if not match:
            raise InputError("does not end in (id), as lines of trn do", where=source.where(number))
        text, n = _EDGES.subn("", match[1])
        edges += n
        timed.check_markup(text, source.where(number))
        texts.append(text)
        entries.append(Entry(match[2], source.where(number), text, text))
    notes = [*source.notes(), *timed.markup_notes(texts)]
    if edges:
        notes.append(f"{edges} marks of a text's ends (<s>, </s>) are left out")
    return texts_of(source, "trn", entries, markup=True, notes=tuple(notes))


def _parse_recogs(source: Source) -> Texts:
    """icefall's lines `id: ref=['a', 'b']` and `id: hyp=['a', 'c']`; older ones have no ids."""
    texts: dict[str, dict[str, str]] = {}
    for number, line in source.numbered:
        match = _RECOGS.fullmatch(line)
        try:
            words = ast.literal_eval(match[3])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            words = None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError(f"its {match[2]} is no list of words", where=source.where(number))
        turn = sum(match[2] in both for both in texts.values()) + 1
        both = texts.setdefault(match[1] or str(turn), {})
        if match[2] in both:
            raise InputError(f"the id {match[1]!r} stands there twice", where=source.where(number))
        both[match[2]] = " ".join(words)
    entries = [Entry(key, f"{source.path}, {key!r}", both.get("ref"), both.get("hyp")) for key, both in texts.items()]
    fields = {"reference": "ref", "hypothesis": "hyp"}
    return texts_of(source, "recogs", entries, fields=fields, notes=("is icefall's, of which ref and hyp are read",))


def _parse_kaldi(source: Source, *, checked: bool = True) -> Texts:
    """Kaldi's lines `id text`, a tab or a space between the two; ids may hold spaces where a tab ends each.

    Args:
        checked: Whether to refuse what is likely no such file.
    """
    lines = source.lines
    if checked:
        _refuse(source)
        refuse_table(source)
    parted = [line for _, line in lines if regex.search(r"\s", line.strip())]
    tabs = bool(parted) and all("\t" in line for line in parted)
    separator = regex.compile(r"\t" if tabs else r"[ \t]+")
    entries = []
    for number, line in lines:
        key, *rest = separator.split(line.strip("\r\n") if tabs else line.strip(), maxsplit=1)
        entries.append(Entry(key, source.where(number), text := rest[0] if rest else "", text))
    notes = source.notes()
    long = [entry.id.strip() for entry in entries if len(entry.id.split()) > 1]
    if long:
        notes.append(f"{len(long)} ids hold spaces, as a tab ends each (first: {long[0]!r})")
    if checked and not tabs and not any(is_id_like(entry.id) for entry in entries):
        notes.append(
            f"the first word of each line is taken for an id (first: {entries[0].id!r}); if it is none, use --lines"
        )
    return texts_of(source, IDS, entries, notes=tuple(notes))


def _refuse(source: Source) -> None:
    """Refuses lines in which something else than a text stands behind the id."""
    lines = [line for _, line in source.lines]
    refused = {
        "begin with times, not with ids": 2 * sum(bool(_CLOCK.match(line)) for line in lines) >= len(lines),
        "name recordings, as Kaldi's wav.scp does": all(map(_RECORDING.fullmatch, lines)),
        "hold times, as those of Kaldi's segments do": all(map(_SEGMENTS.fullmatch, lines)),
        "are those of RTTM": source.ending == ".rttm" or all(line.startswith("SPEAKER ") for line in lines),
    }
    for why in (why for why, is_so in refused.items() if is_so):
        raise InputError(f"its lines {why}", where=source.path, remedy=_AS_TEXT)
