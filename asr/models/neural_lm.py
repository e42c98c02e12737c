"""Neural language models: recurrent (Mikolov et al. 2010) or a Transformer, over words or a recogniser's tokens.

    lm = read_neural_lm("lm.safetensors")
    lm.log_probs(["so it goes"])                        # natural logarithms of whole sentences
    log_probs, state = lm(tokens, lm.start(B))          # one step at a time: (B, K) -> (B, K, V), for a beam search

Entry 0 of the vocabulary is the end of a sentence, and its start; entry 1 of one of words is <unk>. Input and output
have the same matrix (Press and Wolf 2017).

B sentences, or utterances with K hypotheses each, U words, V vocabulary, H width, L layers, S words of a sample.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asr.lm.lines import split_words
from asr.lm.ngram import Perplexity
from asr.models.losses import Loss
from asr.models.transformer import Layer, sinusoids
from asr.utils.config import Config, from_dict, require, setting, to_dict
from asr.utils.errors import InputError
from asr.utils.files import atomic_path
from asr.utils.kinds import read_beginning, refuse_kind

END, UNK = "</s>", "<unk>"
FORMAT = 1
_KIND = "neural-lm"
_MOST = 4096  # words and ends of a batch that is scored
_ROWS = 512  # of them, whose next words are scored at a time


@dataclass(frozen=True, kw_only=True)
class LmConfig(Config):
    """What a neural language model is."""

    kind: Literal["rnn", "gru", "lstm", "transformer"] = "lstm"
    hidden: int = setting(256, "[1, 16384]")  # of words' vectors, too
    layers: int = setting(2, "[1, 64]")
    dropout: float = setting(0.2, "[0, 1)")
    heads: int = setting(4, "[1, inf)")  # of a Transformer

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.kind != "transformer" or self.hidden % self.heads == 0,
            f"hidden {self.hidden} cannot be parted into {self.heads} heads of the same width",
        )


@dataclass(frozen=True)
class TextBatch:
    """Sentences as numbers, as a Trainer takes batches."""

    tokens: Tensor  # (B, U), padded with 0
    lens: Tensor  # (B,)
    seed: int
    size: float  # words and ends
    padded_size: float
    sample: tuple[Tensor, Tensor] | None = None  # (S,) words of which the loss is estimated, (S,) log of each's weight

    def to(self, device: torch.device) -> TextBatch:
        sample = self.sample and (self.sample[0].to(device), self.sample[1].to(device))
        return replace(self, tokens=self.tokens.to(device), lens=self.lens.to(device), sample=sample)


def text_batch(
    sentences: Sequence[Sequence[int]], seed: int = 0, sample: tuple[Tensor, Tensor] | None = None
) -> TextBatch:
    """A batch of sentences' numbers."""
    lens = torch.tensor([len(sentence) for sentence in sentences])
    tokens = torch.zeros(len(sentences), int(lens.max()), dtype=torch.long)
    for row, sentence in zip(tokens, sentences, strict=True):
        row[: len(sentence)] = torch.tensor(sentence, dtype=torch.long)
    return TextBatch(tokens, lens, seed, float(lens.sum() + len(lens)), float(tokens.numel() + len(lens)), sample)


def word_sample(counts: npt.NDArray[np.int64], size: int, seed: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Words from which the sum over a vocabulary can be estimated: half of them the most frequent, half drawn from the
    others, by their counts; and the log of how many words each stands for, one over how often it is expected.

    Importance sampling (Bengio and Senecal 2003), but for the frequent ones, which are all there.

    Args:
        counts: (V,) how often each is in the text.
        size: S, less than V.
    """
    order = np.argsort(-counts, kind="stable")
    often, rare = order[: size // 2], order[size // 2 :]
    share = (counts[rare] + 1) / (counts[rare] + 1).sum()
    drawn = np.random.default_rng(seed).choice(len(rare), size - len(often), p=share)
    weights = np.concatenate([np.zeros(len(often)), -np.log(share[drawn] * len(drawn))])
    return torch.from_numpy(np.concatenate([often, rare[drawn]])), torch.from_numpy(weights).float()


@dataclass(frozen=True)
class LmState:
    """What was said of K hypotheses of each utterance; tensors (B, K, ...)."""

    kept: tuple[Tensor, ...]
    length: int = 0

    def chosen(self, parents: Tensor) -> LmState:
        """Those of the hypotheses `parents` (B, K') alone."""
        own = torch.arange(len(parents), device=parents.device)[:, None]
        return LmState(tuple(each[own, parents] for each in self.kept), self.length)


class NeuralLm(nn.Module):
    """A language model; `forward(batch)` gives its loss, calling `step` its next words.

    Args:
        words: The vocabulary: END, then, of words, UNK, and the others.
        config: What it is.
    """

    def __init__(self, words: Sequence[str], config: LmConfig) -> None:
        super().__init__()
        require(len(words) >= 2 and words[0] == END, "a vocabulary begins with </s>, and has a word")
        self.words, self.config = list(words), config
        self.name = "language model"  # its file, where it was read
        self.index = {word: i for i, word in enumerate(words)}
        self.unk = self.index.get(UNK, -1)
        width = config.hidden
        self.embedding = nn.Embedding(len(words), width)
        # They score, too: with longer ones a word foretells itself at first, shorter ones learn little for long.
        nn.init.normal_(self.embedding.weight, std=2 * width**-0.75)
        self.bias = nn.Parameter(torch.zeros(len(words)))
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList()
        self.norm: nn.Module = nn.Identity()
        if config.kind == "transformer":
            self.layers.extend(Layer(width, config.heads, 4 * width, config.dropout) for _ in range(config.layers))
            self.norm = nn.LayerNorm(width)
        else:
            make = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[config.kind]
            self.layers.extend(make(width, width, batch_first=True) for _ in range(config.layers))

    def forward(self, batch: TextBatch) -> Loss:
        """Cross-entropy of each sentence and its end; estimated where the batch has a sample."""
        targets, lens = nn.functional.pad(batch.tokens, (0, 1)), batch.lens + 1  # the end has number 0
        x = self._after(batch.tokens)
        if batch.sample is None:
            each = -self._log_probs(x).gather(2, targets[..., None])[..., 0]
        else:
            each = self._estimated(x, targets, *batch.sample)
        real = torch.arange(targets.shape[1], device=targets.device) < lens[:, None]
        per_item = each.masked_fill(~real, 0.0).sum(1)
        return Loss(per_item.sum(), lens.sum(), per_item, torch.zeros_like(lens, dtype=torch.bool))

    def given(self, tokens: Tensor) -> Tensor:
        """Sentences (B, U) -> log-probabilities of each word, and of what follows the last (B, U + 1, V)."""
        return self._log_probs(self._after(tokens))

    def _after(self, tokens: Tensor) -> Tensor:
        begun = nn.functional.pad(tokens, (1, 0))
        x = self._embedded(begun, torch.arange(begun.shape[1], device=begun.device))
        for layer in self.layers:
            if isinstance(layer, Layer):
                x = layer(x)
            else:
                x = x + self.dropout(layer(x)[0])
        normed: Tensor = self.norm(x)
        return normed

    def _estimated(self, x: Tensor, targets: Tensor, sample: Tensor, log_weights: Tensor) -> Tensor:
        """-log p of each target (B, U): itself, and a sample of the others."""
        own = (x * self.embedding(targets)).sum(2) + self.bias[targets]
        others = nn.functional.linear(x, self.embedding(sample), self.bias[sample] + log_weights)
        others = others.float().masked_fill(targets[..., None] == sample, -torch.inf)
        estimated: Tensor = torch.logaddexp(own.float(), others.logsumexp(2)) - own.float()
        return estimated

    def start(self, count: int) -> LmState:
        """One hypothesis each of so many utterances."""
        if self.config.kind == "transformer":
            return LmState(())
        zeros = self.bias.new_zeros(count, 1, self.config.hidden)
        return LmState((zeros,) * len(self.layers) * (2 if self.config.kind == "lstm" else 1))

    def step(self, tokens: Tensor, state: LmState) -> tuple[Tensor, LmState]:
        """Words last said (B, K), 0 at the start -> log-probabilities of the next ones (B, K, V), and the state."""
        b, k = tokens.shape
        x = self._embedded(tokens, torch.full_like(tokens, state.length)).flatten(0, 1)  # (B K, H)
        kept: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Layer):
                past = state.kept[2 * number : 2 * number + 2]
                before = (past[0].flatten(0, 1), past[1].flatten(0, 1)) if past else None
                own, new = layer.own.one(layer.own_norm(x), before)
                x = layer.think(x + self.dropout(own))
            else:
                parts = 2 if self.config.kind == "lstm" else 1
                held = [each.flatten(0, 1)[None] for each in state.kept[parts * number : parts * (number + 1)]]
                y, after = layer(x[:, None], tuple(held) if parts == 2 else held[0])
                new = tuple(each[0] for each in after) if parts == 2 else (after[0],)
                x = x + self.dropout(y[:, 0])
            kept += [each.reshape(b, k, *each.shape[1:]) for each in new]
        return self._log_probs(self.norm(x)).reshape(b, k, -1), LmState(tuple(kept), state.length + 1)

    def ids(self, sentence: str | Sequence[str]) -> list[int]:
        """A sentence's numbers; words that are not known are <unk>.

        Raises:
            InputError: There is no <unk>.
        """
        words = split_words(sentence) if isinstance(sentence, str) else sentence
        found = [self.index.get(word, self.unk) for word in words]
        if self.unk < 0 and -1 in found:
            raise InputError(
                f"{words[found.index(-1)]!r} is none of its tokens (as {self.words[-1]!r} is)",
                where=self.name,
                remedy="a model of a recogniser's tokens needs its --model, and --unit token",
            )
        return found

    @torch.inference_mode()
    def log_probs(self, sentences: Sequence[str | Sequence[str]]) -> list[float]:
        """Natural logarithms of sentences' probabilities, their ends included."""
        return [sum(each) for each in self.each(sentences)]

    @torch.inference_mode()
    def each(self, sentences: Sequence[str | Sequence[str]]) -> list[list[float]]:
        """Natural logarithms of the probabilities of each word of sentences, and of their ends."""
        was, device = self.training, self.bias.device
        numbers = [self.ids(sentence) for sentence in sentences]
        self.eval()
        found: list[list[float]] = [[] for _ in numbers]
        for group in _groups(numbers):
            texts = [numbers[i] for i in group]
            tokens = text_batch(texts).tokens.to(device)
            x, targets = self._after(tokens), nn.functional.pad(tokens, (0, 1))
            rows, same = _prefixes(texts, targets.shape[1])
            befores = torch.split(x.flatten(0, 1)[rows.to(device)], _ROWS)
            sums = [self._scores(part).logsumexp(1) for part in befores]
            own = (x * self.embedding(targets)).sum(2) + self.bias[targets]
            each = own.double() - torch.cat(sums).double()[same.to(device)]
            for i, row in zip(group, each.tolist(), strict=True):
                found[i] = row[: len(numbers[i]) + 1]
        self.train(was)
        return found

    def perplexity(self, sentences: Iterable[str | Sequence[str]]) -> Perplexity:
        """As NgramModel's: of words and ends, each sentence by itself."""
        n = words = unknown = 0
        log_prob = log_prob_unknown = 0.0
        for some in _some(sentences, 4096):
            for sentence, each in zip(some, self.each(some), strict=True):
                ids = self.ids(sentence)
                n, words = n + 1, words + len(ids)
                log_prob += sum(each)
                if self.unk in ids:
                    unknown += ids.count(self.unk)
                    log_prob_unknown += sum(p for p, i in zip(each, ids, strict=False) if i == self.unk)
        return Perplexity(n, words, unknown, n, log_prob / math.log(10), log_prob_unknown / math.log(10))

    def _embedded(self, tokens: Tensor, positions: Tensor) -> Tensor:
        x = self.embedding(tokens) * math.sqrt(self.config.hidden)
        if self.config.kind == "transformer":
            x = x + sinusoids(positions, self.config.hidden)
        dropped: Tensor = self.dropout(x)
        return dropped

    def _log_probs(self, x: Tensor) -> Tensor:
        return self._scores(x).log_softmax(dim=-1)

    def _scores(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.embedding.weight, self.bias).float()


def save_neural_lm(model: NeuralLm, path: str | Path) -> None:
    """Writes a model as safetensors, whole or not at all."""
    from safetensors.torch import save

    header = {
        "kind": _KIND,
        "format": str(FORMAT),
        "config": json.dumps(to_dict(model.config)),
        "words": json.dumps(model.words, ensure_ascii=False),
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(weights, header))


def is_neural_lm(path: str | Path) -> bool:
    """Whether a file is one of these; what cannot be read is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            return (file.metadata() or {}).get("kind") == _KIND
    except (OSError, SafetensorError):
        return False


def read_neural_lm(path: str | Path) -> NeuralLm:
    """Reads what `save_neural_lm` wrote.

    Raises:
        InputError: There is no such file, or it is something else.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise InputError("no such file", where=path)
    refuse_kind(read_beginning(path), path)
    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            if header.get("kind") != _KIND:
                raise InputError("is no neural language model", where=path, remedy="asr lm train-neural makes one")
            if int(header.get("format", 0)) > FORMAT:
                raise InputError(f"is of format {header['format']}", where=path, remedy="update kikitori")
            config = from_dict(LmConfig, json.loads(header["config"]), where=path)
            words = json.loads(header["words"])
            if not (isinstance(words, list) and all(isinstance(word, str) for word in words) and words[:1] == [END]):
                raise InputError("has no vocabulary", where=path)
            with torch.device("meta"):
                model = NeuralLm(words, config)
            expected = {name: list(value.shape) for name, value in model.state_dict().items()}
            if {name: file.get_slice(name).get_shape() for name in file.keys()} != expected:  # noqa: SIM118
                raise InputError("its weights are not those that its configuration says", where=path)
            weights = {name: file.get_tensor(name) for name in expected}
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError) as e:
        if isinstance(e, InputError):
            raise
        raise InputError(f"is damaged ({e})", where=path, remedy="make it anew") from e
    if any(value.dtype not in (torch.float32, torch.float16) for value in weights.values()):
        raise InputError("has weights that are not of 32 or 16 bits (float32, float16)", where=path)
    if not all(torch.isfinite(value).all() for value in weights.values()):
        raise InputError("holds NaN or infinity", where=path, remedy="make it anew")
    model.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    model.name = str(path)
    return model.eval()


class NeuralTokenLm:
    """A neural model of tokens as a step function, as asr.decode.token_lm's: token 0 is the end.

    Args:
        lm: A model, or its file.
        tokens: The V tokens of a recogniser, of which the first is CTC's blank.

    Raises:
        InputError: It is of other tokens.
    """

    def __init__(self, lm: NeuralLm | str | Path, tokens: Sequence[str]) -> None:
        self.model = lm if isinstance(lm, NeuralLm) else read_neural_lm(lm)
        if self.model.words[1:] != list(tokens[1:]):
            theirs = next((word for word in self.model.words[1:] if word != UNK), "nothing")
            raise InputError(
                f"is of other units ({theirs!r} is one) than the model's tokens ({tokens[1]!r} is one)",
                where=self.model.name,
                remedy="asr lm train-neural --unit token --model MODEL makes one of its tokens",
            )

    def start(self, count: int) -> LmState:
        """One hypothesis each of so many utterances."""
        return self.model.start(count)

    @torch.inference_mode()
    def __call__(self, tokens: Tensor, state: Any) -> tuple[Tensor, LmState]:
        return self.model.step(tokens, state)


def _groups(numbers: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Which sentences are scored together: such of about a length."""
    group: list[int] = []
    for i in sorted(range(len(numbers)), key=lambda i: len(numbers[i])):
        if group and (len(group) + 1) * (len(numbers[i]) + 1) > _MOST:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _prefixes(texts: Sequence[Sequence[int]], width: int) -> tuple[Tensor, Tensor]:
    """What comes before each word of B texts, and before their ends: where each beginning stands first, in a table
    (B, `width`), and its number among them (B, `width`). An N-best list's texts share most of theirs."""
    known: dict[tuple[int, int], int] = {}
    rows, same = [0], torch.zeros(len(texts), width, dtype=torch.long)
    for b, text in enumerate(texts):
        at, own = 0, [0]
        for u, word in enumerate(text, 1):
            new = known.setdefault((at, word), len(rows))
            if new == len(rows):
                rows.append(b * width + u)
            at = new
            own.append(at)
        same[b, : len(own)] = torch.tensor(own)
    return torch.tensor(rows), same


def _some(sentences: Iterable[str | Sequence[str]], size: int) -> Iterator[list[str | Sequence[str]]]:
    held: list[str | Sequence[str]] = []
    for sentence in sentences:
        held.append(sentence)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
