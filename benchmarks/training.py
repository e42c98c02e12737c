#!/usr/bin/env python3
"""A training step beside the usual way: BLSTM 4x320 with CTC, the same batches, weights and optimiser, in turn.

    python benchmarks/training.py [FOLDER] [--threads 2] [--batches 12] [--rounds 3] [--batch-seconds 160]

FOLDER is in LibriSpeech's layout (default: $ASR_DATA/librispeech-mini's training speakers). Utterances of 5-15 s are
batched by the recogniser's own plan and read from their files. The usual way is the same network as one
bidirectional nn.LSTM through pack_padded_sequence. Every batch is trained on by each, one after the other, so that
the ratio holds when the machine's speed drifts; `bf16` is `precision=bf16`, fast where the processor has it. Then:
where a step's time goes, and how long training waits for data.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as `asr train` does

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.audio.reader import audio_info
from asr.audio.spec_augment import SpecAugmentConfig, spec_augment
from asr.data.batches import Batch, load_batches
from asr.data.cuts import Utterance
from asr.models.config import ModelConfig
from asr.models.encoder import EncoderStates
from asr.models.layers import StackFrames
from asr.models.losses import ctc_loss
from asr.models.recognizer import Recognizer, build_recognizer
from asr.models.rnn import RnnEncoder
from asr.text.normalize import TextNormalizer
from asr.text.tokenizer import CharTokenizer
from asr.utils.files import data_home
from asr.utils.provenance import provenance


class PackedEncoder(nn.Module):
    """RnnEncoder's network, as nn.LSTM over packed sequences, with its weights."""

    def __init__(self, encoder: RnnEncoder) -> None:
        super().__init__()
        assert isinstance(encoder.subsampling, StackFrames)
        self.subsampling, self.dropout, self.output_lens = encoder.subsampling, encoder.dropout, encoder.output_lens
        first = encoder.layers[0].forwards
        self.lstm = nn.LSTM(
            first.input_size,
            first.hidden_size,
            num_layers=len(encoder.layers),
            dropout=encoder.dropout.p,
            bidirectional=True,
            batch_first=True,
        )
        for i, layer in enumerate(encoder.layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(self.lstm, f"{name}_l{i}").data.copy_(getattr(layer.forwards, f"{name}_l0"))
                getattr(self.lstm, f"{name}_l{i}_reverse").data.copy_(getattr(layer.backwards, f"{name}_l0"))

    def forward(self, features: Tensor, lens: Tensor, intermediate_layer: int = 0) -> EncoderStates:
        x, lens = self.subsampling(features, lens)
        packed = pack_padded_sequence(x, lens.cpu(), batch_first=True, enforce_sorted=False)
        out = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return EncoderStates(self.dropout(out), lens, None)


def librispeech(folder: Path, shortest: float, longest: float) -> list[Utterance]:
    """Utterances of a folder in LibriSpeech's layout, by their durations (s)."""
    found = []
    for transcript in sorted(folder.rglob("*.trans.txt")):
        for line in transcript.read_text().splitlines():
            key, text = line.split(" ", 1)
            path = transcript.parent / f"{key}.flac"
            seconds = audio_info(path).duration
            if shortest <= seconds <= longest:
                found.append(Utterance(id=key, audio=str(path), text=text, duration=seconds))
    return found


class Clock:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - started


class Step:
    """A training step of one network, its parts timed."""

    def __init__(self, recognizer: Recognizer, *, bf16: bool = False) -> None:
        self.recognizer, self.bf16 = recognizer.train(), bf16
        self.optimizer = torch.optim.AdamW(recognizer.parameters(), lr=1e-4)
        self.clock = Clock()

    def __call__(self, batch: Batch) -> float:
        """Seconds that the step took."""
        started = time.perf_counter()
        model, clock = self.recognizer, self.clock
        with clock("features"):
            features, lens = model.frontend(batch.samples, batch.sample_lens)
            features = spec_augment(features, lens, batch.seeds, SpecAugmentConfig(), model.frontend.frame_seconds)
        with clock("forward"), torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            encoder_out, lens, _ = model.encoder(features, lens)
            log_probs = model.head(encoder_out).float().log_softmax(dim=2)
        with clock("CTC loss"):  # with its gradient, apart from the network's
            apart = log_probs.detach().requires_grad_()
            targets = batch.targets[model.main]
            loss = ctc_loss(apart, lens, targets.tokens, targets.lens)
            (loss.sum / loss.count).backward()
        with clock("backward"):
            log_probs.backward(apart.grad)
        with clock("optimiser"):
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=data_home() / "librispeech-mini")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-seconds", type=float, default=160)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(args.threads)
    folder = next(iter(sorted(args.folder.rglob("train-clean*"))), args.folder)
    speech = librispeech(folder, 5.0, 15.0)
    if not speech:
        parser.error(f"no *.trans.txt with utterances of 5-15 s in {folder}")

    config = ModelConfig()
    normalizer = TextNormalizer(config.text)
    tokenizer = CharTokenizer.train([normalizer(u.text) for u in speech])
    torch.manual_seed(1)
    ours = build_recognizer(config, {tokenizer.kind: len(tokenizer)})
    usual = build_recognizer(config, {tokenizer.kind: len(tokenizer)})
    usual.load_state_dict(ours.state_dict())
    usual.encoder = PackedEncoder(ours.encoder)

    reading = Clock()
    plan = load_batches(
        speech, tokenizer, normalizer, sample_rate=16000, batch_seconds=args.batch_seconds, seed=1, shuffle=True
    )
    stream = iter(plan)
    batches: list[Batch] = []
    while len(batches) < args.batches:
        with reading("reading"):
            batch = next(stream, None)
        if batch is None:
            break
        batches.append(batch)
    seconds = sum(b.size for b in batches)
    padded = sum(b.samples.numel() for b in batches) / 16000

    with torch.no_grad():
        losses = []
        for model in (ours.eval(), usual.eval()):
            first = batches[0]
            found = model.log_probs(*model.features(first.samples, first.sample_lens))
            targets = first.targets[model.main]
            loss = ctc_loss(*found, targets.tokens, targets.lens)
            losses.append(float(loss.sum / loss.count))
    assert abs(losses[0] - losses[1]) < 1e-4, losses

    half = build_recognizer(config, {tokenizer.kind: len(tokenizer)})
    half.load_state_dict(ours.state_dict())
    steps = {"kikitori": Step(ours), "kikitori, bf16": Step(half, bf16=True), "packed": Step(usual)}
    for step in steps.values():  # warm
        step(batches[0])
        step.clock.seconds.clear()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for batch in batches:
            for name, step in steps.items():
                times[name].append(step(batch))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "linux" else 30)

    facts = provenance()
    count = sum(len(b.ids) for b in batches)
    print(
        f"{count} utterances of 5-15 s, {seconds:.0f} s in {len(batches)} batches ({100 * (1 - seconds / padded):.1f} %"
    )
    print(f"padding), {args.threads} threads; loss of the first batch {losses[0]:.5f} and {losses[1]:.5f}")
    print(f"{facts['hardware']}; commit {facts['commit']}; torch {torch.__version__}\n")
    print("| network | audio s/s | ratio | features | forward | CTC loss | backward | optimiser |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, step in steps.items():
        spent = sum(times[name])
        shares = " | ".join(f"{100 * value / spent:.1f} %" for value in step.clock.seconds.values())
        ratio = statistics.median(b / a for a, b in zip(times[name], times["packed"], strict=True))
        print(f"| {name} | {args.rounds * seconds / spent:.1f} | {ratio:.2f} | {shares} |")
    share = reading.seconds["reading"] / (reading.seconds["reading"] + sum(times["kikitori"]) / args.rounds)
    print(f"\nReading without workers: {100 * share:.1f} % of the time. Peak memory of all together: {memory:.2f} GB.")


if __name__ == "__main__":
    main()
