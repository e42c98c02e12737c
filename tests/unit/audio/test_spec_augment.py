from __future__ import annotations

from typing import Any

import pytest
import torch

from asr.audio.spec_augment import SpecAugmentConfig, spec_augment, warp_frequency
from asr.utils.config import from_dict
from asr.utils.errors import InputError

CONFIG = SpecAugmentConfig(frequency_masks=2, frequency_width=6, time_masks_per_second=2.0, time_width=0.1)


def augmented(seeds: list[int], lens: list[int], frames: int = 200) -> torch.Tensor:
    return spec_augment(torch.ones(len(seeds), frames, 40), torch.tensor(lens), torch.tensor(seeds), CONFIG, 0.01)


def test_masks_follow_from_the_seed_alone() -> None:
    batch = augmented([1, 2, 3], [200, 150, 200])
    alone = augmented([2], [150], frames=150)
    assert torch.equal(batch[1, :150], alone[0])
    assert not torch.equal(batch[0], batch[2])
    assert torch.equal(batch, augmented([1, 2, 3], [200, 150, 200]))


def test_masks_are_as_wide_as_configured() -> None:
    some_frequency = some_time = False
    for seed in range(50):
        kept = augmented([seed], [200])[0]
        columns = (kept.sum(0) == 0).sum()
        rows = (kept.sum(1) == 0).sum()
        assert columns <= 12
        assert rows <= 40  # four masks of ten frames
        some_frequency |= bool(columns)
        some_time |= bool(rows)
    assert some_frequency
    assert some_time


def test_a_short_utterance_keeps_most_of_itself() -> None:
    config = SpecAugmentConfig(frequency_masks=0, time_masks_per_second=50.0, time_width=5.0, time_share=0.05)
    kept = spec_augment(torch.ones(1, 20, 4), torch.tensor([20]), torch.tensor([5]), config, 0.01)
    assert kept.sum() >= 4 * 10  # ten masks of at most one frame


def test_warping_moves_frames_but_keeps_their_order_ends_and_number() -> None:
    config = SpecAugmentConfig(time_warp=0.3, frequency_masks=0, time_masks_per_second=0)
    ramp = torch.arange(100.0)[None, :, None].expand(20, 100, 2).contiguous()
    before = ramp.clone()
    warped = spec_augment(ramp, torch.full((20,), 80), torch.arange(20), config, 0.01)
    assert torch.equal(ramp, before)
    assert torch.equal(warped[:, 80:], ramp[:, 80:])  # padding is left alone
    assert (warped[:, 1:80] >= warped[:, :79]).all()
    assert torch.allclose(warped[:, 0], ramp[:, 0], atol=1e-4)
    assert torch.allclose(warped[:, 79], ramp[:, 79], atol=1e-4)
    moved = (warped[:, :80] - ramp[:, :80]).abs().amax(dim=(1, 2))
    assert moved.max() > 5
    assert moved.max() <= 0.3 * 79 + 1
    alone = spec_augment(ramp[3:4, :80], torch.tensor([80]), torch.tensor([3]), config, 0.01)
    assert torch.equal(alone[0], warped[3, :80])


def drawn_one_by_one(features: torch.Tensor, seed: int, config: SpecAugmentConfig) -> torch.Tensor:
    """Features (T, F) of one utterance as the first release augmented them, frames of 10 ms: the order of its draws."""
    features = features.clone()
    t, f = features.shape
    generator = torch.Generator().manual_seed(seed)

    def uniform() -> float:
        return torch.rand((), generator=generator).item()

    def up_to(most: int) -> int:
        return int(torch.randint(most + 1, (), generator=generator))

    if config.time_warp and t > 3:
        source = (t - 1) * (config.time_warp + (1 - 2 * config.time_warp) * uniform())
        target = source + (t - 1) * config.time_warp * (2 * uniform() - 1)
        old = features.clone()
        for i in range(t):
            at = i * source / target if i < target else t - 1 - (t - 1 - i) * (t - 1 - source) / (t - 1 - target)
            low = min(int(at), t - 2)
            features[i] = old[low] + (at - low) * (old[low + 1] - old[low])
    time_masks = int(config.time_masks_per_second * t * 0.01 + uniform())
    for _ in range(config.frequency_masks):
        width = up_to(min(config.frequency_width, f))
        low = up_to(f - width)
        features[:, low : low + width] = 0
    for _ in range(time_masks):
        width = up_to(min(round(config.time_width / 0.01), int(config.time_share * t)))
        low = up_to(t - width)
        features[low : low + width] = 0
    return features


@pytest.mark.parametrize("settings", [{}, {"time_warp": 0.2}, {"time_masks_per_second": 3.0, "time_width": 0.1}])
def test_draws_stay_as_published_results_had_them(settings: dict[str, Any]) -> None:
    config = SpecAugmentConfig(**settings)
    lens = [150, 1, 3, 4, 90]
    seeds = [5, 2**62 + 1, 0, 77, 12345678901]
    features = torch.randn(5, 150, 40, generator=torch.Generator().manual_seed(0))
    result = spec_augment(features, torch.tensor(lens), torch.tensor(seeds), config, 0.01)
    for row, length, seed, before in zip(result, lens, seeds, features, strict=True):
        assert torch.allclose(row[:length], drawn_one_by_one(before[:length], seed, config), atol=1e-4)


def test_nothing_on_is_nothing_done() -> None:
    off = SpecAugmentConfig(frequency_masks=0, time_masks_per_second=0)
    features = torch.randn(2, 50, 40)
    assert spec_augment(features, torch.tensor([50, 20]), torch.tensor([1, 2]), off, 0.01) is features
    empty = torch.zeros(2, 0, 40)
    assert spec_augment(empty, torch.tensor([0, 0]), torch.tensor([1, 2]), CONFIG, 0.01).shape == (2, 0, 40)


@pytest.mark.parametrize(("factor", "came_from"), [(1.1, {44: 40, 22: 20}), (0.9, {36: 40, 18: 20}), (1.0, {44: 44})])
def test_frequency_warping_moves_a_bin_to_its_multiple(factor: float, came_from: dict[int, int]) -> None:
    ridge = torch.zeros(len(came_from), 3, 80)
    for row, source in enumerate(came_from.values()):
        ridge[row, :, source] = 1
    warped = warp_frequency(ridge, [factor] * len(came_from), 80)
    for row, target in enumerate(came_from):
        assert (warped[row].argmax(1) == target).all()
        assert torch.allclose(warped[row, :, target], torch.tensor(1.0), atol=1e-4)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.0, 1.07, 1.2])
def test_frequency_warping_is_two_lines_from_bottom_to_top(factor: float) -> None:
    # Where the value is its bin, the warped value says where it came from.
    came_from = warp_frequency(torch.arange(80.0).expand(1, 1, 80), [factor], 80)[0, 0]
    assert came_from[0] == 0
    assert came_from[79] == pytest.approx(79)
    steps = came_from.diff()
    assert (steps > 0).all()
    knee = int(0.8 * 79 * min(factor, 1))
    assert torch.allclose(steps[:knee], torch.tensor(1 / factor), atol=1e-4)
    assert torch.allclose(steps[knee + 1 :], steps[-1], atol=1e-4)


def test_frequency_warps_are_drawn_evenly_and_leave_the_masks_alone() -> None:
    lens, seeds = torch.full((400,), 2), torch.arange(400)
    bins = torch.arange(80.0).expand(400, 2, 80)
    only_warp = SpecAugmentConfig(frequency_warp=0.1, frequency_masks=0, time_masks_per_second=0)
    factors = 30 / spec_augment(bins, lens, seeds, only_warp, 0.01)[:, 0, 30]
    assert factors.min() > 0.899
    assert factors.max() < 1.101
    counts = torch.histc(factors, 4, 0.9, 1.1)
    assert counts.sum() == 400
    assert counts.min() > 70
    ones = torch.ones(400, 2, 80)
    masks = spec_augment(ones, lens, seeds, SpecAugmentConfig(), 0.01)
    both = spec_augment(ones, lens, seeds, SpecAugmentConfig(frequency_warp=0.1), 0.01)
    assert torch.allclose(masks, both, atol=1e-5)


def test_deltas_are_warped_as_what_they_are_deltas_of() -> None:
    config = SpecAugmentConfig(frequency_warp=0.2, frequency_masks=0, time_masks_per_second=0)
    features = torch.randn(3, 20, 40)
    lens, seeds = torch.full((3,), 20), torch.arange(3)
    alone = spec_augment(features, lens, seeds, config, 0.01)
    tripled = spec_augment(features.repeat(1, 1, 3), lens, seeds, config, 0.01, mel_bins=40)
    assert torch.allclose(tripled, alone.repeat(1, 1, 3), atol=1e-6)


# Park et al. 2019, table 1, as docs/training.md writes them: frames of 10 ms
LD = SpecAugmentConfig(
    time_warp=0.4,
    time_warp_width=0.8,
    frequency_width=27,
    time_masks=2,
    time_masks_per_second=0,
    time_width=1.0,
    time_share=1.0,
)
ADAPTIVE = SpecAugmentConfig(
    frequency_width=27, time_masks_per_second=4, time_masks_most=20, time_width=1000, time_share=0.04
)


def stretches_hidden(config: SpecAugmentConfig, frames: int, count: int = 300) -> torch.Tensor:
    """(count, 2): hidden frames and hidden bins of each utterance."""
    ones = torch.ones(count, frames, 80)
    kept = spec_augment(ones, torch.full((count,), frames), torch.arange(count), config, 0.01)
    return torch.stack([(kept.sum(2) == 0).sum(1), (kept.sum(1) == 0).sum(1)], dim=1)


def test_policy_ld_hides_at_most_two_stretches_of_its_widths() -> None:
    frames, bins = stretches_hidden(LD, 1000).T
    assert 150 < frames.max() <= 200
    assert 40 < bins.max() <= 54
    assert frames.float().mean() == pytest.approx(100, abs=10)  # two masks of 50 on average, which rarely overlap
    shorter = stretches_hidden(SpecAugmentConfig(time_masks=1, time_masks_per_second=0, time_share=0.2), 50)[:, 0]
    assert shorter.max() == 10


def test_policy_ld_moves_a_point_by_at_most_80_frames() -> None:
    ramp = torch.arange(1000.0)[None, :, None].repeat(100, 1, 2)
    config = SpecAugmentConfig(time_warp=0.4, time_warp_width=0.8, frequency_masks=0, time_masks_per_second=0)
    moved = spec_augment(ramp, torch.full((100,), 1000), torch.arange(100), config, 0.01) - ramp
    assert 70 < moved.abs().max() <= 80.1


def test_adaptive_masks_grow_with_the_utterance() -> None:
    # Park et al. 2020: min(20, 0.04 T) masks of at most 0.04 T frames
    for frames in (100, 400, 1000):
        hidden = stretches_hidden(ADAPTIVE, frames)[:, 0].float()
        masks, most = min(20, 0.04 * frames), int(0.04 * frames)
        expected = frames * (1 - (1 - most / 2 / frames) ** masks)
        assert hidden.mean() == pytest.approx(expected, rel=0.15)


def test_schedules_start_and_rise() -> None:
    config = SpecAugmentConfig(
        time_warp=0.2, frequency_warp=0.1, time_width=0.3, start_epoch=4, frequency_warp_start=2, ramp_epochs=1
    )
    first, second, fourth = (config.at_epoch(e) for e in (1, 2, 4))
    features = torch.randn(1, 100, 40)
    assert spec_augment(features, torch.tensor([100]), torch.tensor([1]), first, 0.01) is features
    assert second.frequency_warp == pytest.approx(0.05)
    assert config.at_epoch(3).frequency_warp == pytest.approx(0.1)
    assert (second.time_warp, second.frequency_masks, second.time_masks_per_second) == (0, 0, 0)
    assert (fourth.frequency_masks, fourth.frequency_width, fourth.time_masks_per_second) == (2, 8, 0.25)
    assert (fourth.time_width, fourth.time_share) == (pytest.approx(0.15), pytest.approx(0.1))
    assert fourth.time_warp == pytest.approx(0.1)
    assert config.at_epoch(5) is config
    default = SpecAugmentConfig()
    assert default.at_epoch(1) is default


@pytest.mark.parametrize(
    "values",
    [
        {"time_warp": 0.5},
        {"time_warp_width": -1},
        {"frequency_warp": 0.6},
        {"time_masks": -1},
        {"time_masks_most": -1},
        {"start_epoch": 0},
        {"frequency_warp_start": 0},
        {"ramp_epochs": -1},
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        from_dict(SpecAugmentConfig, values, where="x.yaml")
