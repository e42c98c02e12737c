from __future__ import annotations

import torch

from asr.augment import SpecAugmentConfig, spec_augment

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
