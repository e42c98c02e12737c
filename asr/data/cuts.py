"""Lhotse cut manifests -> utterances. Lhotse, which brings torch, is imported when a manifest is read.

Manifests may come from strangers: Lhotse would run the shell command of a `command` source and fetch a `url`.
Only sources of type `file` are taken, and audio is read by `asr.audio.reader`, never by Lhotse.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asr.audio.reader import Samples, read_audio
from asr.utils.errors import InputError
from asr.utils.unicode import plain_name


@dataclass(frozen=True)
class Utterance:
    """A stretch of an audio file and what is said in it, as the publisher wrote it."""

    id: str
    audio: str
    text: str
    duration: float  # seconds
    start: float = 0.0  # seconds into the file
    whole: bool = True  # the whole file, so that one that is cut short is noticed
    channel: int | None = None
    speaker: str = ""

    def samples(self, sample_rate: int) -> Samples:
        """Its samples (N,), as read_audio gives them."""
        if self.whole:
            samples = read_audio(self.audio, sample_rate, channel=self.channel)
            if abs(len(samples) / sample_rate - self.duration) > max(0.1, 0.01 * self.duration):
                raise InputError(
                    f"lasts {len(samples) / sample_rate:.2f} s, its manifest says {self.duration:.2f} s ({self.id})",
                    where=self.audio,
                    remedy="prepare the corpus again",
                )
            return samples
        return read_audio(self.audio, sample_rate, start=self.start, duration=self.duration, channel=self.channel)


def read_cuts(path: str | Path) -> list[Utterance]:
    """Utterances of a cut manifest (`cuts_*.jsonl.gz` or `.jsonl`).

    Raises:
        InputError: Names the file and the cut where it is not audio from a plain file with one text.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path, remedy="make it with `asr prepare`")
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError("is not a cut manifest (*.jsonl or *.jsonl.gz)", where=path)
    from lhotse.serialization import deserialize_item

    utterances = []
    seen: set[str] = set()
    number = 0
    try:
        for number, line in enumerate(_lines(path), 1):
            utterance = _utterance(deserialize_item(json.loads(line)), f"{path}, line {number}")
            if utterance.id in seen:
                raise InputError(f"the id {utterance.id!r} stands there twice", where=f"{path}, line {number}")
            seen.add(utterance.id)
            utterances.append(utterance)
    except InputError:
        raise
    except Exception as e:  # Lhotse raises whatever a malformed line leads to
        raise InputError(f"is not a cut ({type(e).__name__}: {e})", where=f"{path}, line {max(number, 1)}") from e
    if not utterances:
        raise InputError("holds no utterance", where=path)
    return utterances


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, gzipped or not; one out of all proportion is an InputError before it fills the memory."""
    limit = 1 << 20
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as f:
        while line := f.readline(limit):
            if len(line) == limit:
                raise InputError(f"holds a line of more than {limit:,} bytes", where=path)
            if line.strip():
                yield line


def _utterance(cut: object, where: str) -> Utterance:
    from lhotse import MonoCut, MultiCut

    if not isinstance(cut, MonoCut | MultiCut):
        raise InputError(f"a {type(cut).__name__} cannot be used, only plain cuts of recordings", where=where)
    where = f"{where} ({cut.id})"
    recording = cut.recording
    if recording is None:
        raise InputError("has no recording", where=where)
    if len(recording.sources) != 1 or recording.sources[0].type != "file":
        kinds = ", ".join(sorted({str(source.type) for source in recording.sources}))
        raise InputError(
            f"its audio is of type {kinds or 'none'}, only a single `file` is read",
            where=where,
            remedy="save the audio to files: a manifest must not run commands or fetch addresses",
        )
    if recording.transforms:
        raise InputError("its recording has transforms, which are not applied", where=where)
    if len(cut.supervisions) != 1:
        raise InputError(
            f"has {len(cut.supervisions)} supervisions, not one", where=where, remedy="use trim_to_supervisions()"
        )
    supervision = cut.supervisions[0]
    if not isinstance(supervision.text, str | None):
        raise InputError(f"its text is {supervision.text!r}, not a text", where=where)
    everything = list(range(len(recording.channel_ids or [0])))
    wanted = [cut.channel] if isinstance(cut.channel, int) else list(cut.channel)
    if len(wanted) > 1 and sorted(wanted) != everything:
        raise InputError(f"takes channels {wanted} of {everything}: one or all can be read", where=where)
    if not 0 < cut.duration < float("inf"):
        raise InputError(f"lasts {cut.duration} s", where=where)
    return Utterance(
        id=str(cut.id),
        audio=str(recording.sources[0].source),
        text=supervision.text or "",
        start=float(cut.start),
        duration=float(cut.duration),
        whole=cut.start == 0 and abs(cut.duration - recording.duration) < 1e-3,
        channel=wanted[0] if len(wanted) < len(everything) else None,
        speaker=plain_name(str(supervision.speaker or "")),
    )


def utterance_seed(seed: int, epoch: int, utterance_id: str) -> int:
    """A 63-bit seed for what is drawn for an utterance in an epoch, on any machine, in any process."""
    digest = hashlib.blake2b(f"{seed} {epoch} {utterance_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
