#!/usr/bin/env python3
"""Kinds of networks beside each other: the plain recurrent cell, GRU, LSTM, one direction and both, Transformer, and an
attention decoder joined with CTC.

    python benchmarks/models.py digits [--out FOLDER] [--networks NAME...] [--seeds 1,2,3]
    python benchmarks/models.py read [--out FOLDER] [--networks NAME...] [--minutes 40]

digits: Free Spoken Digit Dataset ($ASR_DATA/fsdd), the official split with 600 made utterances, as recipes/fsdd; all
networks have as many parameters, within three hundredths, and each is trained with several seeds, in the same epochs.
Errors are greedy ones (of the joined model, its search's) on the official test split, and on 60 made utterances of it;
then those of CTC's search with a lexicon of the ten words.

read: mini LibriSpeech ($ASR_DATA/librispeech-mini), characters; all networks are trained in the same time, of which
each makes as many epochs as it can; one seed.

Nothing was chosen for a kind: all have one learning rate.

What is there already is not trained again. It prints a table. On two cores, one call has one half of the networks
(`--networks LSTM Transformer`), another the other; a third prints them all.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from asr.audio.spec_augment import SpecAugmentConfig
from asr.data.cuts import Utterance, read_cuts
from asr.evaluate.evaluation import evaluate
from asr.models.config import ModelConfig
from asr.models.folder import load_model
from asr.models.recognizer import build_recognizer
from asr.train.config import TrainConfig
from asr.train.recognizer import train_recognizer
from asr.train.run_folder import is_finished
from asr.train.time_estimate import estimate_time
from asr.utils.config import from_dict
from asr.utils.files import data_home, write_json, write_text
from asr.utils.provenance import provenance
from asr.utils.units import duration_words
from data_prep import fsdd, librispeech

DIGITS = {
    "features": {"sample_rate": 8000, "num_mel_bins": 40, "normalize": "global"},
    "encoder": {"layers": 2, "dropout": 0.1, "subsampling": "conv", "factor": 2},
}
READ = {
    "features": {"sample_rate": 16000, "num_mel_bins": 80, "normalize": "utterance"},
    "encoder": {"layers": 3, "dropout": 0.2, "subsampling": "conv", "factor": 4, "layer_norm": True},
}
BOTH: dict[str, dict[str, Any]] = {
    "RNN, one direction": {"encoder": {"kind": "rnn", "bidirectional": False}},
    "GRU, one direction": {"encoder": {"kind": "gru", "bidirectional": False}},
    "LSTM, one direction": {"encoder": {"kind": "lstm", "bidirectional": False}},
    "RNN": {"encoder": {"kind": "rnn"}},
    "GRU": {"encoder": {"kind": "gru"}},
    "LSTM": {"encoder": {"kind": "lstm"}},
    "Transformer": {"encoder": {"kind": "transformer", "layers": 4, "dropout": 0.1, "layer_norm": False}},
    "LSTM and attention": {"encoder": {"kind": "lstm"}, "decoder": {"kind": "attention", "hidden": 64}},
}
OF_READ = ("LSTM", "GRU", "Transformer", "LSTM and attention")
PARAMETERS = {"digits": 400_000, "read": 3_000_000}
COSTS = ("epochs", "minutes", "audio s/s", "of real time")
VOCABULARY = {"digits": 17, "read": 29}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("digits", "read"))
    parser.add_argument("--out", type=Path, default=Path("exp/models"))
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="of the table; all")
    parser.add_argument("--seeds", default="1,2,3", help="of digits")
    parser.add_argument("--minutes", type=float, default=40.0, help="of training, of read")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    out = args.out / args.what
    if args.what == "digits":
        data = fsdd.prepare(None, out / "data", joined=600).folder
        seeds, columns = [int(seed) for seed in args.seeds.split(",")], [("test", "wer"), ("joined", "wer")]
        columns += [("test-lexicon", "wer"), ("joined-lexicon", "wer")]
    else:
        data = librispeech.prepare(data_home() / "librispeech-mini", out / "data").folder
        seeds, columns = [1], [("dev", "wer"), ("dev", "cer"), ("test", "wer"), ("test", "cer")]
    splits = sorted({split for split, _ in columns if "lexicon" not in split})
    rows = []
    names = list(BOTH if args.what == "digits" else OF_READ)
    if args.networks:
        if unknown := set(args.networks) - set(names):
            parser.error(f"no network {', '.join(sorted(unknown))}: there are {'; '.join(names)}")
        names = args.networks
    for number, name in enumerate(names, 1):
        print(f"{name}, {number} of {len(names)} networks", flush=True)
        base = configured(args.what, name)
        runs = [trained(replace(base, seed=seed), name, data, out, splits, args) for seed in seeds]
        rows.append(row(name, runs, columns))
        print(f"{name}: {rows[-1]}", flush=True)
    facts = provenance()
    how = f"seeds {args.seeds}" if args.what == "digits" else f"{args.minutes:g} minutes of training each, seed 1"
    print(f"\n{how}; one thread of {facts['hardware']}; commit {facts['commit']}\n")
    heads = ["network", "parameters", *(f"{rate.upper()}, {split}" for split, rate in columns), *COSTS]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    print("\n".join(rows))


def configured(what: str, name: str) -> TrainConfig:
    """A network of the wanted number of parameters, and how it learns."""
    base, change = (DIGITS, BOTH[name]) if what == "digits" else (READ, BOTH[name])
    values = {part: {**base.get(part, {}), **change.get(part, {})} for part in {*base, *change}}
    step = 4 if values["encoder"]["kind"] == "transformer" else 1  # that its heads share
    low, high = 1, 2048 // step
    while low < high:  # the largest that has no more
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(values, step * middle, what) <= PARAMETERS[what] else (low, middle - 1)
    values["encoder"]["hidden"] = step * low
    model = from_dict(ModelConfig, values, where=name)
    common: dict[str, Any] = {"learning_rate": 1e-3, "patience": 0}
    if what == "digits":
        masks = SpecAugmentConfig(frequency_width=8, time_width=0.1, time_masks_per_second=1.0)
        return TrainConfig(model=model, spec_augment=masks, epochs=20, batch_seconds=10, warmup_steps=100, **common)
    return TrainConfig(model=model, batch_seconds=32, warmup_steps=400, weight_decay=0.1, **common)


def size(values: dict[str, Any], hidden: int, what: str) -> int:
    """Parameters."""
    encoder = {**values["encoder"], "hidden": hidden}
    model = from_dict(ModelConfig, {**values, "encoder": encoder}, where="hidden")
    recognizer = build_recognizer(model, {"characters": VOCABULARY[what]}, without_weights=True)
    return sum(p.numel() for p in recognizer.parameters())


def trained(
    config: TrainConfig, name: str, data: Path, out: Path, splits: Sequence[str], args: argparse.Namespace
) -> dict[str, Any]:
    """What came of a training; it is made where it is not there."""
    folder = out / f"{name.lower().replace(', ', '-').replace(' ', '-')}-{config.seed}"
    if args.what == "read":
        if not (folder / "epochs.json").is_file():
            training, dev = (read_cuts(data / f"cuts_{split}.jsonl.gz") for split in ("train", "dev"))
            write_json(folder / "epochs.json", epochs_within(60 * args.minutes, config, training, dev))
        config = replace(config, epochs=json.loads((folder / "epochs.json").read_text()))
    if not is_finished(folder):
        started = time.monotonic()
        train_recognizer(config, data, folder, check=False)
        print(f"{folder.name}: trained in {duration_words(time.monotonic() - started)}", flush=True)
    model = load_model(folder)
    cuts = {split: data / f"cuts_{split}.jsonl.gz" for split in splits}
    if not (folder / "facts.json").is_file():
        options = {} if model.recognizer.decoder is not None else {"greedy": True}
        started = time.monotonic()
        for split, path in cuts.items():
            evaluate(model, path, folder / "results" / split, **options)
        took = time.monotonic() - started
        audio = sum(utterance.duration for path in cuts.values() for utterance in read_cuts(path))
        parameters = sum(p.numel() for p in model.recognizer.parameters())
        write_json(folder / "facts.json", {"parameters": parameters, "real_time_factor": took / audio})
    if args.what == "digits":
        lexicon = out / "digits.txt"
        write_text(lexicon, "".join(f"{word}\n" for word in fsdd.WORDS))
        for split, path in cuts.items():
            results = folder / "results" / f"{split}-lexicon"
            if not (results / "scores.json").is_file():
                evaluate(model, path, results, lexicon=lexicon, search="ctc")
    return found(folder)


def found(folder: Path) -> dict[str, Any]:
    """What a finished run's files say."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    rates = [entry["audio_rate"] for entry in log if entry["kind"] == "epoch"]
    return {
        **json.loads((folder / "facts.json").read_text()),
        "epochs": len(rates),
        "minutes": log[-1]["seconds"] / 60,
        "audio_rate": statistics.harmonic_mean(rates),
        "error_rates": {
            file.parent.name: json.loads(file.read_text()) for file in folder.glob("results/*/scores.json")
        },
    }


def epochs_within(seconds: float, config: TrainConfig, training: Sequence[Utterance], dev: Sequence[Utterance]) -> int:
    """As many as take nearest to this time; an attention decoder does not learn, and takes none, in the first."""
    decoder = config.model.decoder
    first = decoder.start_epoch - 1 if decoder.kind != "none" else 0
    if first:
        seconds -= estimate_time(replace(config, epochs=first), training, dev, seconds=60.0).run_seconds
        config = replace(config, model=replace(config.model, decoder=replace(decoder, start_epoch=1)))
    later = estimate_time(replace(config, epochs=1), training, dev, seconds=60.0).epoch_seconds
    return max(1, first + round(seconds / later))


def row(name: str, runs: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]]) -> str:
    """A line of the table: means, and ranges of several, of these splits' error rates; and what it costs."""
    cells = []
    for split, rate in columns:
        each = [100 * run["error_rates"][split][rate]["rate"] for run in runs]
        spread = f" ({min(each):.2f} to {max(each):.2f})" if len(each) > 1 else ""
        cells.append(f"{sum(each) / len(each):.2f} %{spread}")
    median = {key: statistics.median(run[key] for run in runs) for key in ("minutes", "audio_rate", "real_time_factor")}
    costs = [f"{median['minutes']:.0f}", f"{median['audio_rate']:.0f}", f"{median['real_time_factor']:.4f}"]
    cells = [f"{runs[0]['parameters'] / 1e6:.2f} M", *cells, str(runs[0]["epochs"]), *costs]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
