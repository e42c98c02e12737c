"""How sure an error rate is, and whether one system is better than another. Without torch.

Intervals are bootstrapped (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance
evaluation", 2004); systems are compared by the same draws of utterances, and by the matched-pairs test of sentence
segments (Gillick and Cox, "Some statistical issues in the comparison of speech recognition algorithms", 1989), cut as
NIST's sc_stats does. That test takes errors to be independent but within a segment: where they come in some speakers'
utterances rather than in others', it is too sure, and the draws are not. So both have to agree.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from asr.evaluate.wer import ErrorCounts, Pair, Scores
from asr.utils.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FEW_SPEAKERS = 10  # fewer are too few to be drawn from
SAMPLES = 10_000
_AT_ONCE = 2_000_000  # numbers drawn at a time
_GOOD = 2  # words right in both systems, that part two segments
_FEW_SEGMENTS = 50  # that differ; with fewer, signs are counted out


@dataclass(frozen=True)
class Interval:
    """Where a rate, or a difference of rates, would lie in other sets of the same kind."""

    low: float
    high: float
    over: Literal["utterances", "speakers"]  # what was drawn anew
    why: str = ""  # not speakers

    def as_dict(self) -> dict[str, Any]:
        """For JSON, rounded to what the draws can tell."""
        return {"interval": [round(self.low, 5), round(self.high, 5)], "interval_over": self.over}


@dataclass(frozen=True)
class MatchedPairs:
    """The matched-pairs test: whether errors a segment differ by more than chance."""

    segments: int  # with an error of either system
    mean: float  # of the errors of the first less those of the second, a segment
    deviation: float  # of them
    z: float
    p: float  # two-sided: of the normal law; of all ways that the signs could have fallen, where few segments differ


@dataclass(frozen=True)
class Comparison:
    """Two systems on one set."""

    systems: tuple[str, str]
    rates: tuple[float, float]
    interval: Interval | None  # of the first rate less the second; None of one utterance
    matched_pairs: MatchedPairs
    p: float  # of the matched pairs, corrected for the number of comparisons
    comparisons: int
    level: float

    @property
    def difference(self) -> float:
        """The first rate less the second."""
        return self.rates[0] - self.rates[1]

    @property
    def significant(self) -> bool:
        """Whether chance alone would rarely make such a difference: by the test, and by the interval."""
        interval = self.interval
        return self.p < 1 - self.level and interval is not None and (interval.low > 0 or interval.high < 0)

    def __str__(self) -> str:
        """In words, the better one first."""
        better, worse = self.systems if self.difference <= 0 else self.systems[::-1]
        by = f"{100 * abs(self.difference):.2f} % absolute"
        if self.interval is not None:
            edges = (self.interval.low, self.interval.high)
            edges = edges if self.difference > 0 else (-edges[1], -edges[0])
            low, high = (100 * edge + 0.0 for edge in edges)  # no -0
            by += f", {100 * self.level:g} % interval {low:.2f} to {high:.2f}"
            by += " over speakers" if self.interval.over == "speakers" else ""
        p = "p < 0.0001" if self.p < 1e-4 else f"p = {self.p:.4f}"
        p += f" (matched pairs{f', corrected for {self.comparisons} comparisons' if self.comparisons > 1 else ''})"
        if self.significant:
            return f"{better} is better than {worse} by {by}; {p}"
        if not self.difference:
            return f"{better} and {worse} are equally good: by {by}; {p}"
        but = ", but the interval holds 0" if self.p < 1 - self.level and self.interval else ""
        return f"whether {better} is better than {worse} is not certain: by {by}; {p}{but}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        test = self.matched_pairs
        return {
            "systems": list(self.systems),
            "rates": list(self.rates),
            "difference": self.difference,
            **interval_facts(self.interval),
            "p": self.p,
            "significant": self.significant,
            "comparisons": self.comparisons,
            "matched_pairs": {
                "segments": test.segments,
                "mean": test.mean,
                "z": test.z if math.isfinite(test.z) else None,  # where all differ alike: JSON has no infinity
                "p": test.p,
            },
        }


def confidence_interval(
    each: Sequence[ErrorCounts],
    speakers: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The interval of an error rate: utterances are drawn anew with replacement; speakers, where there are ten or more.

    Without any error draws have none either: the upper edge is then that of Clopper and Pearson (1934), units
    taken as independent. None for a single utterance, and where the references are empty.

    Args:
        each: Errors of each utterance.
        speakers: Of each utterance.
    """
    errors, lengths, over, why = _drawn_from([each], speakers)
    if len(each) < 2 or not lengths.sum():
        return None
    if not errors.any():
        return Interval(0.0, 1 - ((1 - level) / 2) ** (1 / int(lengths.sum())), over, why)
    rates = _resampled(errors[0], lengths, samples, seed)
    return _interval(rates, level, over, why)


def interval_facts(interval: Interval | None) -> dict[str, Any]:
    """For JSON."""
    return interval.as_dict() if interval else {"interval": None, "interval_over": None}


def compare(
    systems: Mapping[str, Scores],
    speakers: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    samples: int = SAMPLES,
    seed: int = 0,
) -> list[Comparison]:
    """Each system with each, on the same utterances in the same order.

    p-values are corrected for the number of comparisons (Holm, "A simple sequentially rejective multiple test
    procedure", 1979); intervals are each comparison's own.

    Raises:
        InputError: The systems were not scored against the same references, or these are empty.
    """
    if len(systems) < 2:
        raise InputError("a comparison needs two systems")
    if not any(scores.error.length for scores in systems.values()):
        raise InputError("the references are empty: there is no error rate to compare")
    names = list(systems)
    _check_same(systems)
    errors, lengths, over, why = _drawn_from([systems[name].each for name in names], speakers)
    found = []
    for a, b in itertools.combinations(range(len(names)), 2):
        interval = None
        if lengths.size > 1:
            interval = _interval(_resampled(errors[a] - errors[b], lengths, samples, seed), level, over, why)
        first, second = systems[names[a]], systems[names[b]]
        test = matched_pairs(first.alignments, second.alignments)
        rates = (first.error.rate, second.error.rate)
        found.append(Comparison((names[a], names[b]), rates, interval, test, test.p, 1, level))
    corrected = _holm([each.p for each in found])
    return [replace(each, p=p, comparisons=len(found)) for each, p in zip(found, corrected, strict=True)]


def matched_pairs(a: Sequence[Sequence[Pair]], b: Sequence[Sequence[Pair]]) -> MatchedPairs:
    """The test for two systems' alignments of the same utterances.

    An utterance is cut where two units, one after the other, are right in both; segments without error do not count.
    """
    import numpy as np

    segments = [segment for each in zip(a, b, strict=True) for segment in _segments(*each)]
    differences = np.array([first - second for first, second in segments], float)
    if len(differences) < 2:
        return MatchedPairs(len(differences), float(differences.sum()), 0.0, 0.0, 1.0)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation == 0:
        z = math.copysign(math.inf, mean) if mean else 0.0
    else:
        z = mean / (deviation / math.sqrt(len(differences)))
    few = np.count_nonzero(differences) < _FEW_SEGMENTS
    p = _sign_flips(differences) if few else math.erfc(abs(z) / math.sqrt(2))
    return MatchedPairs(len(differences), mean, deviation, z, p)


def _sign_flips(differences: npt.NDArray[np.float64]) -> float:
    """The share of all ways to choose the differences' signs whose sum lies as far from 0 (Fisher 1935)."""
    import numpy as np

    sizes = np.abs(differences).astype(np.int64)
    chances = np.ones(1)  # of each sum from -reach to reach
    for size in sizes[sizes > 0].tolist():
        wider = np.zeros(len(chances) + 2 * size)
        wider[: len(chances)] += chances / 2
        wider[2 * size :] += chances / 2
        chances = wider
    reach, found = len(chances) // 2, abs(int(differences.sum()))
    far = np.abs(np.arange(-reach, reach + 1)) >= found
    return min(1.0, float(chances[far].sum()))


def _segments(a: Sequence[Pair], b: Sequence[Pair]) -> list[tuple[int, int]]:
    """Errors of both systems in each segment of an utterance that has any."""
    found = []
    errors, good = [0, 0], 0
    for (inserted_a, wrong_a), (inserted_b, wrong_b) in zip(_by_reference(a), _by_reference(b), strict=True):
        if inserted_a or inserted_b:
            good = 0
        good = 0 if wrong_a or wrong_b else good + 1
        errors[0] += inserted_a + wrong_a
        errors[1] += inserted_b + wrong_b
        if good >= _GOOD and any(errors):
            found.append((errors[0], errors[1]))
            errors = [0, 0]
    return [*found, (errors[0], errors[1])] if any(errors) else found


def _by_reference(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Of each unit of the reference, how many were inserted before it, and whether it is wrong; last, of its end."""
    found, inserted = [], 0
    for reference, hypothesis in pairs:
        if reference is None:
            inserted += 1
        else:
            found.append((inserted, int(reference != hypothesis)))
            inserted = 0
    return [*found, (inserted, 0)]


def _said(scores: Scores) -> list[list[str]]:
    return [[reference for reference, _ in pairs if reference is not None] for pairs in scores.alignments]


def _check_same(systems: Mapping[str, Scores]) -> None:
    (first, scores), *others = systems.items()
    for name, other in others:
        if other.unit != scores.unit or _said(other) != _said(scores):
            raise InputError(
                f"was not scored against the same references as {first}",
                where=name,
                remedy="compare results of the same set, of models that write texts alike",
            )


def _drawn_from(
    systems: Sequence[Sequence[ErrorCounts]], speakers: Sequence[str] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Literal["utterances", "speakers"], str]:
    """Errors (systems, N) and lengths (N,) of what is drawn, what that is, and why it is not speakers."""
    import numpy as np

    lengths = np.array([n.length for n in systems[0]], np.int64)
    errors = np.array([[n.errors for n in each] for each in systems], np.int64)
    if speakers is None or not all(speakers):
        return errors, lengths, "utterances", "the speakers are not known"
    kinds, group = np.unique(np.array(speakers), return_inverse=True)
    if len(kinds) < FEW_SPEAKERS:
        number = f"there are {len(kinds)} speakers" if len(kinds) > 1 else "there is one speaker"
        return errors, lengths, "utterances", f"{number}, and fewer than {FEW_SPEAKERS} are too few to draw from"
    by_speaker = np.array([np.bincount(group, own) for own in errors]).astype(np.int64)
    return by_speaker, np.bincount(group, lengths).astype(np.int64), "speakers", ""


def _resampled(
    errors: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], samples: int, seed: int
) -> npt.NDArray[np.float64]:
    """Errors (N,) and lengths (N,) -> (samples,) rates of as many drawn with replacement."""
    import numpy as np

    rng = np.random.default_rng(seed)
    size = len(errors)
    rates = []
    for begin in range(0, samples, step := max(1, _AT_ONCE // size)):
        chosen = rng.integers(size, size=(min(step, samples - begin), size), dtype=np.int32)
        rates.append(errors[chosen].sum(axis=1) / np.maximum(lengths[chosen].sum(axis=1), 1))
    return np.concatenate(rates)


def _interval(
    rates: npt.NDArray[np.float64], level: float, over: Literal["utterances", "speakers"], why: str
) -> Interval:
    import numpy as np

    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), over, why)


def _holm(ps: Sequence[float]) -> list[float]:
    """p-values, corrected so that all claims together are rarely wrong."""
    corrected, worst = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[i]))
        corrected[i] = worst
    return corrected
