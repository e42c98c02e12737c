"""How a model's attention decoder finds texts, or chooses among those that CTC's search found.

B utterances, T frames, V tokens, D encoder width, K hypotheses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asr.data.transcript import Hypothesis, Word
from asr.decode.align import align_tokens
from asr.decode.attention_beam import TokenHypothesis, attention_beam_search
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.ctc_prefix import CtcPrefixScorer
from asr.decode.greedy import said, written_tokens
from asr.decode.token_lm import TokenLm
from asr.models.decoder import Decoder
from asr.models.decoding_options import DecodingOptions
from asr.models.model import Model
from asr.models.neural_lm import NeuralTokenLm, is_neural_lm
from asr.utils.errors import InputError

_MOST_RESCORED = 64  # texts that are scored at a time


class AttentionSearch:
    """Callable as a Search: the decoder says the tokens, joined with CTC as ctc_weight has it.

    `times` says whether the first text of each utterance gets times and confidences; else `timed` gives them.

    Raises:
        InputError: The model has no decoder; the language model is of other units.
    """

    def __init__(self, model: Model, options: DecodingOptions, lm: str | Path | None = None) -> None:
        self.model, self.decoder = model, attention_decoder(model)
        trained_with_ctc = model.config.decoder.ctc_weight > 0
        self.options = options if trained_with_ctc else replace(options, ctc_weight=0.0)
        self.lm = None if lm is None else _token_lm(lm, model.tokenizer.tokens)
        self.number = {token: i for i, token in enumerate(model.tokenizer.tokens)}
        self.times = True

    @torch.inference_mode()
    def __call__(
        self,
        log_probs: Tensor,
        lens: Tensor,
        names: Sequence[str] | None = None,
        *,
        confidences: bool = True,
        encoder_out: Tensor,
    ) -> list[list[Hypothesis]]:
        memory: Any
        memory, state = self.decoder.start(encoder_out, lens)
        found = attention_beam_search(
            lambda tokens, state: self.decoder.step(tokens.to(encoder_out.device), state, memory),
            state,
            lens.cpu(),
            self.options,
            ctc=CtcPrefixScorer(log_probs, lens) if self.options.ctc_weight else None,
            lm=None if self.lm is None else (self.lm, self.lm.start(len(lens))),
        )
        hypotheses = [[self._hypothesis(each) for each in several] for several in found]
        return self.timed(hypotheses, log_probs, lens, encoder_out=encoder_out) if self.times else hypotheses

    @torch.inference_mode()
    def timed(
        self,
        found: Sequence[list[Hypothesis]],
        log_probs: Tensor,
        lens: Tensor,
        *_: Any,
        encoder_out: Tensor,
        **__: Any,
    ) -> list[list[Hypothesis]]:
        """What a call found, the first of each utterance with its words' times and confidences."""
        texts = [[self.number[token.text] for token in several[0].tokens] for several in found]
        units = self._timed(encoder_out, log_probs, lens, texts)
        firsts = [
            replace(several[0], words=timed.words, tokens=timed.tokens)
            for several, timed in zip(found, map(self._said, units), strict=True)
        ]
        return [[first, *several[1:]] for first, several in zip(firsts, found, strict=True)]

    def _said(self, units: list[Word], **scores: float) -> Hypothesis:
        return said(units, words=self.model.has_words, apart=self.model.tokenizer.kind == "phones", **scores)

    def _timed(
        self, encoder_out: Tensor, log_probs: Tensor, lens: Tensor, texts: Sequence[Sequence[int]]
    ) -> list[list[Word]]:
        """The tokens of a text each, when CTC hears them, or, where it has not learnt, the decoder looks there."""
        tokens, token_lens = _padded([[text] for text in texts])
        given = encoder_out, lens, tokens.to(encoder_out.device), token_lens.to(encoder_out.device)
        sure, maps = self.decoder.given(*given, maps=True)
        assert maps is not None
        looked = maps[:, :, 0].float().mean(1).cpu().numpy()  # (B, U + 1, T)
        seconds, names = self.model.recognizer.frame_seconds, self.model.tokenizer.tokens
        found = []
        for b, text in enumerate(texts):
            frames = int(lens[b])
            spans = None
            if self.options.ctc_weight:
                spans = align_tokens(log_probs[b, :frames].cpu().numpy(), text)
            edges = [(s.start, s.end) for s in spans] if spans is not None else _looked(looked[b, : len(text), :frames])
            found.append(
                [
                    Word(names[token], start * seconds, end * seconds, min(1.0, math.exp(float(sure[b, 0, u, token]))))
                    for u, (token, (start, end)) in enumerate(zip(text, edges, strict=True))
                ]
            )
        return found

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


class TwoPassSearch:
    """Callable as a Search: the best texts of CTC's search, chosen by both.

    score = ctc_weight * CTC's with language model and all + (1 - ctc_weight) * log p_attention + length_reward * tokens
    """

    def __init__(self, model: Model, search: CtcBeamDecoder) -> None:
        self.decoder, self.options = attention_decoder(model), search.options
        self.search = search.with_options(nbest=max(search.options.nbest, search.options.attention_beam))
        self.number = {token: i for i, token in enumerate(model.tokenizer.tokens)}

    @torch.inference_mode()
    def __call__(
        self,
        log_probs: Tensor,
        lens: Tensor,
        names: Sequence[str] | None = None,
        *,
        confidences: bool = True,
        encoder_out: Tensor,
    ) -> list[list[Hypothesis]]:
        found = self.search.decode(log_probs, lens, names, confidences=confidences)
        states = [encoder_out[b : b + 1, :n] for b, n in enumerate(lens.tolist())]
        return [
            self.chosen(several, self.attention(each, several))[: self.options.nbest]
            for several, each in zip(found, states, strict=True)
        ]

    def chosen(self, several: Sequence[Hypothesis], attention: Sequence[float]) -> list[Hypothesis]:
        """Texts in their order by both, given what the decoder thinks of them."""
        weight, reward = self.options.ctc_weight, self.options.length_reward
        scored = []
        for each, log_prob in zip(several, attention, strict=True):
            by_decoder, said = (1 - weight) * log_prob, reward * len(each.tokens)
            scored.append(
                replace(
                    each,
                    score=weight * each.score + by_decoder + said,
                    acoustic_score=weight * each.acoustic_score + by_decoder,
                    lm_score=weight * each.lm_score,
                    word_score=weight * each.word_score + said,
                    hotword_score=weight * each.hotword_score,
                )
            )
        return sorted(scored, key=lambda h: -h.score)

    @torch.inference_mode()
    def attention(self, encoder_out: Tensor, several: Sequence[Hypothesis]) -> list[float]:
        """log p_attention of texts of one utterance (1, T, D)."""
        return self._log_probs(
            encoder_out, [[self.number[token] for token in written_tokens(each.tokens)] for each in several]
        )

    def _log_probs(self, encoder_out: Tensor, texts: Sequence[Sequence[int]]) -> list[float]:
        """Of each text of one utterance (1, T, D)."""
        if not encoder_out.shape[1]:
            return [0.0] * len(texts)
        found: list[float] = []
        for begin in range(0, len(texts), _MOST_RESCORED):
            tokens, token_lens = (x.to(encoder_out.device) for x in _padded([texts[begin : begin + _MOST_RESCORED]]))
            lens = torch.tensor([encoder_out.shape[1]], device=encoder_out.device)
            log_probs, _ = self.decoder.given(encoder_out, lens, tokens, token_lens)  # (1, K, U + 1, V)
            targets = torch.nn.functional.pad(tokens, (0, 1))
            each = log_probs.gather(3, targets[..., None])[..., 0]  # (1, K, U + 1)
            real = torch.arange(targets.shape[2], device=tokens.device) <= token_lens[..., None]
            found += each.double().masked_fill(~real, 0.0).sum(2)[0].tolist()
        return found


def _token_lm(lm: str | Path, tokens: Sequence[str]) -> TokenLm | NeuralTokenLm:
    """A language model of tokens as a step function, whatever it is made of."""
    return NeuralTokenLm(lm, tokens) if is_neural_lm(lm) else TokenLm(lm, tokens)


def attention_decoder(model: Model) -> Decoder:
    """A model's attention decoder, of its main head's tokens."""
    if model.recognizer.decoder is None:
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
    return model.recognizer.decoder


def _padded(texts: Sequence[Sequence[Sequence[int]]]) -> tuple[Tensor, Tensor]:
    """Texts of each utterance, as many of each -> (B, K, U), lengths (B, K)."""
    lens = torch.tensor([[len(text) for text in own] for own in texts])
    tokens = torch.zeros(*lens.shape, int(lens.max()), dtype=torch.long)
    for b, own in enumerate(texts):
        for k, text in enumerate(own):
            tokens[b, k, : len(text)] = torch.tensor(text, dtype=torch.long)
    return tokens, lens


def _looked(weights: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Weights (U, T) -> a frame of each token: where the decoder looked most, never before the token before."""
    frames = np.maximum.accumulate(weights.argmax(1)) if weights.size else np.zeros(len(weights), int)
    return [(int(frame), int(frame) + 1) for frame in frames]
