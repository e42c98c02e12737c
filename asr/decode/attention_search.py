"""How a model's attention decoder finds texts.

B utterances, T frames, V tokens, D encoder width, K hypotheses.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asr.data.transcript import Hypothesis, Word
from asr.decode.align import align_tokens
from asr.decode.attention_beam import TokenHypothesis, attention_beam_search
from asr.decode.ctc_prefix import CtcPrefixScorer
from asr.decode.greedy import said
from asr.decode.token_lm import TokenLm
from asr.models.decoder import StepDecoder
from asr.models.decoding_options import DecodingOptions, with_options
from asr.models.model import Model
from asr.models.neural_lm import NeuralTokenLm, is_neural_lm
from asr.utils.errors import InputError
from asr.utils.masks import padded

if TYPE_CHECKING:
    from asr.decode.search import EncoderOutput


class AttentionSearch:
    """The decoder says the tokens, joined with CTC as ctc_weight has it; a Search.

    Raises:
        InputError: The model has no decoder; the language model is of other units.
    """

    needs_states, has_times, lm_share, ctc = True, False, 1.0, None

    def __init__(self, model: Model, options: DecodingOptions, lm: str | Path | None = None) -> None:
        self.model, self.decoder = model, attention_decoder(model)
        self.lm: TokenLm | NeuralTokenLm | None = None
        if lm is not None:
            self.lm = (NeuralTokenLm if is_neural_lm(lm) else TokenLm)(lm, model.tokenizer.tokens)
        self.number = {token: i for i, token in enumerate(model.tokenizer.tokens)}
        self._set(options)

    def _set(self, options: DecodingOptions) -> None:
        self.options = options if self.model.config.decoder.ctc_weight else replace(options, ctc_weight=0.0)
        self.length_norm = options.length_norm

    def with_options(self, **changes: Any) -> AttentionSearch:
        """The same with other options."""
        other = copy.copy(self)
        other._set(with_options(self.options, changes))
        return other

    @torch.inference_mode()
    def nbest(self, out: EncoderOutput, names: Sequence[str] | None = None) -> list[list[Hypothesis]]:
        """Texts without times."""
        states, lens = self._tensors(out)
        memory: Any
        memory, state = self.decoder.start(states, lens)
        found = attention_beam_search(
            lambda tokens, state: self.decoder.step(tokens.to(states.device), state, memory),
            state,
            lens.cpu(),
            self.options,
            ctc=CtcPrefixScorer(*map(torch.from_numpy, out[:2])) if self.options.ctc_weight else None,
            lm=None if self.lm is None else (self.lm, self.lm.start(len(lens))),
        )
        return [[self._hypothesis(each) for each in several] for several in found]

    @torch.inference_mode()
    def add_times(self, out: EncoderOutput, nbest: Sequence[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """Adds times and confidences to the first hypothesis of each utterance.

        Times are from CTC's alignment, or, where CTC was not trained, from the attention; confidences are the
        decoder's probabilities.
        """
        texts = [[self.number[token.text] for token in several[0].tokens] for several in nbest]
        states, lens = self._tensors(out)
        tokens, token_lens = (x[:, None].to(states.device) for x in padded(texts))
        sure, maps = self.decoder.given(states, lens, tokens, token_lens, maps=True)
        assert maps is not None
        looked = maps[:, :, 0].float().mean(1).cpu().numpy()  # (B, U + 1, T)
        seconds, names, found = self.model.recognizer.frame_seconds, self.model.tokenizer.tokens, []
        for b, (text, n, several) in enumerate(zip(texts, out.lens.tolist(), nbest, strict=True)):
            spans = align_tokens(out.log_probs[b, :n], text) if self.options.ctc_weight else None
            edges = [span[:2] for span in spans] if spans is not None else _looked(looked[b, : len(text), :n])
            units = [
                Word(names[token], start * seconds, end * seconds, min(1.0, math.exp(float(sure[b, 0, u, token]))))
                for u, (token, (start, end)) in enumerate(zip(text, edges, strict=True))
            ]
            timed = self._said(units)
            found.append([replace(several[0], words=timed.words, tokens=timed.tokens), *several[1:]])
        return found

    def _tensors(self, out: EncoderOutput) -> tuple[Tensor, Tensor]:
        """States (B, T, D) and lengths (B,), where the decoder is."""
        device = next(self.decoder.parameters()).device
        return torch.from_numpy(out.states).to(device), torch.from_numpy(out.lens).to(device)

    def _said(self, units: list[Word], **scores: float) -> Hypothesis:
        return said(units, words=self.model.has_words, apart=self.model.tokenizer.kind == "phones", **scores)

    def _hypothesis(self, found: TokenHypothesis) -> Hypothesis:
        names, options = self.model.tokenizer.tokens, self.options
        lm = options.lm_weight * found.lm if self.lm is not None else 0.0
        reward = options.length_reward * len(found.tokens)
        return self._said(
            [Word(names[token], 0.0, 0.0, 0.0) for token in found.tokens],
            score=found.rank,
            acoustic_score=found.score - lm - reward,
            lm_score=lm,
            word_score=reward,
        )


def attention_decoder(model: Model) -> StepDecoder:
    """A model's attention decoder, of its main head's tokens."""
    decoder = model.recognizer.decoder
    if not isinstance(decoder, StepDecoder):
        raise InputError(
            "was trained with CTC alone: it has no attention decoder",
            where=model.name,
            remedy="search=ctc; or train one: model.decoder.kind=attention",
        )
    if model.recognizer.main != model.config.kinds[0]:
        raise InputError(
            f"its attention decoder is of {model.config.kinds[0]}, not {model.recognizer.main}",
            where=model.name,
            remedy="search=ctc, or leave --head out",
        )
    return decoder


def _looked(weights: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Weights (U, T) -> a frame of each token: where the decoder looked most, never before the token before."""
    frames = np.maximum.accumulate(weights.argmax(1)) if weights.size else np.zeros(len(weights), int)
    return [(int(frame), int(frame) + 1) for frame in frames]
