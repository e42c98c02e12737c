"""Compiling with numba: once, kept on disk, wherever the package may be installed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
# Seconds after which a call is compiling rather than loading.
_PATIENCE = 1.5
_ready: set[str] = set()  # of what there is nothing to tell any more
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


def _jit(function: F, **options: Any) -> F:
    from numba import njit

    try:
        compiled: F = njit(function, cache=True, nogil=True, **options)
    except RuntimeError:  # no folder for the cache can be written
        compiled = njit(function, nogil=True, **options)
    return compiled


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Says that `what` is being compiled where the block, for the first time in a process, takes long enough for it."""
    if what in _ready:
        yield
        return
    timer = threading.Timer(_PATIENCE, _tell, (what,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        _ready.add(what)


def _tell(what: str) -> None:
    with _lock:
        if what not in _ready:
            _ready.add(what)
            log.info("compiling the %s for this machine: once, about half a minute", what)
