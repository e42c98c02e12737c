"""Fixtures. Real speech is looked for where $ASR_DATA points; what needs it is skipped, with the reason, elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from asr.files import data_home

torch.set_num_threads(2)


def speechlike(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Samples (N,) float32 with what features react to: harmonics that move, pauses, noise, an offset."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = np.clip(np.sin(2 * np.pi * 1.5 * t + seed), 0, 1)
    samples = 0.1 * harmonics * envelope + 0.003 * rng.standard_normal(len(t)) + 0.01
    return samples.astype(np.float32)


def real_corpus(name: str) -> Path:
    folder = data_home() / name
    if not folder.is_dir():
        pytest.skip(f"no real speech at {folder}: put the corpus there, or set ASR_DATA")
    return folder


@pytest.fixture(scope="session")
def fsdd() -> Path:
    return real_corpus("fsdd")


@pytest.fixture(scope="session")
def yesno() -> Path:
    return real_corpus("yesno")


@pytest.fixture(scope="session")
def mboshi() -> Path:
    return real_corpus("mboshi")


@pytest.fixture(scope="session")
def librispeech() -> Path:
    return real_corpus("librispeech-mini")
