"""What all corpora share: utterances, checked one by one, become Lhotse cut manifests.

A prepared folder holds `cuts_<split>.jsonl.gz` for each split, and `corpus.json`: where it came from, with how many
utterances and hours, and what was left out. It is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import wave
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio import AudioInfo, audio_info, read_blocks
from asr.errors import InputError
from asr.files import atomic_path, read_text, write_json, write_jsonl

FORMAT = 1  # of corpus.json
Progress = Callable[[int, int], None]  # done, in all


@dataclass(frozen=True)
class Source:
    """An utterance of a corpus: a file, or `duration` seconds of it from `start`."""

    id: str
    audio: Path
    text: str
    speaker: str = ""
    start: float = 0.0
    duration: float | None = None
    origin: str = ""  # where it was listed ("table.csv, row 7"), for what is said of it


@dataclass
class Summary:
    """What came of a preparation."""

    folder: Path
    utterances: dict[str, int]
    seconds: dict[str, float]
    left_out: list[str] = field(default_factory=list)  # one line each: what, why
    already_done: bool = False

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {n} ({self.seconds[name] / 3600:.2f} h)" for name, n in self.utterances.items())
        return f"{self.folder}: {parts}" + (" (already prepared)" if self.already_done else "")


def already_prepared(out_dir: str | Path, settings: Mapping[str, Any]) -> Summary | None:
    """The summary of a folder that was prepared with the same settings, None where there is none.

    Raises:
        InputError: The folder holds something else.
    """
    out_dir = Path(out_dir)
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return None
    marker = out_dir / "corpus.json"
    if not marker.is_file():
        raise InputError(
            "is there already and was not made by `asr prepare`", where=out_dir, remedy="choose another --out"
        )
    try:
        done = dict(json.loads(read_text(marker)))
    except (ValueError, TypeError) as e:
        raise InputError(f"is damaged ({e})", where=marker, remedy=f"remove {out_dir} and prepare again") from e
    if done.get("format") != FORMAT or done.get("settings") != dict(settings):
        raise InputError(
            f"holds {done.get('settings')}, not {dict(settings)}",
            where=out_dir,
            remedy="choose another --out or remove it",
        )
    return Summary(out_dir, done["utterances"], done["seconds"], done["left_out"], already_done=True)


def write_corpus(
    out_dir: str | Path,
    splits: Mapping[str, Sequence[Source]],
    settings: Mapping[str, Any],
    *,
    left_out: Iterable[str] = (),
    progress: Progress | None = None,
) -> Summary:
    """Checks that each utterance can be read and has text, and writes the manifests.

    Args:
        out_dir: The folder to make.
        splits: Utterances by split, in the order in which they are to be written.
        settings: What determined the result (the corpus, its folder, options): the same again is a no-op.
        left_out: What the caller could not use, one line each.
        progress: Called now and then.

    Raises:
        InputError: Two utterances have one id, or nothing is left of a split.
    """
    rows = [(split, source) for split, sources in splits.items() for source in sources]
    problems = list(left_out)
    _check_ids(rows)
    rows_out: dict[str, list[dict[str, Any]]] = {split: [] for split in splits}
    seconds = dict.fromkeys(splits, 0.0)
    infos: dict[Path, AudioInfo | InputError] = {}
    paths = list(dict.fromkeys(source.audio for _, source in rows))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # decoding happens outside the interpreter's lock
        for done, (path, info) in enumerate(zip(paths, pool.map(_check_audio, paths), strict=True), 1):
            infos[path] = info
            if progress and (done % 50 == 0 or done == len(paths)):
                progress(done, len(paths))
    for split, source in rows:
        try:
            row = _cut(source, infos[source.audio])
        except InputError as e:
            problems.append(f"{source.origin}: {e}" if source.origin else str(e))
            continue
        rows_out[split].append(row)
        seconds[split] += row["duration"]
    for split, found in rows_out.items():
        if not found:
            reason = f": {problems[0]}" if problems else ""
            raise InputError(f"no utterance of {split} can be used{reason}", where=out_dir)
    counts = {split: len(found) for split, found in rows_out.items()}
    with atomic_path(out_dir) as folder:
        folder.mkdir(parents=True)
        for split, found in rows_out.items():
            write_jsonl(folder / f"cuts_{split}.jsonl.gz", found)
        write_json(
            folder / "corpus.json",
            {
                "format": FORMAT,
                "settings": dict(settings),
                "utterances": counts,
                "seconds": {split: round(value, 3) for split, value in seconds.items()},
                "left_out": problems,
            },
        )
    return Summary(Path(out_dir), counts, seconds, problems)


def hash_share(key: str) -> float:
    """A number from 0 to 1 that an utterance's id determines: those below 0.05 are a fixed twentieth of a corpus."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / (1 << 48)


def read_transcript(path: str | Path) -> str:
    """The text of a file that holds one transcript, on one line."""
    lines = [line.strip() for line in read_text(path, limit=1 << 20).splitlines() if line.strip()]
    if len(lines) != 1:
        raise InputError("has no text" if not lines else f"has {len(lines)} lines of text, not one", where=path)
    return lines[0]


def _check_ids(rows: Sequence[tuple[str, Source]]) -> None:
    seen: dict[str, Source] = {}
    for _, source in rows:
        if (other := seen.get(source.id)) is not None:
            raise InputError(
                f"the id {source.id!r} stands for {other.audio} and for {source.audio}",
                where=source.origin or None,
                remedy="give each utterance an id of its own",
            )
        seen[source.id] = source


def _check_audio(path: Path) -> AudioInfo | InputError:
    """Decodes a file from end to end: a header alone does not tell whether the rest is there."""
    try:
        info = audio_info(path)
        samples = sum(len(block) for block in read_blocks(path, info.sample_rate))
        return AudioInfo(samples / info.sample_rate, info.sample_rate, info.channels, info.format)
    except InputError as e:
        return e


def _cut(source: Source, info: AudioInfo | InputError) -> dict[str, Any]:
    """An utterance as Lhotse writes a cut: a MonoCut, or a MultiCut over all channels."""
    from lhotse import AudioSource, MonoCut, MultiCut, Recording, SupervisionSegment

    if isinstance(info, InputError):
        raise info
    if not source.text.strip():
        raise InputError(f"{source.id} has no text", where=source.audio)
    end = info.duration if source.duration is None else source.start + source.duration
    if not (0 <= source.start < min(end, info.duration) and end <= info.duration + 0.02):
        raise InputError(
            f"{source.id} is at {source.start:.2f}-{end:.2f} s, the audio is {info.duration:.2f} s long",
            where=source.audio,
        )
    duration = min(end, info.duration) - source.start
    path = source.audio.resolve()
    channels = list(range(info.channels))
    recording = Recording(
        id=source.id if source.duration is None else path.stem,
        sources=[AudioSource(type="file", channels=channels, source=str(path))],
        sampling_rate=info.sample_rate,
        num_samples=round(info.duration * info.sample_rate),
        duration=info.duration,
        channel_ids=channels,
    )
    channel: Any = 0 if info.channels == 1 else channels
    supervision = SupervisionSegment(
        id=source.id,
        recording_id=recording.id,
        start=0.0,
        duration=duration,
        channel=channel,
        text=source.text,
        speaker=source.speaker or None,
    )
    make = MonoCut if info.channels == 1 else MultiCut
    cut = make(
        id=source.id,
        start=source.start,
        duration=duration,
        channel=channel,
        supervisions=[supervision],
        recording=recording,
    )
    return dict(cut.to_dict())


def write_wav(path: Path, samples: npt.NDArray[Any], rate: int) -> None:
    """Writes samples (N,) in [-1, 1] as 16-bit WAV."""
    with wave.open(str(path), "wb") as f:
        f.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        f.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
