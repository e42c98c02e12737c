"""asr evaluate"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.cli.common import BatchSeconds, Device, ModelName, NumWorkers, Translation, given, say, takes_decoding
from asr.utils.device import configure_torch, find_device
from asr.utils.errors import InputError
from asr.utils.files import read_text


@takes_decoding()
def evaluate(
    cuts: Annotated[Path, typer.Argument(metavar="CUTS", help="A cut manifest, e.g. data/fsdd/cuts_test.jsonl.gz.")],
    *,
    model: ModelName,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for hypotheses.jsonl and scores.json.")] = None,
    batch_seconds: BatchSeconds = None,
    num_workers: NumWorkers = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of another model, or of another set.")
    ] = False,
    translation: Translation = False,
    device: Device = None,
    decoding: dict[str, Any],
) -> None:
    """Decode a set of utterances and score it."""
    configure_torch()
    from asr.evaluate.evaluation import evaluate as run
    from asr.evaluate.report import write_report
    from asr.models.folder import load_model

    if cuts.is_dir():
        raise InputError("is a folder", where=cuts, remedy=f"name a manifest of it: {cuts / 'cuts_test.jsonl.gz'}")
    loaded = load_model(model, head=decoding.pop("head", None))
    loaded.recognizer.to(find_device(device))
    if out is not None and not overwrite:
        _check_own(out, loaded.name, cuts)
    options = given(batch_seconds=batch_seconds, num_workers=num_workers)
    result = run(loaded, cuts, out, translation=translation, **options, **decoding)
    print(result.summary())
    if out is not None:
        write_report(out)
        say(f"asr: wrote {out}/hypotheses.jsonl, scores.json and report.html")


def _check_own(out: Path, model: str, cuts: Path) -> None:
    """An InputError where results are of another model or set."""
    if not (out / "scores.json").is_file():
        return
    try:
        before = json.loads(read_text(out / "scores.json"))
        of = before["model"], before["data"]
    except (ValueError, KeyError, TypeError):
        return  # it is nobody's
    if of != (model, str(cuts)):
        remedy = "name another --out, or --overwrite"
        raise InputError(f"holds results of {of[0]} on {of[1]}", where=out, remedy=remedy)
