"""SpecAugment on frames (Park et al. 2019). Every draw comes from the seed that an utterance carries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asr.config import check


@dataclass(frozen=True, kw_only=True)
class SpecAugmentConfig:
    """Warping and masks of features; widths are drawn evenly from 0 to their most."""

    # a point within the utterance is moved by at most this share of its length, the frames before and behind it are
    # stretched and squeezed
    time_warp: float = 0.0
    frequency_masks: int = 2
    frequency_width: int = 15  # bins
    time_masks_per_second: float = 0.25
    time_width: float = 0.3  # seconds
    time_share: float = 0.2  # a time mask is at most this share of the utterance

    def __post_init__(self) -> None:
        check(min(self.frequency_masks, self.frequency_width) >= 0, "spec_augment: negative frequency masks")
        check(min(self.time_masks_per_second, self.time_width) >= 0, "spec_augment: negative time masks")
        check(0 <= self.time_warp < 0.5, f"spec_augment.time_warp {self.time_warp} is not in 0-0.5")
        check(0 <= self.time_share <= 1, f"spec_augment.time_share {self.time_share} is not in 0-1")


def spec_augment(
    features: Tensor, lens: Tensor, seeds: Tensor, config: SpecAugmentConfig, frame_seconds: float
) -> Tensor:
    """Warps features (B, T, F) in time, and masks them with zeros, their mean after normalisation.

    Args:
        lens: (B,), real frames.
        seeds: (B,), one each utterance and epoch, on the CPU: the same masks whatever the batch or the device.
        frame_seconds: Seconds from frame to frame.
    """
    if config.time_warp:
        features = features.clone()
    keep = torch.ones(features.shape, dtype=torch.bool)
    bins = features.shape[2]
    most = round(config.time_width / frame_seconds)
    for i, (length, seed) in enumerate(zip(lens.tolist(), seeds.tolist(), strict=True)):
        generator = torch.Generator().manual_seed(seed)
        if config.time_warp and length > 3:
            features[i, :length] = _warp(features[i, :length], config.time_warp, generator)
        expected = config.time_masks_per_second * length * frame_seconds
        # The fraction of a mask is a chance of one.
        time_masks = int(expected + torch.rand((), generator=generator).item())
        for _ in range(config.frequency_masks):
            low, width = _stretch(min(config.frequency_width, bins), bins, generator)
            keep[i, :, low : low + width] = False
        for _ in range(time_masks):
            low, width = _stretch(min(most, int(config.time_share * length)), length, generator)
            keep[i, low : low + width] = False
    return features * keep.to(features.device)


def _warp(features: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """(T, F) -> (T, F): a point moves by up to `most` of the length, linear interpolation on both sides of it."""
    last = len(features) - 1
    source = last * (most + (1 - 2 * most) * torch.rand((), generator=generator).item())
    target = source + last * most * (2 * torch.rand((), generator=generator).item() - 1)
    t = torch.arange(last + 1, dtype=torch.float32)
    at = torch.where(t < target, t * source / target, last - (last - t) * (last - source) / (last - target))
    low = at.floor().clamp(0, last - 1).long()
    share = (at - low)[:, None].to(features.device)
    low = low.to(features.device)
    return torch.lerp(features[low], features[low + 1], share)


def _stretch(most: int, total: int, generator: torch.Generator) -> tuple[int, int]:
    """Begin and width of a stretch of at most `most` within `total`."""
    width = int(torch.randint(most + 1, (), generator=generator))
    return int(torch.randint(total - width + 1, (), generator=generator)), width
