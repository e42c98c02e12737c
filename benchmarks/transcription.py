#!/usr/bin/env python3
"""`asr transcribe`, from file to text: how fast, how much memory, what it invents, what cutting costs.

    pip install pocketsphinx
    python benchmarks/transcription.py speed MODEL --cuts CUTS [--whisper FOLDER]
    python benchmarks/transcription.py memory MODEL --cuts CUTS --minutes 10 60 480
    python benchmarks/transcription.py noise MODEL --minutes 30 [--audio FILE ...]
    python benchmarks/transcription.py cutting MODEL --cuts CUTS

The recordings of CUTS, such as recipes/mini_librispeech/data/cuts_test.jsonl.gz, joined, are the audio. speed: the
commands run in turn, so often (--repeat), each a process of its own; pocketsphinx has its own US English model and its
defaults, --whisper is a folder of faster-whisper's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

import asr
from asr.data.cuts import read_cuts
from asr.evaluate.wer import score
from asr.inference.transcriber import Transcriber
from asr.utils.provenance import provenance

RATE = 16000
POCKETSPHINX = """
import sys
from pocketsphinx import AudioFile
for phrase in AudioFile(audio_file=sys.argv[1]): print(phrase)
"""
WHISPER = """
import sys
from faster_whisper import WhisperModel
segments, _ = WhisperModel(sys.argv[2], device="cpu", compute_type="int8").transcribe(sys.argv[1], vad_filter=True)
for segment in segments: print(segment.text)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["speed", "memory", "noise", "cutting"])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--cuts", type=Path, help="utterances that the model was not trained on")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0], help="of audio (default: 10)")
    parser.add_argument("--audio", type=Path, nargs="*", default=[], help="recordings without speech")
    parser.add_argument("--whisper", type=Path, help="a folder of faster-whisper's")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--options",
        action="append",
        default=[],
        help="of asr transcribe: --options='--warps 1'; speed: each a row more",
    )
    args = parser.parse_args()
    facts = provenance()
    print(f"{facts['hardware']}, {os.cpu_count()} cores; commit {facts['commit']}; {args.model}\n")
    with tempfile.TemporaryDirectory() as folder:
        {"speed": speed, "memory": memory, "noise": noise, "cutting": cutting}[args.what](args, Path(folder))


def speed(args: argparse.Namespace, folder: Path) -> None:
    """Real-time factors of whole commands."""
    path, references, seconds = joined(args.cuts, folder, args.minutes[0])
    ours = [sys.executable, "-m", "asr", "--verbose", "transcribe", "--model", args.model]
    commands = {"**kikitori**": [*ours, str(path)]}
    for options in args.options:
        commands[f"kikitori, `{options}`"] = [*ours, str(path), *options.split()]
    commands["kikitori, a piece at a time"] = [*ours, str(path), "--batch-seconds", "1"]
    commands["kikitori, one second of audio"] = [*ours, str(short(path, folder))]
    if subprocess.run([sys.executable, "-c", "import pocketsphinx"], capture_output=True).returncode == 0:
        commands["pocketsphinx"] = [sys.executable, "-c", POCKETSPHINX, str(path)]
    if args.whisper:
        commands[f"faster-whisper {args.whisper.name}"] = [sys.executable, "-c", WHISPER, str(path), str(args.whisper)]
    taken: dict[str, list[float]] = {name: [] for name in commands}
    texts, notes = {}, {}
    for _ in range(args.repeat):
        for name, command in commands.items():
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            taken[name].append(time.perf_counter() - began)
            texts[name] = " ".join(done.stdout.split())
            notes[name] = [line for line in done.stderr.splitlines() if "seconds:" in line]
    normalize = asr.load(args.model).model.normalizer()
    print(f"{seconds:.0f} s of {len(references)} utterances, joined; {args.repeat} times in turn\n")
    head = ["command", "seconds", "real-time factor", "times real time", "ratio", "WER %"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name, times in taken.items():
        middle = statistics.median(times)
        ratio = statistics.median(a / b for a, b in zip(times, taken["**kikitori**"], strict=True))
        rest = f"{middle / seconds:.4f} | {seconds / middle:.0f} | {ratio:.2f}"
        if "second of" in name:
            rest = "– | – | –"
        error = score([" ".join(map(normalize, references))], [normalize(texts[name])]).words.rate
        print(f"| {name} | {middle:.2f} | {rest} | {'–' if 'second of' in name else f'{100 * error:.2f}'} |")
    print()
    for name, (line, *_) in ((name, lines) for name, lines in notes.items() if lines):
        print(f"{name}: {line}")


def memory(args: argparse.Namespace, folder: Path) -> None:
    """The most memory that the command holds, for recordings of several lengths."""
    print("| minutes | peak memory, MB | seconds | times real time |\n| --- | --- | --- | --- |")
    for minutes in args.minutes:
        path, _, seconds = joined(args.cuts, folder, minutes)
        command = [sys.executable, "-m", "asr", "transcribe", str(path), "--model", args.model, "--format", "srt"]
        began = time.perf_counter()
        process = subprocess.Popen([*command, *" ".join(args.options).split()], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        assert status == 0
        print(f"| {minutes:g} | {usage.ru_maxrss / 1024:.0f} | {took:.0f} | {seconds / took:.0f} |", flush=True)


def noise(args: argparse.Namespace, folder: Path) -> None:
    """Words that are heard where nobody speaks."""
    transcriber = asr.load(args.model)
    print("| audio | hours | words an hour | without VAD |\n| --- | --- | --- | --- |")
    for name, make in SOUNDS.items():
        samples = make(round(60 * args.minutes[0] * RATE)).astype(np.float32)
        show(name, samples, transcriber, args.model)
    for path in args.audio:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        show(path.name, samples.mean(1), transcriber, args.model, rate)


def show(name: str, samples: np.ndarray, transcriber: Transcriber, model: str, rate: int = RATE) -> None:
    counts = []
    for each in (transcriber, asr.load(model, vad=False)):
        counts.append(len(each.transcribe(samples, rate).words) * 3600 * rate / len(samples))
    print(f"| {name} | {len(samples) / rate / 3600:.2f} | {counts[0]:.1f} | {counts[1]:.1f} |", flush=True)


def cutting(args: argparse.Namespace, folder: Path) -> None:
    """The error rate of utterances alone, and joined and cut anew."""
    utterances = read_cuts(args.cuts)
    transcriber = asr.load(args.model)
    normalize = transcriber.model.normalizer()
    references = [normalize(u.text) for u in utterances]
    recordings = [u.samples(RATE) for u in utterances]
    alone = [each.text for each in transcriber.transcribe_all(((x, RATE), "") for x in recordings)]
    whole = transcriber.transcribe(np.concatenate(recordings), RATE).text
    for name, text in (("alone", " ".join(alone)), ("joined and cut", whole)):
        print(f"{name}: {score([' '.join(references)], [text])}")


def joined(cuts: Path, folder: Path, minutes: float) -> tuple[Path, list[str], float]:
    """A WAV of recordings one after another, again and again, of so many minutes; their texts; its seconds."""
    utterances, path, references, seconds = read_cuts(cuts), folder / f"{minutes:g}.wav", [], 0.0
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        number = 0
        while seconds < 60 * minutes:
            utterance = utterances[number % len(utterances)]
            samples = utterance.samples(RATE)
            file.write(samples)
            seconds += len(samples) / RATE
            references.append(utterance.text)
            number += 1
    return path, references, seconds


def short(path: Path, folder: Path) -> Path:
    """A second of a recording."""
    samples, rate = soundfile.read(path, frames=RATE)
    soundfile.write(folder / "short.wav", samples, rate)
    return folder / "short.wav"


def coloured(count: int, power: float, level: float = 0.03) -> np.ndarray:
    """Noise whose power falls with frequency."""
    block = 1 << 20
    rng = np.random.default_rng(1)
    spectrum = np.maximum(np.arange(block // 2 + 1), 20) ** (-power / 2)
    parts = []
    for _ in range(-(-count // block)):
        part = np.fft.irfft(np.fft.rfft(rng.standard_normal(block)) * spectrum)
        parts.append(level * part / part.std())
    return np.concatenate(parts)[:count]


def chords(count: int) -> np.ndarray:
    """Something like music: chords of five harmonics each, plucked twice a second."""
    time_ = np.arange(count) / RATE
    samples = np.zeros(count)
    rng = np.random.default_rng(2)
    for first in range(0, count, RATE // 2):
        part = slice(first, min(first + RATE, count))
        at = time_[part] - time_[first]
        for semitone in rng.choice([0, 2, 4, 5, 7, 9, 11, 12], 3, replace=False):
            pitch = 220 * 2 ** (semitone / 12)
            samples[part] += sum(np.sin(2 * np.pi * k * pitch * at) / k for k in range(1, 6)) * 0.05 * np.exp(-3 * at)
    return samples


SOUNDS = {
    "digital silence": np.zeros,
    "white noise": lambda n: coloured(n, 0),
    "pink noise": lambda n: coloured(n, 1),
    "brown noise": lambda n: coloured(n, 2),
    "pink noise that comes and goes": lambda n: coloured(n, 1) * (0.1 + (np.sin(np.arange(n) / RATE / 3) > 0)),
    "mains hum": lambda n: 0.1 * np.sin(2 * np.pi * 50 * np.arange(n) / RATE) + coloured(n, 1, 0.001),
    "clicks": lambda n: np.where(np.arange(n) % 5000 == 0, 0.9, 0.0) + coloured(n, 1, 0.001),
    "plucked chords": chords,
}


if __name__ == "__main__":
    main()
