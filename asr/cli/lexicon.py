"""asr lexicon"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def lexicon(
    text: Annotated[
        Path,
        typer.Argument(metavar="TEXT", help="A sentence or a word a line, plain, .gz or .xz; - for standard input."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The lexicon file to write: word<TAB>units<TAB>source.")],
    language: Annotated[
        str | None,
        typer.Option("--language", help="en, fr, sw, pt-br, ...: CMUdict for English, eSpeak NG's codes for the rest."),
    ] = None,
    user_lexicon: Annotated[
        Path | None, typer.Option("--lexicon", help="A lexicon file of one's own, asked first.")
    ] = None,
    stress: Annotated[bool | None, typer.Option("--stress", help="Keep marks of stress.")] = None,
    guess: Annotated[
        bool | None, typer.Option("--guess/--no-guess", help="Guess what no source has. Default: guess.")
    ] = None,
    most: Annotated[int | None, typer.Option("--most", min=1, help="Only the most frequent words, so many.")] = None,
    left_out: Annotated[
        Path | None, typer.Option("--left-out", help="A file for the words that are left out: word<TAB>why.")
    ] = None,
) -> None:
    """Pronunciations of the words of a text, most frequent first.

    A word is written as in the text and looked up in any case. The third column says where it is from: user, cmudict,
    espeak, rules (possessive, plural, compound, number, letters) or guess.
    """
    from asr.cli.common import counter, given, say
    from asr.errors import InputError
    from asr.files import write_text
    from asr.lexicon import write_lexicon
    from asr.lm.ngram import read_sentences
    from asr.pronunciations import examples, find_pronunciations

    counts: Counter[str] = Counter()
    for line in read_sentences(text):
        counts.update(line.split())
    if not counts:
        raise InputError("holds no words", where="standard input" if str(text) == "-" else text)
    words = [word for word, _ in counts.most_common(most)]
    options = given(language=language, lexicon=user_lexicon, stress=stress, guess=guess)
    found = find_pronunciations(words, progress=counter("looked up"), **options)
    write_lexicon(found.lexicon, out)
    print(f"{len(words):,} words, {len(found.lexicon.pronunciations):,} pronunciations")
    for source, count in found.counts.items():
        print(f"{count:>9,}  {source}")
    if found.left_out:
        print(f"{len(found.left_out):>9,}  left out")
    if guesses := found.of_source("guess"):
        shown = "; ".join(f"{word} {' '.join(units)}" for word, units in guesses[:5])
        say(f"asr: guesses are worth a look, the frequent ones first (in {out} they end in guess): {shown}")
    if found.left_out:
        print(f"asr: left out: {examples(found.left_out)}", file=sys.stderr)
    if left_out is not None:
        write_text(left_out, "".join(f"{word}\t{why}\n" for word, why in found.left_out.items()))
    say(f"asr: wrote {out}")
