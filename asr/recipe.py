"""What the recipes of corpora do: prepare, train, make a language model, tune, evaluate. What is there is left out."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asr.errors import InputError

log = logging.getLogger(__name__)


def main(
    prepare: Callable[[None, Path], Any],
    folder: Path,
    description: str,
    *,
    lm_order: int = 0,
    arguments: Sequence[str] | None = None,
) -> None:
    """A recipe's command line: run.py [CONFIG] [--data FOLDER] [--out FOLDER]. Prints the error rates on test.

    Args:
        prepare: Of the corpus's module: (None, data) -> what it has to say.
        folder: The recipe's own, with conf/blstm.yaml.
        description: The recipe's docstring.
        lm_order: Of a language model of the training texts; 0: none.
        arguments: The command line's where None.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("config", nargs="?", default=folder / "conf" / "blstm.yaml", type=Path)
    parser.add_argument("--data", default=folder / "data", type=Path, help="prepared manifests (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="the run's folder (default: exp/ and the configuration's name)")
    args = parser.parse_args(arguments)
    out = args.out or folder / "exp" / args.config.stem

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        _run(prepare, args.config, args.data, out, lm_order)
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _run(prepare: Callable[[None, Path], Any], config: Path, data: Path, out: Path, lm_order: int) -> None:
    from asr.cli.common import ready_torch

    ready_torch()
    from asr.config import read_config
    from asr.evaluate import evaluate
    from asr.model_folder import load_model
    from asr.run_folder import is_finished
    from asr.train import TrainConfig
    from asr.train_recognizer import train_recognizer

    log.info("%s", prepare(None, data))
    if not is_finished(out):
        train_recognizer(read_config(TrainConfig, config), data, out)
    ways: dict[str, dict[str, Any]] = {"test": {"greedy": True}}
    if lm_order:
        add_language_model(out, data, lm_order)
        ways = {"test-greedy": {"greedy": True}, f"test-{lm_order}-gram": {}}
    for name, options in ways.items():
        result = evaluate(load_model(out / "model"), data / "cuts_test.jsonl.gz", out / "results" / name, **options)
        print(f"{name}: {result}", flush=True)


def add_language_model(out: Path, data: Path, order: int) -> None:
    """Gives the run's model an n-gram model of its training texts, and the decoding options that are best on dev."""
    from asr.data import read_cuts
    from asr.lm.corpus import read_corpus
    from asr.lm.estimate import EstimateOptions, estimate_ngram
    from asr.lm.ngram import save_ngram
    from asr.model_folder import load_model
    from asr.tune import tune

    model = load_model(out / "model")
    if model.lm is not None:
        return
    normalize = model.normalizer()
    texts = (normalize(utterance.text) for utterance in read_cuts(data / "cuts_train.jsonl.gz"))
    made = estimate_ngram(read_corpus(texts, where=data / "cuts_train.jsonl.gz"), EstimateOptions(order=order))
    save_ngram(made, out / "lm.safetensors")
    tuned = tune(out / "model", data / "cuts_dev.jsonl.gz", lm=out / "lm.safetensors")
    log.info("dev, tuned in %d decodings: %s", len(tuned.trials), tuned.score)
