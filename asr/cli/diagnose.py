"""asr diagnose"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.common import given, numbers_of, say
from asr.cli.training import Data, Preset, Settings, training_config
from asr.utils.device import configure_torch

app = typer.Typer(help="What would help: more speech? Where does it look?", no_args_is_help=True)


@app.command("learning-curve")
def learning_curve(
    words: Settings = None,
    *,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="A folder: a run for each part, and the curve.")],
    preset: Preset = None,
    fractions: Annotated[
        str | None, typer.Option(metavar="X,X,...", help="Of the training speech. Default: 0.125,0.25,0.5,1.")
    ] = None,
    split: Annotated[str, typer.Option(help="That errors are counted on.")] = "test",
) -> None:
    """Train on parts of the speech, and tell what twice as much would likely give.

    It takes about two and a half times as long as a training. After an interruption the same command goes on.
    """
    configure_torch()
    from asr.train.learning_curve import learning_curve as run

    wanted = training_config(words, preset)
    curve = run(
        *(wanted, data, out),
        split=split,
        say=lambda line: say(f"asr: {line}"),
        **given(fractions=numbers_of(fractions, "fractions")),
    )
    print("hours\terror, %\t95 %")
    for point in curve.points:
        low, high = (100 * edge for edge in point.interval)
        print(f"{point.hours:.3f}\t{100 * point.rate:.2f}\t{low:.2f} to {high:.2f}")
    print(curve)
    say(f"asr: wrote {out}/learning-curve.json and learning-curve.svg")


@app.command("gradients")
def gradients(
    words: Settings = None,
    *,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="A folder for pictures and numbers.")],
    preset: Preset = None,
    cells: Annotated[
        str | None, typer.Option(metavar="X,X,...", help="Kinds of cells. Default: rnn,rnn-relu,rnn-sigmoid,lstm,gru.")
    ] = None,
    lags: Annotated[int | None, typer.Option(help="Frames to look back. Default: 60.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of training, for each cell. Default: 300.")] = None,
) -> None:
    """Show how gradients fade through time: cell by cell, before and after some training."""
    configure_torch()
    from asr.train.gradient_flow import NAMES, gradients as run

    wanted = training_config(words, preset)
    chosen = [name.strip() for name in cells.split(",")] if cells is not None else None
    results = run(
        wanted, data, out, say=lambda line: say(f"asr: {line}"), **given(cells=chosen, lags=lags, steps=steps)
    )
    print("cell\tslope before\tafter\tradius before\tafter\tclipped, %\tloss before\tafter")
    for result in results:
        first, last = result.stages
        cells_of = (first.hidden.slope, last.hidden.slope, first.step_radius, last.step_radius, 100 * result.clipped)
        print("\t".join([NAMES[result.kind], *(f"{value:.3f}" for value in (*cells_of, first.loss, last.loss))]))
    say(f"asr: wrote {out}/gradients.json, gradients.png and .svg, gates.png and .svg")


@app.command("attention")
def attention(
    audio: Annotated[str, typer.Argument(metavar="AUDIO", help="An utterance.")],
    *,
    model: Annotated[str, typer.Option("--model", help="A model folder, with an attention decoder.")],
    out: Annotated[Path, typer.Option("--out", help="The picture: .svg, .png or .pdf.")],
) -> None:
    """Draw where a model's attention decoder looks, token by token."""
    from asr.utils.files import check_output

    check_output(out, audio)
    configure_torch()
    from asr.inference.attention_map import draw_attention

    print(draw_attention(model, audio, out))
    say(f"asr: wrote {out}")
