"""A neural language model from text, in the loop that trains recognisers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from asr.lm.corpus import EOS, UNK as UNKNOWN, Corpus
from asr.models.neural_lm import (
    END,
    UNK,
    LmConfig,
    NeuralLm,
    TextBatch,
    read_neural_lm,
    save_neural_lm,
    text_batch,
    word_sample,
)
from asr.train.config import OptimConfig
from asr.train.gradients import memory_advice
from asr.train.progress import Monitor, Validation
from asr.train.run_folder import check_same_run, describe_run, open_run
from asr.train.trainer import Trainer
from asr.utils.config import require, setting, to_dict
from asr.utils.errors import InputError
from asr.utils.files import make_folder
from asr.utils.provenance import provenance

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEV_SHARE, MOST_DEV = 0.02, 5000  # of the sentences, where no text is given to judge by
_AROUND = 100  # batches among whose sentences those of a length go together


@dataclass(frozen=True, kw_only=True)
class TrainLmConfig(OptimConfig):
    """Everything that determines the training of a language model, but for the text."""

    model: LmConfig = field(default_factory=LmConfig)
    batch_words: int = setting(
        0, "[0, inf)"
    )  # of a batch, ends and padding included; 0: a 300th of the text, 200 to 4000
    sample: int = setting(
        2000, "[0, inf)"
    )  # words of which the loss is estimated, where the vocabulary has three times as many; 0: of all
    longest: int = setting(400, "[1, inf)")  # words of a sentence, of which more are left out
    epochs: int = setting(10, "[1, inf)")
    learning_rate: float = setting(2e-3, "(0, 1]")
    warmup_steps: int = setting(100, "[0, inf)")
    patience: int = setting(2, "[0, inf)")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.sample != 1, "sample 1 is neither 0 nor at least 2")


def train_lm(
    corpus: Corpus,
    out: str | Path,
    config: TrainLmConfig | None = None,
    *,
    tokens: Sequence[str] | None = None,
    dev: Corpus | None = None,
    monitor: Monitor | None = None,
) -> NeuralLm:
    """Trains a language model, and keeps it as it foretells dev best. The same call after an interruption goes on.

    Args:
        corpus: Sentences, as asr.lm.corpus.read_corpus numbers them: of words, or of tokens.
        out: The file to write; OUT.run, beside it, gets the log and checkpoints.
        config: All settings.
        tokens: Of a recogniser, the blank first: the vocabulary, in that order, of which the texts are made.
        dev: Sentences to judge by, of the same vocabulary; some of the corpus where None, which are not learnt.

    Raises:
        InputError: There are too few sentences; OUT.run holds another run.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved.
    """
    config, out = config or TrainLmConfig(), Path(out)
    folder = make_folder(out.with_name(f"{out.name}.run"))
    with open_run(folder, config.device, monitor) as (fabric, told):
        words = [END, *tokens[1:]] if tokens is not None else [END, UNK, *corpus.words[EOS + 1 :]]
        texts, judged = _Texts(corpus, words), None if dev is None else _Texts(dev, words)
        chosen, of_dev = _split(texts, judged, config, told, "words" if tokens is None else "tokens")
        if not config.batch_words:
            words_of_batch = int((texts.lens[chosen] + 1).sum()) // 300
            config = replace(config, batch_words=min(max(words_of_batch, 200), 4000))
        torch.manual_seed(config.seed)
        model = NeuralLm(words, config.model)
        task = _LmTask(config, fabric, model, texts, chosen, judged or texts, of_dev, out)
        described = {
            "run": {
                "data_sha256": task.digest(),
                "batches_per_step": config.accumulate * fabric.world_size,
                **provenance(),
            },
            **to_dict(config),
        }
        check_same_run(described, folder, fabric)
        if fabric.is_global_zero:
            describe_run(described, folder)
        size = sum(p.numel() for p in model.parameters())
        told.note(
            f"{len(chosen):,} sentences ({int(texts.lens[chosen].sum()):,} words) for training, {len(of_dev):,} for"
            f" dev; a vocabulary of {len(words) - 1:,}, {size / 1e6:.2f} M parameters"
        )
        smaller = "a smaller model.hidden, vocabulary or sample, and another OUT"
        with memory_advice(out, f"{config.batch_words:,} words", smaller):
            Trainer(fabric, task, config, folder, told).train()
        if fabric.is_global_zero and not out.is_file():  # removed after training
            raise InputError("is gone, and its training is over", where=out, remedy=f"remove {folder} to train again")
        return read_neural_lm(out) if fabric.is_global_zero else model


def _split(
    texts: _Texts, judged: _Texts | None, config: TrainLmConfig, monitor: Monitor, unit: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The numbers of the sentences to learn, and of those to judge by: of `judged`, or some of `texts` where None."""
    chosen = np.arange(len(texts))
    if judged is None:
        count = min(MOST_DEV, -(-len(texts) // round(1 / DEV_SHARE)))
        of_dev = np.array(sorted(random.Random(config.seed).sample(range(len(texts)), count)))
        chosen = np.setdiff1d(chosen, of_dev)
    else:
        of_dev = np.arange(len(judged))
    short = chosen[texts.lens[chosen] <= config.longest]
    if left := len(chosen) - len(short):
        monitor.note(f"{left:,} sentences of more than {config.longest} {unit} are left out: give a sentence a line")
    if not len(short) or not len(of_dev):
        raise InputError(
            "has too few sentences to learn from and to judge by",
            where="text",
            remedy="give more of them, a sentence a line; --dev names others to judge by",
        )
    return short, of_dev


class _LmTask:
    """A Task: a language model, learning from sentences."""

    unit = "words"

    def __init__(
        self,
        config: TrainLmConfig,
        fabric: Fabric,
        model: NeuralLm,
        texts: _Texts,
        chosen: npt.NDArray[np.int64],
        judged: _Texts,
        of_dev: npt.NDArray[np.int64],
        out: Path,
    ) -> None:
        self.config, self.fabric, self.network, self.objective, self.out = config, fabric, model, model, out
        self.texts, self.chosen, self.judged, self.of_dev = texts, chosen, judged, of_dev
        self.counts = texts.counts(chosen, len(model.words))
        self.sampled = config.sample if 0 < 3 * config.sample <= len(model.words) else 0

    def digest(self) -> str:
        """Returns a digest of the texts for training and dev, and of the vocabulary."""
        words = "\n".join(self.network.words).encode()
        return hashlib.sha256(self.texts.ids.tobytes() + self.judged.ids.tobytes() + words).hexdigest()[:16]

    def on_epoch_start(self, epoch: int) -> None: ...

    def batches(self, epoch: int, done: int) -> tuple[int, Iterable[TextBatch]]:
        config, world, rank = self.config, self.fabric.world_size, self.fabric.global_rank
        groups = epoch_groups(self.texts.lens[self.chosen], config.batch_words, config.seed, epoch)
        steps = -(-len(groups) // (world * config.accumulate))
        places = range(done * config.accumulate, steps * config.accumulate)
        mine = (groups[(place * world + rank) % len(groups)] for place in places)
        return steps, (
            text_batch(
                [self.texts[self.chosen[i]] for i in group],
                seed=config.seed + 1000 * epoch + n,
                sample=word_sample(self.counts, self.sampled, [config.seed, epoch, n]) if self.sampled else None,
            )
            for n, group in enumerate(mine, places.start)
        )

    def validate(self) -> Validation:
        words = self.network.words
        each = self.network.each([[words[i] for i in self.judged[n]] for n in self.of_dev])
        count = sum(len(row) for row in each)
        loss = -sum(sum(row) for row in each) / count
        perplexity = float(np.exp(min(loss, 700.0)))
        return Validation(perplexity, loss, f"perplexity {perplexity:.2f}", {"perplexity": perplexity})

    def save_best(self, validation: Validation, epochs: str) -> None:
        save_neural_lm(self.network, self.out)


class _Texts:
    """Sentences as numbers of a model's vocabulary, without copying the text sentence by sentence."""

    def __init__(self, corpus: Corpus, words: Sequence[str]) -> None:
        number = {word: i for i, word in enumerate(words)}
        of_corpus = np.array([number.get(word, number.get(UNK, -1)) for word in corpus.words], np.int32)
        ends = np.flatnonzero(corpus.ids == EOS)
        self.begins = np.concatenate([[0], ends[:-1] + 1]) + 1  # behind <s>
        self.lens: npt.NDArray[np.int64] = ends - self.begins
        self.ids = of_corpus[corpus.ids]
        if UNK not in number and (corpus.ids == UNKNOWN).any():
            raise InputError("has words that are none of the tokens", where="text")

    def __len__(self) -> int:
        return len(self.lens)

    def counts(self, chosen: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
        """How often each of `size` words is in some sentences, with their ends."""
        lens = self.lens[chosen] + 1  # the end follows the last word
        offsets = np.repeat(self.begins[chosen] - (np.cumsum(lens) - lens), lens)
        return np.bincount(self.ids[offsets + np.arange(len(offsets))], minlength=size)

    def __getitem__(self, number: int) -> list[int]:
        begin = self.begins[number]
        found: list[int] = self.ids[begin : begin + self.lens[number]].tolist()
        return found


def epoch_groups(lens: npt.NDArray[np.int64], most: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch, as numbers of sentences: such of about a length, no more than `most` words with padding
    and ends (one sentence may be longer), drawn anew each epoch."""
    draw = np.random.default_rng([seed, epoch])
    order = draw.permutation(len(lens))
    mean = max(1.0, float(lens.mean()) + 1)
    window = max(1, int(_AROUND * most / mean))
    groups: list[list[int]] = []
    for at in range(0, len(order), window):
        part = order[at : at + window]
        groups += _filled(part[np.argsort(lens[part], kind="stable")], lens, most)
    return [groups[i] for i in draw.permutation(len(groups))]


def _filled(order: npt.NDArray[np.int64], lens: npt.NDArray[np.int64], most: int) -> Iterator[list[int]]:
    group: list[int] = []
    for i in order.tolist():
        if group and (len(group) + 1) * (int(lens[i]) + 1) > most:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
