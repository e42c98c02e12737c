#!/usr/bin/env python3
"""Spoken digits, from the corpus to a scored recogniser, on the official split and with each speaker left out.

    python recipes/fsdd/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--leave-out-each]

A step whose result is there is left out. The official split has all six speakers in training and in test;
--leave-out-each trains six times, each time without one speaker, who is then the test.
"""

import argparse
import logging
from pathlib import Path

HERE = Path(__file__).resolve().parent
JOINED = 1200  # made training utterances of one to five digits in a row, in noise, at many levels
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def run(config_path: Path, data: Path, out: Path, leave_out: str | None = None) -> float:
    """Prepares, trains, evaluates; the WER on the test split."""
    from asr.config import read_config
    from asr.evaluate import evaluate
    from asr.model_folder import load_model
    from asr.run_folder import is_finished
    from asr.train import TrainConfig
    from asr.train_recognizer import train_recognizer
    from data_prep import fsdd

    logging.info("%s", fsdd.prepare(None, data, leave_out=leave_out, joined=JOINED))
    if not is_finished(out):
        train_recognizer(read_config(TrainConfig, config_path), data, out)
    for split in ("test", "joined"):
        result = evaluate(load_model(out / "model"), data / f"cuts_{split}.jsonl.gz", out / "results" / split)
        print(f"{leave_out or 'official split'}, {split}: {result}", flush=True)
        if split == "test":
            rate = result.words.rate
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default=HERE / "conf" / "blstm.yaml", type=Path)
    parser.add_argument("--data", default=HERE / "data", type=Path, help="prepared manifests (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="the run's folder (default: exp/ and the configuration's name)")
    parser.add_argument("--leave-out-each", action="store_true", help="also the error on each speaker never heard")
    args = parser.parse_args()
    out = args.out or HERE / "exp" / args.config.stem

    from asr.cli.common import ready_torch

    ready_torch()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run(args.config, args.data / "official", out)
    if args.leave_out_each:
        rates = [
            run(args.config, args.data / f"without-{s}", out.with_name(f"{out.name}-without-{s}"), s) for s in SPEAKERS
        ]
        print(f"speakers never heard: mean WER {100 * sum(rates) / len(rates):.2f} %, worst {100 * max(rates):.2f} %")


if __name__ == "__main__":
    main()
