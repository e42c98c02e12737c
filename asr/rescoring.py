"""The texts that a search found, chosen anew with a neural language model.

    score = the search's own + weight * (lm_weight * log p_neural + what unknown words get - the other model's part)

so that the logarithms of both models are interpolated: weight 0 leaves the search's order, 1 puts the neural model in
the place of the other. Where the search had none, the neural model's part is added. In two-pass search all of this has
CTC's share, and where attention's scores are normalised by length, so is this. lm_weight 0 is taken as its default:
else the neural model had no say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr.attention_decoding import AttentionSearch
from asr.decode.greedy import written_tokens
from asr.decode.options import BeamOptions
from asr.errors import InputError
from asr.lm.neural import UNK, NeuralLm, read_neural_lm
from asr.model_folder import Model
from asr.transcript import Hypothesis

_MOST_KNOWN = 10_000  # texts


class Rescoring:
    """Callable as a Search: several texts of another search, in a new order.

    Args:
        model: Whose texts they are.
        lm: A neural language model over words, or over the model's tokens; or its file.
        search: It gives `options.rescore_beam` texts.
        options: rescore_weight, lm_weight, nbest; unk_score and unk_letter_score of words that the neural model lacks,
            the second where the search spells words freely.
        how: How it searches.
        spells: Whether it spells words freely: there is no lexicon.
        listed: Words that it knows besides, of hot phrases.

    Raises:
        InputError: The language model is of other units.
    """

    def __init__(
        self,
        model: Model,
        lm: NeuralLm | str | Path,
        search: Callable[..., list[list[Hypothesis]]],
        options: BeamOptions,
        *,
        how: str = "ctc",
        spells: bool = False,
        listed: Collection[str] = (),
    ) -> None:
        self.lm = lm if isinstance(lm, NeuralLm) else read_neural_lm(lm)
        self.search, self.options, self.how = search, options, how
        self.spells, self.listed = spells, set(listed)
        self._known: dict[tuple[str, ...], float] = {}  # other warps of the mel axis find many of the same texts
        self.of_tokens = self.lm.words[1:] == model.tokenizer.tokens[1:]
        if not self.of_tokens and (UNK not in self.lm.index or not model.has_words):
            raise InputError(
                f"is neither of words nor of the tokens of {model.name or 'the model'}",
                where=lm if isinstance(lm, str | Path) else "language model",
                remedy="asr lm train --kind lstm --model MODEL makes one that is",
            )

    def __call__(self, *given: Any, **more: Any) -> list[list[Hypothesis]]:
        found = [self.chosen(several) for several in self.search(*given, **more)]
        return self.search.timed(found, *given, **more) if isinstance(self.search, AttentionSearch) else found

    def log_probs(self, several: Sequence[Hypothesis]) -> list[float]:
        """What the neural model thinks of texts."""
        texts = [tuple(written_tokens(each.tokens)) if self.of_tokens else tuple(each.text.split()) for each in several]
        new = list({text for text in texts if text not in self._known})
        if len(self._known) + len(new) > _MOST_KNOWN:
            self._known, new = {}, list(set(texts))
        self._known |= zip(new, self.lm.log_probs(new), strict=True)
        return [self._known[text] for text in texts]

    def chosen(self, several: Sequence[Hypothesis], log_probs: Sequence[float] | None = None) -> list[Hypothesis]:
        """Texts in their order by all."""
        weight, lm_weight = self.options.rescore_weight, self.options.lm_weight or BeamOptions().lm_weight
        share = self.options.ctc_weight if self.how == "two-pass" else 1.0
        norm = self.options.length_norm if self.how == "attention" else 0.0
        scored = []
        for each, log_prob in zip(several, self.log_probs(several) if log_probs is None else log_probs, strict=True):
            if not math.isfinite(each.score):  # nothing was found
                scored.append(each)
                continue
            change = weight * (share * (lm_weight * log_prob + self._unknown(each)) - each.lm_score)
            change /= (len(each.tokens) + 1) ** norm
            scored.append(replace(each, score=each.score + change, lm_score=each.lm_score + change))
        return sorted(scored, key=lambda h: -h.score)[: self.options.nbest]

    def _unknown(self, hypothesis: Hypothesis) -> float:
        """What words that the neural model lacks are given."""
        if self.of_tokens:
            return 0.0
        unknown = [word for word in hypothesis.text.split() if word not in self.lm.index]
        letters = sum(len(word) for word in unknown if word not in self.listed) if self.spells else 0
        return self.options.unk_score * len(unknown) + self.options.unk_letter_score * letters
