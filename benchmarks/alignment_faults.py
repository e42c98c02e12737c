#!/usr/bin/env python3
"""Which faults of a text `asr align` notices: utterances joined, of each tenth of whose texts words are left out, are
put in, or are others.

    python benchmarks/alignment_faults.py MODEL CUTS

At most 300 utterances of a split, half a second between them, a line of text each. One, two, three or five words in a
row are changed inside a line that has some more; new ones are drawn from all texts. Noticed is a line that
`asr.inference.aligner.doubt` names; of lines with their own text, that is a false alarm. Five times, of other
draws.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict

import numpy as np
import torch

from asr.data.cuts import read_cuts
from asr.inference.aligner import align, by_lines, doubt
from asr.models.folder import load_model
from asr.utils.provenance import provenance

PAUSE = 0.5  # seconds
SHARE = 0.1  # of the lines, for each kind
SIZES = (1, 2, 3, 5)
TIMES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("cuts", metavar="CUTS")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(args.model)
    rate = model.recognizer.sample_rate
    utterances = list(read_cuts(args.cuts))[:300]
    words = [word for utterance in utterances for word in utterance.text.split()]
    silence = np.zeros(round(PAUSE * rate), np.float32)
    noticed: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for seed in range(TIMES):
        draw = random.Random(seed)
        changed = [change(utterance.text.split(), words, draw) for utterance in utterances]
        lines = [" ".join(text) for text, _ in changed]
        sound = (part for utterance in utterances for part in (utterance.samples(rate), silence))
        segments = by_lines(align(model, sound, "\n".join(lines)), lines)
        for segment, (_, kind) in zip(segments, changed, strict=True):
            noticed[kind].append(bool(doubt(segment)))
    facts = provenance()
    print(f"{args.model}, {args.cuts}; {facts['hardware']}; commit {facts['commit']}\n")
    print("| words | " + " | ".join(map(str, SIZES)) + " |\n| --- |" + " --- |" * len(SIZES))
    for what in ("left out", "put in", "others"):
        cells = [f"{sum(noticed[what, size])} of {len(noticed[what, size])}" for size in SIZES]
        print(f"| {what} | {' | '.join(cells)} |")
    print(f"\nfalse alarms: {sum(noticed['', 0])} of {len(noticed['', 0])}")


def change(text: list[str], words: list[str], draw: random.Random) -> tuple[list[str], tuple[str, int]]:
    """The text with a fault or without, what that is and how many words it has."""
    chance, size = draw.random(), draw.choice(SIZES)
    if chance >= 3 * SHARE or len(text) < size + 3:
        return text, ("", 0)
    what = ("left out", "put in", "others")[int(chance / SHARE)]
    at = draw.randrange(1, len(text) - size)
    new = [] if what == "left out" else draw.sample(words, size)
    return text[:at] + new + text[at if what == "put in" else at + size :], (what, size)


if __name__ == "__main__":
    main()
