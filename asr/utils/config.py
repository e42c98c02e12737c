"""Configuration: frozen dataclasses filled from YAML files, dictionaries and `key=value` words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from asr.utils.errors import InputError
from asr.utils.files import read_text

T = TypeVar("T")
_MOST_VALUES = 100_000


def from_dict(cls: type[T], values: Mapping[str, Any], *, where: str | Path) -> T:
    """An instance of dataclass `cls` from plain values, as they stand in a file.

    Raises:
        InputError: An unknown key (the right one is suggested), a wrong type or a value the dataclass refuses;
            an interpolation, which OmegaConf would resolve (the values may be a stranger's).
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _refuse_traps(values, where)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), OmegaConf.create(dict(values)))
        made = OmegaConf.to_object(merged)
    except OmegaConfBaseException as e:
        raise InputError(_reason(e), where=where) from e
    except InputError as e:
        raise InputError(str(e), where=where) from e
    except (ValueError, TypeError, RecursionError) as e:
        raise InputError(str(e).splitlines()[0], where=where) from e
    assert isinstance(made, cls)
    return made


def read_config(
    cls: type[T], path: str | Path | None, overrides: Sequence[str] = (), *, ignore: Sequence[str] = ()
) -> T:
    """An instance of `cls` from one's own YAML file (all defaults where None); `key.sub=value` words win over it.

    Keys in `ignore` may stand in the file and mean nothing.

    Interpolations (`${...}`) are resolved: never use this on a file from a stranger.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for word in overrides:
        if "=" not in word or word.startswith("="):
            raise InputError(f"{word!r} is not of the form key=value", where="command line")
        try:
            OmegaConf.from_dotlist([word])
        except (YAMLError, OmegaConfBaseException, IndexError) as e:
            raise InputError(f"{word!r} cannot be read ({_one_line(e)})", where="command line") from e
    try:
        try:
            loaded = OmegaConf.create((read_text(path, limit=1 << 20) if path else "") or "{}")
        except AssertionError:  # OmegaConf's answer to a lone number
            loaded = None
        if not OmegaConf.is_dict(loaded):
            raise InputError("is not a mapping of keys to values", where=path)
        words = OmegaConf.from_dotlist(list(overrides))
        values = OmegaConf.to_container(OmegaConf.merge(loaded, words), resolve=True)
    except YAMLError as e:
        raise InputError(f"is not valid YAML ({_one_line(e)})", where=path) from e
    except OmegaConfBaseException as e:
        raise InputError(_reason(e), where=path) from e
    assert isinstance(values, dict)
    wanted = {str(key): value for key, value in values.items() if key not in ignore}
    words_given = " ".join(overrides)
    where = f"{path} with {words_given}" if path and words_given else path or words_given or "defaults"
    return from_dict(cls, wanted, where=where)


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain values that YAML and JSON hold (tuples become lists)."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return value

    result = plain(dataclasses.asdict(config))
    assert isinstance(result, dict)
    return result


def require(condition: bool, what: str, *, where: str | None = None) -> None:
    """Raises an InputError with `what` unless the condition holds: for the checks of a dataclass."""
    if not condition:
        raise InputError(what, where=where)


def _refuse_traps(values: Mapping[str, Any], where: str | Path) -> None:
    """Refuses interpolations, however they were spelt in the file, and aliases that make a few lines endless."""
    left: list[Any] = [values]
    seen = 0
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            left += value
        elif isinstance(value, str) and "${" in value:
            raise InputError("holds an interpolation (${...}), which may not stand here", where=where)
        seen += 1
        if seen + len(left) > _MOST_VALUES:
            raise InputError(f"holds more than {_MOST_VALUES:,} values, as no configuration does", where=where)


def _reason(error: Exception) -> str:
    """OmegaConf's first line with the key in full: 'Key 'dropuot' not in 'EncoderConfig'. Did you mean: ...'."""
    lines = str(error).splitlines()
    key = next((line.split(":", 1)[1].strip() for line in lines if line.strip().startswith("full_key:")), "")
    reason = "is a list, written [a, b]" if "not a TupleConfig, ListConfig" in lines[0] else lines[0]
    reason = reason.replace("Value '$VALUE' of type '$VALUE_TYPE'", "a value in a list")  # OmegaConf does not know it
    reason = re.sub(r"TupleConfig length (\d+) .* length (\d+)", r"a list has \1 values, not \2", reason)
    return f"{key}: {reason}" if key else reason


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
