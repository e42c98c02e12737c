"""Transcripts of a corpus: lines of text, and the recording of each."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    sources: dict[str, Source] = {}  # by the key of its recording
    seen: set[str] = set()
    left_out: list[str] = []
    key_of = _keys(audio)
    for line in lines:
        key = key_of(line.id)
        if key in sources:
            left_out.append(left_out_line(f"{line.id} is there already: {sources[key].origin}", line.origin))
        elif line.problem or not key:
            left_out.append(left_out_line(line.problem or missing.format(line.id), line.origin))
        else:
            source = Source(line.id, audio[key], line.text, line.speaker, origin=line.origin)
            try:
                check_source(source)
                sources[key] = source
            except InputError as e:
                left_out.append(left_out_line(str(e), line.origin))
        seen.add(key)
    if unlisted is not None:
        left_out += [left_out_line(unlisted, path) for key, path in audio.items() if key not in seen]
    return list(sources.values()), left_out


def _keys(audio: Mapping[str, Path]) -> Callable[[str], str]:
    """The key of a recording by an id as people see it, or "": the same, else the same plain name, else the only one
    that differs in case."""
    plain: dict[str, str] = {}
    lower: dict[str, list[str]] = {}
    for key in audio:
        if plain.setdefault(plain_name(key), key) == key:
            lower.setdefault(plain_name(key).casefold(), []).append(key)

    def key_of(name: str) -> str:
        if name in audio:
            return name
        same = lower.get(plain_name(name).casefold(), [])
        return plain.get(plain_name(name), same[0] if len(same) == 1 else "")

    return key_of


def read_transcript(path: Path) -> tuple[str, str]:
    """The text of a file that holds one transcript, on one line; and why it cannot be used, if it cannot."""
    try:
        lines = [line.strip() for _, line in read_lines(path)]
    except InputError as e:
        return "", str(e).removeprefix(f"{path}: ")
    if len(lines) != 1:
        return "", "has no text" if not lines else f"has {len(lines)} lines of text, not one"
    return lines[0], ""
