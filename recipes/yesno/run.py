#!/usr/bin/env python3
"""yesno, from the corpus to a scored recogniser: prepare, train, evaluate. A step whose result is there is left out.

python recipes/yesno/run.py [CONFIG] [--data FOLDER] [--out FOLDER]
"""

import argparse
import logging
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default=HERE / "conf" / "blstm.yaml", type=Path)
    parser.add_argument("--data", default=HERE / "data", type=Path, help="prepared manifests (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="the run's folder (default: exp/ and the configuration's name)")
    args = parser.parse_args()
    out = args.out or HERE / "exp" / args.config.stem

    import torch

    torch.set_flush_denormal(True)  # before threads exist: gradients fade into denormal numbers in padding
    from asr.config import read_config
    from asr.evaluate import evaluate
    from asr.model_folder import load_model
    from asr.run_folder import is_finished
    from asr.train import TrainConfig
    from asr.train_recognizer import train_recognizer
    from data_prep import yesno

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.info("%s", yesno.prepare(None, args.data))
    if not is_finished(out):
        train_recognizer(read_config(TrainConfig, args.config), args.data, out)
    result = evaluate(load_model(out / "model"), args.data / "cuts_test.jsonl.gz", out / "results" / "test")
    print(f"test: {result}")


if __name__ == "__main__":
    main()
