"""Times as tables write them: 3.5, 3,5, 02:03.5, 1:02:03,500; and which of their marks part thousands."""

from __future__ import annotations

import re
from collections.abc import Iterable

from asr.utils.errors import InputError

_GROUPED = re.compile(r"[1-9]\d{0,2}([.,])\d{3}(?:\1\d{3})*", re.ASCII)  # 2,000 and 1,234,567
_BOTH = re.compile(r"[1-9]\d{0,2}(?:([.,])\d{3}(?:\1\d{3})*)(?!\1)[.,]\d*", re.ASCII)  # 1,234.5 and 1.234,5
_SPACED = re.compile(r"(?<=\d)['\u2019 \u00a0\u2009\u202f](?=\d{3}(?!\d))")


class Thousands:
    """Which marks part thousands in columns of milliseconds: those that have three digits behind them in every row.

    Args:
        values: All that the columns hold.
        marks: Those that may: a point does not in a number of JSON.
    """

    def __init__(self, values: Iterable[str], marks: str = ".,") -> None:
        spaced = [_SPACED.sub("", value) for value in values]
        both = {match[1] for value in spaced if (match := _BOTH.fullmatch(value))}
        plain = [value for value in spaced if not _BOTH.fullmatch(value)]
        ungrouped = any(re.match(r"\d{4}", value) for value in plain)
        self.parting = ""
        self._fixed: set[str] = set()  # 2000.125 and 0.125: who writes so does not part thousands
        self._decimal: set[str] = set()  # 2000.5: nor does this one, but nobody knows what 2.000 is beside it
        for mark in marks:
            marked = [value for value in plain if mark in value]
            if mark in both or (marked and not ungrouped and all(map(_GROUPED.fullmatch, marked))):
                self.parting += mark
            elif both or any(re.fullmatch(rf"(?:\d{{4,}}|0){re.escape(mark)}\d{{3}}", value) for value in marked):
                self._fixed.add(mark)
            elif any(re.match(rf"(?:\d{{4,}}|0){re.escape(mark)}\d", value) for value in marked):
                self._decimal.add(mark)
        self._marks = marks

    def without(self, text: str) -> str:
        """Returns a number without the marks that part thousands.

        Raises:
            InputError: They may as well be decimal.
        """
        match = _GROUPED.fullmatch(text)
        if not match or (mark := match[1]) not in self._marks or mark in self._fixed:
            return text
        whole = text.replace(mark, "")
        if mark in self.parting or text.count(mark) > 1:
            return whole
        if mark in self._decimal and not text.endswith("0"):
            return text
        raise InputError(
            f"{text!r} may be {whole} or {text.replace(',', '.')} milliseconds",
            remedy=f"write {whole} if that is meant",
        )


def without_spaces(text: str) -> str:
    """Returns a number without the spaces and apostrophes that part its thousands, and commas beside a point."""
    text = _SPACED.sub("", text)
    match = _BOTH.fullmatch(text)
    return text.replace(match[1], "") if match else text


def clock(text: str) -> float:
    """Returns seconds: 3.5, 3,5, 02:03.5, 1:02:03.5 or 1:02:03,500.

    Raises:
        ValueError: It is no time.
    """
    *larger, last = text.split(":")
    if len(larger) > 2 or not all(re.fullmatch(r"\d+", part, re.ASCII) for part in larger):
        raise ValueError(text)
    if not re.fullmatch(r"-?\d+([.,]\d*)?([eE][-+]?\d+)?" if not larger else r"\d+([.,]\d*)?", last, re.ASCII):
        raise ValueError(text)
    seconds = float(last.replace(",", "."))
    for place, part in enumerate(reversed(larger), 1):
        seconds += int(part) * 60**place
    return seconds


def is_time(text: str) -> bool:
    """Whether a text may be a time."""
    try:
        clock(without_spaces(text))
    except ValueError:
        return False
    return True
