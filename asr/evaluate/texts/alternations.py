"""Alternations and optional words of NIST's transcripts.

`{ um / uh / @ }` is one of these or nothing; `(um)` is `um` or nothing, as sclite has it with -D.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import regex

_SPAN = regex.compile(r"(?P<span>\{(?:[^{}]++|(?P>span))*+\})", regex.V1)
_OPTIONAL = regex.compile(r"(?<!\S)\(([^()\s]+)\)(?!\S)")
_MOST = 1000  # ways to read one alternation

Slot = tuple[str, ...]  # texts, any of which may stand there


def slots(text: str) -> list[Slot]:
    """Returns a text as a row of slots; one where nothing varies has a single text.

    Raises:
        ValueError: A brace has no other, or there are too many ways to read it.
    """
    bare = _SPAN.sub(" ", text)
    if "{" in bare and "/" in bare[bare.index("{") :]:
        raise ValueError("a { has no }")
    row: list[Slot] = []
    end = 0
    for match in _SPAN.finditer(text):
        if options := _options(match[0][1:-1]):
            row += [*_with_optional(text[end : match.start()]), tuple(options)]
            end = match.end()
    return [*row, *_with_optional(text[end:])]


def first(text: str) -> str:
    """Returns a text with the first of each alternation; what is optional stays as it is."""
    return " ".join(filter(None, (_literal(slot) for slot in slots(text))))


def count(text: str) -> tuple[int, int]:
    """Returns how many alternations a text has, and how many optional words."""
    varied = [slot for slot in slots(text) if len(slot) > 1]
    optional = sum(_is_optional(slot) for slot in varied)
    return len(varied) - optional, optional


def closest(text: str, hypothesis: str, cut: Callable[[str], list[str]]) -> str:
    """Returns that reading of a reference which has the fewest errors; of equally good ones, the first.

    Args:
        cut: A text -> the units in which errors are counted.
    """
    row = slots(text)
    if all(len(slot) == 1 for slot in row):
        return " ".join(slot[0] for slot in row)
    import numpy as np

    units: dict[str, int] = {}
    of = [[[units.setdefault(unit, len(units)) for unit in cut(option)] for option in slot] for slot in row]
    hyp_units = np.array([units.setdefault(unit, len(units)) for unit in cut(hypothesis)], np.int64)
    costs = [np.arange(len(hyp_units) + 1)]  # of each number of units of the hypothesis, before each slot
    for options in of:
        costs.append(np.min([_advanced(costs[-1], option, hyp_units) for option in options], axis=0))
    chosen: list[str] = []
    end = len(hyp_units)
    for slot, options, before in reversed(list(zip(row, of, costs[:-1], strict=True))):
        steps = np.arange(end + 1)
        ways = [before[: end + 1] + _advanced(steps, option[::-1], hyp_units[:end][::-1])[::-1] for option in options]
        best, end = divmod(int(np.argmin(ways)), end + 1)
        chosen.append(slot[best])
    return " ".join(filter(None, reversed(chosen)))


def _advanced(costs: Any, units: Sequence[int], hyp_units: Any) -> Any:
    """Returns the edit distances (H + 1,) after more units of the reference."""
    import numpy as np

    steps = np.arange(len(hyp_units) + 1)
    for unit in units:
        after = costs + 1
        after[1:] = np.minimum(after[1:], costs[:-1] + (hyp_units != unit))
        costs = np.minimum.accumulate(after - steps) + steps
    return costs


def _options(inside: str) -> list[str]:
    """Returns what may stand for what is within braces; nothing where no slash parts it."""
    parts: list[str] = [""]
    end = 0
    for match in regex.finditer(rf"{_SPAN.pattern}|/", inside, regex.V1):
        parts[-1] += inside[end : match.start()]
        end = match.end()
        if match[0] == "/":
            parts.append("")
        else:
            parts[-1] += match[0]
    parts[-1] += inside[end:]
    if len(parts) == 1:
        return []
    return list(dict.fromkeys(option for part in parts for option in _readings(part)))


def _readings(part: str) -> Iterator[str]:
    """Returns all that one side of a slash may be."""
    inner: list[Sequence[str]] = []
    end, ways = 0, 1
    for match in _SPAN.finditer(part):
        inner += [[part[end : match.start()]], _options(match[0][1:-1]) or [match[0]]]
        end, ways = match.end(), ways * len(inner[-1])
        if ways > _MOST:
            raise ValueError(f"there are more than {_MOST} ways to read an alternation")
    for words in itertools.product(*inner, [part[end:]]):
        yield " ".join(word for word in " ".join(words).split() if word != "@")


def _with_optional(text: str) -> Iterator[Slot]:
    """Returns slots of a text without alternations."""
    end = 0
    for match in _OPTIONAL.finditer(text):
        if before := " ".join(text[end : match.start()].split()):
            yield (before,)
        yield (match[1], match[0], "")
        end = match.end()
    if rest := " ".join(text[end:].split()):
        yield (rest,)


def _is_optional(slot: Slot) -> bool:
    return len(slot) == 3 and slot[1] == f"({slot[0]})" and not slot[2]


def _literal(slot: Slot) -> str:
    return slot[1] if _is_optional(slot) else slot[0]
