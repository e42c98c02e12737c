"""The texts that a search found, chosen anew with a neural language model.

    score = the search's own + weight * (lm_weight * log p_neural + what unknown words get - the other model's part)

so that the logarithms of both models are interpolated: weight 0 leaves the search's order, 1 puts the neural model in
the place of the other. Where the search had none, the neural model's part is added. In two-pass search all of this has
CTC's share, and where attention's scores are normalised by length, so is this. lm_weight 0 is taken as its default:
else the neural model had no say.

A word that the neural model lacks is one of those that its <unk> stands for, and has a share in its probability, as in
`asr.lm.interpolation`: among the words that the n-gram model has beside it, and <unk>, by their unigram probabilities;
without an n-gram model all words of the search's lexicon and hot phrases have as much. To words that are unknown there,
too, unk_score is added, and to those in no list unk_letter_score for each letter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr.data.transcript import Hypothesis
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.greedy import written_tokens
from asr.decode.second_pass import SecondPass
from asr.lm.ngram import NgramModel
from asr.models.decoding_options import DecodingOptions
from asr.models.model import Model
from asr.models.neural_lm import UNK, NeuralLm, read_neural_lm
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from asr.decode.search import EncoderOutput, Search

_MOST_KNOWN = 10_000  # texts


class Rescoring(SecondPass):
    """Several texts of another search, in a new order.

    Args:
        model: Whose texts they are.
        lm: A neural language model over words, or over the model's tokens; or its file.
        search: The first pass. Where it has a search with CTC, that one knows the words that can be heard, and the
            n-gram model.
        options: rescore_weight, rescore_beam, lm_weight, nbest; unk_score and unk_letter_score of words that nothing
            has.

    Raises:
        InputError: The language model is of other units.
    """

    def __init__(self, model: Model, lm: NeuralLm | str | Path, search: Search, options: DecodingOptions) -> None:
        super().__init__(search, options)
        self.lm = lm if isinstance(lm, NeuralLm) else read_neural_lm(lm)
        self._of_ctc = _unknown_words(self.lm, search.ctc)
        self._texts: dict[tuple[str, ...], float] = {}  # other warps of the mel axis find many of the same texts
        self.of_tokens = self.lm.words[1:] == model.tokenizer.tokens[1:]
        if not self.of_tokens and (UNK not in self.lm.index or not model.has_words):
            raise InputError(
                f"is neither of words nor of the tokens of {model.name or 'the model'}",
                where=lm if isinstance(lm, str | Path) else "language model",
                remedy="asr lm train-neural --model MODEL makes one that is",
            )

    def first_pass(self, options: DecodingOptions) -> dict[str, Any]:
        count = max(options.nbest, options.rescore_beam)
        return {**vars(options), "nbest": count, "beam_size": options.beam_size and max(options.beam_size, count)}

    def log_probs(self, out: EncoderOutput, nbest: Sequence[Sequence[Hypothesis]]) -> list[list[float]]:
        """Returns the neural model's log-probability of each text of each utterance."""
        return list(map(self.of_texts, nbest))

    def of_texts(self, several: Sequence[Hypothesis]) -> list[float]:
        """Returns the neural model's log-probabilities of texts."""
        texts = [tuple(written_tokens(each.tokens)) if self.of_tokens else tuple(each.text.split()) for each in several]
        new = list({text for text in texts if text not in self._texts})
        if len(self._texts) + len(new) > _MOST_KNOWN:
            self._texts, new = {}, list(set(texts))
        self._texts |= zip(new, self.lm.log_probs(new), strict=True)
        return [self._texts[text] for text in texts]

    def chosen(self, several: Sequence[Hypothesis], log_probs: Sequence[float]) -> list[Hypothesis]:
        """Texts in their order by all."""
        weight, lm_weight = self.options.rescore_weight, self.options.lm_weight or DecodingOptions().lm_weight
        scored = []
        for each, log_prob in zip(several, log_probs, strict=True):
            if not math.isfinite(each.score):  # nothing was found
                scored.append(each)
                continue
            shares, penalty = self._of_unknown(each)
            change = weight * (self.lm_share * (lm_weight * (log_prob + shares) + penalty) - each.lm_score)
            change /= (len(each.tokens) + 1) ** self.length_norm
            scored.append(replace(each, score=each.score + change, lm_score=each.lm_score + change))
        return sorted(scored, key=lambda h: -h.score)[: self.options.nbest]

    def _of_unknown(self, hypothesis: Hypothesis) -> tuple[float, float]:
        """Of words that the neural model lacks: log of their shares in <unk>, and what else they are given."""
        shares = penalty = 0.0
        if self.of_tokens:
            return shares, penalty
        others = self._of_ctc if self.ctc else _Unknown()
        for word in hypothesis.text.split():
            if word in self.lm.index:
                continue
            shares += others.log_share(word)
            if word not in (others.listed if others.ngram is None else others.ngram.index):
                penalty += self.options.unk_score
            if word not in others.listed:
                penalty += self.options.unk_letter_score * len(word)
        return shares, penalty


@dataclass(frozen=True)
class _Unknown:
    """What is known of words that a neural model lacks.

    Args:
        listed: Words that the search does not have to spell.
        ngram: A model of words.
        log_total: The logarithm of what they have together: of the n-gram model's probability; without it, each has 1,
            and <unk> too.
    """

    listed: frozenset[str] = frozenset()
    ngram: NgramModel | None = None
    log_total: float = 0.0

    def log_share(self, word: str) -> float:
        """The logarithm of a word's share in the probability of all."""
        own = 0.0 if self.ngram is None else math.log(10) * float(self.ngram.log_prob[1 + self.ngram.id(word)])
        return own - self.log_total


def _unknown_words(lm: NeuralLm, decoder: CtcBeamDecoder | None) -> _Unknown:
    if decoder is None or decoder.by_token:
        return _Unknown()
    listed = frozenset(decoder.vocabulary)
    if (ngram := decoder.lm) is None:
        return _Unknown(listed, None, math.log(1 + len(listed - lm.index.keys())))
    lacking = ngram.index.keys() - lm.index.keys() - {"<s>", "</s>", "<UNK>"} | {"<unk>"}
    ids = np.fromiter((ngram.index[word] for word in lacking), np.int64, len(lacking))
    return _Unknown(listed, ngram, float(np.logaddexp.reduce(math.log(10) * ngram.log_prob[1 + ids].astype(float))))
