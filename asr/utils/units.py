"""Quantities and times, as people read them."""

from __future__ import annotations


def duration_words(seconds: float) -> str:
    """A duration as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def clock(milliseconds: int, point: str = ".") -> str:
    """A time as subtitles write it: 01:02:03.450, hours with two digits or more."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def counted(number: int, thing: str) -> str:
    """Returns a number and its noun: '1 word', '2,000 words'."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
