"""Sound: files and streams -> samples -> pieces of speech -> augmented samples -> features."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.audio.augment import AugmentConfig as AugmentConfig
    from asr.audio.fbank import Fbank as Fbank
    from asr.audio.features import (
        FeatureConfig as FeatureConfig,
        Frontend as Frontend,
        Mfcc as Mfcc,
        add_deltas as add_deltas,
    )
    from asr.audio.reader import (
        AudioInfo as AudioInfo,
        audio_info as audio_info,
        read_audio as read_audio,
        read_blocks as read_blocks,
    )
    from asr.audio.segmentation import Segmenter as Segmenter
    from asr.audio.spec_augment import SpecAugmentConfig as SpecAugmentConfig

_HOMES = {
    "AudioInfo": ".reader",
    "AugmentConfig": ".augment",
    "Fbank": ".fbank",
    "FeatureConfig": ".features",
    "Frontend": ".features",
    "Mfcc": ".features",
    "Segmenter": ".segmentation",
    "SpecAugmentConfig": ".spec_augment",
    "add_deltas": ".features",
    "audio_info": ".reader",
    "read_audio": ".reader",
    "read_blocks": ".reader",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
