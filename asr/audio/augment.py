"""Augmentation of samples: speed, reverberation, noise, volume. N samples, float32 in [-1, 1].

Every draw comes from the seed an utterance carries and the name of what it is for: turning one augmentation on
leaves what is drawn for the others as it was. That of frames is in `asr.audio.spec_augment`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from asr.audio.reader import Samples, audio_info, find_audio, read_audio, read_blocks
from asr.audio.schedule import derived_seed, drawn, strength
from asr.utils.config import Config, require, setting
from asr.utils.errors import InputError

GENERATED = "generated"
_CROSS_FADE = 0.05  # seconds, where a short noise begins anew
_ACTIVE_RANGE = 30.0  # dB below the loudest frame down to which speech counts as active
_LOW_EDGE = 20.0  # Hz; generated noise has nothing below, where features do not look either
_RT60 = (0.15, 0.7)  # seconds of a generated room
_DIRECT = (-3.0, 12.0)  # dB, its direct sound over its reverberation
_LONGEST_RESPONSE = 10.0  # seconds; longer files are taken for something else


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Config):
    """What is done to the samples of training utterances; nothing by default."""

    speed: tuple[float, ...] = setting(
        (1.0,), "[0.5, 2]"
    )  # one factor is drawn each time; pitch and tempo change together
    volume: float = setting(0.0, "[0, 60]")  # dB: a gain is drawn from -volume to +volume
    noise: str = ""  # a folder of audio files, or `generated`
    noise_chance: float = setting(0.5, "[0, 1]")  # share of utterances that get noise
    snr: tuple[float, float] = setting(
        (5.0, 25.0), "[-60, 100]"
    )  # dB, between which the signal-to-noise ratio is drawn
    reverb: str = ""  # a folder of impulse responses, or `generated`
    reverb_chance: float = setting(0.3, "[0, 1]")
    start_epoch: int = setting(1, "[1, inf)")  # the first in which any of this is done
    ramp_epochs: int = setting(0, "[0, inf)")  # before full strength: speed, volume and the chances rise linearly

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.speed) > 0, "speed has no factor: [1.0] leaves the speed as it is")
        require(
            len(self.snr) == 2 and self.snr[0] <= self.snr[1],
            f"snr {list(self.snr)} is not a lower and an upper number of dB",
        )

    def at_epoch(self, epoch: int) -> AugmentConfig:
        """Returns the settings that hold in an epoch, counted from 1: in full, weaker or off, as the schedule says."""
        share = strength(epoch, self.start_epoch, self.ramp_epochs)
        if share == 1:
            return self
        return replace(
            self,
            speed=tuple(1 + (factor - 1) * share for factor in self.speed),
            volume=self.volume * share,
            noise_chance=self.noise_chance * share,
            reverb_chance=self.reverb_chance * share,
            start_epoch=1,
            ramp_epochs=0,
        )


def speed_factor(config: AugmentConfig, seed: int) -> float:
    """The factor by which `augment` plays an utterance faster (Ko et al. 2015), each equally likely.

    N samples become round(N / factor): its duration / factor is what batches are planned by.
    """
    return config.speed[int(drawn(seed, "speed") * len(config.speed))]


def augment(samples: Samples, sample_rate: int, seed: int, config: AugmentConfig) -> Samples:
    """Samples (N,) -> (round(N / speed_factor),), all else keeps the length and what is said when.

    Whatever is on, the result lies in [-1, 1]: sound that would not is made quieter as a whole. The schedule is not
    looked at: see `AugmentConfig.at_epoch`.

    Args:
        sample_rate: Hz.
        seed: The utterance's own in this epoch; the result follows from it, whatever came before.

    Returns:
        The very same array where nothing is to be done.

    Raises:
        InputError: A file of a folder of noises or impulse responses cannot be used.
    """
    result = _change_speed(samples, speed_factor(config, seed))
    if config.reverb and len(samples) and drawn(seed, "reverb chance") < config.reverb_chance:
        result = _reverberate(result, _response(config.reverb, sample_rate, derived_seed(seed, "reverb")))
    if config.noise and len(samples) and drawn(seed, "noise chance") < config.noise_chance:
        low, high = config.snr
        snr = low + (high - low) * drawn(seed, "snr")
        noise = _noise(config.noise, len(result), sample_rate, derived_seed(seed, "noise"))
        result = _add_noise(result, noise, snr, sample_rate)
    if config.volume:
        gain = config.volume * (2 * drawn(seed, "volume") - 1)
        result = result * np.float32(10 ** (gain / 20))
    return result if result is samples else _within_range(result)


def check_folders(config: AugmentConfig, sample_rate: int) -> None:
    """Opens each file of the folders and reads it until something is heard, so that training does not stop at one.

    Raises:
        InputError: A folder is missing or holds no audio, or files cannot be read, are silent, or, as impulse
            responses, too long; the first few are named.
    """
    for key, folder in (("noise", config.noise), ("reverb", config.reverb)):
        if folder in ("", GENERATED):
            continue
        faults = []
        files = _files(folder)
        for path in files:
            try:
                if not any(block.any() for block in read_blocks(path, sample_rate, seconds=1.0)):
                    raise _silent(path)
                if key == "reverb":
                    _read_response(path, sample_rate)
            except InputError as e:
                faults.append(str(e))
        if faults:
            first = "; ".join(faults[:3])
            raise InputError(
                f"{len(faults)} of {len(files)} files for augment.{key} cannot be used: {first}",
                where=folder,
                remedy="mend them or take them out",
            )


def folder_files(config: AugmentConfig) -> list[tuple[str, int]]:
    """The files of the configured folders and their sizes in bytes: what is drawn from depends on them."""
    folders = [folder for folder in (config.noise, config.reverb) if folder not in ("", GENERATED)]
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for folder in folders for path in _files(folder)]


def _change_speed(samples: Samples, factor: float) -> Samples:
    """(N,) -> (round(N / factor),) by resampling (soxr, HQ)."""
    if factor == 1 or len(samples) == 0:
        return samples
    import soxr

    size = round(len(samples) / factor)
    return _fit(np.asarray(soxr.resample(samples, factor, 1.0), np.float32), size)


def _reverberate(samples: Samples, response: Samples) -> Samples:
    """Convolves with an impulse response whose direct sound stands first; length and energy stay."""
    n, taps = len(samples), len(response)
    # Blocks that stay in the cache (overlap-add), for short ones a single block.
    size = min(max(1 << 15, 2 << (taps - 1).bit_length()), 1 << (n + taps - 2).bit_length())
    step = size - taps + 1
    blocks = -(-n // step)
    padded = _fit(samples, blocks * step).reshape(blocks, step)
    spectrum = np.fft.rfft(padded, size) * np.fft.rfft(response, size)
    parts = np.fft.irfft(spectrum, size).astype(np.float32, copy=False)
    result: Samples = np.zeros((blocks - 1) * step + size, np.float32)
    for i, part in enumerate(parts):
        result[i * step : i * step + size] += part
    before, after = _power(samples), _power(result[:n])
    return result[:n] * np.float32(np.sqrt(before / after) if after > 0 else 1)


def _response(source: str, rate: int, seed: int) -> Samples:
    """An impulse response (N,), direct sound at 0."""
    rng = np.random.default_rng(seed)
    if source == GENERATED:
        return _generated_response(rate, rng)
    files = _files(source)
    return _read_response(files[int(rng.integers(len(files)))], rate)


def _generated_response(rate: int, rng: np.random.Generator) -> Samples:
    """The direct sound, then noise that decays exponentially, by 60 dB in RT60 (Polack 1988)."""
    rt60, direct = rng.uniform(*_RT60), rng.uniform(*_DIRECT)
    size = max(2, int(rt60 * rate))
    decay = np.exp(np.arange(size, dtype=np.float32) * np.float32(-3 * np.log(10) / size))
    response: Samples = rng.standard_normal(size, dtype=np.float32) * decay
    response[0] = 0
    response *= np.float32(np.sqrt(10 ** (-direct / 10) / max(size * _power(response), 1e-9)))
    np.clip(response, -0.95, 0.95, out=response)  # the direct sound is the peak
    response[0] = 1
    return response


@lru_cache(maxsize=128)
def _read_response(path: Path, rate: int) -> Samples:
    """The first channel of a file, from its first peak on: the first sound of at least half the greatest."""
    seconds = audio_info(path).duration
    if seconds > _LONGEST_RESPONSE:
        raise InputError(
            f"lasts {seconds:.1f} s, too long for an impulse response",
            where=path,
            remedy=f"cut it to {_LONGEST_RESPONSE:.0f} s or take it out of the folder",
        )
    response = read_audio(path, rate, channel=0)
    level = np.abs(response)
    if not level.any():
        raise _silent(path)
    begin = int((level >= level.max() / 2).argmax())
    begin += int(level[begin : begin + max(1, rate // 1000)].argmax())
    response = np.asarray(response[begin:] / level.max(), np.float32)
    response.flags.writeable = False  # it is kept
    return response


def _add_noise(samples: Samples, noise: Samples, snr: float, rate: int) -> Samples:
    """Adds noise (N,) at `snr` dB below the active speech; none where either is silent."""
    speech, power = _active_power(samples, rate), _power(noise)
    if speech <= 0 or power <= 0:
        return samples
    return samples + noise * np.float32(np.sqrt(speech / power) * 10 ** (-snr / 20))


def _active_power(samples: Samples, rate: int) -> float:
    """Mean square of the frames of 20 ms that are at most 30 dB weaker than the strongest."""
    size = min(max(1, rate // 50), len(samples))
    whole = len(samples) - len(samples) % size
    powers = np.square(samples[:whole]).reshape(-1, size).mean(1, dtype=np.float64)
    return float(powers[powers >= powers.max() * 10 ** (-_ACTIVE_RANGE / 10)].mean())


def _noise(source: str, size: int, rate: int, seed: int) -> Samples:
    """Noise (size,) of any level."""
    rng = np.random.default_rng(seed)
    if source == GENERATED:
        return _generated_noise(size, rate, rng)
    files = _files(source)
    path = files[int(rng.integers(len(files)))]
    wanted = size / rate
    duration = _duration(path)
    if duration > wanted + 0.1:
        start = rng.uniform(0, duration - wanted - 0.05)  # headers round the length
        noise = read_audio(path, rate, start=start, duration=wanted)
        return _fit(noise, size)
    return _looped(read_audio(path, rate), size, rate, rng)


def _looped(noise: Samples, size: int, rate: int, rng: np.random.Generator) -> Samples:
    """Repeats noise to `size` samples from a random one on; its end fades into its beginning."""
    fade = min(int(_CROSS_FADE * rate), len(noise) // 2)
    if fade:
        x = (np.arange(fade, dtype=np.float32) + 0.5) * np.float32(np.pi / 2 / fade)
        head = noise[:fade] * np.sin(x) + noise[-fade:] * np.cos(x)  # equal power: the two are unlike
        noise = np.concatenate([head, noise[fade:-fade]])
    return np.resize(np.roll(noise, -int(rng.integers(len(noise)))), size)


def _generated_noise(size: int, rate: int, rng: np.random.Generator) -> Samples:
    """Noise whose power falls with frequency as 1 / f^a, a drawn from 0 (white) over 1 (pink) to 2 (brown).

    Every fifth has mains hum, too: 50 or 60 Hz and its harmonics, up to three times as strong as the noise.
    """
    n = _fft_size(size)
    frequencies = np.fft.rfftfreq(n, 1 / rate).astype(np.float32)
    shape = np.maximum(frequencies, np.float32(_LOW_EDGE)) ** np.float32(-rng.uniform(0, 2) / 2)
    shape[frequencies < min(_LOW_EDGE, rate / 4)] = 0
    parts = rng.standard_normal((2, len(frequencies)), dtype=np.float32)
    spectrum = (parts[0] + np.complex64(1j) * parts[1]) * shape
    if rng.random() < 0.2:
        mains, strongest = rng.choice([50.0, 60.0]), rng.uniform(0.1, 3.0)
        lines = np.arange(mains, min(20 * mains, rate / 2), mains)
        weights = rng.random(len(lines)) / np.arange(1, len(lines) + 1) ** rng.uniform(0, 2)
        energy = strongest * float(np.square(np.abs(spectrum)).sum()) / max(float(np.square(weights).sum()), 1e-9)
        phases = np.exp(2j * np.pi * rng.random(len(lines)))
        spectrum[np.rint(lines * n / rate).astype(int)] += (weights * np.sqrt(energy) * phases).astype(np.complex64)
    return np.fft.irfft(spectrum, n)[:size].astype(np.float32, copy=False)


def _within_range(samples: Samples) -> Samples:
    peak = float(np.abs(samples).max(initial=0))
    return (samples / np.float32(peak)).clip(-1, 1) if peak > 1 else samples


@lru_cache(maxsize=64)
def _files(folder: str) -> tuple[Path, ...]:
    """The audio files of a folder, listed once a process."""
    if not Path(folder).is_dir():
        raise InputError(
            "no such folder", where=folder, remedy=f"name a folder of audio files, or `{GENERATED}` to need none"
        )
    files = find_audio(folder)
    if not files:
        raise InputError("holds no audio file", where=folder, remedy=f"name another, or `{GENERATED}` to need none")
    return tuple(files)


@lru_cache(maxsize=1 << 16)
def _duration(path: Path) -> float:
    return audio_info(path).duration


def _silent(path: Path) -> InputError:
    return InputError("is silent", where=path, remedy="take it out of the folder")


def _power(samples: Samples) -> float:
    """Mean square."""
    return float(np.vdot(samples, samples)) / max(len(samples), 1)


def _fit(samples: Samples, size: int) -> Samples:
    """Cut, or filled with zeros, to `size`."""
    return samples[:size] if len(samples) >= size else np.pad(samples, (0, size - len(samples)))


def _fft_size(size: int) -> int:
    """The smallest 2^k, 3 * 2^k or 5 * 2^k that holds `size`: fast to transform."""
    return min(m << max(0, (-(-size // m) - 1).bit_length()) for m in (1, 3, 5))
