r"""Back-off n-gram models as flat arrays: ARPA and binary files in and out, scores, perplexity.

Shapes: V words, M nodes (the root and every n-gram), L nodes that are no n-gram of the highest order, N n-grams or
words of a table. Log probabilities are to base 10, as in ARPA files.

Scores are those of KenLM (Heafield, "KenLM: Faster and Smaller Language Model Queries", 2011), states too. One look-up,
plainly, for the word `w` in the state `s` (a node; `start` at the start of a sentence):

    b = 0
    while s and w is no child of s:
        b, s = b + backoff[s], link[s]
    j = the child of s by w          (of the root: 1 + w)
    score = b + log_prob[j]
    s = j if j < L and (first[j] < first[j + 1] or backoff[j]) else link[j]
"""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import json
import logging
import lzma
import math
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from asr.utils.errors import InputError
from asr.utils.files import UTF8, atomic_path
from asr.utils.jit import prepare

log = logging.getLogger(__name__)

MAX_ORDER = 10  # of letters; words have 3 to 5
FORMAT = 1
_KIND = "kikitori n-gram model"
_MISSING_UNK = -100.0  # KenLM's unknown_missing_logprob
_CHUNK = 4 << 20  # bytes read at once
_MAX_LINE = 64 << 20
_BATCH = 1 << 20  # words scored at once
_MAX_HEADER = 1 << 20
_TYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U8": np.dtype("u1"),
}
_ARRAYS = {
    "word_offsets": "I64",
    "word": "I32",
    "link": "I32",
    "first": "I32",
    "log_prob": "F32",
    "backoff": "F32",
    "words": "U8",
}
# What bytes.split() takes for white space; str.split() would also split at spaces that belong to words, as U+00A0.
_SPACE = np.isin(np.arange(256), list(b" \t\n\v\f\r"))
split_words = re.compile(r"[^ \t\n\v\f\r]+").findall

_Ints: TypeAlias = npt.NDArray[np.int64]
_Int32s: TypeAlias = npt.NDArray[np.int32]
_Floats: TypeAlias = npt.NDArray[np.float32]
_Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Perplexity:
    """How well a model foretells a text. Sums are log10 probabilities."""

    sentences: int
    words: int  # without </s>
    unknown: int  # words that the model does not know
    ends: int  # </s> that were scored: one a sentence, none if the model has no </s>
    log_prob: float  # of all words and ends
    log_prob_unknown: float  # of the unknown words

    @property
    def perplexity(self) -> float:
        """Of all words and ends, unknown words by the probability of <unk>; NaN where there are none."""
        return _perplexity(self.log_prob, self.words + self.ends)

    @property
    def perplexity_known(self) -> float:
        """Of words the model knows and ends; NaN where there are none."""
        return _perplexity(self.log_prob - self.log_prob_unknown, self.words - self.unknown + self.ends)


def _perplexity(log_prob: float, count: int) -> float:
    if not count:
        return math.nan
    return math.pow(10.0, min(-log_prob / count, 308.0))  # beyond it is no float


@dataclass(frozen=True, eq=False)
class NgramModel:
    """A back-off n-gram model.

    Node 0 is the root (the empty context). Then comes every n-gram, lower orders first, those of one order sorted by
    their word ids: the unigram of word `w` is node `1 + w`, and the children of a node (its extensions by one word)
    stand together, sorted by word. A *state* is the root, or a node that has children or a back-off weight other than
    0: what has to be remembered of the words so far. The arrays are read-only.

    Args:
        order: Words of the longest n-grams, 1 to 10.
        words: The word of each id.
        word: (M,) last word of the node, -1 of the root.
        log_prob: (M,) log10 probability of it after the words before.
        link: (M,) the longest proper suffix that is a state; link[j] < j, and 0 of the root.
        first: (L + 1,) children of node i are nodes first[i] to first[i + 1] - 1.
        backoff: (L,) log10 back-off weight, 0 of the root.
    """

    order: int
    words: list[str]
    word: _Int32s
    log_prob: _Floats
    link: _Int32s
    first: _Int32s
    backoff: _Floats

    def __post_init__(self) -> None:
        for array in (self.word, self.log_prob, self.link, self.first, self.backoff):
            array.setflags(write=False)

    @cached_property
    def index(self) -> dict[str, int]:
        """The id of each word; <unk> is found in small and capital letters."""
        index = {word: i for i, word in enumerate(self.words)}
        for a, b in (("<unk>", "<UNK>"), ("<UNK>", "<unk>")):
            if a in index:
                index.setdefault(b, index[a])
        return index

    def id(self, word: str) -> int:
        """The id of a word, that of <unk> where the model does not know it."""
        return self.index.get(word, self.unk)

    @cached_property
    def unk(self) -> int:
        """The id of <unk>."""
        return self.index["<unk>"]

    @cached_property
    def bos(self) -> int:
        """The id of <s>, -1 where the model has none."""
        return self.index.get("<s>", -1)

    @cached_property
    def eos(self) -> int:
        """The id of </s>, -1 where the model has none."""
        return self.index.get("</s>", -1)

    @cached_property
    def start(self) -> int:
        """The state at the start of a sentence: after <s>, or the root where the model has none."""
        node = 1 + self.bos
        return node if node < self.backoff.size and self.is_state[node] else 0

    @cached_property
    def is_state(self) -> _Bools:
        """(L,) whether a node is a state; nodes of the highest order never are."""
        return _states(self.first, self.backoff)

    @cached_property
    def counts(self) -> list[int]:
        """How many n-grams there are of each order, 1 to `order`."""
        return [end - begin for begin, end in level_bounds(self.first, self.order)]

    @cached_property
    def keys(self) -> _Ints:
        """(M - 1,) parent * V + word of nodes 1 to M - 1: ascending, so that a child is found by bisection."""
        return parents_of(self.first) * len(self.words) + self.word[1:]

    def score(self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True) -> float:
        """log10 probability of a sentence: a text that is split at ASCII white space, or its words.

        Args:
            bos: Begin after <s>; else without any context.
            eos: Count </s> too. What the model lacks of the two costs nothing.
        """
        return math.fsum(log_prob for log_prob, _, _ in self.full_scores(sentence, bos, eos))

    def full_scores(
        self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True
    ) -> list[tuple[float, int, bool]]:
        """log10 probability, length of the n-gram it is from, and whether it is unknown, of each word (and </s>)."""
        ids = self._ids(sentence, bos, eos)
        log_probs, lengths = self.score_ids(np.array(ids, np.int64), np.zeros(1, np.int64))
        rows = zip(log_probs.tolist(), lengths.tolist(), [i == self.unk for i in ids], strict=True)
        return list(rows)[int(bos and self.bos >= 0) :]

    def perplexity(self, sentences: Iterable[str | Sequence[str]]) -> Perplexity:
        """Scores sentences, each after <s> and with </s>; only about a million words are held at once."""
        n = words = unknown = 0
        log_prob = log_prob_unknown = 0.0
        for ids, begins in self._batches(sentences):
            log_probs, _ = self.score_ids(ids, begins)
            if self.bos >= 0:
                log_probs[begins] = 0
            is_unknown = ids == self.unk
            n += begins.size
            words += ids.size - begins.size * ((self.bos >= 0) + (self.eos >= 0))
            unknown += int(np.count_nonzero(is_unknown))
            log_prob += float(log_probs.sum())
            log_prob_unknown += float(log_probs[is_unknown].sum())
        return Perplexity(n, words, unknown, n if self.eos >= 0 else 0, log_prob, log_prob_unknown)

    def _batches(self, sentences: Iterable[str | Sequence[str]]) -> Iterator[tuple[_Ints, _Ints]]:
        """Word ids of many sentences with <s> and </s>, and where each sentence begins."""
        ids: list[int] = []
        begins: list[int] = []
        for sentence in sentences:
            begins.append(len(ids))
            ids += self._ids(sentence)
            if len(ids) >= _BATCH:
                yield np.array(ids, np.int64), np.array(begins, np.int64)
                ids, begins = [], []
        if begins:
            yield np.array(ids, np.int64), np.array(begins, np.int64)

    def _ids(self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True) -> list[int]:
        get, unk = self.index.get, self.unk
        ids = [self.bos] if bos and self.bos >= 0 else []
        ids += [get(word, unk) for word in (split_words(sentence) if isinstance(sentence, str) else sentence)]
        return [*ids, self.eos] if eos and self.eos >= 0 else ids

    def score_ids(self, ids: _Ints, begins: _Ints) -> tuple[npt.NDArray[np.float64], _Ints]:
        """Scores all words of many sentences at once, an order after the other.

        Args:
            ids: (N,) words of all sentences.
            begins: Positions where a sentence begins: what stands before is no context.

        Returns:
            (N,) log10 probability of each word, and (N,) the length of the n-gram it is from.
        """
        node = 1 + ids  # of the n-gram of the order at hand that ends here, -1 where there is none
        best, length, backoff = node.copy(), np.ones_like(ids), np.zeros(ids.size)
        for order in range(2, self.order + 1):
            context = np.roll(node, 1)
            context[begins[begins < ids.size]] = -1  # a sentence may be without words
            at = np.flatnonzero(context >= 0)
            child = search_keys(self.keys, context[at] * len(self.words) + ids[at])
            hit = child >= 0
            node = np.full_like(ids, -1)
            node[at] = np.where(hit, 1 + child, -1)
            found, missed = at[hit], at[~hit]
            best[found], length[found], backoff[found] = node[found], order, 0.0
            backoff[missed] += self.backoff[context[missed]]
        return backoff + self.log_prob[best], length


def _states(first: _Int32s, backoff: _Floats) -> _Bools:
    states: _Bools = (np.diff(first) > 0) | (backoff != 0)
    states[0] = True
    return states


def parents_of(first: _Int32s) -> _Ints:
    """(M - 1,) the parents of nodes 1 to M - 1."""
    return np.repeat(np.arange(first.size - 1), np.diff(first))


def level_bounds(first: _Int32s, order: int) -> list[tuple[int, int]]:
    """The first node of each order and the one after its last."""
    levels = [(0, 1)]
    for _ in range(order):
        begin, end = levels[-1]
        # In a damaged file an end may lie anywhere.
        levels.append((int(first[min(begin, first.size - 1)]), int(first[min(end, first.size - 1)])))
    return levels[1:]


def search_keys(keys: _Ints, wanted: _Ints) -> _Ints:
    """Where `wanted` stand in the ascending `keys`, -1 where they do not."""
    # Look-ups in order find their neighbourhood in the cache: five times as fast in a large model, sorting included.
    order = np.argsort(wanted)
    at = np.empty_like(order)
    at[order] = np.searchsorted(keys, wanted[order])
    at[at == keys.size] = 0
    return np.where(keys[at] == wanted, at, -1) if keys.size else np.full_like(wanted, -1)


# Building a model


@dataclass(frozen=True)
class NgramTable:
    """The n-grams of one order, in any order.

    Args:
        ids: (N, order) words.
        log_prob: (N,) log10.
        backoff: (N,) log10; NaN where there is none, which may be only where no longer n-gram follows.
        line: The line of a file that the first of them stands in, the others after it.
    """

    ids: _Int32s
    log_prob: _Floats
    backoff: _Floats
    line: int = 0


def build_ngram(words: list[str], tables: Sequence[NgramTable], where: str | Path = "n-grams") -> NgramModel:
    """A model of n-grams: one table an order, the first with every word once, by its id.

    A context that is not listed (SRILM prunes so) is inserted with the back-off weight 0 and the probability that the
    model gives it by backing off. A model without <unk> gets it with a log10 probability of -100, as KenLM does.

    Raises:
        InputError: An n-gram is there twice, or a context has no back-off weight; `where` and the line are named.
    """
    if not {"<unk>", "<UNK>"} & set(words):
        log.warning("%s: has no <unk>: unknown words get the log10 probability %g", where, _MISSING_UNK)
        unk = np.array([[len(words)]], np.int32)
        tables = [_with_row(tables[0], unk, _MISSING_UNK), *tables[1:]]
        words = [*words, "<unk>"]
    order, vocab = len(tables), len(words)
    # Of each n-gram the node of its first words, within its level; one word longer after each level that is built.
    nodes: list[_Ints] = [np.zeros(len(table.ids), np.int64) for table in tables]
    keys: list[_Ints] = []
    rows: list[_Ints] = []  # of a level's nodes in its table, -1 of those inserted
    for level, table in enumerate(tables):
        wanted = [nodes[k] * vocab + tables[k].ids[:, level] for k in range(level, order)]
        row = np.argsort(wanted[0], kind="stable")
        level_keys = wanted[0][row]
        if (twice := row[1:][np.diff(level_keys) == 0]).size:
            n = int(twice.min())
            text = " ".join(words[i] for i in table.ids[n])
            raise InputError(f"the n-gram {text!r} stands there twice", where=_at(where, table.line, n))
        found = [search_keys(level_keys, w) for w in wanted[1:]]
        missing = [w[f < 0] for w, f in zip(wanted[1:], found, strict=True)]
        if any(m.size for m in missing):
            extra = np.unique(np.concatenate(missing))
            place = np.searchsorted(level_keys, extra)
            level_keys, row = np.insert(level_keys, place, extra), np.insert(row, place, -1)
            found = [search_keys(level_keys, w) for w in wanted[1:]]
        nodes = [*nodes[: level + 1], *found]
        keys.append(level_keys)
        rows.append(row)
    return _link(words, tables, keys, rows, where)


def _with_row(table: NgramTable, ids: _Int32s, log_prob: float) -> NgramTable:
    return NgramTable(
        np.concatenate([table.ids, ids]),
        np.append(table.log_prob, np.float32(log_prob)),
        np.append(table.backoff, np.float32(0)),
        table.line,
    )


def _link(
    words: list[str], tables: Sequence[NgramTable], keys: list[_Ints], rows: list[_Ints], where: str | Path
) -> NgramModel:
    """Puts sorted levels one after the other, and links each node to its suffix."""
    order, vocab = len(tables), len(words)
    sizes = [1, *(len(k) for k in keys)]
    bases = np.cumsum([0, *sizes])  # the first node of each level; the root is level 0
    size, inner = int(bases[-1]), int(bases[-2])
    if size > np.iinfo(np.int32).max:
        raise InputError(f"has {size - 1:,} n-grams, more than 2^31", where=where)
    log_prob, backoff = np.zeros(size, np.float32), np.zeros(inner, np.float32)
    word = np.full(size, -1, np.int32)
    first = np.full(inner + 1, size, np.int32)
    parents = np.zeros(size, np.int64)
    for level, (table, key, row) in enumerate(zip(tables, keys, rows, strict=True), 1):
        here = slice(bases[level], bases[level + 1])
        parents[here], word[here] = np.divmod(key, vocab)
        above = bases[level - 1], bases[level]
        first[slice(*above)] = bases[level] + np.searchsorted(parents[here], np.arange(above[1] - above[0]))
        parents[here] += above[0]
        log_prob[here] = np.append(table.log_prob, np.nan)[row]  # of those inserted the last: found with the links
        if level < order:
            backoff[here] = np.append(table.backoff, 0)[row]
    is_context = np.zeros(inner, bool)  # of n-grams that are listed
    is_context[parents[1:][~np.isnan(log_prob[1:])]] = True
    for level, (table, row) in enumerate(zip(tables[:-1], rows, strict=False), 1):
        here = slice(bases[level], bases[level + 1])
        if (bad := row[np.isnan(backoff[here]) & is_context[here]]).size:
            text = " ".join(words[i] for i in table.ids[bad.min()])
            raise InputError(
                f"{text!r} has no back-off weight, though longer n-grams begin with it",
                where=_at(where, table.line, int(bad.min())),
                remedy="write its log10 weight at the end of the line; 0 where all that may follow is listed",
            )
    backoff[np.isnan(backoff)] = 0
    link = suffix_links(word, first, backoff, log_prob)
    return NgramModel(order, words, word, log_prob, link, first, backoff)


def suffix_links(word: _Int32s, first: _Int32s, backoff: _Floats, log_prob: _Floats) -> _Int32s:
    """(M,) links; probabilities that are NaN (of contexts inserted) are filled in, for they are found on the way."""
    from asr.lm import ngram_kernel as kernel

    link = np.zeros(word.size, np.int32)
    arrays = (word, first, backoff, log_prob, link)
    prepare("language model", kernel.link_suffixes, lambda: kernel.link_suffixes(*arrays, first.size))
    kernel.link_suffixes(*arrays, 1)
    return link


def _at(where: str | Path, line: int, row: int = 0) -> str:
    return f"{where}, line {line + row}" if line else str(where)


# Files


def read_ngram(path: str | Path) -> NgramModel:
    """Reads a model: an ARPA file, plain or packed by gzip or xz, or what `save_ngram` wrote; its content tells which.

    Raises:
        InputError: There is no such file, or it is damaged; the line is named.
    """
    from asr.lm.compact import MAGIC, read_compact

    with _open(path) as (head, lines):
        if not head:
            raise InputError("is empty", where=path)
        if head.startswith(MAGIC):
            return read_compact(path)
        # A header's length (8 bytes, little-endian) and its brace; a text holds no NUL.
        if head[6:] != b"\0\0{":
            return _read_arpa(lines, path)
    return _load(Path(path))


def save_ngram(model: NgramModel, path: str | Path) -> None:
    """Writes a model as safetensors, whole or not at all: `read_ngram` has it ready at once, without copying it."""
    header, arrays = _packed(model)
    with atomic_path(path) as temporary, open(temporary, "wb") as f:
        f.write(header)
        for array in arrays:
            array.tofile(f)


def _packed(model: NgramModel) -> tuple[bytes, list[npt.NDArray[Any]]]:
    """The beginning of a safetensors file, and the arrays that follow."""
    encoded = [word.encode() for word in model.words]
    arrays: dict[str, npt.NDArray[Any]] = {
        "word_offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        "words": np.frombuffer(b"".join(encoded), np.uint8),
    }
    # The header is written here and the arrays go straight to the file: the library would hold all of it twice.
    header: dict[str, Any] = {"__metadata__": {"kind": _KIND, "format": str(FORMAT), "order": str(model.order)}}
    offset = 0
    for name, kind in _ARRAYS.items():  # widest types first: all are aligned
        array = arrays[name] if name in arrays else getattr(model, name)
        array = arrays[name] = np.ascontiguousarray(array, _TYPES[kind])
        header[name] = {"dtype": kind, "shape": [array.size], "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, [arrays[name] for name in _ARRAYS]


def write_arpa(model: NgramModel, path: str | Path) -> None:
    """Writes an ARPA file, packed where the name ends in .gz or .xz. Numbers are read back as the same float32."""
    with atomic_path(path) as temporary, open(temporary, "wb") as raw:
        _dump_arpa(model, raw, str(path))


def _dump_arpa(model: NgramModel, raw: IO[bytes], name: str) -> None:
    words = np.array([word.encode() for word in model.words], object)
    parents = np.append(0, parents_of(model.first))
    packed = raw
    if name.endswith(".gz"):
        packed = gzip.GzipFile("", "wb", 6, raw, mtime=0)  # type: ignore[assignment]
    elif name.endswith(".xz"):
        packed = lzma.LZMAFile(raw, "wb", preset=1)  # noqa: SIM115
    with packed, io.BufferedWriter(packed, _CHUNK) as out:
        counts = "".join(f"ngram {n}={count}\n" for n, count in enumerate(model.counts, 1))
        out.write(f"\\data\\\n{counts}".encode())
        for n, (begin, end) in enumerate(level_bounds(model.first, model.order), 1):
            out.write(f"\n\\{n}-grams:\n".encode())
            for low in range(begin, end, _BATCH):
                out.write(_arpa_lines(model, words, parents, np.arange(low, min(end, low + _BATCH)), n))
        out.write(b"\n\\end\\\n")


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
    from asr.lm.compact import compact_bytes

    counter = _Counter()
    if name.endswith(".lmz"):
        return len(compact_bytes(model))
    if name.endswith(".safetensors"):
        header, arrays = _packed(model)
        return len(header) + sum(array.nbytes for array in arrays)
    _dump_arpa(model, counter, name)  # type: ignore[arg-type]
    return counter.size


def _arpa_lines(model: NgramModel, words: npt.NDArray[Any], parents: _Ints, nodes: _Ints, order: int) -> bytes:
    columns = []
    context = nodes
    for _ in range(order):
        columns.append(words[model.word[context]].tolist())
        context = parents[context]
    texts = map(b" ".join, zip(*reversed(columns), strict=True))
    numbers = model.log_prob[nodes].astype("S").tolist()  # the shortest that give the same float32
    if order == model.order:
        return b"".join([b"%b\t%b\n" % row for row in zip(numbers, texts, strict=True)])
    weights = np.char.add(b"\t", model.backoff[nodes].astype("S"))
    ends = np.where(model.is_state[nodes], weights, b"").tolist()
    return b"".join([b"%b\t%b%b\n" % row for row in zip(numbers, texts, ends, strict=True)])


def read_sentences(path: str | Path) -> Iterator[str]:
    """Lines of a UTF-8 text, plain or packed by gzip or xz; `-` is standard input. A byte order mark is dropped.

    Raises:
        InputError: There is no such file, or it is damaged or not UTF-8; the line is named.
    """
    with _open(path) as (_, lines):
        while (line := lines.line()) is not None:
            encoding = "utf-8-sig" if lines.number == 1 else "utf-8"
            if b"\0" in line or line.startswith((b"\xff\xfe", b"\xfe\xff")):
                lines.fail("holds NUL bytes, as UTF-16 does", remedy="convert it, e.g. with `iconv -f utf-16 -t utf-8`")
            yield _decoded(line.rstrip(b"\r\n"), lines.where(), encoding)


@contextmanager
def _open(path: str | Path) -> Iterator[tuple[bytes, _Lines]]:
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
        yield magic, _Lines(stream, where)


class _Lines:
    """The lines of a file, one by one or many together."""

    def __init__(self, file: IO[bytes], where: str | Path) -> None:
        self.number = 0  # of the line read last
        self._file, self._where = file, where
        self._whole, self._at, self._rest = b"", 0, b""  # whole lines, where the next begins, a line's beginning

    def where(self, row: int = 0) -> str:
        """The place of the line read last, or of the one `row` lines after it."""
        return f"{self._where}, line {self.number + row}"

    def fail(self, what: str, *, row: int = 0, remedy: str = "") -> NoReturn:
        """Raises an InputError for the line read last, or the one `row` lines after it."""
        raise InputError(what, where=self.where(row), remedy=remedy) from None

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

    def block(self) -> tuple[list[bytes], _Ints]:
        """The fields of many lines, and (N,) how many there are in each.

        It ends before a line that is empty or begins with a backslash: none are left where that is the next one.
        """
        if not self._fill():
            return [], np.zeros(0, np.int64)
        text = np.frombuffer(self._whole, np.uint8)[self._at :]
        space = _SPACE[text]
        begins = np.flatnonzero(~space & np.append(True, space[:-1]))  # of fields
        ends = np.flatnonzero(text == ord("\n")) + 1  # of lines
        fields = np.diff(np.searchsorted(begins, ends), prepend=0)
        stop = (fields == 0) | (text[np.append(0, ends[:-1])] == ord("\\"))
        lines = int(np.argmax(stop)) if stop.any() else len(ends)
        begin, self._at = self._at, self._at + int(np.append(0, ends)[lines])
        return self._whole[begin : self._at].split(), fields[:lines]

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
            text = self._rest + (data or b"\n")
            end = text.rfind(b"\n") + 1
            self._whole, self._at, self._rest = text[:end], 0, text[end:]
            if len(self._rest) > _MAX_LINE:
                self.fail(f"is longer than {_MAX_LINE:,} bytes", row=1)
        return True

    def _read(self) -> bytes:
        try:
            return self._file.read(_CHUNK)
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as e:
            self.fail(f"the file is cut short or damaged after this line ({e})", remedy="copy or fetch it again")
        except OSError as e:
            raise InputError(f"cannot be read ({e.strerror or e})", where=self._where) from e


# ARPA


def _read_arpa(lines: _Lines, path: str | Path) -> NgramModel:
    counts, line = _read_counts(lines)
    index: dict[bytes, int] = {}
    tables: list[NgramTable] = []
    for order, count in enumerate(counts, 1):
        if line != b"\\%d-grams:" % order:
            lines.fail(f"\\{order}-grams: has to stand here, not {_shown(line)}")
        table, line = _read_section(lines, order, count, order == len(counts), index)
        tables.append(table)
        if order == 1:
            words = [_decoded(word, _at(path, table.line, row)) for row, word in enumerate(index)]
            _add_unk_alias(index, path)
    if line != b"\\end\\":
        lines.fail(f"\\end\\ has to stand here, not {_shown(line)}")
    lines.skip()
    return build_ngram(words, tables, path)


def _read_section(
    lines: _Lines, order: int, count: int, highest: bool, index: dict[bytes, int]
) -> tuple[NgramTable, bytes]:
    """The n-grams of one order, and the line after them."""
    name = f"\\{order}-grams:"
    begin = lines.number + 1
    none = np.zeros(0, np.float32)
    parts: list[tuple[_Int32s, _Floats, _Floats]] = [(np.zeros((0, order), np.int32), none, none)]
    rows = 0
    while (block := lines.block())[1].size:
        tokens, fields = block
        if rows + fields.size > count:
            lines.fail(f"{name} holds more n-grams than the {count:,} of \\data\\", row=count - rows + 1)
        parts.append(_read_block(lines, np.array(tokens, object), fields, order, highest, index))
        lines.number += fields.size
        rows += fields.size
    line = lines.filled_line()
    if line is None:
        lines.fail(f"the file ends here without \\end\\, after {rows:,} of {count:,} n-grams of {name}")
    if rows < count:
        lines.fail(f"{name} ends here after {rows:,} of {count:,} n-grams")
    ids, log_probs, backoffs = (np.concatenate(p) for p in zip(*parts, strict=True))
    return NgramTable(ids, log_probs, backoffs, begin), line


def _read_counts(lines: _Lines) -> tuple[list[int], bytes]:
    """The numbers of n-grams from \\data\\, and the line after them."""
    while (line := lines.line()) is not None and line.removeprefix(codecs.BOM_UTF8).strip() != b"\\data\\":
        pass
    if line is None:
        lines.fail("the file ends here without \\data\\: it is not an ARPA file")
    counts: list[int] = []
    while (line := lines.filled_line()) is not None and not line.startswith(b"\\"):
        match = re.fullmatch(rb"ngram\s+(\d{1,3})\s*=\s*(\d{1,18})", line)
        if not match:
            lines.fail(f"`ngram N=COUNT` has to stand here, not {_shown(line)}")
        if int(match[1]) != len(counts) + 1:
            lines.fail(f"order {int(match[1])} has to be {len(counts) + 1}: orders are counted up from 1")
        if int(match[1]) > MAX_ORDER:
            lines.fail(f"the model is of order {int(match[1])} or more, at most {MAX_ORDER} can be read")
        counts.append(int(match[2]))
    if line is None:
        lines.fail("the file ends here within \\data\\")
    if not counts or not counts[0]:
        lines.fail("\\data\\ announces no words")
    return counts, line


def _read_block(
    lines: _Lines, tokens: npt.NDArray[Any], fields: _Ints, order: int, highest: bool, index: dict[bytes, int]
) -> tuple[_Int32s, _Floats, _Floats]:
    """Lines of a section: (N, order) words, (N,) log probabilities and (N,) back-off weights, NaN where none stands.

    Words of unigrams are added to `index`.
    """
    if (bad := np.flatnonzero((fields < order + 1) | (fields > order + 2))).size:
        plural = "a word" if order == 1 else f"{order} words"
        lines.fail(
            f"has {fields[bad[0]]} fields; in \\{order}-grams: a log10 probability and {plural} have to stand,"
            + (" and nothing more" if highest else " and perhaps a back-off weight"),
            row=int(bad[0]) + 1,
        )
    begins = np.cumsum(fields) - fields
    log_probs = _numbers(lines, tokens[begins], np.arange(fields.size))
    if (bad := np.flatnonzero(log_probs > 0)).size:
        what = f"the log10 probability {log_probs[bad[0]]:g} is positive"
        lines.fail(f"{what}: none is above 1", row=int(bad[0]) + 1)
    weighted = np.flatnonzero(fields == order + 2)
    backoffs = np.full(fields.size, np.nan, np.float32)
    backoffs[weighted] = _numbers(lines, tokens[begins[weighted] + order + 1], weighted)
    if highest and (bad := np.flatnonzero(np.nan_to_num(backoffs))).size:
        what = f"has the back-off weight {backoffs[bad[0]]:g}"
        lines.fail(f"{what}, which an n-gram of the highest order cannot have", row=int(bad[0]) + 1)
    ngrams = tokens[begins[:, None] + np.arange(1, order + 1)].ravel().tolist()
    if order == 1:
        _add_words(lines, ngrams, index)
    try:
        ids = np.fromiter(map(index.__getitem__, ngrams), np.int32, len(ngrams))
    except KeyError:
        row = next(i for i, word in enumerate(ngrams) if word not in index)
        lines.fail(f"the word {_shown(ngrams[row])} is not among the unigrams", row=row // order + 1)
    return ids.reshape(-1, order), log_probs, backoffs


def _numbers(lines: _Lines, tokens: npt.NDArray[Any], rows: _Ints) -> _Floats:
    """Numbers as float32; `rows` says how many lines after the last one each stands, for what is none."""
    texts = tokens.tolist()
    with np.errstate(over="ignore"):
        try:
            numbers = np.array(list(map(float, texts))).astype(np.float32)
        except ValueError:
            numbers = np.array([_number(text) for text in texts]).astype(np.float32)
    if b"_" in b"".join(texts):  # float() takes 1_000
        numbers[[b"_" in text for text in texts]] = np.nan
    if (bad := np.flatnonzero(~np.isfinite(numbers))).size:
        lines.fail(f"{_shown(texts[bad[0]])} is not a number that can be used", row=int(rows[bad[0]]) + 1)
    return numbers


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _add_words(lines: _Lines, new: list[bytes], index: dict[bytes, int]) -> None:
    for row, word in enumerate(new, 1):
        known = len(index)
        index.setdefault(word, known)
        if len(index) == known:
            lines.fail(f"the n-gram {_shown(word)} stands there twice", row=row)


def _decoded(text: bytes, where: str, encoding: str = "utf-8") -> str:
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        raise InputError(f"{_shown(text)} is not UTF-8", where=where, remedy=UTF8) from None


def _add_unk_alias(index: dict[bytes, int], path: str | Path) -> None:
    """<UNK> is <unk>, as KenLM has it."""
    small, capital = index.get(b"<unk>"), index.get(b"<UNK>")
    if small is not None and capital is not None:
        raise InputError("has both <unk> and <UNK>, which are the same", where=path)
    if small is not None:
        index[b"<UNK>"] = small
    if capital is not None:
        index[b"<unk>"] = capital


def _shown(text: bytes) -> str:
    shown = text[:40].decode("utf-8", "backslashreplace")
    return repr(shown + "..." if len(text) > 40 else shown)


# Binary


def _load(path: Path) -> NgramModel:
    """Maps a file that `save_ngram` wrote into memory, and checks all that a look-up relies on."""
    try:
        data = np.memmap(path, np.uint8, "r").view(np.ndarray)
    except (OSError, ValueError) as e:
        raise InputError(f"cannot be read ({e})", where=path) from e
    order, arrays = _read_arrays(data, path)
    words = _read_words(arrays["words"], arrays["word_offsets"], path)
    tree = [arrays[name] for name in ("word", "log_prob", "link", "first", "backoff")]
    return checked_ngram(path, order, words, *tree)


def checked_ngram(
    path: Path,
    order: int,
    words: list[str],
    word: _Int32s,
    log_prob: _Floats,
    link: _Int32s,
    first: _Int32s,
    backoff: _Floats,
) -> NgramModel:
    """The model of arrays from a file, after all that a look-up relies on was checked.

    Raises:
        InputError: The file is damaged.
    """
    if fault := _fault(order, len(words), word, log_prob, link, first, backoff):
        damaged(path, fault)
    model = NgramModel(order, words, word, log_prob, link, first, backoff)
    if len(set(words)) < len(words) or {"<unk>", "<UNK>"} <= set(words):
        damaged(path, "a word is there twice")
    if "<unk>" not in model.index:
        damaged(path, "it has no <unk>")
    rises = np.ones(word.size + 1, bool)
    rises[1:-1] = word[1:] > word[:-1]
    rises[first] = True  # the first child of another node
    if not rises.all():
        damaged(path, "the words after a node are not sorted")
    return model


def damaged(path: Path, what: str) -> NoReturn:
    """Raises an InputError that says so."""
    raise InputError(f"is damaged: {what}", where=path, remedy="copy it again, or convert it from ARPA again") from None


def _read_arrays(data: npt.NDArray[np.uint8], path: Path) -> tuple[int, dict[str, npt.NDArray[Any]]]:
    """The order, and the arrays as the file has them."""
    length = int.from_bytes(data[:8].tobytes(), "little")
    if not 2 <= length <= min(_MAX_HEADER, data.size - 8):
        damaged(path, "its header is cut short")
    try:
        header = json.loads(data[8 : 8 + length].tobytes())
        about = header.pop("__metadata__")
        kind, version, order = about["kind"], int(about["format"]), int(about["order"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError("is not an n-gram model", where=path) from None
    if kind != _KIND:
        raise InputError("is not an n-gram model", where=path)
    if version != FORMAT:
        raise InputError(f"has format {version}, this version reads {FORMAT}", where=path, remedy="update kikitori")
    if not 1 <= order <= MAX_ORDER:
        damaged(path, f"its order is {order}, which has to be 1 to {MAX_ORDER}")
    if header.keys() != _ARRAYS.keys():
        damaged(path, f"it holds {', '.join(sorted(header))[:80]}; {', '.join(_ARRAYS)} have to be there")
    body = data[8 + length :]
    arrays = {}
    for name, kind in _ARRAYS.items():
        dtype = _TYPES[kind]
        try:
            (size,) = header[name]["shape"]
            begin, end = header[name]["data_offsets"]
            whole = all(type(n) is int for n in (size, begin, end)) and header[name]["dtype"] == kind
        except (ValueError, KeyError, TypeError):
            whole = False
        if not (whole and 0 <= begin <= end <= body.size and end - begin == size * dtype.itemsize):
            damaged(path, f"the array {name} is cut short or not of its type")
        # Files of other writers may lie askew in memory; ours are taken as they are.
        arrays[name] = np.require(body[begin:end].view(dtype), requirements="A")
    return order, arrays


def _read_words(text: npt.NDArray[np.uint8], offsets: _Ints, path: Path) -> list[str]:
    """The vocabulary. Words are neither empty nor hold white space: they could not be told apart in a text."""
    if offsets.size < 2 or offsets[0] != 0 or offsets[-1] != text.size or (np.diff(offsets) <= 0).any():
        damaged(path, "the bounds of its words are not in order")
    try:
        decoded = text.tobytes().decode()
    except UnicodeDecodeError:
        damaged(path, "its words are not UTF-8")
    begins_character = text & 0xC0 != 0x80
    if not begins_character[offsets[:-1]].all() or _SPACE[text].any():
        damaged(path, "its words hold white space or parts of characters")
    bounds = np.append(0, np.cumsum(begins_character))[offsets].tolist()
    return [decoded[begin:end] for begin, end in itertools.pairwise(bounds)]


def _fault(
    order: int, vocab: int, word: _Int32s, log_prob: _Floats, link: _Int32s, first: _Int32s, backoff: _Floats
) -> str:
    """What would make a look-up read beyond the arrays or never end, "" where nothing does."""
    size, inner = word.size, backoff.size
    if not log_prob.size == link.size == size or first.size != inner + 1 or not 1 <= inner <= size:
        return "its arrays do not have the same length"
    if first[0] != 1 or first[-1] != size or (np.diff(first) < 0).any():
        return "the bounds of the nodes' children are not in order"
    levels = level_bounds(first, order - 1)
    if (levels[-1][1] if levels else 1) != inner:
        return f"its nodes do not make {order} orders"
    if first[1] != vocab + 1 or not np.array_equal(word[: vocab + 1], np.arange(-1, vocab)):
        return "its unigrams are not in order"
    if word[1:].min() < 0 or word.max() >= vocab:
        return "it has words that are not in its vocabulary"
    if not (np.isfinite(log_prob).all() and np.isfinite(backoff).all()) or log_prob.max() > 0 or backoff[0] != 0:
        return "its probabilities are none"
    # A link leads to a state of a lower order.
    if link.min() < 0 or link.max() >= inner or any((link[a:b] >= a).any() for a, b in [*levels, (inner, size)]):
        return "its links lead astray"
    if link[0] != 0 or not _states(first, backoff)[link].all():
        return "its links lead astray"
    return ""
