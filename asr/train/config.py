"""Everything that determines a training run, but for the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from asr.audio.augment import AugmentConfig
from asr.audio.spec_augment import SpecAugmentConfig
from asr.models.config import ModelConfig
from asr.utils.config import Config, require, setting


@dataclass(frozen=True, kw_only=True)
class GroupConfig(Config):
    """The settings of a group of parameters."""

    rate: float = setting(1.0, "(0, 1000]")  # of the learning rate
    freeze_epochs: int = setting(0, "[0, inf)")  # the first, in which they stay as they are


@dataclass(frozen=True, kw_only=True)
class OptimConfig(Config):
    """The settings of the Trainer, whatever it trains."""

    epochs: int = setting(40, "[1, inf)")
    accumulate: int = setting(1, "[1, inf)")  # batches of a step, in each process
    learning_rate: float = setting(1e-3, "(0, 1]")  # the peak
    # parameters that learn otherwise, by what their names begin with: {encoder: {freeze_epochs: 8}, heads: {rate: 2}}
    groups: dict[str, GroupConfig] = field(default_factory=dict)
    warmup_steps: int = setting(200, "[0, inf)")  # steps of linear rise
    hold: float = setting(0.35, "[0, 1]")  # share of the run after which the rate falls, along a cosine
    final_rate: float = setting(0.01, "[0, 1]")  # of the peak, at the end
    weight_decay: float = setting(0.01, "[0, inf)")
    clip: float = setting(1.0, "(0, inf]")  # norm to which gradients are cut
    # decay of an exponential moving average of the weights, which is then what is judged and kept
    ema: float = setting(0.0, "[0, 1)")
    # epochs whose weights are averaged at the end, and kept where that is better on dev
    average_best: int = setting(0, "[0, 100]")
    patience: int = setting(10, "[0, inf)")  # epochs without a better model before stopping; 0: never
    seed: int = setting(1, "[0, 4294967295]")
    # minutes between checkpoints; there is one at the end of each epoch, too
    checkpoint_minutes: float = setting(5.0, "[0, inf)")
    device: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of products; fp16 on GPUs alone


@dataclass(frozen=True, kw_only=True)
class TrainConfig(OptimConfig):
    """Everything that determines the training of a recogniser, but for the data."""

    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    batch_seconds: float = setting(100.0, "(0, inf]")  # of audio in a batch, padding included
    init_from: str = ""  # a trained model, whose encoder and known tokens are where training begins
    num_workers: int = setting(0, "[0, 256]")  # processes that read audio; 0: the training process itself

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not self.spec_augment.frequency_warp or self.model.features.kind == "fbank",
            "spec_augment.frequency_warp warps the mel axis, which mfcc does not have",
        )
