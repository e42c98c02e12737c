#!/usr/bin/env python3
"""LJ Speech, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/ljspeech/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out, and training goes on where it was. The text of the language model is looked
for in the files named below; its weight is found on dev.
"""

from pathlib import Path

from asr.train.recipe import TextModel, main
from data_prep import ljspeech

TEXTS = ("lm-text/lm_text_en.txt", "librispeech-lm-norm.txt.gz")  # the second is OpenSLR 11's

if __name__ == "__main__":
    text = TextModel(order=4, texts=TEXTS, words=60_000)
    main(ljspeech.prepare, Path(__file__).resolve().parent, __doc__, language_model=text, splits=("dev", "test"))
