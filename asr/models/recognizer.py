"""The recogniser's network: features, encoder, CTC heads, and perhaps an attention decoder.

B batch, N samples, T frames, V vocabulary, D encoder width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from asr.audio.features import Frontend
from asr.audio.spec_augment import warp_frequency
from asr.models.config import ModelConfig
from asr.models.decoder import Decoder
from asr.models.encoder import Encoder


class Recognizer(nn.Module):
    """Features -> encoder -> CTC heads, and the attention decoder, where there is one.

    Args:
        frontend: Samples -> features.
        encoder: Features -> encoder_out.
        vocab_sizes: V of each head, by the kind of its tokens; the first is the main one.
        decoder: Of the first head's tokens.
        intermediate_layer: The encoder's layer that has a head of the first head's tokens as well; 0: none.
    """

    def __init__(
        self,
        frontend: Frontend,
        encoder: Encoder,
        vocab_sizes: Mapping[str, int],
        decoder: Decoder | None = None,
        intermediate_layer: int = 0,
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.encoder = encoder
        self.heads = nn.ModuleDict({kind: nn.Linear(encoder.output_dim, size) for kind, size in vocab_sizes.items()})
        self.main = next(iter(vocab_sizes))  # the head of which `log_probs` are
        if intermediate_layer:
            self.intermediate_head = nn.Linear(encoder.intermediate_dim(intermediate_layer), vocab_sizes[self.main])
        self.decoder = decoder
        self.sample_rate = frontend.sample_rate
        self.frame_seconds = frontend.frame_seconds * encoder.factor  # from one output frame to the next

    @property
    def head(self) -> nn.Linear:
        """The main head."""
        head = self.heads[self.main]
        assert isinstance(head, nn.Linear)
        return head

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
        encoder_out, lens, _ = self.encoder(pad_to_one_frame(features), lens)
        return encoder_out, lens

    def ctc(self, encoder_out: Tensor) -> Tensor:
        """Encoder states (B, T, D) -> log-probabilities of the main head's tokens (B, T, V)."""
        return log_softmax(self.head, encoder_out)


def pad_to_one_frame(features: Tensor) -> Tensor:
    """(B, T, F), T > 0, where all utterances may be shorter than a frame."""
    return features if features.shape[1] else nn.functional.pad(features, (0, 0, 0, 1))


def log_softmax(head: nn.Module, encoder_out: Tensor) -> Tensor:
    """Encoder states (B, T, D) -> log-probabilities of a head's tokens (B, T, V), in full precision."""
    log_probs: Tensor = head(encoder_out).float().log_softmax(dim=2)
    return log_probs


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
        encoder = config.encoder.build(frontend.dim)
        decoder = config.decoder.build(encoder.output_dim, vocab_sizes[config.kinds[0]])
        return Recognizer(frontend, encoder, vocab_sizes, decoder, config.intermediate.layer)
