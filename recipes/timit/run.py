#!/usr/bin/env python3
"""TIMIT, from the corpus to a scored recogniser of phones: prepare, train, language model, tune, evaluate.

    python recipes/timit/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

A step whose result is there is left out, and training goes on where it was. The corpus is looked for in
$ASR_DATA/timit. 48 phones are learnt, and at the end errors are counted in 39 classes of them. The language model is of
the phones of the training set; its weight is found on dev.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from asr.evaluate.significance import confidence_interval, interval_facts
from asr.evaluate.wer import Scores, score
from asr.train.recipe import TextModel, argument_parser, read_arguments, results, run, told_plainly
from asr.utils.files import read_text, write_json
from data_prep import timit

HERE = Path(__file__).resolve().parent


def score_classes(folder: Path) -> Scores:
    """Counts the errors of a results folder anew, in 39 classes, and writes its scores.json."""
    rows = [json.loads(line) for line in read_text(folder / "hypotheses.jsonl").split("\n") if line]

    def counted(speaker: str | None = None) -> tuple[Scores, list[float]]:
        chosen = [row for row in rows if speaker in (None, row["speaker"])]
        references, heard = ([timit.fold(row[key], 39) for row in chosen] for key in ("reference", "text"))
        scores = score(references, heard, unit="phones")
        return scores, interval_facts(confidence_interval(scores.each))["interval"]

    found, interval = counted()
    speakers: dict[str, Any] = {}
    for speaker in sorted({row["speaker"] for row in rows}):
        own, its = counted(speaker)
        errors, length = own.error.errors, own.error.length
        speakers[speaker] = {"rate": round(own.error.rate, 5), "interval": its, "errors": errors, "length": length}
    facts = json.loads(read_text(folder / "scores.json"))
    for of_48 in ("wer", "cer"):
        facts.pop(of_48, None)
    write_json(folder / "scores.json", {**facts, **found.as_dict(), "interval": interval, "speakers": speakers})
    return found


def main() -> None:
    args = read_arguments(argument_parser(__doc__, HERE))
    prepare = partial(timit.prepare, phones=48)
    with told_plainly():
        found = run(prepare, args.config, args.data, args.out, TextModel(), ("dev", "test"), args.seed)
        for name in found["scores"]:
            print(f"{name}, 39 classes: {score_classes(args.out / 'results' / name)}", flush=True)
        write_json(args.out / "results.json", results(args.config, args.data, args.out, list(found["scores"])))


if __name__ == "__main__":
    main()
