"""YAML as plain values, without its traps: a word is a number, true, false or nothing only where it looks like it.

These are the rules of YAML 1.2, not those of 1.1: `no`, `on`, dates and 1:30 are texts, 010 is ten, 1e3 a thousand, and
keys are always texts. A number keeps the word it was written as, which `str` gives: where a text is wanted, 010 is 010.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from asr.utils.errors import InputError

_FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NOTHING = ("", "~", "null", "Null", "NULL")
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|()\.(nan|NaN|NAN)")
_ESCAPED = re.compile(r"\w:?[\x00-\x1f\x7f]\w")  # "C:\new", where \n was to be two characters
_QUOTES = "write quotes around it"
_BACKSLASH = "write single quotes, in which a backslash is one"
# What YAML's errors say, and the remedy.
_REMEDIES = {
    "'\\t'": "indent by spaces, not by tabs",
    "cannot start any token": _QUOTES,
    "undefined alias": _QUOTES,
    "determine a constructor": _QUOTES,
    "mapping values are not allowed": "write quotes around a text with a colon and a space",
    "could not find expected ':'": "a space follows the colon of a key",
    "unknown escape character": _BACKSLASH,
    "control character": _BACKSLASH,
    "another document": "a file holds one",
    "directive": _QUOTES,
    "anchor": _QUOTES,
}


class Written:
    """A number that `str` gives as the word it was written as.

    Args:
        number: The number, of a plain type.
    """

    number: int | float
    word: str

    def __str__(self) -> str:
        return self.word

    def __repr__(self) -> str:
        return self.word


class _WrittenInt(Written, int):
    pass


class _WrittenFloat(Written, float):
    pass


def parse_yaml(text: str, *, where: str | Path | None) -> Any:
    """Returns plain values from YAML.

    Raises:
        InputError: It cannot be read, a key stands there twice, or a text has control characters as an accident.
    """
    import yaml

    try:
        return yaml.load(text, _loader())
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, LookupError) as e:
        mark = getattr(e, "problem_mark", None)
        what = ", ".join(filter(None, (getattr(e, "problem", ""), getattr(e, "context", "")))) or str(e)
        what = " ".join(what.split())
        remedy = next((remedy for part, remedy in _REMEDIES.items() if part in what), "")
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"is not valid YAML{line} ({what})", where=where, remedy=remedy) from e


def parse_word(text: str, *, where: str | Path | None) -> Any:
    """Returns the value of a word of the command line: YAML where it is in quotes or brackets, else taken as it is."""
    return parse_yaml(text, where=where) if text.lstrip().startswith(("[", "{", '"', "'")) else _value(text.strip())


def _value(word: str) -> Any:
    """The value of a word without quotes."""
    if word in _NOTHING:
        return None
    if word in _FLAGS:
        return _FLAGS[word]
    if _WHOLE.fullmatch(word):
        return _written(_WrittenInt, int(word, {"0o": 8, "0x": 16}.get(word[:2], 10)), word)
    if _NUMBER.fullmatch(word):
        return _written(_WrittenFloat, float(word), word)
    if _SPECIAL.fullmatch(word):
        return _written(_WrittenFloat, float(word.replace(".", "")), word)
    return word


def _written(kind: Any, number: int | float, word: str) -> Any:
    """The number itself, where it is written as Python writes it."""
    if str(number) == word:
        return number
    made = kind(number)
    made.number, made.word = number, word
    return made


@cache
def _loader() -> Any:
    """YAML's safe loader, by the rules of this module."""
    import yaml

    class Loader(yaml.SafeLoader):
        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            bare = kind is yaml.ScalarNode and implicit[0] and value != "<<"
            return "bare" if bare else super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.value in seen:
                    raise yaml.YAMLError(f"duplicate key {key.value}, line {key.start_mark.line + 1}")
                seen.add(key.value)
                key.tag = "tag:yaml.org,2002:str"
            return super().construct_mapping(node, deep)

        def construct_text(self, node: Any) -> str:
            text = str(self.construct_scalar(node))
            if node.style == '"' and _ESCAPED.search(text):
                what = f"{text!r} has a control character"
                raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
            return text

    Loader.add_constructor("bare", lambda loader, node: _value(node.value))
    Loader.add_constructor("tag:yaml.org,2002:str", Loader.construct_text)
    return Loader
