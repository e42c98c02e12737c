#!/usr/bin/env python3
"""A language of Common Voice, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/common_voice/run.py --language ga-IE [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out, and training goes on where it was. The language's folder is looked for in
$ASR_DATA/common_voice. The language model is made of the training texts alone; its weight is found on dev.
"""

from pathlib import Path

from asr.train.recipe import TextModel, argument_parser, read_arguments, run, told_plainly
from asr.utils.files import data_home
from data_prep import Summary, common_voice

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argument_parser(__doc__, HERE)
    parser.add_argument("--language", required=True, help="the name of its folder in $ASR_DATA/common_voice: ga-IE")
    language = parser.parse_known_args()[0].language
    parser.set_defaults(data=HERE / "data" / language, exp=HERE / "exp" / language)
    args = read_arguments(parser)

    def prepare(_: None, data: Path) -> Summary:
        return common_voice.prepare(data_home() / "common_voice" / language, data)

    with told_plainly():
        run(prepare, args.config, args.data, args.out, TextModel(), ("test",), args.seed)


if __name__ == "__main__":
    main()
