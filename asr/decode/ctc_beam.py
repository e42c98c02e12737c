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

import copy
import itertools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from asr.data.transcript import Hypothesis, Word
from asr.decode import ctc_beam_kernel as kernel
from asr.decode.confidence import calibrated
from asr.decode.ctc_vocabulary import WordLm, read_vocabulary, weighted
from asr.decode.greedy import join_words
from asr.decode.hotwords import hot_phrases
from asr.lm.files import read_ngram
from asr.lm.ngram import NgramModel
from asr.models.decoding_options import DecodingOptions, with_options
from asr.text.lexicon import Lexicon, read_lexicon
from asr.text.tokenizer import SPACE
from asr.utils.config import require
from asr.utils.errors import InputError
from asr.utils.jit import warm_up

if TYPE_CHECKING:
    from torch import Tensor

    from asr.decode.search import EncoderOutput

# Words whose confidences are looked for at a time, and words around them that are heard with them; of tokens.
_NEIGHBOURS, _NEIGHBOURS_UNITS = (4, 2), (24, 12)

_Floats: TypeAlias = npt.NDArray[np.float64]
_LogProbs: TypeAlias = npt.NDArray[np.float32]  # (T, V) of an utterance


class CtcBeamDecoder:
    """Beam search over a CTC model's log-probabilities; a Search.

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

    needs_states, has_times, lm_share, length_norm = False, True, 1.0, 0.0

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
            unit, listed = self.options.lm_unit, _lexicon(lexicon)
            phrases, names = hot_phrases(hotwords), (_name(lexicon, "lexicon"), _name(lm, "lm"))
            self._words = read_vocabulary(self.tokens, listed, phrases, unit, reading.result, *names)
            self.lm = reading.result()
        self.vocabulary, self.unsayable = self._words.words, self._words.unsayable
        self._word_lm = WordLm(self.lm, self.vocabulary, limited=lexicon is not None)
        self._lm = self._word_lm.arrays()
        self._weigh()

    def with_options(self, **changes: Any) -> CtcBeamDecoder:
        """The same decoder with other weights and beams: what takes long to set up is shared."""
        other = copy.copy(self)
        other.options = with_options(self.options, changes)
        require(other.options.lm_unit == self.options.lm_unit, "lm_unit cannot be changed")
        other._weigh()
        return other

    def _weigh(self) -> None:
        """Takes the options' weights."""
        self._vocabulary, self._hot, self._weights = weighted(self._words, self._word_lm, self.options)
        self._offset = self.options.prior_weight * self._prior

    def nbest(self, out: EncoderOutput, names: Sequence[str] | None = None) -> list[list[Hypothesis]]:
        """Decodes as `decode` does; confidences are the shares of the readings in the final beam."""
        return self.decode(out.log_probs, out.lens, names, confidences=False)

    def add_times(self, out: EncoderOutput, nbest: Sequence[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """Hypotheses whose first have true confidences, which takes about two more searches."""
        utterances = [log_probs[:n] for log_probs, n in zip(out.log_probs, out.lens.tolist(), strict=True)]
        return self._confident(utterances, nbest)

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
        warm_up("beam search", kernel.word_masses, self._compile)
        nbest = self._each(self._search, utterances)
        return self._confident(utterances, nbest) if confidences else nbest

    def _each(self, function: Callable[..., list[Hypothesis]], *given: Sequence[Any]) -> list[list[Hypothesis]]:
        """Calls a function for each utterance, on several threads."""
        if self.threads == 1 or len(given[0]) <= 1:
            return list(map(function, *given))
        with ThreadPoolExecutor(min(self.threads, len(given[0]))) as pool:
            return list(pool.map(function, *given))

    def _confident(self, utterances: Sequence[_LogProbs], nbest: Sequence[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """Hypotheses, the first of each utterance with confidences that were looked into."""
        return self._each(lambda x, several: [self._look_around(x, several[0]), *several[1:]], utterances, nbest)

    @property
    def ctc(self) -> CtcBeamDecoder:
        """Itself."""
        return self

    @property
    def has_unknown_words(self) -> bool:
        """Whether words can be heard that the language model does not know."""
        return self.lm is not None and (self.spells_words or bool((self._lm.ids == self.lm.unk).any()))

    @property
    def by_token(self) -> bool:
        """Whether what the vocabulary and the language model have for words are tokens."""
        return self._vocabulary.mode == kernel.UNITS

    @property
    def spells_words(self) -> bool:
        """Whether words can be heard that are in no list."""
        return self._vocabulary.open

    def _compile(self) -> None:
        self._search(np.zeros((0, len(self.tokens)), np.float32))
        none = np.zeros(0, np.int32)
        kernel.word_masses(np.zeros((0, 5), np.int32), none, np.zeros(0), none, none)

    def _run(self, log_probs: _LogProbs, lm: kernel.LanguageModel) -> tuple[kernel.Finals, _Floats]:
        """Runs the search; returns its end and the posteriors of the hypotheses."""
        finals = kernel.search(log_probs, self._offset, self._vocabulary, lm, self._hot, self._weights)
        if not len(finals.total):
            return finals, np.zeros(0)
        scaled = np.exp((finals.total - finals.total[0]) / self.options.temperature)
        return finals, scaled / scaled.sum()

    def _search(self, log_probs: _LogProbs) -> list[Hypothesis]:
        finals, posteriors = self._run(log_probs, self._lm)
        if not len(posteriors):
            return [Hypothesis("", score=-math.inf)]
        totals: dict[int, float] = dict(enumerate(finals.total.tolist()))
        if self.by_token and self._words.pieces:  # the same words, cut into pieces in several ways
            first: dict[str, int] = {}
            for i in range(len(posteriors)):
                units = [
                    Word(self.vocabulary[w], 0, 0, 0) for w in kernel.words_of(finals.histories, finals.history[i])
                ]
                best = first.setdefault(self._joined(units)[0], i)
                if best != i:
                    totals[best] = float(np.logaddexp(totals[best], totals.pop(i)))
        order = sorted(totals, key=lambda i: -totals[i])[: self.options.nbest]
        return [self._hypothesis(log_probs, finals, posteriors, i, totals[i]) for i in order]

    def _hypothesis(
        self, log_probs: _LogProbs, finals: kernel.Finals, posteriors: _Floats, i: int, total: float
    ) -> Hypothesis:
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
        found = [
            Word(text, start * seconds, end * seconds, min(1.0, mass))
            for text, (start, end), mass in zip(texts, spans, masses.tolist(), strict=True)
        ]
        if self.by_token:
            text, found = self._joined(found)
        else:
            text = (" " if self.words else "").join(texts)
        lm, hot = float(finals.lm[i]), float(finals.hotwords[i])
        said = self.options.word_score * float(finals.length[i])
        return Hypothesis(
            text,
            tuple(self._calibrated(found)),
            score=total,
            acoustic_score=total - lm - said - hot,
            lm_score=lm,
            word_score=said,
            hotword_score=hot,
            tokens=tuple(tokens),
        )

    def _calibrated(self, words: list[Word]) -> list[Word]:
        if self.options.calibration == (1.0, 0.0):
            return words
        sure = calibrated([word.confidence for word in words], *self.options.calibration)
        return [replace(word, confidence=chance) for word, chance in zip(words, sure.tolist(), strict=True)]

    def _look_around(self, log_probs: _LogProbs, hypothesis: Hypothesis) -> Hypothesis:
        """The hypothesis with the confidences of a long utterance's words, from searches of a few at a time.

        At its end a beam holds readings that differ in the last words alone: what competed with the others is gone.
        """
        words = hypothesis.tokens if self.by_token else hypothesis.words
        several, around = _NEIGHBOURS_UNITS if self.by_token else _NEIGHBOURS
        if len(words) <= several + 2 * around:
            return hypothesis
        texts = [word.text for word in words]
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        spans = [[round(edge / self.frame_seconds) for edge in (word.start, word.end)] for word in words]
        edges = [(before[1] + after[0]) // 2 for before, after in itertools.pairwise(spans)]
        edges = [0, *np.maximum.accumulate(edges).tolist(), len(log_probs)]
        found: list[Word] = []
        for first in range(0, len(texts), several):
            last = min(first + several, len(texts))
            low, high = max(0, first - around), min(len(texts), first + several + around)
            lm = self._lm._replace(
                start=self._lm.start if not low else 0, eos=self._lm.eos if high == len(texts) else -1
            )
            finals, posteriors = self._run(log_probs[edges[low] : edges[high]], lm)
            if not len(posteriors):  # nothing that may be said, between these edges
                found += words[first:last]
                continue
            ids, inverse = np.unique(finals.histories[:, kernel.WORD], return_inverse=True)
            known = [number.get(self._text(word, finals.spellings), -1) if word >= 0 else -1 for word in ids.tolist()]
            same = np.array(known, np.int32)[inverse]
            target = np.array([number[text] for text in texts[low:high]], np.int32)
            masses = kernel.word_masses(finals.histories, finals.history, posteriors, same, target)
            sure = masses[first - low : last - low].clip(max=1.0).tolist()
            part = [replace(word, confidence=mass) for word, mass in zip(words[first:last], sure, strict=True)]
            found += part if self.by_token else self._calibrated(part)
        if self.by_token:
            found = self._calibrated(self._joined(found)[1])
        return replace(hypothesis, words=tuple(found))

    def _text(self, word: int, spellings: npt.NDArray[np.int32]) -> str:
        """A word's text, by its number, or by the node where one that the vocabulary lacks ends."""
        if word < len(self.vocabulary):
            return self.vocabulary[word]
        trie = self._words.trie
        node, letters, size = word - len(self.vocabulary), [], len(trie.letter)
        while node:
            if node >= size:
                node, letter, _ = spellings[node - size].tolist()
            else:
                node, letter = int(trie.parent[node]), int(trie.letter[node])
            letters.append(self._words.letters[letter])
        return "".join(reversed(letters))

    def _joined(self, units: list[Word]) -> tuple[str, list[Word]]:
        """Tokens that were words to the language model -> the text, and its words."""
        if not self.words:
            units = [unit for unit in units if unit.text != SPACE]
            return "".join(unit.text for unit in units), units
        if self._words.pieces or SPACE in self.tokens:
            units = join_words(units)
        return " ".join(unit.text for unit in units), units


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _name(file: Any, other: str) -> str:
    """The name of a file for messages, another for what is none."""
    return str(file) if isinstance(file, str | Path) else other


def _lexicon(lexicon: Any) -> Lexicon | None:
    if lexicon is None or isinstance(lexicon, Lexicon):
        return lexicon
    if isinstance(lexicon, str | Path):
        return read_lexicon(lexicon)
    if isinstance(lexicon, Mapping):
        return Lexicon(tuple((word, tuple(units)) for word, several in lexicon.items() for units in several))
    return Lexicon.spelled(lexicon)
