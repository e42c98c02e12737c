"""Lhotse cuts -> batches of samples and tokens. B batch, N samples, U tokens.

Manifests may come from strangers: Lhotse would run the shell command of a `command` source and fetch a `url`.
Only sources of type `file` are taken, and audio is read by `asr.audio.reader`, never by Lhotse.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asr.audio.augment import AugmentConfig, augment, speed_factor
from asr.audio.reader import Samples, read_audio
from asr.models.recognizer import Targets
from asr.text.normalize import TextNormalizer
from asr.text.tokenizer import PhoneTokenizer, Tokenizer
from asr.utils.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Utterance:
    """A stretch of an audio file and what is said in it, as the publisher wrote it."""

    id: str
    audio: str
    text: str
    duration: float  # seconds
    start: float = 0.0  # seconds into the file
    whole: bool = True  # the whole file, so that one that is cut short is noticed
    channel: int | None = None
    speaker: str = ""

    def samples(self, sample_rate: int) -> Samples:
        """Its samples (N,), as read_audio gives them."""
        if self.whole:
            samples = read_audio(self.audio, sample_rate, channel=self.channel)
            if abs(len(samples) / sample_rate - self.duration) > max(0.1, 0.01 * self.duration):
                raise InputError(
                    f"lasts {len(samples) / sample_rate:.2f} s, its manifest says {self.duration:.2f} s ({self.id})",
                    where=self.audio,
                    remedy="prepare the corpus again",
                )
            return samples
        return read_audio(self.audio, sample_rate, start=self.start, duration=self.duration, channel=self.channel)


@dataclass
class Batch:
    """Utterances side by side. `seeds` (B,) are for what is drawn at random for each of them."""

    ids: list[str]
    texts: list[str]  # normalised
    samples: Tensor  # (B, N) float32
    sample_lens: Tensor  # (B,)
    targets: Mapping[str, Targets]  # of each tokenizer, by its kind
    seeds: Tensor  # (B,), stays on the CPU
    seconds: float  # of real audio
    padded_seconds: float  # padding included
    seed: int = 0  # for what is drawn for the batch as a whole
    speakers: list[str] = field(default_factory=list)  # an utterance of nobody known is its own speaker

    def to(self, device: torch.device) -> Batch:
        return replace(
            self,
            samples=self.samples.to(device),
            sample_lens=self.sample_lens.to(device),
            targets={kind: targets.to(device) for kind, targets in self.targets.items()},
        )


def read_cuts(path: str | Path) -> list[Utterance]:
    """Utterances of a cut manifest (`cuts_*.jsonl.gz` or `.jsonl`).

    Raises:
        InputError: Names the file and the cut where it is not audio from a plain file with one text.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path, remedy="make it with `asr prepare`")
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError("is not a cut manifest (*.jsonl or *.jsonl.gz)", where=path)
    from lhotse.serialization import deserialize_item

    utterances = []
    seen: set[str] = set()
    number = 0
    try:
        for number, line in enumerate(_lines(path), 1):
            utterance = _utterance(deserialize_item(json.loads(line)), f"{path}, line {number}")
            if utterance.id in seen:
                raise InputError(f"the id {utterance.id!r} stands there twice", where=f"{path}, line {number}")
            seen.add(utterance.id)
            utterances.append(utterance)
    except InputError:
        raise
    except Exception as e:  # Lhotse raises whatever a malformed line leads to
        raise InputError(f"is not a cut ({type(e).__name__}: {e})", where=f"{path}, line {max(number, 1)}") from e
    if not utterances:
        raise InputError("holds no utterance", where=path)
    return utterances


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, gzipped or not; one out of all proportion is an InputError before it fills the memory."""
    limit = 1 << 20
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as f:
        while line := f.readline(limit):
            if len(line) == limit:
                raise InputError(f"holds a line of more than {limit:,} bytes", where=path)
            if line.strip():
                yield line


def _utterance(cut: object, where: str) -> Utterance:
    from lhotse import MonoCut, MultiCut

    if not isinstance(cut, MonoCut | MultiCut):
        raise InputError(f"a {type(cut).__name__} cannot be used, only plain cuts of recordings", where=where)
    where = f"{where} ({cut.id})"
    recording = cut.recording
    if recording is None:
        raise InputError("has no recording", where=where)
    if len(recording.sources) != 1 or recording.sources[0].type != "file":
        kinds = ", ".join(sorted({str(source.type) for source in recording.sources}))
        raise InputError(
            f"its audio is of type {kinds or 'none'}, only a single `file` is read",
            where=where,
            remedy="save the audio to files: a manifest must not run commands or fetch addresses",
        )
    if recording.transforms:
        raise InputError("its recording has transforms, which are not applied", where=where)
    if len(cut.supervisions) != 1:
        raise InputError(
            f"has {len(cut.supervisions)} supervisions, not one", where=where, remedy="use trim_to_supervisions()"
        )
    supervision = cut.supervisions[0]
    if not isinstance(supervision.text, str | None):
        raise InputError(f"its text is {supervision.text!r}, not a text", where=where)
    everything = list(range(len(recording.channel_ids or [0])))
    wanted = [cut.channel] if isinstance(cut.channel, int) else list(cut.channel)
    if len(wanted) > 1 and sorted(wanted) != everything:
        raise InputError(f"takes channels {wanted} of {everything}: one or all can be read", where=where)
    if not 0 < cut.duration < float("inf"):
        raise InputError(f"lasts {cut.duration} s", where=where)
    return Utterance(
        id=str(cut.id),
        audio=str(recording.sources[0].source),
        text=supervision.text or "",
        start=float(cut.start),
        duration=float(cut.duration),
        whole=cut.start == 0 and abs(cut.duration - recording.duration) < 1e-3,
        channel=wanted[0] if len(wanted) < len(everything) else None,
        speaker=supervision.speaker or "",
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


def utterance_seed(seed: int, epoch: int, utterance_id: str) -> int:
    """A 63-bit seed for what is drawn for an utterance in an epoch, on any machine, in any process."""
    digest = hashlib.blake2b(f"{seed} {epoch} {utterance_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


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


class _BatchDataset(Dataset["Batch | str"]):
    """Item i is the i-th chosen batch, or the words of an InputError: those of a worker would come as a traceback."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        tokenizers: Mapping[str, Tokenizer],
        normalizer: TextNormalizer,
        sample_rate: int,
        seed: int,
        epoch: int,
        augmentation: AugmentConfig,
        chosen: list[tuple[int, list[int]]],
        choose: bool,
    ) -> None:
        self.utterances, self.tokenizers, self.normalizer = utterances, tokenizers, normalizer
        self.sample_rate, self.seed, self.epoch, self.augmentation = sample_rate, seed, epoch, augmentation
        self.chosen, self.choose = chosen, choose  # (place in the plan, utterances)

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
            seconds=sum(map(len, samples)) / rate,
            padded_seconds=padded.numel() / rate,
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
