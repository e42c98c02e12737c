"""SpecAugment and vocal-tract warping of frames. Every draw comes from the seed that an utterance carries.

B batch, T frames, F feature bins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from asr.audio.schedule import drawn, strength
from asr.utils.config import Config, setting

_KNEE = 0.8  # share of the mel axis that is warped evenly: 4.7 kHz of 8 kHz, where Jaitly & Hinton have 4.8 kHz


@dataclass(frozen=True, kw_only=True)
class SpecAugmentConfig(Config):
    """Warping and masks of features; widths are drawn evenly from 0 to their most."""

    # a point within the utterance is moved by at most this share of its length, the frames before and behind it are
    # stretched and squeezed
    time_warp: float = setting(0.0, "[0, 0.5)")
    time_warp_width: float = setting(0.0, "[0, inf)")  # ... and by at most this many seconds; 0: any
    frequency_warp: float = setting(0.0, "[0, 0.5]")  # the mel axis is stretched by a factor from 1 - this to 1 + this
    frequency_masks: int = setting(2, "[0, inf)")
    frequency_width: int = setting(15, "[0, inf)")  # bins
    time_masks: int = setting(0, "[0, inf)")  # as many in each utterance ...
    time_masks_per_second: float = setting(0.25, "[0, inf)")  # ... and as many for each second of it
    time_masks_most: int = setting(0, "[0, inf)")  # but no more than this; 0: any number
    time_width: float = setting(0.3, "[0, inf)")  # seconds
    time_share: float = setting(0.2, "[0, 1]")  # a time mask is at most this share of the utterance
    start_epoch: int = setting(1, "[1, inf)")  # the first with masks and time warping
    frequency_warp_start: int = setting(1, "[1, inf)")  # the first with frequency warping
    ramp_epochs: int = setting(0, "[0, inf)")  # before full strength: widths and warps rise linearly

    def at_epoch(self, epoch: int) -> SpecAugmentConfig:
        """Returns the settings that hold in an epoch, counted from 1: in full, weaker or off, as the schedule says."""
        masks = strength(epoch, self.start_epoch, self.ramp_epochs)
        warp = strength(epoch, self.frequency_warp_start, self.ramp_epochs)
        if masks == warp == 1:
            return self
        return replace(
            self,
            time_warp=self.time_warp * masks,
            time_warp_width=self.time_warp_width * masks,
            frequency_warp=self.frequency_warp * warp,
            frequency_masks=self.frequency_masks if masks else 0,
            frequency_width=round(self.frequency_width * masks),
            time_masks=self.time_masks if masks else 0,
            time_masks_per_second=self.time_masks_per_second if masks else 0.0,
            time_width=self.time_width * masks,
            time_share=self.time_share * masks,
            start_epoch=1,
            frequency_warp_start=1,
            ramp_epochs=0,
        )


def spec_augment(
    features: Tensor,
    lens: Tensor,
    seeds: Tensor,
    config: SpecAugmentConfig,
    frame_seconds: float,
    *,
    mel_bins: int | None = None,
) -> Tensor:
    """Warps features (B, T, F) in time and frequency, and masks them with zeros, their mean after normalisation.

    Park et al. 2019 and 2020 ("SpecAugment on large scale datasets"). The schedule is not looked at: see `at_epoch`.

    Args:
        lens: (B,), real frames.
        seeds: (B,), one each utterance and epoch, on the CPU: the same masks whatever the batch or the device.
        frame_seconds: Seconds from frame to frame.
        mel_bins: Bins of the mel axis; where deltas follow it, each stretch of so many bins is warped alike.
            All of F where None.
    """
    masks = config.frequency_masks or config.time_masks or config.time_masks_per_second
    if features.numel() == 0 or not (masks or config.time_warp or config.frequency_warp):
        return features
    frames, bins = features.shape[1:]
    if config.frequency_warp:
        factors = [1 + config.frequency_warp * (2 * drawn(seed, "frequency warp") - 1) for seed in seeds.tolist()]
        features = warp_frequency(features, factors, mel_bins or bins)
    warps: list[tuple[int, int, float, float]] = []
    hidden: tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]] = [], []  # time, frequency: row, begin, end
    most = round(config.time_width / frame_seconds)
    generator = torch.Generator()
    for i, (length, seed) in enumerate(zip(lens.tolist(), seeds.tolist(), strict=True)):
        generator.manual_seed(seed)
        if config.time_warp and length > 3:
            warps.append((i, length, *_moved_point(length - 1, config, frame_seconds, generator)))
        expected = config.time_masks_per_second * length * frame_seconds
        # The fraction of a mask is a chance of one.
        time_masks = config.time_masks + int(expected + torch.rand((), generator=generator).item())
        if config.time_masks_most:
            time_masks = min(time_masks, config.time_masks_most)
        for _ in range(config.frequency_masks):
            hidden[1].append((i, *_stretch(min(config.frequency_width, bins), bins, generator)))
        for _ in range(time_masks):
            hidden[0].append((i, *_stretch(min(most, int(config.time_share * length)), length, generator)))
    if warps:
        features = _warp_time(features, warps)
    if not masks:
        return features
    device = features.device
    kept_frames = _kept(hidden[0], len(features), frames).to(device, features.dtype)
    kept_bins = _kept(hidden[1], len(features), bins).to(device, features.dtype)
    return (features * kept_frames[:, :, None]).mul_(kept_bins[:, None])


def _stretch(most: int, total: int, generator: torch.Generator) -> tuple[int, int]:
    """Begin and end of a stretch of at most `most` within `total`."""
    width = int(torch.randint(most + 1, (), generator=generator))
    begin = int(torch.randint(total - width + 1, (), generator=generator))
    return begin, begin + width


def _kept(hidden: list[tuple[int, int, int]], rows: int, size: int) -> Tensor:
    """(rows, size): False within any of the stretches (row, begin, end)."""
    edges = torch.zeros(rows, size + 1, dtype=torch.int32)
    if hidden:
        row, begin, end = torch.tensor(hidden).T
        one = torch.ones(len(hidden), dtype=torch.int32)
        edges.index_put_((row, begin), one, accumulate=True)
        edges.index_put_((row, end), -one, accumulate=True)
    return edges.cumsum(1)[:, :size] == 0


def _moved_point(
    last: int, config: SpecAugmentConfig, frame_seconds: float, generator: torch.Generator
) -> tuple[float, float]:
    """A frame and where it is moved to."""
    most = config.time_warp
    if config.time_warp_width:
        most = min(most, config.time_warp_width / frame_seconds / last)
    source = last * (most + (1 - 2 * most) * torch.rand((), generator=generator).item())
    return source, source + last * most * (2 * torch.rand((), generator=generator).item() - 1)


def _warp_time(features: Tensor, warps: list[tuple[int, int, float, float]]) -> Tensor:
    """(B, T, F) -> (B, T, F): utterances (row, length, source, target) are linearly interpolated on both sides of
    the point that moves from source to target."""
    frames = features.shape[1]
    t = torch.arange(frames, dtype=torch.float32)
    rows = torch.tensor([row for row, *_ in warps])
    points = torch.tensor([(n - 1, s, g, n - 1 - s, n - 1 - g) for _, n, s, g in warps], dtype=torch.float32)
    last, source, target, source_left, target_left = points.T[:, :, None]
    at = torch.where(t < target, t * source / target, last - (last - t) * source_left / target_left)
    low = at.floor().clamp(min=0).minimum(last - 1)
    real = t <= last
    index = torch.arange(frames).repeat(len(features), 1)
    share = torch.zeros(len(features), frames)
    index[rows] = torch.where(real, low, t).long()
    share[rows] = torch.where(real, at - low, 0.0)
    flat = (index + torch.arange(len(features))[:, None] * frames).flatten()
    after = (flat + 1).clamp(max=len(features) * frames - 1)  # beyond the last, its share is 0
    device = features.device
    every = features.flatten(0, 1)
    warped = every.index_select(0, flat.to(device))
    return warped.lerp_(every.index_select(0, after.to(device)), share.view(-1, 1).to(device)).view_as(features)


def warp_frequency(features: Tensor, factors: list[float], bins: int) -> Tensor:
    """(B, T, F) -> (B, T, F): what was at bin b of an utterance comes to bin factor * b, linearly interpolated.

    From a knee on a second line leads to the top bin, which stays (vocal-tract length perturbation, Jaitly & Hinton
    2013, here along the mel axis).
    """
    if features.shape[2] % bins:
        raise ValueError(f"{features.shape[2]} features are not whole groups of {bins} bins")
    top = bins - 1
    j = torch.arange(bins, dtype=torch.float32)
    factor = torch.tensor(factors)[:, None]
    knee = _KNEE * top * factor.clamp(max=1)  # where the knee comes to
    slope = (top - knee / factor) / (top - knee) if top else torch.ones(())
    at = torch.where(j <= knee, j / factor, top - (top - j) * slope).clamp(0, top)  # (B, F): where bin j comes from
    low = at.floor().clamp(max=max(top - 1, 0)).long()
    share = (at - low)[:, None]
    weights = torch.zeros(len(factors), bins, bins)  # (B, from, to)
    weights.scatter_(1, low[:, None], 1 - share)
    if top:
        weights.scatter_(1, low[:, None] + 1, share)
    groups = features.reshape(len(features), -1, bins)
    # In full precision: under autocast a product of matrices would round the features.
    with torch.autocast(features.device.type, enabled=False):
        return torch.bmm(groups, weights.to(features.device, features.dtype)).view_as(features)
