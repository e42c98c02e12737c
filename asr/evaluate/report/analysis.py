"""Where a system fails: by length, speaker, speed, noise, word; what is taken for what; whether it knows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asr.evaluate.report.results import Results, Row
from asr.evaluate.significance import confidence_interval
from asr.evaluate.wer import ErrorCounts, Pair, correct_words

_CLASSES = 5  # of utterances by a number, each with as many
_BINS = 10  # of confidence
_SAMPLES = 2000  # draws for the interval of a group
_PLACES = ("first", "second", "middle", "last but one", "last")
_OFTEN = "more often"
_SEEN = ((0, "never"), (1, "once"), (5, "2 to 5 times"), (20, "6 to 20 times"), (100, "21 to 100 times"))


@dataclass(frozen=True)
class Group:
    """Utterances, or words, that have something in common."""

    label: str
    count: int  # of them
    length: int  # units of reference in them
    rate: float  # errors a unit
    interval: tuple[float, float] | None  # None where there are too few utterances
    utterances: tuple[int, ...]  # their numbers


@dataclass(frozen=True)
class Confusion:
    """What was said, what was heard, how often, and in which utterances (by number)."""

    said: str  # "": inserted
    heard: str  # "": deleted
    count: int
    utterances: tuple[int, ...]


@dataclass(frozen=True)
class Calibration:
    """Confidence of words against whether they are right."""

    words: int
    right: int
    bins: tuple[tuple[float, float, int], ...]  # mean confidence, share that is right, words
    expected_error: float  # between the two, weighted by words: the expected calibration error
    found: tuple[tuple[float, float], ...]  # share of words checked, least sure first; share of wrong words among them


def by_utterance(results: Results) -> dict[str, list[Group]]:
    """Error rates of utterances by what is known of them."""
    rows, each = results.rows, results.scores.each
    found: dict[str, list[Group]] = {}

    def numbers(name: str, value: Callable[[Row, int], float | None]) -> None:
        values = [value(row, n.length) for row, n in zip(rows, each, strict=True)]
        if len({v for v in values if v is not None}) > 1:
            found[name] = _classes(values, each)

    numbers("Duration, s", lambda row, length: row.duration)
    numbers(f"Length, {results.unit}", lambda row, length: length)
    numbers(
        f"Speaking rate, {results.unit} a second", lambda row, length: length / row.duration if row.duration else None
    )
    numbers("Signal-to-noise ratio (estimated), dB", lambda row, length: row.snr)
    members: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if row.speaker:
            members[row.speaker].append(i)
    if len(members) > 1:
        groups = [_group(speaker, [each[i] for i in own], own) for speaker, own in members.items()]
        found["Speaker"] = sorted(groups, key=lambda group: -group.rate)
    return found


def by_word(results: Results) -> dict[str, list[Group]]:
    """Error rates of the units that were said: by place in the utterance, by how often training had them.

    Insertions belong to no unit that was said, and are not in these rates.
    """
    units = [[pair for pair in pairs if pair[0] is not None] for pairs in results.scores.alignments]
    places = [[_place(i, len(own)) for i in range(len(own))] for own in units]
    found = {"Place in the utterance": _of_units(units, places, _PLACES)}
    seen = [[_seen(n) for n in row.seen] for row in results.rows]
    fitting = [own if len(own) == len(labels) else [] for own, labels in zip(units, seen, strict=True)]
    if any(fitting):
        labels = [own[: len(fits)] for own, fits in zip(seen, fitting, strict=True)]
        found["Times in the training texts"] = _of_units(fitting, labels, [*(label for _, label in _SEEN), _OFTEN])
    return {title: groups for title, groups in found.items() if groups}


def _of_units(units: Sequence[Sequence[Pair]], labels: Sequence[Sequence[str]], order: Sequence[str]) -> list[Group]:
    counts: dict[str, list[ErrorCounts]] = defaultdict(list)
    where: dict[str, list[int]] = defaultdict(list)
    for number, (own, kinds) in enumerate(zip(units, labels, strict=True)):
        wrong: Counter[str] = Counter()
        for (reference, hypothesis), kind in zip(own, kinds, strict=True):
            wrong[kind] += reference != hypothesis
        for kind, n in Counter(kinds).items():
            counts[kind].append(ErrorCounts(wrong[kind], 0, 0, n))
            where[kind].append(number)
    return [_group(kind, counts[kind], where[kind]) for kind in order if kind in counts]


def confusions(
    alignments: Sequence[Iterable[tuple[str | None, str | None]]], most: int = 50
) -> dict[str, list[Confusion]]:
    """The most frequent substitutions, deletions and insertions."""
    where: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, pairs in enumerate(alignments):
        for reference, hypothesis in pairs:
            if reference != hypothesis:
                where[reference or "", hypothesis or ""].append(i)
    ordered = sorted(where.items(), key=lambda item: (-len(item[1]), item[0]))
    kinds: dict[str, Callable[[str, str], bool]] = {
        "substitutions": lambda said, heard: bool(said and heard),
        "deletions": lambda said, heard: not heard,
        "insertions": lambda said, heard: not said,
    }
    return {
        name: [
            Confusion(said, heard, len(places), tuple(dict.fromkeys(places)))
            for (said, heard), places in ordered
            if chosen(said, heard)
        ][:most]
        for name, chosen in kinds.items()
    }


def calibration(results: Results) -> Calibration | None:
    """None where words have no confidence."""
    rows = [row for row in results.rows if all(word.confidence is not None for word in row.words)]
    marks = (
        correct_words([row.reference for row in rows], [[word.text for word in row.words] for row in rows])
        if rows
        else []
    )
    sure = [
        (word.confidence or 0.0, ok)
        for row, own in zip(rows, marks, strict=True)
        for word, ok in zip(row.words, own, strict=True)
    ]
    if not sure:
        return None
    bins = []
    for n in range(_BINS):
        own = [(c, ok) for c, ok in sure if min(_BINS - 1, int(c * _BINS)) == n]
        if own:
            bins.append((sum(c for c, _ in own) / len(own), sum(ok for _, ok in own) / len(own), len(own)))
    expected = sum(n * abs(mean - share) for mean, share, n in bins) / len(sure)
    wrong = sum(not ok for _, ok in sure)
    found = [(0.0, 0.0)]
    if wrong:
        seen = 0
        ordered = sorted(sure, key=lambda item: item[0])
        for i, (confidence, ok) in enumerate(ordered, 1):
            seen += not ok
            if i == len(ordered) or ordered[i][0] != confidence:  # equally sure words are checked together
                found.append((i / len(sure), seen / wrong))
    return Calibration(len(sure), len(sure) - wrong, tuple(bins), expected, tuple(found))


def found_by_checking(calibration: Calibration, share: float) -> float:
    """The share of wrong words among the least sure ones, so many of all."""
    before = (0.0, 0.0)
    for checked, found in calibration.found:
        if checked >= share:
            span = checked - before[0]
            return before[1] + (found - before[1]) * ((share - before[0]) / span if span else 0)
        before = (checked, found)
    return before[1]


def _classes(values: Sequence[float | None], each: Sequence[ErrorCounts]) -> list[Group]:
    """Utterances in classes of the same size by a number, those of the same number together."""
    known = sorted((v, i) for i, v in enumerate(values) if v is not None)
    edges = sorted({known[max(1, n * len(known) // _CLASSES) - 1][0] for n in range(1, _CLASSES)})
    groups = []
    for low, high in zip([None, *edges], [*edges, None], strict=True):
        own = [(v, i) for v, i in known if (low is None or v > low) and (high is None or v <= high)]
        if own:
            least, most = _shown(own[0][0]), _shown(own[-1][0])
            label = f"{least} to {most}" if least != most else least
            groups.append(_group(label, [each[i] for _, i in own], [i for _, i in own]))
    return groups


def _shown(value: float) -> str:
    """Two decimals where they are needed."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _group(label: str, each: Sequence[ErrorCounts], utterances: Sequence[int]) -> Group:
    errors, length = sum(n.errors for n in each), sum(n.length for n in each)
    drawn = confidence_interval(each, samples=_SAMPLES)
    interval = (drawn.low, drawn.high) if drawn else None
    rate = errors / length if length else float(errors > 0)
    return Group(label, len(each), length, rate, interval, tuple(utterances))


def _place(i: int, n: int) -> str:
    first, second, middle, last_but_one, last = _PLACES
    if i == 0 or i == n - 1:
        return first if i == 0 else last
    return middle if n <= 4 else second if i == 1 else last_but_one if i == n - 2 else middle


def _seen(times: int) -> str:
    return next((label for most, label in _SEEN if times <= most), _OFTEN)
