"""asr lm"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

_SUFFIXES = (".arpa", ".arpa.gz", ".arpa.xz", ".safetensors")

app = typer.Typer(help="Language models of words (n-grams).", no_args_is_help=True, rich_markup_mode=None)


@app.command("perplexity")
def perplexity(
    model: Annotated[Path, typer.Argument(metavar="LM", help="An ARPA file (also .gz, .xz) or a converted model.")],
    text: Annotated[
        Path, typer.Argument(metavar="TEXT", help="A sentence a line, plain, .gz or .xz; - for standard input.")
    ],
) -> None:
    """How well a language model foretells a text: the lower, the better.

    Words are compared with the model's as they are: upper and lower case count, and so does punctuation. Write the
    text the way the model's own text was written. Empty lines are skipped.
    """
    from asr.errors import InputError
    from asr.lm.ngram import read_ngram, read_sentences

    loaded = read_ngram(model)
    skipped: Counter[str] = Counter()
    result = loaded.perplexity(_filled(read_sentences(text), skipped))
    if not result.words:
        raise InputError("holds no words", where="standard input" if str(text) == "-" else text)
    line = f"perplexity {result.perplexity:.2f}"
    if result.unknown:
        share = 100 * result.unknown / result.words
        line += f" with {result.unknown:,} unknown words of {result.words:,} ({share:.2f} %)"
        line += f", {result.perplexity_known:.2f} without them"
    else:
        line += f" of {result.words:,} words, none unknown"
    line += f"; {result.sentences:,} sentences"
    if skipped:
        line += f" ({skipped['empty']:,} empty lines skipped)"
    print(line)
    if 2 * result.unknown > result.words:
        print(
            "asr: more than half of the words are unknown to the model: is the text written as the model's words are"
            f" (upper or lower case, punctuation, Unicode form)? The model knows {_examples(loaded.words)}",
            file=sys.stderr,
        )


def _filled(lines: Iterable[str], skipped: Counter[str]) -> Iterator[str]:
    """Lines that hold more than white space; the others are counted."""
    for line in lines:
        if line.strip(" \t\v\f\r"):
            yield line
        else:
            skipped["empty"] += 1


def _examples(words: list[str]) -> str:
    plain = (word for word in words if not word.startswith("<"))
    return ", ".join(repr(word) for word, _ in zip(plain, range(3), strict=False)) or "no words"


@app.command("convert")
def convert(
    model: Annotated[Path, typer.Argument(metavar="LM", help="An ARPA file (also .gz, .xz) or a converted model.")],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Where to: .safetensors (ready at once), .arpa, .arpa.gz or .arpa.xz."),
    ],
) -> None:
    """Convert a language model between ARPA, which other programs read, and our own format, which loads at once."""
    from asr.cli.common import say
    from asr.errors import InputError
    from asr.lm.ngram import read_ngram, save_ngram, write_arpa

    if not out.name.endswith(_SUFFIXES):
        raise InputError(
            "the name does not say what to write", where=out, remedy=f"let it end in {', '.join(_SUFFIXES)}"
        )
    loaded = read_ngram(model)
    (save_ngram if out.name.endswith(".safetensors") else write_arpa)(loaded, out)
    counts = ", ".join(f"{count:,} {order}-grams" for order, count in enumerate(loaded.counts, 1))
    say(f"asr: wrote {out}: a model of order {loaded.order} with {counts}")
