"""Compiled loops of `asr.text.g2p`: alignment of letters with phones, and the search for a word's best pronunciation.

Shapes: W words, N letters and P phones of all words in a row, G graphones or parameters, K beam.

A graphone is one of five moves, numbered: a letter with no phone (0), one (1) or two (2); two letters with one phone
(3). Its parameter's index is found from four columns of numbers, one of each move's parts (`Corpus`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asr.utils.jit import jit, jit_borrowing

Array = npt.NDArray[Any]
LETTERS = (1, 1, 1, 2)  # of each move
PHONES = (0, 1, 2, 1)


class Corpus(NamedTuple):
    """Words and pronunciations as numbers.

    Args:
        letter_first: (W + 1,) where a word's letters begin.
        phone_first: (W + 1,) where its phones begin.
        letter: (N,) number of the letter.
        letters: (N,) number of the pair that begins here.
        phone: (P,) number of the phone.
        phones: (P,) number of the pair that begins here.
        sizes: (5,) how many letters, pairs of letters, phones, pairs of phones and parameters there are.
    """

    letter_first: Array
    phone_first: Array
    letter: Array
    letters: Array
    phone: Array
    phones: Array
    sizes: Array


@jit_borrowing
def _parameter(corpus: Corpus, move: int, i: int, j: int) -> Any:
    """The number of the graphone of a move from the letter `i` and the phone `j`, counted through all words."""
    n_phones, n_pairs = corpus.sizes[2], corpus.sizes[3]
    width = 1 + n_phones + n_pairs
    if move == 0:
        return corpus.letter[i] * width
    if move == 1:
        return corpus.letter[i] * width + 1 + corpus.phone[j]
    if move == 2:
        return corpus.letter[i] * width + 1 + n_phones + corpus.phones[j]
    return corpus.sizes[0] * width + corpus.letters[i] * n_phones + corpus.phone[j]


@jit
def expect(corpus: Corpus, prob: Array, counts: Array) -> Any:
    """Adds each graphone's expected count over all alignments (Baum-Welch).

    Args:
        prob: (G,) of the graphones.
        counts: (G,) is added to.

    Returns:
        The log-likelihood (natural) of the words that can be aligned.
    """
    total = 0.0
    longest = 1 + max(np.max(np.diff(corpus.letter_first)), np.max(np.diff(corpus.phone_first)))
    forward, backward = np.empty((longest, longest)), np.empty((longest, longest))
    for w in range(corpus.letter_first.size - 1):
        a, b = corpus.letter_first[w], corpus.phone_first[w]
        n, m = corpus.letter_first[w + 1] - a, corpus.phone_first[w + 1] - b
        for i in range(n + 1):
            for j in range(m + 1):
                sum_ = 1.0 if i == 0 and j == 0 else 0.0
                for move in range(4):
                    x, y = i - LETTERS[move], j - PHONES[move]
                    if x >= 0 and y >= 0 and forward[x, y] > 0.0:
                        sum_ += forward[x, y] * prob[_parameter(corpus, move, a + x, b + y)]
                forward[i, j] = sum_
        whole = forward[n, m]
        if whole <= 0.0:
            continue
        total += np.log(whole)
        for i in range(n, -1, -1):
            for j in range(m, -1, -1):
                sum_ = 1.0 if i == n and j == m else 0.0
                for move in range(4):
                    x, y = i + LETTERS[move], j + PHONES[move]
                    if x <= n and y <= m and backward[x, y] > 0.0:
                        at = _parameter(corpus, move, a + i, b + j)
                        share = prob[at] * backward[x, y]
                        sum_ += share
                        counts[at] += forward[i, j] * share / whole
                backward[i, j] = sum_
    return total


@jit
def align(corpus: Corpus, log_prob: Array) -> Array:
    """(N,) the move that begins at each letter in its word's best alignment, -1 where none does."""
    moves = np.full(corpus.letter.size, -1, np.int8)
    longest = 1 + max(np.max(np.diff(corpus.letter_first)), np.max(np.diff(corpus.phone_first)))
    best, back = np.empty((longest, longest)), np.empty((longest, longest), np.int8)
    for w in range(corpus.letter_first.size - 1):
        a, b = corpus.letter_first[w], corpus.phone_first[w]
        n, m = corpus.letter_first[w + 1] - a, corpus.phone_first[w + 1] - b
        for i in range(n + 1):
            for j in range(m + 1):
                best[i, j] = 0.0 if i == 0 and j == 0 else -np.inf
                back[i, j] = -1
                for move in range(4):
                    x, y = i - LETTERS[move], j - PHONES[move]
                    if x >= 0 and y >= 0:
                        score = best[x, y] + log_prob[_parameter(corpus, move, a + x, b + y)]
                        if score > best[i, j]:
                            best[i, j], back[i, j] = score, move
        i, j = n, m
        while back[i, j] >= 0:
            move = back[i, j]
            i -= LETTERS[move]
            j -= PHONES[move]
            moves[a + i] = move
    return moves


class Tree(NamedTuple):
    """The arrays of an `NgramModel` over graphones, and its start and end."""

    word: Array
    log_prob: Array
    link: Array
    first: Array
    backoff: Array
    is_state: Array
    start: int
    eos: int


@jit_borrowing
def _lower_bound(word: Array, low: int, high: int, value: int) -> int:
    while low < high:
        middle = (low + high) >> 1
        if word[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@jit_borrowing
def _score(tree: Tree, state: int, low: int, high: int, scores: Array, nodes: Array) -> None:
    """Log probabilities of graphones `low` to `high` - 1 after a state, and their nodes; the root has them all."""
    for k in range(high - low):
        nodes[k] = -1
    passed = 0.0
    while True:
        at = 1 + low if state == 0 else _lower_bound(tree.word, tree.first[state], tree.first[state + 1], low)
        while at < tree.first[state + 1] and tree.word[at] < high:
            k = tree.word[at] - low
            if nodes[k] < 0:
                nodes[k] = at
                scores[k] = passed + tree.log_prob[at]
            at += 1
        if state == 0:
            return
        passed += tree.backoff[state]
        state = tree.link[state]


@jit_borrowing
def _insert(scores: Array, states: Array, backs: Array, words: Array, n: int, new: tuple[float, int, int, int]) -> int:
    """Puts a hypothesis into a list of at most K, best first; of several with one state the best stays."""
    score, state, back, word = new
    size = scores.size
    for k in range(n):
        if states[k] == state:
            if scores[k] >= score:
                return n
            for m in range(k, n - 1):
                scores[m], states[m], backs[m], words[m] = scores[m + 1], states[m + 1], backs[m + 1], words[m + 1]
            n -= 1
            break
    if n == size:
        if score <= scores[n - 1]:
            return n
        n -= 1
    at = n
    while at > 0 and scores[at - 1] < score:
        scores[at], states[at] = scores[at - 1], states[at - 1]
        backs[at], words[at] = backs[at - 1], words[at - 1]
        at -= 1
    scores[at], states[at], backs[at], words[at] = score, state, back, word
    return n + 1


@jit
def search(tree: Tree, ranges: Array, beam_size: int) -> Array:
    """The best graphones of a word.

    Args:
        ranges: (letters, 2, 2) the first graphone and the one after the last that begin at each letter, of one letter
            and of two; equal where there is none.
        beam_size: Hypotheses kept at each letter.

    Returns:
        (graphones,) their numbers, none where no sequence of them spells the word.
    """
    n = len(ranges)
    scores = np.empty((n + 1, beam_size))
    states = np.empty((n + 1, beam_size), np.int64)
    backs = np.empty((n + 1, beam_size), np.int64)  # position * K + hypothesis
    words = np.empty((n + 1, beam_size), np.int64)
    sizes = np.zeros(n + 1, np.int64)
    scores[0, 0], states[0, 0], backs[0, 0], words[0, 0], sizes[0] = 0.0, tree.start, -1, -1, 1
    widest = 1
    for i in range(n):
        for length in range(2):
            widest = max(widest, ranges[i, length, 1] - ranges[i, length, 0])
    found, nodes = np.empty(widest), np.empty(widest, np.int64)
    for i in range(n):
        for k in range(sizes[i]):
            for length in range(2):
                low, high, to = ranges[i, length, 0], ranges[i, length, 1], i + 1 + length
                if low == high or to > n:
                    continue
                _score(tree, states[i, k], low, high, found, nodes)
                for g in range(high - low):
                    score = scores[i, k] + found[g]
                    if sizes[to] == beam_size and score <= scores[to, beam_size - 1]:
                        continue
                    node = nodes[g]
                    stays = node < tree.is_state.size and tree.is_state[node]
                    new = (score, node if stays else tree.link[node], i * beam_size + k, low + g)
                    sizes[to] = _insert(scores[to], states[to], backs[to], words[to], sizes[to], new)
    best, end = -np.inf, -1
    for k in range(sizes[n]):
        _score(tree, states[n, k], tree.eos, tree.eos + 1, found, nodes)
        if scores[n, k] + found[0] > best:
            best, end = scores[n, k] + found[0], k
    path = np.empty(n, np.int64)
    length, position = 0, n
    while end >= 0 and position > 0:
        path[length] = words[position, end]
        length += 1
        back = backs[position, end]
        position, end = back // beam_size, back % beam_size
    return path[:length][::-1]
