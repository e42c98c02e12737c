"""Hot words: phrases with a boost each, from a file or as they come, and as an automaton over words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asr.models.decoding_options import MOST_SCORE
from asr.text.lexicon import build_trie
from asr.utils.config import require
from asr.utils.errors import InputError
from asr.utils.files import read_text


def read_hotwords(path: str | Path) -> dict[str, float | None]:
    """A phrase a line, or `phrase<TAB>boost`; None where none is given."""
    found: dict[str, float | None] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        phrase, tab, boost = line.strip("\r").partition("\t")
        if not phrase.strip() and not tab:
            continue
        where = f"{path}, line {number}"
        if not phrase.strip():
            raise InputError("no phrase stands before the tab", where=where)
        try:
            value = float(boost) if tab else None
        except ValueError:
            value = math.nan
        if value is not None and not abs(value) <= MOST_SCORE:
            what = f"the boost {boost.strip()!r} is not a number between -{MOST_SCORE:g} and {MOST_SCORE:g}"
            raise InputError(what, where=where, remedy="phrase<TAB>boost")
        found[" ".join(phrase.split())] = value
    if not found:
        raise InputError("has no phrase", where=path, remedy="a line is a phrase, or phrase<TAB>boost")
    return found


def hot_phrases(hotwords: Any) -> dict[str, float | None]:
    """A file of them, a mapping to boosts, or phrases alone, as CtcBeamDecoder takes them: phrase -> boost or None."""
    if hotwords is None:
        return {}
    if isinstance(hotwords, str | Path):
        return read_hotwords(hotwords)
    items = hotwords.items() if isinstance(hotwords, Mapping) else ((phrase, None) for phrase in hotwords)
    found = {" ".join(phrase.split()): boost for phrase, boost in items}
    require("" not in found, "a hot phrase is empty")
    for phrase, boost in found.items():
        what = f"the boost {boost} of {phrase!r} is not a number between -{MOST_SCORE:g} and {MOST_SCORE:g}"
        require(boost is None or abs(boost) <= MOST_SCORE, what)
    return found


def hot_automaton(phrases: Mapping[tuple[int, ...], float], words: int) -> Any:
    """Phrases of a vocabulary's words, by their numbers, as the kernel's Hotwords (Aho and Corasick 1975).

    A phrase that has begun is given a share of its boost for each word, at most what it will have (`credit`).
    """
    from asr.decode.ctc_beam_kernel import Hotwords

    ids = np.full(words, -1, np.int32)
    for word in {word for phrase in phrases for word in phrase}:
        ids[word] = word
    trie = build_trie(list(phrases), range(len(phrases)))
    boosts = np.array(list(phrases.values()), np.float64)
    n = len(trie.letter)
    gain, link, depth = np.zeros(n), np.zeros(n, np.int32), trie.depths()
    shares = np.array([boost / len(phrase) for phrase, boost in phrases.items()], np.float64)
    best_share = np.maximum(trie.best_below(shares), 0.0)
    children = [{int(trie.letter[c]): c for c in range(trie.first[node], trie.first[node + 1])} for node in range(n)]
    credit = np.zeros(n)
    for node in range(1, n):
        parent = int(trie.parent[node])
        word, at = int(trie.letter[node]), int(link[parent])
        while parent:
            if word in children[at]:
                link[node] = children[at][word]
                break
            if not at:
                break
            at = int(link[at])
        gain[node] = gain[link[node]] + boosts[trie.words[trie.word_first[node] : trie.word_first[node + 1]]].sum()
        longer = best_share[trie.first[node] : trie.first[node + 1]]
        credit[node] = max(credit[link[node]], depth[node] * longer.max(initial=0.0))
    return Hotwords(bool(phrases), trie.letter, trie.first, link, gain, credit, ids)
