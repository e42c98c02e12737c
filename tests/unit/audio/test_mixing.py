"""Several channels become one, and what would spoil it does not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from helpers import speechlike

from asr.audio.mixing import mixed
from asr.audio.reader import Samples, Selected, read_audio, read_blocks
from asr.audio.sources import each_channel
from asr.utils.errors import InputError

RATE = 8000
RNG = np.random.default_rng(1)


def spoken(seconds: float, seed: int = 0) -> Samples:
    """Words with pauses between."""
    parts = [
        np.concatenate([speechlike(0.4, RATE, seed=seed + n), np.zeros(1600)]) for n in range(round(seconds / 0.6))
    ]
    samples = np.concatenate(parts)
    return (samples + 0.001 * RNG.standard_normal(len(samples))).astype(np.float32)


SPEECH = spoken(12)
TIME = np.arange(len(SPEECH)) / RATE
HUM = (0.3 * np.sin(2 * np.pi * 50 * TIME)).astype(np.float32)


def mix(*channels: npt.NDArray[np.floating], name: str = "a") -> Samples:
    return read_audio((np.stack(channels, 1).astype(np.float32), RATE), RATE, name=name)


def test_channels_are_averaged_and_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    other = np.roll(SPEECH, 5000)
    np.testing.assert_allclose(mix(SPEECH, other), (SPEECH + other) / 2, atol=1e-6)
    np.testing.assert_allclose(mix(SPEECH, 0 * SPEECH), SPEECH / 2, atol=1e-6)
    centre = mix(*([0 * SPEECH] * 2), SPEECH, *([0 * SPEECH] * 3))
    np.testing.assert_allclose(centre, SPEECH / 6, atol=1e-6)
    faint_hum = mix(SPEECH, HUM / 1000)
    np.testing.assert_allclose(faint_hum, (SPEECH + HUM / 1000) / 2, atol=1e-6)
    np.testing.assert_allclose(mix(HUM, HUM), HUM, atol=1e-6)  # of nothing else
    assert not caplog.records


@pytest.mark.parametrize("gain", [1.0, 0.01])
@pytest.mark.parametrize(
    "hum",
    [HUM, 0.1 * RNG.standard_normal(len(SPEECH)), np.sign(np.sin(2 * np.pi * 1200 * TIME))],
    ids=["hum", "noise", "code"],
)
def test_a_channel_that_hums_is_left_out(gain: float, hum: Samples, caplog: pytest.LogCaptureFixture) -> None:
    name = f"{gain} {hum[3]}"
    speech = SPEECH * np.float32(gain)
    np.testing.assert_array_equal(mix(speech, hum, name=name), speech)
    np.testing.assert_allclose(mix(hum, speech, speech, name=name), speech, atol=1e-6)
    assert f"{name}: channel 1 " in caplog.text


def test_who_speaks_after_a_hum_is_heard() -> None:
    """As in a telephone call, where the line of who listens hums."""
    first, second = SPEECH.copy(), np.roll(SPEECH, 3000)
    half = len(SPEECH) // 2
    first[half:], second[:half] = HUM[half:] / 10, HUM[:half] / 10
    got = mix(first, second, name="call")
    for speech, part in ((first, slice(0, half - 32000)), (second, slice(half + 32000, None))):
        assert np.corrcoef(got[part], speech[part])[0, 1] > 0.99


@pytest.mark.parametrize("factor", [-1.0, -0.7])
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_of_channels_that_cancel_each_other_the_loudest_is_read(
    factor: float, noise: float, caplog: pytest.LogCaptureFixture
) -> None:
    other = factor * SPEECH + noise * RNG.standard_normal(len(SPEECH))
    name = f"crossed {factor} {noise}"
    got = mix(0.5 * SPEECH, other, name=name)
    np.testing.assert_allclose(got, other, atol=1e-6)
    assert caplog.text.count(name) == 1


def test_how_long_the_blocks_are_changes_nothing() -> None:
    stereo = np.stack([SPEECH, np.where(TIME > 5, -SPEECH, HUM)], 1).astype(np.float32)

    def blocks(size: int) -> Iterator[Samples]:
        yield from (stereo[at : at + size] for at in range(0, len(stereo), size))

    whole = np.concatenate([*mixed([stereo], RATE, "x")])
    assert len(whole) == len(stereo)
    for size in (100, 7777, 32000, 50000):
        np.testing.assert_array_equal(np.concatenate([*mixed(blocks(size), RATE, "x")]), whole)
    np.testing.assert_array_equal(np.concatenate([*read_blocks((stereo, RATE), RATE, seconds=0.7)]), whole)


def test_one_channel_of_a_source() -> None:
    stereo = np.stack([SPEECH, HUM], 1)
    for channel in (0, 1):
        np.testing.assert_array_equal(read_audio(Selected((stereo, RATE), channel), RATE), stereo[:, channel])
    with each_channel((stereo, RATE), None) as channels:
        got = [read_audio(each, RATE) for each in channels]
    np.testing.assert_array_equal(np.stack(got, 1), stereo)
    with pytest.raises(InputError, match=r"call.* 2.* 2;"):
        read_audio(Selected((stereo, RATE), 2), RATE, name="call")
