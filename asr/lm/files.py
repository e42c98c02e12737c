"""N-gram models in files of any of our formats."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from asr.lm.arpa import dump_arpa, read_arpa, write_arpa
from asr.lm.binary import packed, read_binary, write_binary
from asr.lm.compact import MAGIC, compact_bytes, read_compact, write_compact
from asr.lm.lines import open_lines
from asr.lm.ngram import NgramModel
from asr.utils.errors import InputError
from asr.utils.kinds import refuse_kind


def read_ngram(path: str | Path) -> NgramModel:
    """Reads a model: an ARPA file, plain or packed by gzip or xz, or what `save_ngram` wrote; its content tells which.

    Raises:
        InputError: There is no such file, it is of another program, or damaged; the line is named.
    """
    with open_lines(path) as (head, lines):
        if not head:
            raise InputError("is empty", where=path)
        if head.startswith(MAGIC):
            return read_compact(path)
        # A header's length (8 bytes, little-endian) and its brace; a text holds no NUL.
        if head[6:] != b"\0\0{":
            refuse_kind(lines.beginning(), path)
            return read_arpa(lines, path)
    return read_binary(Path(path))


def save_ngram(model: NgramModel, path: str | Path) -> None:
    """Writes a model, whole or not at all. The name tells how: .safetensors is read at once, .lmz is a file of few
    bytes, all else is an ARPA file, packed where the name ends in .gz or .xz."""
    {".safetensors": write_binary, ".lmz": write_compact}.get(Path(path).suffix, write_arpa)(model, path)


class _Counter(io.RawIOBase):
    """Takes bytes, and keeps their number alone."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        length = memoryview(data).nbytes
        self.size += length
        return length


def written_size(model: NgramModel, name: str) -> int:
    """Bytes of the file that is made of a model under such a name; none is written."""
    counter = _Counter()
    if name.endswith(".lmz"):
        return len(compact_bytes(model))
    if name.endswith(".safetensors"):
        header, arrays = packed(model)
        return len(header) + sum(array.nbytes for array in arrays)
    dump_arpa(model, counter, name)  # type: ignore[arg-type]
    return counter.size
