"""The one exception that speaks to the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr.utils.unicode import on_one_line


class InputError(ValueError):
    """Something the user can mend: it names the file, the value and the remedy.

    The command line prints it as one line and exits with code 2 (1 where other inputs were done).

    Args:
        what: What is wrong, with the value that was found.
        where: The file, option or utterance it was found in; stands first in the message.
        remedy: What to do about it.

    `left_out` are inputs that were passed over before, a line each, where too little was left.
    """

    left_out: Sequence[str] = ()

    def __init__(self, what: str, *, where: str | Path | None = None, remedy: str = "") -> None:
        self.where = where
        message = f"{where}: {what}" if where is not None else what
        if remedy:
            message = f"{message}; {remedy}"
        super().__init__(on_one_line(message))
