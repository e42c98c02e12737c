#!/usr/bin/env python3
"""LJ Speech, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/ljspeech/run.py [CONFIG] [--data FOLDER] [--out FOLDER]

A step whose result is there is left out, and training goes on where it was. The language model is made of the training
texts alone; its weight is found on dev.
"""

import argparse
import logging
from pathlib import Path

HERE = Path(__file__).resolve().parent
ORDER = 3  # of the language model


def add_language_model(out: Path, data: Path) -> None:
    """Gives the model a 3-gram of its training texts, and the decoding options that are best on dev."""
    from asr.data import read_cuts
    from asr.lm.corpus import read_corpus
    from asr.lm.estimate import estimate_ngram
    from asr.lm.ngram import save_ngram
    from asr.model_folder import load_model
    from asr.tune import tune

    model = load_model(out / "model")
    if model.lm is None:
        normalize = model.normalizer()
        texts = (normalize(utterance.text) for utterance in read_cuts(data / "cuts_train.jsonl.gz"))
        save_ngram(estimate_ngram(read_corpus(texts), ORDER), out / "lm.safetensors")
        tuned = tune(out / "model", data / "cuts_dev.jsonl.gz", lm=out / "lm.safetensors")
        logging.info("dev, tuned in %d decodings: %s", len(tuned.trials), tuned.score)


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
    from data_prep import ljspeech

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.info("%s", ljspeech.prepare(None, args.data))
    if not is_finished(out):
        train_recognizer(read_config(TrainConfig, args.config), args.data, out)
    add_language_model(out, args.data)
    for name, options in {"greedy": {"greedy": True}, "3-gram": {}}.items():
        folder = out / "results" / f"test-{name}"
        result = evaluate(load_model(out / "model"), args.data / "cuts_test.jsonl.gz", folder, **options)
        print(f"test, {name}: {result}", flush=True)


if __name__ == "__main__":
    main()
