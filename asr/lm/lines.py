"""Lines of large texts, plain or packed by gzip or xz, one by one or many together."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
import numpy.typing as npt

from asr.utils.errors import InputError
from asr.utils.files import UTF8

_CHUNK = 4 << 20  # bytes read at once
_MAX_LINE = 64 << 20
_BEGINNING = 64  # bytes that tell what a file is
# What bytes.split() takes for white space; str.split() would also split at spaces that belong to words, as U+00A0.
SPACE = np.isin(np.arange(256), list(b" \t\n\v\f\r"))
split_words = re.compile(r"[^ \t\n\v\f\r]+").findall


def read_sentences(path: str | Path) -> Iterator[str]:
    """Lines of a UTF-8 text, plain or packed by gzip or xz; `-` is standard input. A byte order mark is dropped.

    Raises:
        InputError: There is no such file, or it is damaged or not UTF-8; the line is named.
    """
    with open_lines(path) as (_, lines):
        while (line := lines.line()) is not None:
            encoding = "utf-8-sig" if lines.number == 1 else "utf-8"
            if b"\0" in line or line.startswith((b"\xff\xfe", b"\xfe\xff")):
                lines.fail("holds NUL bytes, as UTF-16 does", remedy="convert it, e.g. with `iconv -f utf-16 -t utf-8`")
            yield decoded(line.rstrip(b"\r\n"), lines.where(), encoding)


@contextmanager
def open_lines(path: str | Path) -> Iterator[tuple[bytes, Lines]]:
    """The first bytes of a file as it is, and the lines of it unpacked."""
    where = "standard input" if str(path) == "-" else path
    try:
        file = io.BufferedReader(io.FileIO(0 if str(path) == "-" else path, closefd=str(path) != "-"))
        magic = file.peek(9)[:9]
    except FileNotFoundError:
        raise InputError("no such file", where=where) from None
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror or e})", where=where) from e
    with file:
        stream: IO[bytes] = file
        if magic.startswith(b"\x1f\x8b"):
            stream = gzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[assignment]
        elif magic.startswith(b"\xfd7zXZ\0"):
            stream = lzma.LZMAFile(file)  # noqa: SIM115
        yield magic, Lines(stream, where)


class Lines:
    """The lines of a file, one by one or many together."""

    def __init__(self, file: IO[bytes], where: str | Path) -> None:
        self.number = 0  # of the line read last
        self._file, self._where = file, where
        self._old_mac = False  # whether \r ends lines
        self._whole, self._at, self._rest = b"", 0, b""  # whole lines, where the next begins, a line's beginning

    def where(self, row: int = 0) -> str:
        """The place of the line read last, or of the one `row` lines after it."""
        return f"{self._where}, line {self.number + row}"

    def fail(self, what: str, *, row: int = 0, remedy: str = "") -> NoReturn:
        """Raises an InputError for the line read last, or the one `row` lines after it."""
        raise InputError(what, where=self.where(row), remedy=remedy) from None

    def beginning(self) -> bytes:
        """The first bytes of the file, of which no line was read yet."""
        if not self._whole and not self._rest:
            self._take(self._read())
        return (self._whole + self._rest)[:_BEGINNING]

    def line(self) -> bytes | None:
        """The next line with its end, None where there is none."""
        if not self._fill():
            return None
        end = self._whole.index(b"\n", self._at) + 1
        line = self._whole[self._at : end]
        self._at, self.number = end, self.number + 1
        return line

    def filled_line(self) -> bytes | None:
        """The next line that is not empty, without white space around it."""
        while (line := self.line()) is not None and not line.strip():
            pass
        return None if line is None else line.strip()

    def block(self) -> tuple[list[bytes], npt.NDArray[np.int64]]:
        """The fields of many lines, and (N,) how many there are in each.

        It ends before a line that is empty or begins with a backslash: none are left where that is the next one.
        """
        if not self._fill():
            return [], np.zeros(0, np.int64)
        text = np.frombuffer(self._whole, np.uint8)[self._at :]
        space = SPACE[text]
        begins = np.flatnonzero(~space & np.append(True, space[:-1]))  # of fields
        ends = np.flatnonzero(text == ord("\n")) + 1  # of lines
        fields = np.diff(np.searchsorted(begins, ends), prepend=0)
        stop = (fields == 0) | (text[np.append(0, ends[:-1])] == ord("\\"))
        lines = int(np.argmax(stop)) if stop.any() else len(ends)
        begin, self._at = self._at, self._at + int(np.append(0, ends)[lines])
        return self._whole[begin : self._at].split(), fields[:lines]

    def skip_blank(self) -> bool:
        """Passes over lines that are empty; returns whether a line follows that does not begin with a backslash."""
        while self._fill():
            end = self._whole.index(b"\n", self._at) + 1
            if line := self._whole[self._at : end].strip():
                return not line.startswith(b"\\")
            self._at, self.number = end, self.number + 1
        return False

    def skip(self) -> None:
        """Reads to the end: the checksums of a packed file stand there."""
        self._at = len(self._whole)
        while self._read():
            pass

    def _fill(self) -> bool:
        """Reads at least a line where there is one; False at the end."""
        while self._at == len(self._whole):
            data = self._read()
            if not data and not self._rest:
                return False
            self._take(data or b"\n")
            if len(self._rest) > _MAX_LINE:
                self.fail(f"is longer than {_MAX_LINE:,} bytes", row=1)
        return True

    def _take(self, data: bytes) -> None:
        """Parts what was read, and what was left of it before, into whole lines and the rest."""
        text = self._rest + data
        if not self.number and not self._whole and b"\n" not in text and b"\r" in text[:-1]:
            self._old_mac = True
        if self._old_mac:
            text = text.replace(b"\r", b"\n")
        end = text.rfind(b"\n") + 1
        self._whole, self._at, self._rest = text[:end], 0, text[end:]

    def _read(self) -> bytes:
        try:
            return self._file.read(_CHUNK)
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as e:
            self.fail(f"the file is cut short or damaged after this line ({e})", remedy="copy or fetch it again")
        except OSError as e:
            raise InputError(f"cannot be read ({e.strerror or e})", where=self._where) from e


def decoded(text: bytes, where: str, encoding: str = "utf-8") -> str:
    """The text of UTF-8 bytes; an InputError where they are none."""
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        raise InputError(f"{shown(text)} is not UTF-8", where=where, remedy=UTF8) from None


def shown(text: bytes) -> str:
    """A piece of a file for a message, not too long."""
    shown = text[:40].decode("utf-8", "backslashreplace")
    return repr(shown + "..." if len(text) > 40 else shown)
