"""What training lowers: the loss of a batch, of all heads and the attention decoder.

B batch, N samples, T frames, V vocabulary, U tokens, D encoder width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from asr.audio.spec_augment import SpecAugmentConfig, spec_augment
from asr.models.losses import Loss, choose_pronunciations, ctc_loss
from asr.models.model import Model
from asr.models.recognizer import log_softmax, pad_to_one_frame


class TargetTokens(Protocol):
    """The target tokens of a head, as far as the loss reads them (asr.data.batches.Targets)."""

    @property
    def tokens(self) -> Tensor: ...  # (B, U)
    @property
    def lens(self) -> Tensor: ...  # (B,)
    @property
    def choices(self) -> list[list[list[list[int]]]] | None: ...  # pronunciations of the words of each utterance


class SpeechBatch(Protocol):
    """A batch, as far as the loss reads it (asr.data.batches.Batch)."""

    samples: Tensor  # (B, N)
    sample_lens: Tensor  # (B,)
    seeds: Tensor  # (B,), for augmentation
    speakers: list[str]  # (B,)

    @property
    def targets(self) -> Mapping[str, TargetTokens]: ...  # of each head


class Objective(nn.Module):
    """A batch -> the loss of a model's network, the weighted sum of heads and decoder.

    What a schedule switches is set here, epoch by epoch, and the network knows nothing of it: `spec_augment` masks
    features in training mode; `warming_up` puts CTC in the criterion's place; `encoder_learns` and `decoder_learns`
    leave a part out.

    Args:
        model: Its tokens, token models and configuration say what is learnt.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.recognizer = model.recognizer
        config, self.first = model.config, model.config.kinds[0]
        weights = config.head_weights or (1.0,) * len(config.kinds)
        shares = [weight / sum(weights) for weight in weights]
        self.weights: dict[str, float] = dict(zip(config.kinds, shares, strict=True))
        self.intermediate, self.ctc_weight = config.intermediate, config.decoder.ctc_weight
        self.criteria = {
            kind: config.criterion.build(head.tokenizer.tokens, head.token_lm) for kind, head in model.heads.items()
        }
        self.spec_augment: SpecAugmentConfig | None = None
        self.warming_up = False
        self.encoder_learns = self.decoder_learns = True

    def forward(self, batch: SpeechBatch) -> Loss:
        """The loss, counted in the first head's tokens."""
        recognizer = self.recognizer
        # 1. Features, augmented
        features, lens = recognizer.features(batch.samples, batch.sample_lens, batch.speakers)
        if self.training and self.spec_augment is not None:
            seconds, bins = recognizer.frontend.frame_seconds, recognizer.frontend.extractor.dim
            features = spec_augment(features, lens, batch.seeds, self.spec_augment, seconds, mel_bins=bins)
        # 2. Encoder
        with torch.set_grad_enabled(self.encoder_learns and torch.is_grad_enabled()):
            encoder_out, lens, inner = recognizer.encoder(pad_to_one_frame(features), lens, self.intermediate.layer)
        # 3. CTC heads
        losses, learnt = {}, {}
        for kind, head in recognizer.heads.items():
            log_probs, targets = log_softmax(head, encoder_out), batch.targets[kind]
            tokens = targets.tokens, targets.lens
            if self.training and targets.choices is not None:
                tokens = choose_pronunciations(log_probs.detach(), lens, targets.choices)
            losses[kind], learnt[kind] = self._criterion(kind, log_probs, lens, tokens), tokens
        loss = _weighted(losses, self.weights, recognizer.main)
        # 4. The head of a layer within the encoder
        if inner is not None:
            share = self.intermediate.weight
            within = ctc_loss(log_softmax(recognizer.intermediate_head, inner), lens, *learnt[self.first])
            loss = _weighted({"": loss, "inner": within}, {"": 1 - share, "inner": share}, "")
        if not self.encoder_learns:
            loss = _touching(loss, recognizer.encoder)
        # 5. Attention decoder
        return self._with_decoder(loss, encoder_out, lens, learnt[self.first])

    def main_loss(self, log_probs: Tensor, lens: Tensor, batch: SpeechBatch, encoder_out: Tensor | None = None) -> Loss:
        """The loss of the main head, of what has been computed.

        Args:
            log_probs: (B, T, V).
            lens: (B,).
            batch: Its targets are read.
            encoder_out: (B, T, D); the decoder's loss is in it, too, where it is given.
        """
        main = self.recognizer.main
        targets = batch.targets[main]
        tokens = targets.tokens, targets.lens
        loss = self._criterion(main, log_probs, lens, tokens)
        if encoder_out is None or main != self.first:  # the decoder is the first head's
            return loss
        return self._with_decoder(loss, encoder_out, lens, tokens)

    def _criterion(self, kind: str, log_probs: Tensor, lens: Tensor, tokens: tuple[Tensor, Tensor]) -> Loss:
        return (ctc_loss if self.warming_up else self.criteria[kind])(log_probs, lens, *tokens)

    def _with_decoder(self, loss: Loss, encoder_out: Tensor, lens: Tensor, tokens: tuple[Tensor, Tensor]) -> Loss:
        """The heads' loss and the decoder's, weighted."""
        decoder = self.recognizer.decoder
        if decoder is None:
            return loss
        if not self.decoder_learns:
            return _touching(loss, decoder)
        attention = decoder.loss(encoder_out, lens, *tokens)
        if not self.ctc_weight:
            return replace(attention, sum=attention.sum + 0 * loss.sum)
        weights = {"": self.ctc_weight, "attention": 1 - self.ctc_weight}
        return _weighted({"": loss, "attention": attention}, weights, "")


def _touching(loss: Loss, idle: nn.Module) -> Loss:
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
