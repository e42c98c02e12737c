"""Neural language models: probabilities, steps, files, and what they learn of a text whose entropy is known."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from wording import wording

from asr.decode.attention_beam import attention_beam_search
from asr.decode.token_lm import TokenLm
from asr.lm.corpus import read_corpus
from asr.lm.files import save_ngram
from asr.lm.kneser_ney import EstimateOptions, estimate_ngram
from asr.models.decoding_options import DecodingOptions
from asr.models.neural_lm import (
    END,
    UNK,
    LmConfig,
    NeuralLm,
    NeuralTokenLm,
    is_neural_lm,
    read_neural_lm,
    save_neural_lm,
    text_batch,
    word_sample,
)
from asr.train.language_model import TrainLmConfig, _Texts, epoch_groups, train_lm
from asr.train.progress import SilentMonitor
from asr.utils.errors import InputError

KINDS = ("rnn", "gru", "lstm", "transformer")
WORDS = [END, UNK, "a", "b", "c"]


def made(kind: str, words: list[str] | None = None) -> NeuralLm:
    torch.manual_seed(0)
    return NeuralLm(words or WORDS, LmConfig(kind=kind, hidden=12, layers=2, heads=3)).eval()


def test_kinds() -> None:
    assert set(KINDS) == set(get_args(get_type_hints(LmConfig)["kind"]))


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_at_a_time_is_all_at_once(kind: str) -> None:
    model = made(kind)
    tokens = torch.randint(1, 5, (3, 6))
    expected = model.given(tokens)
    assert (expected.exp().sum(2) - 1).abs().max() < 1e-5
    state, last = model.start(3), torch.zeros(3, 1, dtype=torch.long)
    for u in range(7):
        log_probs, state = model.step(last, state)
        assert (log_probs[:, 0] - expected[:, u]).abs().max() < 1e-5
        last = tokens[:, u : u + 1] if u < 6 else last


@pytest.mark.parametrize("kind", KINDS)
def test_hypotheses_go_on_from_their_parents(kind: str) -> None:
    model = made(kind)
    _, state = model.step(torch.zeros(2, 1, dtype=torch.long), model.start(2))
    _, state = model.step(torch.tensor([[2, 3], [4, 1]]), state.chosen(torch.zeros(2, 2, dtype=torch.long)))
    log_probs, _ = model.step(torch.tensor([[2, 4, 3]] * 2), state.chosen(torch.tensor([[1, 1, 0], [0, 1, 1]])))
    for b, texts in enumerate([[[3, 2], [3, 4], [2, 3]], [[4, 2], [1, 4], [1, 3]]]):
        for k, text in enumerate(texts):
            assert (model.given(torch.tensor([text]))[0, 2] - log_probs[b, k]).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_each_sentence_by_itself(kind: str) -> None:
    model = made(kind)
    sentences = [[2, 3, 4], [2], [], [1, 1, 2, 3, 4]]
    loss = model(text_batch(sentences))
    assert int(loss.count) == 3 + 1 + 0 + 5 + 4
    for sentence, found in zip(sentences, loss.per_item.tolist(), strict=True):
        assert found == pytest.approx(float(model(text_batch([sentence])).sum.detach()), abs=1e-4)
    texts = [[WORDS[i] for i in sentence] for sentence in sentences]
    assert model.log_probs(texts) == pytest.approx([-x for x in loss.per_item.tolist()], abs=1e-4)
    assert model.log_probs(["a b c", "zebra"])[1] == pytest.approx(model.log_probs([UNK])[0])
    found = model.perplexity(texts)
    assert (found.words, found.unknown, found.ends, found.sentences) == (9, 2, 4, 4)
    assert found.perplexity == pytest.approx(math.exp(float(loss.sum.detach()) / 13), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_a_sample_estimates_the_loss(kind: str) -> None:
    """1 / p of a word is the sum over the vocabulary, which a sample gives without bias; its gradient is near, too."""
    model = made(kind, [END, UNK, *(f"w{i}" for i in range(98))])
    counts = np.array([9, 5, *(2000 // n for n in range(1, 99))])
    with torch.no_grad():
        model.bias += torch.from_numpy(np.log(counts))  # what a trained one knows above all
        model.embedding.weight *= 0.5
    sentences = [[2, 99, 30], [0, 57, 57, 7], [2]]
    whole = model(text_batch(sentences))
    whole.sum.backward()
    exact = model.embedding.weight.grad.clone()
    model.zero_grad()
    inverse = []
    for n in range(300):
        sample = word_sample(counts, 40, [1, n])
        assert set(range(2, 22)) <= set(sample[0].tolist())  # the most frequent half
        assert len(sample[0]) == 40
        inverse.append(model(text_batch([[]], sample=sample)).sum.detach().exp())  # of the end, a rare one here
        assert word_sample(counts, 40, [1, n])[0].equal(sample[0])
        model(text_batch(sentences, sample=sample)).sum.backward()
    assert float(torch.stack(inverse).mean()) == pytest.approx(math.exp(-model.log_probs([[]])[0]), rel=0.03)
    assert float(torch.stack(inverse).std() / inverse[0]) > 0.03
    error = (model.embedding.weight.grad / 300 - exact).norm() / exact.norm()
    assert error < 0.05
    shuffled = (model.embedding.weight.grad[torch.randperm(100)] / 300 - exact).norm() / exact.norm()
    assert shuffled > 0.5


def test_files(tmp_path: Path) -> None:
    model = made("lstm")
    save_neural_lm(model, tmp_path / "lm.safetensors")
    again = read_neural_lm(tmp_path / "lm.safetensors")
    assert again.words == WORDS
    assert again.config == model.config
    assert again.log_probs(["a b"]) == model.log_probs(["a b"])
    assert is_neural_lm(tmp_path / "lm.safetensors")
    ngram = estimate_ngram(read_corpus(["a b c", "b c"]), EstimateOptions(order=2), quiet=True)
    save_ngram(ngram, tmp_path / "ngram.safetensors")
    assert not is_neural_lm(tmp_path / "ngram.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "lm.safetensors").read_bytes()[:-10])
    assert not is_neural_lm(tmp_path / "none")
    for name, message in (
        ("none", wording("no-such-file")),
        ("ngram.safetensors", wording("is-no-neural-language-model")),
        ("cut.safetensors", wording("is-damaged")),
    ):
        with pytest.raises(InputError, match=f"{name}: {message}"):
            read_neural_lm(tmp_path / name)
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "lm.safetensors")
    header = {"kind": "neural-lm", "format": "1", "words": json.dumps(WORDS)}
    broken = {**weights, "bias": torch.full_like(weights["bias"], math.nan)}
    save_file(broken, tmp_path / "nan.safetensors", {**header, "config": json.dumps(vars(model.config))})
    with pytest.raises(InputError, match=wording("holds-nan-or-infinity")):
        read_neural_lm(tmp_path / "nan.safetensors")
    for config, message in (
        ({"hidden": 16000, "layers": 60}, wording("its-weights-are-not-those")),
        ({"kind": "transformer", "heads": 0}, "heads"),
        ({"hidden": "${oc.env:HOME}"}, "hidden"),
    ):
        save_file(weights, tmp_path / "bad.safetensors", {**header, "config": json.dumps(config)})
        with pytest.raises(InputError, match=message):
            read_neural_lm(tmp_path / "bad.safetensors")


def chain(count: int, seed: int) -> list[str]:
    """Sentences of a Markov chain: a, b or c follow each other with 0.7, 0.2, 0.1 in turn, and end with 0.1."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        words, last = [], 0
        while not words or draw.random() > 0.1:
            last = (last + draw.choices((1, 2, 3), (0.7, 0.2, 0.1))[0]) % 3
            words.append("abc"[last])
        found.append(" ".join(words))
    return found


ENTROPY = (
    10 * -sum(p * math.log(p) for p in (0.7, 0.2, 0.1)) + 9 * -math.log(0.9) - math.log(0.1)
) / 11  # nats, of words (ten a sentence) and ends


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_what_is_learnt_of_a_chain(kind: str, tmp_path: Path) -> None:
    corpus, dev = read_corpus(chain(3000, 1)), chain(300, 2)
    config = TrainLmConfig(
        model=LmConfig(kind=kind, hidden=64, layers=1, dropout=0.0),
        epochs=10,
        batch_words=800,
        learning_rate=1e-2,
        warmup_steps=20,
    )
    model = train_lm(corpus, tmp_path / "lm.safetensors", config)
    found = model.perplexity(dev).perplexity
    ngram = estimate_ngram(corpus, EstimateOptions(order=3), quiet=True).perplexity(dev).perplexity
    assert math.exp(ENTROPY) == pytest.approx(ngram, rel=0.05)  # of the same text, counted alike
    assert found == pytest.approx(ngram, rel=0.04)
    assert read_neural_lm(tmp_path / "lm.safetensors").perplexity(dev).perplexity == found


@pytest.mark.slow
def test_what_is_learnt_of_a_sample(tmp_path: Path) -> None:
    """Of a vocabulary of 800 words, 200 at a time: about what all of them teach."""
    draw = random.Random(5)
    texts = [" ".join(f"w{int(900 ** draw.random())}" for _ in range(8)) for _ in range(1600)]
    corpus, dev = read_corpus(texts[:1500]), texts[1500:]
    config = TrainLmConfig(model=LmConfig(hidden=16, layers=1), epochs=4, learning_rate=1e-2, warmup_steps=20)
    found = {}
    for sample in (200, 0):
        out = tmp_path / f"{sample}.safetensors"
        found[sample] = train_lm(corpus, out, replace(config, sample=sample)).perplexity(dev).perplexity
    assert len(corpus.words) > 600
    assert found[200] == pytest.approx(found[0], rel=0.05)
    assert found[200] != found[0]


def test_it_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = read_corpus(chain(400, 3))
    config = TrainLmConfig(model=LmConfig(hidden=8, layers=1), epochs=3, batch_words=300, checkpoint_minutes=0.0)
    whole = train_lm(corpus, tmp_path / "a.safetensors", config)
    saved = 0

    def stop(*args: object, **more: object) -> None:
        nonlocal saved
        saved += 1
        if saved == 7:
            raise KeyboardInterrupt
        return own(*args, **more)

    from asr.train import trainer as train

    own = train.save_checkpoint
    monkeypatch.setattr(train, "save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        train_lm(corpus, tmp_path / "b.safetensors", config)
    monkeypatch.undo()
    again = train_lm(corpus, tmp_path / "b.safetensors", config)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    with pytest.raises(InputError, match=wording("holds-a-run-of-other")):
        train_lm(corpus, tmp_path / "b.safetensors", replace(config, seed=2))


def test_words_are_counted_in_the_sentences_that_are_learnt() -> None:
    corpus = read_corpus(["a b a", "c", "b b zebra"], ["a", "b", "c"])
    texts = _Texts(corpus, [END, UNK, "a", "b", "c"])
    assert texts.counts(np.array([0, 2]), 5).tolist() == [2, 1, 2, 3, 0]
    assert texts.counts(np.array([1]), 5).tolist() == [1, 0, 0, 0, 1]


def test_long_sentences_and_a_file_that_is_gone(tmp_path: Path) -> None:
    class Notes(SilentMonitor):
        def note(self, text: str) -> None:
            notes.append(text)

    notes: list[str] = []
    corpus = read_corpus([*chain(60, 6), "a b " * 30])
    config = TrainLmConfig(model=LmConfig(hidden=8, layers=1), epochs=1, longest=50)
    train_lm(corpus, tmp_path / "lm.safetensors", config, monitor=Notes())
    assert sum("of more than 50 words are left out: give a sentence a line" in note for note in notes) == 1
    (tmp_path / "lm.safetensors").unlink()
    with pytest.raises(InputError, match=wording("is-gone-and-its-training")):
        train_lm(corpus, tmp_path / "lm.safetensors", config)
    with pytest.raises(InputError, match=wording("too-few-sentences")):
        train_lm(read_corpus(["a b " * 30] * 9), tmp_path / "other.safetensors", config)


def test_a_gpu_without_enough_memory_gets_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def large(self: NeuralLm, batch: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(NeuralLm, "forward", large)
    config = TrainLmConfig(model=LmConfig(hidden=8, layers=1), batch_words=300)
    with pytest.raises(InputError, match=wording("lm-safetensors-batch-of-300")):
        train_lm(read_corpus(chain(60, 6)), tmp_path / "lm.safetensors", config)


def test_tokens_in_a_recognisers_order(tmp_path: Path) -> None:
    """As a step function it says what it says of whole sentences, and the search takes it like an n-gram."""
    tokens = ["<blank>", "c", "a", "b"]
    corpus = read_corpus([text.split() for text in chain(300, 4)], ["a", "b", "c"])
    config = TrainLmConfig(model=LmConfig(hidden=8, layers=1), epochs=1, batch_words=300)
    model = train_lm(corpus, tmp_path / "lm.safetensors", config, tokens=tokens)
    assert model.words == [END, "c", "a", "b"]
    lm = NeuralTokenLm(tmp_path / "lm.safetensors", tokens)

    def flat(tokens: torch.Tensor, state: object) -> tuple[torch.Tensor, object]:
        return torch.zeros(*tokens.shape, 4).log_softmax(2), state

    class Nothing:
        def chosen(self, parents: torch.Tensor) -> Nothing:
            return self

    options = DecodingOptions(attention_beam=30, nbest=5, lm_weight=1.0, ctc_weight=0.0)
    ((*found,),) = attention_beam_search(flat, Nothing(), torch.tensor([3]), options, lm=(lm, lm.start(1)))
    for each in found:
        text = [tokens[i] for i in each.tokens]
        assert each.lm == pytest.approx(model.log_probs([text])[0], abs=1e-4)
    with pytest.raises(InputError, match=wording("is-of-other-units")):
        NeuralTokenLm(model, ["<blank>", "a", "b", "c"])
    ngram = TokenLm(estimate_ngram(corpus, EstimateOptions(order=3), quiet=True), tokens)
    ((*by_ngram,),) = attention_beam_search(flat, Nothing(), torch.tensor([3]), options, lm=(ngram, ngram.start(1)))
    assert len(by_ngram) == len(found) == 5


def test_batches_hold_each_sentence_once_and_keep_their_bound() -> None:
    lens = np.random.default_rng(1).integers(1, 60, 999)
    first, second = (epoch_groups(lens, 500, 1, epoch) for epoch in (0, 1))
    for groups in (first, second):
        assert sorted(i for group in groups for i in group) == list(range(999))
        assert all(len(group) * (max(lens[i] for i in group) + 1) <= 500 for group in groups)
        assert len(groups) < 1.2 * (lens + 1).sum() / 500
    assert first != second
    assert epoch_groups(lens, 500, 1, 0) == first
    assert [sorted(group) for group in epoch_groups(np.array([900, 3]), 500, 1, 0)] in ([[0], [1]], [[1], [0]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 0}, "hidden: 0"),
        ({"kind": "transformer", "hidden": 30}, wording("parted-into-4-heads")),
        ({"dropout": 1}, "dropout: 1"),
    ],
)
def test_settings_that_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LmConfig(**settings)
