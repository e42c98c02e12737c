"""A stretch of a file as a file of its own."""

from __future__ import annotations

import io
import os
from typing import BinaryIO


class Part:
    """What stands in a file from `begin` to `end`, perhaps with another head before it.

    A damaged header's impossible jump goes nowhere, where soundfile would print a traceback.
    """

    def __init__(self, file: BinaryIO, begin: int, end: int, head: bytes = b"") -> None:
        self.file, self.begin, self.head = file, begin, head
        self.size, self.at = end - begin + len(head), 0

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self.at)
        count = left if count < 0 else min(count, left)
        data = self.head[self.at : self.at + count]
        if len(data) < count:
            self.file.seek(self.begin + self.at + len(data) - len(self.head))
            data += self.file.read(count - len(data))
        self.at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + (0, self.at, self.size)[whence]
        if 0 <= at < 1 << 62:
            self.at = at
        return self.at

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def write(self, data: bytes) -> int:
        raise io.UnsupportedOperation("read only")

    def peek(self, at: int, count: int) -> bytes:
        """Returns bytes from a place on; reading goes on where it was."""
        before, self.at = self.at, at
        data = self.read(count)
        self.at = before
        return data

    def part(self, begin: int, end: int | None = None, head: bytes = b"") -> Part:
        """Returns a stretch of this stretch."""
        skipped = len(self.head)
        return Part(
            self.file, self.begin + begin - skipped, self.begin + (self.size if end is None else end) - skipped, head
        )
