"""N-gram models in a file of few bytes: probabilities to one of 256 values an order, all of it packed by xz.

For models that are shipped or sent: about a fifth of what a binary file takes; reading takes seconds, not none.

    8 bytes  b"KKTRNLM1", then an xz stream of
      a line of JSON: {"order": N, "counts": [n-grams of each order], "bytes": of the words}
      the words, one a line
      for each order: its values (256 float32), and their numbers (a byte an n-gram); but for the highest the same of
        back-off weights, of which number 0 is 0
      for each order from 2 on: how many n-grams go on from each of one word less; of each n-gram's last word, how much
        its id is above that of its neighbour. Numbers of 4 bytes, all the lowest bytes first

Shapes: N n-grams of an order.
"""

from __future__ import annotations

import itertools
import json
import lzma
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.lm.binary import checked_ngram, damaged
from asr.lm.build import suffix_links
from asr.lm.ngram import MAX_ORDER, NgramModel, level_bounds, parents_of
from asr.utils.errors import InputError
from asr.utils.files import atomic_path
from asr.utils.jit import warm_up

MAGIC = b"KKTRNLM1"
_LEVELS = 256
_RARE = -20.0  # log10: probabilities below are of <s> and the like, and keep to themselves
_MOST = 1 << 31  # bytes unpacked
_PIECE = 1 << 24
_ROUNDS = 10


def compact_bytes(model: NgramModel) -> bytes:
    """A model as the file has it."""
    words = "\n".join(model.words).encode()
    header = {"order": model.order, "counts": model.counts, "bytes": len(words)}
    parts = [json.dumps(header).encode() + b"\n", words]
    bounds = level_bounds(model.first, model.order)
    for n, (begin, end) in enumerate(bounds, 1):
        parts += _quantised(model.log_prob[begin:end], own=model.log_prob[begin:end] < _RARE)
        if n < model.order:
            parts += _quantised(model.backoff[begin:end], own=model.backoff[begin:end] == 0)
    parents = np.append(0, parents_of(model.first))
    for (low, high), (begin, end) in itertools.pairwise(bounds):
        parts.append(_planes(np.diff(model.first[low : high + 1])))
        ids = model.word[begin:end]
        firsts = np.append(True, np.diff(parents[begin:end]) != 0)[: ids.size]
        parts.append(_planes(np.where(firsts, ids, np.diff(ids, prepend=0))))
    return MAGIC + lzma.compress(b"".join(parts), preset=6)


def write_compact(model: NgramModel, path: str | Path) -> None:
    """Writes a model, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(compact_bytes(model))


def read_compact(path: str | Path) -> NgramModel:
    """Reads what `write_compact` wrote.

    Raises:
        InputError: The file is damaged.
    """
    from asr.lm import ngram_kernel as kernel

    path = Path(path)
    reader = _Reader(_unpacked(path), path)
    try:
        header = json.loads(reader.line())
        order, counts, size = header["order"], header["counts"], header["bytes"]
    except (ValueError, KeyError, TypeError, RecursionError):
        damaged(path, "its header is none")
    whole = all(type(n) is int and 0 <= n < _MOST for n in (order, size, *counts)) if type(counts) is list else False
    if not whole or not 1 <= order <= MAX_ORDER or len(counts) != order:
        damaged(path, "its header is none")
    try:
        words = reader.take(size).decode().split("\n")
    except UnicodeDecodeError:
        damaged(path, "its words are not UTF-8")
    if len(words) != counts[0]:
        damaged(path, f"it has {len(words)} words and {counts[0]} 1-grams")
    log_probs: list[npt.NDArray[np.float32]] = [np.zeros(1, np.float32)]
    backoffs: list[npt.NDArray[np.float32]] = [np.zeros(1, np.float32)]
    for n, count in enumerate(counts, 1):
        log_probs.append(reader.values(count))
        if n < order:
            backoffs.append(reader.values(count))
    begins = np.cumsum([0, 1, *counts])  # the first node of each order, from 0 on; and the end
    word, first = np.empty(begins[-1], np.int32), np.empty(begins[-2] + 1, np.int32)
    word[: 1 + len(words)] = np.arange(-1, len(words))
    first[0], first[-1] = 1, begins[-1]
    none = np.zeros(0, np.uint32)
    warm_up("language model", kernel.grow, lambda: kernel.grow(none, none, 0, word, first, 0, 0))
    for n, (above, count) in enumerate(itertools.pairwise(counts), 1):
        children, steps = reader.numbers(above), reader.numbers(count)
        if not kernel.grow(children, steps, len(words), word, first, int(begins[n]), int(begins[n + 1])):
            damaged(path, "its n-grams do not go on from those of one word less, or are not sorted")
    reader.end()
    log_prob, backoff = np.concatenate(log_probs), np.concatenate(backoffs)
    link = suffix_links(word, first, backoff, log_prob)
    return checked_ngram(path, order, words, word, log_prob, link, first, backoff)


def _quantised(values: npt.NDArray[np.float32], own: npt.NDArray[np.bool_]) -> list[bytes]:
    """256 values, and the number of that which stands for each; 0 stands for those who are to keep to themselves."""
    table = np.zeros(_LEVELS, np.float32)
    numbers = np.zeros(values.size, np.uint8)
    if own.any():
        table[0] = values[own].mean()
    rest = values[~own]
    if rest.size:
        edges = np.unique(np.quantile(rest, np.linspace(0, 1, _LEVELS)[1:-1]))  # 254 at most, so 255 classes
        for _ in range(_ROUNDS):  # of Lloyd's algorithm
            classes = np.searchsorted(edges, rest)
            sizes = np.bincount(classes, minlength=_LEVELS - 1)
            means = np.bincount(classes, rest, _LEVELS - 1)[sizes > 0] / sizes[sizes > 0]
            edges = (means[1:] + means[:-1]) / 2
        classes = np.searchsorted(edges, rest)
        table[1 : 1 + means.size] = means
        numbers[~own] = 1 + classes
    return [table.astype("<f4").tobytes(), numbers.tobytes()]


def _planes(numbers: npt.NDArray[np.integer]) -> bytes:
    """Non-negative integers, the lowest byte of each, then the next ones."""
    return numbers.astype("<u4").view(np.uint8).reshape(-1, 4).T.tobytes()


def _unpacked(path: Path) -> bytes:
    """What lies behind the magic number."""
    packed = path.read_bytes()[len(MAGIC) :]
    unpacker = lzma.LZMADecompressor(memlimit=1 << 28)
    pieces, size = [], 0
    try:
        while not unpacker.eof:
            pieces.append(unpacker.decompress(packed, _PIECE))
            packed = b""
            size += len(pieces[-1])
            if size > _MOST or (not pieces[-1] and unpacker.needs_input):
                damaged(path, "it is cut short" if size <= _MOST else "it is larger than any model")
    except (lzma.LZMAError, EOFError):
        damaged(path, "it cannot be unpacked")
    return b"".join(pieces)


class _Reader:
    """Takes bytes one after the other."""

    def __init__(self, data: bytes, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at, self.at + 10_000)
        return self.take(end + 1 - self.at) if end >= 0 else b""

    def take(self, size: int) -> bytes:
        taken = self.data[self.at : self.at + size]
        if len(taken) < size:
            damaged(self.path, "it is cut short")
        self.at += size
        return taken

    def values(self, count: int) -> npt.NDArray[np.float32]:
        table = np.frombuffer(self.take(4 * _LEVELS), "<f4").astype(np.float32)
        found: npt.NDArray[np.float32] = table[np.frombuffer(self.take(count), np.uint8)]
        return found

    def numbers(self, count: int) -> npt.NDArray[np.uint32]:
        planes = np.frombuffer(self.take(4 * count), np.uint8).reshape(4, count)
        found: npt.NDArray[np.uint32] = np.ascontiguousarray(planes.T).view("<u4").ravel()
        return found

    def end(self) -> None:
        if self.at != len(self.data):
            raise InputError("is damaged: more follows than it should", where=self.path)
