"""Free Spoken Digit Dataset: 3,000 English digits by six speakers, 8 kHz (Jakobovski et al.; CC BY-SA 4.0).

Files are `{digit}_{speaker}_{index}.wav`. Index 0-4 is the publisher's test split; dev is index 5-9, train the rest.
Texts are the digits' names. All six speakers are in each split: `leave_out` makes the harder split.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.reader import Samples, read_audio
from asr.utils.errors import InputError
from asr.utils.files import atomic_path, data_home, download_archive, files_sha256
from data_prep._files import recordings_named
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    opened,
    write_corpus,
    write_wav,
)
from data_prep._splits import part_of

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 8000  # Hz
DIGITS = (1, 5)  # of a made utterance
URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz"
# Over the 3,000 recordings' names and contents: the host packs the archive on demand, so its own bytes may change.
RECORDINGS_SHA256 = "dbd573d7cafe79c4b49f65718115e1304e24e067fa39eff18a660dc6cb9c360f"
_NAME = re.compile(r"(\d)_([A-Za-z]+)_(\d+)")


def download(folder: str | Path | None = None, *, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """The corpus's folder, $ASR_DATA/fsdd unless told otherwise; fetched from its publisher where it is not there."""
    folder = Path(folder) if folder else data_home() / "fsdd"
    if recordings_named(_NAME, folder):
        return folder
    unpacked = folder.with_name(f"{folder.name}.unpacked")
    shutil.rmtree(unpacked, ignore_errors=True)  # of an earlier try
    try:
        download_archive(URL, unpacked, progress=progress)
        found = recordings_named(_NAME, unpacked)
        if files_sha256(found) != RECORDINGS_SHA256:
            raise InputError(f"its {len(found)} recordings are not those expected", where=URL, remedy="try again")
        folder.mkdir(parents=True, exist_ok=True)
        found[0].parent.rename(folder / "recordings")
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return folder


def prepare(
    corpus_dir: str | Path | None,
    out_dir: str | Path,
    *,
    leave_out: str | None = None,
    hours: float | None = None,
    joined: int = 0,
    digits: tuple[int, int] = DIGITS,
    progress: Progress | None = None,
) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The folder with the recordings, at any depth; $ASR_DATA/fsdd or the publisher's where None.
        out_dir: The folder to make.
        leave_out: A speaker who is then the whole test split (index 0-49) and in neither train nor dev.
        hours: Train has no more recordings than this, drawn by a hash of the id, so that less is part of more.
        joined: Train also on so many made utterances: digits of a training speaker in a row, with pauses, at other
            speeds and levels, in noise. A twentieth as many, made of dev recordings, join dev; the split `joined`, a
            tenth as many, made of test recordings, tests just that. They lie beside `out_dir`.
        digits: How many each of these has, at least and at most.
    """
    options: dict[str, Any] = {"leave_out": leave_out, "joined": joined}
    if digits != DIGITS:
        options["digits"] = list(digits)
    if hours is not None:
        options["hours"] = hours
    folder, settings, done = opened("fsdd", corpus_dir or download(), out_dir, page=URL, **options)
    if done:
        return done
    files = recordings_named(_NAME, folder)
    if not files:
        raise InputError("holds no file named like 7_jackson_32.wav", where=folder, remedy="name FSDD's folder")
    splits: dict[str, list[Source]] = {"train": [], "dev": [], "test": []}
    speakers = set()
    for path in files:
        match = _NAME.fullmatch(path.stem)
        assert match
        digit, speaker, index = int(match[1]), match[2], int(match[3])
        speakers.add(speaker)
        split = "test" if index < 5 else "dev" if index < 10 else "train"
        if leave_out:
            if speaker == leave_out:
                split = "test"
            elif split == "test":
                continue
        splits[split].append(Source(path.stem, path, WORDS[digit], speaker))
    if leave_out and leave_out not in speakers:
        raise InputError(f"speaker {leave_out!r} is none of {', '.join(sorted(speakers))}", where="leave_out")
    if hours is not None:
        splits["train"] = part_of(splits["train"], hours)
    if joined:
        key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]  # other settings, other recordings
        made = Path(out_dir).with_name(f"{Path(out_dir).name}-joined-{key}")
        counts = {"train": joined, "dev": max(1, joined // 20), "test": max(1, joined // 10)}
        if not (made / "test").is_dir():
            with atomic_path(made) as unfinished:
                for name, count in counts.items():
                    _join(splits[name], count, digits, unfinished / name)
        splits["train"] += _joined_sources(made / "train")
        splits["dev"] += _joined_sources(made / "dev")
        splits["joined"] = _joined_sources(made / "test")
    return write_corpus(out_dir, splits, settings, progress=progress)


def _join(recordings: list[Source], count: int, digits: tuple[int, int], folder: Path) -> None:
    """Makes `count` utterances `{number}_{speaker}_{digits}.wav` of recordings; the number is the seed of each."""
    folder.mkdir(parents=True)
    by_speaker: dict[str, list[Source]] = {}
    for source in recordings:
        by_speaker.setdefault(source.speaker, []).append(source)
    for number in range(count):
        chance = random.Random(f"fsdd {folder.name} {number}")
        speaker = chance.choice(sorted(by_speaker))
        chosen = [chance.choice(by_speaker[speaker]) for _ in range(chance.randint(*digits))]
        speed = chance.uniform(0.88, 1.14)
        parts = [_pause(chance, 0.0, 0.6)]
        for source in chosen:
            parts += [_faster(read_audio(source.audio, RATE), speed), _pause(chance, 0.05, 0.5)]
        samples = np.concatenate([*parts, _pause(chance, 0.0, 0.5)])
        speech_level = np.sqrt(np.mean(np.concatenate(parts[1::2]) ** 2))
        noise = np.random.default_rng(chance.getrandbits(32)).standard_normal(len(samples))
        if chance.random() < 0.5:  # a rumble rather than a hiss
            noise = np.convolve(noise, np.ones(8) / np.sqrt(8), mode="same")
        samples = samples + noise * speech_level * 10 ** (-chance.uniform(8, 45) / 20)  # 8 to 45 dB below the speech
        peak = 10 ** (chance.uniform(-30, -1) / 20)
        said = "".join(source.id[0] for source in chosen)
        write_wav(folder / f"{number:05d}_{speaker}_{said}.wav", samples * (peak / np.abs(samples).max()), RATE)


def _pause(chance: random.Random, least: float, most: float) -> Samples:
    return np.zeros(round(chance.uniform(least, most) * RATE), np.float32)


def _faster(samples: Samples, speed: float) -> Samples:
    """Played `speed` times as fast: shorter, and higher."""
    import soxr

    faster: Samples = soxr.resample(samples, RATE * speed, RATE)
    return faster


def _joined_sources(folder: Path) -> list[Source]:
    sources = []
    for path in sorted(folder.glob("*.wav")):
        _, speaker, digits = path.stem.split("_")
        text = " ".join(WORDS[int(digit)] for digit in digits)
        sources.append(Source(f"joined_{folder.name}_{path.stem}", path, text, speaker))
    return sources
