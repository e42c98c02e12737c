"""N-gram models in ARPA files.

Shapes: N n-grams or words of a table.
"""

from __future__ import annotations

import codecs
import gzip
import io
import logging
import lzma
import math
import re
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asr.lm.build import NgramTable, build_ngram, place_of
from asr.lm.lines import Lines, decoded, shown
from asr.lm.ngram import MAX_ORDER, Floats, Int32s, Ints, NgramModel, level_bounds, parents_of
from asr.utils.errors import InputError
from asr.utils.files import atomic_path

log = logging.getLogger(__name__)

_CHUNK = 4 << 20  # bytes written at once
_BATCH = 1 << 20  # n-grams written at once
_ZERO = -99.0  # log10 of the probability 0, as SRILM writes it
_OTHER_NAMES = {"<S>": "<s>", "</S>": "</s>"}
_UNKNOWN = {"<Unk>": "<unk>", "<UNKNOWN>": "<unk>", "<unknown>": "<unk>", "<OOV>": "<unk>", "<oov>": "<unk>"}


def write_arpa(model: NgramModel, path: str | Path) -> None:
    """Writes an ARPA file, packed where the name ends in .gz or .xz. Numbers are read back as the same float32."""
    with atomic_path(path) as temporary, open(temporary, "wb") as raw:
        dump_arpa(model, raw, str(path))


def dump_arpa(model: NgramModel, raw: IO[bytes], name: str) -> None:
    """Writes what a file of such a name holds."""
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


def _arpa_lines(model: NgramModel, words: npt.NDArray[Any], parents: Ints, nodes: Ints, order: int) -> bytes:
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


def read_arpa(lines: Lines, path: str | Path) -> NgramModel:
    """The model of an ARPA file's lines; `path` is for messages."""
    counts, line = _read_counts(lines)
    index: dict[bytes, int] = {}
    tables: list[NgramTable] = []
    for order, count in enumerate(counts, 1):
        here = line == b"\\%d-grams:" % order
        if not here and count:
            lines.fail(f"\\{order}-grams: has to stand here, not {shown(line)}")
        if here:
            table, line = _read_section(lines, order, count, order == len(counts), index)
        else:
            table = NgramTable(np.zeros((0, order), np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32))
        tables.append(table)
        if order == 1:
            words = [decoded(word, place_of(path, table.line, row)) for row, word in enumerate(index)]
            words = _usual_names(words, path)
            _add_unk_alias(index, path)
            if "<s>" not in words:
                log.warning("%s: has no <s>: the first words of sentences are scored without context", path)
    if line != b"\\end\\":
        lines.fail(f"\\end\\ has to stand here, not {shown(line)}")
    if lines.filled_line() is not None:
        log.warning("%s: what stands behind \\end\\, from line %d on, is not read", path, lines.number)
    lines.skip()
    return build_ngram(words, [_finite(table, path) for table in tables], path)


def _usual_names(words: list[str], path: str | Path) -> list[str]:
    """Words with <s>, </s> and <unk> in the place of what other programs write for them: <S>, <UNKNOWN>, ..."""
    names = {**_OTHER_NAMES, **({} if {"<unk>", "<UNK>"} & set(words) else _UNKNOWN)}
    places = {words.index(other): name for other, name in names.items() if other in words and name not in words}
    for place, name in places.items():
        log.warning("%s: %s is taken as %s", path, words[place], name)
    return [places.get(place, word) for place, word in enumerate(words)] if places else words


def _finite(table: NgramTable, path: str | Path) -> NgramTable:
    """A table with the log10 of 0 that a file can have in the place of minus infinity."""
    infinite = int(np.isneginf(table.log_prob).sum() + np.isneginf(table.backoff).sum())
    if not infinite:
        return table
    log.warning("%s: -inf stands there %s times: %g is taken", path, f"{infinite:,}", _ZERO)
    log_prob, backoff = (np.where(np.isneginf(a), np.float32(_ZERO), a) for a in (table.log_prob, table.backoff))
    return NgramTable(table.ids, log_prob, backoff, table.line)


def _read_section(
    lines: Lines, order: int, count: int, highest: bool, index: dict[bytes, int]
) -> tuple[NgramTable, bytes]:
    """The n-grams of one order, and the line after them."""
    name = f"\\{order}-grams:"
    begin = lines.number + 1
    none = np.zeros(0, np.float32)
    parts: list[tuple[Int32s, Floats, Floats]] = [(np.zeros((0, order), np.int32), none, none)]
    rows = 0
    while (block := lines.block())[1].size or lines.skip_blank():
        tokens, fields = block
        if not fields.size:
            begin = 0 if rows else lines.number + 1  # 0: with empty lines in between a row does not tell its line
            continue
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


def _read_counts(lines: Lines) -> tuple[list[int], bytes]:
    """The numbers of n-grams from \\data\\, and the line after them."""
    first = b""
    while (line := lines.line()) is not None and line.removeprefix(codecs.BOM_UTF8).strip() != b"\\data\\":
        first = first or line
    if line is None:
        remedy = "`asr lm train` makes a model of a text"
        if re.fullmatch(rb"[^\t]+\t\d+\s*", first):
            lines.fail("it holds counts of n-grams, and is not an ARPA file", remedy=remedy)
        lines.fail("the file ends here without \\data\\: it is not an ARPA file", remedy=remedy)
    counts: list[int] = []
    while (line := lines.filled_line()) is not None and not line.startswith(b"\\"):
        match = re.fullmatch(rb"ngram\s+(\d{1,3})\s*=\s*(\d{1,18})", line)
        if not match:
            lines.fail(f"`ngram N=COUNT` has to stand here, not {shown(line)}")
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
    lines: Lines, tokens: npt.NDArray[Any], fields: Ints, order: int, highest: bool, index: dict[bytes, int]
) -> tuple[Int32s, Floats, Floats]:
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
        lines.fail(f"the word {shown(ngrams[row])} is not among the unigrams", row=row // order + 1)
    return ids.reshape(-1, order), log_probs, backoffs


def _numbers(lines: Lines, tokens: npt.NDArray[Any], rows: Ints) -> Floats:
    """Numbers as float32; `rows` says how many lines after the last one each stands, for what is none."""
    texts = tokens.tolist()
    with np.errstate(over="ignore"):
        try:
            numbers = np.array(list(map(float, texts))).astype(np.float32)
        except ValueError:
            numbers = np.array([_number(text) for text in texts]).astype(np.float32)
    if b"_" in b"".join(texts):  # float() takes 1_000
        numbers[[b"_" in text for text in texts]] = np.nan
    usable = np.isfinite(numbers)
    if not usable.all():
        usable |= [text.lower() in (b"-inf", b"-infinity") for text in texts]
    if (bad := np.flatnonzero(~usable)).size:
        lines.fail(f"{shown(texts[bad[0]])} is not a number that can be used", row=int(rows[bad[0]]) + 1)
    return numbers


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _add_words(lines: Lines, new: list[bytes], index: dict[bytes, int]) -> None:
    for row, word in enumerate(new, 1):
        known = len(index)
        index.setdefault(word, known)
        if len(index) == known:
            lines.fail(f"the n-gram {shown(word)} stands there twice", row=row)


def _add_unk_alias(index: dict[bytes, int], path: str | Path) -> None:
    """<UNK> is <unk>, as KenLM has it."""
    small, capital = index.get(b"<unk>"), index.get(b"<UNK>")
    if small is not None and capital is not None:
        raise InputError("has both <unk> and <UNK>, which are the same", where=path)
    if small is not None:
        index[b"<UNK>"] = small
    if capital is not None:
        index[b"<unk>"] = capital
