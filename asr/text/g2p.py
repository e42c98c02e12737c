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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from asr.lm.binary import write_binary
from asr.lm.corpus import BOS, EOS, Corpus
from asr.lm.files import read_ngram
from asr.lm.kneser_ney import EstimateOptions, estimate_ngram
from asr.lm.ngram import NgramModel
from asr.text import g2p_kernel as kernel
from asr.utils.errors import InputError
from asr.utils.files import file_sha256, write_text
from asr.utils.jit import warm_up

log = logging.getLogger(__name__)
_lock = threading.Lock()  # of the cache: a model is learnt by one thread

FORMAT = 2  # of cached models: raise it where training changes
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
            self._phones.append(tuple(phones.split(_PARTING)) if phones else ())
            if separator:
                begin, _ = self._ranges.get(letters, (number, number))
                self._ranges[letters] = begin, number + 1
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
        warm_up("search for pronunciations", kernel.search, lambda: kernel.search(self._tree, ranges, beam_size))
        return tuple(phone for g in kernel.search(self._tree, ranges, beam_size) for phone in self._phones[g])


def train_g2p(pronunciations: Iterable[Pronunciation], *, order: int = ORDER) -> G2p:
    """Learns from pairs of a word and its phones; those that no graphones can cover are passed over.

    Args:
        order: Of the n-gram model over graphones, 1 to 10.

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
    return G2p(estimate_ngram(_graphones(pairs), EstimateOptions(order=order), quiet=True))


def cached_g2p(pronunciations: Sequence[Pronunciation], path: str | Path) -> G2p:
    """As `train_g2p`, but kept in a file, with a seal beside it over what it was learnt from and what it holds.

    A file whose seal does not fit (it is damaged, or of other pronunciations) is made anew.
    """
    path = Path(path)
    seal = path.with_suffix(".sha256")
    learnt_from = hashlib.sha256(f"{FORMAT}\n".encode())
    for word, phones in pronunciations:
        learnt_from.update(f"{word}\t{' '.join(phones)}\n".encode("utf-8", "backslashreplace"))

    def digest() -> str:
        return f"{learnt_from.hexdigest()} {file_sha256(path)}\n"

    with _lock:
        with suppress(OSError, InputError):
            if seal.read_bytes() == digest().encode():
                return G2p(read_ngram(path))
        log.info("learning from %s pronunciations how words are said (once)", f"{len(pronunciations):,}")
        model = train_g2p(pronunciations)
        try:
            write_binary(model.ngram, path)
            write_text(seal, digest())
        except (InputError, OSError) as e:  # a full disk, a folder that cannot be written
            log.warning("%s: the next run learns anew", e)
        return model


# ---------------------------------------------------------------------------------------------- alignment


def _graphones(pairs: Sequence[Pronunciation]) -> Corpus:
    """Each word as a sentence of graphones, as they are written, in order; words without alignment are left out."""
    corpus = _corpus(pairs)
    prob = _initial(corpus)
    few = _corpus(pairs[:1])
    flat = np.ones(few.sizes[4])
    warm_up("alignment of letters", kernel.expect, lambda: kernel.expect(few, flat, flat.copy()))
    warm_up("alignment of letters", kernel.align, lambda: kernel.align(few, flat))
    for turn in range(_ROUNDS):
        counts = np.zeros_like(prob)
        fit = kernel.expect(corpus, prob, counts)
        log.debug("aligning letters, round %d: log-likelihood %.0f", turn + 1, fit)
        prob = counts / counts.sum()
    with np.errstate(divide="ignore"):
        log_prob = np.log(prob)
    moves = kernel.align(corpus, log_prob)
    written = [list(_cut(pair, moves[a:])) for pair, a in zip(pairs, corpus.letter_first.tolist(), strict=False)]
    words = ["<unk>", "<s>", "</s>", *sorted({graphone for word in written for graphone in word})]
    number = {graphone: i for i, graphone in enumerate(words)}
    ids = [i for word in written if word for i in (BOS, *(number[graphone] for graphone in word), EOS)]
    return Corpus(words, np.array(ids, np.int32))


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
