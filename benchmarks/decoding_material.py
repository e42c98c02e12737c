"""What the benchmark of decoding decodes: sentences, a language model of others, posteriors, made or of real speech."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from asr.data.batches import load_batches
from asr.data.cuts import read_cuts
from asr.lm.lines import read_sentences
from asr.models.folder import load_model

LEAST_COUNT = 3  # of a word, to be in the language model
TOKENS = ["<blank>", "<space>", "'", *"abcdefghijklmnopqrstuvwxyz"]
ALIKE = ("aeiouy", "bdptgkcq", "szcxfvjh", "mnlrwhy")  # letters that are taken for each other
ERRORS = 0.15  # of the letters: heard as another, missed, or heard where there is none


@dataclass
class Material:
    """Utterances of one source: log-probabilities (T, V) and what was said."""

    name: str
    tokens: list[str]
    frame_seconds: float
    log_probs: list[np.ndarray]
    texts: list[str]


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
    with tempfile.TemporaryDirectory(dir=arpa.parent) as folder:
        source, made = Path(folder, "text"), Path(folder, "arpa")
        source.write_text(text + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "kaldingram.cli", "train", "--ngram-order", "3"]
        done = subprocess.run([*command, "--text", source, "--lm", made], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"kaldingram failed (pip install kaldingram, or give --lm):\n{done.stderr[-2000:]}")
        made.replace(arpa)
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
        gap = round(rng.gamma(2.0, 0.9))
        rows += [silence(rng) for _ in range(max(gap, int(letter == last)))]
        if rng.random() < 0.2 * ERRORS and letter != " ":  # a letter that was not said
            rows += [silence(rng), peak(ids[rng.choice(list(ids)[2:])], [0], 1.0, rng), silence(rng)]
        near = [c for group in ALIKE if letter in group for c in group if c != letter] or list("est")
        near = [ids[c] for c in rng.permutation(near)[:4]]
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


def real(folder: Path, cuts: Path, count: int, seed: int) -> Material:
    """A model's posteriors for some utterances of a manifest."""
    model, utterances = load_model(folder), read_cuts(cuts)
    recognizer, found = model.recognizer.eval(), {}
    chosen = [utterances[i] for i in np.random.default_rng(seed).permutation(len(utterances))[:count]]
    settings = {"sample_rate": recognizer.sample_rate, "batch_seconds": 60.0}
    for batch in load_batches(chosen, model.tokenizer, model.normalizer(), **settings):
        with torch.inference_mode():
            log_probs, lens = recognizer.log_probs(*recognizer.features(batch.samples, batch.sample_lens))
        for i, key in enumerate(batch.ids):
            found[key] = (log_probs[i, : lens[i]].numpy().copy(), batch.texts[i])
    log_probs, texts = zip(*(found[utterance.id] for utterance in chosen), strict=True)
    return Material(model.name, model.tokenizer.tokens, recognizer.frame_seconds, list(log_probs), list(texts))
