#!/usr/bin/env python3
"""Spoken digits, from the corpus to a scored recogniser, on the official split and with each speaker left out.

    python recipes/fsdd/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N] [--hours H] [--digits A-B]
        [--leave-out-each]

A step whose result is there is left out. Nothing but digits can be heard, each as likely as in the training texts. The
official split has all six speakers in training and in test; --leave-out-each trains six times, each time without one
speaker, who is then the test. --digits 4-8 makes longer utterances of the recordings, in which one has to count.
--hours trains on a part of the recordings: what would less have given?
"""

from functools import partial
from pathlib import Path

from asr.train.recipe import TextModel, argument_parser, read_arguments, run, told_plainly
from data_prep import fsdd

HERE = Path(__file__).resolve().parent
WORDS = TextModel(order=1, closed=True)
JOINED = 1200  # made training utterances of some digits in a row, in noise, at many levels
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def digits(text: str) -> tuple[int, int]:
    """4-8 -> (4, 8); a ValueError where it is not so."""
    least, most = map(int, text.split("-"))
    if not 1 <= least <= most:
        raise ValueError(text)
    return least, most


def main() -> None:
    parser = argument_parser(__doc__, HERE)
    parser.add_argument("--leave-out-each", action="store_true", help="also the error on each speaker never heard")
    parser.add_argument(
        "--digits",
        default=fsdd.DIGITS,
        type=digits,
        metavar="A-B",
        help="of made utterances, at least and at most (default: 1-5)",
    )
    parser.add_argument("--hours", type=float, help="of training recordings, at most (default: all)")
    args = read_arguments(parser)
    with told_plainly():
        for speaker in (None, *SPEAKERS) if args.leave_out_each else (None,):
            prepare = partial(fsdd.prepare, leave_out=speaker, hours=args.hours, joined=JOINED, digits=args.digits)
            kind = "official" if args.digits == fsdd.DIGITS else "official-{}-{}".format(*args.digits)
            kind = f"without-{speaker}" if speaker else kind
            data = args.data / (kind if args.hours is None else f"{kind}-{args.hours:g}h")
            out = args.out.with_name(f"{args.out.name}-without-{speaker}") if speaker else args.out
            run(prepare, args.config, data, out, WORDS, ("test", "joined"), args.seed)


if __name__ == "__main__":
    main()
