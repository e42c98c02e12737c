"""What the CTC beam search can say, and what words score, as its kernel takes them. V tokens, N trie nodes.

`read_vocabulary` makes what does not depend on weights, `weighted` the rest.

Look-ahead: a word's score is known at its end alone. Until then a hypothesis within it, at node n of the trie, has the
best that any word below can have without context, which is divided out at the end, where the context is known:

    value(w)      = word_score + lm_scale * log10 p(w) + unk_score, where the model lacks w, + boosts
    look_ahead(n) = max of value(w) over the words w below n;  0 at the root
    step(n)       = exp(look_ahead(n) - look_ahead(parent of n)), the factor that goes with a letter

What cannot reach the beam is passed over, by bounds (raised by a rounding error) of the factors that may come at n:

    release(n)    = exp(most(w) - look_ahead(n)) of the best word w that ends at n, in whatever context
    ahead(n)      = max of step(c) over the children c of n (times release(c), where words end unasked); where words may
                    be spelled, at least exp(oov + letters so far - look_ahead(n)), that of leaving the trie
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from asr.decode import ctc_beam_kernel as kernel
from asr.decode.hotwords import hot_automaton
from asr.lm.ngram import NgramModel
from asr.models.decoding_options import DecodingOptions, LmUnit
from asr.text.lexicon import Lexicon, Trie, build_trie
from asr.text.tokenizer import BLANK_ID, SPACE, WORD_MARK
from asr.utils.config import require
from asr.utils.errors import InputError
from asr.utils.unicode import graphemes

log = logging.getLogger(__name__)

LN10 = math.log(10.0)
_ROUNDING = 1.0 + 1e-9
_NO_WORDS = ("<unk>", "<UNK>", "<s>", "</s>")

_Floats: TypeAlias = npt.NDArray[np.float64]
_Phrases: TypeAlias = dict[tuple[str, ...], "float | None"]


@dataclass(frozen=True)
class CtcVocabulary:
    """The words that the search can find, as its kernel takes them."""

    words: list[str]
    unsayable: dict[str, list[str]]  # words that the tokens cannot say, and the units that are lacking
    phrases: dict[tuple[int, ...], float | None]  # hot phrases, as numbers of words, and their boosts
    pieces: bool  # tokens are SentencePiece's
    letters: dict[int, str]  # what tokens stand for, by number
    trie: Trie  # of words by letters
    arrays: kernel.Vocabulary  # the same for the kernel; look_ahead and what follows from it are yet to come


def read_vocabulary(
    tokens: Sequence[str],
    lexicon: Lexicon | None,
    hotwords: Mapping[str, float | None],
    lm_unit: LmUnit,
    lm: Callable[[], NgramModel | None],
    where: str = "lexicon",
    lm_where: str = "lm",
) -> CtcVocabulary:
    """The vocabulary of a lexicon; without one, that of the language model, which `lm` waits for; and of hot words.

    `where` and `lm_where` name the lexicon and the model in messages.

    Raises:
        InputError: Parts do not fit each other.
    """
    kinds = [_kind(token, i) for i, token in enumerate(tokens)]
    pieces, mode = kernel.INITIAL in kinds, _mode(kinds, lexicon, lm_unit, hot=bool(hotwords))
    by_token = mode == kernel.UNITS
    # A token's letters: its characters where a word counts by its text, however it is cut; else itself.
    by_character = pieces or (kernel.SEPARATOR in kinds and lexicon is None)
    names = {token: i for i, token in enumerate(tokens) if i and kinds[i] in (kernel.ORDINARY, kernel.INITIAL)}
    letters: dict[str, int] = {} if by_character else names
    spellings: list[list[int]] = [[] for _ in tokens]
    for token, i in names.items():
        cut = token.removeprefix(WORD_MARK) if by_character else [token]
        spellings[i] = [letters.setdefault(letter, len(letters)) for letter in cut]

    said: list[tuple[str, Sequence[str]]] = []  # the words of the vocabulary and their units
    if lexicon is not None:
        said = list(lexicon.pronunciations)
    elif not by_token and (model := lm()) is not None:
        said = [(word, word) for word in model.words if word not in _NO_WORDS]
        _check_words(said, lm_where, pieces=pieces)
    listed = {word for word, _ in said}
    phrases: _Phrases = {
        tuple(_phrase_units(phrase, tokens, names) if by_token else phrase.split()): boost
        for phrase, boost in hotwords.items()
    }
    if not by_token:
        new = dict.fromkeys(word for phrase in phrases for word in phrase if word not in listed)
        said += [(word, graphemes(word)) for word in new]

    words: list[str] = list(tokens) if by_token else []
    ids = {word: i for i, word in enumerate(words)}
    spelled, of_word, lacking = [], [], {}
    for word, units in said:
        spelling = _spelled(word, units, letters, by_character=by_character)
        if spelling is None:
            lacking[word] = [unit for unit in units if unit not in letters]
            continue
        if word not in ids:
            ids[word] = len(words)
            words.append(word)
        spelled.append(spelling)
        of_word.append(ids[word])
    unsayable = {word: units for word, units in lacking.items() if word not in ids}
    if lexicon is not None and not words:
        word, units = next(iter(unsayable.items()))
        raise InputError(
            f"none of its {len(listed):,} words can be said with the model's tokens: {word!r} needs {' '.join(units)}",
            where=where,
            remedy="write it in the model's units (tokens.txt), in the same case",
        )
    _report_unsayable(words, unsayable, phrases, lexicon, len(listed))
    trie = build_trie(spelled, of_word)
    known = {tuple(ids[word] for word in phrase): b for phrase, b in phrases.items() if ids.keys() >= set(phrase)}
    arrays = _arrays(trie, kinds, spellings, len(words), mode, spells=lexicon is None and not by_token)
    by_number = {number: letter for letter, number in letters.items()}
    return CtcVocabulary(words, unsayable, known, pieces, by_number, trie, arrays)


def _check_words(said: Sequence[tuple[str, Sequence[str]]], where: str, *, pieces: bool) -> None:
    """Refuses a language model of pieces where its words are those that can be found."""
    marked = [word for word, _ in said if word.startswith(WORD_MARK)]
    if 10 * len(marked) > len(said):
        what = f"{len(marked):,} of its {len(said):,} words are pieces, such as {marked[0]!r}"
        raise InputError(what, where=where, remedy="give one of words" + ", or lm_unit=token" * pieces)


def _kind(token: str, i: int) -> int:
    if i == BLANK_ID or (token != SPACE and token.startswith("<") and token.endswith(">") and len(token) > 2):
        return kernel.NEVER if i else kernel.ORDINARY
    return kernel.SEPARATOR if token == SPACE else kernel.INITIAL if token.startswith(WORD_MARK) else kernel.ORDINARY


def _mode(kinds: Sequence[int], lexicon: Lexicon | None, unit: LmUnit, *, hot: bool) -> int:
    """Returns where words end, given the kinds of the tokens."""
    pieces = kernel.INITIAL in kinds
    spaced = pieces or kernel.SEPARATOR in kinds
    by_token = unit == "token" or (unit == "auto" and not spaced and lexicon is None)
    require(not (by_token and lexicon is not None), "a lexicon goes with lm_unit=word, not token")
    require(not (by_token and pieces and hot), "hot words are words: with pieces they need lm_unit=word")
    if not spaced and lexicon is None and not by_token:
        raise InputError("without spaces, words need a lexicon", where="lm_unit", remedy="give one, or lm_unit=token")
    return kernel.UNITS if by_token else kernel.SPACED if spaced else kernel.EAGER


def _spelled(word: str, units: Sequence[str], letters: Mapping[str, int], *, by_character: bool) -> list[int] | None:
    """The letters of a word; None where there are none for it."""
    if by_character:
        units = "".join(units).replace(WORD_MARK, "")
    try:
        return list(map(letters.__getitem__, units)) or None
    except KeyError:
        if by_character or list(units) != graphemes(word):
            return None
    # spelled plainly, with tokens that are parts of perceived characters
    return list(map(letters.__getitem__, word)) if letters.keys() >= set(word) else None


def _phrase_units(phrase: str, tokens: Sequence[str], names: Mapping[str, int]) -> list[str]:
    """The tokens of a hot phrase, where every token is a word."""
    if phrase in names:
        return [phrase]
    if SPACE in tokens:
        return [SPACE if c == " " else c for c in graphemes(phrase)]
    return [unit for part in phrase.split() for unit in ([part] if part in names else graphemes(part))]


def _arrays(
    trie: Trie, kinds: Sequence[int], spellings: Sequence[Sequence[int]], words: int, mode: int, *, spells: bool
) -> kernel.Vocabulary:
    """The vocabulary for the kernel, without look-ahead."""
    has = np.zeros(len(trie.letter), np.int64)
    np.bitwise_or.at(has, trie.parent[1:], np.left_shift(np.int64(1), trie.letter[1:].astype(np.int64) & 63))
    spelling = np.array([letter for each in spellings for letter in each], np.int32)
    first = np.concatenate([[0], np.cumsum([len(each) for each in spellings])]).astype(np.int32)
    few_letters = int(spelling.max(initial=0)) < 64
    none = np.zeros(0)
    return kernel.Vocabulary(
        *(mode, spells, words, np.array(kinds, np.int8), first, spelling),
        *(trie.letter, trie.depths(), trie.first, trie.word_first, trie.words),
        *(none, none, has),
        few_letters=few_letters,
        ahead=none,
        release=none,
    )


def _report_unsayable(
    words: Sequence[str],
    unsayable: Mapping[str, list[str]],
    phrases: _Phrases,
    lexicon: Lexicon | None,
    listed: int,
) -> None:
    """Tells of words that the tokens cannot say."""
    hot = [word for phrase in phrases for word in phrase if word in unsayable]
    known = {word for phrase in phrases for word in phrase}
    if words and not hot:
        sayable = set(words)
        hot = [word for word in known if word not in sayable and word not in unsayable]
    for word in dict.fromkeys(hot):
        missing = " ".join(unsayable.get(word, [word]))
        log.warning("hot word %r cannot be said with the model's tokens: %s", word, missing)
    others = {word: units for word, units in unsayable.items() if word not in known}
    if others and (lexicon is not None or 2 * len(others) > listed):
        lacking = sorted({unit for units in others.values() for unit in units})
        log.warning(
            "%d of %d words of the %s cannot be said with the model's tokens (%s ...), which lack %s",
            *(len(others), listed, "language model" if lexicon is None else "lexicon"),
            *(", ".join(list(others)[:5]), " ".join(lacking[:20])),
        )


class WordLm:
    """A language model over the words of a vocabulary, or none."""

    def __init__(self, lm: NgramModel | None, words: Sequence[str], *, limited: bool) -> None:
        self.lm = lm
        self.ids: npt.NDArray[np.int32] = np.zeros(len(words), np.int32)  # the model's number of each word
        self.most: _Floats = np.zeros(1)  # log10, of each of the model's words in its best context
        if lm is None:
            return
        self.ids = np.array([lm.id(word) for word in words], np.int32)
        most = np.full(len(lm.words), -np.inf, lm.log_prob.dtype)  # another type would be twenty times as slow
        np.maximum.at(most, lm.word[1:], lm.log_prob[1:])
        self.most = most.astype(np.float64) + (lm.order - 1) * max(0.0, float(lm.backoff.max(initial=0.0)))
        unknown = [word for word, i in zip(words, self.ids.tolist(), strict=True) if i == lm.unk]
        if limited and 2 * len(unknown) > len(words):
            log.warning(
                "the language model does not know %d of %d words of the lexicon (%s ...): is it in another case?",
                *(len(unknown), len(words), ", ".join(unknown[:5])),
            )

    def arrays(self) -> kernel.LanguageModel:
        """The same for the kernel."""
        if (lm := self.lm) is None:
            ints, floats = np.zeros(1, np.int32), np.zeros(1, np.float32)
            for array in (ints, floats):  # as a model's: to numba it is another type
                array.setflags(write=False)
            return kernel.LanguageModel(False, ints, floats, ints, ints, floats, self.ids, unk=0, eos=-1, start=0)
        arrays = lm.word, lm.log_prob, lm.link, lm.first, lm.backoff
        return kernel.LanguageModel(True, *arrays, self.ids, unk=lm.unk, eos=lm.eos, start=lm.start)


def weighted(
    vocabulary: CtcVocabulary, word_lm: WordLm, options: DecodingOptions
) -> tuple[kernel.Vocabulary, kernel.Hotwords, kernel.Weights]:
    """Computes what depends on the options' weights: look-ahead, boosts, bounds."""
    lm, size, trie, arrays = word_lm.lm, len(vocabulary.words), vocabulary.trie, vocabulary.arrays
    hot = hot_automaton(
        {ids: options.hotword_boost if boost is None else boost for ids, boost in vocabulary.phrases.items()}, size
    )
    value, most, oov, most_oov = _word_scores(word_lm, hot, options, size)
    letter_score = float(options.unk_letter_score) if lm is not None else 0.0
    look_ahead: _Floats = np.zeros(1)
    ahead: _Floats = np.ones(1)
    release = _exp(most)
    if arrays.mode != kernel.UNITS:
        look_ahead = trie.best_below(value)
        look_ahead[0] = 0.0
        spelled = letter_score * arrays.depth
        most_here = most_oov + spelled if arrays.open else np.full(len(look_ahead), -np.inf)
        ends = np.flatnonzero(np.diff(trie.word_first))
        most_here[ends] = np.maximum.reduceat(most[trie.words], trie.word_first[ends]) if len(ends) else []
        release = _exp(most_here - look_ahead)
        ahead = _exp(oov + spelled - look_ahead) if arrays.open else np.zeros(len(look_ahead))
    step = _exp(look_ahead - look_ahead[np.maximum(trie.parent, 0)])
    reached = step[1:] * np.maximum(1.0, release[1:]) if arrays.mode == kernel.EAGER else step[1:]
    np.maximum.at(ahead, trie.parent[1:], reached)
    ahead[0] = max(ahead[0], 1.0)
    weights = kernel.Weights(
        beam_size=options.beam_size or kernel.ALL,
        beam_floor=math.exp(-options.beam_threshold),
        token_threshold=float(options.token_threshold),
        lm_scale=options.lm_weight * LN10,
        word_score=float(options.word_score),
        unk_score=float(options.unk_score),
        unk_letter_score=letter_score,
        oov_look_ahead=oov,
        oov_release=math.exp(min(600.0, most_oov - oov)) * _ROUNDING,
    )
    ahead, release = ahead * _ROUNDING, release * _ROUNDING
    return arrays._replace(look_ahead=look_ahead, step=step, ahead=ahead, release=release), hot, weights


def _word_scores(
    word_lm: WordLm, hot: kernel.Hotwords, options: DecodingOptions, size: int
) -> tuple[_Floats, _Floats, float, float]:
    """The score of each word without its context, and the most it can be with one; both of words in no list."""
    value, most = np.full(size, float(options.word_score)), np.full(size, float(options.word_score))
    oov = most_oov = float(options.word_score)
    if (lm := word_lm.lm) is not None:
        scale = options.lm_weight * LN10
        unknown = options.unk_score * (word_lm.ids == lm.unk)
        value += scale * lm.log_prob[1 + word_lm.ids] + unknown
        most += scale * word_lm.most[word_lm.ids] + unknown
        oov += scale * float(lm.log_prob[1 + lm.unk]) + options.unk_score
        most_oov += scale * float(word_lm.most[lm.unk]) + options.unk_score
    if hot.present:
        gain = hot.gain + hot.credit
        begin, end = hot.first[0], hot.first[1]
        value[hot.word[begin:end]] += gain[begin:end]
        most_gain = np.zeros(size)
        np.maximum.at(most_gain, hot.word[1:], gain[1:])
        most += most_gain
    return value, most, oov, most_oov


def _exp(x: _Floats) -> _Floats:
    """exp(x), held within what can be multiplied (as the kernel does)."""
    y: _Floats = np.exp(np.clip(x, -600.0, 600.0))
    return y
