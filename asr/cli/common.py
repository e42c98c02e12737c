"""What several verbs need."""

from __future__ import annotations

import functools
import inspect
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from asr.models.decoding_options import DecodingOptions
from asr.utils.config import Setting, settings
from asr.utils.errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}

ModelName = Annotated[str, typer.Option("--model", help="A model folder, or the name of a shipped model.")]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or gpu. Default: auto, a GPU where torch can use one.")
]
Translation = Annotated[bool, typer.Option("--translation", help="The texts are translations: BLEU and chrF, too.")]
Tier = Annotated[str | None, typer.Option("--tier", help="eaf: the name of the tier. Default: transcript.")]
Head = Annotated[
    str | None, typer.Option("--head", help="Of a model with several: phones, characters, ... Default: its first.")
]
BatchSeconds = Annotated[
    float | None, typer.Option(help="Seconds of audio in a batch, padding included. Default: 120.")
]
NumWorkers = Annotated[int | None, typer.Option(help="Processes that read audio. Default: 0.")]

# What decoding is given beside the fields of DecodingOptions.
_DECODING = {
    "head": Head,
    "greedy": Annotated[
        bool | None, typer.Option("--greedy", help="The best token of each frame, whatever the model folder holds.")
    ],
    "lm": Annotated[
        Path | None, typer.Option("--lm", help="An n-gram model (ARPA or ours). Default: the model folder's, if any.")
    ],
    "lexicon": Annotated[
        Path | None, typer.Option("--lexicon", help="The only words there are: word<TAB>units, or a word, a line.")
    ],
    "hotwords": Annotated[
        Path | None, typer.Option("--hotwords", help="Words and phrases to expect, a line each: phrase[<TAB>boost].")
    ],
    "rescore": Annotated[
        Path | None, typer.Option("--rescore", help="A neural LM that chooses among the texts that are found.")
    ],
}


def takes_decoding(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of decoding, those named or all; those that were given are its `decoding`, a dict."""
    fields = {each.name: each for each in settings(DecodingOptions)}

    def decorate(run: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(run, eval_str=True)
        own = [each for each in signature.parameters.values() if each.name != "decoding"]
        chosen = names or (*_DECODING, *fields)
        more = [optional(name, _DECODING[name] if name in _DECODING else _option(fields[name])) for name in chosen]

        @functools.wraps(run)
        def command(**options: Any) -> None:
            decoding = given(**{name: options.pop(name) for name in chosen})
            for name in decoding.keys() & fields.keys():
                if get_origin(fields[name].type) is tuple:
                    decoding[name] = numbers_of(decoding[name], name)
            run(**options, decoding=decoding)

        command.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        return command

    return decorate


def optional(name: str, annotation: Any) -> inspect.Parameter:
    """A parameter of a command, None where it is not given."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _option(field: Setting) -> Any:
    """A field of DecodingOptions as an option."""
    several, chosen = get_origin(field.type) is tuple, get_origin(field.type) is Literal
    text = f"{field.help} Default: {shown(field.default)}, of {allowed(field)}."
    kind = str if several or chosen else field.type
    return Annotated[kind | None, typer.Option(help=text, metavar="X,X,..." if several else None)]


def allowed(field: Setting) -> str:
    """What a setting may be: its interval, or its choices."""
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
