"""How long a training takes: a trial of some seconds, on the machine and the data at hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import torch

from asr.data.cuts import Utterance
from asr.evaluate.evaluation import recognize
from asr.train.config import TrainConfig
from asr.train.distributed import launch
from asr.train.progress import SilentMonitor
from asr.train.recognizer import batch_memory_advice, drop_unpronounceable, new_model, resolve
from asr.train.task import RecognizerTask
from asr.utils.device import autocast
from asr.utils.units import duration_words


@dataclass(frozen=True)
class TimeEstimate:
    """What a trial of some seconds says of a whole run."""

    audio_rate: float  # seconds of audio a second, of training, over all epochs
    epoch_seconds: float  # in the mean, dev set included
    run_seconds: float  # of all epochs; early stopping may end it before

    def __str__(self) -> str:
        return (
            f"training does {self.audio_rate:.0f} audio s/s here: an epoch takes about"
            f" {duration_words(self.epoch_seconds)}, all of them {duration_words(self.run_seconds)}"
        )


def estimate_time(
    config: TrainConfig, training: Sequence[Utterance], dev: Sequence[Utterance], *, seconds: float = 10.0
) -> TimeEstimate:
    """Trains a throw-away model for some seconds, on batches as training takes them, and tells how long a run takes.

    Denormal numbers are flushed to zero from here on, in this process.

    Raises:
        InputError: An utterance of those tried cannot be read.
    """
    torch.set_flush_denormal(True)
    fabric = launch(config.device)
    config = resolve(config, training)
    model = new_model(config, training, name="trial", monitor=SilentMonitor())
    training = drop_unpronounceable(model, list(training), SilentMonitor())
    task = RecognizerTask(config, model, training)
    optimizer = torch.optim.AdamW(model.recognizer.parameters())
    objective = fabric.setup_module(task.objective)
    last = config.epochs - 1  # when all augmentation is on
    task.on_epoch_start(last)
    stream = (batch for epoch in count(last) for batch in task.batches(epoch)[1])

    def step(decoder_learns: bool) -> float:
        batch = next(stream).to(fabric.device)
        task.objective.decoder_learns = decoder_learns
        with autocast(config.precision, fabric.device):
            loss = objective(batch)
        fabric.backward(loss.sum / loss.count.clamp(min=1))
        optimizer.step()
        optimizer.zero_grad()
        return batch.size

    with batch_memory_advice(config):
        objective.train()
        step(True)  # warms up
        decoder = config.model.decoder
        without = min(config.epochs, decoder.start_epoch - 1) if decoder.kind != "none" and decoder.ctc_weight else 0
        phases = [(learns, epochs) for learns, epochs in ((False, without), (True, config.epochs - without)) if epochs]
        taken = 0.0  # in seconds of a second of audio, in the mean of epochs
        for learns, epochs in phases:
            audio, started = 0.0, time.perf_counter()
            while not audio or time.perf_counter() - started < seconds / len(phases):
                audio += step(learns)
            taken += epochs / config.epochs * (time.perf_counter() - started) / audio

        some = sorted(dev, key=lambda u: u.id)[:: max(1, len(dev) // 20)]
        started = time.perf_counter()
        list(recognize(model, some, batch_seconds=config.batch_seconds))
        dev_rate = sum(u.duration for u in some) / (time.perf_counter() - started)
    epoch = sum(u.duration for u in training) * taken + sum(u.duration for u in dev) / dev_rate
    return TimeEstimate(1 / taken, epoch, config.epochs * epoch)
