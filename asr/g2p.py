"""Guesses how a word is said from words whose pronunciation is known: a joint-sequence model.

A word and its pronunciation are cut into graphones together: one or two letters with no, one or two phones. Which goes
with which is found by expectation maximisation; an n-gram model over graphones then gives the pronunciation of a new
word: that of its most probable sequence of graphones (Bisani and Ney, "Joint-sequence models for grapheme-to-phoneme
conversion", Speech Communication 50, 2008).

Shapes: W words, N letters of all words in a row, G graphones.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from asr import g2p_kernel as kernel
from asr.errors import InputError
from asr.lm.ngram import NgramModel, NgramTable, build_ngram, read_ngram, save_ngram
from asr.numba_cache import prepare

log = logging.getLogger(__name__)
_lock = threading.Lock()  # of the cache: a model is learnt by one thread

FORMAT = 1  # of cached models: raise it where training changes
ORDER = 6
BEAM_SIZE = 24
_UNEVEN = 0.02  # how likely graphones are, before learning, that are not a letter with a phone; those being 1
_ROUNDS = 8  # of expectation maximisation
_SEPARATOR = "\x1f"  # between a graphone's letters and its phones; no word has it
_PARTING = "\x1e"  # between phones
_MOST_LETTERS = 100  # of a word that is guessed
_MOST_LEARNT = 40  # letters of a word that is learnt from: probabilities of longer ones could underflow
_MOST_PARAMETERS = 1 << 26

Units: TypeAlias = tuple[str, ...]
Pronunciation: TypeAlias = tuple[str, Units]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


class G2p:
    """A trained model. Letters count as they are: write words in lower case, as those it was trained on.

    Args:
        ngram: Over graphones, each written as letters, a separator and phones, in order of letters.
    """

    def __init__(self, ngram: NgramModel) -> None:
        self.ngram = ngram
        self._ranges: dict[str, tuple[int, int]] = {}
        self._phones: list[Units] = []
        for number, word in enumerate(ngram.words):
            letters, separator, phones = word.partition(_SEPARATOR)
            if separator:
                begin, _ = self._ranges.get(letters, (number, number))
                self._ranges[letters] = begin, number + 1
                self._phones.append(tuple(phones.split(_PARTING)) if phones else ())
        n = ngram
        self._tree = kernel.Tree(n.word, n.log_prob, n.link, n.first, n.backoff, n.is_state, n.start, n.eos)

    def guess(self, word: str, beam_size: int = BEAM_SIZE) -> Units:
        """The phones of a word; none where the model cannot spell it, or it has more than 100 letters."""
        word = unicodedata.normalize("NFC", word)
        if not 0 < len(word) <= _MOST_LETTERS:
            return ()
        none = (0, 0)
        ranges = np.array(
            [[self._ranges.get(word[i : i + n], none) if i + n <= len(word) else none for n in (1, 2)]
             for i in range(len(word))]
        )  # fmt: skip
        prepare("search for pronunciations", kernel.search, lambda: kernel.search(self._tree, ranges, beam_size))
        return tuple(phone for g in kernel.search(self._tree, ranges, beam_size) for phone in self._phones[g])


def train_g2p(pronunciations: Iterable[Pronunciation], *, order: int = ORDER) -> G2p:
    """Learns from pairs of a word and its phones; those that no graphones can cover are passed over.

    Args:
        order: Of the n-gram model over graphones, 1 to 6.

    Raises:
        InputError: None of the words can be used, or there are too many different letters and units.
    """
    pairs = [
        (letters, phones)
        for word, phones in pronunciations
        if (letters := unicodedata.normalize("NFC", word)) and phones
        if len(letters) <= _MOST_LEARNT and len(phones) <= 2 * len(letters)
    ]
    if not pairs:
        raise InputError("no word to learn pronunciations from: each has to have units, at most two a letter")
    sequences, words = _graphones(pairs)
    return G2p(_estimate(sequences, words, order))


def cached_g2p(pronunciations: Sequence[Pronunciation], folder: str | Path, *, order: int = ORDER) -> G2p:
    """As `train_g2p`, but kept in a folder under a hash of the pronunciations; a damaged file is made anew."""
    digest = hashlib.sha256(f"{FORMAT} {order}\n".encode())
    for word, phones in pronunciations:
        digest.update(f"{word}\t{' '.join(phones)}\n".encode("utf-8", "backslashreplace"))
    path = Path(folder) / f"g2p-{digest.hexdigest()[:32]}.safetensors"
    with _lock:
        if path.exists():
            try:
                return G2p(read_ngram(path))
            except InputError as e:
                log.warning("%s: the model is made anew", e)
        log.info("learning from %s pronunciations how words are said (once)", f"{len(pronunciations):,}")
        model = train_g2p(pronunciations, order=order)
        try:
            save_ngram(model.ngram, path)
        except InputError as e:  # a full disk, a folder that cannot be written
            log.warning("%s: the next run learns anew", e)
        return model


def error_rates(model: G2p, pronunciations: Mapping[str, Sequence[Units]]) -> tuple[float, float]:
    """Phone and word error rate of guesses, each against the nearest of a word's pronunciations."""
    errors = phones = wrong = 0
    for word, several in pronunciations.items():
        guess = model.guess(word)
        distance, length = min((_distance(guess, units), len(units)) for units in several)
        errors, phones, wrong = errors + distance, phones + length, wrong + (distance > 0)
    return errors / phones, wrong / len(pronunciations)


def _distance(a: Units, b: Units) -> int:
    """Levenshtein's."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


# ---------------------------------------------------------------------------------------------- alignment


def _graphones(pairs: Sequence[Pronunciation]) -> tuple[list[list[int]], list[str]]:
    """Each word as graphones, by number, and how they are written, in order; words without alignment are left out."""
    corpus = _corpus(pairs)
    prob = _initial(corpus)
    few = _corpus(pairs[:1])
    flat = np.ones(few.sizes[4])
    prepare("alignment of letters", kernel.expect, lambda: kernel.expect(few, flat, flat.copy()))
    prepare("alignment of letters", kernel.align, lambda: kernel.align(few, flat))
    for turn in range(_ROUNDS):
        counts = np.zeros_like(prob)
        fit = kernel.expect(corpus, prob, counts)
        log.debug("aligning letters, round %d: log-likelihood %.0f", turn + 1, fit)
        prob = counts / counts.sum()
    with np.errstate(divide="ignore"):
        log_prob = np.log(prob)
    moves = kernel.align(corpus, log_prob)
    written = [list(_cut(pair, moves[a:])) for pair, a in zip(pairs, corpus.letter_first.tolist(), strict=False)]
    words = sorted({graphone for word in written for graphone in word})
    number = {graphone: i for i, graphone in enumerate(words)}
    return [[number[graphone] for graphone in word] for word in written if word], words


def _initial(corpus: kernel.Corpus) -> Floats:
    """Probabilities to begin with: all alike, but a letter with a phone is likelier (few words would not show it)."""
    letters, _, phones, phone_pairs, parameters = corpus.sizes.tolist()
    prob: Floats = np.full(parameters, _UNEVEN)
    prob[: letters * (1 + phones + phone_pairs)].reshape(letters, -1)[:, 1 : 1 + phones] = 1.0
    prob /= prob.sum()
    return prob


def _cut(pair: Pronunciation, moves: npt.NDArray[np.int8]) -> Iterator[str]:
    """The graphones of a word, written, by the moves that begin at its letters."""
    letters, phones = pair
    i = j = 0
    while i < len(letters) and (move := int(moves[i])) >= 0:
        n, m = kernel.LETTERS[move], kernel.PHONES[move]
        yield letters[i : i + n] + _SEPARATOR + _PARTING.join(phones[j : j + m])
        i, j = i + n, j + m


def _corpus(pairs: Sequence[Pronunciation]) -> kernel.Corpus:
    letter_first, letter, n_letters = _numbered([letters for letters, _ in pairs])
    phone_first, phone, n_phones = _numbered([phones for _, phones in pairs])
    letters, n_letter_pairs = _pairs(letter, n_letters)
    phones, n_phone_pairs = _pairs(phone, n_phones)
    parameters = n_letters * (1 + n_phones + n_phone_pairs) + n_letter_pairs * n_phones
    if parameters > _MOST_PARAMETERS:
        raise InputError(
            f"{n_letters:,} letters and {n_phones:,} units are too many to learn pronunciations from",
            remedy="guess nothing (--no-guess)",
        )
    sizes = np.array([n_letters, n_letter_pairs, n_phones, n_phone_pairs, parameters])
    return kernel.Corpus(letter_first, phone_first, letter, letters, phone, phones, sizes)


def _numbered(sequences: Sequence[Sequence[str]]) -> tuple[Ints, Ints, int]:
    """(W + 1,) where each sequence begins, (N,) its symbols as numbers, and how many symbols there are."""
    index: dict[str, int] = {}
    flat = np.array([index.setdefault(symbol, len(index)) for each in sequences for symbol in each], np.int64)
    return np.cumsum([0, *map(len, sequences)]), flat, len(index)


def _pairs(flat: Ints, size: int) -> tuple[Ints, int]:
    """(N,) the number of the pair that begins at each place (those across words are never used), and how many."""
    unique, inverse = np.unique(flat * size + np.append(flat[1:], 0), return_inverse=True)
    return inverse.astype(np.int64), len(unique)


# ---------------------------------------------------------------------------------------------- n-grams


def _estimate(sequences: Sequence[Sequence[int]], words: Sequence[str], order: int) -> NgramModel:
    """Interpolated modified Kneser-Ney (Chen and Goodman, 1999, section 4.1.6) over sequences of word numbers.

    All n-grams are kept. <unk> has next to no probability: every graphone is known.
    """
    vocabulary = [*words, "<unk>", "<s>", "</s>"]
    bos, eos, vocab = len(words) + 1, len(words) + 2, len(vocabulary)
    flat = np.array([number for each in sequences for number in (bos, *each, eos)], np.int64)
    begins = np.cumsum([0, *(len(each) + 2 for each in sequences)])[:-1]
    place = np.arange(flat.size) - np.repeat(begins, np.diff(np.append(begins, flat.size)))  # in its sequence
    grams = [_unique_grams(flat, place, None, vocab)]
    order = min(order, int(place.max()) + 1)
    while len(grams) < order:
        grams.append(_unique_grams(flat, place, grams[-1], vocab))
    tables: list[NgramTable] = []
    below: Floats = np.full(vocab, 1.0 / (vocab - 2))  # after nothing at all, each word but <unk> and <s>
    for n, gram in enumerate(grams, 1):
        ids = flat[gram.first[:, None] + np.arange(1 - n, 1)]
        counts = _continuations(gram, grams[n], ids[:, 0] == bos) if n < order else gram.counts
        if n == 1:
            counts = np.where(ids[:, 0] == bos, 0, counts)
            prob, _ = _interpolated(counts, np.zeros_like(counts), 1, below[ids[:, 0]])
        else:
            context, suffix = grams[n - 2].number[gram.first - 1], grams[n - 2].number[gram.first]
            prob, left = _interpolated(counts, context, len(grams[n - 2].first), below[suffix])
            tables[-1].backoff[:] = np.log10(left)
        below = prob
        tables.append(_table(ids, prob))
    return build_ngram(vocabulary, [_all_words(tables[0], vocab, bos), *tables[1:]])


class _Grams(NamedTuple):
    """The n-grams of one order: (N,) the token at which each ends first, (N,) how often it is there, and (tokens,) the
    number of the one that ends at each token, -1 where none does."""

    first: Ints
    counts: Ints
    number: Ints


def _unique_grams(flat: Ints, place: Ints, shorter: _Grams | None, vocab: int) -> _Grams:
    """The n-grams that are one token longer than `shorter`, of one token where that is None."""
    at: Ints = np.arange(flat.size)
    if shorter is not None:
        at = at[1:][(place[1:] > 0) & (shorter.number[:-1] >= 0)]
    key = flat[at] if shorter is None else shorter.number[at - 1] * vocab + flat[at]
    _, first, inverse, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    number = np.full(flat.size, -1, np.int64)
    number[at] = inverse
    return _Grams(at[first], counts.astype(np.int64), number)


def _continuations(gram: _Grams, longer: _Grams, begins: npt.NDArray[np.bool_]) -> Ints:
    """How many different words stand before each n-gram; how often it is there where it begins with <s>."""
    kinds = np.bincount(gram.number[longer.first], minlength=len(gram.first))
    return np.where(begins, gram.counts, kinds)


def _interpolated(counts: Ints, context: Ints, size: int, lower: Floats) -> tuple[Floats, Floats]:
    """Probabilities of n-grams, and what each of `size` contexts leaves to the lower order: all where none follows."""
    k = np.arange(5)
    of = np.maximum(np.bincount(np.minimum(counts, 5), minlength=6)[:5], 1)  # how many n-grams are there k times
    steps = np.append(0.0, k[1:4] - k[2:5] * of[1] / (of[1] + 2 * of[2]) * of[2:5] / of[1:4])
    discount = np.clip(steps, 0.1 * k[:4], 0.9 * k[:4])[np.minimum(counts, 3)]
    totals = np.bincount(context, counts, size)
    left = np.bincount(context, discount, size)
    safe = np.maximum(totals, 1)
    share = np.where(totals > 0, left / safe, 1.0)
    prob = (counts - discount) / safe[context] + share[context] * lower
    return prob, share


def _table(ids: Ints, prob: Floats) -> NgramTable:
    log_prob = np.log10(np.clip(prob, 1e-30, 1.0)).astype(np.float32)
    return NgramTable(ids.astype(np.int32), log_prob, np.zeros(len(ids), np.float32))


def _all_words(table: NgramTable, vocab: int, bos: int) -> NgramTable:
    """Unigrams with every word: <unk> is in no sequence; nothing goes to <s>."""
    log_prob = np.full(vocab, -30.0, np.float32)
    backoff = np.zeros(vocab, np.float32)
    log_prob[table.ids[:, 0]], backoff[table.ids[:, 0]] = table.log_prob, table.backoff
    log_prob[bos] = -30.0
    return NgramTable(np.arange(vocab, dtype=np.int32)[:, None], log_prob, backoff)
