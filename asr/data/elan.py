"""ELAN's annotation files (EAF, schema versions 2.6 to 3.0).

An annotation is aligned, between two slots of time, or refers to one of the tier above, whose time it has; where
several refer to one, they share its time in equal parts, as ELAN draws them. Slots without a value lie evenly between
those around them on their tier. Times are the file's; a recording that begins earlier has an offset (TIME_ORIGIN).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from asr.data.known_files import ELAN, XML, refuse_others
from asr.data.tiers import Annotation, AnnotationFile, Media, Tier
from asr.utils.errors import InputError
from asr.utils.files import read_bytes

_MOST_BYTES = 256 << 20
_DEEPEST = 32  # tiers above one another


def read_eaf(path: str | Path) -> AnnotationFile:
    """The tiers of an ELAN file; annotations that hang in the air are among its problems.

    Raises:
        InputError: It cannot be read, is no EAF, or declares entities, which could make it endless or name other files.
    """
    root = _parsed(path)
    slots = _slots(root)
    header = root.find("HEADER")
    unit = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if unit != "milliseconds":
        raise InputError(f"its times are {unit}", where=path, remedy="save it in ELAN with times in milliseconds")
    recordings = [] if header is None else header.findall("MEDIA_DESCRIPTOR")
    recordings.sort(key=lambda media: not media.get("MIME_TYPE", "").startswith("audio"))
    problems: list[str] = []
    tiers: dict[str, Tier] = {}
    elements = {element.get("TIER_ID", ""): element for element in root.findall("TIER")}
    for name in _parents_first(elements, path):
        element = elements[name]
        parent = element.get("PARENT_REF", "")
        above = {each.id: each for each in tiers[parent].annotations} if parent in tiers else {}
        tiers[name] = Tier(
            name,
            tuple(_annotations(element, name, slots, above, problems)),
            speaker=element.get("PARTICIPANT", "").strip(),
            type=element.get("LINGUISTIC_TYPE_REF", ""),
            parent=parent,
        )
    named = [
        Media(path, (_number(media.get("TIME_ORIGIN", "0")) or 0.0) / 1000)
        for name in ("RELATIVE_MEDIA_URL", "MEDIA_URL")
        for media in recordings
        if (path := _file_path(media.get(name, "")))
    ]
    ordered = tuple(tiers[name] for name in elements)
    return AnnotationFile(ordered, tuple(dict.fromkeys(named)), tuple(problems))


def _parsed(path: str | Path) -> Any:
    """The root of the document."""
    import xml.etree.ElementTree as ElementTree  # for its error; what is parsed goes through defusedxml

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    data = read_bytes(path, limit=_MOST_BYTES)
    try:
        root = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as e:
        raise InputError("declares entities or a DTD, which no ELAN file needs", where=path) from e
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as e:
        refuse_others(data, path, "an ELAN file", but=ELAN)
        raise InputError(f"is not XML ({e})", where=path, remedy="open it in ELAN and save it again") from e
    if root.tag != "ANNOTATION_DOCUMENT":
        refuse_others(data, path, "an ELAN file", but=XML)
        raise InputError(f"is no ELAN file: its root is {root.tag[:60]}", where=path)
    return root


def _slots(root: Any) -> dict[str, float | None]:
    """Time slots -> milliseconds, if they have a value."""
    slots = root.iterfind("TIME_ORDER/TIME_SLOT")
    return {slot.get("TIME_SLOT_ID", ""): _number(slot.get("TIME_VALUE", "")) for slot in slots}


def _timed(tier: Any, slots: dict[str, float | None]) -> dict[str, float]:
    """The slots of a tier -> milliseconds; those without a value evenly between those around them on the tier."""
    names: list[str] = []
    for element in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
        for i in (1, 2):
            name = element.get(f"TIME_SLOT_REF{i}", "")
            if name in slots and (not names or names[-1] != name):
                names.append(name)
    values = [slots[name] for name in names]
    known = [i for i, value in enumerate(values) if value is not None]
    found: dict[str, float] = {}
    at = 0
    for i, name in enumerate(names if known else []):
        while at < len(known) and known[at] < i:
            at += 1
        before, after = known[max(at - 1, 0)], known[min(at, len(known) - 1)]
        value, low, high = values[i], values[before] or 0.0, values[after] or 0.0
        if value is None:
            value = low + (high - low) * (i - before) / (after - before) if before < i < after else low
        found[name] = value
    return found


def _parents_first(elements: dict[str, Any], path: str | Path) -> Iterator[str]:
    """Names of tiers, each behind the one above it."""
    done: set[str] = set()

    def visit(name: str, depth: int) -> Iterator[str]:
        if depth > _DEEPEST:
            raise InputError(f"tier {name!r} is below itself, or below {_DEEPEST} others", where=path)
        parent = elements[name].get("PARENT_REF", "")
        if parent in elements and parent not in done:
            yield from visit(parent, depth + 1)
        if name not in done:
            done.add(name)
            yield name

    for name in elements:
        yield from visit(name, 0)


def _annotations(
    tier: Any, name: str, slots: dict[str, float | None], above: dict[str, Annotation], problems: list[str]
) -> Iterator[Annotation]:
    """Those of a tier, in the order of the file; those that refer to one in the order they name."""
    found: list[tuple[Annotation, str]] = []  # and what comes before it
    spans = sorted((each.start, each.end, each.id) for each in above.values())
    times = _timed(tier, slots)
    for number, element in enumerate(tier.iterfind("ANNOTATION/*"), 1):
        key, owner = element.get("ANNOTATION_ID", ""), ""
        where = f"tier {name!r}, annotation {number}"
        text = " ".join("".join(element.find("ANNOTATION_VALUE").itertext()).split()) if _has_value(element) else ""
        if element.tag == "ALIGNABLE_ANNOTATION":
            ends = [element.get(f"TIME_SLOT_REF{i}", "") for i in (1, 2)]
            if not times.keys() >= set(ends):
                problems.append(f"{where}: its time slot is not there, or has no time")
                continue
            start, end = (times[each] / 1000 for each in ends)
            parent = _around(spans, (start + end) / 2)
            if parent and None in (slots[ends[0]], slots[ends[1]]):
                owner = above[parent].owner or parent
        elif element.tag == "REF_ANNOTATION":
            parent = element.get("ANNOTATION_REF", "")
            if parent not in above:
                problems.append(f"{where}: what it refers to ({parent or 'nothing'}) is not on the tier above")
                continue
            start, end, owner = above[parent].start, above[parent].end, above[parent].owner
        else:
            problems.append(f"{where}: is a {element.tag[:60]}, which annotations never are")
            continue
        annotation = Annotation(start, end, text, number, key, parent, owner)
        found.append((annotation, element.get("PREVIOUS_ANNOTATION", "")))
    if tier.find("ANNOTATION/REF_ANNOTATION") is None:
        yield from (annotation for annotation, _ in found)
        return
    referring: dict[str, list[tuple[Annotation, str]]] = {}
    for annotation, before in found:
        referring.setdefault(annotation.parent, []).append((annotation, before))
    for several in referring.values():
        yield from _shared(_chained(several))


def _chained(several: list[tuple[Annotation, str]]) -> list[Annotation]:
    """Annotations of one parent in the order in which each names the one before; as they stand where that is broken."""
    after = {before: annotation for annotation, before in several}
    ordered: list[Annotation] = []
    at = after.get("")
    while at is not None and len(ordered) < len(several):
        ordered.append(at)
        at = after.get(at.id)
    return ordered if len(ordered) == len(several) else [annotation for annotation, _ in several]


def _shared(several: list[Annotation]) -> Iterator[Annotation]:
    """Annotations that share the time of their parent, in equal parts."""
    for i, each in enumerate(several):
        part = (each.end - each.start) / len(several)
        start = each.start + i * part
        owner = each.owner or (each.parent if len(several) > 1 else "")
        yield replace(each, start=start, end=start + part, owner=owner)


def _around(spans: list[tuple[float, float, str]], time: float) -> str:
    """The id of that of the annotations (start, end, id), in order, in which a time lies; "" where there is none."""
    at = bisect_right(spans, time, key=lambda span: span[0]) - 1
    return spans[at][2] if at >= 0 and time <= spans[at][1] else ""


def _has_value(element: Any) -> bool:
    return element.find("ANNOTATION_VALUE") is not None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None


def _file_path(url: str) -> str:
    """The path of a file: URL, or a path as any system writes it."""
    path = unquote(url.removeprefix("file:"))
    if url.startswith("file://"):  # //server/path, or nothing before the path
        path = "/" + path[2:].partition("/")[2]
    return path.replace("\\", "/").strip()
