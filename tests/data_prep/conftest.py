"""What tests of corpora make their folders with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from helpers import speechlike

from asr.data.cuts import read_cuts
from asr.utils.errors import InputError
from data_prep.synthetic import RATE, speak

Record = Callable[..., Path]
Prepared = Callable[[Path], dict[str, dict[str, tuple[str, str]]]]


@pytest.fixture
def record() -> Record:
    """Makes a recording of a text, read by eSpeak NG (where that is not installed: of something like speech)."""

    def make(path: Path, text: str = "one two", *, voice: str = "en-us", rate: int = 16000) -> Path:
        try:
            samples = np.asarray(soxr.resample(speak(text, voice=voice, rate=300), RATE, rate), np.float32)
        except InputError:
            samples = speechlike(0.2 + 0.05 * len(text), rate, seed=len(text))
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate)
        return path

    return make


@pytest.fixture
def prepared() -> Prepared:
    """Reads a prepared folder: split -> id -> (text, speaker), in order."""

    def read(out: Path) -> dict[str, dict[str, tuple[str, str]]]:
        names = [path.name.removeprefix("cuts_").removesuffix(".jsonl.gz") for path in sorted(out.glob("cuts_*"))]
        return {
            name: {u.id: (u.text, u.speaker) for u in read_cuts(out / f"cuts_{name}.jsonl.gz")}
            for name in sorted(names)
        }

    return read
