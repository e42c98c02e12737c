#!/usr/bin/env python3
"""yesno, from the corpus to a scored recogniser: prepare, train, language model, tune, evaluate.

    python recipes/yesno/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out. The language model is how often the two words are said, and nothing else can
be heard.
"""

from pathlib import Path

from asr.train.recipe import TextModel, main
from data_prep import yesno

if __name__ == "__main__":
    words = TextModel(order=1, closed=True)
    main(yesno.prepare, Path(__file__).resolve().parent, __doc__, language_model=words)
