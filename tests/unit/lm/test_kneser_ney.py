"""Estimation, pruning, interpolation of n-gram models against sums by hand, dictionaries, KenLM and kaldingram."""

from __future__ import annotations

import io
import itertools
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import redirect_stderr
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from wording import wording

from asr.lm.arpa import write_arpa
from asr.lm.corpus import Corpus, read_corpus
from asr.lm.files import read_ngram, save_ngram
from asr.lm.interpolation import interpolate
from asr.lm.kneser_ney import FALLBACK, EstimateOptions, estimate_ngram
from asr.lm.ngram import NgramModel
from asr.lm.pruning import context_probs, perplexity_changes, prune, shrink, threshold_for
from asr.lm.tree import join_levels, split_levels
from asr.utils.errors import InputError

Words = tuple[str, ...]


def model_of(text: str, vocabulary: int | list[str] | None = None, **options) -> NgramModel:
    return estimate_ngram(read_corpus(text.splitlines(), vocabulary), EstimateOptions(**options))


def ngrams(model: NgramModel) -> dict[Words, tuple[float, float]]:
    """Probability and back-off weight of every n-gram, read off the arrays one by one."""
    found: dict[Words, tuple[float, float]] = {}
    words: list[Words] = [()]
    for node in range(len(model.first) - 1):
        for child in range(model.first[node], model.first[node + 1]):
            words.append((*words[node], model.words[model.word[child]]))
            weight = float(model.backoff[child]) if child < len(model.backoff) else 0.0
            found[words[child]] = (10.0 ** float(model.log_prob[child]), 10.0**weight)
    return found


def random_text(seed: int, sentences: int = 200, words: int = 12) -> str:
    """Sentences of a random bigram source, of letters (and what follows z), some much more frequent than others."""
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(words + 1, 0.3), words + 1)
    lines = []
    for _ in range(sentences):
        line, last = [], words
        while len(line) < 12 and (last := int(rng.choice(words + 1, p=table[last]))) < words:
            line.append(chr(ord("a") + last) if last < 26 else f"w{last}")
        lines.append(" ".join(line) or "a")
    return "\n".join(lines)


def check_sums(model: NgramModel) -> None:
    """After every context, and some that the model does not have, the words' probabilities sum up to 1."""
    predicted = [i for i, word in enumerate(model.words) if word != "<s>"]
    contexts = [words for words in ngrams(model) if len(words) < model.order and words[-1] != "</s>"]
    others = [(*c, "nowhere") for c in contexts[:5]] + [("nowhere", model.words[3])]
    for context in [(), *contexts, *others]:
        before = [model.id(word) for word in context]
        ids = np.array([[*before, i] for i in predicted])
        log_probs, _ = model.score_ids(ids.ravel(), np.arange(0, ids.size, ids.shape[1]))
        total = (10 ** log_probs.reshape(ids.shape)[:, -1]).sum()
        assert total == pytest.approx(1, abs=2e-5), context


# The definition, plainly


def plain_kneser_ney(
    sentences: list[Words], vocabulary: list[str], order: int, cutoffs: Sequence[int]
) -> dict[Words, tuple[float, float]]:
    """Interpolated modified Kneser-Ney as the papers have it, over dictionaries of tuples."""
    raw: Counter[Words] = Counter()
    for sentence in sentences:
        padded = ("<s>", *(w if w in vocabulary else "<unk>" for w in sentence), "</s>")
        for n in range(1, order + 1):
            raw.update(padded[i : i + n] for i in range(len(padded) - n + 1))
    del raw[("<s>",)]
    before: dict[Words, set[str]] = defaultdict(set)
    for words in raw:
        before[words[1:]].add(words[0])
    adjusted = {w: c if len(w) == order or w[0] == "<s>" else len(before[w]) for w, c in raw.items()}
    for word in ("<unk>", *vocabulary):
        adjusted.setdefault((word,), 0)
    discounts = {n: plain_discounts([c for w, c in adjusted.items() if len(w) == n]) for n in range(1, order + 1)}
    after: dict[Words, list[Words]] = defaultdict(list)
    for words in adjusted:
        after[words[:-1]].append(words)

    def kept(words: Words) -> bool:
        return len(words) == 1 or raw[words] > cutoffs[len(words) - 1]

    @cache
    def weight(context: Words) -> float:
        followed = after[context]
        total = sum(adjusted[w] for w in followed)
        taken = sum(discounts[len(w)][min(adjusted[w], 3)] if kept(w) else adjusted[w] for w in followed)
        return taken / total if total else 1.0

    @cache
    def prob(words: Words) -> float:
        if not words:
            return 1 / (len(vocabulary) + 2)  # <unk> and </s> too
        total = sum(adjusted[w] for w in after[words[:-1]])
        own = (adjusted[words] - discounts[len(words)][min(adjusted[words], 3)]) / total
        return own + weight(words[:-1]) * prob(words[1:])

    found = {w: (prob(w), weight(w) if len(w) < order else 1.0) for w in adjusted if kept(w)}
    found["<s>",] = (0.0, weight(("<s>",)) if order > 1 else 1.0)
    return found


def plain_discounts(counts: list[int]) -> list[float]:
    t = Counter(counts)
    if not (t[1] and t[2] and t[3]):
        return [0, *FALLBACK]
    y = t[1] / (t[1] + 2 * t[2])
    d = [0, 1 - 2 * y * t[2] / t[1], 2 - 3 * y * t[3] / t[2], 3 - 4 * y * t[4] / t[3]]
    return d if min(d[1:]) > 0 else [0, *FALLBACK]


def compare(model: NgramModel, expected: dict[Words, tuple[float, float]]) -> None:
    got = ngrams(model)
    assert got.keys() == expected.keys()
    for words, (prob, weight) in expected.items():
        assert got[words][0] == pytest.approx(prob, rel=1e-5, abs=1e-30), words
        assert got[words][1] == pytest.approx(weight, rel=1e-5), words


def test_by_hand() -> None:
    """Bigrams: <s> a twice; a b, a </s>, b </s> once. None is there three times: discounts are 0.5, 1 and 1.5."""
    got = ngrams(model_of("a b\na\n", order=2))
    # Before a stands <s>, before b a, before </s> b and a: c = 1, 1, 2 of 4 in all.
    # backoff() = (0.5 + 0.5 + 1) / 4 = 0.5, a quarter of it for each of <unk>, </s>, a, b: 0.125
    expected = {
        ("<unk>",): (0.125, 1),
        ("</s>",): ((2 - 1) / 4 + 0.125, 1),
        # after a: b and </s> once each: (0.5 + 0.5) / 2
        ("a",): ((1 - 0.5) / 4 + 0.125, 0.5),
        # after b: </s> once: 0.5 / 1
        ("b",): ((1 - 0.5) / 4 + 0.125, 0.5),
        # after <s>: a twice: 1 / 2
        ("<s>",): (0, 0.5),
        ("<s>", "a"): ((2 - 1) / 2 + 0.5 * 0.25, 1),
        ("a", "b"): ((1 - 0.5) / 2 + 0.5 * 0.25, 1),
        ("a", "</s>"): ((1 - 0.5) / 2 + 0.5 * 0.375, 1),
        ("b", "</s>"): ((1 - 0.5) / 1 + 0.5 * 0.375, 1),
    }
    assert got.keys() == expected.keys()
    for words, (prob, weight) in expected.items():
        assert got[words] == pytest.approx((prob, weight), abs=1e-6), words


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=12).map(tuple), min_size=1, max_size=25),
    st.integers(1, 10),
    st.sampled_from([(0,), (1,), (0, 1), (0, 0, 1), (0, 1, 2)]),
    st.booleans(),
)
def test_the_definition(sentences: list[Words], order: int, cutoffs: tuple[int, ...], given_words: bool) -> None:
    cutoffs = cutoffs[:order]
    vocabulary = ["a", "b", "c", "nowhere"] if given_words else sorted({w for s in sentences for w in s})
    if given_words and not {w for s in sentences for w in s} & set(vocabulary):
        return
    corpus = read_corpus([" ".join(s) for s in sentences], vocabulary if given_words else None)
    model = estimate_ngram(corpus, EstimateOptions(order=order, cutoffs=cutoffs))
    each = [0, *cutoffs[1:], *[cutoffs[-1]] * order][:order]
    compare(model, plain_kneser_ney(sentences, vocabulary, order, each))


@pytest.mark.parametrize(("order", "cutoffs"), [(2, (0,)), (3, (0,)), (3, (0, 0, 1)), (3, (0, 1)), (4, (0, 0, 1, 2))])
def test_a_text_that_tells_its_discounts(order: int, cutoffs: tuple[int, ...], caplog) -> None:
    rare = "a q1\nb q2 c\nd q3 e\nq4\nr1 a\nb r1\nr2 c\nd r2\ne s1\nf s1\ng s1\n"  # before 1, 2 and 3 words
    text = rare + random_text(2, 150, 25)
    model = model_of(text, order=order, cutoffs=cutoffs)
    assert not caplog.records
    sentences = [tuple(line.split()) for line in text.splitlines()]
    vocabulary = sorted({w for s in sentences for w in s})
    each = [*cutoffs, *[cutoffs[-1]] * order][:order]
    compare(model, plain_kneser_ney(sentences, vocabulary, order, each))
    check_sums(model)


def test_a_tiny_text_gives_a_model_and_a_warning(caplog) -> None:
    model = model_of("the cat sat\nthe dog sat\n")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "the text is too small to tell how much to discount 1-grams, 2-grams, 3-grams: discounts are 0.5, 1 and 1.5"
    )
    check_sums(model)
    assert model.score("the cat sat") > model.score("sat cat the")


def test_highest_orders_without_ngrams_are_left_out() -> None:
    assert model_of("a\nb\n", order=6).counts == [5, 4, 2]
    assert model_of("a b\nb a\n", order=3, cutoffs=[0, 0, 9]).order == 2
    assert model_of("a b", order=1).counts == [5]


def test_every_context_has_a_weight(tmp_path: Path) -> None:
    model = model_of(random_text(2), cutoffs=[0, 0, 1])
    write_arpa(model, tmp_path / "lm.arpa")
    lines = (tmp_path / "lm.arpa").read_text().split("\\2-grams:")[1].split("\\3-grams:")
    weighted = {tuple(f[1:3]) for line in lines[0].splitlines() if len(f := line.split()) == 4}
    assert {tuple(line.split()[1:3]) for line in lines[1].splitlines() if len(line.split()) == 4} <= weighted


@pytest.mark.parametrize("order", [2, 3, 5])
def test_kenlm_gives_the_same_scores(order: int, tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    models = {
        "whole": (model := model_of(random_text(3), 10, order=order)),
        "pruned": prune(model, 3e-4),
        "mixed": interpolate([model, model_of(random_text(4), order=2)], weights=[2, 1]).model,
    }
    for name, made in models.items():
        write_arpa(made, path := tmp_path / f"{name}.arpa")
        save_ngram(made, tmp_path / f"{name}.safetensors")
        theirs, again = kenlm.Model(str(path)), read_ngram(tmp_path / f"{name}.safetensors")
        for line in random_text(5, 50, 14).splitlines():
            assert again.score(line) == pytest.approx(theirs.score(line), abs=1e-4), (name, line)


# What is in a text


def corpus_words(corpus: Corpus) -> list[str]:
    return " ".join(corpus.words[i] for i in corpus.ids).replace("<s> ", "").split(" </s>")[:-1]


def test_words_are_numbered_by_how_frequent_they_are() -> None:
    corpus = read_corpus(["b c\t a\u00a0b\u3000b", "b", "", "c b"])  # white space of any kind, as of a lexicon's words
    assert corpus.words == ["<unk>", "<s>", "</s>", "b", "c", "a"]
    assert corpus.ids.tolist() == [1, 3, 4, 5, 3, 3, 2, 1, 3, 2, 1, 4, 3, 2]
    assert (corpus.sentences, corpus.tokens, corpus.outside) == (3, 8, 0)
    assert read_corpus([["a b", "c"]]).words[3:] == ["a b", "c"]  # words that are given are not split


@pytest.mark.parametrize(
    ("vocabulary", "words", "outside"),
    [(2, ["a", "b"], 2), (9, ["a", "b", "c", "d"], 0), (["d", "x", "a", "<s>", "<unk>"], ["a", "d", "x"], 3)],
)
def test_vocabulary(vocabulary: int | list[str], words: list[str], outside: int) -> None:
    corpus = read_corpus(["a b c d", "b a a <unk>"], vocabulary)
    assert corpus.words[3:] == words
    assert corpus.outside == outside
    assert corpus.ids.size == 12
    assert (corpus.ids == 0).sum() == outside + 1


def test_what_would_break_something_is_taken_out_and_counted(caplog) -> None:
    caplog.set_level(logging.INFO, "asr")
    corpus = read_corpus(["<s> a b </s>", "a\x00b\ta\u200e", "\x01 <s>", "", "<unk> <UNK> a\x7f"], where="t.txt")
    assert corpus_words(corpus) == ["a b", " ab a", " <unk> <unk> a"]
    assert [r.getMessage() for r in caplog.records] == [
        wording("t-txt-1-line-have"),
        wording("t-txt-3-lines-have"),
        wording("t-txt-s-or-s"),
        wording("t-txt-2-lines-without"),
        wording("t-txt-unk-stands-there"),
    ]
    check_sums(estimate_ngram(corpus))


def test_texts_that_do_not_fit_the_vocabulary(caplog) -> None:
    with pytest.raises(InputError, match=wording("t-txt-none-of-its")):
        read_corpus(["A B"], ["a", "b"], "t.txt")
    with pytest.raises(InputError, match=wording("none-of-its-words-is")):
        read_corpus(["A B"], ["c"])
    assert not caplog.records
    read_corpus(["A b c", "B"], ["b", "c", "a"])
    assert wording("50-0-of-the-words") in caplog.text
    caplog.clear()
    read_corpus(["a b c", "d"], 2)
    assert caplog.messages == [wording("text-50-0-of-the")]
    for nothing in ([], [""], ["<s>", "\x01"]):
        with pytest.raises(InputError, match=wording("text-holds-no-words-2")):
            read_corpus(nothing)
    with pytest.raises(InputError, match=wording("text-holds-no-words-but")):
        read_corpus(["<unk> <UNK>"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, wording("order-0-is-not-from")),
        ({"order": 11}, wording("order-11-is-not-from")),
        ({"cutoffs": (0, 2, 1)}, wording("cutoff-0-2-1-no")),
        ({"cutoffs": (1, 1)}, wording("cutoff-1-1-the-first")),
        ({"cutoffs": (0, 0, 0, 1)}, wording("cutoff-0-0-0-1")),
        ({"cutoffs": ()}, wording("1-to-3-numbers-are")),
        ({"cutoffs": (-1,)}, wording("none-may-be-negative")),
    ],
)
def test_options_that_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EstimateOptions(**options)


# Pruning


def plain_step(model: NgramModel, state: int, word: int) -> tuple[float, int]:
    """Probability and next state as asr.lm.ngram describes it, one by one."""
    passed = 0.0
    while True:
        begin, end = (int(model.first[state + i]) for i in (0, 1))
        node = next((j for j in range(begin, end) if model.word[j] == word), None)
        if node is not None:
            break
        passed += float(model.backoff[state])
        state = int(model.link[state])
    inner = node < len(model.backoff) and (model.first[node] < model.first[node + 1] or model.backoff[node])
    return 10 ** (passed + float(model.log_prob[node])), node if inner else int(model.link[node])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_context_probabilities_are_those_of_a_markov_chain(order: int) -> None:
    model = model_of(random_text(6, 60, 5), order=order)
    size, vocab = len(model.backoff), len(model.words)
    chain = np.zeros((size, size))
    for state, word in itertools.product(range(size), range(vocab)):
        if word != model.bos:
            prob, after = plain_step(model, state, word)
            chain[state, model.start if word == model.eos else after] += prob
    mass = np.linalg.matrix_power(chain, 200)[model.start]
    expected = mass.copy()
    for state in reversed(range(1, size)):
        expected[model.link[state]] += expected[state]
    assert context_probs(model) == pytest.approx(expected, rel=0.02, abs=1e-4)


def chained(model: NgramModel) -> np.ndarray:
    """Probabilities of contexts as SRILM has them: the product over their words, </s> for <s>.

    But kaldingram takes that of <s>, 0, where <s> is all of the context.
    """
    found = np.zeros(len(model.backoff))
    for node, words in enumerate([(), *ngrams(model)][: len(found)]):
        words = ["</s>" if w == "<s>" else w for w in words[:1]] + list(words[1:])
        starts = node and [*ngrams(model)][node - 1][0] == "<s>"
        first = 10 ** model.log_prob[1 + model.id(words[0])] if words else 1.0
        full = ["<s>", *words[1:]] if starts else words
        rest = [10**s for s, _, _ in model.full_scores(full, bos=False, eos=False)[1:]]
        found[node] = first * math.prod(rest)
    found[1 + model.bos] = 0
    return found


@pytest.mark.parametrize("threshold", [3e-4, 2e-3])
def test_kaldingram_prunes_the_same(threshold: float, tmp_path: Path) -> None:
    kaldingram = pytest.importorskip("kaldingram.prune")
    model = model_of(random_text(7, 150, 8))
    write_arpa(model, tmp_path / "lm.arpa")
    with redirect_stderr(io.StringIO()):
        (theirs,) = kaldingram.ArpaParser().loadf(tmp_path / "lm.arpa", encoding="utf-8")
        kaldingram.prune(theirs, threshold, 1)
        expected = {(*h, w): p for level in theirs._ngrams.values() for h in level for w, p in level[h].items()}
    pruned = prune(model, threshold, perplexity_changes(model, chained(model)))
    needed = set(expected)  # kaldingram leaves out what longer n-grams end with; KenLM would not read that
    for words in sorted(expected, key=len, reverse=True):
        needed |= {words[i:j] for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
    assert ngrams(pruned).keys() == needed
    assert 30 < len(expected) < 0.7 * (len(model.word) - 1)
    assert needed == set(expected) or threshold > 1e-3
    if needed != set(expected):
        return
    for line in random_text(8, 30, 8).splitlines():
        words = ("<s>", *line.split(), "</s>")
        with_context = (words[max(0, i - 2) : i + 1] for i in range(1, len(words)))
        assert pruned.score(line) == pytest.approx(sum(theirs.log_p(ngram) for ngram in with_context), abs=1e-3)


@pytest.mark.parametrize("order", [2, 3, 4, 6])
def test_pruned_models_are_whole(order: int, tmp_path: Path) -> None:
    model = model_of(random_text(9), order=order)
    before = ngrams(model)
    changes = perplexity_changes(model)
    assert (changes >= -1e-12).all()
    sizes = []
    for threshold in (1e-6, 1e-4, 1e-3, 1e-2, math.inf):
        pruned = prune(model, threshold, changes)
        after = ngrams(pruned)
        sizes.append(len(after))
        assert all(words[:-1] in after or len(words) == 1 for words in after)
        assert all(words[1:] in after or len(words) == 1 for words in after)
        if pruned.order > 1:
            write_arpa(pruned, tmp_path / "lm.arpa")
            pytest.importorskip("kenlm").Model(str(tmp_path / "lm.arpa"))  # it refuses models that lack what they need
        assert all(before[words][0] == prob for words, (prob, _) in after.items())
        assert [words for words in after if len(words) == 1] == [words for words in before if len(words) == 1]
        check_sums(pruned)
    assert len(before) >= sizes[0] > sizes[1] > sizes[2] > sizes[3] > sizes[4] == len(model.words)
    assert pruned.order == 1


def test_the_change_of_perplexity_is_what_it_is() -> None:
    """One n-gram left out, and the entropy of the model's own text measured before and after, context by context."""
    model = model_of(random_text(10, 60, 5))
    changes, contexts = perplexity_changes(model), context_probs(model)
    names = list(ngrams(model))
    for node in range(len(model.backoff), len(model.word), 7):
        words = names[node - 1]
        only = np.where(np.arange(len(changes)) == node, -1.0, 1.0)
        without = prune(model, 0.0, only)
        predicted = [w for w in model.words if w != "<s>"]
        rise = 0.0
        for w in predicted:
            p, q = (m.full_scores([*words[:-1], w], bos=False, eos=False)[-1][0] for m in (model, without))
            rise += 10**p * (p - q) * math.log(10)
        context = names.index(words[:-1]) + 1
        assert changes[node] == pytest.approx(math.expm1(contexts[context] * rise), rel=1e-2, abs=1e-7)


def test_a_number_of_ngrams_or_bytes(tmp_path: Path) -> None:
    model = model_of(random_text(11, 400))
    changes = perplexity_changes(model)
    every, words = len(model.word) - 1, len(model.words)
    for wanted in (every, every - 1, 200, 100, words + 1, words, 0):
        got = len(prune(model, threshold_for(changes, wanted), changes).word) - 1
        assert got <= max(wanted, words)
        assert got > 0.9 * wanted or wanted <= words + 1

    def size(model: NgramModel) -> int:
        save_ngram(model, tmp_path / "lm.safetensors")
        return (tmp_path / "lm.safetensors").stat().st_size

    for limit in (size(model), 8000, 5000):
        assert 0.9 * limit < size(shrink(model, limit, size)) <= limit
    assert shrink(model, 10**9, size) is model
    with pytest.raises(InputError, match=wording("the-15-words-alone-need")):
        shrink(model, 500, size)


def test_models_of_other_programs_are_pruned_too(tmp_path: Path) -> None:
    """<s> with a probability of 1, as lmplz writes it; no </s>; no <s>."""
    text = random_text(12)
    write_arpa(model_of(text), tmp_path / "lm.arpa")
    arpa = (tmp_path / "lm.arpa").read_text()
    (tmp_path / "lm.arpa").write_text(arpa.replace("-99.0\t<s>", "0\t<s>"))
    model = read_ngram(tmp_path / "lm.arpa")
    compare(prune(model, 1e-4), ngrams(prune(model_of(text), 1e-4)) | {("<s>",): ngrams(prune(model, 1e-4))[("<s>",)]})
    assert ngrams(interpolate([model, model], weights=[1, 1]).model)[("<s>",)][0] < 1e-90
    for mark, instead in (("<s>", "xx"), ("</s>", "yy")):
        (tmp_path / "lm.arpa").write_text(arpa.replace(mark, instead))
        odd = read_ngram(tmp_path / "lm.arpa")
        assert np.isfinite(context_probs(odd)).all()
        assert len(ngrams(prune(odd, 1e-4))) < len(ngrams(odd))


# Interpolation


def test_interpolated_probabilities() -> None:
    a, b = model_of(random_text(13)), model_of(random_text(14), order=2)
    assert a.words != b.words
    mixed = interpolate([a, b], weights=[0.3, 0.1])
    assert mixed.weights == pytest.approx((0.75, 0.25))
    got = ngrams(mixed.model)
    assert got.keys() == ngrams(a).keys() | ngrams(b).keys()
    for words, (prob, _) in got.items():
        if words != ("<s>",):
            p, q = (10 ** m.full_scores(words, bos=False, eos=False)[-1][0] for m in (a, b))
            assert prob == pytest.approx(0.75 * p + 0.25 * q, rel=1e-5), words
    check_sums(mixed.model)


def test_words_that_a_model_lacks_share_its_unk() -> None:
    a, b = model_of("x y x x\ny x"), model_of("x y z z\nz x\nw")
    mixed = interpolate([a, b], weights=[0.5, 0.5]).model
    # By b's unigrams: w and z have what b gives them, <unk> the least that it has in a or b.
    p, q = ({w: prob for (w, *rest), (prob, _) in ngrams(m).items() if not rest} for m in (a, b))
    unk = min(p["<unk>"], q["<unk>"])
    hidden = q["z"] + q["w"] + unk
    got = ngrams(mixed)
    assert got[("z",)][0] == pytest.approx(0.5 * p["<unk>"] * q["z"] / hidden + 0.5 * q["z"], rel=1e-5)
    assert got[("<unk>",)][0] == pytest.approx(0.5 * p["<unk>"] * unk / hidden + 0.5 * q["<unk>"], rel=1e-5)
    # z z is b's alone: a reads it as <unk> <unk>, which it backs off from.
    expected = 0.5 * p["<unk>"] * q["z"] / hidden + 0.5 * ngrams(b)[("z", "z")][0]
    assert got[("z", "z")][0] == pytest.approx(expected, rel=1e-5)
    check_sums(mixed)


def test_weights_are_the_likeliest_for_the_held_out_text() -> None:
    a, b, c = (model_of(random_text(seed)) for seed in (15, 16, 17))
    held_out = [*random_text(15, 260).splitlines()[200:], *random_text(16, 230).splitlines()[200:]]
    mixture = interpolate([a, b, c], held_out)
    assert sum(mixture.weights) == pytest.approx(1)
    assert mixture.weights[0] > mixture.weights[1] > 3 * mixture.weights[2]
    assert mixture.model.perplexity(held_out).perplexity < min(mixture.perplexities)
    assert mixture.perplexities == pytest.approx([m.perplexity(held_out).perplexity for m in (a, b, c)], rel=1e-5)

    def log_prob(weights: Sequence[float]) -> float:
        """Of the text, with the models mixed word by word."""
        scores = [[s for line in held_out for s, _, _ in m.full_scores(line)] for m in (a, b, c)]
        return sum(
            math.log(sum(w * 10**s for w, s in zip(weights, word, strict=True))) for word in zip(*scores, strict=True)
        )

    best = log_prob(mixture.weights)
    for i, j in itertools.permutations(range(3), 2):
        moved = list(mixture.weights)
        moved[i], moved[j] = moved[i] + 0.02, moved[j] - 0.02
        assert min(moved) < 0 or log_prob(moved) < best


def test_what_cannot_be_interpolated(tmp_path: Path) -> None:
    a = model_of("a b")
    with pytest.raises(InputError, match=wording("two-models-or-more")):
        interpolate([a], ["a"])
    for weights in ([0, 0], [1], [1, -1], [math.nan, 1], [math.inf, 1]):
        with pytest.raises(InputError, match=wording("weights-2-numbers-are-needed")):
            interpolate([a, a], weights=weights)
    for text in ([], ["x y"]):
        with pytest.raises(InputError, match=wording("h-txt-none-of-its")):
            interpolate([a, a], text, where="h.txt")
    with pytest.raises(InputError, match="neither"):
        interpolate([a, a])
    write_arpa(a, tmp_path / "a.arpa")
    (tmp_path / "a.arpa").write_text((tmp_path / "a.arpa").read_text().replace("</s>", "c"))
    with pytest.raises(InputError, match=wording("some-of-the-models-have")):
        interpolate([a, read_ngram(tmp_path / "a.arpa")], ["a"])


def test_a_model_taken_apart_and_put_together() -> None:
    model = model_of(random_text(18), order=4)
    again = join_levels(model.words, split_levels(model))
    for name in ("word", "log_prob", "link", "first", "backoff"):
        assert np.array_equal(getattr(model, name), getattr(again, name)), name


# Beside another program


@pytest.fixture(scope="module")
def zipfian() -> tuple[list[str], list[str]]:
    """Text with many rare words, of a source that remembers two words; and some held out whose words are all known."""
    rng = np.random.default_rng(1)
    words = np.array([f"w{i}" for i in range(1500)])
    common = 1 / np.arange(1, 1501)
    lines = []
    for _ in range(5000):
        line = [0, 0]
        for _ in range(int(rng.integers(3, 12))):
            likely = np.random.default_rng((line[-2] % 30, line[-1])).integers(0, 1500, 6)
            line.append(
                int(rng.choice(likely)) if rng.random() < 0.6 else int(rng.choice(1500, p=common / common.sum()))
            )
        lines.append(" ".join(words[line[2:]]))
    known = {w for line in lines[:4500] for w in line.split()}
    return lines[:4500], [line for line in lines[4500:] if known.issuperset(line.split())]


@pytest.mark.slow
def test_better_than_plain_kneser_ney(zipfian: tuple[list[str], list[str]], tmp_path: Path) -> None:
    kaldingram = pytest.importorskip("kaldingram.train")
    text, held_out = zipfian
    (tmp_path / "text").write_text("\n".join(text) + "\n")
    with redirect_stderr(io.StringIO()):
        kaldingram.main(["--ngram-order", "3", "--text", str(tmp_path / "text"), "--lm", str(tmp_path / "lm.arpa")])
    theirs = read_ngram(tmp_path / "lm.arpa").perplexity(held_out).perplexity
    ours = estimate_ngram(read_corpus(text)).perplexity(held_out)
    assert ours.unknown == 0
    assert 0.8 * theirs < ours.perplexity < 1.005 * theirs
