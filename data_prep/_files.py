"""Files of a corpus: those below a folder, the one of a name, the recording that a table names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from urllib.parse import unquote

from asr.utils.errors import InputError
from asr.utils.files import find_path, is_there, no_such_file


def is_folder(path: Path) -> bool:
    """Whether there is such a folder.

    Raises:
        InputError: One above it cannot be read.
    """
    try:
        return path.is_dir()
    except OSError as e:
        raise _unreadable(e) from e


def find_files(folder: Path, *endings: str) -> list[Path]:
    """The files below `folder` whose names end so, in either case; sorted, hidden ones left out, links followed.

    Raises:
        InputError: There is no such folder, or one below that cannot be read: which splits there are may hang on it.
    """

    def stop(e: OSError) -> None:
        raise _unreadable(e) from e

    if not is_folder(folder):
        raise InputError("no such folder", where=folder)
    found: list[Path] = []
    seen: set[str] = set()
    for above, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        real = os.path.realpath(above)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:  # a link may lead back
            found += [Path(above, n) for n in names if n.lower().endswith(endings) and not n.startswith(".")]
        seen.add(real)
    return sorted(found)


def recordings_named(pattern: re.Pattern[str], folder: Path) -> list[Path]:
    """The .wav files below a folder whose whole names fit; none where there is no such folder."""
    return [p for p in find_files(folder, ".wav") if pattern.fullmatch(p.stem)] if is_folder(folder) else []


def _unreadable(e: OSError) -> InputError:
    remedy = "have it made readable, or name a folder without it"
    return InputError(f"cannot be read ({e.strerror or e})", where=e.filename, remedy=remedy)


def only_file(folder: Path, name: str, *, beside: str = "", remedy: str) -> Path:
    """The one file below `folder` of this name, in either case, with a folder `beside` it.

    Args:
        folder: Where to look, at any depth.
        name: The whole name, after those of folders around it if they matter: `basic5000/transcript_utf8.txt`.
        beside: The name of a folder that must lie beside it.
        remedy: What the folder should be.

    Raises:
        InputError: There is none, or several.
    """
    found = [
        path
        for path in find_files(folder, PurePath(name).suffix)
        if path.as_posix().lower().endswith(f"/{name}".lower()) and is_folder(path.parent / beside)
    ]
    if len(found) != 1:
        what = f"{name} beside a folder {beside}" if beside else name
        names = f" ({', '.join(str(path.relative_to(folder)) for path in found[:3])})" if found else ""
        raise InputError(f"holds {len(found)} files {what}{names}, not one", where=folder, remedy=remedy)
    return found[0]


def find_audio(path: str, folders: Sequence[Path]) -> Path:
    """Returns the recording that a list names, in any of the folders, as people see names (`find_path`).

    Of an absolute path of another machine it is the one at the end of the path, as much of it as is there.

    Raises:
        InputError: There is none; the nearest name in the first folder is told, or what is no path, but an address, a
            command, a part of an archive.
    """
    for way in _ways(path, folders[0]):
        for folder in folders:
            if is_there(there := find_path(folder / way)):
                return there
        if PureWindowsPath(way).drive or Path(way).is_absolute():
            parts = PureWindowsPath(way).parts[1:]
            ends = [parts[n:] for n in range(len(parts)) if ".." not in parts[n:]]
            ways = (find_path(folder.joinpath(*end)) for end in ends for folder in folders)
            for there in ways:
                if is_there(there):
                    return there
    _check_path(path)
    raise no_such_file(folders[0] / path)


def _ways(path: str, folder: Path) -> Iterator[str]:
    """A path as it stands there, and what it means if there is none such: one of Windows, of a home, a file: address,
    one of Label Studio's, one with a gap for the folder; at last without what addresses write as %20."""
    path = path.replace("\\", "/") if "\\" in path and not is_there(folder / path) else path
    yield path
    if path.startswith("~/"):
        yield str(Path(path).expanduser())
    for pattern in (
        r"file:(?://(?:localhost)?)?(?=/)",
        r".*/data/local-files/?\?d=",
        r"(?:\{\w+\}|\$\w+|\$\{\w+\}|~)(?=/)",
    ):
        if match := re.match(pattern, path, re.IGNORECASE):
            path = "/" + path[match.end() :].lstrip("/")
            yield re.sub("^/(?=[A-Za-z]:/)", "", path)
    if (decoded := unquote(path)) != path:
        yield re.sub("^/(?=[A-Za-z]:/)", "", decoded)


def _check_path(path: str) -> None:
    """Says why something that is not there is no path.

    Raises:
        InputError: It is none.
    """
    for pattern, what, remedy in (
        (r"\|$", "is a command, which is never run", "run it, and name the file that it makes"),
        (r"^[a-z][a-z0-9+.-]+://", "is an address, which is not fetched", "fetch it, and name the file"),
        (r"\.ark(:\d+)?$|\.ark:", "is a part of a Kaldi archive", "write it to a file of its own: wav-copy"),
        (r"\{\w+\}|\$\w+", "has a gap that another program fills in", "write the folder there"),
    ):
        if re.search(pattern, path.strip(), re.IGNORECASE):
            raise InputError(f"its path {path[:100]!r} {what}", remedy=remedy)
