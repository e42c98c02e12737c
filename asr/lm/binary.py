"""N-gram models in binary files: safetensors, mapped into memory, checked before anything is looked up.

Shapes as in asr.lm.ngram.
"""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from asr.lm.lines import SPACE
from asr.lm.ngram import MAX_ORDER, Floats, Int32s, Ints, NgramModel, level_bounds, states_of
from asr.utils.errors import InputError
from asr.utils.files import atomic_path

FORMAT = 1
_KIND = "kikitori n-gram model"
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


def write_binary(model: NgramModel, path: str | Path) -> None:
    """Writes a model as safetensors, whole or not at all: `read_binary` has it ready at once, without copying it."""
    header, arrays = packed(model)
    with atomic_path(path) as temporary, open(temporary, "wb") as f:
        f.write(header)
        for array in arrays:
            array.tofile(f)


def packed(model: NgramModel) -> tuple[bytes, list[npt.NDArray[Any]]]:
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


def read_binary(path: Path) -> NgramModel:
    """Maps a file that `write_binary` wrote into memory, and checks all that a look-up relies on."""
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
    word: Int32s,
    log_prob: Floats,
    link: Int32s,
    first: Int32s,
    backoff: Floats,
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


def _read_words(text: npt.NDArray[np.uint8], offsets: Ints, path: Path) -> list[str]:
    """The vocabulary. Words are neither empty nor hold white space: they could not be told apart in a text."""
    if offsets.size < 2 or offsets[0] != 0 or offsets[-1] != text.size or (np.diff(offsets) <= 0).any():
        damaged(path, "the bounds of its words are not in order")
    try:
        decoded = text.tobytes().decode()
    except UnicodeDecodeError:
        damaged(path, "its words are not UTF-8")
    begins_character = text & 0xC0 != 0x80
    if not begins_character[offsets[:-1]].all() or SPACE[text].any():
        damaged(path, "its words hold white space or parts of characters")
    bounds = np.append(0, np.cumsum(begins_character))[offsets].tolist()
    return [decoded[begin:end] for begin, end in itertools.pairwise(bounds)]


def _fault(order: int, vocab: int, word: Int32s, log_prob: Floats, link: Int32s, first: Int32s, backoff: Floats) -> str:
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
    if link[0] != 0 or not states_of(first, backoff)[link].all():
        return "its links lead astray"
    return ""
