"""Splits: draws that are the same each time, for corpora whose publisher has none, and no utterance in two."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from asr.errors import InputError
from data_prep.manifest import Source, left_out_line

log = logging.getLogger(__name__)


def hash_share(key: str) -> float:
    """A number from 0 to 1 that an utterance's id determines: those below 0.05 are a fixed twentieth of a corpus."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:6], "big") / (1 << 48)


def share_by_speaker(
    sources: Sequence[Source], shares: Mapping[str, float], seed: int = 1, *, where: str | Path | None = None
) -> dict[str, str]:
    """Speaker -> split: in an order drawn by the seed, speakers go to each split of `shares` in turn, until its share
    of the utterances is nearly full; one at least to each, and the one with most utterances to train, as all the rest.

    Raises:
        InputError: There are fewer speakers than splits; it names `where` they are from.
    """
    counts = Counter(source.speaker for source in sources)
    if len(counts) <= len(shares):
        raise InputError(
            f"{len(counts)} speakers cannot be split into train, {' and '.join(sorted(shares))}",
            where=where,
            remedy="add some, one at least for each",
        )
    largest = max(sorted(counts), key=lambda speaker: counts[speaker])
    waiting = sorted((s for s in counts if s != largest), key=lambda speaker: _draw(seed, speaker))
    owner = dict.fromkeys(counts, "train")
    for number, (name, share) in enumerate(shares.items(), 1):
        taken = 0
        reserve = len(shares) - number  # a speaker must be left for each split to come
        for speaker in list(waiting):
            enough = taken + counts[speaker] / 2 > share * len(sources)
            if (taken and enough) or len(waiting) <= reserve:
                continue
            owner[speaker] = name
            waiting.remove(speaker)
            taken += counts[speaker]
    return owner


def share_at_random(
    sources: Sequence[Source], shares: Mapping[str, float], seed: int = 1, *, where: str | Path | None = None
) -> dict[str, str]:
    """Id -> split: utterances, in an order drawn by the seed, fill each split of `shares` in turn; the rest is train.

    Raises:
        InputError: There are fewer utterances than splits; it names `where` they are from.
    """
    if len(sources) <= len(shares):
        raise InputError(
            f"{len(sources)} utterances cannot be split into train, {' and '.join(sorted(shares))}",
            where=where,
            remedy="add some, one at least for each",
        )
    waiting = iter(sorted((source.id for source in sources), key=lambda name: _draw(seed, name)))
    owner = {
        key: name for name, share in shares.items() for key in islice(waiting, max(1, round(share * len(sources))))
    }
    return owner | dict.fromkeys(waiting, "train")


def split_ends(sources: Sequence[Source], count: int) -> dict[str, list[Source]]:
    """Test is the last `count` of them, dev as many before, train the rest; of less than 2 `count`, a third each."""
    count = min(count, len(sources) // 3) if len(sources) < 2 * count else count
    start, middle = len(sources) - 2 * count, len(sources) - count
    return {"train": [*sources[:start]], "dev": [*sources[start:middle]], "test": [*sources[middle:]]}


def drop_repeats(splits: dict[str, list[Source]]) -> list[str]:
    """Keeps each id once: train gives way to all others, and these to test and dev. A further split of which nothing is
    left goes.

    Returns:
        What is left out: a line each.
    """
    left_out: list[str] = []
    seen: dict[str, Source] = {}
    for split in sorted(splits, key=lambda name: (name == "train", name != "test", name != "dev", name)):
        kept = []
        for source in splits[split]:
            if source.id in seen:
                left_out.append(left_out_line(f"{source.id} is there already: {seen[source.id].origin}", source.origin))
            else:
                seen[source.id] = source
                kept.append(source)
        splits[split] = kept
    for split in [name for name, found in splits.items() if not found and name not in ("train", "dev", "test")]:
        log.warning("no utterance is left of %s", split)
        del splits[split]
    return left_out


def _draw(seed: int, name: str) -> str:
    return hashlib.blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
