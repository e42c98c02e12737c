"""Log-mel filterbank features.

B batch, N samples, T frames, L samples a frame, F feature bins.

`Fbank` follows Kaldi (feat/feature-window.cc, feat/mel-computations.cc) as `torchaudio.compliance.kaldi` computes it,
with dither 0; keywords turn it into librosa's.

Speed comes from three things: a few hundred frames at a time go through buffers that stay in the cache; the power
spectrum's sum of squares is left to the mel product, over a matrix with each row twice (summing pairs of real and
imaginary parts is slow); and that product goes in groups of neighbouring filters, over only the FFT bins they cover.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from asr.utils.config import require

_CHUNK = 512  # frames computed at a time: their buffers fit the second-level cache
_CHUNK_SAMPLES = 1 << 20  # ... and never more than this
_FILTER_GROUP = 16  # mel filters multiplied at a time
_LOG_FLOOR = 1.1920928955078125e-07  # float32 epsilon, Kaldi's floor under the logarithm
_DB_FLOOR = 1e-10  # librosa's
WindowType = Literal["povey", "hann"]
MelScale = Literal["htk", "slaney"]
Log = Literal["ln", "db", "none"]


class Fbank(nn.Module):
    """Mel filterbank energies: samples (B, N), lengths (B,) -> features (B, T, num_mel_bins), frame counts (B,).

    Frames beyond an utterance's count are zero. Padding never changes a real frame: each utterance is computed
    alone. An utterance shorter than one frame has 0 frames (with `snip_edges`).

    Args:
        sample_rate: Hz.
        num_mel_bins: Filters.
        frame_length: Window, ms.
        frame_shift: Hop, ms.
        low_freq: Lower edge of the first filter, Hz.
        high_freq: Upper edge of the last, Hz; 0 or less counts from the Nyquist frequency down.
        window_type: `povey` is Kaldi's, a symmetric Hann window to the power 0.85; `hann` is periodic, as librosa's.
        preemphasis_coefficient: x[t] - c x[t-1] within each frame; 0 for none.
        remove_dc_offset: Subtract each frame's mean first.
        snip_edges: Only frames that lie wholly in the audio; otherwise one frame each `frame_shift`, the audio
            mirrored at its ends.
        center: librosa's frames instead: frame t is centred on sample t * shift, the audio padded with zeros.
        round_to_power_of_two: FFT over the next power of two; else over the window.
        n_fft: FFT size in samples where it is neither; the window is centred in it.
        mel_scale: `htk` (1127 ln(1 + f/700), Kaldi's, each filter's peak 1) or `slaney` (librosa's: linear to 1 kHz,
            then logarithmic, each filter of unit area).
        log: `ln`, `db` (10 log10) or `none`.

    Raises:
        InputError: A setting that cannot be.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        num_mel_bins: int = 80,
        *,
        frame_length: float = 25.0,
        frame_shift: float = 10.0,
        low_freq: float = 20.0,
        high_freq: float = 0.0,
        window_type: WindowType = "povey",
        preemphasis_coefficient: float = 0.97,
        remove_dc_offset: bool = True,
        snip_edges: bool = True,
        center: bool = False,
        round_to_power_of_two: bool = True,
        n_fft: int | None = None,
        mel_scale: MelScale = "htk",
        log: Log = "ln",
    ) -> None:
        super().__init__()
        _require(1000 <= sample_rate <= 768_000, f"sample_rate {sample_rate} Hz is not between 1,000 and 768,000")
        _require(1 <= num_mel_bins <= 1024, f"num_mel_bins {num_mel_bins} is not between 1 and 1024")
        _require(0 < frame_shift <= 1000, f"frame_shift {frame_shift} ms is not between 0 and 1000")
        _require(0 < frame_length <= 1000, f"frame_length {frame_length} ms is not between 0 and 1000")
        self.sample_rate = sample_rate
        self.dim = num_mel_bins
        # Kaldi truncates; the small term keeps 2048 samples from becoming 2047 when they are given in ms.
        self.window_size = int(sample_rate * frame_length * 0.001 + 1e-6)
        self.shift = int(sample_rate * frame_shift * 0.001 + 1e-6)
        _require(self.window_size >= 2, f"frame_length {frame_length} ms has less than two samples")
        _require(self.shift >= 1, f"frame_shift {frame_shift} ms has no sample")
        self.n_fft = n_fft or (1 << (self.window_size - 1).bit_length() if round_to_power_of_two else self.window_size)
        _require(self.window_size <= self.n_fft, f"n_fft {self.n_fft} is smaller than the window, {self.window_size}")
        _require(
            self.n_fft <= 1 << 17 and self.n_fft * num_mel_bins <= 1 << 23,
            f"frames of {self.n_fft} samples and {num_mel_bins} filters are out of all proportion",
        )
        nyquist = sample_rate / 2
        high_freq = high_freq if high_freq > 0 else nyquist + high_freq
        _require(
            0 <= low_freq < high_freq <= nyquist,
            f"the filters' range {low_freq:g}-{high_freq:g} Hz does not lie within 0-{nyquist:g} Hz",
        )
        _require(0 <= preemphasis_coefficient <= 1, f"preemphasis {preemphasis_coefficient} is not in 0-1")
        self.frame_seconds = self.shift / sample_rate
        self.preemphasis = preemphasis_coefficient
        self.remove_dc_offset = remove_dc_offset
        self.snip_edges, self.center = snip_edges, center
        self.log = log
        self.frame_size = self.n_fft if center else self.window_size  # samples a frame looks at
        window = _window(window_type, self.window_size)
        if center:  # librosa centres a short window in its FFT frame
            before = (self.n_fft - self.window_size) // 2
            window = torch.nn.functional.pad(window, (before, self.n_fft - self.window_size - before))
        filters = _mel_filters(num_mel_bins, self.n_fft, sample_rate, low_freq, high_freq, mel_scale)
        # Non-persistent: settings determine them, so a model's file need not carry them.
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self._groups: list[tuple[int, int, int, int]] = []  # first and end column of the spectrum, of the filters
        for first in range(0, num_mel_bins, _FILTER_GROUP):
            end = min(first + _FILTER_GROUP, num_mel_bins)
            used = filters[first:end].sum(0).nonzero()[:, 0]
            low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
            weights = filters[first:end, low:high].t().repeat_interleave(2, 0)
            self.register_buffer(f"weights_{len(self._groups)}", weights.contiguous(), persistent=False)
            self._groups.append((2 * low, 2 * high, first, end))
        # What the buffers' shapes depend on.
        self._key = (self.n_fft, self.frame_size, self.shift, tuple(self._groups))

    window: Tensor
    filters: Tensor

    def frame_count(self, size: int) -> int:
        """Frames of an utterance of `size` samples (Kaldi's NumFrames; librosa's where `center`)."""
        if self.center:
            return 1 + size // self.shift if size else 0
        if self.snip_edges:
            return 1 + (size - self.window_size) // self.shift if size >= self.window_size else 0
        return (size + self.shift // 2) // self.shift

    @torch.no_grad()
    def forward(self, samples: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        sizes = lens.tolist()
        if samples.dim() != 2 or len(sizes) != len(samples) or max(sizes, default=0) > samples.shape[1]:
            raise ValueError(f"samples {tuple(samples.shape)} and lengths {sizes} are not (B, N) and (B,)")
        counts = [self.frame_count(size) for size in sizes]
        features = samples.new_empty(len(sizes), max(counts, default=0), self.dim)  # (B, T, F)
        for i, (size, count) in enumerate(zip(sizes, counts, strict=True)):
            if count:
                self._utterance(samples[i, :size], features[i, :count])
            features[i, count:] = 0
        return features, torch.tensor(counts, dtype=torch.long, device=samples.device)

    def _utterance(self, samples: Tensor, out: Tensor) -> None:
        """Features of one utterance (N,) into `out` (T, F)."""
        count, size, shift, c = len(out), self.frame_size, self.shift, self.preemphasis
        samples = self._mirrored(samples, count) if self.center or not self.snip_edges else samples.contiguous()
        frames = samples.as_strided((count, size), (shift, 1))  # (T, L), overlapping
        scratch = self._scratch(count, samples.device)
        weights = [self.get_buffer(f"weights_{i}") for i in range(len(self._groups))]
        for begin in range(0, count, scratch.chunk):
            n = min(scratch.chunk, count - begin)
            view = scratch.views(n)
            here, result = frames[begin : begin + n], out[begin : begin + n]
            mean = here.mean(1, keepdim=True).mul_(1 - c) if self.remove_dc_offset else None
            if c:
                # Each sample once, not once a frame; of a frame's mean, (1 - c) is left after it.
                stretch = samples[begin * shift : begin * shift + len(view.emphasised)]
                torch.sub(stretch[1:], stretch[:-1], alpha=c, out=view.emphasised[1:])
                source = view.emphasised.as_strided((n, size), (shift, 1))
            else:
                source = here
            if mean is None:
                view.windowed.copy_(source)
            else:
                torch.sub(source, mean, out=view.windowed)
            if c:  # a frame's first sample has only itself before it
                torch.mul(here[:, 0], 1 - c, out=view.first)
                if mean is not None:
                    view.first.sub_(mean[:, 0])
            view.windowed.mul_(self.window)
            torch.fft.rfft(view.padded, out=view.spectrum)
            view.energies.mul_(view.energies)
            for part, weight, (_, _, left, right) in zip(view.groups, weights, self._groups, strict=True):
                torch.mm(part, weight, out=result[:, left:right])
            if self.log == "ln":
                result.clamp_(min=_LOG_FLOOR).log_()
            elif self.log == "db":
                result.clamp_(min=_DB_FLOOR).log10_().mul_(10)

    def _scratch(self, count: int, device: torch.device) -> _Scratch:
        """Buffers for a chunk of frames. Each thread keeps its own: fresh memory costs as much as the FFT."""
        if device.type != "cpu":
            return _Scratch(self, count, device)
        kept: dict[Any, _Scratch] = _local.__dict__.setdefault("scratch", {})
        if self._key not in kept:
            if len(kept) >= 4:  # more feature kinds than a thread is likely to use
                kept.clear()
            kept[self._key] = _Scratch(self, max(1, min(_CHUNK, _CHUNK_SAMPLES // self.n_fft)), device)
        return kept[self._key]

    def _mirrored(self, samples: Tensor, count: int) -> Tensor:
        """The samples with what frames at the ends need: zeros where `center`, else Kaldi's reflection."""
        if self.center:
            return torch.nn.functional.pad(samples, (self.n_fft // 2, self.n_fft // 2))
        size = len(samples)
        begin = self.shift // 2 - self.window_size // 2
        end = begin + (count - 1) * self.shift + self.window_size
        at = torch.arange(begin, max(end, begin + self.window_size), device=samples.device) % (2 * size)
        return samples[torch.where(at < size, at, 2 * size - 1 - at)]


_local = threading.local()


class _Views(NamedTuple):
    """The first n frames of the buffers."""

    emphasised: Tensor  # samples of n frames
    padded: Tensor  # (n, n_fft), zero behind `windowed`
    windowed: Tensor  # (n, L)
    first: Tensor  # (n,), the first sample of each frame
    spectrum: Tensor  # (n, bins), complex
    energies: Tensor  # (n, 2 bins) over the spectrum's memory
    groups: list[Tensor]  # columns of `energies`, one part for each group of filters


class _Scratch:
    """Buffers for `chunk` frames, and views of them that need not be made for each chunk."""

    def __init__(self, fbank: Fbank, chunk: int, device: torch.device) -> None:
        bins = fbank.n_fft // 2 + 1
        self.chunk, self.frame_size, self.shift = chunk, fbank.frame_size, fbank.shift
        self.columns = [(low, high) for low, high, _, _ in fbank._groups]
        with torch.inference_mode(False):  # buffers made in that mode could not be written to outside it
            self.emphasised = torch.empty((chunk - 1) * fbank.shift + fbank.frame_size, device=device)
            self.padded = torch.zeros(chunk, fbank.n_fft, device=device)
            self.spectrum = torch.empty(chunk, bins, dtype=torch.complex64, device=device)
            self.whole = self._views(chunk)

    def views(self, n: int) -> _Views:
        return self.whole if n == self.chunk else self._views(n)

    def _views(self, n: int) -> _Views:
        padded, spectrum = self.padded[:n], self.spectrum[:n]
        energies = torch.view_as_real(spectrum).flatten(1)
        return _Views(
            emphasised=self.emphasised[: (n - 1) * self.shift + self.frame_size],
            padded=padded,
            windowed=padded[:, : self.frame_size],
            first=padded[:, 0],
            spectrum=spectrum,
            energies=energies,
            groups=[energies[:, low:high] for low, high in self.columns],
        )


def _window(kind: str, size: int) -> Tensor:
    _require(kind in get_args(WindowType), f"window_type {kind!r} is none of {', '.join(get_args(WindowType))}")
    period = size - 1 if kind == "povey" else size
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi / period * torch.arange(size, dtype=torch.float64))
    return (hann.pow(0.85) if kind == "povey" else hann).float()


def _mel_filters(bins: int, n_fft: int, rate: int, low: float, high: float, scale: str) -> Tensor:
    """Triangular filters (bins, n_fft // 2 + 1): triangles on the mel axis for `htk`, as Kaldi's; on the axis of
    frequencies for `slaney`, as librosa's."""
    _require(scale in ("htk", "slaney"), f"mel_scale {scale!r} is neither htk nor slaney")
    hertz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * rate / n_fft
    ends = _to_mel(torch.tensor([low, high], dtype=torch.float64), scale)
    points = torch.linspace(float(ends[0]), float(ends[1]), bins + 2, dtype=torch.float64)
    if scale == "htk":
        x, edges = _to_mel(hertz, scale), points
    else:
        x, edges = hertz, _slaney_to_hertz(points)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    filters = torch.minimum((x - left) / (centre - left), (right - x) / (right - centre)).clamp(min=0)
    if scale == "htk":
        filters[:, -1] = 0  # Kaldi leaves the Nyquist bin out
    else:
        filters = filters * (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters.float()


def _to_mel(hertz: Tensor, scale: str) -> Tensor:
    if scale == "htk":
        return 1127 * torch.log1p(hertz / 700)
    # Slaney's Auditory Toolbox: 200/3 Hz a mel up to 1 kHz, above it 27 steps for a factor of 6.4
    return torch.where(hertz < 1000, hertz * 3 / 200, 15 + torch.log(hertz.clamp(min=1e-9) / 1000) * 27 / math.log(6.4))


def _slaney_to_hertz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def _require(condition: bool, what: str) -> None:
    require(condition, what, where="features")
