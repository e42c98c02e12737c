"""Public names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` of a package.

    No public name may be that of a submodule: as soon as anybody imports it, Python would hand out the module.

    Args:
        package: Its `__name__`.
        homes: The module that defines each public name, as the package would import it: `.wer`, `..utils.errors`.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)  # found at once from now on
        return value

    return get, lambda: sorted(homes)
