"""Pronunciation lexica: which units say which word. Files, plain spelling, and a trie as flat arrays.

A file has a pronunciation a line, `word<TAB>units` with a space between units; a word may stand on several lines. A
line that is a word alone spells it: its units are its characters. A third column may say where the pronunciations of
the word are from: `word<TAB>units<TAB>source`. Dictionaries of other programs are read, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.text.dictionaries import MOST_UNITS, read_dictionary
from asr.text.dictionary_columns import SOURCES
from asr.utils.errors import InputError
from asr.utils.files import read_text, write_text
from asr.utils.kinds import read_beginning, refuse_kind
from asr.utils.unicode import graphemes


@dataclass(frozen=True)
class Lexicon:
    """Pronunciations: pairs of a word and its units, none twice. `words` are the words, each once.

    Args:
        pronunciations: The pairs, a word's most usual pronunciation first.
        sources: Where the pronunciations of a word are from, of the words of which that is known.
    """

    pronunciations: tuple[tuple[str, tuple[str, ...]], ...]
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.pronunciations:
            raise InputError("has no word", where="lexicon")
        unique = dict.fromkeys(self.pronunciations)
        if len(unique) < len(self.pronunciations):
            object.__setattr__(self, "pronunciations", tuple(unique))

    @property
    def words(self) -> list[str]:
        return list(dict.fromkeys(word for word, _ in self.pronunciations))

    @classmethod
    def spelled(cls, words: Iterable[str]) -> Lexicon:
        """Words by their perceived characters."""
        return cls(tuple((word, tuple(graphemes(word))) for word in dict.fromkeys(words)))


def read_lexicon(path: str | Path) -> Lexicon:
    """Reads a lexicon file: ours, a list of words, or a dictionary of another program (`asr.text.dictionaries`).

    Raises:
        InputError: The file cannot be read, is of another kind, or a line is none of a lexicon; it names the line.
    """
    refuse_kind(read_beginning(path), path)
    text = read_text(path)
    if own := _written_here(text):
        return own
    rows = read_dictionary(text, path)
    if not rows:
        raise InputError("has no word", where=path, remedy="a line is word<TAB>units, or a word alone")
    sources: dict[str, str] = {}
    for row in rows:
        if row.source:
            sources.setdefault(row.word, row.source)
    return Lexicon(tuple((row.word, row.units) for row in rows), sources)


def _written_here(text: str) -> Lexicon | None:
    """Returns the lexicon of a file of which `asr lexicon` wrote every line: nothing of it is in doubt."""
    pronunciations: list[tuple[str, tuple[str, ...]]] = []
    sources: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n"):
        word, _, rest = line.partition("\t")
        spoken, _, source = rest.partition("\t")
        units = tuple(spoken.split())
        if source.partition("+")[0] not in SOURCES or not 0 < len(units) <= MOST_UNITS or not word or word.isspace():
            return None
        pronunciations.append((word, units))
        sources.setdefault(word, source)
    has_odd_words = any(" " in word for word in sources) or not text.replace("\n", "").replace("\t", "").isprintable()
    return None if has_odd_words else Lexicon(tuple(pronunciations), sources)


def write_lexicon(lexicon: Lexicon, path: str | Path) -> None:
    """Writes a lexicon file, a pronunciation a line, with the source of the words that have one."""
    lines = []
    for word, units in lexicon.pronunciations:
        source = " ".join(lexicon.sources.get(word, "").split())
        lines.append(f"{word}\t{' '.join(units)}" + (f"\t{source}\n" if source else "\n"))
    write_text(path, "".join(lines))


@dataclass(frozen=True)
class Trie:
    """Words by their letters, as flat arrays. Node 0 is the root; a node's children are neighbours.

    N nodes, breadth first; the children of node n are first[n] .. first[n + 1] - 1, sorted by letter; the words that
    end at it are words[word_first[n] : word_first[n + 1]].
    """

    letter: npt.NDArray[np.int32]  # (N,), the root's is -1
    parent: npt.NDArray[np.int32]  # (N,), the root's is -1
    first: npt.NDArray[np.int32]  # (N + 1,)
    word_first: npt.NDArray[np.int32]  # (N + 1,)
    words: npt.NDArray[np.int32]

    def best_below(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(words,) a value of each word -> (N,) the greatest of the words at or below each node; -inf where none is."""
        best = np.full(len(self.letter), -np.inf)
        node_of = np.repeat(np.arange(len(self.letter)), np.diff(self.word_first))
        np.maximum.at(best, node_of, values[self.words])
        for low, high in reversed(self._levels()[1:]):
            np.maximum.at(best, self.parent[low:high], best[low:high])
        return best

    def depths(self) -> npt.NDArray[np.int32]:
        """(N,) letters from the root to each node."""
        depths = np.zeros(len(self.letter), np.int32)
        for depth, (low, high) in enumerate(self._levels()):
            depths[low:high] = depth
        return depths

    def _levels(self) -> list[tuple[int, int]]:
        """The nodes of each depth, which lie one after the other: the root, its children, theirs, ..."""
        levels = [(0, 1)]
        while levels[-1][1] < len(self.letter):
            high = levels[-1][1]
            levels.append((high, int(self.first[high])))
        return levels


def build_trie(spellings: Sequence[Sequence[int]], words: Sequence[int]) -> Trie:
    """The trie of words by their letters (both as numbers); a word may have several spellings, none of them empty."""
    lengths = np.fromiter(map(len, spellings), np.int64, len(spellings))
    flat = np.fromiter(itertools.chain.from_iterable(spellings), np.int64, int(lengths.sum()))
    offsets = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    base = int(flat.max(initial=0)) + 1
    letters, parents = [np.array([-1])], [np.array([-1])]
    node = np.zeros(len(spellings), np.int64)  # that each spelling has reached
    size, depth = 1, 0
    while len(active := np.flatnonzero(lengths > depth)):
        step, place = np.unique(node[active] * base + flat[offsets[active] + depth], return_inverse=True)
        letters.append(step % base)
        parents.append(step // base)
        node[active] = size + place
        size, depth = size + len(step), depth + 1
    letter, parent = np.concatenate(letters).astype(np.int32), np.concatenate(parents).astype(np.int32)
    most = max(words, default=0) + 1
    ends = np.unique(node * most + np.asarray(words, np.int64))  # (node, word), sorted, each once
    counts = np.arange(size + 1)
    return Trie(
        letter=letter,
        parent=parent,
        first=(1 + np.searchsorted(parent[1:], counts)).astype(np.int32),
        word_first=np.searchsorted(ends // most, counts).astype(np.int32),
        words=(ends % most).astype(np.int32),
    )
