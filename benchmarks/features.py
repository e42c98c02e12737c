#!/usr/bin/env python3
"""Log-mel and MFCC features beside other software: the same utterances, one by one, one thread, in turn.

    python benchmarks/features.py [FOLDER] [--seconds 600] [--rounds 5] [--sample-rate 16000]

FOLDER is searched for audio (default: $ASR_DATA/librispeech-mini). In each round every program computes the features
of all utterances; the table gives each program's median speed, and the median over the rounds of its ratio to
torchaudio's in the same round, which holds when the machine's speed drifts. Programs that are not installed are left
out. What differs from Kaldi's definition is marked; for those that do not, the greatest difference from torchaudio's
log-mel is given.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from asr.audio.fbank import Fbank
from asr.audio.features import Mfcc
from asr.audio.reader import find_audio, read_audio
from asr.utils.files import data_home
from asr.utils.provenance import provenance

Extract = Callable[[torch.Tensor], "np.ndarray | torch.Tensor"]  # samples (N,) -> features (T, F)


def programs(rate: int) -> dict[str, Extract]:
    """Name -> features of one utterance."""
    made: dict[str, Extract] = {}
    fbank, mfcc = Fbank(rate, 80), Mfcc(rate, 13)
    made["kikitori fbank80"] = lambda x: fbank(x[None], torch.tensor([len(x)]))[0][0]
    made["kikitori mfcc13"] = lambda x: mfcc(x[None], torch.tensor([len(x)]))[0][0]
    import torchaudio
    import torchaudio.compliance.kaldi as kaldi

    made["torchaudio kaldi.fbank80"] = lambda x: kaldi.fbank(
        x[None], sample_frequency=rate, num_mel_bins=80, dither=0.0
    )
    made["torchaudio kaldi.mfcc13"] = lambda x: kaldi.mfcc(x[None], sample_frequency=rate, dither=0.0)
    window, hop = rate * 25 // 1000, rate // 100
    n_fft = 1 << (window - 1).bit_length()
    mel = torchaudio.transforms.MelSpectrogram(rate, n_fft=n_fft, win_length=window, hop_length=hop, n_mels=80)
    made["torchaudio MelSpectrogram80 *"] = lambda x: mel(x).clamp(min=1e-10).log().T
    try:
        import librosa
    except ImportError:
        pass
    else:
        settings = {"sr": rate, "n_fft": n_fft, "win_length": window, "hop_length": hop, "n_mels": 80}
        made["librosa melspectrogram80 *"] = lambda x: (
            np.log(np.maximum(librosa.feature.melspectrogram(y=x.numpy(), **settings), 1e-10)).T
        )
        made["librosa mfcc13 *"] = lambda x: librosa.feature.mfcc(y=x.numpy(), n_mfcc=13, **settings).T
    try:
        import kaldi_native_fbank as knf
    except ImportError:
        pass
    else:
        options = knf.FbankOptions()
        options.frame_opts.samp_freq = rate
        options.frame_opts.dither = 0
        options.mel_opts.num_bins = 80

        def native(x: torch.Tensor) -> np.ndarray:
            extractor = knf.OnlineFbank(options)
            extractor.accept_waveform(rate, x.tolist())
            extractor.input_finished()
            return np.stack([extractor.get_frame(i) for i in range(extractor.num_frames_ready)])

        made["kaldi-native-fbank fbank80"] = native
    import lhotse

    theirs = lhotse.Fbank(lhotse.FbankConfig(sampling_rate=rate, num_filters=80))
    made["lhotse Fbank80 *"] = lambda x: theirs.extract(x.numpy(), rate)
    return made


def utterances(folder: Path, rate: int, seconds: float) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    total = 0.0
    for path in find_audio(folder):
        found.append(torch.from_numpy(read_audio(path, rate)))
        total += len(found[-1]) / rate
        if total >= seconds:
            break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=data_home() / "librispeech-mini")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample-rate", type=int, default=16000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    speech = utterances(args.folder, args.sample_rate, args.seconds)
    if not speech:
        parser.error(f"no audio in {args.folder}: name a folder with speech")
    total = sum(map(len, speech)) / args.sample_rate
    extracts = programs(args.sample_rate)
    for extract in extracts.values():  # warm: compilation, buffers, FFT plans
        for x in speech[:3]:
            extract(x)
    times: dict[str, list[float]] = {name: [] for name in extracts}
    for _ in range(args.rounds):
        for name, extract in extracts.items():
            started = time.perf_counter()
            for x in speech:
                extract(x)
            times[name].append(time.perf_counter() - started)

    base = "torchaudio kaldi.fbank80"
    reference = [extracts[base](x) for x in speech[:10]]
    facts = provenance()
    print(f"{len(speech)} utterances, {total:.0f} s at {args.sample_rate} Hz, one by one, one thread")
    print(f"{facts['hardware']}; commit {facts['commit']}; torch {torch.__version__}\n")
    print("| program | audio s/s | ratio | greatest difference |\n| --- | --- | --- | --- |")
    for name, taken in times.items():
        ratio = statistics.median(b / t for b, t in zip(times[base], taken, strict=True))
        difference = ""
        if "fbank80" in name and "*" not in name and name != base:
            pairs = zip(reference, (extracts[name](x) for x in speech[:10]), strict=True)
            difference = f"{max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs):.4f}"
        print(f"| {name} | {total / statistics.median(taken):,.0f} | {ratio:.2f} | {difference} |")
    print("\n* another definition than Kaldi's: hop and window agree, edges and filters do not")


if __name__ == "__main__":
    main()
