"""How a model's log-probabilities become text: greedily, or by beam search with what its folder holds."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from asr.config import to_dict
from asr.decode.ctc_beam import BeamOptions, CtcBeamDecoder, with_options
from asr.decode.greedy import greedy_search
from asr.errors import InputError
from asr.model_folder import Model
from asr.models.recognizer import Recognizer
from asr.tokenizer import PhoneTokenizer
from asr.transcript import Hypothesis

log = logging.getLogger(__name__)

TOKEN_SEARCH = BeamOptions(beam_size=16, lm_weight=1.0, unk_score=0.0, unk_letter_score=0.0, lm_unit="token")


@dataclass(frozen=True)
class Heard:
    """What was heard of a batch."""

    nbest: list[list[Hypothesis]]  # of each utterance, best first
    log_probs: Tensor  # (B, T, V), of the features as they are
    lens: Tensor  # (B,)


@dataclass(frozen=True)
class Decoding:
    """Callable: (log_probs (B, T, V), lens (B,), names) -> the hypotheses of each utterance, best first."""

    search: Callable[[Tensor, Tensor, Sequence[str] | None], list[list[Hypothesis]]]
    facts: dict[str, Any]  # what a result was decoded with
    units: bool = False  # whether it gives the tokens themselves, phones, and not words
    warps: tuple[float, ...] = ()  # of the mel axis, that are tried

    def __call__(self, log_probs: Tensor, lens: Tensor, names: Sequence[str] | None = None) -> list[list[Hypothesis]]:
        return self.search(log_probs, lens, names)

    def hear(
        self,
        recognizer: Recognizer,
        samples: Tensor,
        sample_lens: Tensor,
        names: Sequence[str] | None = None,
        speakers: Sequence[str] | None = None,
        *,
        timed: Callable[[str], AbstractContextManager[None]] = lambda stage: nullcontext(),
    ) -> Heard:
        """Samples (B, N), lengths (B,) -> hypotheses; of several warps those of the best score, for each utterance.

        Args:
            timed: Makes what each stage runs within: features, network, decoding.
        """
        with timed("features"):
            features, feature_lens = recognizer.features(samples, sample_lens, speakers)

        def network(warp: float) -> tuple[Tensor, Tensor]:
            with timed("network"):
                return recognizer.log_probs(features, feature_lens, warp=warp)

        def search(log_probs: Tensor) -> list[list[Hypothesis]]:
            with timed("decoding"):
                return self(log_probs, lens, names)

        log_probs, lens = network(1.0)
        ways = [search(log_probs if warp == 1 else network(warp)[0]) for warp in self.warps or (1.0,)]
        best = [max(several, key=lambda nbest: nbest[0].score) for several in zip(*ways, strict=True)]
        return Heard(best, log_probs, lens)

    @property
    def several(self) -> bool:
        """Whether more hypotheses than the best were asked for."""
        return bool(self.facts.get("nbest", 1) > 1)


def greedy_decoding(model: Model, *, threads: int = 0) -> Decoding:
    """The best token of each frame; of CTC-CRF, whose frames tell little alone, the best ones with the token model."""
    units = model.tokenizer.kind == "phones"
    if model.token_lm is not None and not model.warming_up:
        decoder = CtcBeamDecoder(
            model.tokenizer.tokens,
            lm=model.token_lm,
            frame_seconds=model.recognizer.frame_seconds,
            words=model.has_words,
            options=TOKEN_SEARCH,
            threads=threads,
        )
        return Decoding(decoder.decode, {"search": "greedy with token model"}, units=units)

    def search(log_probs: Tensor, lens: Tensor, names: Sequence[str] | None) -> list[list[Hypothesis]]:
        found = greedy_search(
            log_probs,
            lens,
            model.tokenizer.tokens,
            frame_seconds=model.recognizer.frame_seconds,
            words=model.has_words,
            apart=units,
        )
        return [[hypothesis] for hypothesis in found]

    return Decoding(search, {"search": "greedy"}, units=units)


def beam_decoder(
    model: Model,
    *,
    lm: str | Path | None = None,
    lexicon: str | Path | None = None,
    hotwords: str | Path | None = None,
    options: BeamOptions | None = None,
    threads: int = 0,
) -> CtcBeamDecoder:
    """The beam search of a model: with its folder's language model and lexicon, where no others are given.

    Phones without a lexicon have that of their training.
    """
    if options is not None and options.warps and model.config.features.kind != "fbank":
        raise InputError("warps are of the mel axis, which mfcc does not have", where="warps")
    own = model.tokenizer.lexicon if isinstance(model.tokenizer, PhoneTokenizer) else None
    return CtcBeamDecoder(
        model.tokenizer.tokens,
        lm=lm or model.lm,
        lexicon=lexicon or model.lexicon or own,
        hotwords=hotwords,
        log_prior=None if model.log_prior is None else model.log_prior.double().numpy(),
        frame_seconds=model.recognizer.frame_seconds,
        words=model.has_words,
        options=options or model.decoding,
        threads=threads,
    )


def decoding_for(
    model: Model,
    *,
    greedy: bool = False,
    lm: str | Path | None = None,
    lexicon: str | Path | None = None,
    hotwords: str | Path | None = None,
    threads: int = 0,
    **changes: Any,
) -> Decoding:
    """What `asr transcribe` and `asr evaluate` decode with.

    Beam search, where its folder has a language model, a lexicon or tuned options, or where any is given here; else, or
    with `greedy`, greedy search.

    Args:
        lm: A language model's file, instead of the folder's.
        lexicon: A lexicon's file, instead of the folder's.
        hotwords: A file of phrases.
        threads: Of the search; 0: as many as there are processors.
        changes: Fields of BeamOptions, instead of the folder's.
    """
    asked = lm or lexicon or hotwords or changes
    phones = model.tokenizer.kind == "phones"
    if greedy or not (asked or phones or model.lm or model.lexicon or model.decoding):
        return greedy_decoding(model, threads=threads)
    options = with_options(model.decoding or BeamOptions(), changes)
    decoder = beam_decoder(model, lm=lm, lexicon=lexicon, hotwords=hotwords, options=options, threads=threads)
    if options.prior_weight and model.log_prior is None:
        log.warning("%s: the model has no prior of its tokens: prior_weight means nothing", model.name)
    files = {"lm": lm or model.lm, "lexicon": lexicon or model.lexicon, "hotwords": hotwords}
    named = {name: Path(path).name for name, path in files.items() if path}
    if phones:
        named.setdefault("lexicon", "pronunciations.txt")
    facts = {name: None if value == math.inf else value for name, value in to_dict(options).items()}  # JSON has no inf
    return Decoding(decoder.decode, {"search": "beam", **facts, **named}, warps=options.warps)
