"""A recogniser with all that it needs to be used: tokens, normalisation, language model, lexicon, options."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from asr.lm.ngram import NgramModel
from asr.models.config import ModelConfig
from asr.models.decoding_options import DecodingOptions
from asr.models.recognizer import Recognizer
from asr.text.normalize import TextNormalizer
from asr.text.tokenizer import Tokenizer
from asr.utils.errors import InputError


@dataclass
class Head:
    """What belongs to one head of a model."""

    tokenizer: Tokenizer
    token_lm: NgramModel | None = None  # CTC-CRF's
    log_prior: torch.Tensor | None = None  # (V,) log of the mean posterior of each token on training speech
    decoding: DecodingOptions | None = None  # as tuned
    lm: Path | None = None  # the folder's own language model
    lexicon: Path | None = None
    neural_lm: Path | None = None  # another one, that chooses among texts


@dataclass
class Model:
    """A recogniser with all it needs to be used; what a Head has, too, is the main head's."""

    recognizer: Recognizer
    tokenizer: Tokenizer
    config: ModelConfig
    name: str = ""
    token_lm: NgramModel | None = None
    log_prior: torch.Tensor | None = None
    trained_on: torch.Tensor | None = None  # int64, sorted: utterance_keys of what it was trained on
    decoding: DecodingOptions | None = None
    lm: Path | None = None  # the folder's own language model
    lexicon: Path | None = None
    neural_lm: Path | None = None
    others: dict[str, Head] = field(default_factory=dict)  # the heads that are not used, by the kinds of their tokens

    def normalizer(self) -> TextNormalizer:
        """A new normaliser of texts, as the model was trained with."""
        return TextNormalizer(self.config.text)

    @property
    def has_words(self) -> bool:
        """Whether its texts have spaces between words."""
        return self.config.text.words != "none"

    @property
    def heads(self) -> dict[str, Head]:
        """All heads, the configuration's first one first."""
        main = Head(self.tokenizer, self.token_lm, self.log_prior, self.decoding, self.lm, self.lexicon)
        main.neural_lm = self.neural_lm
        found = {self.recognizer.main: main, **self.others}
        return {kind: found[kind] for kind in self.config.kinds}

    @property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """The tokenizer of each head."""
        return {kind: head.tokenizer for kind, head in self.heads.items()}

    def use_head(self, kind: str) -> None:
        """Makes another head the main one."""
        heads = self.heads
        if kind not in heads:
            raise InputError(f"{self.name or 'the model'} has no head {kind!r}", remedy=f"it has {', '.join(heads)}")
        head = heads.pop(kind)
        for name, value in vars(head).items():
            setattr(self, name, value)
        self.recognizer.main, self.others = kind, heads


def utterance_keys(utterances: Iterable[tuple[str, float]]) -> torch.Tensor:
    """Ids and durations (s) of utterances -> int64, sorted: numbers that tell whether one is among others."""
    digests = {hashlib.blake2b(f"{key} {seconds:.3f}".encode(), digest_size=8).digest() for key, seconds in utterances}
    return torch.tensor(sorted(int.from_bytes(digest, "little", signed=True) for digest in digests), dtype=torch.int64)
