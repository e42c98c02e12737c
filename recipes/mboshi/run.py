#!/usr/bin/env python3
"""Mboshi, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/mboshi/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out, and training goes on where it was. The language model is made of the training
texts alone; its weight is found on dev.
"""

from pathlib import Path

from asr.recipe import TextModel, main
from data_prep import mboshi

if __name__ == "__main__":
    main(mboshi.prepare, Path(__file__).resolve().parent, __doc__, language_model=TextModel())
