"""All that a model is, but for its tokens and weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from asr.audio.features import FeatureConfig
from asr.models.attention_decoder import DecoderConfig
from asr.models.rnn import EncoderConfig
from asr.text.normalize import TextConfig
from asr.text.tokenizer import SIZED, Kind, TokenizerConfig
from asr.utils.config import Config, require, setting


@dataclass(frozen=True, kw_only=True)
class CriterionConfig(Config):
    """What training lowers."""

    # ctc | ctc-crf: normalised over the whole utterance, by an n-gram model of the training texts' tokens
    kind: Literal["ctc", "ctc-crf"] = "ctc"
    ctc_share: float = setting(0.1, "[0, 10]")  # ctc-crf: of CTC's loss, which is added
    warm_up_epochs: int = setting(3, "[0, inf)")  # ctc-crf: the first, with CTC alone
    order: Literal[0, 2, 3] = 0  # ctc-crf: of the n-gram model, 2 or 3; 0: 3 of up to 64 tokens, 2 of more


@dataclass(frozen=True, kw_only=True)
class IntermediateConfig(Config):
    """CTC within the encoder (Lee and Watanabe 2021): a layer before the last learns the main head's tokens, too."""

    layer: int = setting(0, "[0, inf)")  # counted from 1; 0: none
    weight: float = setting(0.2, "(0, 1)")  # share of the loss


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """All that a model is, but for its tokens and weights."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    text: TextConfig = field(default_factory=TextConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    # kinds of tokens, a CTC head each, all learnt at once: [phones, characters]. The first is the one that is used
    # where none is asked for. Empty: that of `tokenizer` alone, whose settings hold for each
    heads: tuple[Kind, ...] = ()
    head_weights: tuple[float, ...] = setting((), "(0, inf)")  # of their losses; empty: the same for each
    intermediate: IntermediateConfig = field(default_factory=IntermediateConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)  # of the main head's tokens

    def __post_init__(self) -> None:
        super().__post_init__()
        heads, weights, kind = list(self.heads), list(self.head_weights), self.tokenizer.kind
        require(len(set(heads)) == len(heads), f"heads {heads}: one of them stands there twice")
        require(
            not heads or kind in ("characters", *heads),
            f"tokenizer.kind {kind} is none of the heads {heads}: leave it out",
        )
        require(len(weights) in (0, len(self.kinds)), f"head_weights {weights} are not one for each of the heads")
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
        return self.heads or (self.tokenizer.kind,)

    def tokenizer_of(self, kind: Kind) -> TokenizerConfig:
        """The settings of a head's tokenizer."""
        return replace(self.tokenizer, kind=kind, size=self.tokenizer.size if kind in SIZED else 0)
