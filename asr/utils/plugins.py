"""Plug-ins: modules from outside the package that register encoders, decoders, criteria of their own.

A plug-in is loaded where the user asks for it: as an entry point (group `kikitori.plugins`) of a package that they
installed, or by name (`asr --plugin MODULE`; in Python, an import). Neither a model folder nor a configuration ever
causes an import.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from asr.utils.config import require
from asr.utils.errors import InputError

GROUP = "kikitori.plugins"

log = logging.getLogger(__name__)


def load_plugin(module: str) -> None:
    """Imports a plug-in: a module's name, or the path of a .py file; the current folder is searched last.

    Raises:
        InputError: There is no such module, or it fails.
    """
    where, path = f"--plugin {module}", Path(module).resolve()
    folder, name = (path.parent, path.stem) if module.endswith(".py") else (Path.cwd(), module)
    if module.endswith(".py"):
        require(path.is_file(), "no such file", where=where)
        spec = find_spec(name)
        require(
            spec is None or str(spec.origin) == str(path),
            f"another module has the name {name!r} (rename the file)",
            where=where,
        )
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        import_module(name)
    except ModuleNotFoundError as e:
        missing = f"there is no module {e.name}"
        raise InputError(missing, where=where, remedy="install it, or name its .py file") from e
    except InputError:
        raise
    except Exception as e:
        raise InputError(f"fails ({type(e).__name__}: {e})", where=where) from e


@cache
def load_installed() -> None:
    """Imports the plug-ins of installed packages, once, whatever is asked for; one that fails is told and left out."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as e:
            log.warning("plug-in %s (%s) fails and is left out: %s: %s", entry.name, entry.value, type(e).__name__, e)
