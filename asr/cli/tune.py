"""asr tune"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.common import BatchSeconds, Device, NumWorkers, counter, given, say, takes_decoding
from asr.utils.device import configure_torch

if TYPE_CHECKING:
    from asr.models.decoding_options import DecodingOptions

_OF_CTC = (*("lm_weight", "word_score", "unk_score", "unk_letter_score"), *("prior_weight", "beam_size", "temperature"))
SHOWN = {
    "ctc": _OF_CTC,
    "two-pass": (*_OF_CTC, "ctc_weight"),
    "attention": ("ctc_weight", "lm_weight", "length_reward", "length_norm", "end_factor"),
}


@takes_decoding("lm", "lexicon", "rescore", "head", "warps", "lm_unit")
def tune(
    cuts: Annotated[Path, typer.Argument(metavar="CUTS", help="A cut manifest that the model was not trained on.")],
    *,
    model: Annotated[Path, typer.Option("--model", help="A model folder, which is changed.")],
    unit: Annotated[
        str | None,
        typer.Option(help="What errors are counted in: words or characters. Default: words, where spaces part them."),
    ] = None,
    batch_seconds: BatchSeconds = None,
    num_workers: NumWorkers = None,
    device: Device = None,
    decoding: dict[str, Any],
) -> None:
    """Find the best decoding options on a dev set.

    LM weight, word score, prior weight, beam and what makes confidences true are written into the model folder, with
    the LMs and the lexicon where they are given here: from then on `asr transcribe --model MODEL` uses them. Warps and
    the unit of the LM are the folder's where they are left out.
    """
    configure_torch()
    from asr.evaluate.tuning.tune import tune as run

    options = given(unit=unit, batch_seconds=batch_seconds, num_workers=num_workers, device=device)
    result = run(model, cuts, progress=counter("decodings"), **options, **decoding)
    table = result.surface() if result.trials else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        say("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    before, after = result.cross_entropy
    say(
        f"asr: {result.decodings} decodings in {result.seconds:.0f} s; confidences: {before:.3f} nats a word as they"
        f" come, {after:.3f} as they will be"
    )
    for search, (chosen, scores) in result.searches.items():
        best = " (chosen)" if search == result.best.search else ""
        named = f"{search}{best}: " if result.best.search != "auto" else ""
        print(f"{named}{_values(search, chosen, result.rescored)}: {scores}")
    say(f"asr: written to {model}: asr transcribe and asr evaluate use them from now on")


def _values(search: str, options: DecodingOptions, rescored: bool) -> str:
    """The options that matter to a search."""
    values = [f"{name} {getattr(options, name):g}" for name in SHOWN[search]]
    if rescored:
        values.append(f"rescore_weight {options.rescore_weight:g}")
    if search != "attention":
        values.append(f"calibration {options.calibration[0]:g} {options.calibration[1]:g}")
    return ", ".join(values)
