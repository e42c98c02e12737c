"""Parts of a corpus, a folder each: what their names say that they are for, and what is taken where one is missing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asr.utils.errors import InputError
from data_prep._manifest import Source
from data_prep._splits import share_at_random, share_by_speaker

log = logging.getLogger(__name__)

_SHARE = 0.1  # of dev, and of test, where no part is named for them
_PURPOSE = re.compile(  # whole words: not `new-testament`
    r"(?:^|[_. -])(?:(?P<train>train(?:ing)?)|(?P<dev>dev(?:elopment)?|valid(?:ation)?)|"
    r"(?P<test>test(?:ing)?|eval(?:uation)?))(?![^\W\d_])",
    re.IGNORECASE,
)


def _purpose(part: str) -> str | None:
    """Returns the split that the name of a part, or else of a folder around it, stands for."""
    matches = (_PURPOSE.search(name) for name in reversed(part.split("/")))
    return next((match.lastgroup for match in matches if match), None)


def splits_of_parts(
    parts: Iterable[str], chosen: Mapping[str, str | None], corpus_dir: Path, train: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Returns the parts of each split."""
    waiting = sorted(parts)
    splits: dict[str, list[str]] = {"train": []}
    named_parts = [("train", part) for part in sorted(set(train))]
    named_parts += [(split, part) for split, part in chosen.items() if part is not None]
    for split, part in named_parts:
        if owner := next((name for name, names in splits.items() if part in names), None):
            raise InputError(f"{part!r} is {owner} already", where=f"{split}_part", remedy="name another part")
        if part not in waiting:
            raise InputError(
                f"{part!r} is none of {', '.join(waiting) or 'those left'}",
                where=f"{split}_part",
                remedy=f"name one of them, or unpack it into {corpus_dir}",
            )
        splits.setdefault(split, []).append(part)
        waiting.remove(part)
    if train:
        waiting = [part for part in waiting if _purpose(part) != "train"]
    for split in chosen:
        named = [part for part in waiting if _purpose(part) == split]
        if split not in splits and named:
            splits[split] = [min(named, key=lambda part: (part != split, part != f"{split}-clean", part))]
            waiting.remove(splits[split][0])
    for purpose in ("train", None):  # where no name says train, parts whose names say nothing are
        splits["train"] = splits["train"] or [part for part in waiting if _purpose(part) == purpose]
    for part in waiting:
        if part not in splits["train"]:
            name = re.sub(r"\W+", "_", part)
            splits[f"{name}_part" if name in ("train", *chosen) else name] = [part]
    if not splits["train"]:
        del splits["train"]
        log.warning("%s has no part to train on", corpus_dir)
    return splits


def hold_out(sources: dict[str, list[Source]], corpus_dir: Path) -> None:
    """Takes dev and test, where they are missing, from train."""
    shares = {split: _SHARE for split in ("test", "dev") if split not in sources}
    if not shares:
        return
    train = sources["train"]
    missing = " and ".join(sorted(shares))
    options = " and ".join(f"--{split}-part" for split in sorted(shares))
    if len({source.speaker for source in train}) > len(shares):
        speakers = share_by_speaker(train, shares)
        owner = {source.id: speakers[source.speaker] for source in train}
        taken = ", ".join(sorted({source.speaker for source in train if owner[source.id] != "train"}))
        log.warning(
            "%s has no part named %s: speakers %s of train are taken; %s can name one",
            *(corpus_dir, missing, taken, options),
        )
    else:
        owner = share_at_random(train, shares, where=corpus_dir)
        log.warning(
            "%s has no part named %s: utterances of train are taken, so that its voices are in them; %s can name one",
            *(corpus_dir, missing, options),
        )
    for split in ("train", *sorted(shares)):
        sources[split] = [source for source in train if owner[source.id] == split]
