"""Praat's TextGrid files, long and short.

Praat reads numbers, texts in quotes and flags that stand by themselves, and passes over all else (its manual, "Text
files"): so both forms are one. Texts and names may hold its trigraphs, which become characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import regex

from asr.data.known_files import TEXTGRID, refuse_others
from asr.data.praat_symbols import from_trigraphs
from asr.data.tiers import Annotation, AnnotationFile, Tier
from asr.utils.errors import InputError
from asr.utils.files import has_utf16_mark, read_bytes

_MOST_BYTES = 256 << 20
_TOKEN = regex.compile(r"""("(?:[^"]|"")*+")|(<[^<>]*>)|(?<!\S)([-+]?\d[\d.]*(?:[eE][-+]?\d+)?)(?!\S)|(![^\r\n]*)""")


def read_textgrid(path: str | Path) -> AnnotationFile:
    """The tiers of a TextGrid; points have no duration, and are among the annotations all the same.

    Times are from the beginning of the recording, which is where the TextGrid begins.

    Raises:
        InputError: It cannot be read, or is no TextGrid in text form.
    """
    tokens = _tokens(_text(path))
    symbols: Counter[str] = Counter()
    try:
        kinds = [next(tokens), next(tokens)]
        if kinds[0] not in ("ooTextFile", "ooTextFile short") or kinds[1] != "TextGrid":
            raise InputError("is no TextGrid", where=path, remedy="in Praat: Save as text file...")
        begin, _ = _time(next(tokens)), next(tokens)
        if next(tokens) != "<exists>":
            return AnnotationFile(())
        tiers = [_tier(tokens, begin, symbols) for _ in range(_count(next(tokens)))]
    except InputError:
        raise
    except StopIteration:
        raise InputError("ends before its tiers do", where=path, remedy="save it again in Praat") from None
    except ValueError as e:
        raise InputError(f"is no whole TextGrid ({e})", where=path, remedy="save it again in Praat") from e
    return AnnotationFile(tuple(tiers), symbols=symbols)


def _text(path: str | Path) -> str:
    data = read_bytes(path, limit=_MOST_BYTES)
    refuse_others(data, path, "a TextGrid in text form", but=TEXTGRID)
    wide = has_utf16_mark(data)
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as e:
        raise InputError(
            "is neither UTF-8 nor UTF-16",
            where=path,
            remedy="in Praat: Text writing preferences, UTF-8; or `iconv -f latin1 -t utf-8`",
        ) from e


def _tokens(text: str) -> Iterator[str]:
    """Numbers, flags and texts, these without their quotes."""
    for match in _TOKEN.finditer(text):
        quoted, flag, number, _ = match.groups()
        if quoted is not None:
            yield quoted[1:-1].replace('""', '"')
        elif flag is not None or number is not None:
            yield flag or number


def _tier(tokens: Iterator[str], begin: float, symbols: Counter[str]) -> Tier:
    kind, name = next(tokens), next(tokens)
    if kind not in ("IntervalTier", "TextTier"):
        raise ValueError(f"a tier is a {kind[:40]!r}")
    next(tokens), next(tokens)  # the times of the whole
    found = []
    for number in range(1, _count(next(tokens)) + 1):
        start = _time(next(tokens)) - begin
        end = _time(next(tokens)) - begin if kind == "IntervalTier" else start
        found.append(Annotation(start, end, " ".join(from_trigraphs(next(tokens), symbols).split()), number))
    return Tier(from_trigraphs(name, symbols), tuple(found))


def _time(token: str) -> float:
    value = float(token)
    if not abs(value) < 1e9:
        raise ValueError(f"{token[:40]} is no time")
    return value


def _count(token: str) -> int:
    value = int(token)
    if not 0 <= value <= 10_000_000:
        raise ValueError(f"{token[:40]} is no number of tiers or annotations")
    return value
