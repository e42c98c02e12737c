#!/usr/bin/env python3
"""yesno, from the corpus to a scored recogniser: prepare, train, evaluate.

    python recipes/yesno/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out.
"""

from pathlib import Path

from asr.recipe import main
from data_prep import yesno

if __name__ == "__main__":
    main(yesno.prepare, Path(__file__).resolve().parent, __doc__)
