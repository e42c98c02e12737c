"""asr prepare"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def prepare(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="fsdd, yesno, synthetic, or table for one's own.")],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="The corpus's folder (of `table`: the CSV, TSV or JSONL file); fetched where left out, if it may be.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to make, e.g. data/fsdd.")] = ...,  # type: ignore[assignment]
    leave_out: Annotated[str | None, typer.Option(help="fsdd: a speaker who becomes the test split.")] = None,
    joined: Annotated[
        int | None, typer.Option(help="fsdd: made training utterances of several digits in noise. Default: 0.")
    ] = None,
    split_by: Annotated[
        str | None,
        typer.Option(
            help="table: column | speaker | random | auto (the split column if there is one, else by speaker if the"
            " table names them, else at random). Default: auto."
        ),
    ] = None,
    dev: Annotated[float | None, typer.Option(help="table: share of dev where it is split here. Default: 0.1.")] = None,
    test: Annotated[
        float | None, typer.Option(help="table: share of test where it is split here. Default: 0.1.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="table: seed of the split. Default: 1.")] = None,
) -> None:
    """Turn a corpus into manifests for training; every file is checked."""
    import importlib
    import inspect

    from asr.cli.common import corpora, counter, given, say
    from asr.errors import InputError

    known = corpora()
    if corpus not in known:
        raise InputError(f"no corpus {corpus!r}", where="CORPUS", remedy=f"there are {', '.join(known)}")
    run = importlib.import_module(f"data_prep.{corpus}").prepare
    options: dict[str, Any] = given(
        leave_out=leave_out, joined=joined, split_by=split_by, dev=dev, test=test, seed=seed
    )
    for name in options.keys() - inspect.signature(run).parameters.keys():
        raise InputError(f"--{name.replace('_', '-')} means nothing for {corpus}")
    summary = run(folder, out, progress=counter("checked"), **options)
    print(summary)
    for line in summary.left_out:
        print(f"asr: left out: {line}", file=sys.stderr)
    say(f"asr: next: asr train CONFIG --data {out} --out exp/{out.name}")
    if summary.left_out:
        raise typer.Exit(1)
