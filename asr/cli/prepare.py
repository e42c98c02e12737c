"""asr prepare: a command a corpus, made of its module in data_prep, which is imported where it is used."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperGroup

from asr.cli.common import Choice, counter, given, say
from asr.utils.errors import InputError
from asr.utils.files import find_path

_SHOWN = 20  # lines of what was left out


class _Corpora(TyperGroup):
    """The modules of data_prep as commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return corpora()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in corpora():
            raise InputError(f"no corpus {cmd_name!r}", where="CORPUS", remedy=f"there are {', '.join(corpora())}")
        return typer.main.get_command(_app_of(cmd_name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Corpora"):
            formatter.write_dl([(name, _about(name)) for name in corpora()])


app = typer.Typer(
    cls=_Corpora,
    help="Turn a corpus into manifests for training; every file is checked. Of one's own recordings: elan, kaldi,"
    " table, textgrid.",
    subcommand_metavar="CORPUS [FOLDER] --out DATA [OPTIONS]",
    no_args_is_help=True,
)


def corpora() -> list[str]:
    """The corpora that `asr prepare` knows: the modules of data_prep, but for those that they share."""
    import data_prep

    return sorted(each.name for each in pkgutil.iter_modules(data_prep.__path__) if not each.name.startswith("_"))


def _about(name: str) -> str:
    """The first sentence of a module, which is not imported."""
    spec = importlib.util.find_spec(f"data_prep.{name}")
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _app_of(name: str) -> typer.Typer:
    """The command of a corpus: its options are the parameters of its `prepare`, which the docstring explains."""
    module = importlib.import_module(f"data_prep.{name}")
    run = module.prepare
    first, _, *others = inspect.signature(run, eval_str=True).parameters.values()
    explained = _arguments(inspect.getdoc(getattr(run, "func", run)) or "")
    options = [_choice(each, explained.get(each.name, "")) for each in others if each.name != "progress"]

    def command(folder: Path | None, out: Path, **values: Any) -> None:
        _prepare(run, folder, out, given(**{each.name: each.value(values[each.name]) for each in options}))

    place = Annotated[Path | None, typer.Argument(metavar="FOLDER", help=explained.get(first.name, ""))]
    made = Annotated[Path, typer.Option("--out", help="The folder to make, e.g. data/fsdd.")]
    parameters = [
        inspect.Parameter("folder", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=place),
        inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, annotation=made),
        *(each.parameter for each in options),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    found = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    found.command(name, help=module.__doc__)(command)
    return found


def _choice(each: inspect.Parameter, explained: str) -> Choice:
    kind = type(each.default) if each.annotation is each.empty else each.annotation
    choices = ", ".join(get_args(kind)) if get_origin(kind) is Literal else ""
    return Choice(each.name, kind, explained, each.default, choices)


def _arguments(docstring: str) -> dict[str, str]:
    """Returns the text of each argument from the `Args:` of a docstring."""
    found = re.search(r"^Args:\n((?: .*\n?|\n)*)", docstring, re.MULTILINE)
    each = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", found[1] if found else "", re.MULTILINE)
    return {name: " ".join(text.split()).replace("where None", "where left out") for name, text in each}


def _prepare(run: Callable[..., Any], folder: Path | None, out: Path, options: dict[str, Any]) -> None:
    try:
        summary = run(find_path(folder) if folder else None, out, progress=counter("checked"), **options)
    except InputError as e:
        _tell(e.left_out)
        raise
    print(summary)
    for note in summary.notes if summary.already_done else ():  # else they are logged
        print(f"asr: {note}", file=sys.stderr)
    _tell(summary.left_out, f", listed in {out / 'corpus.json'}")
    if "train" in summary.utterances:
        say(f"asr: next: asr train CONFIG --data {out} --out exp/{out.name}")
    else:
        cuts = out / f"cuts_{next(iter(summary.utterances))}.jsonl.gz"
        say(f"asr: next, as there is nothing to train on: asr evaluate {cuts} --model MODEL")
    if summary.left_out:
        raise typer.Exit(1)


def _tell(left_out: Sequence[str], where: str = "") -> None:
    for line in left_out[:_SHOWN]:
        print(f"asr: left out: {line}", file=sys.stderr)
    if len(left_out) > _SHOWN:
        print(f"asr: left out: {len(left_out):,} in all{where}", file=sys.stderr)
