"""What tests of several modules make their inputs with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


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


# Two words that a small model learns to tell apart in seconds: a low tone and a high one.
TONES = {"low": 300.0, "high": 1500.0}


def tone_words(words: list[str], rate: int = 8000, seed: int = 0) -> np.ndarray:
    """Samples (N,): each word its tone for 0.3 s, then 0.15 s of near silence."""
    rng = np.random.default_rng(seed)
    noise = 0.002 * np.sqrt(rate / 8000)  # as loud in each hertz at every rate
    parts = [noise * rng.standard_normal(rate // 10)]
    for word in words:
        t = np.arange(round(0.3 * rate)) / rate
        tone = np.sin(2 * np.pi * TONES[word] * rng.uniform(0.9, 1.1) * t) * np.hanning(len(t))
        parts += [0.3 * tone + noise * rng.standard_normal(len(t)), noise * rng.standard_normal(round(0.15 * rate))]
    return np.concatenate(parts).astype(np.float32)


def tone_table(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` recordings of one to three tone words, and the table.csv that lists them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,text"]
    for i in range(count):
        words = [list(TONES)[k] for k in rng.integers(0, 2, rng.integers(1, 4))]
        soundfile.write(folder / f"u{i:03d}.wav", tone_words(words, seed=seed + i), 8000)
        lines.append(f'u{i:03d}.wav,"{" ".join(words).capitalize()}!"')
    table = folder / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    return table
