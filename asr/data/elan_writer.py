"""A Transcript as an ELAN file, or as new tiers of one that is there, of which all else stays as it is.

Three tiers: segments; below them words, with their times; and words that are to be checked, with their confidence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from asr.data.transcript import Segment, Transcript, Word
from asr.utils.errors import InputError
from asr.utils.files import read_bytes

CHECK_BELOW = 0.5  # the confidence under which a word is marked
_INCLUDED = "Time alignable annotations within the parent annotation's time interval, gaps are allowed"
_MIME = {".wav": "audio/x-wav", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".mov": "video/quicktime"}
_NEW = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="{date}" FORMAT="3.0" VERSION="3.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL={url} MIME_TYPE="{mime}" RELATIVE_MEDIA_URL={relative}/>
    </HEADER>
    <TIME_ORDER/>
</ANNOTATION_DOCUMENT>
"""


def to_eaf(
    transcript: Transcript,
    word_times: bool = False,
    *,
    tier: str = "transcript",
    check_below: float = CHECK_BELOW,
    folder: str | Path | None = None,
    others: Sequence[Transcript] = (),
) -> str:
    """A new ELAN file.

    Args:
        others: Of the same recording's other channels: the tiers of each are named after its channel.
        folder: Where it is to lie, from which the way to its recording is told; None: beside that.
        tier: The name of the tier of segments; those below are NAME-words and NAME-check.
        check_below: Words of a lower confidence are in NAME-check.
    """
    name = PurePath(transcript.audio).name or "audio.wav"
    url = quote(os.fsencode(name))
    relative = f"./{url}"
    if folder is not None and transcript.audio != "-":
        with suppress(ValueError):  # another drive of Windows
            way = PurePath(os.path.relpath(Path(transcript.audio).absolute(), Path(folder).absolute())).as_posix()
            relative = quote(os.fsencode(way if way.startswith("../") else f"./{way}"))
        url = Path(transcript.audio).absolute().as_uri()
    new = _NEW.format(
        date=datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
        url=quoteattr(url),
        mime=_MIME.get(PurePath(name).suffix.lower(), "unknown"),
        relative=quoteattr(relative),
    )
    return _with_channels(new.encode(), (transcript, *others), tier, check_below, "a new file").decode()


def add_tiers(
    path: str | Path,
    transcript: Transcript,
    *,
    tier: str = "transcript",
    check_below: float = CHECK_BELOW,
    others: Sequence[Transcript] = (),
) -> bytes:
    """An ELAN file with the transcript, and `others` of other channels, in tiers of their own behind those that are
    there.

    Raises:
        InputError: It is no ELAN file, or has such a tier.
    """
    from asr.data.elan import read_eaf

    media = read_eaf(path).media  # what is no ELAN file, or a dangerous one, is refused
    name = PurePath(transcript.audio).name
    own = [each for each in media if PurePath(each.path).name == name] or list(media)
    offset = own[0].offset if own else 0.0
    return _with_channels(read_bytes(path), (transcript, *others), tier, check_below, path, offset)


def check_tier_name(tier: str) -> None:
    """An InputError where a tier cannot be called so."""
    if not tier.strip() or not tier.isprintable():
        raise InputError(f"{tier!r} is no name of a tier", where="--tier")


def check_tiers(path: str | Path, tier: str, channels: int = 1) -> None:
    """Looks whether tiers can be added to an ELAN file, of one transcript or of so many channels.

    Raises:
        InputError: They cannot.
    """
    first, *others = (Transcript("", channel=channel) for channel in range(channels))
    add_tiers(path, first, tier=tier, others=others)


def _with_channels(
    data: bytes,
    transcripts: Sequence[Transcript],
    tier: str,
    check_below: float,
    where: str | Path,
    offset: float = 0.0,
) -> bytes:
    for each in transcripts:
        name = f"{tier}-ch{each.channel}" if len(transcripts) > 1 else tier
        data = _with_tiers(data, each, name, check_below, where, offset)
    return data


def _with_tiers(
    data: bytes, transcript: Transcript, tier: str, check_below: float, where: str | Path, offset: float = 0.0
) -> bytes:
    check_tier_name(tier)
    known = _looked_over(data, where)
    if taken := {tier, f"{tier}-words", f"{tier}-check"} & known.tiers:
        raise InputError(f"has a tier {min(taken)} already", where=where, remedy="name another by --tier")
    number = 1
    while f"asr{number}-a1" in known.ids or {f"asr{number}", f"asr{number}-within"} & known.types:
        number += 1
    slots, tiers = _Slots(f"asr{number}"), _tiers(transcript, check_below, offset)
    parts = [
        _tier(name, f"asr{number}{within}", tier if within else "", annotations, slots)
        for name, within, annotations in (
            (tier, "", tiers[0]),
            (f"{tier}-words", "-within", tiers[1]),
            (f"{tier}-check", "-within", tiers[2]),
        )
        if annotations or not within
    ]
    kind = '<LINGUISTIC_TYPE {}GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="asr{}" TIME_ALIGNABLE="true"/>'
    types = [kind.format("", number)]
    if len(parts) > 1:
        types.append(kind.format('CONSTRAINTS="Included_In" ', f"{number}-within"))
    lines = "".join(f"        {line}\n" for line in slots.lines)
    start, end = known.slots
    edits = [(end, end, f"{lines}    ") if start == end else (start, end, f">\n{lines}    </TIME_ORDER>")]
    edits.append((known.tiers_end, known.tiers_end, "".join(f"\n    {part}" for part in parts)))
    at = known.types_end or known.tiers_end
    edits.append((at, at, "".join(f"\n    {line}" for line in types)))
    if len(parts) > 1 and "Included_In" not in known.constraints:
        at = known.constraints_end or at
        edits.append((at, at, f'\n    <CONSTRAINT DESCRIPTION={quoteattr(_INCLUDED)} STEREOTYPE="Included_In"/>'))
    for start, end, text in sorted(edits, key=lambda edit: edit[0])[::-1]:
        data = data[:start] + text.encode(known.encoding, "xmlcharrefreplace") + data[end:]
    return data


def _tiers(transcript: Transcript, check_below: float, offset: float) -> tuple[list[_Row], list[_Row], list[_Row]]:
    """Segments, their words, and those of these that are to be checked: start and end in milliseconds, text.

    What is said before the file's time begins, `offset` seconds into the recording, is not in it.
    """
    segments: list[_Row] = []
    words: list[_Row] = []
    doubtful: list[_Row] = []
    free = 0
    for segment in transcript.segments:
        if not segment.text:
            continue
        if segment.end <= offset:
            continue
        start, end = _span(segment, free, offset=offset)
        segments.append((start, end, segment.text))
        free = end
        inside = start
        for word in segment.words:
            first, last = _span(word, inside, end, offset)
            if last <= first or word.end <= offset:  # no room is left
                continue
            words.append((first, last, word.text))
            if word.confidence < check_below:
                doubtful.append((first, last, with_confidence(word)))
            inside = last
    return segments, words, doubtful


_Row = tuple[int, int, str]


def _span(part: Segment | Word, least: int, most: int = 1 << 62, offset: float = 0.0) -> tuple[int, int]:
    """Milliseconds, a millisecond at least, where there is room."""
    start = min(max(round(1000 * (part.start - offset)), least), most)
    return start, min(max(round(1000 * (part.end - offset)), start + 1), most)


@dataclass
class _Slots:
    """Time slots of new annotations."""

    prefix: str
    lines: list[str] = field(default_factory=list)
    annotations: int = 0

    def slot(self, milliseconds: int) -> str:
        name = f"{self.prefix}-ts{len(self.lines) + 1}"
        self.lines.append(f'<TIME_SLOT TIME_SLOT_ID="{name}" TIME_VALUE="{milliseconds}"/>')
        return name

    def annotation(self) -> str:
        self.annotations += 1
        return f"{self.prefix}-a{self.annotations}"


def with_confidence(part: Segment | Word) -> str:
    """What stands in a tier of words to be checked."""
    return f"{part.text} {part.confidence:.2f}"


def _tier(name: str, kind: str, parent: str, rows: Iterable[_Row], slots: _Slots) -> str:
    above = f"PARENT_REF={quoteattr(parent)} " if parent else ""
    head = f'<TIER LINGUISTIC_TYPE_REF="{kind}" {above}TIER_ID={quoteattr(name)}'

    def lines() -> Iterator[str]:
        for start, end, text in rows:
            ends = slots.slot(start), slots.slot(end)
            yield "        <ANNOTATION>"
            yield (
                f'            <ALIGNABLE_ANNOTATION ANNOTATION_ID="{slots.annotation()}"'
                f' TIME_SLOT_REF1="{ends[0]}" TIME_SLOT_REF2="{ends[1]}">'
            )
            yield f"                <ANNOTATION_VALUE>{_escaped(text)}</ANNOTATION_VALUE>"
            yield "            </ALIGNABLE_ANNOTATION>"
            yield "        </ANNOTATION>"

    inner = "\n".join(lines())
    return f"{head}>\n{inner}\n    </TIER>" if inner else f"{head}/>"


def _escaped(text: str) -> str:
    """Text as XML has it; characters that XML cannot have become spaces."""
    return escape(
        "".join(c if c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff" else " " for c in text)
    )


@dataclass
class _Known:
    """What an ELAN file has, and where in its bytes something can be put in."""

    encoding: str = "utf-8"
    tiers: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    constraints: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    slots: tuple[int, int] = (0, 0)  # before </TIME_ORDER>; of <TIME_ORDER/> where its /> begins and ends
    tiers_end: int = 0  # each behind the last of them
    types_end: int = 0
    constraints_end: int = 0


def _looked_over(data: bytes, where: str | Path) -> _Known:
    """Where things stand, by expat's positions."""
    from xml.parsers import expat

    known, parser = _Known(), expat.ParserCreate()

    def declared(version: str, encoding: str | None, standalone: int) -> None:
        known.encoding = (encoding or "utf-8").lower()

    def begun(name: str, attributes: dict[str, Any]) -> None:
        known.ids.update(value for key, value in attributes.items() if key == "ANNOTATION_ID")
        for tag, key, found in (
            ("TIER", "TIER_ID", known.tiers),
            ("LINGUISTIC_TYPE", "LINGUISTIC_TYPE_ID", known.types),
            ("CONSTRAINT", "STEREOTYPE", known.constraints),
        ):
            if name == tag:
                found.add(attributes.get(key, ""))

    def ended(name: str) -> None:
        at = parser.CurrentByteIndex  # where the end tag begins; behind <NAME/>, which has none
        tag = b"</" + name.encode(known.encoding)
        closed = data.startswith(tag, at) and data[at + len(tag) : at + len(tag) + 1] in (
            b">",
            b" ",
            b"\t",
            b"\r",
            b"\n",
        )
        behind = data.index(b">", at) + 1 if closed else at
        if name == "TIME_ORDER":
            known.slots = (at, at) if closed else (data.rindex(b"/", 0, behind), behind)
            known.tiers_end = behind
        elif name == "TIER":
            known.tiers_end = behind
        elif name == "LINGUISTIC_TYPE":
            known.types_end = behind
        if name in ("LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT"):
            known.constraints_end = behind

    parser.XmlDeclHandler, parser.StartElementHandler, parser.EndElementHandler = declared, begun, ended
    parser.Parse(data, True)
    if known.encoding not in ("utf-8", "us-ascii", "ascii", "iso-8859-1"):
        raise InputError(f"is in {known.encoding}", where=where, remedy="save it in ELAN, which writes UTF-8")
    if not known.slots[0]:
        raise InputError("has no TIME_ORDER, which every ELAN file has", where=where)
    return known
