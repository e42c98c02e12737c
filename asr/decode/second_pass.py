"""Searches that choose anew among the texts that another search found.

B utterances, K texts, T frames, U tokens, V vocabulary.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from asr.data.transcript import Hypothesis
from asr.decode.attention_search import attention_decoder
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.greedy import written_tokens
from asr.models.decoding_options import DecodingOptions, with_options
from asr.models.model import Model
from asr.utils.masks import padded

if TYPE_CHECKING:
    from typing_extensions import Self

    from asr.decode.search import EncoderOutput, Search

_MOST_RESCORED = 64  # texts that are scored at a time


class SecondPass(ABC):
    """A Search among the texts of another one, its first pass.

    What takes long, `log_probs`, does not depend on the options that `chosen` weighs it by.
    """

    def __init__(self, search: Search, options: DecodingOptions) -> None:
        self._known: dict[int, tuple[EncoderOutput, list[list[Hypothesis]], list[list[float]]]] = {}
        self._follow(search, options)

    def _follow(self, search: Search, options: DecodingOptions) -> None:
        """Takes a first pass, and options."""
        self.options, self.search = options, search.with_options(**self.first_pass(options))
        self.needs_states, self.has_times = self.search.needs_states, self.search.has_times
        self.lm_share, self.length_norm = self.search.lm_share, self.search.length_norm

    @property
    def ctc(self) -> CtcBeamDecoder | None:
        return self.search.ctc

    @abstractmethod
    def first_pass(self, options: DecodingOptions) -> dict[str, Any]:
        """The options of the first pass: it has to find enough texts."""

    @abstractmethod
    def log_probs(self, out: EncoderOutput, nbest: Sequence[Sequence[Hypothesis]]) -> list[list[float]]:
        """Returns the second pass's log-probability of each text of each utterance."""

    @abstractmethod
    def chosen(self, several: Sequence[Hypothesis], log_probs: Sequence[float]) -> list[Hypothesis]:
        """Texts of an utterance in their order by both passes, `options.nbest` of them."""

    def nbest(self, out: EncoderOutput, names: Sequence[str] | None = None) -> list[list[Hypothesis]]:
        """The best of the texts that the first pass finds."""
        _, found, log_probs = self._known.get(id(out)) or self._found(out, names)
        return list(map(self.chosen, found, log_probs))

    def _found(
        self, out: EncoderOutput, names: Sequence[str] | None = None
    ) -> tuple[EncoderOutput, list[list[Hypothesis]], list[list[float]]]:
        found = self.search.nbest(out, names)
        return out, found, self.log_probs(out, found)

    def knowing(self, outs: Iterable[EncoderOutput]) -> Self:
        """The same search, which has the texts of some outputs already: with other options of its own it is quick."""
        other = copy.copy(self)
        other._known = {id(out): self._found(out) for out in outs}
        return other

    def add_times(self, out: EncoderOutput, nbest: Sequence[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """Adds confidences and times as the first pass does."""
        return self.search.add_times(out, nbest)

    def with_options(self, **changes: Any) -> Self:
        """The same passes with other options; texts that are known stay."""
        other = self.after(self.search, with_options(self.options, changes))
        other._known = self._known
        return other

    def after(self, search: Search, options: DecodingOptions) -> Self:
        """The same second pass after another first one."""
        other = copy.copy(self)
        other._known = {}
        other._follow(search, options)
        return other


class TwoPassSearch(SecondPass):
    """The best texts of CTC's search, chosen by both.

    score = ctc_weight * CTC's with language model and all + (1 - ctc_weight) * log p_attention + length_reward * tokens
    """

    def __init__(self, model: Model, search: CtcBeamDecoder) -> None:
        super().__init__(search, search.options)
        self.decoder = attention_decoder(model)
        self.number = {token: i for i, token in enumerate(model.tokenizer.tokens)}

    def _follow(self, search: Search, options: DecodingOptions) -> None:
        super()._follow(search, options)
        self.needs_states, self.lm_share = True, options.ctc_weight

    def first_pass(self, options: DecodingOptions) -> dict[str, Any]:
        return {**vars(options), "nbest": max(options.nbest, options.attention_beam)}

    def chosen(self, several: Sequence[Hypothesis], log_probs: Sequence[float]) -> list[Hypothesis]:
        """Texts in their order by both, given what the decoder thinks of them."""
        weight, reward = self.options.ctc_weight, self.options.length_reward
        scored = []
        for each, log_prob in zip(several, log_probs, strict=True):
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
        return sorted(scored, key=lambda h: -h.score)[: self.options.nbest]

    @torch.inference_mode()
    def log_probs(self, out: EncoderOutput, nbest: Sequence[Sequence[Hypothesis]]) -> list[list[float]]:
        """log p_attention of the texts of each utterance."""
        device = next(self.decoder.parameters()).device
        return [
            self._of_utterance(torch.from_numpy(states[None, :n]).to(device), several) if n else [0.0] * len(several)
            for states, n, several in zip(out.states, out.lens.tolist(), nbest, strict=True)
        ]

    def _of_utterance(self, states: torch.Tensor, several: Sequence[Hypothesis]) -> list[float]:
        """Scores each text of one utterance (1, T, D)."""
        texts = [[self.number[token] for token in written_tokens(each.tokens)] for each in several]
        lens = torch.tensor([states.shape[1]], device=states.device)
        found: list[float] = []
        for begin in range(0, len(texts), _MOST_RESCORED):
            tokens, token_lens = (x[None].to(states.device) for x in padded(texts[begin : begin + _MOST_RESCORED]))
            log_probs, _ = self.decoder.given(states, lens, tokens, token_lens)  # (1, K, U + 1, V)
            targets = torch.nn.functional.pad(tokens, (0, 1))
            each = log_probs.gather(3, targets[..., None])[..., 0]  # (1, K, U + 1)
            real = torch.arange(targets.shape[2], device=tokens.device) <= token_lens[..., None]
            found += each.double().masked_fill(~real, 0.0).sum(2)[0].tolist()
        return found
