#!/usr/bin/env python3
"""Whole recognisers beside each other: the same recordings, from samples to text, one by one on one thread, in turn.

    pip install pocketsphinx
    python benchmarks/recognition.py MODEL [MODEL ...] --cuts recipes/mini_librispeech/data/cuts_test.jsonl.gz

MODEL is a model folder, or the name of a model that comes with the package; it decodes as it was tuned. pocketsphinx
has its own US English model, dictionary and language model, and its defaults; it is left out where it is not
installed. Files are read before time is taken. References and texts are normalised as the first MODEL does it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np
import torch

import asr
from asr.data.cuts import read_cuts
from asr.evaluate.significance import confidence_interval
from asr.evaluate.wer import score
from asr.models.folder import load_model
from asr.utils.provenance import provenance

RATE = 16000
Hear = Callable[[np.ndarray], str]  # samples (N,) at 16 kHz -> text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--cuts", type=Path, required=True, help="utterances that no MODEL was trained on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    programs: dict[str, Hear] = {f"**kikitori** {name}": kikitori(name) for name in args.models}
    if (peer := pocketsphinx()) is not None:
        programs[f"pocketsphinx {version('pocketsphinx')}"] = peer
    normalize = load_model(args.models[0]).normalizer()
    utterances = read_cuts(args.cuts)
    recordings = [u.samples(RATE) for u in utterances]
    references = [normalize(u.text) for u in utterances]
    seconds = sum(u.duration for u in utterances)
    for hear in programs.values():
        hear(recordings[0])  # what is compiled or read at the first call

    texts: dict[str, list[str]] = {name: [] for name in programs}
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for samples in recordings:
        for name, hear in programs.items():
            started = time.perf_counter()
            texts[name].append(normalize(hear(samples)))
            taken[name].append(time.perf_counter() - started)

    facts = provenance()
    print(f"{len(utterances)} utterances, {seconds:.0f} s; one thread; {facts['hardware']}; commit {facts['commit']}\n")
    print("| program | WER % | 95 % | real-time factor | ratio |\n| --- | --- | --- | --- | --- |")
    first = next(iter(programs))
    for name, heard in texts.items():
        scores = score(references, heard)
        interval = confidence_interval(scores.each)
        factor = sum(taken[name]) / seconds
        ratio = statistics.median(a / b for a, b in zip(taken[name], taken[first], strict=True))
        edges = f"{100 * interval.low:.2f} to {100 * interval.high:.2f}" if interval else "–"
        print(f"| {name} | {100 * scores.error.rate:.2f} | {edges} | {factor:.4f} | {ratio:.2f} |")
    print("\nRatio: of the time for an utterance to that of the first program, the median over utterances.")


def kikitori(model: str) -> Hear:
    """A model of ours."""
    transcriber = asr.load(model)
    return lambda samples: transcriber.transcribe(samples, RATE).text


def pocketsphinx() -> Hear | None:
    """pocketsphinx with its own model; None where it is not installed."""
    try:
        from pocketsphinx import Decoder
    except ImportError:
        return None
    decoder = Decoder(samprate=RATE, loglevel="FATAL")

    def hear(samples: np.ndarray) -> str:
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found is not None else ""

    return hear


if __name__ == "__main__":
    main()
