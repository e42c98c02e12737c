from .config import GroupConfig as GroupConfig, OptimConfig as OptimConfig, TrainConfig as TrainConfig
from .language_model import TrainLmConfig as TrainLmConfig, train_lm as train_lm
from .monitors import training_monitor as training_monitor
from .progress import Monitor as Monitor, Progress as Progress, SilentMonitor as SilentMonitor, Validation as Validation
from .recognizer import train_recognizer as train_recognizer
from .time_estimate import TimeEstimate as TimeEstimate, estimate_time as estimate_time
from .trainer import Task as Task, Trainer as Trainer, TrainResult as TrainResult
