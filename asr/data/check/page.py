"""The report of a check as one HTML file that needs no network, with examples before and after augmentation.

The only place of the library that imports librosa: its spectrograms are drawn for the eye, not trained on.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr.audio.augment import AugmentConfig, augment
from asr.audio.features import FeatureConfig, Frontend
from asr.audio.reader import Samples
from asr.audio.spec_augment import SpecAugmentConfig, spec_augment
from asr.data.check.report import Report, printable
from asr.data.cuts import Utterance, utterance_seed

_LONGEST = 20.0  # seconds of an example


@dataclass(frozen=True)
class AugmentedExample:
    """An utterance as recorded and as training gets it, PNG and FLAC."""

    id: str
    text: str
    before: bytes  # mel spectrogram of the recording
    after: bytes  # of its augmented samples
    features: bytes  # what the network sees: normalised, warped and masked
    sound_before: bytes
    sound_after: bytes


def augmented_examples(
    training: Sequence[Utterance],
    features: FeatureConfig,
    augmentation: AugmentConfig,
    masks: SpecAugmentConfig,
    *,
    seed: int,
    epoch: int,
    count: int = 3,
) -> list[AugmentedExample]:
    """Utterances of usual length, exactly as training draws them in an epoch.

    Args:
        training: Whose first `count` of middling duration are taken.
        features: Those of the model that is to be trained.
        augmentation: Of samples.
        masks: Of features.
        seed: Of the run.
        epoch: From 1.

    Raises:
        InputError: Their audio, or a file of the folders of noise and reverberation, cannot be read.
    """
    longest = [u for u in training if u.duration <= _LONGEST]
    chosen = sorted(longest, key=lambda u: (u.duration, u.id))[len(longest) // 2 :][:count]
    rate = features.sample_rate
    frontend = Frontend(features)
    if features.normalize == "global":  # by the examples, where training takes all utterances
        sounds = [torch.from_numpy(u.samples(rate)) for u in chosen]
        frontend.normalizer.fit(frontend.raw(s[None], torch.tensor([len(s)])) for s in sounds)
    augmentation, masks = augmentation.at_epoch(epoch), masks.at_epoch(epoch)
    made = []
    with warnings.catch_warnings():
        # Of numpy, once denormal numbers are flushed; nothing here depends on them.
        warnings.filterwarnings("ignore", message="The value of the smallest subnormal")
        for utterance in chosen:
            drawn = utterance_seed(seed, epoch - 1, utterance.id)
            samples = utterance.samples(rate)
            changed = augment(samples, rate, drawn, augmentation)
            made.append(
                AugmentedExample(
                    id=utterance.id,
                    text=utterance.text,
                    before=_spectrogram(samples, rate),
                    after=_spectrogram(changed, rate),
                    features=_features(frontend, changed, drawn, masks),
                    sound_before=_flac(samples, rate),
                    sound_after=_flac(changed, rate),
                )
            )
    return made


def report_page(
    report: Report,
    *,
    title: str,
    examples: Sequence[AugmentedExample] = (),
    training_time: str = "",
) -> str:
    """The report as HTML, everything in one file.

    Args:
        report: What was found.
        title: Of the corpus.
        examples: Shown with pictures and sound.
        training_time: How long training takes, in words.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data"] = lambda content: base64.b64encode(content).decode()
    environment.filters["printable"] = printable
    template = environment.from_string((Path(__file__).with_name("page.html")).read_text(encoding="utf-8"))
    return template.render(report=report, title=title, examples=examples, training_time=training_time, shown=200)


def _spectrogram(samples: Samples, rate: int) -> bytes:
    """The loudest 70 dB, brighter the louder."""
    import librosa

    mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=512, hop_length=rate // 100, n_mels=80)
    decibel = librosa.power_to_db(mel, ref=np.max, top_db=None)
    return _picture(decibel, len(samples) / rate, sr=rate, hop_length=rate // 100, y_axis="mel", vmin=-70, vmax=0)


def _features(frontend: Frontend, samples: Samples, seed: int, masks: SpecAugmentConfig) -> bytes:
    with torch.no_grad():
        features, lens = frontend(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        seeds = torch.tensor([seed])
        features = spec_augment(
            features, lens, seeds, masks, frontend.frame_seconds, mel_bins=frontend.extractor.dim
        )  # (1, T, F)
    rate, hop = frontend.sample_rate, round(frontend.frame_seconds * frontend.sample_rate)
    return _picture(features[0].T.numpy(), len(samples) / rate, sr=rate, hop_length=hop, vmin=-2.5, vmax=2.5)


def _picture(values: np.ndarray[Any, Any], seconds: float, **axes: Any) -> bytes:
    """A PNG of values (F, T)."""
    import librosa.display
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    librosa.display.specshow(values, x_axis="time", ax=axis, cmap="magma", **axes)
    axis.set_xlim(0, seconds)
    axis.set_xlabel("s")
    axis.set_ylabel("Hz" if "y_axis" in axes else "feature")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _flac(samples: Samples, rate: int) -> bytes:
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="FLAC")
    return content.getvalue()
