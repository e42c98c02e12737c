"""Configuration: frozen dataclasses whose settings are checked, filled from plain values (`asr.utils.plain_yaml`)."""

from __future__ import annotations

import dataclasses
import difflib
import reprlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from asr.utils.errors import InputError
from asr.utils.files import read_text
from asr.utils.plain_yaml import Written, parse_word, parse_yaml

T = TypeVar("T")
K = TypeVar("K", bound="type[KindConfig]")
_MOST_VALUES = 100_000
# Beginnings of pydantic's names of errors, and what is wanted.
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list, written [a, b]",
    "dict": "a mapping, written {a: b}",
    "dataclass": "a mapping of settings",
    "string": "a text, which quotes make of it",
}


class Config:
    """Base of configurations: frozen, keyword-only dataclasses whose settings are checked when one is made.

    A class's own `__post_init__` calls this one, then checks what several settings have to do with each other.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "coerce_numbers_to_str": True}

    def __post_init__(self) -> None:
        for each in settings(type(self)):
            each.check(getattr(self, each.name))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(cls._refuse_lookalikes, handler(source))

    @classmethod
    def _refuse_lookalikes(cls, values: Any) -> Any:
        """Refuses true and false where a number is wanted, and the other way round: pydantic would take them."""
        for each in settings(cls):
            if isinstance(values, Mapping) and each.name in values:
                each.require_number(values[each.name])
                each.require_flag(values[each.name])
        return values


class Setting(NamedTuple):
    """A field of a configuration.

    Args:
        name: The field's name.
        type: Its resolved type hint.
        default: Its default; MISSING where a factory makes it.
        interval: The numbers it may be, as `setting` has it; empty: any.
        help: What it is, in a sentence.
    """

    name: str
    type: Any
    default: Any
    interval: str
    help: str

    def check(self, value: Any) -> None:
        """Raises an InputError where a value is not one of the choices, not whole, or outside the interval."""
        self.require_number(value)
        for each in value if isinstance(value, tuple | list) else (value,):
            if get_origin(self._item) is Literal and each not in get_args(self._item):
                raise InputError(f"{each!r} is none of {', '.join(map(str, get_args(self._item)))}", where=self.name)
            if self._item in (int, float) and not isinstance(each, int if self._item is int else int | float):
                raise InputError(f"{each!r} is not a {'whole ' if self._item is int else ''}number", where=self.name)
            if self.interval and each is not None and not _within(each, self.interval):
                raise InputError(f"{each} is not in {self.interval}", where=self.name)

    def require_number(self, value: Any) -> None:
        """Raises an InputError where a number is wanted, and true or false is given."""
        several = value if isinstance(value, tuple | list) else (value,)
        if self._item in (int, float) and any(isinstance(each, bool) for each in several):
            raise InputError(f"{value!r} is not a number", where=self.name)

    def require_flag(self, value: Any) -> None:
        """Raises an InputError where true or false is wanted, and a number is given."""
        if self.type is bool and isinstance(value, int | float) and not isinstance(value, bool):
            raise InputError(f"{value!r} is not true or false", where=self.name)

    @property
    def _item(self) -> Any:
        """The type of the value, or of each value in it."""
        return get_args(self.type)[0] if get_origin(self.type) is tuple else self.type


def setting(default: Any, interval: str = "", help: str = "") -> Any:
    """A dataclass's field with the numbers it may be and a sentence of help.

    Args:
        default: The default, of an immutable type.
        interval: As in mathematics: `[1, 64]` with its ends, `[0, 1)` without the last, `(0, inf)`. Of a tuple, it
            holds for each number.
        help: What it is.
    """
    return dataclasses.field(default=default, metadata={"interval": interval, "help": help})


def settings(cls: Any) -> tuple[Setting, ...]:
    """The fields of a configuration class, in their order."""
    return _settings(cls)


@cache
def _settings(cls: Any) -> tuple[Setting, ...]:
    hints = get_type_hints(cls)
    return tuple(
        Setting(f.name, hints[f.name], f.default, f.metadata.get("interval", ""), f.metadata.get("help", ""))
        for f in dataclasses.fields(cls)
    )


class KindConfig(Config):
    """Base of configurations of a part of which there are several kinds, each with a class of its own.

    A direct subclass stands for the part and has its table, `kinds`; in values from a file, `kind` chooses. Further
    kinds may come from plug-ins (`asr.utils.plugins`), which `register` theirs.
    """

    part: ClassVar[str]  # what there are several kinds of, for messages
    default_kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Any]]]
    kind: str

    @classmethod
    def register(cls, config: K) -> K:
        """Adds a class to the table under each of the names that its field `kind` allows: a Literal. A decorator.

        Raises:
            InputError: One of these names is taken; it is no dataclass, or its `kind` no Literal.
        """
        where = f"{config.__module__}.{config.__qualname__}"
        names = get_args(get_type_hints(config).get("kind"))
        require(
            bool(names) and "__dataclass_fields__" in vars(config), "is no dataclass with a Literal kind", where=where
        )
        for kind in names:
            known = cls.kinds.get(kind, config)
            taken = f"{known.__module__}.{known.__qualname__}"
            require(taken == where, f"{cls.part} kind {kind!r} is already that of {taken}", where=where)
        cls.kinds.update(dict.fromkeys(names, config))  # one that is defined again takes the place of the first
        return config

    @classmethod
    def from_values(cls, values: Any) -> Any:
        """A configuration of the kind that plain values name."""
        from asr.utils.plugins import load_installed

        if isinstance(values, cls):
            return values
        if not isinstance(values, Mapping):
            raise InputError(f"{reprlib.repr(values)} is not a mapping of settings")
        load_installed()
        kind = values.get("kind", cls.default_kind)
        if not isinstance(kind, str) or kind not in cls.kinds:
            raise InputError(
                f"there is no {cls.part} {reprlib.repr(kind)}: there are {', '.join(cls.kinds)}",
                where="kind",
                remedy="one from a plug-in needs it: --plugin MODULE",
            )
        made = _validated(cls.kinds[kind], values)
        Config.__post_init__(made)  # whatever that of a plug-in does
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        if "kinds" not in vars(cls):  # a kind
            return super().__get_pydantic_core_schema__(source, handler)
        return core_schema.no_info_plain_validator_function(cls.from_values)


def from_dict(cls: type[T], values: Mapping[str, Any], *, where: str | Path) -> T:
    """An instance of dataclass `cls` from plain values, as they stand in a file.

    Raises:
        InputError: An unknown key (the right one is suggested), a wrong type or a value the dataclass refuses.
    """
    _refuse_endless(values, where)
    try:
        return _validated(cls, values)
    except InputError as e:
        raise InputError(str(e), where=where) from e


def read_config(
    cls: type[T], path: str | Path | None, overrides: Sequence[str] = (), *, ignore: Sequence[str] = ()
) -> T:
    """An instance of `cls` from a YAML file (all defaults where None); `key.sub=value` words win over it.

    Keys in `ignore` may stand in the file and mean nothing.
    """
    values = parse_yaml(read_text(path, limit=1 << 20), where=path) if path else {}
    values = {} if values is None else values
    if not isinstance(values, dict):
        remedy = "a space follows each colon" if isinstance(values, str) and ":" in values else "write `key: value`"
        raise InputError("is not a mapping of keys to values", where=path, remedy=remedy)
    for word in overrides:
        key, equals, text = word.partition("=")
        if not equals or not all(key.split(".")):
            raise InputError(f"{word!r} is not of the form key=value", where="command line")
        value = parse_word(text, where=f"command line: {word!r}")
        if value is None:
            raise InputError(f"{word!r} has no value", where="command line", remedy=f"{key}='' is an empty one")
        for part in reversed(key.split(".")):
            value = {part: value}
        values = _merged(values, value)
    words = " ".join(overrides)
    where = f"{path} with {words}" if path and words else path or words or "defaults"
    return from_dict(cls, {str(key): value for key, value in values.items() if key not in ignore}, where=where)


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain values that YAML and JSON hold (tuples become lists)."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return value.number if isinstance(value, Written) else value

    result = plain(dataclasses.asdict(config))
    assert isinstance(result, dict)
    return result


def require(condition: bool, what: str, *, where: str | None = None) -> None:
    """Raises an InputError with `what` unless the condition holds: for the checks of a dataclass."""
    if not condition:
        raise InputError(what, where=where)


@cache
def _adapter(cls: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _validated(cls: type[T], values: Any) -> T:
    """An instance of a dataclass from plain values; errors name the setting by its path."""
    from pydantic import ValidationError

    try:
        made = _adapter(cls).validate_python(values)  # type: ignore[arg-type]
    except ValidationError as e:
        errors = e.errors(include_url=False)[:3]
        refused = InputError("; ".join(_reason(cls, each) for each in errors))
        inner = errors[0].get("ctx", {}).get("error")
        refused.where = ".".join(map(str, errors[0]["loc"])) or getattr(inner, "where", None)
        raise refused from e
    assert isinstance(made, cls)
    return made


def _reason(cls: type, error: Any) -> str:
    """Path and reason of one of pydantic's errors: 'model.encoder.hidden: 0 is not in [1, 16384]'."""
    path, kind = ".".join(map(str, error["loc"])), error["type"]
    inner = error.get("ctx", {}).get("error")
    if isinstance(inner, InputError):
        return f"{path}{'.' if path and inner.where else ': ' if path else ''}{inner}"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        owner = cls
        for part in error["loc"][:-1]:
            inner_type = get_args(owner)[1] if get_origin(owner) is dict else None
            owner = inner_type or next((s.type for s in settings(owner) if s.name == part), cls)
        close = difflib.get_close_matches(str(error["loc"][-1]), [s.name for s in settings(owner)], 1)
        return f"{path}: there is no such setting" + (f"; did you mean {close[0]!r}?" if close else "")
    if error["input"] is None and kind.startswith("string"):
        return f"{path}: has no value; leave it out, or write '' for none"
    value = reprlib.repr(error["input"])
    if kind == "literal_error":
        return f"{path}: {value} is none of {error['ctx']['expected'].replace(' or ', ', ')}"
    what = next((what for beginning, what in _TYPES.items() if kind.startswith(beginning)), None)
    return f"{path}: {value} is not {what}" if what else f"{path}: {error['msg']}"


def _within(value: float, interval: str) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    inside = low < value < high
    return inside or (value == low and interval[0] == "[") or (value == high and interval[-1] == "]")


def _merged(values: Any, changes: Any) -> Any:
    """Values, mapping by mapping those of `changes` in their place."""
    if not isinstance(values, dict) or not isinstance(changes, dict):
        return changes
    return {**values, **{key: _merged(values.get(key), value) for key, value in changes.items()}}


def _refuse_endless(values: Mapping[str, Any], where: str | Path) -> None:
    """Refuses aliases that make a few lines endless."""
    left: list[Any] = [values]
    seen = 0
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            left += value
        seen += 1
        if seen + len(left) > _MOST_VALUES:
            raise InputError(f"holds more than {_MOST_VALUES:,} values, as no configuration does", where=where)
