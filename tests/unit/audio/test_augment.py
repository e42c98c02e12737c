from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import speechlike
from hypothesis import given, settings, strategies as st
from wording import wording

from asr.audio.augment import AugmentConfig, augment, check_folders, speed_factor
from asr.audio.reader import Samples, read_audio
from asr.utils.config import from_dict
from asr.utils.errors import InputError

RATE = 16000
EVERYTHING = AugmentConfig(
    speed=(0.9, 1.0, 1.1),
    volume=20,
    noise="generated",
    noise_chance=1,
    snr=(0, 20),
    reverb="generated",
    reverb_chance=1,
)


def tone(frequency: float, seconds: float = 1.0, level: float = 0.1) -> Samples:
    t = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def sounds(folder: Path, **files: np.ndarray) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in files.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return str(folder)


def test_nothing_is_done_by_default() -> None:
    samples = tone(440)
    assert augment(samples, RATE, 1, AugmentConfig()) is samples
    never = AugmentConfig(noise="generated", noise_chance=0, reverb="generated", reverb_chance=0)
    assert augment(samples, RATE, 1, never) is samples


@pytest.mark.parametrize("factor", [0.9, 1.1, 1.037])
def test_a_faster_tone_is_shorter_and_higher(factor: float) -> None:
    samples = tone(440, 2)
    faster = augment(samples, RATE, 1, AugmentConfig(speed=(factor,)))
    assert len(faster) == round(len(samples) / factor)
    spectrum = np.abs(np.fft.rfft(faster * np.hanning(len(faster)), 1 << 18))
    assert spectrum.argmax() * RATE / (1 << 18) == pytest.approx(440 * factor, abs=0.1)
    middle = slice(len(faster) // 4, len(faster) // 2)
    assert power(faster[middle]) == pytest.approx(0.005, rel=0.01)


def test_speeds_are_drawn_evenly() -> None:
    config = AugmentConfig(speed=(0.9, 1.0, 1.1))
    counts = Counter(speed_factor(config, seed) for seed in range(3000))
    assert set(counts) == {0.9, 1.0, 1.1}
    assert min(counts.values()) > 900
    samples = tone(300, 0.1)
    for seed in range(10):
        assert len(augment(samples, RATE, seed, config)) == round(1600 / speed_factor(config, seed))


def test_the_same_seed_gives_the_same_whatever_came_before() -> None:
    samples = speechlike(1, RATE)
    first = [augment(samples, RATE, seed, EVERYTHING) for seed in range(5)]
    for seed in reversed(range(5)):
        assert np.array_equal(augment(samples, RATE, seed, EVERYTHING), first[seed])
    assert len({result.tobytes() for result in first}) == 5


def test_one_augmentation_leaves_the_draws_of_another_alone() -> None:
    samples = tone(440, level=0.01)
    settings: dict[str, Any] = {"noise": "generated", "noise_chance": 1, "snr": (10, 20)}
    for seed in range(5):
        alone = augment(samples, RATE, seed, AugmentConfig(**settings))
        louder = augment(samples, RATE, seed, AugmentConfig(volume=6, **settings))
        gain = np.sqrt(power(louder) / power(alone))
        assert 0.5 < gain < 2
        assert np.allclose(louder, gain * alone, atol=1e-5)


@pytest.mark.parametrize("source", ["generated", "folder"])
@pytest.mark.parametrize("snr", [0.0, 10.0, 25.0])
def test_noise_has_the_ratio_asked_for_to_active_speech(source: str, snr: float, tmp_path: Path) -> None:
    if source == "folder":
        source = sounds(tmp_path / "noise", long=np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE))
    # A second of tone of power 0.00005 in three seconds of hiss: the pauses do not count.
    hiss = 1e-5 * np.random.default_rng(1).standard_normal(4 * RATE)
    samples = (np.concatenate([np.zeros(RATE), tone(440, level=0.01), np.zeros(2 * RATE)]) + hiss).astype(np.float32)
    for seed in range(5):
        noisy = augment(samples, RATE, seed, AugmentConfig(noise=source, noise_chance=1, snr=(snr, snr)))
        assert 10 * np.log10(0.00005 / power(noisy - samples)) == pytest.approx(snr, abs=0.5)


def generated_noise(seed: int) -> np.ndarray:
    samples = tone(440, 4, level=0.01)
    return augment(samples, RATE, seed, AugmentConfig(noise="generated", noise_chance=1, snr=(20, 20))) - samples


def test_generated_noise_is_of_many_colours() -> None:
    slopes, hums = [], 0
    for seed in range(60):
        noise = generated_noise(seed)
        density = np.square(np.abs(np.fft.rfft(noise * np.hanning(len(noise)))))  # 0.25 Hz a bin
        assert density[: 15 * 4].sum() < 0.01 * density.sum()
        low, high = np.median(density[1000:2000]), np.median(density[16000:32000])  # four octaves apart
        slopes.append(np.log2(low / high) / 4)
        # a line at a harmonic of the mains
        lines = [density[4 * k * f - 2 : 4 * k * f + 3].max() for f in (50, 60) for k in range(1, 12)]
        around = [np.median(density[4 * k * f - 40 : 4 * k * f + 40]) for f in (50, 60) for k in range(1, 12)]
        hums += bool(max(np.divide(lines, around)) > 1000)
    assert -0.2 < min(slopes) < 0.3
    assert 1.7 < max(slopes) < 2.2
    assert np.mean(slopes) == pytest.approx(1, abs=0.25)
    assert 3 <= hums <= 25  # one in five


def test_noise_is_a_stretch_from_anywhere_in_the_file(tmp_path: Path) -> None:
    ramp = np.linspace(0.1, 0.9, 10 * RATE)  # its level says which second it is
    config = AugmentConfig(noise=sounds(tmp_path, ramp=ramp), noise_chance=1, snr=(0, 0))
    samples = tone(440, level=0.01)
    begins = []
    for seed in range(20):
        added = augment(samples, RATE, seed, config) - samples
        slope, offset = np.polyfit(np.arange(RATE) / RATE, added, 1)
        assert np.allclose(added, offset + slope * np.arange(RATE) / RATE, atol=1e-5)
        begins.append((offset / slope * 0.08 - 0.1) / 0.08)  # the ramp rises by 0.08 a second
    assert min(begins) < 2
    assert max(begins) > 7
    assert -0.01 < min(begins) < max(begins) < 9.01


def test_a_short_noise_is_looped_without_a_click(tmp_path: Path) -> None:
    config = AugmentConfig(noise=sounds(tmp_path, ramp=np.linspace(0.1, 0.5, RATE // 2)), noise_chance=1, snr=(0, 0))
    samples = tone(440, 3, level=0.01)
    added = augment(samples, RATE, 1, config) - samples
    assert np.ptp(added) > 0.5 * added.max()
    assert np.abs(np.diff(added)).max() < 0.01 * np.ptp(added)  # without fading it would be all of it
    period = round(0.45 * RATE)
    assert np.allclose(added[:period], added[period : 2 * period], atol=1e-5)


def test_noise_at_other_rates_with_channels_and_in_folders_below(tmp_path: Path) -> None:
    folder = tmp_path / "noise" / "street"
    folder.mkdir(parents=True)
    t = np.arange(44100 * 3) / 44100
    hum = np.sin(2 * np.pi * 1000 * t)
    soundfile.write(folder / "a.flac", np.stack([hum, hum], 1) * 0.3, 44100)
    config = AugmentConfig(noise=str(tmp_path / "noise"), noise_chance=1, snr=(10, 10))
    samples = tone(440, level=0.01)
    added = augment(samples, RATE, 1, config) - samples
    assert np.abs(np.fft.rfft(added)).argmax() == 1000


def test_silence_gets_no_noise() -> None:
    silence = np.zeros(RATE, np.float32)
    assert not augment(silence, RATE, 1, EVERYTHING).any()


def click(at: int, size: int = 2 * RATE, level: float = 0.1) -> Samples:
    samples = np.zeros(size, np.float32)
    samples[at] = level
    return samples


def test_a_reverberated_click_stays_where_it_was_and_decays() -> None:
    config = AugmentConfig(reverb="generated", reverb_chance=1)
    times, ratios = [], []
    for seed in range(30):
        wet = augment(click(5000), RATE, seed, config).astype(np.float64)
        assert np.abs(wet).argmax() == 5000
        assert np.abs(wet[:5000]).max() < 1e-6
        assert power(wet) == pytest.approx(power(click(5000)), rel=1e-3)
        tail = np.square(wet[5001:])
        ratios.append(10 * np.log10(wet[5000] ** 2 / tail.sum()))
        # Schroeder's backward integral falls from -5 to -25 dB in a third of RT60.
        left = 10 * np.log10(np.maximum(tail[::-1].cumsum()[::-1] / tail.sum(), 1e-12))
        times.append(3 * ((left < -25).argmax() - (left < -5).argmax()) / RATE)
    assert 0.1 < min(times) < 0.3
    assert 0.5 < max(times) < 0.85
    assert -3.5 < min(ratios) < 3
    assert 7 < max(ratios) < 12.5


def test_reverberation_is_convolution_with_the_users_response_from_its_first_peak(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    response = np.zeros(3000)
    response[200:] = rng.standard_normal(2800) * np.exp(-np.arange(2800) / 300) * 0.1
    response[200] = 0.7
    response[[900, 2990]] = -1.0  # echoes louder than the direct sound, one at the very end
    response /= 2
    folder = sounds(tmp_path, room=np.stack([response, rng.uniform(-1, 1, 3000)], 1))
    for size in (100, 5000, 70000):
        samples = (rng.standard_normal(size) * 0.02).astype(np.float32)
        wet = augment(samples, RATE, 1, AugmentConfig(reverb=folder, reverb_chance=1))
        expected = np.convolve(samples, response[200:])[:size]
        expected *= np.sqrt(power(samples) / power(expected))
        assert wet.dtype == np.float32
        assert np.allclose(wet, expected, atol=1e-5)


def test_a_long_response_works_and_one_at_another_rate(tmp_path: Path) -> None:
    long = np.zeros(3 * RATE)
    long[[0, 40000]] = 0.5, 0.25
    wet = augment(click(100, 60000), RATE, 1, AugmentConfig(reverb=sounds(tmp_path / "long", x=long), reverb_chance=1))
    assert wet[40100] / wet[100] == pytest.approx(0.5, rel=1e-3)
    response = np.zeros(48000)
    response[[480, 24480]] = 0.8, 0.4  # the echo half a second after the direct sound
    (tmp_path / "other").mkdir()
    soundfile.write(tmp_path / "other" / "room.wav", response, 48000)
    wet = augment(click(5000), RATE, 1, AugmentConfig(reverb=str(tmp_path / "other"), reverb_chance=1))
    assert np.abs(wet).argmax() == 5000
    assert np.abs(wet[5100:]).argmax() == RATE // 2 - 100


def test_volume_is_drawn_evenly_in_decibels_and_never_clips() -> None:
    samples = tone(440, 0.05, level=0.01)
    gains = [10 * np.log10(power(augment(samples, RATE, s, AugmentConfig(volume=12))) / 0.00005) for s in range(300)]
    assert -12.1 < min(gains) < -11
    assert 11 < max(gains) < 12.1
    assert np.mean(gains) == pytest.approx(0, abs=1.5)
    loud = tone(440, 0.05, level=0.9)
    for seed in range(50):
        result = augment(loud, RATE, seed, AugmentConfig(volume=40))
        assert np.abs(result).max() <= 1
        assert np.allclose(result / np.abs(result).max(), loud / np.abs(loud).max(), atol=1e-5)  # the shape is kept


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(0, 3000) | st.sampled_from([0, 1, 2, 3]),
    kind=st.sampled_from(["silence", "noise", "square", "click", "tiny"]),
    rate=st.sampled_from([8000, 16000, 44100]),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_samples_stay_finite_within_range_and_of_the_length_stated(
    size: int, kind: str, rate: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    samples = {
        "silence": np.zeros(size),
        "noise": rng.uniform(-1, 1, size),
        "square": np.where(np.arange(size) % 20 < 10, 1.0, -1.0),
        "click": np.where(np.arange(size) == size // 2, 1.0, 0.0),
        "tiny": rng.uniform(-1e-30, 1e-30, size),
    }[kind].astype(np.float32)
    before = samples.copy()
    result = augment(samples, rate, seed, EVERYTHING)
    assert result.dtype == np.float32
    assert result.shape == (round(size / speed_factor(EVERYTHING, seed)),)
    assert np.isfinite(result).all()
    assert np.abs(result).max(initial=0) <= 1
    assert np.array_equal(samples, before)


def test_the_schedule_starts_and_rises() -> None:
    config = AugmentConfig(
        speed=(0.9, 1.2), volume=6, noise="generated", noise_chance=0.6, start_epoch=3, ramp_epochs=2
    )
    samples = tone(440)
    for epoch in (1, 2):
        assert all(augment(samples, RATE, seed, config.at_epoch(epoch)) is samples for seed in range(20))
    third = config.at_epoch(3)
    assert third.speed == pytest.approx((1 - 0.1 / 3, 1 + 0.2 / 3))
    assert (third.volume, third.noise_chance) == (pytest.approx(2), pytest.approx(0.2))
    assert config.at_epoch(5) is config
    assert AugmentConfig().at_epoch(1) == AugmentConfig()


@pytest.mark.parametrize("key", ["noise", "reverb"])
def test_folders_that_cannot_be_used_are_named(key: str, tmp_path: Path) -> None:
    def config(folder: Path) -> AugmentConfig:
        return AugmentConfig(noise_chance=1, reverb_chance=1, **{key: str(folder)})

    missing, empty, bad = tmp_path / "missing", tmp_path / "empty", tmp_path / "bad"
    empty.mkdir()
    with pytest.raises(InputError, match=wording("missing-no-such-folder-generated")):
        check_folders(config(missing), RATE)
    with pytest.raises(InputError, match=wording("empty-holds-no-audio-file")):
        check_folders(config(empty), RATE)
    with pytest.raises(InputError, match=wording("no-such-folder")):
        augment(tone(440), RATE, 1, config(missing))
    sounds(bad, good=tone(100), silent=np.zeros(RATE))
    (bad / "broken.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(InputError, match=wording("2-of-3-files-for", key)):
        check_folders(config(bad), RATE)
    check_folders(config(Path(sounds(tmp_path / "fine", a=tone(100)))), RATE)


def test_music_is_no_impulse_response(tmp_path: Path) -> None:
    folder = sounds(tmp_path, song=tone(100, 20))
    check_folders(AugmentConfig(noise=folder), RATE)
    with pytest.raises(InputError, match=wording("song-wav-lasts-20-0")):
        check_folders(AugmentConfig(reverb=folder), RATE)


def test_settings_come_from_yaml() -> None:
    config = from_dict(AugmentConfig, {"speed": [0.9, 1, 1.1], "snr": [3, 20]}, where="x.yaml")
    assert list(config.speed) == [0.9, 1.0, 1.1]
    assert list(config.snr) == [3.0, 20.0]


@pytest.mark.parametrize(
    "values",
    [
        {"speed": []},
        {"speed": [0.1]},
        {"volume": -1},
        {"noise_chance": 1.5},
        {"reverb_chance": -0.1},
        {"snr": [20, 5]},
        {"start_epoch": 0},
        {"ramp_epochs": -1},
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        from_dict(AugmentConfig, values, where="x.yaml")


def test_real_speech_with_a_folder_of_other_speech_as_babble(librispeech: Path) -> None:
    paths = sorted(librispeech.rglob("*.flac"))
    samples = read_audio(paths[0], RATE)
    speech = 0.2 * samples / np.abs(samples).max()
    config = AugmentConfig(noise=str(paths[-1].parent), noise_chance=1, snr=(15, 15))
    check_folders(config, RATE)
    added = augment(speech, RATE, 3, config) - speech
    # Speech is active for most of a read sentence: the ratio to its mean power is a little lower.
    assert 13 < 10 * np.log10(power(speech) / power(added)) < 15.1
    wet = augment(speech, RATE, 3, AugmentConfig(reverb="generated", reverb_chance=1))
    lags = np.fft.irfft(np.fft.rfft(wet, 1 << 20) * np.fft.rfft(speech, 1 << 20).conj())
    assert lags.argmax() == 0  # nothing has moved
