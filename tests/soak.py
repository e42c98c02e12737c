#!/usr/bin/env python3
"""A recogniser in use for hours: the same texts from any thread at any time, and memory that does not grow.

    python tests/soak.py --minutes 60 [--model english-small] [--threads 4]

Audio of many lengths, speech-like, noisy and silent, is transcribed once, one after the other; then for so
many minutes by several threads, in any order. A text that differs, an error, or more memory than after the first
minutes is a failure. Prints a line a round: files, audio seconds, memory.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from helpers import speechlike

import asr

RATE = 16000
SLACK = 0.05  # of memory, after the first rounds, that counts as no growth: allocators keep some


def sources(seed: int = 0) -> list[np.ndarray]:
    """Arrays (N,) of 0.1 to 40 s."""
    rng = np.random.default_rng(seed)
    made = [speechlike(seconds, RATE, i) for i, seconds in enumerate([0.1, 0.5, 1, 2, 3, 5, 8, 13, 40])]
    made += [0.05 * rng.standard_normal(5 * RATE), np.zeros(3 * RATE), np.full(RATE, 0.5)]
    return [x.astype(np.float32) for x in made]


def resident() -> float:
    """Memory of this process, MB."""
    if sys.platform != "linux":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--model", default="english-small")
    parser.add_argument("--threads", type=int, default=4)
    args = parser.parse_args()
    recognizer, audio = asr.load(args.model), sources()
    expected = [recognizer.transcribe(x, RATE) for x in audio]
    draw, start = random.Random(1), time.monotonic()
    rounds, least, failures = 0, 0.0, 0
    with ThreadPoolExecutor(args.threads) as pool:
        while rounds < 3 or time.monotonic() - start < 60 * args.minutes:
            order = draw.sample(range(len(audio)), len(audio))
            for i, found in zip(order, pool.map(lambda i: recognizer.transcribe(audio[i], RATE), order), strict=True):
                if found != expected[i]:
                    failures += 1
                    print(f"source {i}: {found.text!r}, at first {expected[i].text!r}", flush=True)
            rounds += 1
            if time.monotonic() - start < 12 * args.minutes or rounds <= 2:  # a fifth of the time: all is warm
                least = resident()
            seconds = sum(map(len, audio)) / RATE
            print(f"round {rounds}: {len(audio)} files, {seconds:.0f} s, {resident():.0f} MB", flush=True)
    grown = resident() / least - 1
    print(f"{rounds} rounds, {failures} differ, memory {100 * grown:+.1f} % since it was warm")
    return int(failures > 0 or grown > SLACK)


if __name__ == "__main__":
    sys.exit(main())
