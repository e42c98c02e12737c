"""Speech of eSpeak NG: the ten English digits in many voices, to try everything where no corpus can be had.

This is synthetic speech. It shows that the machinery works; it says nothing about people.

eSpeak NG (GPLv3) comes with the optional package espeakng-loader and is called through ctypes.
"""

from __future__ import annotations

import ctypes
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.reader import Samples
from asr.text.espeak import RATE, start_library
from asr.utils.errors import InputError
from asr.utils.files import atomic_path
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    already_prepared,
    write_corpus,
    write_wav,
)
from data_prep.fsdd import WORDS

_ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")
# A voice is an accent and a timbre; those of dev and test are not heard in training.
_TIMBRES = {
    "train": ("m1", "m2", "m3", "m4", "m6", "m8", "f1", "f2", "f4", "klatt2", "Andy", "linda"),
    "dev": ("m5", "f5"),
    "test": ("m7", "f3", "Annie"),
}
_READINGS = {"train": 2, "dev": 2, "test": 2}  # of each digit by each voice
_SEED = 1

_callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_pieces: list[bytes] = []


def speak(text: str, *, voice: str = "en-us", rate: int = 175, pitch: int = 50) -> Samples:
    """Samples (N,) float32 in [-1, 1] at 22,050 Hz of a text read by eSpeak NG.

    Args:
        voice: A language or accent, with `+timbre` if wanted: "en-us+f3".
        rate: Words a minute, 80-450.
        pitch: 0-100.

    Raises:
        InputError: espeakng-loader is not installed, or there is no such voice.
    """
    library = _load()
    _pieces.clear()
    _, plus, timbre = voice.partition("+")
    known = not plus or (_data_path() / "voices" / "!v" / timbre).is_file()  # eSpeak NG itself ignores an unknown one
    if not known or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise InputError(
            f"eSpeak NG has no voice {voice!r}", where="voice", remedy="name another, such as en-us or en-us+f3"
        )
    library.espeak_SetParameter(1, rate, 0)
    library.espeak_SetParameter(3, pitch, 0)
    data = text.encode("utf-8") + b"\0"
    utf8 = 1
    library.espeak_Synth(data, len(data), 0, 1, 0, utf8, None, None)
    library.espeak_Synchronize()
    return (np.frombuffer(b"".join(_pieces), np.int16) / 32768).astype(np.float32)


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Speaks the digits and writes cuts of train, dev and test; the recordings go into `out_dir`/../synthetic-digits.

    Voices, rates, pitches and noise come from a fixed seed; dev and test have voices that train has not.

    Args:
        corpus_dir: Where to put the recordings; beside `out_dir` where None.
        out_dir: The folder to make.
    """
    recordings = (Path(corpus_dir) if corpus_dir else Path(out_dir).parent / "synthetic-digits").resolve()
    settings = {"corpus": "synthetic", "folder": str(recordings), "seed": _SEED}
    if done := already_prepared(out_dir, settings):
        return done
    splits: dict[str, list[Source]] = {}
    plan = [(split, accent, timbre) for split, timbres in _TIMBRES.items() for timbre in timbres for accent in _ACCENTS]
    if not (recordings / "test").is_dir():
        with atomic_path(recordings) as folder:
            for number, (split, accent, timbre) in enumerate(plan, 1):
                _voice_recordings(folder / split, split, accent, timbre)
                if progress:
                    progress(number, len(plan))
    for split in _TIMBRES:
        files = sorted((recordings / split).glob("*.wav"))
        splits[split] = [Source(p.stem, p, WORDS[int(p.stem[0])], p.stem.split("_")[1]) for p in files]
    return write_corpus(out_dir, splits, settings)


def _voice_recordings(folder: Path, split: str, accent: str, timbre: str) -> None:
    """All digits by one voice, named as FSDD names them: {digit}_{voice}_{index}.wav, 8 kHz."""
    import soxr

    folder.mkdir(parents=True, exist_ok=True)
    for digit, word in enumerate(WORDS):
        for index in range(_READINGS[split]):
            chance = random.Random(f"{_SEED} {accent} {timbre} {digit} {index}")
            samples = speak(
                word, voice=f"{accent}+{timbre}", rate=chance.randint(120, 230), pitch=chance.randint(25, 75)
            )
            samples = _trimmed(soxr.resample(samples, RATE, 8000))
            noise = np.random.default_rng(chance.getrandbits(32)).standard_normal(len(samples)).astype(np.float32)
            level = float(np.sqrt(np.mean(samples**2))) * 10 ** (-chance.uniform(10, 40) / 20)  # 10-40 dB below
            mixed = samples + noise * level
            loudness = chance.uniform(0.1, 0.9) / float(np.abs(mixed).max())
            write_wav(folder / f"{digit}_{accent}+{timbre}_{index}.wav", mixed * loudness, 8000)


def _trimmed(samples: Samples, margin: int = 400) -> Samples:
    """Without the silence before and after, but for `margin` samples."""
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[max(0, loud[0] - margin) : loud[-1] + margin]


@cache
def _load() -> Any:
    """The library that speaks, made ready once for the process."""
    library = start_library(1, "synthetic speech")
    library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))  # of breath and flutter: each process draws the same
    library.espeak_SetSynthCallback(_callback)
    return library


def _data_path() -> Path:
    import espeakng_loader

    return Path(espeakng_loader.get_data_path())


def _collect(samples: Any, count: int, events: Any) -> int:
    if samples and count > 0:
        _pieces.append(ctypes.string_at(samples, 2 * count))
    return 0


_callback = _callback_type(_collect)  # has to live as long as the library calls it
