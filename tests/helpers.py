"""What tests of several modules make their inputs with."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from asr.audio.features import FeatureConfig
from asr.audio.spec_augment import SpecAugmentConfig
from asr.models.attention_decoder import AttentionDecoderConfig
from asr.models.config import ModelConfig
from asr.models.model import Head, Model
from asr.models.recognizer import build_recognizer
from asr.models.rnn import RnnConfig
from asr.text.normalize import TextConfig
from asr.text.tokenizer import CharTokenizer
from asr.train.config import TrainConfig
from data_prep import table


def speechlike(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Samples (N,) float32 with what features react to: harmonics that move, pauses, noise, an offset."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = np.clip(np.sin(2 * np.pi * 1.5 * t + seed), 0, 1)
    samples = 0.1 * harmonics * envelope + 0.003 * rng.standard_normal(len(t)) + 0.01
    return samples.astype(np.float32)


# A run of seconds, on recordings as `tone_table` makes them.
SMALL = TrainConfig(
    model=ModelConfig(
        features=FeatureConfig(sample_rate=8000, num_mel_bins=20, normalize="global"),
        encoder=RnnConfig(hidden=32, layers=1, factor=3, dropout=0.0),
    ),
    spec_augment=SpecAugmentConfig(frequency_masks=0, time_masks_per_second=0),
    epochs=20,
    batch_seconds=6,
    learning_rate=2e-2,
    warmup_steps=10,
    patience=0,
)


# Two words that a small model learns to tell apart in seconds: a low tone and a high one.
TONES = {"low": 300.0, "high": 1500.0}


def tone_words(words: list[str], rate: int = 8000, seed: int = 0) -> np.ndarray:
    """Samples (N,): each word its tone for 0.3 s, then 0.15 s of near silence."""
    rng = np.random.default_rng(seed)
    noise = 0.002 * np.sqrt(rate / 8000)  # as loud in each hertz at every rate
    parts = [noise * rng.standard_normal(rate // 10)]
    for word in words:
        t = np.arange(round(0.3 * rate)) / rate
        tone = np.sin(2 * np.pi * TONES[word] * rng.uniform(0.9, 1.1) * t) * np.hanning(len(t))
        parts += [0.3 * tone + noise * rng.standard_normal(len(t)), noise * rng.standard_normal(round(0.15 * rate))]
    return np.concatenate(parts).astype(np.float32)


def tone_table(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` recordings of one to three tone words, and the table.csv that lists them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,text"]
    for i in range(count):
        words = [list(TONES)[k] for k in rng.integers(0, 2, rng.integers(1, 4))]
        soundfile.write(folder / f"u{i:03d}.wav", tone_words(words, seed=seed + i), 8000)
        lines.append(f'u{i:03d}.wav,"{" ".join(words).capitalize()}!"')
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def tone_data(folder: Path, count: int, seed: int = 0) -> Path:
    """The prepared data of such a table."""
    return table.prepare(tone_table(folder / "audio", count, seed), folder / "data").folder


# A model that hears letters as tones, made without training, and so unsure of "a" and "o", "c" and "k" that a language
# model or a lexicon mends what it hears.
LETTERS = {"a": 400.0, "o": 480.0, "c": 900.0, "k": 1060.0, "t": 1900.0, " ": 3000.0}
WORDS = {"cat": 0.5, "act": 0.2, "tack": 0.1, "coat": 0.06, "taco": 0.05, "oak": 0.05, "cot": 0.04}
_LETTER, _GAP, _LEAD = 640, 320, 400  # samples


def spelled(text: str, seed: int = 0, pitch: float = 1.0) -> np.ndarray:
    """Samples (N,) at 8000 Hz: each letter its tone for 80 ms, more or less, then 40 ms of noise."""
    rng = np.random.default_rng(seed)
    parts = [np.zeros(_LEAD)]
    for letter in text:
        time = np.arange(_LETTER) / 8000
        tone = np.sin(2 * np.pi * pitch * LETTERS[letter] * rng.uniform(0.87, 1.13) * time) * np.hanning(_LETTER)
        parts += [0.3 * tone, np.zeros(_GAP)]
    samples = np.concatenate(parts)
    return (samples + 0.1 * rng.standard_normal(len(samples))).astype(np.float32)


def spelled_cuts(folder: Path, texts: list[str], seed: int = 0, pitch: float = 1.0) -> Path:
    """Recordings of texts, and the manifest of their cuts: u000, u001, ..."""
    from lhotse import AudioSource, CutSet, MonoCut, Recording, SupervisionSegment

    folder.mkdir(parents=True, exist_ok=True)
    cuts = []
    for i, text in enumerate(texts):
        key, samples = f"u{i:03d}", spelled(text, seed + i, pitch)
        soundfile.write(folder / f"{key}.wav", samples, 8000)
        seconds = len(samples) / 8000
        source = AudioSource("file", [0], str(folder / f"{key}.wav"))
        recording = Recording(key, [source], 8000, len(samples), seconds)
        cuts.append(MonoCut(key, 0, seconds, 0, [SupervisionSegment(key, key, 0, seconds, text=text)], None, recording))
    CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    return folder / "cuts.jsonl.gz"


def spelled_texts(count: int, seed: int = 0) -> list[str]:
    """Three of WORDS each, as often as they say."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list(WORDS), 3, p=list(WORDS.values()))) for _ in range(count)]


@cache
def speller() -> Model:
    """The model, the same object each time: a layer that squashes features, then a Gaussian of each token (LDA)."""
    config = ModelConfig(
        features=FeatureConfig(sample_rate=8000, num_mel_bins=24, normalize="global"),
        text=TextConfig(words="spaces"),
        encoder=RnnConfig(kind="rnn", hidden=48, layers=1, bidirectional=False, dropout=0.0, factor=2),
    )
    tokenizer = CharTokenizer.train(["".join(LETTERS)])
    recognizer = build_recognizer(config, {tokenizer.kind: len(tokenizer)}).eval().requires_grad_(False)
    rng = np.random.default_rng(1)
    texts = ["".join(rng.permutation(list(LETTERS) * 3)) for _ in range(8)]
    samples = torch.stack([torch.from_numpy(spelled(text, i)) for i, text in enumerate(texts)])
    lens = torch.full((len(texts),), samples.shape[1])
    recognizer.frontend.normalizer.fit([recognizer.frontend.raw(samples, lens)])
    layer = recognizer.encoder.layers[0].forwards
    for parameter in layer.parameters():
        parameter.zero_()
    layer.weight_ih_l0.copy_(0.3 * torch.eye(48))
    x, *_ = recognizer.encoder(*recognizer.frontend(samples, lens))  # (B, T, 48)
    centre = (torch.arange(x.shape[1]) * 2 + 0.5) * 80 + 100  # of a frame, in samples
    place = ((centre - _LEAD) / (_LETTER + _GAP)).clamp(0, len(texts[0]) - 1e-3)
    sounding = (place.frac() > 0.1) & (place.frac() < 0.55)
    tokens = torch.tensor([tokenizer.encode(text) for text in texts])[:, place.long()]
    labels, x = torch.where(sounding, tokens, 0).flatten(), x.flatten(0, 1)
    share = torch.bincount(labels) / len(labels)
    means = torch.stack([x[labels == k].mean(0) for k in range(len(tokenizer))])
    variance = (x - means[labels]).var(0)
    recognizer.head.weight.copy_(0.6 * means / variance)
    recognizer.head.bias.copy_(0.6 * (share.log() - 0.5 * (means.square() / variance).sum(1)))
    return Model(recognizer, config, {"characters": Head(tokenizer, log_prior=share.log())})


def unigram_arpa(path: Path, words: dict[str, float]) -> Path:
    """A language model file of words and their probabilities; a sentence ends after one word of four."""
    rows = [f"{np.log10(0.75 * p):.4f} {word}" for word, p in words.items()]
    head = ["\\data\\", f"ngram 1={len(rows) + 3}", "", "\\1-grams:", "-4 <unk>", "-99 <s>", "-0.6 </s>"]
    path.write_text("\n".join([*head, *rows, "", "\\end\\", ""]))
    return path


def with_decoder(ctc_weight: float = 0.3) -> Model:
    """The speller's CTC model with a decoder that has learnt nothing."""
    base = speller()
    decoder = AttentionDecoderConfig(hidden=16, embedding=8, attention_dim=8, ctc_weight=ctc_weight)
    config = replace(base.config, decoder=decoder)
    torch.manual_seed(0)
    recognizer = build_recognizer(config, {"characters": len(base.tokenizer)})
    known = base.recognizer.state_dict()
    recognizer.load_state_dict({**recognizer.state_dict(), **known})
    return Model(recognizer.eval(), config, base.heads)


def with_head(model: Model, **changes: Any) -> Model:
    """The model, of whose main head something is different: log_prior, decoding, ..."""
    return replace(model, heads={**model.heads, model.main: replace(model.head, **changes)})
