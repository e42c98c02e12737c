"""What several verbs need."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}

# Options of decoding, those of several verbs: files, and the fields of DecodingOptions.
Translation = Annotated[bool, typer.Option("--translation", help="The texts are translations: BLEU and chrF, too.")]
Greedy = Annotated[
    bool, typer.Option("--greedy", help="The best token of each frame, whatever the model folder holds.")
]
HeadKind = Annotated[
    str | None, typer.Option("--head", help="Of a model with several: phones, characters, ... Default: its first.")
]
Lm = Annotated[
    Path | None, typer.Option("--lm", help="An n-gram model (ARPA or ours). Default: the model folder's, if any.")
]
LexiconFile = Annotated[
    Path | None, typer.Option("--lexicon", help="The only words there are: word<TAB>units, or a word, a line.")
]
HotwordsFile = Annotated[
    Path | None, typer.Option("--hotwords", help="Words and phrases to expect, a line each: phrase[<TAB>boost].")
]
BeamSize = Annotated[int | None, typer.Option(help="Hypotheses that are kept; 0: all. Default: 100.")]
Nbest = Annotated[int | None, typer.Option("--nbest", help="Hypotheses that are returned (json). Default: 1.")]
LmWeight = Annotated[float | None, typer.Option(help="Of the LM's log-probability. Default: 0.8.")]
WordScore = Annotated[float | None, typer.Option(help="Added for each word. Default: 0.")]
UnkScore = Annotated[float | None, typer.Option(help="Added for each word that the LM lacks. Default: -5.")]
UnkLetterScore = Annotated[
    float | None, typer.Option(help="Added for each letter of those that no list has; 0 or below. Default: -1.5.")
]
PriorWeight = Annotated[float | None, typer.Option(help="Of the tokens' log prior, subtracted. Default: 0.")]
HotwordBoost = Annotated[float | None, typer.Option(help="Of phrases that come without one. Default: 5.")]
Temperature = Annotated[float | None, typer.Option(help="Divides scores for confidences. Default: 1.")]
BeamThreshold = Annotated[
    float | None, typer.Option(help="Hypotheses worse than the best by more are dropped (nats, or inf). Default: 15.")
]
TokenThreshold = Annotated[
    float | None,
    typer.Option(help="Tokens worse than a frame's best by more are passed over (nats, or inf). Default: 8."),
]
LmUnit = Annotated[str | None, typer.Option(help="What the LM is over: auto, word or token. Default: auto.")]

Rescore = Annotated[
    Path | None, typer.Option("--rescore", help="A neural LM that chooses among the texts that are found.")
]
RescoreWeight = Annotated[float | None, typer.Option(help="Of it, 0 to 1; the other LM has the rest. Default: 0.5.")]
RescoreBeam = Annotated[int | None, typer.Option(help="Texts that it chooses among. Default: 50.")]

SearchName = Annotated[
    str | None,
    typer.Option(
        "--search", help="Of a model with an attention decoder: ctc, attention, two-pass or auto. Default: auto."
    ),
]
AttentionBeam = Annotated[int | None, typer.Option(help="Hypotheses of the attention decoder. Default: 10.")]
CtcWeight = Annotated[float | None, typer.Option(help="Of CTC beside attention, 0 to 1. Default: 0.3.")]
LengthReward = Annotated[float | None, typer.Option(help="Added for each token, with attention. Default: 0.")]
LengthNorm = Annotated[float | None, typer.Option(help="0: scores of attention as they are; 1: a token's. Default: 0.")]
EndFactor = Annotated[
    float | None, typer.Option(help="How much less likely than the best token an end may be (or inf). Default: inf.")
]

Warps = Annotated[
    str | None,
    typer.Option(
        metavar="X,X,...",
        help="Factors that the mel axis is stretched by, all heard, the best score counts: 0.88,0.94,1,1.06,1.12.",
    ),
]


def numbers_of(text: str | None) -> tuple[float, ...] | None:
    """1,1.5 -> (1.0, 1.5)"""
    from asr.utils.errors import InputError

    try:
        return None if text is None else tuple(map(float, text.split(",")))
    except ValueError:
        raise InputError(f"{text!r} are not numbers with commas between them", where="warps") from None


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
    from asr.utils.errors import InputError

    if size is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?)b?", size.strip().lower())
    if not match or match[2] not in _UNITS or not float(match[1]):
        raise InputError(f"{size!r} is not a size", where=option, remedy="write it as 20MB, 500kB or 1.5GB")
    return int(float(match[1]) * _UNITS[match[2]])


Preset = Annotated[
    str | None, typer.Option("--preset", help="Settings that come with the package: `asr train --list` shows them.")
]


def config_and_settings(words: list[str] | None, preset: str | None) -> tuple[Path | None, list[str]]:
    """The file of settings, if there is one, and the settings that win over it, from [CONFIG] [KEY=VALUE ...]."""
    from asr.train.presets import preset_path
    from asr.utils.errors import InputError

    settings = list(words or [])
    config = Path(settings.pop(0)) if settings and "=" not in settings[0] else None
    if preset is None:
        return config, settings
    if config is not None:
        raise InputError(f"cannot go with --preset {preset}", where=config, remedy="leave one of them out")
    return preset_path(preset), settings


def corpora() -> list[str]:
    """The corpora that `asr prepare` knows: the modules of data_prep, but for those that they share."""
    import data_prep

    return sorted(p.stem for p in Path(data_prep.__file__).parent.glob("*.py") if not p.stem.startswith("_"))
