#!/usr/bin/env python3
"""CTC beam search beside other software: the same posteriors, language model and beam, one thread each, in turn.

    python benchmarks/decoding.py --text lm_text_en.txt.xz [--model EXP/model --cuts cuts_dev.jsonl.gz] [--lm 3gram.arpa]

TEXT is upper-case English, a sentence a line, plain or packed. Posteriors are made from sentences of it that the word
3-gram is not built of: 29 symbols, 50 frames a second, a greedy CER of about 15 %. With --model and --cuts a second
table is of a model's posteriors for real speech. Each program's language model weight and word score are the best of
one grid on the first utterances, for it alone; the others are measured. In each round every program decodes them all,
one by one, from a NumPy array to text; the table gives each program's median speed and the median over the rounds of
its ratio to flashlight's in the same round, which holds when the machine's speed drifts. Other settings than those
named are each program's defaults. Programs that are not installed are left out: pip install flashlight-text
pyctcdecode ctc-beam-decoder fast-ctc-decode ufal.kenlm, and kaldingram, which builds the 3-gram.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from asr.data import load_batches, read_cuts
from asr.decode.ctc_beam import LN10, CtcBeamDecoder
from asr.decode.greedy import greedy_search
from asr.lm.ngram import read_ngram, read_sentences, save_ngram
from asr.model_folder import load_model
from asr.provenance import provenance
from asr.score import Score, score

Decode = Callable[[np.ndarray], str]  # log-probabilities (T, V) -> text

LM_WEIGHTS = (0.5, 0.8, 1.1)  # of natural logarithms; flashlight's, of log10, are these times log(10)
WORD_SCORES = (0.0, 1.0, 2.0)
DEV = 30  # utterances that weights are tuned on
LEAST_COUNT = 3  # of a word, to be in the model
TOKENS = ["<blank>", "<space>", "'", *"abcdefghijklmnopqrstuvwxyz"]
ALIKE = ("aeiouy", "bdptgkcq", "szcxfvjh", "mnlrwhy")  # letters that are taken for each other
ERRORS = 0.17  # of the letters: heard as another, missed, or heard where there is none
PEERS = {
    "flashlight.lib.text": "flashlight-text",
    "pyctcdecode": "pyctcdecode",
    "ctc_beam_decoder": "ctc-beam-decoder",
    "fast_ctc_decode": "fast-ctc-decode",
    "kenlm": "ufal.kenlm",
}


@dataclass
class Material:
    """Utterances of one source: log-probabilities (T, V) and what was said."""

    name: str
    tokens: list[str]
    frame_seconds: float
    log_probs: list[np.ndarray]
    texts: list[str]


@dataclass
class Row:
    """A program in one setting. `build` makes it with a language model weight and a word score."""

    name: str
    build: Callable[[float, float], Decode]
    weighted: bool = True
    weights: tuple[float, float] = (0.0, 0.0)
    times: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


# Text and language model


def sentences_of(path: Path, count: int, lm_count: int, seed: int) -> tuple[list[str], list[str]]:
    """Sentences to decode, of 5 to 12 s, and others to build the language model of."""
    lines = [line.strip().lower() for line in read_sentences(path)]
    order = np.random.default_rng(seed).permutation(len(lines)).tolist()
    heard: dict[int, str] = {}
    for i in order:
        if len(heard) == count:
            break
        if 70 <= len(lines[i]) <= 165 and set(lines[i]) <= {" ", *TOKENS[2:]}:
            heard[i] = " ".join(lines[i].split())
    held_out = set(heard.values())
    rest = (lines[i] for i in order if i not in heard and lines[i] and lines[i] not in held_out)
    return list(heard.values()), list(itertools.islice(rest, lm_count))


def build_lm(sentences: list[str]) -> Path:
    """A word 3-gram as ARPA, by kaldingram; rare words are <unk>. It is kept for the next run."""
    digest = hashlib.sha256("\n".join(sentences).encode()).hexdigest()[:12]
    arpa = Path(tempfile.gettempdir()) / f"decoding-benchmark-{digest}.arpa"
    if arpa.is_file():
        return arpa
    counts = Counter(word for line in sentences for word in line.split())
    text = "\n".join(" ".join(w if counts[w] >= LEAST_COUNT else "<unk>" for w in line.split()) for line in sentences)
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "text"), Path(folder, "arpa")
        source.write_text(text + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "kaldingram.cli", "train", "--ngram-order", "3"]
        done = subprocess.run([*command, "--text", source, "--lm", made], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"kaldingram failed (pip install kaldingram, or give --lm):\n{done.stderr[-2000:]}")
        temporary = arpa.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(made.read_bytes())
        temporary.replace(arpa)
    return arpa


# Posteriors


def synthetic(sentences: list[str], seed: int) -> Material:
    """Posteriors like a CTC model's: blank, and a peak of one or two frames for each letter."""
    rng = np.random.default_rng(seed)
    return Material("made", TOKENS, 0.02, [spoken(text, rng) for text in sentences], sentences)


def spoken(text: str, rng: np.random.Generator) -> np.ndarray:
    """Log-probabilities (T, 29) of a sentence, at about 14 letters a second."""
    ids = {" " if token == "<space>" else token: i for i, token in enumerate(TOKENS)}
    rows = [silence(rng) for _ in range(rng.integers(5, 15))]
    last = ""
    for letter in text:
        gap = round(rng.gamma(2.0, 1.0))
        rows += [silence(rng) for _ in range(max(gap, int(letter == last)))]
        if rng.random() < 0.2 * ERRORS and letter != " ":  # a letter that was not said
            rows += [silence(rng), peak(ids[rng.choice(list(ids)[2:])], [0], 1.0, rng), silence(rng)]
        near = [ids[c] for group in ALIKE if letter in group for c in group if c != letter] or [ids["e"], ids["s"], ids["t"]]
        near = rng.permutation(near)[:4].tolist()
        order = [ids[letter], *near]
        spread = 1.0 if rng.random() < 0.2 else 4.0  # mean distance of a letter from the next likely
        drawn = rng.random()
        if drawn < 0.55 * ERRORS:  # heard as another; the true one is second or third
            at, spread = int(rng.integers(1, 3)), 1.0
            order = [*near[:at], ids[letter], *near[at:]]
        elif drawn < 0.8 * ERRORS:  # missed
            order, spread = [0, *order], 1.5
        one = peak(order[0], order[1:], spread, rng)
        rows += [one + rng.normal(0.0, 0.05, len(one)) for _ in range(rng.integers(1, 3))]
        last = letter
    rows += [silence(rng) for _ in range(rng.integers(5, 15))]
    logits = np.stack(rows)
    logits -= logits.max(axis=1, keepdims=True)
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def silence(rng: np.random.Generator) -> np.ndarray:
    """A frame's logits where blank is likely."""
    logits = rng.normal(0.0, 1.8, len(TOKENS))
    logits[0] = rng.normal(10.0, 2.0)
    return logits


def peak(token: int, others: list[int], spread: float, rng: np.random.Generator) -> np.ndarray:
    """A frame's logits where a token is likely, and others in their order less so."""
    logits = rng.normal(0.0, 1.8, len(TOKENS))
    logits[0] = rng.normal(4.0, 2.0)
    level = logits[token] = rng.normal(9.0, 1.0)
    for other in others:
        level -= 0.1 + rng.exponential(spread)
        logits[other] = max(logits[other], level)
    return logits


def real(folder: Path, cuts: Path, count: int) -> Material:
    """A model's posteriors for the first utterances of a manifest."""
    model = load_model(folder)
    recognizer, found = model.recognizer.eval(), {}
    utterances = read_cuts(cuts)
    step = max(1, len(utterances) // count)
    utterances = utterances[::step][:count]  # all speakers
    batches = load_batches(
        utterances, model.tokenizer, model.normalizer(), sample_rate=recognizer.sample_rate, batch_seconds=60.0
    )
    for batch in batches:
        with torch.inference_mode():
            log_probs, lens = recognizer.log_probs(batch.samples, batch.sample_lens)
        for i, key in enumerate(batch.ids):
            found[key] = (log_probs[i, : lens[i]].numpy().copy(), batch.texts[i])
    order = [found[u.id] for u in utterances]
    order = [order[i] for i in np.random.default_rng(1).permutation(len(order))]  # speakers on both sides of DEV
    return Material(
        model.name, model.tokenizer.tokens, recognizer.frame_seconds, [x for x, _ in order], [text for _, text in order]
    )
