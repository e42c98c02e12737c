"""The recogniser: features, encoder, CTC heads, and perhaps an attention decoder.

B batch, N samples, T frames, V vocabulary, U tokens, D encoder width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from asr.audio.features import Frontend
from asr.audio.spec_augment import SpecAugmentConfig, spec_augment, warp_frequency
from asr.models.attention_decoder import AttentionDecoder
from asr.models.config import IntermediateConfig, ModelConfig
from asr.models.ctc_crf import TokenNgram, ctc_crf_loss
from asr.models.losses import Loss, choose_pronunciations, ctc_loss
from asr.models.rnn import RnnEncoder, RnnLayer
from asr.models.transformer import TransformerDecoder, TransformerEncoder
from asr.utils.config import to_dict

Encoder = RnnEncoder | TransformerEncoder
Decoder = AttentionDecoder | TransformerDecoder


class TargetTokens(Protocol):
    """What a Recognizer reads of the tokens that a head has to give (asr.data.batches.Targets has it)."""

    @property
    def tokens(self) -> Tensor: ...  # (B, U)
    @property
    def lens(self) -> Tensor: ...  # (B,)
    @property
    def choices(self) -> list[list[list[list[int]]]] | None: ...  # pronunciations of the words of each utterance


class SpeechBatch(Protocol):
    """What a Recognizer reads of a batch (asr.data.batches.Batch has it)."""

    samples: Tensor  # (B, N)
    sample_lens: Tensor  # (B,)
    seeds: Tensor  # (B,), for augmentation
    speakers: list[str]  # (B,)

    @property
    def targets(self) -> Mapping[str, TargetTokens]: ...  # of each head


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
            tokens = targets.tokens, targets.lens
            if self.training and targets.choices is not None:
                tokens = choose_pronunciations(log_probs.detach(), lens, targets.choices)
            losses[kind], learnt[kind] = self._loss(kind, log_probs, lens, tokens), tokens
        loss, first = _weighted(losses, self.weights, self.main), learnt[next(iter(self.heads))]
        if inner is not None:
            share = self.intermediate.weight
            within = ctc_loss(_log_softmax(self.intermediate_head, inner), lens, *first)
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
        tokens = targets.tokens, targets.lens
        loss = self._loss(self.main, log_probs, lens, tokens)
        if encoder_out is None or self.main != next(iter(self.heads)):  # the decoder is the first head's
            return loss
        return self._with_decoder(loss, encoder_out, lens, tokens)

    def _with_decoder(self, loss: Loss, encoder_out: Tensor, lens: Tensor, tokens: tuple[Tensor, Tensor]) -> Loss:
        """The heads' loss and the decoder's, weighted."""
        if self.decoder is None:
            return loss
        if not self.decoder_learns:
            return _reaching(loss, self.decoder)
        attention = self.decoder.loss(encoder_out, lens, *tokens)
        if not self.ctc_weight:
            return replace(attention, sum=attention.sum + 0 * loss.sum)
        weights = {"": self.ctc_weight, "attention": 1 - self.ctc_weight}
        return _weighted({"": loss, "attention": attention}, weights, "")

    def _loss(self, kind: str, log_probs: Tensor, lens: Tensor, tokens: tuple[Tensor, Tensor]) -> Loss:
        given = log_probs, lens, *tokens
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
