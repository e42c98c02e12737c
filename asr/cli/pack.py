"""asr pack"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pack(
    *,
    model: Annotated[Path, typer.Option("--model", help="A model folder.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    precision: Annotated[
        str | None, typer.Option(help="Of the weights: float32, float16 or int8. Default: float16.")
    ] = None,
    lm_size: Annotated[
        str | None, typer.Option("--lm-size", metavar="SIZE", help="Prune the language model to this, such as 8MB.")
    ] = None,
    card: Annotated[Path | None, typer.Option("--card", help="A file that becomes its README.md.")] = None,
) -> None:
    """Make a smaller copy of a model, to ship or send.

    Score it (`asr evaluate`) beside the model it is from: what was rounded may cost words.
    """
    from asr.cli.common import bytes_of, given, say
    from asr.models.hub import folder_size
    from asr.models.packing import pack as run
    from asr.utils.errors import InputError

    if precision not in (None, "float32", "float16", "int8"):
        raise InputError(f"{precision!r} is none of float32, float16, int8", where="precision")
    run(model, out, **given(precision=precision, lm_size=bytes_of(lm_size, "lm-size"), card=card))
    sizes = folder_size(out)
    for name, size in sizes.items():
        print(f"{size / 1e6:>8.2f} MB  {name}")
    say(f"asr: wrote {out}: {sum(sizes.values()) / 1e6:.2f} MB")
