"""Stretches of recordings that several utterances have: the same twice, or one that lies over another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_prep._manifest import Notes, Source

OVERLAP = 0.25  # of an utterance, that may be of other speakers, too


def shared_seconds(sources: Sequence[Source]) -> list[dict[str, float]]:
    """Returns for each utterance of a recording, by speaker, how much of it lies in other utterances."""
    shares: list[dict[str, float]] = [{} for _ in sources]
    running: list[int] = []
    for number in sorted(range(len(sources)), key=lambda number: sources[number].start):
        source = sources[number]
        running = [each for each in running if _end(sources[each]) > source.start]
        for other in running:
            seconds = min(_end(sources[other]), _end(source)) - source.start
            for one, two in ((number, other), (other, number)):
                speaker = sources[two].speaker
                shares[one][speaker] = shares[one].get(speaker, 0.0) + seconds
        running.append(number)
    return shares


def _end(source: Source) -> float:
    return source.start + (source.duration or 0.0)


def note_stretches(sources: Iterable[Source], notes: Notes) -> None:
    """Counts utterances that have the same stretch of a recording as another one, and those that lie over another."""
    of_recording: dict[tuple[Path, int | None], list[Source]] = {}
    for source in sources:
        of_recording.setdefault((source.audio, source.channel), []).append(source)
    for several in of_recording.values():
        if len(several) > 1:
            _note_recording(several, notes)


def _note_recording(sources: Sequence[Source], notes: Notes) -> None:
    first: dict[tuple[float, float], Source] = {}
    for source in sources:
        known = first.setdefault((round(source.start, 2), round(_end(source), 2)), source)
        if known is not source:
            text = "the same text" if known.text == source.text else "another text"
            notes.count(f"utterances of the same stretch of a recording as one before, with {text}", _place(source))
    alone = list(first.values())
    for source, shares in zip(alone, shared_seconds(alone), strict=True):
        others = sum(share for speaker, share in shares.items() if speaker and speaker != source.speaker)
        least = OVERLAP * (source.duration or 0.0)
        if source.speaker and others > least:
            notes.count(f"utterances that others talk over for more than {OVERLAP:.0%} of them, kept", _place(source))
        elif sum(shares.values()) > least:
            what = f"utterances of which another one of no other named speaker has more than {OVERLAP:.0%}, kept"
            notes.count(what, _place(source))


def _place(source: Source) -> str:
    return source.origin or source.id
