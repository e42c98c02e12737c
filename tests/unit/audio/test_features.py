from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import speechlike
from torch import Tensor

from asr.audio.fbank import Fbank
from asr.audio.features import FeatureConfig, Frontend, Mfcc, Normalizer, add_deltas
from asr.utils.errors import InputError

RATES = (8000, 16000, 22050, 44100)
VARIANTS = (
    {},
    {"snip_edges": False},
    {"preemphasis_coefficient": 0.0},
    {"remove_dc_offset": False},
    {"preemphasis_coefficient": 0.0, "remove_dc_offset": False},
    {"low_freq": 60.0, "high_freq": -200.0},
    {"frame_length": 32.0, "frame_shift": 12.5},
)


def librosa_settings(sample_rate: int, *, n_fft: int = 2048, hop_length: int = 512) -> dict[str, Any]:
    """Keywords that turn Fbank into `librosa.feature.melspectrogram`, and Mfcc into `mfcc` with them."""
    return {
        "frame_length": 1000 * n_fft / sample_rate,
        "frame_shift": 1000 * hop_length / sample_rate,
        "n_fft": n_fft,
        "low_freq": 0.0,
        "window_type": "hann",
        "preemphasis_coefficient": 0.0,
        "remove_dc_offset": False,
        "center": True,
        "mel_scale": "slaney",
        "log": "none",
    }


def alone(module: torch.nn.Module, samples: np.ndarray) -> Tensor:
    features, lens = module(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    assert features.shape[1] == int(lens)
    return features[0]


def kaldi() -> object:
    compliance = pytest.importorskip("torchaudio.compliance.kaldi", exc_type=(ImportError, OSError))
    return compliance


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_fbank_and_mfcc_equal_torchaudios_kaldi(rate: int, settings: dict) -> None:
    reference = kaldi()
    samples = speechlike(1.7, rate)
    wave = torch.from_numpy(samples)[None]
    expected = reference.fbank(wave, sample_frequency=rate, num_mel_bins=80, dither=0.0, **settings)
    got = alone(Fbank(rate, 80, **settings), samples)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02
    assert (got - expected).abs().mean() < 1e-4
    expected = reference.mfcc(wave, sample_frequency=rate, dither=0.0, **settings)
    got = alone(Mfcc(rate, **settings), samples)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02
    assert (got - expected).abs().mean() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "n_fft", "hop"), [(22050, 2048, 512), (16000, 512, 160), (44100, 2048, 441)])
def test_librosas_conventions(rate: int, n_fft: int, hop: int) -> None:
    librosa = pytest.importorskip("librosa")
    samples = speechlike(1.3, rate)
    settings = librosa_settings(rate, n_fft=n_fft, hop_length=hop)
    mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=n_fft, hop_length=hop)
    got = alone(Fbank(rate, 128, **settings), samples).numpy()
    assert got.shape == mel.T.shape
    assert np.abs(got - mel.T).max() < 1e-3 * mel.max()
    decibels = librosa.power_to_db(mel, top_db=None)
    expected = librosa.feature.mfcc(S=decibels, n_mfcc=20)
    cepstra = Mfcc(rate, 20, num_mel_bins=128, cepstral_lifter=0, **settings | {"log": "db"})
    assert np.abs(alone(cepstra, samples).numpy() - expected.T).max() < 0.05


@pytest.mark.parametrize(
    "module",
    [
        Fbank(8000, 40),
        Fbank(8000, 40, snip_edges=False),
        Mfcc(8000),
        Fbank(8000, 40, center=True),
    ],
    ids=["fbank", "edges", "mfcc", "centred"],
)
def test_a_file_alone_equals_the_file_in_a_batch(module: torch.nn.Module) -> None:
    sizes = [9000, 150, 12000, 0, 200, 8000 * 12]  # the last spans several chunks
    utterances = [torch.from_numpy(speechlike(size / 8000, 8000, seed=i)) for i, size in enumerate(sizes)]
    padded = torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True, padding_value=7.0)  # padding is not silence
    features, lens = module(padded, torch.tensor(sizes))
    assert features.shape[1] == int(lens.max())
    for i, utterance in enumerate(utterances):
        single, count = module(utterance[None], torch.tensor([sizes[i]]))
        assert int(count) == int(lens[i])
        assert torch.allclose(single[0, : int(count)], features[i, : int(count)], rtol=0, atol=1e-4)
        assert not features[i, int(count) :].any()


def test_deltas_are_the_regression_over_two_frames() -> None:
    features = torch.randn(1, 30, 5)
    got = add_deltas(features, torch.tensor([30]))
    padded = torch.nn.functional.pad(features.transpose(1, 2), (2, 2), mode="replicate").transpose(1, 2)
    by_hand = sum(n * (padded[:, 2 + n : 32 + n] - padded[:, 2 - n : 32 - n]) for n in (1, 2)) / 10
    assert torch.allclose(got[..., 5:10], by_hand, atol=1e-6)
    assert got.shape == (1, 30, 15)
    # A parabola's second difference is constant, away from the ends.
    parabola = (torch.arange(30.0) ** 2)[None, :, None]
    assert torch.allclose(add_deltas(parabola, torch.tensor([30]))[0, 5:-5, 2], torch.tensor(2.0), atol=1e-4)


def test_deltas_do_not_see_padding() -> None:
    features = torch.randn(2, 20, 3)
    lens = torch.tensor([20, 7])
    batched = add_deltas(features, lens)
    single = add_deltas(features[1:, :7], lens[1:])
    assert torch.allclose(batched[1, :7], single[0], atol=1e-6)
    assert not batched[1, 7:].any()


def test_normalisation_by_utterance_does_not_see_padding() -> None:
    features = torch.randn(2, 20, 3) * 4 + 2
    normal = Normalizer("utterance", 3)(features, torch.tensor([20, 7]))
    assert torch.allclose(normal[1, :7].mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normal[1, :7].std(0, unbiased=False), torch.ones(3), atol=1e-3)
    assert not normal[1, 7:].any()


def test_normalisation_over_the_training_set_is_kept_with_the_weights() -> None:
    batches = [(torch.randn(3, 50, 4) * 2 + 5, torch.tensor([50, 20, 1])) for _ in range(3)]
    normalizer = Normalizer("global", 4)
    normalizer.fit(batches)
    frames = torch.cat([features[i, :n] for features, lens in batches for i, n in enumerate(lens.tolist())])
    assert torch.allclose(normalizer.mean, frames.mean(0), atol=1e-4)
    assert torch.allclose(normalizer.std, frames.std(0, unbiased=False), atol=1e-4)
    restored = Normalizer("global", 4)
    restored.load_state_dict(normalizer.state_dict())
    assert torch.equal(restored(*batches[0]), normalizer(*batches[0]))


def test_the_same_thread_can_go_from_inference_to_training() -> None:
    fbank, samples = Fbank(8000, 37), speechlike(0.5, 8000)  # 37: buffers no other test has made
    with torch.inference_mode():
        expected = alone(fbank, samples).clone()
    assert torch.equal(alone(fbank, samples), expected)


def test_silence_stays_finite() -> None:
    frontend = Frontend(FeatureConfig(sample_rate=8000, num_mel_bins=40, deltas=2))
    features, _ = frontend(torch.zeros(1, 8000), torch.tensor([8000]))
    assert torch.isfinite(features).all()
    assert features.shape == (1, 98, 120)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"sample_rate": 0}, "sample_rate"),
        ({"num_mel_bins": 10**9}, "num_mel_bins"),
        ({"frame_length": 0.01}, "frame_length"),
        ({"frame_shift": 0}, "frame_shift"),
        ({"high_freq": 9000.0}, "range"),
        ({"low_freq": 5000.0, "high_freq": 4000.0}, "range"),
        ({"window_type": "round"}, "window_type"),
        ({"n_fft": 100}, "n_fft"),
        ({"sample_rate": 768000, "frame_length": 1000.0, "num_mel_bins": 1024}, "proportion"),
        ({"mel_scale": "bark"}, "mel_scale"),
    ],
)
def test_settings_that_cannot_be(settings: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Fbank(**settings)


def test_normalisation_by_speaker_takes_all_their_frames() -> None:
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(4, 9, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.2]) + 4
    lens, speakers = torch.tensor([9, 4, 7, 2]), ["a", "b", "a", "nobody"]
    normalizer = Normalizer("speaker", 3)
    alone = normalizer(features, lens, speakers)
    assert torch.allclose(alone, Normalizer("utterance", 3)(features, lens))  # nobody is known yet
    normalizer.fit_speakers([(features[:2], lens[:2], speakers[:2]), (features[2:3], lens[2:3], ["a"])])
    assert not normalizer.state_dict()
    found = normalizer(features, lens, speakers)
    of_a = torch.cat([features[0], features[2, :7]])
    expected = (features[2, :7] - of_a.mean(0)) / of_a.std(0, correction=0)
    assert torch.allclose(found[2, :7], expected, atol=1e-5)
    assert torch.allclose(found[1], alone[1], atol=1e-5)  # b has one utterance
    assert torch.allclose(found[3], alone[3])
    assert not found[2, 7:].any()
    assert torch.allclose(normalizer(features, lens), alone)
