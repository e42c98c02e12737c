"""What the cells of a table hold: texts, times, and what programs write where there is nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.data.names import is_no_name
from asr.utils.errors import InputError
from data_prep._columns import TIMES, Column
from data_prep._manifest import OVERRUN, Notes
from data_prep._rows import Table
from data_prep._times import Thousands, clock, without_spaces

_ERROR = re.compile(r"#[¡¿]?[A-ZÀ-Ý0-9/]+[!?]|#N/?[ADV]|Err:\d{3}")  # of spreadsheets, in several languages
_MISSING = re.compile(rf"nan|<NA>|NaT|{_ERROR.pattern}")  # no word of a language
_MAYBE_MISSING = re.compile(r"none|null|nan|nil|n/a|na|undefined", re.IGNORECASE)  # a word, too
_ELSEWHERE = re.compile(rf"{_MISSING.pattern}|NaN|None|NONE|null|NULL|[nN]/[aA]|NA")  # in columns of no texts


class Cells:
    """A table by our names of columns: `rows`, and how its times are to be read. What is guessed is told."""

    def __init__(self, table: Table, columns: Mapping[str, Column], path: Path, notes: Notes) -> None:
        self.columns, self.notes, self.is_json = columns, notes, table.is_json
        self.rows = [Row(values, self, number, f"{path}, row {number}") for number, values in table.rows]
        milliseconds = [column.name for name, column in columns.items() if name in TIMES and column.scale != 1]
        values = [str(value).strip() for _, row in table.rows for name in milliseconds if (value := row.get(name))]
        self.thousands = Thousands(values, "," if self.is_json else ".,")
        if self.thousands.parting:
            marks = " and ".join(map(repr, self.thousands.parting))
            notes.say(f"{path}: {marks} in {', '.join(milliseconds)} parts thousands: 2,000 is 2000 milliseconds")
        speakers = [row.plain("speaker") for row in self.rows]
        numbers = [each for each in speakers if each]
        self.whole_speakers = all(re.fullmatch(r"\d+(?:\.0)?", each) for each in numbers)
        if self.whole_speakers and any(each.endswith(".0") for each in numbers):
            first = next(each for each in numbers if each.endswith(".0"))
            notes.say(f"{path}: speakers are numbers: {first} is taken as {first.removesuffix('.0')}")


def columns_of_times(table: Table, taken: Mapping[str, Column]) -> list[str]:
    """Returns the columns that are not taken and hold nothing but times, which are not all the same."""
    used = {"", *(column.name for column in taken.values())}
    free = (name for name in dict.fromkeys(table.header) if name not in used)
    return [name for name in free if table.holds_times(name) and table.varies(name)]


@dataclass(frozen=True)
class Row:
    """A row, by our names of columns."""

    values: Mapping[str, Any]
    cells: Cells
    number: int  # of its line
    origin: str

    def value(self, name: str) -> Any:
        """What stands there; None where the table has no such column."""
        return self.values.get(self.cells.columns[name].name) if name in self.cells.columns else None

    def plain(self, name: str) -> str:
        """What stands there, if it is a text that says something."""
        value = self.value(name)
        return value.strip() if isinstance(value, str) and not _ELSEWHERE.fullmatch(value.strip()) else ""

    def path(self) -> str:
        """The path; of Hugging Face's {"path": ..., "bytes": ...} that in it.

        Raises:
            InputError: It is another object, or no text.
        """
        value = self.value("path")
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            return str(value["path"]).strip()
        return self._text("path")

    def spoken(self) -> str:
        """The text; "" where there is none. A word that may stand for an empty cell is told.

        Raises:
            InputError: It is what programs write into empty and broken cells, or no text.
        """
        text = self._text("text")
        if _ERROR.fullmatch(text) or (_MISSING.fullmatch(text) and not (self.cells.is_json and text == "nan")):
            raise InputError(
                f"its text {text!r} is what programs write into empty and broken cells", remedy="write the text"
            )
        if _MAYBE_MISSING.fullmatch(text):
            self.cells.notes.count(f"texts {text!r}, which may be an empty cell, are taken as words", self.origin)
        return text

    def text(self, name: str) -> str:
        """Another value as a text; "" where there is none, or what programs write into empty cells, which is told.

        Raises:
            InputError: It is a list, an object, or one of JSON's true and false.
        """
        text = self._text(name)
        if text and (_ELSEWHERE.fullmatch(text) or (name == "speaker" and is_no_name(text))):
            self.cells.notes.count(f"{name} {text!r} is taken as none", self.origin)
            return ""
        return text.removesuffix(".0") if name == "speaker" and self.cells.whole_speakers else text

    def _text(self, name: str) -> str:
        value = self.value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            shown = json.dumps(value, ensure_ascii=False)[:100]
            raise InputError(
                f"{name} {shown} is not a text", remedy="put it in quotes" if value in (True, False) else ""
            )
        return value.strip()

    def seconds(self, name: str) -> float | None:
        """A time in seconds; None where there is none. A clock's (0:02) are seconds in columns of milliseconds, too.

        Raises:
            InputError: It is no time.
        """
        text = self.text(name)
        if not text:
            return None
        scale = 1.0 if ":" in text else self.cells.columns[name].scale
        number = without_spaces(text) if scale == 1 else self.cells.thousands.without(without_spaces(text))
        try:
            seconds = clock(number) * scale
        except (ValueError, OverflowError):
            raise InputError(f"{name} {text!r} is not a number of seconds") from None
        if not -OVERRUN < seconds < float("inf"):
            raise InputError(f"{name} {text!r} is not a time in a file")
        return seconds
