"""Everything that determines a training run, but for the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from asr.audio.augment import AugmentConfig
from asr.audio.spec_augment import SpecAugmentConfig
from asr.models.config import ModelConfig
from asr.utils.config import require


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that determines a run, but for the data."""

    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    epochs: int = 40
    batch_seconds: float = 100.0  # of audio in a batch, padding included
    accumulate: int = 1  # batches of a step, in each process
    learning_rate: float = 1e-3  # the peak
    warmup_steps: int = 200  # steps of linear rise
    hold: float = 0.35  # share of the run after which the rate falls, along a cosine
    final_rate: float = 0.01  # of the peak, at the end
    weight_decay: float = 0.01
    clip: float = 1.0  # norm to which gradients are cut
    ema: float = 0.0  # decay of an exponential moving average of the weights, which is then what is judged and kept
    average_best: int = 0  # epochs whose weights are averaged at the end, and kept where that is better on dev
    patience: int = 10  # epochs without a better model before stopping; 0: never
    seed: int = 1
    init_from: str = ""  # a trained model, whose encoder and known tokens are where training begins
    freeze_epochs: int = 0  # the first, in which the encoder that was taken stays as it is
    num_workers: int = 0  # processes that read audio; 0: the training process itself
    checkpoint_minutes: float = 5.0  # between checkpoints; there is one at the end of each epoch, too
    device: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of products; fp16 on GPUs alone

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"epochs {self.epochs} is not at least 1")
        require(self.batch_seconds > 0, f"batch_seconds {self.batch_seconds} is not above 0")
        require(self.accumulate >= 1, f"accumulate {self.accumulate} is not at least 1")
        require(0 < self.learning_rate <= 1, f"learning_rate {self.learning_rate} is not in 0-1")
        require(self.warmup_steps >= 0, f"warmup_steps {self.warmup_steps} is below 0")
        require(0 <= self.hold <= 1, f"hold {self.hold} is not in 0-1")
        require(0 <= self.final_rate <= 1, f"final_rate {self.final_rate} is not in 0-1")
        require(self.weight_decay >= 0, f"weight_decay {self.weight_decay} is below 0")
        require(self.clip > 0, f"clip {self.clip} is not above 0")
        require(0 <= self.ema < 1, f"ema {self.ema} is not in 0-1")
        require(0 <= self.average_best <= 100, f"average_best {self.average_best} is not between 0 and 100")
        require(self.patience >= 0, f"patience {self.patience} is below 0")
        require(self.freeze_epochs >= 0, f"freeze_epochs {self.freeze_epochs} is below 0")
        require(
            not self.freeze_epochs or bool(self.init_from), "freeze_epochs keep what init_from gives, which is empty"
        )
        require(0 <= self.num_workers <= 256, f"num_workers {self.num_workers} is not between 0 and 256")
        require(self.checkpoint_minutes >= 0, f"checkpoint_minutes {self.checkpoint_minutes} is below 0")
        require(
            not self.spec_augment.frequency_warp or self.model.features.kind == "fbank",
            "spec_augment.frequency_warp warps the mel axis, which mfcc does not have",
        )
