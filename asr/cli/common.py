"""What several verbs need."""

from __future__ import annotations

import functools
import inspect
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from asr.models.decoding_options import DecodingOptions
from asr.utils.config import Setting, settings
from asr.utils.errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}

ModelName = Annotated[str, typer.Option("--model", help="A model folder, or the name of a shipped model.")]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or gpu. Default: auto, a GPU where torch can use one.")
]
Channel = Annotated[
    str | None,
    typer.Option(
        "--channel", help="mix (all together), each (a transcript of each), or one's number, from 0. Default: mix."
    ),
]
Track = Annotated[
    int | None, typer.Option("--track", help="Of several sound tracks, from 1. Default: the first that is not silent.")
]
Translation = Annotated[bool, typer.Option("--translation", help="The texts are translations: BLEU and chrF, too.")]
Tier = Annotated[str | None, typer.Option("--tier", help="eaf: the name of the tier. Default: transcript.")]
BatchSeconds = Annotated[
    float | None, typer.Option(help="Seconds of audio in a batch, padding included. Default: 120.")
]
NumWorkers = Annotated[int | None, typer.Option(help="Processes that read audio. Default: 0.")]

# What decoding is given beside the fields of DecodingOptions.
_DECODING = {
    "head": (str, "Of a model with several: phones, characters, ... Default: its first."),
    "greedy": (bool, "The best token of each frame, whatever the model folder holds."),
    "lm": (Path, "An n-gram model (ARPA or ours). Default: the model folder's, if any."),
    "lexicon": (Path, "The only words there are: word<TAB>units, or a word, a line."),
    "hotwords": (Path, "Words and phrases to expect, a line each: phrase[<TAB>boost]."),
    "rescore": (Path, "A neural LM that chooses among the texts that are found."),
}


class Choice:
    """An option made of a setting, or of a function's parameter, that is None where it is not given.

    Lists are given one by one, mappings as NAME=VALUE, tuples as X,X.
    """

    def __init__(self, name: str, kind: Any, text: str, default: Any = None, allowed: str = "") -> None:
        if get_origin(kind) in (Union, UnionType):
            kind = next(each for each in get_args(kind) if each is not type(None))
        self.name, self.kind, self.origin = name, kind, get_origin(kind)
        several = self.origin in (Sequence, Mapping)
        simple: Any = list[str] if several else kind if kind in (int, float, bool, Path) else str
        self.flag = f"--{name.removesuffix('s') if self.origin is Mapping else name}".replace("_", "-")
        metavar = {Mapping: "NAME=VALUE", tuple: "X,X,..."}.get(self.origin)
        of = f"of {allowed}" if allowed else ""
        known = f"Default: {shown(default)}" if default not in (None, (), False, inspect.Parameter.empty) else ""
        facts = ", ".join(filter(None, [known, of]))
        words = f"{text} {facts[:1].upper()}{facts[1:]}{'.' if facts else ''}".strip()
        annotation = Annotated[simple | None, typer.Option(self.flag, help=words, metavar=metavar)]
        self.parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    def value(self, value: Any) -> Any:
        """Converts what the command line gave to what the function takes; None stays None."""
        if self.origin is tuple:
            return numbers_of(value, self.name, get_args(self.kind)[0])
        if self.origin is Mapping and value:
            return dict(self._pair(each) for each in value)
        return None if value == [] else value

    def _pair(self, text: str) -> tuple[str, str]:
        """text=Transcript -> text, Transcript."""
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise InputError(f"{text!r} is not NAME=VALUE, such as text=Transcript", where=self.flag)
        return name.strip(), value


def takes_decoding(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of decoding, those named or all; those that were given are its `decoding`, a dict."""
    choices = [Choice(name, *each) for name, each in _DECODING.items()]
    choices += [
        Choice(each.name, each.type, each.help, each.default, allowed(each)) for each in settings(DecodingOptions)
    ]
    chosen = [each for each in choices if not names or each.name in names]

    def decorate(run: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(run)
        def command(**options: Any) -> None:
            run(decoding=given(**{each.name: each.value(options.pop(each.name)) for each in chosen}), **options)

        signature = inspect.signature(run, eval_str=True)
        own = [each for each in signature.parameters.values() if each.name != "decoding"]
        own += [each.parameter for each in chosen]
        command.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        return command

    return decorate


def allowed(field: Setting) -> str:
    """Returns the interval of a setting, or its choices, for its help text."""
    return field.interval or ", ".join(map(str, get_args(field.type)))


def shown(value: Any) -> str:
    """A default, as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_option(word: str) -> str:
    """beam_size=50 -> --beam-size 50; empty for a word that is no option of decoding."""
    name, equals, value = word.partition("=")
    known = equals and name in {each.name for each in settings(DecodingOptions)}
    return f"--{name.replace('_', '-')} {value}" if known else ""


def numbers_of(text: str | None, where: str, kind: Callable[[str], Any] = float) -> tuple[Any, ...] | None:
    """1,1.5 -> (1.0, 1.5)"""
    try:
        return None if text is None else tuple(map(kind, text.split(",")))
    except ValueError:
        raise InputError(f"{text!r} are not numbers with commas between them", where=where) from None


def channel_of(text: str | None) -> Literal["mix", "each"] | int:
    """Returns the channel that a value of --channel names.

    Raises:
        InputError: It is neither mix, each nor a number.
    """
    word = "mix" if text is None else text.strip().lower()
    if word.isdecimal():
        return int(word)
    if word == "each":
        return "each"
    if word == "mix":
        return "mix"
    raise InputError(f"{text!r} is no channel", where="--channel", remedy="mix, each, or a number from 0")


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def is_quiet() -> bool:
    """Whether --quiet was given."""
    return not logging.getLogger("asr").isEnabledFor(logging.INFO)


def say(line: str = "") -> None:
    """A line for the person at the terminal, on standard error."""
    if not is_quiet():
        print(line, file=sys.stderr, flush=True)


def counter(what: str) -> Callable[[int, int | None], None]:
    """A progress callback (done, in all) that rewrites one line of a terminal, and is silent elsewhere."""
    if is_quiet() or not sys.stderr.isatty():
        return lambda done, total: None

    def show(done: int, total: int | None) -> None:
        end = "\n" if done == total else ""
        print(
            f"\r{what}: {done:,}" + (f" of {total:,}" if total else "") + "\033[K", end=end, file=sys.stderr, flush=True
        )

    return show


def bytes_of(size: str | None, option: str) -> int | None:
    """20MB -> 20,000,000."""
    if size is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?)b?", size.strip().lower())
    if not match or match[2] not in _UNITS or not float(match[1]):
        raise InputError(f"{size!r} is not a size", where=option, remedy="write it as 20MB, 500kB or 1.5GB")
    return int(float(match[1]) * _UNITS[match[2]])
