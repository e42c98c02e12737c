#!/usr/bin/env python3
"""How exactly words are placed: digits joined with pauses that are known, beside torchaudio on the same posteriors.

    python benchmarks/alignment.py MODEL [MODEL ...]

Recordings of the Free Spoken Digit Dataset ($ASR_DATA/fsdd), each cut to where it is within 30 dB of its loudest 10 ms,
three to eight in a row with pauses of 0.05 to 0.8 s, noise 50 dB below full scale: 60 such utterances of the official
test recordings, or, with --split train, of the others, on which the thresholds of asr.inference.aligner were chosen.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
import torchaudio

from asr.inference.aligner import align, hear, word_tokens
from asr.models.folder import load_model
from asr.utils.files import data_home
from asr.utils.provenance import provenance

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
RATE = 8000
PAUSES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--split", choices=("train", "test"), default="test")
    args = parser.parse_args()
    torch.set_num_threads(1)
    facts = provenance()
    print(f"split {args.split}; one thread; {facts['hardware']}; commit {facts['commit']}; torchaudio", end=" ")
    print(f"{torchaudio.__version__}\n\n| model | program | start, ms: median, 90 % | end, ms: median, 90 % | words |")
    print("| --- | --- | --- | --- | --- |")
    for name in args.models:
        errors: dict[str, list[tuple[float, float]]] = defaultdict(list)
        model = load_model(name)
        rate, seconds = model.recognizer.sample_rate, model.recognizer.frame_seconds
        for samples, words, times in utterances(args.split):
            samples = soxr.resample(samples, RATE, rate).astype(np.float32) if rate != RATE else samples
            ours = [(word.start, word.end) for word in align(model, [samples], " ".join(words))]
            log_probs, _ = hear(model, [samples])
            tokens, owners = word_tokens(model, words)
            (path,), (scores,) = torchaudio.functional.forced_align(
                torch.from_numpy(log_probs)[None], torch.tensor([tokens])
            )
            spans = torchaudio.functional.merge_tokens(path, scores)
            own = [[span for span, owner in zip(spans, owners, strict=True) if owner == n] for n in range(len(words))]
            theirs = [(each[0].start * seconds, each[-1].end * seconds) for each in own]
            for program, found in (("**kikitori**", ours), ("torchaudio", theirs)):
                errors[program] += [(abs(a - b), abs(c - d)) for (a, c), (b, d) in zip(found, times, strict=True)]
        for program, each in errors.items():
            cells = [
                ", ".join(f"{1000 * value:.0f}" for value in np.percentile(side, [50, 90]))
                for side in zip(*each, strict=True)
            ]
            print(f"| {name} | {program} | {' | '.join(cells)} | {len(each)} |")


def utterances(split: str) -> list[tuple[np.ndarray, list[str], list[tuple[float, float]]]]:
    """Samples at 8000 Hz, words, and when each is said."""
    paths = sorted(Path(data_home() / "fsdd").rglob("*.wav"))
    chosen = [path for path in paths if (int(path.stem.split("_")[2]) < 5) == (split == "test")]
    draw, found = random.Random(0), []
    for number in range(60):
        parts, words, times, at = [np.zeros(round(0.3 * RATE))], [], [], 0.3
        for _ in range(draw.randint(3, 8)):
            path, pause = draw.choice(chosen), draw.choice(PAUSES)
            sound = cut(soundfile.read(path, dtype="float32")[0])
            parts += [0.3 * sound / np.abs(sound).max(), np.zeros(round(pause * RATE))]
            times.append((at, at + len(sound) / RATE))
            words.append(DIGITS[int(path.stem[0])])
            at += len(sound) / RATE + pause
        samples = np.concatenate(parts)
        samples += 10 ** (-50 / 20) * np.random.default_rng(number).standard_normal(len(samples))
        found.append((samples.astype(np.float32), words, times))
    return found


def cut(sound: np.ndarray) -> np.ndarray:
    """Without what is faint at the ends."""
    size = RATE // 100
    levels = np.sqrt(np.square(sound[: len(sound) // size * size].reshape(-1, size)).mean(1))
    loud = np.flatnonzero(levels > levels.max() * 10 ** (-30 / 20))
    return sound[loud[0] * size : (loud[-1] + 1) * size]


if __name__ == "__main__":
    main()
