"""All that a model is, but for its tokens and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from asr.audio.features import FeatureConfig
from asr.models.attention_decoder import AttentionDecoderConfig as AttentionDecoderConfig
from asr.models.criterion import CriterionConfig, CtcConfig
from asr.models.ctc_crf import CtcCrfConfig as CtcCrfConfig
from asr.models.decoder import DecoderConfig, NoDecoderConfig
from asr.models.encoder import EncoderConfig
from asr.models.rnn import RnnConfig
from asr.models.transformer import (
    TransformerConfig as TransformerConfig,
    TransformerDecoderConfig as TransformerDecoderConfig,
)
from asr.text.normalize import TextConfig
from asr.text.tokenizer import SIZED, Kind, TokenizerConfig
from asr.utils.config import Config, KindConfig, require, setting, settings

# Parts of which there are several kinds, each with its table.
_KINDS: dict[str, type[KindConfig]] = {"encoder": EncoderConfig, "criterion": CriterionConfig, "decoder": DecoderConfig}


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
    encoder: EncoderConfig = field(default_factory=RnnConfig)
    criterion: CriterionConfig = field(default_factory=CtcConfig)
    decoder: DecoderConfig = field(default_factory=NoDecoderConfig)  # of the main head's tokens

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

    @property
    def plugins(self) -> list[str]:
        """The modules outside this package that parts of the model come from."""
        modules = {type(part).__module__ for part in (self.encoder, self.criterion, self.decoder)}
        return sorted(module for module in modules if not module.startswith("asr."))

    def tokenizer_of(self, kind: Kind) -> TokenizerConfig:
        """The settings of a head's tokenizer."""
        return replace(self.tokenizer, kind=kind, size=self.tokenizer.size if kind in SIZED else 0)


def without_foreign_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """A ModelConfig's values of format 1, in which all kinds of a part had the settings of each: its own alone."""
    own = dict(values)
    for part, base in _KINDS.items():
        if isinstance(given := own.get(part), Mapping):
            known = {kind: {each.name for each in settings(config)} for kind, config in base.kinds.items()}
            foreign = set[str]().union(*known.values()) - known.get(str(given.get("kind", base.default_kind)), set())
            own[part] = {name: value for name, value in given.items() if name not in foreign}
    return own
