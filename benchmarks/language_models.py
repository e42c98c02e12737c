#!/usr/bin/env python3
"""N-gram estimation and pruning beside kaldingram: the same text and vocabulary, each in a process of its own.

    python benchmarks/language_models.py --text TEXT [--kaldingram-words 4000000]

TEXT is a sentence a line, plain or packed. One line in a hundred, chosen by its hash, is held out. Words beyond the
most frequent 60,000 are <unk> in all models, and in the held-out text. The first table is of the first millions of
words, for both programs; the second of the whole text, for ours alone. Every model is read by KenLM, which gives the
perplexity: of known words and sentence ends. Seconds are from the text to the written file, memory is the
process's greatest. pip install kaldingram ufal.kenlm
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import kenlm

from asr.lm.lines import read_sentences
from asr.utils.provenance import provenance

VOCABULARY = 60_000
HELD_OUT = 100  # one line in so many
OURS = [sys.executable, "-c", "from asr.cli import main; main()", "--quiet", "lm"]
THEIRS = [sys.executable, "-m", "kaldingram.cli"]


def split(path: Path) -> tuple[list[str], list[str]]:
    """Sentences to train on, and those held out; rare words are <unk> in both."""
    lines = [line for line in read_sentences(path) if line.strip()]
    held_out = [
        int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest(), "big") % HELD_OUT == 0 for line in lines
    ]
    counts = Counter(w for line, held in zip(lines, held_out, strict=True) if not held for w in line.split())
    known = set(sorted(counts, key=lambda word: (-counts[word], word))[:VOCABULARY])
    lines = [" ".join(word if word in known else "<unk>" for word in line.split()) for line in lines]
    sides = {side: [line for line, held in zip(lines, held_out, strict=True) if held is side] for side in (False, True)}
    return sides[False], sides[True]


def first_words(lines: Iterable[str], words: int) -> list[str]:
    """The first sentences, with so many words together."""
    taken, count = [], 0
    for line in lines:
        if count >= words:
            break
        taken.append(line)
        count += len(line.split())
    return taken


def measured(command: list[str | Path]) -> tuple[float, float]:
    """Seconds and GB that a command takes."""
    started = time.perf_counter()
    pid = os.posix_spawn(sys.executable, list(map(str, command)), os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20


def row(name: str, command: list[str | Path], out: Path, held_out: list[str]) -> float:
    """Runs a command, prints a line of a table, and returns the perplexity."""
    seconds, memory = measured(command)
    arpa = out
    if out.suffix != ".arpa":
        arpa = out.with_name("kenlm.arpa")
        measured([*OURS, "convert", out, "--out", arpa])
    config = kenlm.Config()
    config.show_progress = False
    model = kenlm.Model(str(arpa), config)
    scores = [score for line in held_out for score, _, unknown in model.full_scores(line) if not unknown]
    perplexity = 10 ** (-sum(scores) / len(scores))
    size = out.stat().st_size / 1e6
    print(f"| {name} | {seconds:.1f} | {memory:.2f} | {size:.1f} | {perplexity:.1f} |", flush=True)
    return perplexity


def table(title: str) -> None:
    print(f"\n### {title}\n\n| | s | GB | MB | perplexity |\n| --- | --- | --- | --- | --- |", flush=True)


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="a sentence a line; .gz, .xz too")
    parser.add_argument("--kaldingram-words", type=int, default=4_000_000, help="of the part for both programs")
    parser.add_argument("--size", default="20MB", help="what the model of the whole text is pruned to")
    args = parser.parse_args()
    lines, held_out = split(args.text)
    part = first_words(lines, args.kaldingram_words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, whole = written(folder / "part.txt", part), written(folder / "whole.txt", lines)
        ours, theirs = folder / "ours.arpa", folder / "theirs.arpa"
        table(f"{sum(len(line.split()) for line in part):,} words, order 3, ARPA")
        row("**kikitori**", [*OURS, "train", small, "--out", ours], ours, held_out)
        row("kaldingram", [*THEIRS, "train", "--ngram-order", "3", "--text", small, "--lm", theirs], theirs, held_out)
        pruned = folder / "pruned.arpa"
        row(
            "**kikitori**, pruned by 1e-7",
            [*OURS, "prune", ours, "--out", pruned, "--threshold", "1e-7"],
            pruned,
            held_out,
        )
        prune = [*THEIRS, "prune", "--threshold", "1e-7", "--lm", ours, "--write-lm", folder / "theirs-pruned.arpa"]
        row("kaldingram, pruned by 1e-7", prune, folder / "theirs-pruned.arpa", held_out)

        table(f"{sum(len(line.split()) for line in lines):,} words, kikitori")
        perplexities = []
        for order in (3, 4):
            out = folder / f"order{order}.safetensors"
            train = [*OURS, "train", whole, "--out", out, "--order", str(order)]
            perplexities.append(row(f"order {order}", train, out, held_out))
        rises = []
        for suffix in (".arpa.gz", ".safetensors"):
            out = folder / f"pruned{suffix}"
            prune = [*OURS, "prune", folder / "order3.safetensors", "--out", out, "--max-size", args.size]
            rise = row(f"order 3, pruned to {args.size} of {suffix}", prune, out, held_out) / perplexities[0] - 1
            rises.append(f"{rise:+.1%} of {suffix}")
    facts = provenance()
    versions = ", ".join(f"{name} {version(name)}" for name in ("kaldingram", "ufal.kenlm", "numpy"))
    print(f"\nPerplexity of the pruned models to that of order 3: {', '.join(rises)}.")
    print(f"Held out: {sum(len(line.split()) for line in held_out):,} words, {len(held_out):,} sentences.")
    print(f"{facts['hardware']}; commit {facts['commit']}; {versions}\n{facts}")


if __name__ == "__main__":
    main()
