"""Praat's TextGrid files, long and short.

Praat reads numbers, texts in quotes and flags that stand by themselves, and passes over all else (its manual, "Text
files"): so both forms are one. Texts and names may hold its trigraphs, which become characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
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
    tokens = _Tokens(_text(path))
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
        where = f"{path}, line {tokens.line}"
        raise InputError(f"is no whole TextGrid ({e})", where=where, remedy="save it again in Praat") from e
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


class _Tokens:
    """Numbers, flags and texts, these without their quotes."""

    def __init__(self, text: str) -> None:
        self._text, self._matches, self._at = text, _TOKEN.finditer(text), 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for match in self._matches:
            quoted, flag, number, _ = match.groups()
            self._at = match.start()
            if quoted is not None:
                return str(quoted[1:-1].replace('""', '"'))
            if flag is not None or number is not None:
                return str(flag or number)
        raise StopIteration

    @property
    def line(self) -> int:
        """That of the token last given, from 1."""
        return len(self._text[: self._at + 1].splitlines())


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
    with suppress(ValueError):
        value = float(token)
        if abs(value) < 1e9:
            return value
    raise ValueError(f"{token[:40]} is no time")


def _count(token: str) -> int:
    if not regex.fullmatch(r"\d{1,7}", token):
        raise ValueError(f"{token[:40]} is no number of tiers or annotations")
    return int(token)
