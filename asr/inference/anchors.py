"""Where what is heard greedily and a text agree: the places at which a long recording is parted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

_ANCHORS = (14, 11, 8, 6)  # tokens in a row that agree


def find_anchors(heard: Sequence[tuple[int, int]], tokens: Sequence[int]) -> list[tuple[int, int]]:
    """Places in the text and frames that belong together, both ascending.

    Where some tokens in a row stand once in the text and once in what is heard, that is one; of those that contradict
    each other as many are kept as can be (the longest chain in which both ascend).
    """
    ids = [token for token, _ in heard]
    for length in _ANCHORS:
        of_text, of_heard = _once(tokens, length), _once(ids, length)
        pairs = sorted((of_text[key], of_heard[key]) for key in of_text.keys() & of_heard.keys())
        chain = _longest_ascending(pairs)
        if len(chain) >= max(1, len(tokens) // 200):
            break
    return [(place + length // 2, heard[at + length // 2][1]) for place, at in chain]


def _once(ids: Sequence[int], length: int) -> dict[tuple[int, ...], int]:
    """Runs of so many that stand there once, and where."""
    found: dict[tuple[int, ...], int] = {}
    twice = set()
    for at in range(len(ids) - length + 1):
        run = tuple(ids[at : at + length])
        if run in found:
            twice.add(run)
        found[run] = at
    return {run: at for run, at in found.items() if run not in twice}


def _longest_ascending(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of pairs, sorted by the first number, in which the second ascends, too."""
    ends: list[int] = []  # the least second number that chains of each length end with
    which: list[int] = []
    before: list[int] = []
    for n, (_, value) in enumerate(pairs):
        at = bisect_left(ends, value)
        if at == len(ends):
            ends.append(value)
            which.append(n)
        else:
            ends[at], which[at] = value, n
        before.append(which[at - 1] if at else -1)
    chain = []
    n = which[-1] if which else -1
    while n >= 0:
        chain.append(pairs[n])
        n = before[n]
    return chain[::-1]
