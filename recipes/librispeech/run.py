#!/usr/bin/env python3
"""LibriSpeech, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/librispeech/run.py [CONFIG] [--hours 100|360|960] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out, and training goes on where it was. The corpus is looked for in
$ASR_DATA/librispeech, the text of the language model in the files named below; its weight is found on dev.
"""

from pathlib import Path

from asr.train.recipe import TextModel, argument_parser, read_arguments, run, told_plainly
from asr.utils.errors import InputError
from data_prep import Summary, librispeech

HERE = Path(__file__).resolve().parent
PARTS = ("train-clean-100", "train-clean-360", "train-other-500")
HOURS = {100: PARTS[:1], 360: PARTS[:2], 960: PARTS}
TESTS = ("test", "test_other")
TEXTS = ("librispeech-lm-part.txt", "librispeech-lm-norm.txt.gz")  # the second is OpenSLR 11's


def main() -> None:
    parser = argument_parser(__doc__, HERE)
    parser.add_argument("--hours", type=int, choices=HOURS, default=100, help="of training (default: %(default)s)")
    hours = parser.parse_known_args()[0].hours
    parser.set_defaults(config=HERE / "conf" / f"blstm-{hours}.yaml", data=HERE / "data" / str(hours))
    args = read_arguments(parser)

    def prepare(_: None, data: Path) -> Summary:
        summary = librispeech.prepare(None, data, train_part=HOURS[hours])
        if missing := [name.replace("_", "-") for name in TESTS if name not in summary.utterances]:
            raise InputError(
                f"has no {', '.join(missing)}", where=data, remedy="unpack it, remove this folder, begin anew"
            )
        return summary

    with told_plainly():
        text = TextModel(order=3, texts=TEXTS, words=200_000)
        run(prepare, args.config, args.data, args.out, text, TESTS, args.seed)


if __name__ == "__main__":
    main()
