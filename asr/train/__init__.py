"""Training: the loop, checkpoints, several processes; recognisers, language models, recipes."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.train.config import GroupConfig as GroupConfig, OptimConfig as OptimConfig, TrainConfig as TrainConfig
    from asr.train.language_model import TrainLmConfig as TrainLmConfig, train_lm as train_lm
    from asr.train.monitors import training_monitor as training_monitor
    from asr.train.progress import (
        Monitor as Monitor,
        Progress as Progress,
        SilentMonitor as SilentMonitor,
        Validation as Validation,
    )
    from asr.train.recognizer import train_recognizer as train_recognizer
    from asr.train.time_estimate import TimeEstimate as TimeEstimate, estimate_time as estimate_time
    from asr.train.trainer import Task as Task, Trainer as Trainer, TrainResult as TrainResult

_HOMES = {
    "GroupConfig": ".config",
    "Monitor": ".progress",
    "OptimConfig": ".config",
    "Progress": ".progress",
    "SilentMonitor": ".progress",
    "TimeEstimate": ".time_estimate",
    "TrainConfig": ".config",
    "TrainLmConfig": ".language_model",
    "TrainResult": ".trainer",
    "Task": ".trainer",
    "Trainer": ".trainer",
    "training_monitor": ".monitors",
    "Validation": ".progress",
    "estimate_time": ".time_estimate",
    "train_lm": ".language_model",
    "train_recognizer": ".recognizer",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
