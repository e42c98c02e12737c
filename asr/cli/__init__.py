"""The `asr` command: a module a verb, each thin. Nothing heavy is imported before a verb runs.

Options default to None and only those given are passed on: a default stands with its owner alone.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
import re
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from asr.cli import (
    align,
    check,
    diagnose,
    evaluate,
    lexicon,
    lm,
    models,
    pack,
    prepare,
    quickstart,
    report,
    score,
    train,
    transcribe,
    tune,
)
from asr.cli.common import as_option
from asr.utils.errors import InputError
from asr.utils.plugins import load_plugin

# Typer brings its own copy of click or uses the installed one, by version: its own exceptions tell which.
_UsageError: Any = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


class _Commands(TyperGroup):
    """Turns exceptions into a line on standard error and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[__name__] = list(args)  # for what is said of words that stand where they cannot
        rest: list[str] = super().parse_args(ctx, _plugins_first(args))
        return rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as e:
            _say(ctx, f"asr: error: {e}")
            raise typer.Exit(2) from e
        except KeyboardInterrupt as e:
            _say(ctx, "asr: stopped by Ctrl-C")
            raise typer.Exit(130) from e
        except BrokenPipeError as e:  # the reader of our output has gone: `asr ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from e
        except _UsageError as e:
            if hint := _hint(e, ctx.meta[__name__]):
                e.message = f"{e.message.rstrip('.')}; {hint}"
            raise
        except (typer.Exit, typer.Abort):
            raise
        except Exception as e:
            _say(ctx, f"asr: internal error: {type(e).__name__}: {' '.join(str(e).split())}")
            print(
                "asr: this is a fault of ours: please report it with the output of asr --verbose ...", file=sys.stderr
            )
            raise typer.Exit(70) from e


def _plugins_first(args: list[str]) -> list[str]:
    """The words with --plugin MODULE, wherever it stands before a --, at the head."""
    plugins: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            return [*plugins, *rest, word, *words]
        if word == "--plugin":
            plugins += [word, *itertools.islice(words, 1)]
        else:
            (plugins if word.startswith("--plugin=") else rest).append(word)
    return [*plugins, *rest]


def _hint(e: Any, words: list[str]) -> str:
    """Says how to write a setting that was given as an option, or an option of decoding that was given as a word."""
    option = getattr(e, "option_name", "")
    metavars = [each.metavar or "" for each in e.ctx.command.params] if e.ctx else []
    if type(e).__name__ == "NoSuchOption" and any("KEY=VALUE" in each for each in metavars):
        value = re.search(rf"{option}[ =](\S+)", " ".join(words))
        return f"settings are words: {option.lstrip('-').replace('-', '_')}={value[1] if value else 'VALUE'}"
    wrong = next(filter(None, map(as_option, words)), "")
    return f"options are written so: {wrong}" if wrong else ""


def _say(ctx: Any, line: str) -> None:
    if ctx.params.get("verbose"):
        traceback.print_exc()
    print(line, file=sys.stderr)


app = typer.Typer(
    cls=_Commands,
    help="Kikitori: speech recognition that people train themselves.",
    epilog="Start with: asr quickstart",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("quickstart")(quickstart.quickstart)
app.add_typer(prepare.app, name="prepare")
app.command("check")(check.check)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("tune")(tune.tune)
app.add_typer(diagnose.app, name="diagnose")
app.command("pack")(pack.pack)
app.command("score")(score.score)
app.command("report")(report.report)
app.command("transcribe")(transcribe.transcribe)
app.command("align")(align.align)
app.command("models")(models.models)
app.command("lexicon")(lexicon.lexicon)
app.add_typer(lm.app, name="lm")


def _version(asked: bool) -> None:
    if asked:
        from asr import __version__

        print(f"kikitori {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", help="More messages; a traceback with an error.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only errors and results.")] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE",
            help="Import a module that registers encoders, decoders, criteria; or a .py file. Anywhere on the line.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="asr: %(message)s")
    for name in ("asr", "data_prep"):
        logging.getLogger(name).setLevel(level)
    for module in plugin or []:
        load_plugin(module)


def main() -> None:
    """The entry point of the `asr` command."""
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
