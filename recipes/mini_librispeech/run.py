#!/usr/bin/env python3
"""Mini LibriSpeech, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/mini_librispeech/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out, and training goes on where it was. The corpus is looked for in
$ASR_DATA/librispeech-mini, the text of the language model in the files named below; its weight is found on dev.
"""

from pathlib import Path

from asr.train.recipe import TextModel, main
from asr.utils.files import data_home
from data_prep import Summary, librispeech

TEXTS = ("lm-text/lm_text_en.txt", "librispeech-lm-norm.txt.gz")  # the second is OpenSLR 11's
WORDS = TextModel(order=4, texts=TEXTS, words=60_000, warps=(0.88, 0.94, 1.0, 1.06, 1.12))


def prepare(_: None, data: Path) -> Summary:
    return librispeech.prepare(data_home() / "librispeech-mini", data)


if __name__ == "__main__":
    main(prepare, Path(__file__).resolve().parent, __doc__, language_model=WORDS, splits=("dev", "test"))
