"""asr evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or the name of a shipped model.")],
    cuts: Annotated[Path, typer.Argument(metavar="CUTS", help="A cut manifest, e.g. data/fsdd/cuts_test.jsonl.gz.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for hypotheses.jsonl and scores.json.")] = None,
    batch_seconds: Annotated[
        float | None, typer.Option(help="Seconds of audio in a batch, padding included. Default: 120.")
    ] = None,
    num_workers: Annotated[int | None, typer.Option(help="Processes that read audio. Default: 0.")] = None,
) -> None:
    """Decode a set of utterances and score it."""
    from asr.cli.common import given, ready_torch, say

    ready_torch()
    from asr.evaluate import evaluate as run
    from asr.model_folder import load_model

    loaded = load_model(model)
    result = run(loaded, cuts, out, **given(batch_seconds=batch_seconds, num_workers=num_workers))
    print(result.summary(words=loaded.has_words))
    if out is not None:
        say(f"asr: wrote {out}/hypotheses.jsonl and {out}/scores.json")
