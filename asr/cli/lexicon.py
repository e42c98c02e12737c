"""asr lexicon"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.common import counter, given, say
from asr.utils.errors import InputError
from asr.utils.files import check_output, write_text


def _print_languages(asked: bool) -> None:
    if asked:
        from asr.text.espeak import languages

        for code, name in sorted(languages().items()):
            print(f"{code}\t{name}")
        raise typer.Exit


_Language = Annotated[
    str | None,
    typer.Option("--language", help="en, fr, sw, pt-br, ...: CMUdict for English, eSpeak NG's codes for the rest."),
]
_UserLexicon = Annotated[Path | None, typer.Option("--lexicon", help="A lexicon file of one's own, asked first.")]
_Guess = Annotated[bool | None, typer.Option("--guess/--no-guess", help="Guess what no source has. Default: guess.")]
_LeftOut = Annotated[
    Path | None, typer.Option("--left-out", help="A file for the words that are left out: word<TAB>why.")
]
_Languages = Annotated[
    bool | None, typer.Option("--languages", callback=_print_languages, is_eager=True, help="List eSpeak NG's codes.")
]


def lexicon(
    text: Annotated[
        Path,
        typer.Argument(metavar="TEXT", help="A sentence or a word a line, plain, .gz or .xz; - for standard input."),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="The lexicon file to write: word<TAB>units<TAB>source.")],
    language: _Language = None,
    user_lexicon: _UserLexicon = None,
    stress: Annotated[bool | None, typer.Option("--stress", help="Keep marks of stress.")] = None,
    guess: _Guess = None,
    most: Annotated[int | None, typer.Option("--most", min=1, help="Only the most frequent words, so many.")] = None,
    left_out: _LeftOut = None,
    languages: _Languages = None,
) -> None:
    """Pronunciations of the words of a text, most frequent first.

    A word is written as in the text and looked up in any case. The third column says where it is from: user, cmudict,
    espeak, rules (possessive, plural, compound, number, letters) or guess.
    """
    from asr.text.lexicon import write_lexicon
    from asr.text.pronunciations import pronounce
    from asr.utils.units import counted

    inputs = [path for path in (text, user_lexicon) if path is not None and str(path) != "-"]
    check_output(out, *inputs)
    if left_out is not None:
        check_output(left_out, *inputs)
        if left_out.resolve() == out.resolve():
            raise InputError("is --out too", where=left_out, remedy="write --left-out to another file")

    options = given(language=language, lexicon=user_lexicon, stress=stress, guess=guess)
    found = pronounce(_words(text, most), progress=counter("looked up"), **options)
    if left_out is not None:
        write_text(left_out, "".join(f"{word}\t{why}\n" for word, why in found.left_out.items()))
    write_lexicon(found.lexicon, out)
    total = len(found.said) + len(found.left_out)
    print(f"{counted(total, 'word')}, {counted(len(found.lexicon.pronunciations), 'pronunciation')}")
    for source, count in found.counts.items():
        print(f"{count:>9,}  {source}")
    if found.left_out:
        print(f"{len(found.left_out):>9,}  left out")
    if guesses := [(word, said.pronunciations[0]) for word, said in found.said.items() if said.source == "guess"]:
        shown = "; ".join(f"{word} {' '.join(units)}" for word, units in guesses[:5])
        say(f"asr: guesses are worth a look, the frequent ones first (in {out} they end in guess): {shown}")
    say(f"asr: wrote {out}")


def _words(text: Path, most: int | None) -> Iterator[str]:
    """The words of a text, the most frequent first; read when the options have been found good."""
    from asr.lm.lines import read_sentences

    counts: Counter[str] = Counter()
    for line in read_sentences(text):
        counts.update(line.split())
    if not counts:
        raise InputError("holds no words", where="standard input" if str(text) == "-" else text)
    yield from (word for word, _ in counts.most_common(most))
