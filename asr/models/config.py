"""All that a model is, but for its tokens and weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, cast, get_args

from asr.audio.features import FeatureConfig
from asr.models.attention_decoder import DecoderConfig
from asr.models.rnn import EncoderConfig
from asr.text.normalize import TextConfig
from asr.text.tokenizer import SIZED, Kind, TokenizerConfig
from asr.utils.config import require


@dataclass(frozen=True, kw_only=True)
class CriterionConfig:
    """What training lowers."""

    # ctc | ctc-crf: normalised over the whole utterance, by an n-gram model of the training texts' tokens
    kind: Literal["ctc", "ctc-crf"] = "ctc"
    ctc_share: float = 0.1  # ctc-crf: of CTC's loss, which is added
    warm_up_epochs: int = 3  # ctc-crf: the first, with CTC alone
    order: int = 0  # ctc-crf: of the n-gram model, 2 or 3; 0: 3 of up to 64 tokens, 2 of more

    def __post_init__(self) -> None:
        require(0 <= self.ctc_share <= 10, f"criterion.ctc_share {self.ctc_share} is not between 0 and 10")
        require(self.warm_up_epochs >= 0, f"criterion.warm_up_epochs {self.warm_up_epochs} is below 0")
        require(self.order in (0, 2, 3), f"criterion.order {self.order} is not 0, 2 or 3")


@dataclass(frozen=True, kw_only=True)
class IntermediateConfig:
    """CTC within the encoder (Lee and Watanabe 2021): a layer before the last learns the main head's tokens, too."""

    layer: int = 0  # counted from 1; 0: none
    weight: float = 0.2  # share of the loss

    def __post_init__(self) -> None:
        require(self.layer >= 0, f"intermediate.layer {self.layer} is below 0")
        require(0 < self.weight < 1, f"intermediate.weight {self.weight} is not between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that a model is, but for its tokens and weights."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    text: TextConfig = field(default_factory=TextConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    # kinds of tokens, a CTC head each, all learnt at once: [phones, characters]. The first is the one that is used
    # where none is asked for. Empty: that of `tokenizer` alone, whose settings hold for each
    heads: tuple[str, ...] = ()
    head_weights: tuple[float, ...] = ()  # of their losses; empty: the same for each
    intermediate: IntermediateConfig = field(default_factory=IntermediateConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)  # of the main head's tokens

    def __post_init__(self) -> None:
        heads, weights, kind = list(self.heads), list(self.head_weights), self.tokenizer.kind
        known = get_args(Kind)
        for head in heads:
            require(head in known, f"heads {heads}: {head!r} is none of {', '.join(known)}")
        require(len(set(heads)) == len(heads), f"heads {heads}: one of them stands there twice")
        require(
            not heads or kind in ("characters", *heads),
            f"tokenizer.kind {kind} is none of the heads {heads}: leave it out",
        )
        require(len(weights) in (0, len(self.kinds)), f"head_weights {weights} are not one for each of the heads")
        require(all(0 < weight < math.inf for weight in weights), f"head_weights {weights}: not all above 0")
        require(
            self.intermediate.layer < self.encoder.layers,
            f"intermediate.layer {self.intermediate.layer} is not below encoder.layers {self.encoder.layers}",
        )
        require(
            not self.tokenizer.size or bool(set(SIZED) & set(self.kinds)),
            f"tokenizer.size means nothing for {', '.join(self.kinds)}: it is for {', '.join(SIZED)}",
        )
        require(
            self.text.words != "none" or not {"words", "phones"} & set(self.kinds),
            f"tokens of kind {', '.join(self.kinds)} need words, and the texts have no spaces between them",
        )

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of tokens, those of the main head first."""
        return cast("tuple[Kind, ...]", self.heads) or (self.tokenizer.kind,)

    def tokenizer_of(self, kind: Kind) -> TokenizerConfig:
        """The settings of a head's tokenizer."""
        return replace(self.tokenizer, kind=kind, size=self.tokenizer.size if kind in SIZED else 0)
