"""Transcripts of a corpus: lines of text, and the recording of each."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from asr.utils.errors import InputError
from asr.utils.files import UTF16, is_utf16
from asr.utils.unicode import plain_name
from data_prep._manifest import Source, check_source, left_out_line


@dataclass(frozen=True)
class Listed:
    """What a line of a transcript says of a recording, which `pair` finds."""

    id: str
    text: str
    speaker: str
    origin: str  # file and line
    problem: str = ""  # why it cannot be used


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that hold something, with their numbers from 1.

    What is not UTF-8 in one becomes lone surrogates: `pair` leaves that utterance out, and says where.

    Raises:
        InputError: The file cannot be read, or is UTF-16.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror or e})", where=path) from e
    if is_utf16(data):
        raise InputError("looks like UTF-16", where=path, remedy=UTF16)
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        if line.strip():
            yield number, line.decode("utf-8", "surrogateescape").rstrip("\r")


def pair(
    lines: Iterable[Listed], audio: Mapping[str, Path], *, missing: str = "there is no {}.wav", unlisted: str | None
) -> tuple[list[Source], list[str]]:
    """Finds the recording of each line, by its id as people see it; those whose text cannot be used are left out.

    Args:
        lines: What the transcripts say, in their order.
        audio: Recordings by id.
        missing: What is said of a line without one.
        unlisted: What is said of a recording without a line; None: nothing, and it is none of those left out.

    Returns:
        The utterances, and what is left out: a line each.
    """
    sources: dict[str, Source] = {}
    seen: set[str] = set()
    left_out: list[str] = []
    keys = _keys(audio)
    for line in lines:
        name = plain_name(line.id)
        key = line.id if line.id in audio else keys.get(name, keys.get(name.casefold(), ""))
        if name in sources:
            left_out.append(left_out_line(f"{line.id} is there already: {sources[name].origin}", line.origin))
        elif line.problem or not key:
            left_out.append(left_out_line(line.problem or missing.format(line.id), line.origin))
        else:
            source = Source(line.id, audio[key], line.text, line.speaker, origin=line.origin)
            try:
                check_source(source)
                sources[name] = source
            except InputError as e:
                left_out.append(left_out_line(str(e), line.origin))
        seen.add(key)
    if unlisted is not None:
        left_out += [left_out_line(unlisted, path) for key, path in audio.items() if key not in seen]
    return list(sources.values()), left_out


def _keys(audio: Mapping[str, Path]) -> dict[str, str]:
    """The recordings' ids by how people see them: as plain names; in lower case, where only one is."""
    plain: dict[str, str] = {}
    for key in audio:
        plain.setdefault(plain_name(key), key)
    several = Counter(name.casefold() for name in plain)
    lower = {name.casefold(): key for name, key in plain.items() if several[name.casefold()] == 1}
    return lower | plain


def read_transcript(path: Path) -> tuple[str, str]:
    """The text of a file that holds one transcript, on one line; and why it cannot be used, if it cannot."""
    try:
        lines = [line.strip() for _, line in read_lines(path)]
    except InputError as e:
        return "", str(e).removeprefix(f"{path}: ")
    if len(lines) != 1:
        return "", "has no text" if not lines else f"has {len(lines)} lines of text, not one"
    return lines[0], ""
