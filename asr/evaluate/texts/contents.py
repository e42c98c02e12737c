"""What a file of texts holds, whatever its format: texts by id, or pieces of recordings with their times."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from asr.utils.errors import InputError
from asr.utils.unicode import plain_name

LINES = "plain lines"
IDS = "lines of ids and texts"


@dataclass(frozen=True)
class Source:
    """A file that was read, and is to be understood."""

    path: Path
    text: str
    wide: bool = False  # UTF-16, as spreadsheets export "Unicode text"

    @property
    def ending(self) -> str:
        """Returns the ending of the file's name, in small letters: ".csv" of A.CSV and of a.csv.gz."""
        name = self.path.name.lower().removesuffix(".gz")
        return Path(name).suffix

    @cached_property
    def numbered(self) -> list[tuple[int, str]]:
        """Returns lines that are not empty, with their numbers, as every editor counts them: `str.splitlines` would
        also split at characters such as U+2028 in a text."""
        return [(number, line) for number, line in enumerate(lines_of(self.text), 1) if line.strip()]

    @cached_property
    def comments(self) -> int:
        """Returns how many of the lines are comments, as NIST's formats have them."""
        return sum(is_comment(line) for _, line in self.numbered)

    @cached_property
    def lines(self) -> list[tuple[int, str]]:
        """Returns the numbered lines that are no comments."""
        return [(number, line) for number, line in self.numbered if not is_comment(line)]

    def where(self, number: int) -> str:
        """Returns the place of a line, as errors name it."""
        return f"{self.path}, line {number}"

    def notes(self) -> list[str]:
        """Returns what has to be told of any file of lines."""
        return [f"{self.comments} lines of comments (;;) are left out"] if self.comments else []


@dataclass(frozen=True)
class Piece:
    """A text and when it is said in a recording, seconds."""

    recording: str
    start: float
    end: float
    text: str
    channel: str = "1"
    speaker: str = ""
    ignored: bool = False  # what is said there is not to be scored

    @property
    def middle(self) -> float:
        """Returns the time by which the piece is placed."""
        return (self.start + self.end) / 2


@dataclass(frozen=True)
class Texts:
    """The texts of a file.

    Args:
        format: What the file is, in words.
        references: The texts by id, if they are what the hypotheses are compared with; empty where the file has none.
        hypotheses: The same, if the file is one of hypotheses; others than `references` where it has both.
        fields: The names of what was read, by what it is: {"id": "path", "text": "sentence"}; of tables and JSON.
        unread: The names of fields with other texts, which are passed over.
        pieces: The texts with their times; of formats that have them.
        named: Whether the recordings' names stand in the file; else the file's own name is taken.
        words: Each piece is a word.
        markup: `{ a / b }` and `(a)` are sclite's alternations and optional words.
        rows: What else JSON tells, by id.
        notes: What was left out or interpreted, to be told.
    """

    path: Path
    format: str
    references: Mapping[str, str] = field(default_factory=dict)
    hypotheses: Mapping[str, str] = field(default_factory=dict)
    speakers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()
    named: bool = True
    words: bool = False
    markup: bool = False
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A text of a file, or a speaker, and where it stands."""

    id: str
    where: str
    reference: str | None = None
    hypothesis: str | None = None
    speaker: str = ""
    row: Mapping[str, Any] | None = None


def texts_of(source: Source, format: str, entries: Iterable[Entry], **more: Any) -> Texts:
    """Returns texts by id.

    Raises:
        InputError: An id is empty, or stands there twice.
    """
    references: dict[str, str] = {}
    hypotheses: dict[str, str] = {}
    speakers: dict[str, str] = {}
    rows: dict[str, Mapping[str, Any]] = {}
    seen: set[str] = set()
    for entry in entries:
        key = plain_name(entry.id)
        if not key:
            raise InputError("has no id", where=entry.where)
        if key in seen:
            remedy = "if these are plain lines in order, use --lines" if format == IDS else ""
            raise InputError(f"the id {key!r} stands there twice", where=entry.where, remedy=remedy)
        seen.add(key)
        if entry.reference is not None:
            references[key] = entry.reference.strip()
        if entry.hypothesis is not None:
            hypotheses[key] = entry.hypothesis.strip()
        if entry.speaker:
            speakers[key] = entry.speaker
        if entry.row is not None:
            rows[key] = entry.row
    return Texts(source.path, format, references, hypotheses, speakers, rows=rows, **more)


def timed_texts(source: Source, format: str, pieces: Sequence[Piece], **more: Any) -> Texts:
    """Returns pieces with times; its texts are those of whole recordings."""
    whole = whole_recordings(pieces)
    return Texts(source.path, format, whole, whole, pieces=tuple(pieces), **more)


def whole_recordings(pieces: Iterable[Piece], several: Iterable[str] | None = None) -> dict[str, str]:
    """Returns the text of each recording by its name; of each of its channels where it has several.

    Args:
        several: The recordings of which channels are apart; those with several channels here by default.
    """
    pieces = sorted(pieces, key=lambda piece: piece.start)
    apart = set(several_channels(pieces) if several is None else several)
    joined: dict[str, list[str]] = {}
    for piece in pieces:
        key = f"{piece.recording}-{piece.channel}" if piece.recording in apart else piece.recording
        joined.setdefault(key, []).extend([] if piece.ignored else [piece.text])
    return {key: " ".join(" ".join(texts).split()) for key, texts in joined.items()}


def several_channels(pieces: Iterable[Piece]) -> list[str]:
    """Returns the names of recordings that have more than one channel."""
    channels = dict.fromkeys((piece.recording, piece.channel) for piece in pieces)
    names = [recording for recording, _ in channels]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def named_segments(pieces: Iterable[Piece]) -> dict[str, Piece]:
    """Returns segments by ids made of recording, channel and times; of several at one time each has a number."""
    segments: dict[str, Piece] = {}
    seen: Counter[str] = Counter()
    for piece in pieces:
        key = f"{piece.recording}-{piece.channel}-{piece.start:.2f}-{piece.end:.2f}"
        seen[key] += 1
        segments[key if seen[key] == 1 else f"{key}-{seen[key]}"] = piece
    return segments


def is_comment(line: str) -> bool:
    """Returns whether a line is a comment of NIST's formats."""
    return line.lstrip().startswith(";;")


def lines_of(text: str) -> list[str]:
    """Returns lines, however they end."""
    return io.StringIO(text, newline=None).read().removesuffix("\n").split("\n")
