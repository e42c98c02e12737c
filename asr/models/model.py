"""A recogniser with all that it needs to be used: tokens, normalisation, language model, lexicon, options."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
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
    """A recogniser with all it needs to be used."""

    recognizer: Recognizer
    config: ModelConfig
    heads: dict[str, Head]  # by the kinds of their tokens, the configuration's first one first
    name: str = ""
    trained_on: torch.Tensor | None = None  # int64, sorted: utterance_keys of what it was trained on

    @property
    def main(self) -> str:
        """The kind of the head that is used."""
        return self.recognizer.main

    @property
    def head(self) -> Head:
        """The head that is used."""
        return self.heads[self.main]

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the head that is used."""
        return self.head.tokenizer

    @property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """The tokenizer of each head."""
        return {kind: head.tokenizer for kind, head in self.heads.items()}

    def use_head(self, kind: str) -> None:
        """Makes another head the main one."""
        if kind not in self.heads:
            raise InputError(
                f"{self.name or 'the model'} has no head {kind!r}", remedy=f"it has {', '.join(self.heads)}"
            )
        self.recognizer.main = kind

    def normalizer(self) -> TextNormalizer:
        """A new normaliser of texts, as the model was trained with."""
        return TextNormalizer(self.config.text)

    @property
    def has_words(self) -> bool:
        """Whether its texts have spaces between words."""
        return self.config.text.words != "none"


def utterance_keys(utterances: Iterable[tuple[str, float]]) -> torch.Tensor:
    """Ids and durations (s) of utterances -> int64, sorted: numbers that tell whether one is among others."""
    digests = {hashlib.blake2b(f"{key} {seconds:.3f}".encode(), digest_size=8).digest() for key, seconds in utterances}
    return torch.tensor(sorted(int.from_bytes(digest, "little", signed=True) for digest in digests), dtype=torch.int64)
