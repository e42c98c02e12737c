"""CTC prefix beam search with a lexicon, an n-gram language model and hot words. B batch, T frames, V tokens.

The score of words W given log-probabilities x, natural logarithms throughout:

    score(W) = log sum over paths that read as W of exp(sum over t of x[t, path[t]] - prior_weight * log_prior[path[t]])
             + lm_weight * log p(W, </s> | <s>) + unk_score * words that the model does not know
             + unk_letter_score * letters of those of them that are in no list: neither lexicon nor hot words
             + word_score * number of words
             + for each place where a phrase of the hot words stands: its boost

Paths are summed (Graves et al. 2006, Hannun et al. 2014), not maximised: several pronunciations and segmentations of
the same words are one hypothesis. A search that prunes nothing finds this score exactly.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from asr.data.transcript import Hypothesis, Word
from asr.decode.confidence import calibrated
from asr.decode.hotwords import hot_automaton, hot_phrases
from asr.lm.files import read_ngram
from asr.lm.ngram import NgramModel
from asr.models.decoding_options import DecodingOptions, with_options
from asr.text.lexicon import Lexicon, build_trie, read_lexicon
from asr.text.tokenizer import BLANK_ID, SPACE, WORD_MARK
from asr.utils.config import require
from asr.utils.errors import InputError
from asr.utils.jit import warm_up
from asr.utils.unicode import graphemes

if TYPE_CHECKING:
    from torch import Tensor


log = logging.getLogger(__name__)

LN10 = math.log(10.0)
# Words whose confidences are looked for at a time, and words around them that are heard with them; of tokens.
_NEIGHBOURS, _NEIGHBOURS_UNITS = (4, 2), (24, 12)

_Floats: TypeAlias = npt.NDArray[np.float64]


class CtcBeamDecoder:
    """Beam search over a CTC model's log-probabilities.

    Where words end:

    - tokens with `<space>`: at spaces. Without lexicon any text can be heard.
    - tokens of which some begin with "\u2581" (SentencePiece): where one of these begins. A word counts by its text,
      however it is cut into pieces.
    - neither, with a lexicon (phones; languages without spaces): where a pronunciation of the lexicon ends.
    - neither, without lexicon: every token is a word, and the language model is over tokens.

    Args:
        tokens: The V tokens, blank first. Those in angle brackets, but for `<space>`, are never heard.
        lm: A model of asr.lm.ngram, or a file of one; over words, or over tokens (`lm_unit`).
        lexicon: The only words there are: a Lexicon, a file of one, words (spelled plainly), or word -> pronunciations.
        hotwords: Phrases, with a boost each or with `hotword_boost`. Words that the lexicon lacks are spelled.
        log_prior: (V,) natural logs, of which `prior_weight` is subtracted.
        frame_seconds: Seconds from frame to frame.
        words: Whether spaces separate words in the text.
        threads: That decode a batch; 0: as many as there are processors.
        options: What `options` are by name may also be given one by one: `beam_size=50`.

    Raises:
        InputError: Parts do not fit each other: no word of the lexicon can be said with the tokens, ...
    """

    def __init__(
        self,
        tokens: Sequence[str],
        *,
        lm: NgramModel | str | Path | None = None,
        lexicon: Lexicon | Mapping[str, Iterable[Sequence[str]]] | Iterable[str] | str | Path | None = None,
        hotwords: Mapping[str, float | None] | Iterable[str] | str | Path | None = None,
        log_prior: npt.ArrayLike | None = None,
        frame_seconds: float = 0.04,
        words: bool = True,
        threads: int = 0,
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> None:
        self.tokens, self.frame_seconds, self.words = list(tokens), frame_seconds, words
        require(len(set(self.tokens)) == len(self.tokens), "a token is there twice")
        require(len(self.tokens) >= 2, f"a vocabulary of {len(self.tokens)} has no token beside the blank")
        self.threads = threads or _processors()
        self._prior: _Floats = np.zeros(len(self.tokens))
        if log_prior is not None:
            self._prior = np.asarray(log_prior, np.float64)
            require(self._prior.shape == (len(self.tokens),), f"log_prior is not of shape ({len(self.tokens)},)")
            require(bool(np.isfinite(self._prior).all()), "log_prior holds NaN or infinity")
        self.options = with_options(options or DecodingOptions(), changes)
        with ThreadPoolExecutor(1) as pool:  # reading a large model takes as long as all the rest
            reading = pool.submit(lambda: read_ngram(lm) if isinstance(lm, str | Path) else lm)
            self._set_up_words(_lexicon(lexicon), hot_phrases(hotwords), reading.result)
            self.lm = reading.result()
        self._set_up_lm(limited=lexicon is not None)
        self._set_up_weights()

    def with_options(self, **changes: Any) -> CtcBeamDecoder:
        """The same decoder with other weights and beams: what takes long to set up is shared."""
        other = object.__new__(CtcBeamDecoder)
        other.__dict__.update(self.__dict__)
        other.options = with_options(self.options, changes)
        require(other.options.lm_unit == self.options.lm_unit, "lm_unit cannot be changed")
        other._set_up_weights()
        return other

    def decode(
        self,
        log_probs: Tensor | npt.NDArray[np.floating[Any]],
        lens: Tensor | Sequence[int] | npt.NDArray[np.integer[Any]],
        names: Sequence[str] | None = None,
        *,
        confidences: bool = True,
    ) -> list[list[Hypothesis]]:
        """The best hypotheses of each utterance, best first, all with different words.

        There is always one: where nothing that may be said has a probability, it is empty and its score is -inf.

        Args:
            log_probs: (B, T, V), natural logarithms.
            lens: (B,), real frames.
            names: Of the utterances, for errors.
            confidences: Whether those of the best one's words are looked into, which takes about two more searches;
                else they are the share of the readings that the beam holds at the end, which is 1 for most words of
                a long utterance.

        Raises:
            InputError: Log-probabilities are NaN or +inf, or of another vocabulary; the utterance is named.
        """
        array = log_probs.detach().float().cpu().numpy() if hasattr(log_probs, "detach") else log_probs
        batch = np.array(array, np.float32, order="C")
        if batch.ndim != 3 or batch.shape[2] != len(self.tokens):
            raise InputError(f"log_probs are of shape {batch.shape}, not (B, T, {len(self.tokens)})")
        lengths = [int(n) for n in lens]
        if len(lengths) != len(batch) or not all(0 <= n <= batch.shape[1] for n in lengths):
            raise InputError(f"lens {lengths} do not fit log_probs of shape {batch.shape}")
        utterances = [batch[i, :n] for i, n in enumerate(lengths)]
        for i, utterance in enumerate(utterances):
            if np.isnan(utterance).any() or np.isposinf(utterance).any():
                name = names[i] if names else f"utterance {i}"
                frame = int(np.argmax((np.isnan(utterance) | np.isposinf(utterance)).any(axis=1)))
                raise InputError(f"frame {frame} has a log-probability that is NaN or +inf", where=name)
        return self.decode_each(utterances, confidences=confidences)

    def decode_each(
        self, utterances: Sequence[npt.NDArray[np.float32]], *, confidences: bool = True
    ) -> list[list[Hypothesis]]:
        """As `decode`, of utterances that were looked at: each (T, V), float32, contiguous."""
        decode = partial(self._decode, confidences=confidences)
        if self.threads == 1 or len(utterances) <= 1:
            return [decode(utterance) for utterance in utterances]
        with ThreadPoolExecutor(min(self.threads, len(utterances))) as pool:
            return list(pool.map(decode, utterances))

    @property
    def has_unknown_words(self) -> bool:
        """Whether words can be heard that the language model does not know."""
        return self.lm is not None and (self._open or bool((self._lm_ids == self.lm.unk).any()))

    @property
    def by_token(self) -> bool:
        """Whether what the vocabulary and the language model have for words are tokens."""
        from asr.decode import ctc_beam_kernel as kernel

        return self._mode == kernel.UNITS

    @property
    def spells_words(self) -> bool:
        """Whether words can be heard that are in no list."""
        return self._open

    def _set_up_words(
        self, lexicon: Lexicon | None, hotwords: dict[str, float | None], lm: Callable[[], NgramModel | None]
    ) -> None:
        """The vocabulary: what does not depend on weights; `lm` waits for the language model."""
        from asr.decode import ctc_beam_kernel as kernel

        tokens = self.tokens
        kinds = [_kind(token, i) for i, token in enumerate(tokens)]
        pieces = self._pieces = kernel.INITIAL in kinds
        spaced = pieces or kernel.SEPARATOR in kinds
        unit = self.options.lm_unit
        by_token = unit == "token" or (unit == "auto" and not spaced and lexicon is None)
        require(not (by_token and lexicon is not None), "a lexicon goes with lm_unit=word, not token")
        require(not (by_token and pieces and hotwords), "hot words are words: with pieces they need lm_unit=word")
        if not spaced and lexicon is None and not by_token:
            raise InputError(
                "without spaces, words need a lexicon", where="lm_unit", remedy="give one, or lm_unit=token"
            )
        self._mode = kernel.UNITS if by_token else kernel.SPACED if spaced else kernel.EAGER

        # A token's letters: its characters where a word counts by its text, however it is cut; else itself.
        by_character = pieces or (spaced and lexicon is None)
        names = {token: i for i, token in enumerate(tokens) if i and kinds[i] in (kernel.ORDINARY, kernel.INITIAL)}
        letters: dict[str, int] = {} if by_character else names
        spelling: list[list[int]] = [[] for _ in tokens]
        for token, i in names.items():
            if by_character:
                spelling[i] = [letters.setdefault(c, len(letters)) for c in token.removeprefix(WORD_MARK)]
            else:
                spelling[i] = [i]
        self._letters = {number: letter for letter, number in letters.items()}

        def spell(word: str, units: Sequence[str]) -> list[int] | None:
            if by_character:
                units = "".join(units).replace(WORD_MARK, "")
            try:
                return list(map(letters.__getitem__, units)) or None
            except KeyError:
                if by_character or list(units) != graphemes(word):
                    return None
            # spelled plainly, with tokens that are parts of perceived characters
            return list(map(letters.__getitem__, word)) if letters.keys() >= set(word) else None

        said: list[tuple[str, Sequence[str]]] = []  # the words of the vocabulary and their units
        if lexicon is not None:
            said = list(lexicon.pronunciations)
        elif not by_token and (model := lm()) is not None:
            said = [(w, w) for w in model.words if w not in ("<unk>", "<UNK>", "<s>", "</s>")]
        in_lexicon = {word for word, _ in said}
        phrases = {tuple(self._phrase_words(phrase, names)): boost for phrase, boost in hotwords.items()}
        if not by_token:
            new = dict.fromkeys(word for phrase in phrases for word in phrase if word not in in_lexicon)
            said += [(word, graphemes(word)) for word in new]

        self.vocabulary: list[str] = [SPACE if t == SPACE else t for t in tokens] if by_token else []
        ids = {word: i for i, word in enumerate(self.vocabulary)}
        spellings, of_word, lacking = [], [], {}
        for word, units in said:
            spelled = spell(word, units)
            if spelled is None:
                lacking[word] = [unit for unit in units if unit not in letters]
                continue
            if word not in ids:
                ids[word] = len(self.vocabulary)
                self.vocabulary.append(word)
            spellings.append(spelled)
            of_word.append(ids[word])
        self.unsayable = {word: units for word, units in lacking.items() if word not in ids}
        self._report_unsayable(lexicon, len(in_lexicon), phrases)
        self._trie = build_trie(spellings, of_word)
        self._depth = self._trie.depths()
        self._has = np.zeros(len(self._trie.letter), np.int64)
        bits = np.left_shift(np.int64(1), self._trie.letter[1:].astype(np.int64) & 63)
        np.bitwise_or.at(self._has, self._trie.parent[1:], bits)
        self._phrases = {phrase: boost for phrase, boost in phrases.items() if all(word in ids for word in phrase)}
        self._word_ids = ids

        self._kind = np.array(kinds, np.int8)
        self._spelling_first = np.concatenate([[0], np.cumsum([len(s) for s in spelling])]).astype(np.int32)
        self._spelling = np.array([letter for s in spelling for letter in s], np.int32)
        self._open = lexicon is None and not by_token

    def _set_up_lm(self, *, limited: bool) -> None:
        """The language model's words; the vocabulary is `limited` by a lexicon, or not."""
        self._lm_ids: npt.NDArray[np.int32] = np.zeros(len(self.vocabulary), np.int32)
        if (lm := self.lm) is None:
            return
        self._lm_ids = np.array([lm.id(word) for word in self.vocabulary], np.int32)
        most = np.full(len(lm.words), -np.inf, lm.log_prob.dtype)  # another type would be twenty times as slow
        np.maximum.at(most, lm.word[1:], lm.log_prob[1:])
        self._lm_most: _Floats = most.astype(np.float64)  # log10, of each word in its best context
        self._lm_most += (lm.order - 1) * max(0.0, float(lm.backoff.max(initial=0.0)))
        unknown = [word for word, i in zip(self.vocabulary, self._lm_ids.tolist(), strict=True) if i == lm.unk]
        if limited and 2 * len(unknown) > len(self.vocabulary):
            log.warning(
                "the language model does not know %d of %d words of the lexicon (%s ...): is it in another case?",
                *(len(unknown), len(self.vocabulary), ", ".join(unknown[:5])),
            )

    def _phrase_words(self, phrase: str, names: Mapping[str, int]) -> list[str]:
        """The words of a hot phrase; where every token is one, its tokens."""
        from asr.decode import ctc_beam_kernel as kernel

        if self._mode != kernel.UNITS:
            return phrase.split()
        if phrase in names:
            return [phrase]
        if SPACE in self.tokens:
            return [SPACE if c == " " else c for c in graphemes(phrase)]
        return [unit for part in phrase.split() for unit in ([part] if part in names else graphemes(part))]

    def _report_unsayable(
        self, lexicon: Lexicon | None, words: int, phrases: Mapping[tuple[str, ...], float | None]
    ) -> None:
        """Tells of words that the tokens cannot say."""
        if lexicon is not None and not self.vocabulary:
            word, units = next(iter(self.unsayable.items()))
            raise InputError(
                f"none of its {words:,} words can be said with the model's tokens: {word!r} needs {' '.join(units)}",
                where="lexicon",
                remedy="write it in the model's units (tokens.txt), in the same case",
            )
        hot = [word for phrase in phrases for word in phrase if word in self.unsayable]
        known = {word for phrase in phrases for word in phrase}
        if self.vocabulary and not hot:
            sayable = set(self.vocabulary)
            hot = [word for word in known if word not in sayable and word not in self.unsayable]
        for word in dict.fromkeys(hot):
            log.warning(
                "hot word %r cannot be said with the model's tokens: %s",
                word,
                " ".join(self.unsayable.get(word, [word])),
            )
        others = {word: units for word, units in self.unsayable.items() if word not in known}
        if others and (lexicon is not None or 2 * len(others) > words):
            missing = sorted({unit for units in others.values() for unit in units})
            log.warning(
                "%d of %d words of the %s cannot be said with the model's tokens (%s ...), which lack %s",
                *(len(others), words, "language model" if lexicon is None else "lexicon"),
                *(", ".join(list(others)[:5]), " ".join(missing[:20])),
            )

    def _set_up_weights(self) -> None:
        """What the options' weights decide: look-ahead, boosts."""
        from asr.decode import ctc_beam_kernel as kernel

        options, trie, lm = self.options, self._trie, self.lm
        scale, size = options.lm_weight * LN10, len(self.vocabulary)
        self._hot = hot_automaton(
            {
                tuple(self._word_ids[word] for word in phrase): options.hotword_boost if boost is None else boost
                for phrase, boost in self._phrases.items()
            },
            size,
        )

        # The score of each word without its context, and the most that it can be with one.
        value, most = np.full(size, float(options.word_score)), np.full(size, float(options.word_score))
        oov = most_oov = float(options.word_score)
        if lm is not None:
            unknown = options.unk_score * (self._lm_ids == lm.unk)
            value += scale * lm.log_prob[1 + self._lm_ids] + unknown
            most += scale * self._lm_most[self._lm_ids] + unknown
            oov += scale * float(lm.log_prob[1 + lm.unk]) + options.unk_score
            most_oov += scale * float(self._lm_most[lm.unk]) + options.unk_score
        if self._hot.present:
            gain = self._hot.gain + self._hot.credit
            begin, end = self._hot.first[0], self._hot.first[1]
            value[self._hot.word[begin:end]] += gain[begin:end]
            most_gain = np.zeros(size)
            np.maximum.at(most_gain, self._hot.word[1:], gain[1:])
            most += most_gain

        look_ahead: _Floats = np.zeros(1)
        ahead: _Floats = np.ones(1)
        release = _exp(most)
        if self._mode != kernel.UNITS:
            look_ahead = trie.best_below(value)
            look_ahead[0] = 0.0
            spelled = options.unk_letter_score * self._depth if lm is not None else np.zeros(len(look_ahead))
            most_here = most_oov + spelled if self._open else np.full(len(look_ahead), -np.inf)
            ends = np.flatnonzero(np.diff(trie.word_first))
            most_here[ends] = np.maximum.reduceat(most[trie.words], trie.word_first[ends]) if len(ends) else []
            release = _exp(most_here - look_ahead)
            ahead = _exp(oov + spelled - look_ahead) if self._open else np.zeros(len(look_ahead))
        step = _exp(look_ahead - look_ahead[np.maximum(trie.parent, 0)])
        reached = step[1:] * np.maximum(1.0, release[1:]) if self._mode == kernel.EAGER else step[1:]
        np.maximum.at(ahead, trie.parent[1:], reached)
        ahead[0] = max(ahead[0], 1.0)
        rounding = 1.0 + 1e-9
        self._vocabulary = kernel.Vocabulary(
            mode=self._mode,
            open=self._open,
            size=len(self.vocabulary),
            kind=self._kind,
            spelling_first=self._spelling_first,
            spelling=self._spelling,
            letter=trie.letter,
            depth=self._depth,
            first=trie.first,
            word_first=trie.word_first,
            words=trie.words,
            look_ahead=look_ahead,
            step=step,
            has=self._has,
            few_letters=len(self._letters) < 64 and max(self._letters, default=0) < 64,
            ahead=ahead * rounding,
            release=release * rounding,
        )
        self._weights = kernel.Weights(
            beam_size=options.beam_size or kernel.ALL,
            beam_floor=math.exp(-options.beam_threshold),
            token_threshold=float(options.token_threshold),
            lm_scale=scale,
            word_score=float(options.word_score),
            unk_score=float(options.unk_score),
            unk_letter_score=float(options.unk_letter_score) if lm is not None else 0.0,
            oov_look_ahead=oov,
            oov_release=math.exp(min(600.0, most_oov - oov)) * rounding,
        )
        ints, floats = np.zeros(1, np.int32), np.zeros(1, np.float32)
        for array in (ints, floats):  # as a model's: to numba it is another type
            array.setflags(write=False)
        self._lm = kernel.LanguageModel(
            present=lm is not None,
            word=ints if lm is None else lm.word,
            log_prob=floats if lm is None else lm.log_prob,
            link=ints if lm is None else lm.link,
            first=ints if lm is None else lm.first,
            backoff=floats if lm is None else lm.backoff,
            ids=self._lm_ids,
            unk=0 if lm is None else lm.unk,
            eos=-1 if lm is None else lm.eos,
            start=0 if lm is None else lm.start,
        )
        self._offset = options.prior_weight * self._prior

    def _decode(self, log_probs: npt.NDArray[np.float32], confidences: bool) -> list[Hypothesis]:
        from asr.decode import ctc_beam_kernel as kernel

        log_probs = np.require(log_probs, np.float32, ["C", "W"])

        def compile_all() -> None:
            self._search(log_probs[:0], False)
            none = np.zeros(0, np.int32)
            kernel.word_masses(np.zeros((0, 5), np.int32), none, np.zeros(0), none, none)

        warm_up("beam search", kernel.word_masses, compile_all)
        return self._search(log_probs, confidences)

    def _search(self, log_probs: npt.NDArray[np.float32], confidences: bool) -> list[Hypothesis]:
        from asr.decode import ctc_beam_kernel as kernel

        finals = kernel.search(log_probs, self._offset, self._vocabulary, self._lm, self._hot, self._weights)
        if not len(finals.total):
            return [Hypothesis("", score=-math.inf)]
        scaled = (finals.total - finals.total[0]) / self.options.temperature
        posteriors = np.exp(scaled) / np.exp(scaled).sum()
        totals: dict[int, float] = dict(enumerate(finals.total.tolist()))
        if self._mode == kernel.UNITS and self._pieces:  # the same words, cut into pieces in several ways
            first: dict[str, int] = {}
            for i in range(len(scaled)):
                units = [
                    Word(self.vocabulary[w], 0, 0, 0) for w in kernel.words_of(finals.histories, finals.history[i])
                ]
                best = first.setdefault(self._joined(units)[0], i)
                if best != i:
                    totals[best] = float(np.logaddexp(totals[best], totals.pop(i)))
        order = sorted(totals, key=lambda i: -totals[i])[: self.options.nbest]
        return [
            self._hypothesis(log_probs, finals, posteriors, i, totals[i], confidences and not rank)
            for rank, i in enumerate(order)
        ]

    def _hypothesis(
        self,
        log_probs: npt.NDArray[np.float32],
        finals: Any,
        posteriors: npt.NDArray[np.float64],
        i: int,
        total: float,
        confidences: bool,
    ) -> Hypothesis:
        from asr.decode import ctc_beam_kernel as kernel

        word_ids = kernel.words_of(finals.histories, finals.history[i])
        masses = kernel.word_posteriors(finals.histories, finals.history, posteriors, i)
        trace, likely = kernel.trace(log_probs, finals.records, finals.record[i], finals.end[i])
        seconds = self.frame_seconds
        tokens, spans = [], [[len(log_probs), 0] for _ in word_ids]
        for (token, start, end, word), sure in zip(trace.tolist(), np.exp(likely).clip(max=1.0).tolist(), strict=True):
            tokens.append(Word(self.tokens[token], start * seconds, end * seconds, sure))
            if 0 <= word < len(spans):
                spans[word] = [min(spans[word][0], start), end]
        texts = [self._text(word, finals.spellings) for word in word_ids.tolist()]
        if confidences:
            self._look_around(log_probs, texts, spans, masses)
        found = [
            Word(text, start * seconds, end * seconds, min(1.0, mass))
            for text, (start, end), mass in zip(texts, spans, masses.tolist(), strict=True)
        ]
        if self._mode == kernel.UNITS:
            text, found = self._joined(found)
        else:
            text = (" " if self.words else "").join(texts)
        if self.options.calibration != (1.0, 0.0):
            sure = calibrated([word.confidence for word in found], *self.options.calibration)
            found = [replace(word, confidence=chance) for word, chance in zip(found, sure.tolist(), strict=True)]
        lm, hot = float(finals.lm[i]), float(finals.hotwords[i])
        said = self.options.word_score * float(finals.length[i])
        return Hypothesis(
            text,
            tuple(found),
            score=total,
            acoustic_score=total - lm - said - hot,
            lm_score=lm,
            word_score=said,
            hotword_score=hot,
            tokens=tuple(tokens),
        )

    def _look_around(
        self, log_probs: npt.NDArray[np.float32], texts: list[str], spans: list[list[int]], masses: npt.NDArray[Any]
    ) -> None:
        """Fills in the confidences of a long utterance's words, from searches of a few words at a time.

        At its end a beam holds readings that differ in the last words alone: what competed with the others is gone.

        Args:
            spans: The first frame of each word and the one after its last.
        """
        from asr.decode import ctc_beam_kernel as kernel

        several, around = _NEIGHBOURS_UNITS if self._mode == kernel.UNITS else _NEIGHBOURS
        if len(texts) <= several + 2 * around:
            return
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        edges = [(before[1] + after[0]) // 2 for before, after in itertools.pairwise(spans)]
        edges = [0, *np.maximum.accumulate(edges).tolist(), len(log_probs)]
        for first in range(0, len(texts), several):
            low, high = max(0, first - around), min(len(texts), first + several + around)
            lm = self._lm._replace(
                start=self._lm.start if not low else 0, eos=self._lm.eos if high == len(texts) else -1
            )
            part = log_probs[edges[low] : edges[high]]
            finals = kernel.search(part, self._offset, self._vocabulary, lm, self._hot, self._weights)
            if not len(finals.total):
                continue
            scaled = np.exp((finals.total - finals.total[0]) / self.options.temperature)
            words, inverse = np.unique(finals.histories[:, kernel.WORD], return_inverse=True)
            known = [number.get(self._text(word, finals.spellings), -1) if word >= 0 else -1 for word in words.tolist()]
            same = np.array(known, np.int32)[inverse]
            target = np.array([number[text] for text in texts[low:high]], np.int32)
            found = kernel.word_masses(finals.histories, finals.history, scaled / scaled.sum(), same, target)
            last = min(first + several, len(texts))
            masses[first:last] = found[first - low : last - low]

    def _text(self, word: int, spellings: npt.NDArray[np.int32]) -> str:
        """A word's text, by its number, or by the node where one that the vocabulary lacks ends."""
        if word < len(self.vocabulary):
            return self.vocabulary[word]
        node, letters, size = word - len(self.vocabulary), [], len(self._trie.letter)
        while node:
            if node >= size:
                node, letter, _ = spellings[node - size].tolist()
            else:
                node, letter = int(self._trie.parent[node]), int(self._trie.letter[node])
            letters.append(self._letters[letter])
        return "".join(reversed(letters))

    def _joined(self, units: list[Word]) -> tuple[str, list[Word]]:
        """Tokens that were words to the language model -> the text, and its words."""
        from asr.decode.greedy import join_words

        if not self.words:
            units = [unit for unit in units if unit.text != SPACE]
            return "".join(unit.text for unit in units), units
        if self._pieces or SPACE in self.tokens:
            units = join_words(units)
        return " ".join(unit.text for unit in units), units


def _exp(x: _Floats) -> _Floats:
    """exp(x), held within what can be multiplied (as the kernel does)."""
    y: _Floats = np.exp(np.clip(x, -600.0, 600.0))
    return y


def _kind(token: str, i: int) -> int:
    from asr.decode import ctc_beam_kernel as kernel

    if i == BLANK_ID or (token != SPACE and token.startswith("<") and token.endswith(">") and len(token) > 2):
        return kernel.NEVER if i else kernel.ORDINARY
    return kernel.SEPARATOR if token == SPACE else kernel.INITIAL if token.startswith(WORD_MARK) else kernel.ORDINARY


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lexicon(lexicon: Any) -> Lexicon | None:
    if lexicon is None or isinstance(lexicon, Lexicon):
        return lexicon
    if isinstance(lexicon, str | Path):
        return read_lexicon(lexicon)
    if isinstance(lexicon, Mapping):
        return Lexicon(tuple((word, tuple(units)) for word, several in lexicon.items() for units in several))
    return Lexicon.spelled(lexicon)
