"""MFCC, deltas, mean and variance normalisation; the front end of a model.

B batch, N samples, T frames, F feature bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asr.audio.fbank import Fbank
from asr.utils.config import Config, require, setting
from asr.utils.errors import InputError
from asr.utils.masks import length_mask


@dataclass(frozen=True, kw_only=True)
class FeatureConfig(Config):
    """Which features a model hears."""

    kind: Literal["fbank", "mfcc"] = "fbank"
    sample_rate: int = 16000  # Hz; audio of any other rate is resampled
    num_mel_bins: int = 80
    num_ceps: int = 13  # of mfcc
    deltas: int = setting(0, "[0, 4]")  # orders of deltas appended
    normalize: Literal["utterance", "speaker", "global", "none"] = "utterance"
    frame_length: float = 25.0  # ms
    frame_shift: float = 10.0  # ms
    low_freq: float = 20.0  # Hz
    high_freq: float = 0.0  # Hz; 0 or less: from the Nyquist frequency down


class Mfcc(nn.Module):
    """Mel-frequency cepstra: samples (B, N), lengths (B,) -> features (B, T, num_ceps), frame counts (B,).

    The orthonormal DCT-II of Fbank's log energies, C0 first, liftered as Kaldi does.

    Args:
        sample_rate: Hz.
        num_ceps: Cepstra kept, C0 included.
        num_mel_bins: Filters under them.
        cepstral_lifter: L in 1 + L/2 sin(pi n / L); 0 for none.
        **fbank: Fbank's other settings.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        num_ceps: int = 13,
        *,
        num_mel_bins: int = 23,
        cepstral_lifter: float = 22.0,
        **fbank: Any,
    ) -> None:
        super().__init__()
        require(
            1 <= num_ceps <= num_mel_bins,
            f"num_ceps {num_ceps} is not between 1 and num_mel_bins {num_mel_bins}",
            where="features",
        )
        require(fbank.get("log", "ln") != "none", "cepstra need a logarithm: log is ln or db", where="features")
        self.fbank = Fbank(sample_rate, num_mel_bins, **fbank)
        self.sample_rate, self.dim, self.frame_seconds = sample_rate, num_ceps, self.fbank.frame_seconds
        n = torch.arange(num_mel_bins, dtype=torch.float64)
        k = torch.arange(num_ceps, dtype=torch.float64)
        dct = torch.cos(math.pi / num_mel_bins * (n[:, None] + 0.5) * k) * math.sqrt(2.0 / num_mel_bins)
        dct[:, 0] = math.sqrt(1.0 / num_mel_bins)
        if cepstral_lifter:
            dct = dct * (1 + 0.5 * cepstral_lifter * torch.sin(math.pi * k / cepstral_lifter))
        self.register_buffer("dct", dct.float(), persistent=False)

    dct: Tensor

    @torch.no_grad()
    def forward(self, samples: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        energies, counts = self.fbank(samples, lens)
        return energies @ self.dct, counts


def add_deltas(features: Tensor, lens: Tensor, *, order: int = 2, window: int = 2) -> Tensor:
    """Appends deltas up to `order`: (B, T, F) -> (B, T, F * (order + 1)).

    Kaldi's regression over `window` frames to each side (feat/feature-functions.cc, DeltaFeatures): each order's
    filter is convolved with the one before it and runs once over the features, whose first and last real frames
    are repeated; so padding changes nothing.
    """
    b, t, f = features.shape
    step = torch.arange(-window, window + 1, dtype=features.dtype, device=features.device)
    step = step / step.square().sum()
    scales, parts = features.new_ones(1), [features]
    last = (lens - 1).clamp(min=0)[:, None]
    for _ in range(order):
        # full convolution of the filter so far with the regression's
        scales = torch.nn.functional.conv1d(scales[None, None], step.flip(0)[None, None], padding=2 * window)[0, 0]
        reach = len(scales) // 2
        at = torch.arange(-reach, t + reach, device=features.device).clamp(min=0)[None]
        index = torch.minimum(at, last)[..., None].expand(-1, -1, f)
        extended = features.gather(1, index) if t else features
        windows = extended.unfold(1, len(scales), 1) if t else features.new_zeros(b, 0, f, len(scales))
        parts.append(windows @ scales)
    mask = length_mask(lens, t)[..., None]
    return torch.cat(parts, dim=2).masked_fill(~mask, 0.0)


class Normalizer(nn.Module):
    """Mean and variance normalisation, features (B, T, F), lengths (B,) -> (B, T, F); padded frames become zero.

    `utterance`: each utterance by its own mean and variance. `speaker`: by those of all utterances of its speaker,
    where `fit_speakers` has seen them, else its own. `global`: by those of the training set, which `fit` finds and the
    module keeps. `none`: as they are.
    """

    def __init__(self, kind: Literal["utterance", "speaker", "global", "none"], dim: int) -> None:
        super().__init__()
        kinds = ("utterance", "speaker", "global", "none")
        require(kind in kinds, f"normalisation {kind!r} is none of {', '.join(kinds)}", where="features")
        self.kind = kind
        self.speakers: dict[str, tuple[Tensor, Tensor]] = {}  # mean and variance of each, (F,)
        if kind == "global":
            self.register_buffer("mean", torch.zeros(dim))
            self.register_buffer("std", torch.ones(dim))

    mean: Tensor
    std: Tensor

    @torch.no_grad()
    def forward(self, features: Tensor, lens: Tensor, speakers: Sequence[str] | None = None) -> Tensor:
        mask = length_mask(lens, features.shape[1])[..., None]  # (B, T, 1)
        if self.kind in ("utterance", "speaker"):
            count = lens.clamp(min=1)[:, None, None]
            real = features.masked_fill(~mask, 0.0)
            mean = real.sum(1, keepdim=True) / count
            known = [(i, self.speakers[s]) for i, s in enumerate(speakers or ()) if s in self.speakers]
            for i, (average, _) in known:
                mean[i, 0] = average
            centred = (features - mean).masked_fill(~mask, 0.0)
            variance = centred.square().sum(1, keepdim=True) / count
            for i, (_, spread) in known:
                variance[i, 0] = spread
            # A floor of 1e-4 under the variance: digital silence stays zero and is not blown up.
            return centred * torch.rsqrt(variance.clamp(min=1e-4))
        if self.kind == "global":
            features = (features - self.mean) / self.std
        return features.masked_fill(~mask, 0.0)

    @torch.no_grad()
    def fit(self, batches: Any) -> None:
        """Finds mean and standard deviation over an iterable of (features, lengths)."""
        found = _moments((features, lens, [""] * len(lens)) for features, lens in batches)
        if not found:
            raise InputError("no frame of training audio to find mean and variance from")
        mean, variance = found[""]
        self.mean.copy_(mean)
        self.std.copy_(variance.clamp(min=1e-4).sqrt())

    @torch.no_grad()
    def fit_speakers(self, batches: Iterable[tuple[Tensor, Tensor, Sequence[str]]]) -> None:
        """Finds each speaker's mean and variance over batches of (features, lengths, speakers), in place of earlier
        ones. Nothing is kept with the module's state."""
        self.speakers = {name: (mean.float(), variance.float()) for name, (mean, variance) in _moments(batches).items()}


def _moments(batches: Iterable[tuple[Tensor, Tensor, Sequence[str]]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance (F,) of the real frames under each name, in double precision."""
    sums: dict[str, tuple[int, Tensor, Tensor]] = {}
    for features, lens, names in batches:
        for x, size, name in zip(features, lens.tolist(), names, strict=True):
            real = x[:size].double()
            count, total, squares = sums.get(name, (0, real.new_zeros(()), real.new_zeros(())))
            sums[name] = count + size, total + real.sum(0), squares + real.square().sum(0)
    means = {name: (total / count, squares / count) for name, (count, total, squares) in sums.items() if count}
    return {name: (mean, square - mean.square()) for name, (mean, square) in means.items()}


class Frontend(nn.Module):
    """Features, deltas and normalisation in one: samples (B, N), lengths (B,) -> features (B, T, dim), frame counts.

    No gradient flows through it.
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        settings: dict[str, Any] = {
            "frame_length": config.frame_length,
            "frame_shift": config.frame_shift,
            "low_freq": config.low_freq,
            "high_freq": config.high_freq,
            "num_mel_bins": config.num_mel_bins,
        }
        self.extractor: Fbank | Mfcc
        if config.kind == "fbank":
            self.extractor = Fbank(config.sample_rate, **settings)
        else:
            self.extractor = Mfcc(config.sample_rate, config.num_ceps, **settings)
        self.deltas = config.deltas
        self.dim = self.extractor.dim * (1 + config.deltas)
        self.sample_rate, self.frame_seconds = config.sample_rate, self.extractor.frame_seconds
        self.normalizer = Normalizer(config.normalize, self.dim)

    def raw(self, samples: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """Before normalisation: what `normalizer.fit` is given."""
        features, counts = self.extractor(samples, lens)
        if self.deltas:
            features = add_deltas(features, counts, order=self.deltas)
        return features, counts

    @torch.no_grad()
    def forward(self, samples: Tensor, lens: Tensor, speakers: Sequence[str] | None = None) -> tuple[Tensor, Tensor]:
        features, counts = self.raw(samples, lens)
        return self.normalizer(features, counts, speakers), counts
