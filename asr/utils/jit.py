"""Compiling with numba: once, kept on disk, wherever the package may be installed."""

from __future__ import annotations

import logging
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
_PATIENCE = 4.0  # seconds after which a call is compiling rather than loading
_lock = threading.Lock()


def jit(function: F) -> F:
    """numba.njit without the interpreter lock; what was compiled is kept on disk.

    It is kept beside the source, or where that cannot be written in the user's cache folder, or nowhere: then each
    process compiles anew. Kernels that call each other stand in one file, for numba notices changes of that file alone.
    """
    return _jit(function)


def jit_borrowing(function: F) -> F:
    """As `jit`, of a function that makes no arrays: those it is given are its caller's, and nobody counts references.

    Counting is atomic, and slow where many arrays are handed on in every turn of a loop; threads wait for each other.
    """
    return _jit(function, _nrt=False)


def jit_reordering(function: F) -> F:
    """As `jit_borrowing`, of a function whose sums may be added up in any order: so several at a time."""
    return _jit(function, _nrt=False, fastmath={"reassoc", "contract"})


def _jit(function: F, **options: Any) -> F:
    from numba import njit

    try:
        compiled: F = njit(function, cache=True, nogil=True, **options)
    except RuntimeError:  # no folder for the cache can be written
        compiled = njit(function, nogil=True, **options)
    return compiled


def warm_up(what: str, function: Any, call: Callable[[], object]) -> None:
    """Makes `call`, which compiles `function` or loads what was compiled, and says so where it takes long.

    What is kept on disk may be damaged, or the disk full: then it compiles for this process alone.
    """
    if getattr(function, "signatures", True):
        return
    with _lock:
        if function.signatures:
            return
        message = "compiling the %s for this machine: once, about half a minute"
        timer = threading.Timer(_PATIENCE, log.info, (message, what))
        timer.daemon = True
        timer.start()
        try:
            call()
        except (OSError, EOFError, pickle.UnpicklingError) as e:
            folder = getattr(function._cache, "cache_path", "its cache")
            log.warning("%s: what was compiled cannot be kept or read (%s): compiling without it", folder, e)
            _forget_cache(function)
            call()
        finally:
            timer.cancel()


def _forget_cache(function: Any) -> None:
    """Every function of the module compiles anew, and keeps nothing."""
    from numba.core.caching import NullCache

    for each in vars(sys.modules[function.__module__]).values():
        if hasattr(each, "_cache") and hasattr(each, "signatures"):
            each._cache = NullCache()
