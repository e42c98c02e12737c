#!/usr/bin/env python3
"""Mboshi, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/mboshi/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N] [--hours H] [--translate]

A step whose result is there is left out, and training goes on where it was. The language model is of the letters of the
training texts; its weight is found on dev, as is whether to try several warps of the mel axis. --hours trains on a part
of the corpus: what would less speech have given? --translate, for conf/french.yaml: the texts are the translations.
"""

from functools import partial
from pathlib import Path

from asr.train.recipe import TextModel, argument_parser, read_arguments, run, told_plainly
from data_prep import mboshi

HERE = Path(__file__).resolve().parent
LETTERS = TextModel(tokens=True, order=8, unit="characters", warps=(0.88, 0.94, 1.0, 1.06, 1.12))


def main() -> None:
    parser = argument_parser(__doc__, HERE)
    parser.add_argument("--hours", type=float, help="of training speech, at most (default: all)")
    parser.add_argument("--translate", action="store_true", help="into French")
    args = read_arguments(parser)
    data = args.data if args.hours is None else args.data.with_name(f"{args.data.name}-{args.hours:g}h")
    with told_plainly():
        if args.translate:
            prepare = partial(mboshi.prepare, hours=args.hours, text="french")
            data = data.with_name(f"{data.name}-french")
            run(prepare, args.config, data, args.out, None, ("dev", "test"), args.seed, translation=True)
        else:
            prepare = partial(mboshi.prepare, hours=args.hours)
            run(prepare, args.config, data, args.out, LETTERS, ("dev", "test"), args.seed)


if __name__ == "__main__":
    main()
