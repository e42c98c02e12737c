"""Files that are whole or not there: atomic writes, checked downloads, safe extraction."""

from __future__ import annotations

import codecs
import difflib
import glob
import gzip
import hashlib
import json
import logging
import lzma
import math
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from asr.utils.errors import InputError
from asr.utils.unicode import plain_name

log = logging.getLogger(__name__)

UTF8 = "convert it, e.g. with `iconv -f latin1 -t utf-8`, if it is latin1 and not shift_jis or another"
UTF16 = "convert it, e.g. with `iconv -f utf-16 -t utf-8 OLD > NEW`"


def data_home() -> Path:
    """Where corpora are looked for: $ASR_DATA, else ~/.cache/asr/data."""
    return Path(os.environ.get("ASR_DATA") or Path.home() / ".cache" / "asr" / "data").expanduser()


@contextmanager
def atomic_path(path: str | Path, *, replace_folder: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` (a file or a folder), renamed to it when the block ends well.

    On an error nothing is left behind. A file at `path` is replaced; a folder that holds something only by another
    folder, and only if `replace_folder` says so.
    """
    path = Path(path).absolute()
    make_folder(path.parent)
    temporary = path.with_name(f".{_short(path.name)}.{os.getpid()}.part")
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb") as f:
                os.fsync(f.fileno())
        if temporary.is_dir() and path.is_dir() and any(path.iterdir()) and not replace_folder:
            raise InputError("is there already and is not empty", where=path, remedy="choose another folder")
        if temporary.is_dir() and path.exists():  # a rename replaces neither a folder that has files nor a file
            old = path.with_name(f".{_short(path.name)}.{os.getpid()}.old")
            path.replace(old)
            temporary.replace(path)
            _remove(old)
        else:
            temporary.replace(path)
    except OSError as e:
        raise InputError(f"cannot be written ({e.strerror or e})", where=path) from e
    finally:
        _remove(temporary)


def remove_leftovers(path: str | Path) -> None:
    """Removes what `atomic_path(path)` left in processes that were killed; nobody may be writing `path` meanwhile.

    Where one was killed between its two renames, what stood at `path` is put back.
    """
    path = Path(path)
    for old in sorted(path.parent.glob(f".{glob.escape(_short(path.name))}.*.old")):
        if not path.exists():
            old.replace(path)
    for kind in ("part", "old"):
        for stale in path.parent.glob(f".{glob.escape(_short(path.name))}.*.{kind}"):
            _remove(stale)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # there is none, or could be none
            path.unlink()


def _short(name: str) -> str:
    """A name that has room for more: file systems allow 255 bytes."""
    return name if len(os.fsencode(name)) <= 200 else hashlib.sha256(os.fsencode(name)).hexdigest()


def make_folder(path: str | Path) -> Path:
    """Makes a folder with its parents; an InputError where that cannot be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InputError(f"the folder cannot be made ({e.strerror or e})", where=path) from e
    return path


def check_output(path: str | Path, *inputs: str | Path) -> None:
    """Looks, before long work begins, whether a file can be written there; its folder is made.

    Args:
        inputs: Files that it must not replace.

    Raises:
        InputError: It is a folder, one of the inputs, or in a folder that cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("is a folder", where=path, remedy="name a file")
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise InputError("the folder cannot be written to", where=path.parent)
    if path.exists() and any(Path(other).exists() and path.samefile(other) for other in inputs):
        raise InputError("is read, and would be replaced", where=path, remedy="write to another file")


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 file atomically; what of a file's name is no character (a lone surrogate) becomes \\udcXX."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def without_nan(value: Any) -> Any:
    """A value for JSON, which has neither NaN nor infinity: None in their place, however deep."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str | Path, value: Any) -> None:
    """Writes one JSON document atomically, indented, characters as they are."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[Any]) -> None:
    """Writes one JSON value a line, atomically; gzipped (reproducibly) where the name ends in .gz."""
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    data = text.encode("utf-8", "backslashreplace")
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)


def read_text(path: str | Path, *, limit: int = 1 << 30) -> str:
    """Reads a UTF-8 file (a byte order mark is dropped) of at most `limit` bytes.

    Raises:
        InputError: The file is missing, a folder, unreadable, too large or not UTF-8.
    """
    data = read_bytes(path, limit=limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        if kind := sound_kind(data):
            raise InputError(f"is no text, but sound ({kind})", where=path, remedy="name the text") from e
        utf16 = is_utf16(data)
        line = data.count(b"\n", 0, e.start) + 1
        raise InputError(
            "is UTF-16" if utf16 else f"line {line} is not UTF-8", where=path, remedy=UTF16 if utf16 else UTF8
        ) from e


def has_utf16_mark(data: bytes) -> bool:
    """Returns whether a text's bytes begin with a mark of UTF-16."""
    return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def is_utf16(data: bytes) -> bool:
    """Returns whether a text's bytes look like UTF-16, marked or not."""
    return has_utf16_mark(data) or data[:1000].count(0) * 4 > len(data[:1000])


def is_there(path: Path) -> bool:
    """Returns whether a file or folder has that name; False where the name is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def find_path(path: str | Path) -> Path:
    """Returns the file or folder of this name, as people see names.

    Where there is none of exactly this name, one whose name differs only in its Unicode normal form or kind of spaces
    is taken; else the only one that differs in case. Where there is none or several, `path` is returned as it is.
    """
    path = Path(path)
    if is_there(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if is_there(found / part):
            found = found / part
            continue
        names = _names_in(found)
        same = [name for name in names if plain_name(name) == plain_name(part)]
        same = same or [name for name in names if plain_name(name).casefold() == plain_name(part).casefold()]
        if len(same) != 1:
            return path
        found = found / same[0]
    return found


def no_such_file(path: str | Path, remedy: str = "") -> InputError:
    """Returns the error of a file that is not there; the nearest name in its folder is told."""
    path = Path(path)
    names = {plain_name(name): name for name in _names_in(path.parent)}
    near = difflib.get_close_matches(plain_name(path.name), names, n=1, cutoff=0.75)
    if near:
        remedy = f"did you mean {names[near[0]]!r}?"
    return InputError("no such file", where=path, remedy=remedy)


def _names_in(folder: Path) -> Sequence[str]:
    """The names in a folder; none where it cannot be read."""
    try:
        return _listed(str(folder), folder.stat().st_mtime_ns)
    except OSError:
        return ()


@lru_cache(maxsize=64)
def _listed(folder: str, changed: int) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in Path(folder).iterdir()))


def sound_kind(data: bytes) -> str:
    """Returns the kind of a sound file ("WAV"), by how it begins; "" where it is none of the usual ones."""
    marks = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"\xff\xfb": "MP3", b"FORM": "AIFF"}
    marks[b"caff"] = "CAF"
    if data[4:8] == b"ftyp":
        return "MP4"
    return next((kind for mark, kind in marks.items() if data.startswith(mark)), "")


def read_bytes(path: str | Path, *, limit: int = 1 << 30) -> bytes:
    """Reads a file of at most `limit` bytes.

    Raises:
        InputError: The file is missing, a folder, unreadable or too large.
    """
    path = Path(path)
    try:
        with open(path, "rb") as f:
            data = f.read(limit + 1)
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror or e})", where=path) from e
    if len(data) > limit:
        raise InputError(f"is larger than {limit:,} bytes, which such a file never is", where=path)
    return data


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    timeout: float = 20.0,
) -> Path:
    """Fetches `url` to `path`; a part that an earlier try left is continued.

    Args:
        url: An http(s) address.
        path: The file to write; the unfinished part lies beside it as `<name>.part`.
        sha256: What the whole file must hash to.
        progress: Called with bytes done and bytes in all (None where the server does not say).
        timeout: Seconds without an answer after which to give up.

    Raises:
        InputError: The network or the server fails (the part is kept), or the checksum differs (it is removed).
    """
    import http.client
    import urllib.error
    import urllib.request

    path = Path(path)
    if path.exists() and (sha256 is None or file_sha256(path) == sha256):
        return path
    make_folder(path.parent)
    part = path.with_name(path.name + ".part")
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            if response.status != 206:  # the server starts from the beginning
                done = 0
            length = response.headers.get("Content-Length")
            total = done + int(length) if length else None
            with open(part, "ab" if done else "wb") as out:
                while chunk := response.read(1 << 18):
                    out.write(chunk)
                    done += len(chunk)
                    if progress:
                        progress(done, total)
        if total is not None and done < total:
            raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
    except urllib.error.HTTPError as e:
        if e.code == 416 and part.exists():  # the part is whole already, or not a prefix of what the server has now
            part.unlink()
            return download(url, path, sha256=sha256, progress=progress, timeout=timeout)
        raise InputError(f"the download failed (HTTP {e.code} {e.reason})", where=url) from e
    except (OSError, ValueError, http.client.HTTPException) as e:
        reason = getattr(e, "reason", None) or e
        raise InputError(f"the download failed ({reason})", where=url, remedy="try again: it continues") from e
    if sha256 is not None and (got := file_sha256(part)) != sha256:
        part.unlink()
        raise InputError(
            f"the download has checksum {got[:16]}..., expected {sha256[:16]}...", where=url, remedy="try again"
        )
    part.replace(path)
    return path


def download_archive(
    url: str,
    folder: str | Path,
    *,
    sha256: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> None:
    """Fetches a tar archive and unpacks it as `folder`. The archive lies beside it meanwhile, and goes if it is bad."""
    folder = Path(folder)
    archive = download(url, folder.with_name(f"{folder.name}.archive"), sha256=sha256, progress=progress)
    try:
        extract(archive, folder)
    finally:
        archive.unlink()


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def files_sha256(paths: Iterable[Path]) -> str:
    """One SHA-256 over several files' names and contents, in the order of their names.

    It says whether a corpus is the one meant however it was packed: archives that a host makes on the fly
    change their bytes from time to time.
    """
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda p: p.name):
        digest.update(f"{path.name} {file_sha256(path)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def extract(archive: str | Path, folder: str | Path, *, limit: int = 20 << 30) -> None:
    """Unpacks a tar archive (gz, xz, bz2 or plain) into `folder`, all of it or nothing.

    Only regular files and folders are taken; a name that leads out of the folder, a link, a device or
    more than `limit` bytes in all is an InputError.
    """
    archive, folder = Path(archive), Path(folder)
    make_folder(folder.parent)
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        staging.mkdir()
        total = 0
        with tarfile.open(archive) as tar:
            for member in tar:
                target = (staging / member.name).resolve()
                if not target.is_relative_to(staging.resolve()) or not (member.isfile() or member.isdir()):
                    raise InputError(f"holds {member.name!r}, which is not a plain file inside it", where=archive)
                total += member.size
                if total > limit:
                    raise InputError(f"unpacks to more than {limit:,} bytes", where=archive)
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                assert source is not None
                with source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out)
            while tar.fileobj is not None and tar.fileobj.read(1 << 20):
                pass  # gzip's checksum stands at its end, beyond the last member
        if folder.is_dir():
            with suppress(OSError):
                folder.rmdir()  # an empty folder may stand in the way
        staging.replace(folder)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as e:
        if isinstance(e, InputError):
            raise
        raise InputError(f"cannot be unpacked ({e})", where=archive, remedy="remove it and fetch it again") from e
    finally:
        shutil.rmtree(staging, ignore_errors=True)
