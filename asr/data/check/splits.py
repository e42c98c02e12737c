"""What stands on both sides of a split, or twice in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asr.data.check.audio_facts import SILENT, AudioFacts
from asr.data.check.report import Example, Finding, Row, found
from asr.data.cuts import Utterance
from asr.data.names import names_that_look_the_same
from asr.utils.unicode import plain_name

_LITTLE = 60.0  # seconds of training speech, with which nothing was ever learnt


def check_missing(splits: Mapping[str, Sequence[Utterance]]) -> Iterator[Finding]:
    empty = [Example(split, "no utterance") for split, some in splits.items() if not some]
    remedy = "training needs utterances to learn from (train) and others to judge by (dev)"
    yield from found("empty-split", "fatal", "splits without utterances", remedy, empty)
    seconds = sum(utterance.duration for utterance in splits.get("train", ()))
    remedy = "two words of one voice took 150 s, whole sentences take an hour: docs/small-data.md"
    little = [Example("train", f"{seconds:.0f} s")] if 0 < seconds < _LITTLE else []
    yield from found("little-speech", "warning", "splits with too little speech to learn from", remedy, little)


def check_both_sides(splits: Mapping[str, Sequence[Utterance]], rows: Sequence[Row], words: bool) -> Iterator[Finding]:
    """The same audio twice, and audio, speakers or sentences of training in other splits."""
    first: dict[Any, Row] = {}
    twice: list[tuple[Row, Example]] = []
    leaked: list[tuple[Row, Example]] = []
    for row in rows:  # training comes first
        u = row.utterance
        keys: list[Any] = [(u.audio, round(u.start, 2), u.channel)]
        if isinstance(row.audio, AudioFacts) and row.audio.level >= SILENT:
            keys.append(row.audio.digest)
        known = next((first[key] for key in keys if key in first), None)
        for key in keys:
            first.setdefault(key, row)
        if known is not None:
            across = known.split != row.split
            same = "the same text" if known.text == row.text else "another text"
            (leaked if across else twice).append(
                (row, row.example(f"{row.split}, as {known.utterance.id} of {known.split}, with {same}"))
            )
    yield from found(
        "same-audio",
        "warning",
        "audio that stands there twice",
        "leave one out; where the texts differ, one is wrong",
        [example for _, example in twice],
        len(rows),
    )
    dev = len(splits.get("dev", ()))
    yield from found(
        "leaked-audio",
        "fatal" if 2 * sum(r.split == "dev" for r, _ in leaked) > max(dev, 1) else "warning",
        "audio of one split that is in another, too",
        "take it out of one: error rates on what was trained on mean nothing",
        [example for _, example in leaked],
        len(rows),
    )
    training = [r for r in rows if r.split == "train"]
    others = [r for r in rows if r.split != "train" and "train" in splits]
    yield from _check_speakers(training, others)
    sentences = {r.text: r for r in training if _is_sentence(r, words)}
    again = [(r, sentences[r.text]) for r in others if r.text in sentences]
    yield from found(
        "shared-texts",
        "warning" if 10 * len(again) > len(others) else "note",
        "sentences of training in other splits",
        "error rates are lower than those of new sentences",
        [r.example(f"{r.split}, as {known.utterance.id}, {r.shown}") for r, known in again],
        len(others),
    )


def _check_speakers(training: Sequence[Row], others: Sequence[Row]) -> Iterator[Finding]:
    """Speakers of training in other splits, and names that may be one speaker's."""
    speakers = {_speaker(r) for r in training if _speaker(r)}
    by_speaker: dict[tuple[str, str], int] = Counter((_speaker(r), r.split) for r in others)
    shared = {key: n for key, n in by_speaker.items() if key[0] in speakers}
    named = {key for key in by_speaker if key[0]}
    everybody = speakers | {speaker for speaker, _ in named}
    if len(everybody) > 1:
        mistake = 2 * len(shared) < len(named)  # where most are on both sides, that is meant
        yield from found(
            "shared-speakers",
            "warning" if mistake else "note",
            "speakers of training in other splits",
            "error rates are those of known voices; new ones will be worse",
            [Example(speaker, f"{n:,} utterances in {split}") for (speaker, split), n in sorted(shared.items())],
            len(named),
        )
    yield from found(
        "similar-speakers",
        "warning",
        "speakers whose names look the same, taken for two",
        "where they are one person, write the name in one way: else one voice is on both sides of a split",
        [Example(one, f"and {other}") for one, other in names_that_look_the_same(everybody)],
        len(everybody),
    )


def _speaker(row: Row) -> str:
    return plain_name(row.utterance.speaker)


def _is_sentence(row: Row, words: bool) -> bool:
    """Whether a text is so long and varied that it does not come again by chance, as words and digits do."""
    return len(set(row.text.split())) >= 4 if words else len(set(row.text)) >= 8
