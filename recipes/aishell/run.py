#!/usr/bin/env python3
"""AISHELL-1, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/aishell/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out, and training goes on where it was. The corpus is looked for in
$ASR_DATA/aishell. The language model is of the characters of the training texts alone; its weight is found on dev.
"""

from pathlib import Path

from asr.train.recipe import TextModel, main
from data_prep import aishell

if __name__ == "__main__":
    main(aishell.prepare, Path(__file__).resolve().parent, __doc__, language_model=TextModel())
