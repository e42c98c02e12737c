"""asr tune"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.common import HeadKind, LexiconFile, Lm, Rescore, Warps, counter, given, numbers_of, say
from asr.utils.device import configure_torch

_OF_CTC = (
    *("lm_weight", "word_score", "unk_score", "unk_letter_score"),
    *("prior_weight", "beam_size", "temperature"),
)
SHOWN = {
    "ctc": _OF_CTC,
    "two-pass": (*_OF_CTC, "ctc_weight"),
    "attention": ("ctc_weight", "lm_weight", "length_reward", "length_norm", "end_factor"),
}


def tune(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, which is changed.")],
    cuts: Annotated[Path, typer.Argument(metavar="CUTS", help="A cut manifest that the model was not trained on.")],
    lm: Lm = None,
    lexicon: LexiconFile = None,
    rescore: Rescore = None,
    head: HeadKind = None,
    unit: Annotated[
        str | None,
        typer.Option(help="What errors are counted in: words or characters. Default: words, where spaces part them."),
    ] = None,
    warps: Warps = None,
    lm_unit: Annotated[
        str | None, typer.Option(help="What the LM is over: auto, word or token. Default: as the folder has it.")
    ] = None,
    batch_seconds: Annotated[
        float | None, typer.Option(help="Seconds of audio in a batch, padding included. Default: 120.")
    ] = None,
    num_workers: Annotated[int | None, typer.Option(help="Processes that read audio. Default: 0.")] = None,
) -> None:
    """Find the best decoding options on a dev set.

    LM weight, word score, prior weight, beam and what makes confidences true are written into the model folder, with
    the LMs and the lexicon where they are given here: from then on `asr transcribe --model MODEL` uses them.
    """
    configure_torch()
    from asr.evaluate.tuning.tune import tune as run

    result = run(
        model,
        cuts,
        progress=counter("decodings"),
        **given(
            lm=lm,
            lexicon=lexicon,
            rescore=rescore,
            head=head,
            unit=unit,
            warps=numbers_of(warps),
            lm_unit=lm_unit,
            batch_seconds=batch_seconds,
            num_workers=num_workers,
        ),
    )
    table = result.surface() if result.trials else []
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]) if table else 0)]
    for row in table:
        say("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    say(
        f"asr: {result.decodings} decodings in {result.seconds:.0f} s; confidences: {result.cross_entropy[0]:.3f}"
        f" nats a word as they come, {result.cross_entropy[1]:.3f} as they will be"
    )
    for search, (options, scores) in result.searches.items():
        chosen = " (chosen)" if search == result.best.search else ""
        named = f"{search}{chosen}: " if result.best.search != "auto" else ""
        values = ", ".join(f"{name} {getattr(options, name):g}" for name in SHOWN[search])
        if result.rescored:
            values += f", rescore_weight {options.rescore_weight:g}"
        if search != "attention":
            values += f", calibration {options.calibration[0]:g} {options.calibration[1]:g}"
        print(f"{named}{values}: {scores}")
    say(f"asr: written to {model}: asr transcribe and asr evaluate use them from now on")
