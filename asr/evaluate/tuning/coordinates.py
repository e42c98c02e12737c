"""Options that give the least error, found coordinate by coordinate; what was tried is kept on disk."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asr.models.decoding_options import DecodingOptions
from asr.utils.config import to_dict
from asr.utils.errors import InputError
from asr.utils.files import write_text

log = logging.getLogger(__name__)

WORTH = 0.01  # of the error rate: what more work has to bring


@dataclass(frozen=True)
class Trial:
    """Options and what they gave."""

    options: DecodingOptions
    error: float  # WER or CER


@dataclass(frozen=True)
class Table:
    """Lists the values to try of each option, in order. Of equals the first one is kept."""

    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # all with all
    steps: Mapping[str, float] = field(default_factory=dict)  # to both sides, as long as one is better; then half
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # which steps do not pass
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # one after another, begun with the first
    costs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # the first that is about as good as any

    @property
    def most(self) -> int:
        """Returns the number of trials: exact where there are values alone, else about."""
        grid = math.prod(map(len, self.grid.values())) + 12 * len(self.steps) if self.steps else 1
        return grid + sum(len(each) - 1 for each in self.values.values()) + sum(map(len, self.costs.values()))


def coordinate_search(
    error: Callable[[DecodingOptions], float], start: DecodingOptions, table: Table
) -> tuple[Trial, list[Trial]]:
    """The options of least error that a table leads to, and all that were tried, each once."""
    trials: dict[DecodingOptions, Trial] = {}

    def tried(options: DecodingOptions, **changes: Any) -> Trial:
        changed = replace(options, **changes)
        if changed not in trials:
            trials[changed] = Trial(changed, error(changed))
        return trials[changed]

    firsts: dict[str, Any] = {name: values[0] for name, values in table.values.items()}
    start = replace(start, **firsts)
    best = tried(start)
    if table.grid:
        for point in itertools.product(*table.grid.values()):
            best = _better(best, tried(start, **dict(zip(table.grid, point, strict=True))))
    for scale in (1.0, 0.5):
        improved = True
        while improved:
            improved = False
            for name, sign in itertools.product(table.steps, (-1, 1)):
                value = round(getattr(best.options, name) + sign * scale * table.steps[name], 4)
                low, high = table.limits.get(name, (-math.inf, math.inf))
                if low <= value <= high:
                    found = tried(best.options, **{name: value})
                    improved |= found.error < best.error
                    best = _better(best, found)
    for name, values in table.values.items():
        for value in values[1:]:
            best = _better(best, tried(best.options, **{name: value}))
    for name, sizes in table.costs.items():
        by_size = [tried(best.options, **{name: size}) for size in sizes]
        least = min(trial.error for trial in by_size)
        best = next(trial for trial in by_size if trial.error <= least * (1 + WORTH))
    return best, list(trials.values())


def _better(a: Trial, b: Trial) -> Trial:
    return b if b.error < a.error else a


class KeptNumbers:
    """Keeps the numbers that options gave, so that each is computed once, also over a stop.

    Args:
        path: A file of it.
        of: What is decoded, and with what: a file of anything else is begun anew.
    """

    def __init__(self, path: Path, of: Iterable[bytes]) -> None:
        digest = hashlib.sha256()
        for each in of:
            digest.update(each)
        self.path, self.found = path, dict[str, list[float]]()
        own = json.dumps({"of": digest.hexdigest()})
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")[:-1] if path.is_file() else []
        if lines[:1] == [own]:  # what follows the last newline may be cut off
            try:
                self.found = {key: _numbers(value) for line in lines[1:] for key, value in json.loads(line).items()}
                log.info("%s: %s decodings are there already", path, f"{len(self.found):,}")
            except (ValueError, AttributeError, RecursionError):
                log.warning("%s is damaged: begun anew", path)
        write_text(path, "".join(f"{line}\n" for line in (lines if self.found else [own])))

    def get(self, what: str, options: DecodingOptions, compute: Callable[[], list[float]]) -> list[float]:
        """Numbers of some kind that options give."""
        key = f"{what} {json.dumps(to_dict(options))}"
        if key not in self.found:
            self.found[key] = compute()
            try:
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(json.dumps({key: self.found[key]}) + "\n")
            except OSError as e:
                raise InputError(f"cannot be written ({e.strerror or e})", where=self.path) from e
        return self.found[key]


def _numbers(value: object) -> list[float]:
    if not isinstance(value, list) or len(value) not in (1, 3) or not all(isinstance(each, float) for each in value):
        raise ValueError(value)
    return value
