"""asr score"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def score(
    reference: Annotated[Path, typer.Argument(metavar="REF", help="The right texts.")],
    hypothesis: Annotated[Path, typer.Argument(metavar="HYP", help="The texts to score.")],
    lines: Annotated[
        bool, typer.Option("--lines", help="Plain lines, paired in order; else each line begins with its id.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Word and character error rate of a text file against another.

    Files hold `id text` a line, as Kaldi's, or JSON lines with `id` and `text` (hypotheses.jsonl). Texts are compared
    as they are: case and punctuation count.
    """
    from asr.score import pair, read_lines, read_texts, score as score_texts

    read = read_lines if lines else read_texts
    references, hypotheses, notes = pair(read(reference), read(hypothesis))
    for note in notes:
        print(f"asr: {note}", file=sys.stderr)
    result = score_texts(references, hypotheses)
    print(json.dumps(result.as_dict()) if as_json else result)
