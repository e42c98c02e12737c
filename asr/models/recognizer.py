"""The recogniser: features, encoder, CTC heads, and perhaps an attention decoder.

B batch, N samples, T frames, V vocabulary, U tokens, D encoder width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, cast, get_args

import torch
from torch import Tensor, nn

from asr.audio.features import FeatureConfig, Frontend
from asr.audio.spec_augment import SpecAugmentConfig, spec_augment, warp_frequency
from asr.models.attention_decoder import AttentionDecoder, DecoderConfig
from asr.models.ctc_crf import TokenNgram, ctc_crf_loss
from asr.models.losses import Loss, choose_pronunciations, ctc_loss
from asr.models.rnn import EncoderConfig, RnnEncoder, RnnLayer
from asr.models.transformer import TransformerDecoder, TransformerEncoder
from asr.text.normalize import TextConfig
from asr.text.tokenizer import SIZED, Kind, TokenizerConfig
from asr.utils.config import check, to_dict

Encoder = RnnEncoder | TransformerEncoder
Decoder = AttentionDecoder | TransformerDecoder


@dataclass(frozen=True, kw_only=True)
class CriterionConfig:
    """What training lowers."""

    # ctc | ctc-crf: normalised over the whole utterance, by an n-gram model of the training texts' tokens
    kind: Literal["ctc", "ctc-crf"] = "ctc"
    ctc_share: float = 0.1  # ctc-crf: of CTC's loss, which is added
    warm_up_epochs: int = 3  # ctc-crf: the first, with CTC alone
    order: int = 0  # ctc-crf: of the n-gram model, 2 or 3; 0: 3 of up to 64 tokens, 2 of more

    def __post_init__(self) -> None:
        check(0 <= self.ctc_share <= 10, f"criterion.ctc_share {self.ctc_share} is not between 0 and 10")
        check(self.warm_up_epochs >= 0, f"criterion.warm_up_epochs {self.warm_up_epochs} is below 0")
        check(self.order in (0, 2, 3), f"criterion.order {self.order} is not 0, 2 or 3")


@dataclass(frozen=True, kw_only=True)
class IntermediateConfig:
    """CTC within the encoder (Lee and Watanabe 2021): a layer before the last learns the main head's tokens, too."""

    layer: int = 0  # counted from 1; 0: none
    weight: float = 0.2  # share of the loss

    def __post_init__(self) -> None:
        check(self.layer >= 0, f"intermediate.layer {self.layer} is below 0")
        check(0 < self.weight < 1, f"intermediate.weight {self.weight} is not between 0 and 1")


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
            check(head in known, f"heads {heads}: {head!r} is none of {', '.join(known)}")
        check(len(set(heads)) == len(heads), f"heads {heads}: one of them stands there twice")
        check(
            not heads or kind in ("characters", *heads),
            f"tokenizer.kind {kind} is none of the heads {heads}: leave it out",
        )
        check(len(weights) in (0, len(self.kinds)), f"head_weights {weights} are not one for each of the heads")
        check(all(0 < weight < math.inf for weight in weights), f"head_weights {weights}: not all above 0")
        check(
            self.intermediate.layer < self.encoder.layers,
            f"intermediate.layer {self.intermediate.layer} is not below encoder.layers {self.encoder.layers}",
        )
        check(
            not self.tokenizer.size or bool(set(SIZED) & set(self.kinds)),
            f"tokenizer.size means nothing for {', '.join(self.kinds)}: it is for {', '.join(SIZED)}",
        )
        check(
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


@dataclass(frozen=True)
class Targets:
    """What a head should say of a batch."""

    tokens: Tensor  # (B, U)
    lens: Tensor  # (B,)
    # of each utterance, of each word, its pronunciations, where there is a choice: ids, those in `tokens` first
    choices: list[list[list[list[int]]]] | None = None

    def to(self, device: torch.device) -> Targets:
        return replace(self, tokens=self.tokens.to(device), lens=self.lens.to(device))


class SpeechBatch(Protocol):
    """What a Recognizer reads of a batch (data.Batch has it)."""

    samples: Tensor  # (B, N)
    sample_lens: Tensor  # (B,)
    targets: Mapping[str, Targets]  # of each head
    seeds: Tensor  # (B,), for augmentation
    speakers: list[str]  # (B,)


class Recognizer(nn.Module):
    """Features -> encoder -> CTC heads, and the attention decoder, where there is one.

    `spec_augment`, where set, masks features while the module is in training mode.

    Args:
        frontend: Samples -> features.
        encoder: Features -> encoder_out.
        vocab_sizes: V of each head, by the kind of its tokens; the first is the main one.
        weights: Of each head's loss; none: the same for each.
        intermediate: The layer that learns the first head's tokens as well.
        decoder: Learns the first head's tokens as well.
        ctc_weight: Of the heads' loss beside the decoder's.
    """

    def __init__(
        self,
        frontend: Frontend,
        encoder: Encoder,
        vocab_sizes: Mapping[str, int],
        weights: Sequence[float] = (),
        intermediate: IntermediateConfig | None = None,
        decoder: Decoder | None = None,
        ctc_weight: float = 0.3,
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.encoder = encoder
        self.heads = nn.ModuleDict({kind: nn.Linear(encoder.output_dim, size) for kind, size in vocab_sizes.items()})
        self.main = next(iter(vocab_sizes))  # the head of which `log_probs` are
        total = sum(weights) or len(vocab_sizes)
        shares = [weight / total for weight in weights or [1.0] * len(vocab_sizes)]
        self.weights = dict(zip(vocab_sizes, shares, strict=False))
        self.intermediate = intermediate or IntermediateConfig()
        if self.intermediate.layer:
            width = cast("RnnLayer", encoder.layers[self.intermediate.layer - 1]).output_dim
            self.intermediate_head = nn.Linear(width, vocab_sizes[self.main])
        self.decoder, self.ctc_weight = decoder, ctc_weight
        self.decoder_learns = True  # not yet, where CTC learns first
        self.encoder_learns = True  # not yet, where it is another model's and frozen
        self.spec_augment: SpecAugmentConfig | None = None
        self.ngrams: dict[str, TokenNgram] = {}  # of the heads whose loss is CTC-CRF's
        self.ctc_share = 0.0  # of CTC's loss, beside it
        self.sample_rate = frontend.sample_rate
        self.frame_seconds = frontend.frame_seconds * encoder.factor  # from one output frame to the next

    @property
    def head(self) -> nn.Linear:
        """The main head."""
        head = self.heads[self.main]
        assert isinstance(head, nn.Linear)
        return head

    def forward(self, batch: SpeechBatch) -> Loss:
        """The loss that training lowers: the weighted sum of heads and decoder, counted in the main head's tokens."""
        features, lens = self.features(batch.samples, batch.sample_lens, batch.speakers)
        if self.training and self.spec_augment is not None:
            features = spec_augment(
                features,
                lens,
                batch.seeds,
                self.spec_augment,
                self.frontend.frame_seconds,
                mel_bins=self.frontend.extractor.dim,
            )
        features = _a_frame_at_least(features)
        with torch.set_grad_enabled(self.encoder_learns and torch.is_grad_enabled()):
            encoder_out, lens, inner = self.encoder.with_intermediate(features, lens, self.intermediate.layer)
        losses, learnt = {}, {}
        for kind, head in self.heads.items():
            log_probs, targets = _log_softmax(head, encoder_out), batch.targets[kind]
            if self.training and targets.choices is not None:
                targets = Targets(*choose_pronunciations(log_probs.detach(), lens, targets.choices))
            losses[kind], learnt[kind] = self._loss(kind, log_probs, lens, targets), targets
        loss, first = _weighted(losses, self.weights, self.main), learnt[next(iter(self.heads))]
        if inner is not None:
            share = self.intermediate.weight
            within = ctc_loss(_log_softmax(self.intermediate_head, inner), lens, first.tokens, first.lens)
            loss = _weighted({"": loss, "inner": within}, {"": 1 - share, "inner": share}, "")
        if not self.encoder_learns:
            loss = _reaching(loss, self.encoder)
        return self._with_decoder(loss, encoder_out, lens, first)

    def features(
        self, samples: Tensor, sample_lens: Tensor, speakers: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Samples (B, N), lengths (B,) -> features (B, T, F), lengths (B,); in full precision, also under autocast.

        Args:
            speakers: Of each utterance, where features are normalised by speaker.
        """
        with torch.autocast(samples.device.type, enabled=False):
            features, lens = self.frontend(samples, sample_lens, speakers)
        return features, lens

    def log_probs(self, features: Tensor, lens: Tensor, *, warp: float = 1.0) -> tuple[Tensor, Tensor]:
        """Features (B, T, F), lengths (B,) -> log-probabilities of the main head's tokens (B, T, V), lengths (B,).

        Args:
            warp: The mel axis is stretched by it.
        """
        encoder_out, lens = self.encode(features, lens, warp=warp)
        return self.ctc(encoder_out), lens

    def encode(self, features: Tensor, lens: Tensor, *, warp: float = 1.0) -> tuple[Tensor, Tensor]:
        """Features (B, T, F), lengths (B,) -> encoder states (B, T, D), lengths (B,); `warp` as in `log_probs`."""
        if warp != 1:
            features = warp_frequency(features, [warp] * len(features), self.frontend.extractor.dim)
        encoder_out, lens = self.encoder(_a_frame_at_least(features), lens)
        return encoder_out, lens

    def ctc(self, encoder_out: Tensor) -> Tensor:
        """Encoder states (B, T, D) -> log-probabilities of the main head's tokens (B, T, V)."""
        return _log_softmax(self.head, encoder_out)

    def loss(self, log_probs: Tensor, lens: Tensor, batch: SpeechBatch, encoder_out: Tensor | None = None) -> Loss:
        """The loss of the main head's log_probs, which have been computed; the decoder's too, given encoder_out."""
        targets = batch.targets[self.main]
        loss = self._loss(self.main, log_probs, lens, targets)
        if encoder_out is None or self.main != next(iter(self.heads)):  # the decoder is the first head's
            return loss
        return self._with_decoder(loss, encoder_out, lens, targets)

    def _with_decoder(self, loss: Loss, encoder_out: Tensor, lens: Tensor, targets: Targets) -> Loss:
        """The heads' loss and the decoder's, weighted."""
        if self.decoder is None:
            return loss
        if not self.decoder_learns:
            return _reaching(loss, self.decoder)
        attention = self.decoder.loss(encoder_out, lens, targets.tokens, targets.lens)
        if not self.ctc_weight:
            return replace(attention, sum=attention.sum + 0 * loss.sum)
        weights = {"": self.ctc_weight, "attention": 1 - self.ctc_weight}
        return _weighted({"": loss, "attention": attention}, weights, "")

    def _loss(self, kind: str, log_probs: Tensor, lens: Tensor, targets: Targets) -> Loss:
        given = log_probs, lens, targets.tokens, targets.lens
        if kind not in self.ngrams:
            return ctc_loss(*given)
        return ctc_crf_loss(*given, self.ngrams[kind].to(log_probs.device), ctc_share=self.ctc_share)


def _a_frame_at_least(features: Tensor) -> Tensor:
    """(B, T, F), T > 0, where all utterances may be shorter than a frame."""
    return features if features.shape[1] else nn.functional.pad(features, (0, 0, 0, 1))


def _log_softmax(head: nn.Module, encoder_out: Tensor) -> Tensor:
    """(B, T, V)"""
    log_probs: Tensor = head(encoder_out).float().log_softmax(dim=2)
    return log_probs


def _reaching(loss: Loss, idle: nn.Module) -> Loss:
    """The loss, of which the gradient is zero in what does not learn: several processes need one of each parameter."""
    return replace(loss, sum=loss.sum + 0 * sum(parameter.sum() for parameter in idle.parameters()))


def _weighted(losses: Mapping[str, Loss], weights: Mapping[str, float], main: str) -> Loss:
    """The sum of several heads' losses; what does not fit one of them is left out there, and marked."""
    if len(losses) == 1:
        return losses[main]
    return replace(
        losses[main],
        sum=torch.stack([weights[kind] * loss.sum for kind, loss in losses.items()]).sum(),
        per_item=torch.stack([weights[kind] * loss.per_item for kind, loss in losses.items()]).sum(0),
        left_out=torch.stack([loss.left_out for loss in losses.values()]).any(0),
    )


def build_recognizer(
    config: ModelConfig, vocab_sizes: Mapping[str, int], *, without_weights: bool = False
) -> Recognizer:
    """A Recognizer as configured.

    Args:
        vocab_sizes: V of each of the heads, `config.kinds`, in their order.
        without_weights: Parameters take no memory and no random numbers; they have to be assigned.
    """
    frontend = Frontend(config.features)
    with torch.device("meta" if without_weights else "cpu"):
        encoder = _encoder(frontend.dim, to_dict(config.encoder))
        decoder = None
        if config.decoder.kind != "none":
            decoder = _decoder(encoder.output_dim, vocab_sizes[config.kinds[0]], to_dict(config.decoder))
        return Recognizer(
            frontend, encoder, vocab_sizes, config.head_weights, config.intermediate, decoder, config.decoder.ctc_weight
        )


def _encoder(input_dim: int, settings: dict[str, Any]) -> Encoder:
    """An EncoderConfig's, its settings as plain values."""
    if settings["kind"] == "transformer":
        own = ("layers", "heads", "feed_forward", "bidirectional", "dropout", "subsampling", "factor")
        return TransformerEncoder(input_dim, width=settings["hidden"], **{name: settings[name] for name in own})
    return RnnEncoder(input_dim, **{n: v for n, v in settings.items() if n not in ("heads", "feed_forward")})


def _decoder(encoder_dim: int, vocab_size: int, settings: dict[str, Any]) -> Decoder:
    """A DecoderConfig's, its settings as plain values."""
    both = ("hidden", "layers", "heads", "dropout", "label_smoothing")
    if settings["kind"] == "transformer":
        return TransformerDecoder(encoder_dim, vocab_size, **{n: settings[n] for n in (*both, "feed_forward")})
    own = ("cell", "embedding", "attention", "attention_dim")
    return AttentionDecoder(encoder_dim, vocab_size, **{n: settings[n] for n in (*both, *own)})
