"""asr report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULTS ...", help="Folders of `asr evaluate --out`, or two text files as REF:HYP."),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="The page, such as report.html.")],
    lines: Annotated[
        bool, typer.Option("--lines", help="Text files are plain lines, paired in order; else each text has its id.")
    ] = False,
    title: Annotated[str, typer.Option("--title", help="Of the page. Default: the systems' names.")] = "",
    sound: Annotated[
        int, typer.Option("--sound", min=0, max=100, help="Utterances, those with the most errors, to hear and see.")
    ] = 0,
) -> None:
    """Write a page that says how good a system is, where it fails, and which of several is better.

    One HTML file that needs no network. Of several RESULTS, all of one set, the first is looked at most closely.
    """
    from asr.cli.common import say
    from asr.evaluate.report import inputs_of, read_results, report_page
    from asr.utils.files import check_output, write_text

    check_output(out, *(path for each in results for path in inputs_of(each)))
    every = [read_results(each, lines=lines) for each in results]
    for note in dict.fromkeys(note for each in every for note in each.notes):
        say(f"asr: {note}")
    page = report_page(every, title=title, sound=sound)
    write_text(out, page)
    say(f"asr: {out}: written, {out.stat().st_size / 1e6:.1f} MB")
