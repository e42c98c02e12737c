from .augment import AugmentConfig as AugmentConfig
from .fbank import Fbank as Fbank
from .features import FeatureConfig as FeatureConfig, Frontend as Frontend, Mfcc as Mfcc, add_deltas as add_deltas
from .reader import (
    AudioInfo as AudioInfo,
    audio_info as audio_info,
    read_audio as read_audio,
    read_blocks as read_blocks,
)
from .segmentation import Segmenter as Segmenter
from .spec_augment import SpecAugmentConfig as SpecAugmentConfig
