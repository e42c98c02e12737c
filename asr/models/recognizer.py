"""The recogniser: features, encoder and CTC head. B batch, N samples, T frames, V vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from asr.config import to_dict
from asr.features import FeatureConfig, Frontend
from asr.models.encoder import EncoderConfig, RnnEncoder
from asr.models.losses import Loss, ctc_loss
from asr.spec_augment import SpecAugmentConfig, spec_augment
from asr.text import TextConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that a model is, but for its tokens and weights."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    text: TextConfig = field(default_factory=TextConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)


class SpeechBatch(Protocol):
    """What a Recognizer reads of a batch (data.Batch has it)."""

    samples: Tensor  # (B, N)
    sample_lens: Tensor  # (B,)
    tokens: Tensor  # (B, U)
    token_lens: Tensor  # (B,)
    seeds: Tensor  # (B,), for augmentation


class Recognizer(nn.Module):
    """Features -> encoder -> CTC head.

    `spec_augment`, where set, masks features while the module is in training mode.
    """

    def __init__(self, frontend: Frontend, encoder: RnnEncoder, vocab_size: int) -> None:
        super().__init__()
        self.frontend = frontend
        self.encoder = encoder
        self.head = nn.Linear(encoder.output_dim, vocab_size)
        self.spec_augment: SpecAugmentConfig | None = None
        self.sample_rate = frontend.sample_rate
        self.frame_seconds = frontend.frame_seconds * encoder.factor  # from one output frame to the next

    def forward(self, batch: SpeechBatch) -> Loss:
        """The loss that training lowers."""
        with torch.autocast(batch.samples.device.type, enabled=False):  # features bear no half precision
            features, lens = self.frontend(batch.samples, batch.sample_lens)
        if self.training and self.spec_augment is not None:
            features = spec_augment(
                features,
                lens,
                batch.seeds,
                self.spec_augment,
                self.frontend.frame_seconds,
                mel_bins=self.frontend.extractor.dim,
            )
        log_probs, lens = self._head(features, lens)
        return self.loss(log_probs, lens, batch)

    def log_probs(self, samples: Tensor, sample_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (B, N), lengths (B,) -> log-probabilities of the tokens (B, T, V), lengths (B,)."""
        return self._head(*self.frontend(samples, sample_lens))

    def loss(self, log_probs: Tensor, lens: Tensor, batch: SpeechBatch) -> Loss:
        """The CTC loss of log_probs that have been computed."""
        return ctc_loss(log_probs, lens, batch.tokens, batch.token_lens)

    def _head(self, features: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        if features.shape[1] == 0:  # all utterances shorter than a frame
            features = nn.functional.pad(features, (0, 0, 0, 1))
        encoder_out, lens = self.encoder(features, lens)  # (B, T, D)
        return self.head(encoder_out).float().log_softmax(dim=2), lens


def build_recognizer(config: ModelConfig, vocab_size: int, *, without_weights: bool = False) -> Recognizer:
    """A Recognizer as configured.

    Args:
        without_weights: Parameters take no memory and no random numbers; they have to be assigned.
    """
    frontend = Frontend(config.features)
    with torch.device("meta" if without_weights else "cpu"):
        encoder = RnnEncoder(frontend.dim, **to_dict(config.encoder))
        return Recognizer(frontend, encoder, vocab_size)
