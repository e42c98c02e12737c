#!/usr/bin/env python3
"""JSUT, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/jsut/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out, and training goes on where it was. The corpus is looked for in $ASR_DATA/jsut.
The language model is of the characters of the training texts alone; its weight is found on dev.
"""

from pathlib import Path

from asr.train.recipe import TextModel, main
from data_prep import jsut

if __name__ == "__main__":
    main(jsut.prepare, Path(__file__).resolve().parent, __doc__, language_model=TextModel())
