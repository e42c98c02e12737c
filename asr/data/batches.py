"""Utterances -> batches of samples and tokens. B batch, N samples, U tokens."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asr.audio.augment import AugmentConfig, augment, speed_factor
from asr.data.cuts import Utterance, utterance_seed
from asr.text.normalize import TextNormalizer
from asr.text.tokenizer import PhoneTokenizer, Tokenizer
from asr.utils.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Targets:
    """Token ids of a batch, as a head has to give them."""

    tokens: Tensor  # (B, U)
    lens: Tensor  # (B,)
    # of each utterance, of each word, its pronunciations, where there is a choice: ids, those in `tokens` first
    choices: list[list[list[list[int]]]] | None = None

    def to(self, device: torch.device) -> Targets:
        return replace(self, tokens=self.tokens.to(device), lens=self.lens.to(device))


@dataclass
class Batch:
    """Utterances side by side. `seeds` (B,) are for what is drawn at random for each of them."""

    ids: list[str]
    texts: list[str]  # normalised
    samples: Tensor  # (B, N) float32
    sample_lens: Tensor  # (B,)
    targets: Mapping[str, Targets]  # of each tokenizer, by its kind
    seeds: Tensor  # (B,), stays on the CPU
    size: float  # seconds of real audio
    padded_size: float  # padding included
    seed: int = 0  # for what is drawn for the batch as a whole
    speakers: list[str] = field(default_factory=list)  # an utterance of nobody known is its own speaker

    def to(self, device: torch.device) -> Batch:
        return replace(
            self,
            samples=self.samples.to(device),
            sample_lens=self.sample_lens.to(device),
            targets={kind: targets.to(device) for kind, targets in self.targets.items()},
        )


def plan_batches(
    durations: Sequence[float],
    batch_seconds: float,
    *,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
    multiple: int = 1,
) -> list[list[int]]:
    """Which utterances go together: each batch, its padding included, lasts at most `batch_seconds`.

    Similar durations go together: sorted, with a tenth of chance where shuffled, so that batches differ from epoch to
    epoch. An utterance longer than the budget is a batch of its own. The plan follows from the arguments alone.

    Args:
        multiple: The number of batches can be divided by it: the largest are halved until it can, or,
            where all hold one utterance, some come twice.

    Returns:
        Indices into `durations`. Without shuffle the longest come first.

    Raises:
        InputError: There are fewer utterances than `multiple`.
    """
    chance = random.Random(utterance_seed(seed, epoch, "order"))
    keys = [d * (chance.uniform(0.9, 1.1) if shuffle else 1.0) for d in durations]
    order = sorted(range(len(durations)), key=lambda i: (-keys[i], i))
    batches: list[list[int]] = []
    longest = 0.0
    for i in order:
        longest = max(longest, durations[i])
        if batches and (len(batches[-1]) + 1) * longest <= batch_seconds:
            batches[-1].append(i)
        else:
            batches.append([i])
            longest = durations[i]
    if durations and multiple > len(durations):
        raise InputError(
            f"{len(durations)} utterances cannot be dealt to {multiple} batches a step",
            remedy="fewer processes, or a smaller accumulate",
        )
    while len(batches) % multiple:
        largest = max(range(len(batches)), key=lambda i: (len(batches[i]), -i))
        batch = batches[largest]
        if len(batch) == 1:  # nothing is left to halve: a few utterances are heard twice
            batches += batches[: multiple - len(batches) % multiple]
            break
        batches[largest : largest + 1] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    if shuffle:
        chance.shuffle(batches)
    return batches


def load_batches(
    utterances: Sequence[Utterance],
    tokenizers: Tokenizer | Mapping[str, Tokenizer],
    normalizer: TextNormalizer,
    *,
    sample_rate: int,
    batch_seconds: float,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = False,
    choose: bool = False,
    augmentation: AugmentConfig | None = None,
    num_workers: int = 0,
    group: int = 1,
    rank: int = 0,
    processes: int = 1,
    skip: int = 0,
) -> Batches:
    """Batches of utterances, each read as it is needed. What a tokenizer does not know is left out of its targets.

    Torch's random numbers are not touched.

    Args:
        tokenizers: One, or several by their kinds.
        choose: Whether targets tell all pronunciations of words.
        augmentation: What is done to samples in this epoch (see AugmentConfig.at_epoch).
        group: Batches of a training step, over all processes; their number is a multiple of it.
        rank, processes: Of each `processes` batches the `rank`-th (from 0) is this process's.
        skip: So many groups are left out at the start.

    Raises:
        InputError: An audio file cannot be read.
    """
    if not 0 <= num_workers <= 256:
        raise InputError(f"{num_workers} workers are not between 0 and 256", where="num_workers")
    if not batch_seconds > 0:
        raise InputError(f"{batch_seconds} s are not above 0", where="batch_seconds")
    augmentation = augmentation or AugmentConfig()
    durations = [u.duration / speed_factor(augmentation, utterance_seed(seed, epoch, u.id)) for u in utterances]
    plan = plan_batches(durations, batch_seconds, seed=seed, epoch=epoch, shuffle=shuffle, multiple=group)
    chosen = list(enumerate(plan))[skip * group :][rank::processes]
    if isinstance(tokenizers, Tokenizer):
        tokenizers = {tokenizers.kind: tokenizers}
    dataset = _BatchDataset(utterances, tokenizers, normalizer, sample_rate, seed, epoch, augmentation, chosen, choose)
    return Batches(len(plan) // group, dataset, num_workers)


class Batches:
    """Batches to go through; `groups` of them are all of the epoch's, those skipped among them."""

    def __init__(self, groups: int, dataset: _BatchDataset, num_workers: int) -> None:
        self.groups, self._dataset, self._num_workers = groups, dataset, num_workers

    def __iter__(self) -> Iterator[Batch]:
        loader = DataLoader(self._dataset, batch_size=None, num_workers=self._num_workers, generator=torch.Generator())
        try:
            for item in loader:
                if isinstance(item, str):
                    raise InputError(item)
                yield item
        except RuntimeError as e:
            if "DataLoader worker" not in str(e):
                raise
            raise InputError(
                "a process that reads audio was killed", where="num_workers", remedy="is memory short? num_workers=0"
            ) from e


@dataclass
class _BatchDataset(Dataset["Batch | str"]):
    """Item i is the i-th chosen batch, or the words of an InputError: those of a worker would come as a traceback."""

    utterances: Sequence[Utterance]
    tokenizers: Mapping[str, Tokenizer]
    normalizer: TextNormalizer
    sample_rate: int
    seed: int
    epoch: int
    augmentation: AugmentConfig
    chosen: list[tuple[int, list[int]]]  # (place in the plan, utterances)
    choose: bool

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Batch | str:
        place, indices = self.chosen[index]
        chosen = [self.utterances[i] for i in indices]
        seeds = [utterance_seed(self.seed, self.epoch, u.id) for u in chosen]
        rate = self.sample_rate
        try:
            read = (u.samples(rate) for u in chosen)
            samples = [
                torch.from_numpy(augment(x, rate, seed, self.augmentation)) for x, seed in zip(read, seeds, strict=True)
            ]
        except InputError as e:
            return str(e)
        texts = [self.normalizer(u.text) for u in chosen]
        padded = torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)
        return Batch(
            ids=[u.id for u in chosen],
            texts=texts,
            speakers=[u.speaker or f"utterance {u.id}" for u in chosen],
            samples=padded,
            sample_lens=torch.tensor([len(s) for s in samples]),
            targets={kind: _targets(tokenizer, texts, self.choose) for kind, tokenizer in self.tokenizers.items()},
            seeds=torch.tensor(seeds),
            size=sum(map(len, samples)) / rate,
            padded_size=padded.numel() / rate,
            seed=utterance_seed(self.seed, self.epoch, f"batch {place}"),
        )


def _targets(tokenizer: Tokenizer, texts: Sequence[str], choose: bool) -> Targets:
    """The token ids of normalised texts, side by side."""
    tokens = [torch.tensor(tokenizer.encode_known(text)[0], dtype=torch.long) for text in texts]
    choices = None
    if choose and isinstance(tokenizer, PhoneTokenizer):
        choices = [tokenizer.choices(text)[0] for text in texts]
    padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
    return Targets(padded, torch.tensor([len(t) for t in tokens]), choices)
