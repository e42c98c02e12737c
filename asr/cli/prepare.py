"""asr prepare"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.cli.common import corpora

_SHOWN = 20  # lines of what was left out


def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS", help=f"{', '.join(corpora())}; elan, table and textgrid are for one's own recordings."
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="The corpus's folder (of `table`: the CSV, TSV or JSONL file). Where it is left out: $ASR_DATA/CORPUS,"
            " fetched if it is not there and may be.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to make, e.g. data/fsdd.")] = ...,  # type: ignore[assignment]
    leave_out: Annotated[str | None, typer.Option(help="fsdd: a speaker who becomes the test split.")] = None,
    joined: Annotated[
        int | None, typer.Option(help="fsdd: made training utterances of several digits in noise. Default: 0.")
    ] = None,
    train_part: Annotated[
        list[str] | None,
        typer.Option(
            help="librispeech: a part that is train, once for each of them; by the parts' names where left out."
        ),
    ] = None,
    dev_part: Annotated[
        str | None, typer.Option(help="librispeech: the part that is dev; by the parts' names where left out.")
    ] = None,
    test_part: Annotated[
        str | None, typer.Option(help="librispeech: the part that is test; by the parts' names where left out.")
    ] = None,
    phones: Annotated[
        int | None, typer.Option(help="timit: texts are phones, of the set of 61, 48 or 39; sentences where left out.")
    ] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option(
            help="elan, textgrid: a tier whose texts are taken, once for each; * stands for anything. Where left out:"
            " the one that all files have."
        ),
    ] = None,
    tier_type: Annotated[
        str | None, typer.Option("--type", help="elan: all tiers of this linguistic type, instead.")
    ] = None,
    translation: Annotated[
        str | None, typer.Option(help="elan: the tier or type below that is the translation, kept beside the text.")
    ] = None,
    media: Annotated[
        Path | None, typer.Option(help="elan, textgrid: a folder of recordings. Default: beside the files.")
    ] = None,
    keep_overlaps: Annotated[
        bool, typer.Option("--keep-overlaps", help="elan, textgrid: what others talk over is kept.")
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(help="table: which column is which, where names are others: text=Transcript. Once for each."),
    ] = None,
    split_by: Annotated[
        str | None,
        typer.Option(
            help="table, elan, textgrid: column | speaker | random | auto (the split column if there is one, else by"
            " speaker if these are named, else at random). Default: auto."
        ),
    ] = None,
    dev: Annotated[float | None, typer.Option(help="Share of dev where it is split here. Default: 0.1.")] = None,
    test: Annotated[float | None, typer.Option(help="Share of test where it is split here. Default: 0.1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split made here. Default: 1.")] = None,
) -> None:
    """Turn a corpus into manifests for training; every file is checked."""
    import importlib
    import inspect

    from asr.cli.common import counter, given, say
    from asr.utils.errors import InputError

    known = corpora()
    if corpus not in known:
        raise InputError(f"no corpus {corpus!r}", where="CORPUS", remedy=f"there are {', '.join(known)}")
    run = importlib.import_module(f"data_prep.{corpus}").prepare
    options: dict[str, Any] = given(
        leave_out=leave_out,
        joined=joined,
        train_part=train_part or None,
        dev_part=dev_part,
        test_part=test_part,
        phones=phones,
        columns=dict(map(_named, column)) if column else None,
        tier=tier or None,
        type=tier_type,
        translation=translation,
        media=media,
        keep_overlaps=keep_overlaps or None,
        split_by=split_by,
        dev=dev,
        test=test,
        seed=seed,
    )
    for name in options.keys() - inspect.signature(run).parameters.keys():
        shown = "column" if name == "columns" else name.replace("_", "-")
        raise InputError(f"--{shown} means nothing for {corpus}")
    try:
        summary = run(folder, out, progress=counter("checked"), **options)
    except InputError as e:
        _tell(e.left_out)
        raise
    print(summary)
    _tell(summary.left_out, f", listed in {out / 'corpus.json'}")
    if "train" in summary.utterances:
        say(f"asr: next: asr train CONFIG --data {out} --out exp/{out.name}")
    else:
        cuts = out / f"cuts_{next(iter(summary.utterances))}.jsonl.gz"
        say(f"asr: next, as there is nothing to train on: asr evaluate MODEL {cuts}")
    if summary.left_out:
        raise typer.Exit(1)


def _tell(left_out: Sequence[str], where: str = "") -> None:
    for line in left_out[:_SHOWN]:
        print(f"asr: left out: {line}", file=sys.stderr)
    if len(left_out) > _SHOWN:
        print(f"asr: left out: {len(left_out):,} in all{where}", file=sys.stderr)


def _named(column: str) -> tuple[str, str]:
    """text=Transcript -> text, Transcript."""
    from asr.utils.errors import InputError

    ours, equals, theirs = column.partition("=")
    if not equals or not theirs:
        raise InputError(f"{column!r} is not NAME=HEADER, such as text=Transcript", where="--column")
    return ours.strip(), theirs
