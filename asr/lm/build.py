"""N-grams of each order -> a model: sorted, linked, contexts that are missing inserted.

Shapes as in asr.lm.ngram; N n-grams of a table.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.lm.ngram import Floats, Int32s, Ints, NgramModel, search_keys
from asr.utils.errors import InputError
from asr.utils.jit import warm_up

log = logging.getLogger(__name__)

_MISSING_UNK = -100.0  # KenLM's unknown_missing_logprob


@dataclass(frozen=True)
class NgramTable:
    """The n-grams of one order, in any order.

    Args:
        ids: (N, order) words.
        log_prob: (N,) log10.
        backoff: (N,) log10; NaN where there is none: 0, which is told where longer n-grams follow.
        line: The line of a file that the first of them stands in, the others after it.
    """

    ids: Int32s
    log_prob: Floats
    backoff: Floats
    line: int = 0


def build_ngram(words: list[str], tables: Sequence[NgramTable], where: str | Path = "n-grams") -> NgramModel:
    """A model of n-grams: one table an order, the first with every word once, by its id.

    A context that is not listed (SRILM prunes so) is inserted with the back-off weight 0 and the probability that the
    model gives it by backing off. A model without <unk> gets it with a log10 probability of -100, as KenLM does.

    Raises:
        InputError: An n-gram is there twice; `where` and the line are named.
    """
    if not {"<unk>", "<UNK>"} & set(words):
        log.warning("%s: has no <unk>: unknown words get the log10 probability %g", where, _MISSING_UNK)
        unk = np.array([[len(words)]], np.int32)
        tables = [_with_row(tables[0], unk, _MISSING_UNK), *tables[1:]]
        words = [*words, "<unk>"]
    order, vocab = len(tables), len(words)
    # Of each n-gram the node of its first words, within its level; one word longer after each level that is built.
    nodes: list[Ints] = [np.zeros(len(table.ids), np.int64) for table in tables]
    keys: list[Ints] = []
    rows: list[Ints] = []  # of a level's nodes in its table, -1 of those inserted
    for level, table in enumerate(tables):
        wanted = [nodes[k] * vocab + tables[k].ids[:, level] for k in range(level, order)]
        row = np.argsort(wanted[0], kind="stable")
        level_keys = wanted[0][row]
        if (twice := row[1:][np.diff(level_keys) == 0]).size:
            n = int(twice.min())
            text = " ".join(words[i] for i in table.ids[n])
            raise InputError(f"the n-gram {text!r} stands there twice", where=place_of(where, table.line, n))
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


def _with_row(table: NgramTable, ids: Int32s, log_prob: float) -> NgramTable:
    return NgramTable(
        np.concatenate([table.ids, ids]),
        np.append(table.log_prob, np.float32(log_prob)),
        np.append(table.backoff, np.float32(0)),
        table.line,
    )


def _link(
    words: list[str], tables: Sequence[NgramTable], keys: list[Ints], rows: list[Ints], where: str | Path
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
        if (without := row[np.isnan(backoff[here]) & is_context[here]]).size:
            text = " ".join(words[i] for i in table.ids[without.min()])
            place = place_of(where, table.line, int(without.min()))
            others = f", as {without.size - 1:,} others" if without.size > 1 else ""
            log.warning(
                "%s: %r has no back-off weight%s, though longer n-grams follow it: 0 is taken", place, text, others
            )
    backoff[np.isnan(backoff)] = 0
    link = suffix_links(word, first, backoff, log_prob)
    return NgramModel(order, words, word, log_prob, link, first, backoff)


def suffix_links(word: Int32s, first: Int32s, backoff: Floats, log_prob: Floats) -> Int32s:
    """(M,) links; probabilities that are NaN (of contexts inserted) are filled in, for they are found on the way."""
    from asr.lm import ngram_kernel as kernel

    link = np.zeros(word.size, np.int32)
    arrays = (word, first, backoff, log_prob, link)
    warm_up("language model", kernel.link_suffixes, lambda: kernel.link_suffixes(*arrays, first.size))
    kernel.link_suffixes(*arrays, 1)
    return link


def place_of(where: str | Path, line: int, row: int = 0) -> str:
    """Where a row of a table stands in its file; `line` is 0 where there is no file."""
    return f"{where}, line {line + row}" if line else str(where)
