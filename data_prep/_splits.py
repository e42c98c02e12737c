"""Splits: draws that are the same each time, for corpora whose publisher has none, and no utterance in two."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from asr.audio.reader import audio_info
from asr.utils.errors import InputError
from data_prep._manifest import (
    Source,
    left_out_line,
)

log = logging.getLogger(__name__)

SPLITS = ("train", "dev", "test")
SPLIT_BY = ("auto", "column", "speaker", "random")


def hash_share(key: str) -> float:
    """A number from 0 to 1 that an utterance's id determines: those below 0.05 are a fixed twentieth of a corpus."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:6], "big") / (1 << 48)


def part_of(sources: Iterable[Source], hours: float) -> list[Source]:
    """Utterances of no more than so many hours together, those first that a hash of the id puts first: less is within
    more."""
    left = 3600 * hours
    found: list[Source] = []
    for source in sorted(sources, key=lambda source: hash_share(f"part {source.id}")):
        with suppress(InputError):  # write_corpus leaves it out, and says so
            left -= audio_info(source.audio).duration
        if left < 0:
            break
        found.append(source)
    return found


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


def check_split(split_by: str, dev: float, test: float) -> None:
    """Looks at how a corpus without splits is to be split.

    Raises:
        InputError: There is no such way, or the shares leave nothing.
    """
    if split_by not in SPLIT_BY:
        raise InputError(f"{split_by!r} is none of {', '.join(SPLIT_BY)}", where="split_by")
    if not (0 < dev < 1 and 0 < test < 1 and dev + test < 1):
        raise InputError(f"shares of {dev} and {test} leave nothing for training", where="dev and test")


def split_sources(
    sources: Sequence[Source],
    labels: Sequence[str],
    *,
    split_by: str,
    dev: float,
    test: float,
    seed: int,
    where: str | Path,
) -> dict[str, list[Source]]:
    """Train, dev and test of a corpus without splits of a publisher's.

    Args:
        sources: The utterances.
        labels: The split that each is said to belong to, or "".
        split_by: `column`: as the labels say; `speaker`: whole speakers, so that none is on both sides; `random`:
            utterance by utterance. `auto` takes the labels where there are any (and refuses them if a speaker is on
            both sides: `column` takes them as they are), else splits by speaker where speakers are named, else at
            random.
        dev: Share of the utterances for dev, where the split is made here.
        test: The same for test.
        seed: Of the split made here.
        where: Where they are from.
    """
    speakers = {source.speaker for source in sources if source.speaker}
    unnamed = [source.origin for source in sources if not source.speaker]
    by = split_by
    if by == "auto":
        by = "column" if any(labels) else "speaker" if speakers else "random"
        if by == "random":
            log.warning("%s names no speakers: split at random, so that dev and test may have voices of train", where)
    splits: dict[str, list[Source]] = {name: [] for name in SPLITS}
    if by == "column":
        for source, label in zip(sources, labels, strict=True):
            if label not in splits:
                raise InputError(f"split {label!r} is none of {', '.join(SPLITS)}", where=source.origin)
            splits[label].append(source)
        if split_by == "auto":
            _check_speakers(splits, where)
        for name in ("train", "dev"):
            if not splits[name]:
                raise InputError(
                    f"its split column puts nothing into {name}",
                    where=where,
                    remedy="name some rows so, or have them split with --split-by speaker or random",
                )
        return {name: found for name, found in splits.items() if found or name != "test"}
    if by == "speaker":
        if unnamed:
            several = f"{len(unnamed):,} rows name" if len(unnamed) > 1 else "1 row names"
            what = f"{several} no speaker, the first is {unnamed[0] or 'not said'}"
            raise InputError(what, where=where, remedy="name them, or use --split-by random")
        if len(speakers) < 3:
            raise InputError(
                f"{len(speakers)} speakers cannot be split into train, dev and test",
                where=where,
                remedy="--split-by random puts the same speakers on all sides; say so where you state a result",
            )
        owner = share_by_speaker(sources, {"test": test, "dev": dev}, seed)
        for source in sources:
            splits[owner[source.speaker]].append(source)
        return splits
    owner = share_at_random(sources, {"test": test, "dev": dev}, seed, where=where)
    for source in sources:
        splits[owner[source.id]].append(source)
    return splits


def _check_speakers(splits: dict[str, list[Source]], where: str | Path) -> None:
    seen: dict[str, str] = {}
    for name, sources in splits.items():
        for speaker in sorted({source.speaker for source in sources if source.speaker}):
            if speaker in seen:
                raise InputError(
                    f"speaker {speaker!r} is in {seen[speaker]} and in {name}: errors would look smaller than they are",
                    where=where,
                    remedy="if that is meant, say --split-by column; else --split-by speaker",
                )
            seen[speaker] = name


def _draw(seed: int, name: str) -> str:
    return hashlib.blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
