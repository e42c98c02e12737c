"""A stretch of a file as a file of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import BinaryIO, cast


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

    def joined(self, stretches: Sequence[tuple[int, int]]) -> Part:
        """Returns stretches of this stretch, from where to where each, one behind another."""
        if len(stretches) == 1:
            return self.part(*stretches[0])
        return Part(cast(BinaryIO, _Joined(self, stretches)), 0, sum(end - begin for begin, end in stretches))


class _Joined:
    def __init__(self, file: Part, stretches: Sequence[tuple[int, int]]) -> None:
        self.file, self.stretches, self.at = file, stretches, 0

    def seek(self, at: int) -> None:
        self.at = at

    def read(self, count: int) -> bytes:
        data = b""
        first = 0  # of a stretch, behind those before
        for begin, end in self.stretches:
            inside = self.at - first
            if 0 <= inside < end - begin:
                data += self.file.peek(begin + inside, min(count - len(data), end - begin - inside))
                self.at = first + end - begin
            if len(data) >= count:
                break
            first += end - begin
        return data
