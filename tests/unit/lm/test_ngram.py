"""N-gram models against KenLM, against plain back-off over a dictionary, and against files that lie."""

from __future__ import annotations

import gzip
import json
import logging
import lzma
import math
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from wording import wording

from asr.lm import binary, lines, ngram
from asr.lm.arpa import write_arpa
from asr.lm.binary import write_binary
from asr.lm.build import NgramTable, build_ngram
from asr.lm.files import read_ngram, save_ngram, written_size
from asr.lm.lines import read_sentences
from asr.lm.ngram import NgramModel
from asr.utils.errors import InputError

ARPA = """\
made by hand

\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.7\ta\t-0.3
-0.8\tb\t0.1
-0.9\t</s>

\\2-grams:
-0.2\t<s> a\t-0.4
-0.3\ta b\t-0.2
-0.6\tb a
-0.25\tb </s>

\\3-grams:
-0.1\t<s> a b
-0.15\ta b a

\\end\\
"""
ARRAYS = ("word", "log_prob", "link", "first", "backoff")
Table = dict[tuple[str, ...], tuple[float, float | None]]


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA)
    return path


def step(model: NgramModel, state: int, word: int) -> tuple[float, int]:
    """One look-up as the module describes it: log10 probability and the state after it. Every access is checked."""

    def at(array: Any, i: int) -> Any:
        assert 0 <= i < len(array)
        return array[i]

    score, passed = 0.0, 0
    while True:
        begin, end = int(at(model.first, state)), int(at(model.first, state + 1))
        assert 0 <= begin <= end <= len(model.word)
        found = [j for j in range(begin, end) if model.word[j] == word] if state else [1 + word]
        if found:
            break
        score += float(at(model.backoff, state))
        state = int(at(model.link, state))
        passed += 1
        assert passed <= model.order
    (node,) = found
    score += float(at(model.log_prob, node))
    is_state = node < len(model.backoff) and (model.first[node] < model.first[node + 1] or model.backoff[node] != 0)
    return score, node if is_state else int(at(model.link, node))


def same(a: NgramModel, b: NgramModel) -> bool:
    return (
        a.order == b.order and a.words == b.words and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ARRAYS)
    )


# Scores


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "a b a b",
            [
                (-0.2, 2),  # <s> a
                (-0.1, 3),  # <s> a b
                (-0.15, 3),  # a b a
                (-0.3, 2),  # b a has no weight: 0, then a b
                (-0.2 - 0.25, 2),  # a b backs off to b </s>
            ],
        ),
        ("a x b", [(-0.2, 2), (-0.4 - 0.3 - 1.0, 1), (-0.8, 1), (-0.25, 2)]),
        ("", [(-0.5 - 0.9, 1)]),
        ("b b", [(-0.5 - 0.8, 1), (0.1 - 0.8, 1), (-0.25, 2)]),
    ],
)
def test_scores_computed_by_hand(arpa: Path, sentence: str, expected: list[tuple[float, int]]) -> None:
    model = read_ngram(arpa)
    got = model.full_scores(sentence)
    assert [length for _, length, _ in got] == [length for _, length in expected]
    assert [score for score, _, _ in got] == pytest.approx([score for score, _ in expected], abs=1e-6)
    assert [unknown for _, _, unknown in got] == [word == "x" for word in sentence.split()] + [False]
    assert model.score(sentence) == pytest.approx(sum(score for score, _ in expected), abs=1e-6)
    assert model.score(sentence.split()) == model.score(sentence)


def test_without_sentence_marks(arpa: Path) -> None:
    model = read_ngram(arpa)
    assert model.full_scores("a b", bos=False, eos=False) == [
        (pytest.approx(-0.7), 1, False),
        (pytest.approx(-0.3), 2, False),
    ]
    assert model.score("a", eos=False) == pytest.approx(-0.2)
    assert model.score("a", bos=False) == pytest.approx(-0.7 - 0.3 - 0.9)
    assert model.score("", bos=False, eos=False) == 0
    assert model.full_scores("", eos=False) == []


def test_the_arrays_of_a_model(arpa: Path) -> None:
    model = read_ngram(arpa)
    assert model.order == 3
    assert model.counts == [5, 4, 2]
    assert model.words == ["<unk>", "<s>", "a", "b", "</s>"]
    assert (model.unk, model.bos, model.eos, model.start) == (0, 1, 4, 2)
    # 0 root; 1 <unk>, 2 <s>, 3 a, 4 b, 5 </s>; 6 <s>a, 7 ab, 8 ba, 9 b</s>; 10 <s>ab, 11 aba
    assert model.word.tolist() == [-1, 0, 1, 2, 3, 4, 2, 3, 2, 4, 3, 2]
    assert model.first.tolist() == [1, 6, 6, 7, 8, 10, 10, 11, 12, 12, 12]
    assert model.is_state.tolist() == [True, False, True, True, True, False, True, True, False, False]
    # "b a" is no state itself, so "a b a" leads to "a"
    assert model.link.tolist() == [0, 0, 0, 0, 0, 0, 3, 4, 3, 0, 7, 3]
    assert [getattr(model, name).dtype for name in ARRAYS] == [np.int32, np.float32, np.int32, np.int32, np.float32]
    with pytest.raises(ValueError, match="read-only"):
        model.word[0] = 0


def random_table(seed: int, *, closed: bool = False, contexts: bool = True, order: int | None = None) -> Table:
    """A model with holes: n-gram -> (log10 probability, back-off weight), by order.

    Args:
        closed: With an n-gram its suffix is listed too.
        contexts: With an n-gram its context is listed too.
    """
    rng = np.random.default_rng(seed)
    order = order or int(rng.integers(1, 7))
    words = ["<unk>", "<s>", "</s>", *"abcde"[: rng.integers(1, 6)]]
    rng.shuffle(words)
    table: Table = {(word,): (0.0, 0.0) for word in words}
    for _ in range(int(rng.integers(0, 25))):
        n = int(rng.integers(1, order + 1))
        inner = rng.choice([w for w in words if w not in ("<s>", "</s>")], n).tolist()
        if rng.random() < 0.3:
            inner[0] = "<s>"
        elif rng.random() < 0.3:
            inner[-1] = "</s>"
        table[tuple(inner)] = (0.0, 0.0)
    done = False
    while not done:
        needed = {g[:-1] for g in table if contexts and len(g) > 1} | {g[1:] for g in table if closed and len(g) > 1}
        done = needed <= table.keys()
        table.update(dict.fromkeys(needed - table.keys(), (0.0, 0.0)))
    highest = max(map(len, table))
    begins = {g[:-1] for g in table}
    rows: list[tuple[tuple[str, ...], tuple[float, float | None]]] = []
    for gram in table:
        # Some are above 0, but never together above 1: KenLM cannot hold what would be a log probability above 0.
        weight: float | None = round(min(float(rng.normal(-0.3, 0.4)), 0.2), 4)
        if rng.random() < 0.4:
            weight = 0.0 if gram in begins or rng.random() < 0.5 else None
        rows.append((gram, (-round(1 + float(rng.exponential(1.0)), 4), None if len(gram) == highest else weight)))
    rng.shuffle(rows)  # type: ignore[arg-type]
    return dict(sorted(rows, key=lambda row: len(row[0])))


def with_room(table: Table) -> Table:
    """More of each order: KenLM's hash tables have room for missing suffixes in proportion to their size."""
    order = max(map(len, table))
    more: Table = {(f"w{i}",) * n: (-1.0, -0.5 if n < order else None) for i in range(120) for n in range(1, order + 1)}
    return {**table, **more}


def arpa_text(table: Table) -> str:
    order = max(map(len, table))
    levels = [{gram: row for gram, row in table.items() if len(gram) == n} for n in range(1, order + 1)]
    lines = ["\\data\\", *(f"ngram {n}={len(level)}" for n, level in enumerate(levels, 1)), ""]
    for n, level in enumerate(levels, 1):
        lines.append(f"\\{n}-grams:")
        for gram, (log_prob, weight) in level.items():
            lines.append(f"{log_prob}\t{' '.join(gram)}" + ("" if weight is None else f"\t{weight}"))
        lines.append("")
    return "\n".join([*lines, "\\end\\", ""])


def plain_back_off(table: Table, context: tuple[str, ...], word: str) -> float:
    """p(word | context) by the book."""
    gram = (*context, word)
    if gram in table:
        return table[gram][0]
    return (table.get(context, (0.0, None))[1] or 0.0) + plain_back_off(table, context[1:], word)


def random_sentences(seed: int, table: Table) -> list[list[str]]:
    rng = np.random.default_rng(seed + 1)
    words = [*(gram[0] for gram in table if len(gram) == 1 and gram[0] not in ("<s>", "</s>")), "unheard"]
    return [rng.choice(words, rng.integers(0, 9)).tolist() for _ in range(6)]


def expected_scores(table: Table, sentence: list[str]) -> list[float]:
    order = max(map(len, table))
    words = ["<s>", *(word if (word,) in table else "<unk>" for word in sentence), "</s>"]
    return [plain_back_off(table, tuple(words[max(0, i - order + 1) : i]), words[i]) for i in range(1, len(words))]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.booleans())
def test_random_models_back_off_by_the_book(seed: int, closed: bool, contexts: bool) -> None:
    table = random_table(seed, closed=closed, contexts=contexts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lm.arpa"
        path.write_text(arpa_text(table))
        model = read_ngram(path)
    total = count = 0.0
    for sentence in random_sentences(seed, table):
        expected = expected_scores(table, sentence)
        assert [score for score, _, _ in model.full_scores(sentence)] == pytest.approx(expected, abs=1e-4)
        state, stepped = model.start, []
        for word in [*map(model.id, sentence), model.eos]:
            score, state = step(model, state, word)
            stepped.append(score)
        assert stepped == pytest.approx(expected, abs=1e-4)
        total += sum(expected)
        count += len(expected)
    result = model.perplexity(random_sentences(seed, table))
    assert result.perplexity == pytest.approx(10 ** (-total / count), rel=1e-3)


def load_kenlm(path: Path) -> Any:
    kenlm = pytest.importorskip("kenlm")
    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    return kenlm.Model(str(path), config)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.integers(2, 6))
def test_random_models_score_as_kenlm(seed: int, closed: bool, order: int) -> None:
    kenlm = pytest.importorskip("kenlm")
    table = random_table(seed, closed=closed, order=order)
    if max(map(len, table)) == 1:  # KenLM takes no unigram model
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lm.arpa"
        path.write_text(arpa_text(with_room(table)))
        model, witness = read_ngram(path), load_kenlm(path)
    partners: dict[int, Any] = {}
    for sentence in random_sentences(seed, table):
        expected = list(witness.full_scores(" ".join(sentence)))
        got = model.full_scores(" ".join(sentence))
        assert [score for score, _, _ in got] == pytest.approx([score for score, _, _ in expected], abs=1e-4)
        assert [unknown for _, _, unknown in got] == [unknown for _, _, unknown in expected]
        if closed:  # KenLM adds suffixes that are missing, and counts them as found
            assert [length for _, length, _ in got] == [length for _, length, _ in expected]
        state, theirs = model.start, kenlm.State()
        witness.BeginSentenceWrite(theirs)
        for word in sentence:
            after = kenlm.State()
            expected_score = witness.BaseScore(theirs, word, after)
            score, state = step(model, state, model.id(word))
            theirs = after
            assert score == pytest.approx(expected_score, abs=1e-4)
            # One state of ours is one of theirs, and two are two. (The suffixes they add make more states.)
            assert not closed or partners.setdefault(state, theirs) == theirs
    assert len(partners) == len(set(partners.values()))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_contexts_inserted_score_as_kenlm(seed: int) -> None:
    """KenLM refuses the model as it is, and takes it as we write it."""
    table = random_table(seed, contexts=False, order=4)
    if max(map(len, table)) == 1:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lm.arpa"
        path.write_text(arpa_text(with_room(table)))
        model = read_ngram(path)
        write_arpa(model, path)
        witness = load_kenlm(path)
        assert same(read_ngram(path), model)
    for sentence in random_sentences(seed, table):
        assert model.score(sentence) == pytest.approx(witness.score(" ".join(sentence)), abs=1e-4)


def test_a_context_that_is_not_listed(tmp_path: Path) -> None:
    text = ARPA.replace("-0.3\ta b\t-0.2\n", "").replace("ngram 2=4", "ngram 2=3")
    (tmp_path / "lm.arpa").write_text(text)
    model = read_ngram(tmp_path / "lm.arpa")
    assert model.counts == [5, 4, 2]
    assert model.score("a b", bos=False, eos=False) == pytest.approx(-0.7 - 0.3 - 0.8)
    assert model.full_scores("a b a", bos=False, eos=False)[2] == (pytest.approx(-0.15), 3, False)


def test_an_inserted_probability_is_none_above_one(tmp_path: Path) -> None:
    """Back-off weights above 1 may lead there; the model has to be one that can be saved and loaded."""
    text = ARPA.replace("-0.3\ta b\t-0.2\n", "").replace("ngram 2=4", "ngram 2=3").replace("a\t-0.3", "a\t3")
    (tmp_path / "lm.arpa").write_text(text)
    model = read_ngram(tmp_path / "lm.arpa")
    assert model.score("a b", bos=False, eos=False) == pytest.approx(-0.7)
    write_binary(model, tmp_path / "lm")
    assert same(read_ngram(tmp_path / "lm"), model)


def test_an_order_without_n_grams(tmp_path: Path) -> None:
    text = ARPA.replace("2=4", "2=0").replace("3=2", "3=0")
    text = "\n".join(line for line in text.split("\n") if line.count(" ") == 0 or line.startswith("ngram"))
    (tmp_path / "lm.arpa").write_text(text)
    model = read_ngram(tmp_path / "lm.arpa")
    assert model.counts == [5, 0, 0]
    assert model.score("a b") == pytest.approx(-0.5 - 0.7 - 0.3 - 0.8 + 0.1 - 0.9)
    write_binary(model, tmp_path / "lm")
    assert same(read_ngram(tmp_path / "lm"), model)
    (tmp_path / "lm.arpa").write_text(text.replace("3=0", "3=1").replace("\\3-grams:", "\\3-grams:\n-0.1 a b a"))
    model = read_ngram(tmp_path / "lm.arpa")
    assert model.counts == [5, 1, 1]
    assert model.full_scores("a b a", bos=False)[2] == (pytest.approx(-0.1), 3, False)


# Perplexity


@pytest.mark.parametrize("batch", [1, 3, 1 << 20])
def test_perplexity(arpa: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(ngram, "_BATCH", batch)
    model = read_ngram(arpa)
    sentences = ["a b", "x a", ["b"], "", "a"]
    result = model.perplexity(sentences)
    assert (result.sentences, result.words, result.unknown, result.ends) == (5, 6, 1, 5)
    total = sum(model.score(s) for s in sentences)
    assert result.log_prob == pytest.approx(total)
    assert result.log_prob_unknown == pytest.approx(-0.5 - 1.0)
    assert result.perplexity == pytest.approx(10 ** (-total / 11))
    assert result.perplexity_known == pytest.approx(10 ** (-(total + 1.5) / 10))


def test_perplexity_of_nothing_and_of_the_impossible(arpa: Path, tmp_path: Path) -> None:
    assert math.isnan(read_ngram(arpa).perplexity([]).perplexity)
    arpa.write_text(ARPA.replace("-1.0\t<unk>", "-1e30\t<unk>"))
    result = read_ngram(arpa).perplexity(["x x"])
    assert result.perplexity == 1e308
    assert math.isfinite(result.perplexity_known)


# Vocabulary


def unigrams(*rows: str) -> str:
    return "\n".join(["\\data\\", f"ngram 1={len(rows)}", "", "\\1-grams:", *rows, "", "\\end\\", ""])


def test_unknown_words_of_a_model_without_unk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "lm.arpa"
    text = ARPA.replace("made by hand\n", "")  # KenLM wants none of that
    path.write_text(text.replace("-1.0\t<unk>\n", "").replace("ngram 1=5", "ngram 1=4"))
    with caplog.at_level(logging.WARNING):
        model = read_ngram(path)
    assert len(caplog.records) == 1
    assert "lm.arpa" in caplog.text
    assert model.words[model.unk] == "<unk>"
    assert model.score("x", bos=False, eos=False) == -100
    witness = load_kenlm(path)
    for sentence in ("x", "a x b", "a b x a b"):
        assert model.score(sentence) == pytest.approx(witness.score(sentence), abs=1e-4)


def test_unk_in_capitals(arpa: Path) -> None:
    text = ARPA.replace("<unk>", "<UNK>").replace("-0.6\tb a", "-0.6\tb <unk>")
    arpa.write_text(text.replace("-0.15\ta b a", "-0.15\ta b <UNK>"))
    model = read_ngram(arpa)
    assert model.id("<unk>") == model.id("<UNK>") == model.id("x") == model.unk == 0
    assert model.words[0] == "<UNK>"
    assert model.full_scores("a b x")[2] == (pytest.approx(-0.15), 3, True)
    write_binary(model, arpa)
    assert read_ngram(arpa).unk == 0


def test_a_model_without_sentence_marks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "lm.arpa").write_text(unigrams("-1 <unk>", "-0.5 a"))
    model = read_ngram(tmp_path / "lm.arpa")
    assert "<s>" in caplog.text
    assert (model.bos, model.eos, model.start) == (-1, -1, 0)
    assert model.score("a x") == pytest.approx(-1.5)
    result = model.perplexity(["", "a x", "a", ""])
    assert (result.sentences, result.words, result.ends) == (4, 3, 0)
    assert result.perplexity == pytest.approx(10 ** (2 / 3))
    assert math.isnan(model.perplexity(["", ""]).perplexity)


def test_only_ascii_white_space_separates_words(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text(unigrams("-1 <unk>", "-0.5\t10\u00a0000\t0", "-0.6 a\u3000b", "-0.7  c\x1cd ", "-0.8\x0c日本"))
    model = read_ngram(path)
    assert model.words == ["<unk>", "10\u00a0000", "a\u3000b", "c\x1cd", "日本"]
    got = model.full_scores("10\u00a0000\ta\u3000b  c\x1cd\n日本 ")
    assert [score for score, _, _ in got] == pytest.approx([-0.5, -0.6, -0.7, -0.8])
    write_binary(model, path)
    assert read_ngram(path).words == model.words


# Files


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([".arpa", ".arpa.gz", ".arpa.xz"]))
def test_arpa_to_binary_to_arpa(seed: int, suffix: str) -> None:
    table = random_table(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lm.arpa").write_text(arpa_text(table))
        model = read_ngram(folder / "lm.arpa")
        save_ngram(model, folder / "lm.safetensors")
        loaded = read_ngram(folder / "lm.safetensors")
        assert same(loaded, model)
        write_arpa(loaded, folder / f"again{suffix}")
        again = read_ngram(folder / f"again{suffix}")
        assert again.words == model.words
        assert same(again, model)
        save_ngram(again, folder / "again.safetensors")
        assert (folder / "again.safetensors").read_bytes() == (folder / "lm.safetensors").read_bytes()


def test_numbers_are_written_so_that_they_are_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 2000
    log_probs = -np.exp(rng.normal(0, 8, n)).astype(np.float32)
    log_probs[:3] = 0, -99, np.finfo(np.float32).min
    table = NgramTable(np.arange(n, dtype=np.int32)[:, None], log_probs, -log_probs)
    none = NgramTable(np.zeros((0, 2), np.int32), log_probs[:0], log_probs[:0])
    model = build_ngram(["<unk>", *map(str, range(1, n))], [table, none])
    write_arpa(model, tmp_path / "lm.arpa")
    assert same(read_ngram(tmp_path / "lm.arpa"), model)


def test_what_is_written_is_an_arpa_file_of_the_usual_form(arpa: Path, tmp_path: Path) -> None:
    write_arpa(read_ngram(arpa), tmp_path / "lm.arpa.gz")
    packed = (tmp_path / "lm.arpa.gz").read_bytes()
    assert gzip.decompress(packed).decode() == ARPA.replace("made by hand\n\n", "").replace("-99\t", "-99.0\t")
    write_arpa(read_ngram(arpa), tmp_path / "again.arpa.gz")
    assert (tmp_path / "again.arpa.gz").read_bytes() == packed  # no time, no name
    write_arpa(read_ngram(arpa), tmp_path / "lm.arpa.xz")
    assert lzma.decompress((tmp_path / "lm.arpa.xz").read_bytes()) == gzip.decompress(packed)


def test_other_programs_read_the_binary(arpa: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model = read_ngram(arpa)
    write_binary(model, tmp_path / "lm")
    arrays = load_file(tmp_path / "lm")
    for name in ARRAYS:
        assert np.array_equal(arrays[name], getattr(model, name))
    assert arrays["words"].tobytes() == b"<unk><s>ab</s>"
    assert arrays["word_offsets"].tolist() == [0, 5, 8, 9, 10, 14]


def test_the_binary_is_mapped_not_copied(arpa: Path, tmp_path: Path) -> None:
    import mmap

    write_binary(read_ngram(arpa), tmp_path / "lm")
    model = read_ngram(tmp_path / "lm")
    for name in ARRAYS:
        base = getattr(model, name)
        assert not base.flags.writeable
        assert base.flags.aligned
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base, mmap.mmap | memoryview)


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress, lzma.compress])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_packed_by_content_in_pieces_of_any_size(
    tmp_path: Path, arpa: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], ends: str, chunk: int
) -> None:
    expected = read_ngram(arpa)
    monkeypatch.setattr(lines, "_CHUNK", chunk)
    (tmp_path / "any.name").write_bytes(pack(ARPA.rstrip("\n").replace("\n", ends).encode()))
    assert same(read_ngram(tmp_path / "any.name"), expected)


def test_harmless_variants(tmp_path: Path, arpa: Path) -> None:
    expected = read_ngram(arpa)
    text = "\ufeff" + ARPA.replace("made by hand\n\n", "").replace("\t", "   ").replace("\n\n", "\n \n\n")
    text = text.replace("\\3-grams:", "\\3-grams: ").replace("ngram 1=5", "ngram  1 = 5") + "\nafterwards\n"
    text = text.replace("-0.15   a b a", " -1.5e-1 a b a 0")
    (tmp_path / "lm").write_text(text)
    assert same(read_ngram(tmp_path / "lm"), expected)
    (tmp_path / "lm").write_text(ARPA.replace("\n\n", "\n"))
    assert same(read_ngram(tmp_path / "lm"), expected)


@pytest.mark.parametrize(
    ("changes", "same_as", "told"),
    [
        # what other programs write, what of ours is the same, what is told
        ([("-0.7\ta", "\n-0.7\ta"), ("-0.8\tb", "\n \r\n-0.8\tb"), ("-0.15\ta b a\n", "-0.15\ta b a\n\n\n")], [], ""),
        ([("a\t-0.3", "a")], [("a\t-0.3", "a\t0")], "line 11: 'a' "),
        ([("-0.3\ta b\t-0.2", "-0.3\ta b")], [("-0.3\ta b\t-0.2", "-0.3\ta b\t0")], "line 17: 'a b' "),
        ([("-0.7\ta", "-inf\ta"), ("b\t0.1", "b\t-Infinity")], [("-0.7\ta", "-99\ta"), ("b\t0.1", "b\t-99")], ": -inf"),
        ([("<s>", "<S>"), ("</s>", "</S>")], [], "<S>"),
        ([("<unk>", "<UNKNOWN>")], [], "<UNKNOWN>"),
        ([("ngram 3=2", "ngram 3=2\nngram 4=0")], None, ""),
        ([("\\end\\\n", "\\end\\\n\n\\data\\\n")], [], "\\end\\"),
    ],
    ids=range(8),
)
def test_what_other_programs_write(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: list, same_as: list | None, told: str
) -> None:
    def changed(pairs: list[tuple[str, str]]) -> str:
        text = ARPA
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        return text

    path = tmp_path / "lm.arpa"
    path.write_text(changed(changes))
    model = read_ngram(path)
    assert told in caplog.text if told else not caplog.records
    path.write_text(changed(same_as or []))
    expected = read_ngram(path)
    if same_as is None:
        assert (model.counts, model.score("a b a b")) == ([*expected.counts, 0], expected.score("a b a b"))
    else:
        assert same(model, expected)


KINDS = {
    "KenLM": b"mmap lm http://kheafield.com/code format version 5\n\0\0",
    "SRILM": b"SRILM_BINARY_NGRAM_002\n",
    "IRSTLM": b"blmt 3 5 8 7\n",
    "iARPA": b"\niARPA\n\n\\data\\\nngram 1= 5\n",
    "qARPA": b"qARPA 3 256 256 256\n\\data\\\n",
    "CMU Sphinx": b"Trie Language Model\0\3",
    "DMP": struct.pack("<i", 17) + b"Darpa Trigram LM\0",
    "Julius": b"julius_bingram_v5\0",
    "OpenFst": b"\xd6\xfd\xb2\x7e\6\0\0\0vector",
    "G.carpa": b"\0B<ConstArpaLm> \4",
    "RNNLM": b"version: 10\nfile format: 0\n\ntraining data file: x\n",
    "SentencePiece": b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\2\n\x0c\n\x03<s>",
    "PyTorch": b"PK\3\4\0\0",
    "pickle": b"\x80\2}q\0",
    "bzip2": b"BZh91AY&SY",
    "LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "web page": b"<!DOCTYPE html>\n<html>",
    "UTF-16": "\\data\\".encode("utf-16"),
    "counts": b"a\t12\na b\t7\n",
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", KINDS)
def test_models_of_other_programs_are_refused_by_name(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "lm"
    path.write_bytes(pack(KINDS[name]))
    with pytest.raises(InputError) as error:
        read_ngram(path)
    assert str(error.value).startswith(str(path))
    assert name in str(error.value)
    assert "; " in str(error.value)  # a remedy


BAD = [
    # (what is replaced, by what, the line that is named, words of the message)
    ("\\data\\\n", "", 24, "without .data."),
    ("ngram 1=5\n", "", 4, "order 2 has to be 1"),
    ("ngram 2=4\n", "ngram 2=four\n", 5, "ngram N=COUNT"),
    ("ngram 2=4\n", "ngram 2=4\nngram 2=4\n", 6, "order 2 has to be 3"),
    ("ngram 1=5\nngram 2=4\nngram 3=2\n", "", 5, "no words"),
    ("ngram 1=5\n", "ngram 1=0\n", 8, "no words"),
    ("ngram 3=2\n", "ngram 3=2\n" + "".join(f"ngram {n}=1\n" for n in range(4, 12)), 14, "at most 10"),
    ("ngram 1=5\n", "ngram 1=999999999999999999\n", 15, "ends here after 5 of 999,999,999,999,999,999"),
    ("ngram 1=5\n", "ngram 1=9" + "9" * 5000 + "\n", 4, "ngram N=COUNT"),
    ("ngram 2=4\n", "ngram 2=5\n", 21, "2-grams: ends here after 4 of 5"),
    ("ngram 2=4\n", "ngram 2=3\n", 19, "more n-grams than the 3"),
    ("ngram 3=2\n", "ngram 3=3\n", 25, "3-grams: ends here after 2 of 3"),
    ("ngram 3=2\n", "ngram 3=1\n", 23, "more n-grams than the 1"),
    ("ngram 3=2\n", "", 15, "back-off weight -0.4, which an n-gram of the highest order"),
    ("\\end\\\n", "\\4-grams:\n\\end\\\n", 25, "end. has to stand here, not '.*4-grams:'"),
    ("\\2-grams:\n", "", 15, "1-grams: holds more n-grams than the 5"),
    ("\\2-grams:", "\\3-grams:", 15, "2-grams: has to stand here, not '.*3-grams"),
    ("\\end\\\n", "", 24, "ends here without .end., after 2 of 2"),
    ("\n\\end\\\n", "", 23, "ends here without .end., after 2 of 2"),
    ("-0.15\ta b a\n\n\\end\\\n", "", 22, "ends here without .end., after 1 of 2"),
    ("-0.7\ta\t-0.3", "-0.7", 11, "has 1 fields"),
    ("-0.7\ta\t-0.3", "-0.7 a -0.3 4", 11, "has 4 fields.*1-grams.*perhaps a back-off"),
    ("-0.6\tb a", "-0.6\tb", 18, "has 2 fields.*2-grams.*2 words"),
    ("-0.15\ta b a", "-0.15\ta b a b b", 23, "has 6 fields.*nothing more"),
    ("-0.15\ta b a", "-0.15\ta b a\t-0.1", 23, "back-off weight -0.1, which an n-gram of the highest"),
    ("-0.7\ta", "NaN\ta", 11, "'NaN' is not a number"),
    ("-0.7\ta", "inf\ta", 11, "'inf' is not a number"),
    ("-0.7\ta", "-1e39\ta", 11, "'-1e39' is not a number"),
    ("-0.7\ta", "-0,7\ta", 11, "'-0,7' is not a number"),
    ("-0.7\ta", "-1_0\ta", 11, "'-1_0' is not a number"),
    ("b\t0.1", "b\tnan", 12, "'nan' is not a number"),
    ("-0.3\ta b\t-0.2", "-0.3\ta b\tx", 17, "'x' is not a number"),
    ("-0.7\ta", "0.7\ta", 11, "0.7 is positive"),
    ("-0.15\ta b a", "0.001\ta b a", 23, "0.001 is positive"),
    ("-0.8\tb", "-0.8\ta", 12, "'a' stands there twice"),
    ("-0.25\tb </s>", "-0.25\ta b", 19, "'a b' stands there twice"),
    ("-0.15\ta b a", "-0.15\t<s> a b", 23, "'<s> a b' stands there twice"),
    ("-0.8\tb", "-0.8\t<UNK>", 8, "both <unk> and <UNK>"),
    ("-0.6\tb a", "-0.6\tb c", 18, "word 'c' is not among the unigrams"),
    ("-0.15\ta b a", "-0.15\tc b a", 23, "word 'c' is not among the unigrams"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("chunk", [16, 1 << 20])
def test_bad_arpa_files_are_named_with_their_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, line: int, message: str, chunk: int
) -> None:
    monkeypatch.setattr(lines, "_CHUNK", chunk)
    assert old in ARPA
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA.replace(old, new, 1))
    where = "" if "<UNK>" in message else f", line {line}"
    with pytest.raises(InputError, match=wording("lm-arpa", where, message)):
        read_ngram(path)


def test_words_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_bytes(ARPA.encode().replace(b"-0.8\tb", b"-0.8\tb\xe4"))
    with pytest.raises(InputError, match=wording("line-12-xe4-is-not")):
        read_ngram(path)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_packed_files_that_are_cut_short_or_damaged(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    rng = np.random.default_rng(0)
    words = [f"w{rng.integers(10**9)}" for _ in range(3000)]
    whole = compress(unigrams("-1 <unk>", *(f"-{i}.5 {word}" for i, word in enumerate(words))).encode())
    path = tmp_path / "lm"
    path.write_bytes(whole)
    assert len(read_ngram(path).words) == 3001
    for keep in (7, 30, len(whole) // 2, len(whole) - 20, len(whole) - 3):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match=wording("line-cut-short-or-damaged")):
            read_ngram(path)
    for at in (len(whole) // 2, len(whole) - 6):  # within the data; within the checksum
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with pytest.raises(InputError, match="lm"):
            read_ngram(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("no-such-file")):
        read_ngram(tmp_path / "nowhere")
    with pytest.raises(InputError, match=wording("cannot-be-read-is-a")):
        read_ngram(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match=wording("is-empty")):
        read_ngram(tmp_path / "empty")
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(InputError, match=wording("not-an-arpa-file")):
        read_ngram(tmp_path / "noise")


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_MAX_LINE", 1000)
    monkeypatch.setattr(lines, "_CHUNK", 100)
    (tmp_path / "lm").write_text("first\n" + "x" * 5000)
    with pytest.raises(InputError, match=wording("line-2-is-longer-than")):
        read_ngram(tmp_path / "lm")


# Binary files from strangers


def parts(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            arrays[name] = np.frombuffer(body[begin:end], binary._TYPES[entry["dtype"]]).copy()
    return header["__metadata__"], arrays


def write(path: Path, about: dict[str, Any], arrays: dict[str, Any], shift: int = 0) -> None:
    kinds = {dtype: kind for kind, dtype in binary._TYPES.items()} | {np.dtype("f8"): "F64"}
    header, body = {"__metadata__": about}, b"\0" * shift
    for name, array in arrays.items():
        header[name] = {
            "dtype": kinds[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + array.nbytes],
        }
        body += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def set_item(name: str, at: int, value: float) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays[name].__setitem__(at, value)


def replace(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.__setitem__(name, change(arrays[name]))


HOSTILE = [
    (replace("word", lambda a: a[:-1]), "same length"),
    (replace("link", lambda a: a[:-1]), "same length"),
    (replace("log_prob", lambda a: a[:-1]), "same length"),
    (replace("backoff", lambda a: a[:-1]), "same length"),
    (replace("first", lambda a: a[:-1]), "same length"),
    (replace("backoff", lambda a: a[:0]), "same length"),
    (replace("log_prob", lambda a: a.astype("f8")), "log_prob is cut short or not of its type"),
    (replace("link", lambda a: a.view(np.float32)), "link is cut short or not of its type"),
    (replace("link", lambda a: a.reshape(2, -1)), "link is cut short or not of its type"),
    (set_item("first", 0, 0), "children"),
    (set_item("first", -1, 13), "children"),
    (set_item("first", 3, 12), "children"),
    (set_item("first", 3, -1), "children"),
    (lambda a: a["first"].__setitem__(slice(1, 10), 12), "orders"),  # unigrams only
    (lambda a: a["first"].__setitem__(slice(1, 6), 7), "orders"),  # one unigram too many
    (lambda a: a.update(word_offsets=a["word_offsets"][:-1], words=a["words"][:-4]), "unigrams"),
    (set_item("word", 0, 0), "unigrams"),
    (set_item("word", 2, 2), "unigrams"),
    (set_item("word", 9, 5), "vocabulary"),
    (set_item("word", 9, -1), "vocabulary"),
    (set_item("word", 8, 4), "not sorted"),  # twice the same
    (lambda a: a["word"].__setitem__([8, 9], [4, 2]), "not sorted"),
    (set_item("log_prob", 7, np.nan), "probabilities"),
    (set_item("log_prob", 7, -np.inf), "probabilities"),
    (set_item("log_prob", 7, 0.1), "probabilities"),
    (set_item("backoff", 7, np.inf), "probabilities"),
    (set_item("backoff", 0, -1), "probabilities"),
    (set_item("link", 0, 3), "links"),
    (set_item("link", 3, 3), "links"),
    (set_item("link", 3, 2), "links"),  # a unigram's is the root
    (set_item("link", 7, 6), "links"),  # of its own order
    (set_item("link", 10, 9), "links"),  # which is no state
    (set_item("link", 10, 10), "links"),
    (set_item("link", 10, 1000), "links"),
    (set_item("link", 10, -1), "links"),
    (set_item("word_offsets", 0, 1), "bounds of its words"),
    (set_item("word_offsets", -1, 13), "bounds of its words"),
    (set_item("word_offsets", -1, 1 << 40), "bounds of its words"),
    (set_item("word_offsets", 2, 5), "bounds of its words"),  # an empty word
    (replace("word_offsets", lambda a: a[:1]), "bounds of its words"),
    (set_item("words", 8, 0xFF), "UTF-8"),
    (set_item("words", 8, ord(" ")), "white space"),
    (lambda a: a["words"].__setitem__([8, 9], list("é".encode())), "parts of characters"),
    (set_item("words", 8, ord("b")), "twice"),
    (lambda a: a["words"].__setitem__(slice(0, 5), list(b"<Unk>")), "no <unk>"),
    (lambda a: a.pop("link"), "have to be there"),
    (lambda a: a.update(more=a["link"]), "have to be there"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_binary_files_that_lie(
    arpa: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = tmp_path / "lm.safetensors"
    write_binary(read_ngram(arpa), path)
    about, arrays = parts(path)
    write(path, about, arrays)
    read_ngram(path)  # what is changed is all that is wrong
    change(arrays)
    write(path, about, arrays)
    with pytest.raises(InputError, match=wording("lm-safetensors-is-damaged", message)):
        read_ngram(path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"kind": "weights"}, wording("not-an-n-gram-model")),
        ({"format": "2"}, wording("format-2-this-version-reads")),
        ({"format": "x"}, wording("not-an-n-gram-model")),
        ({"order": "0"}, wording("order-is-0")),
        ({"order": "11"}, wording("order-is-11")),
        ({"order": "2"}, wording("do-not-make-2-orders")),
        ({"order": "4"}, wording("do-not-make-4-orders")),
        ({"order": "1"}, wording("do-not-make-1-orders")),
        ({"order": None}, wording("not-an-n-gram-model")),
    ],
)
def test_metadata_that_do_not_fit(arpa: Path, about: dict[str, Any], message: str) -> None:
    write_binary(read_ngram(arpa), arpa)
    old, arrays = parts(arpa)
    write(arpa, {**old, **about}, arrays)
    with pytest.raises(InputError, match=message):
        read_ngram(arpa)


@pytest.mark.parametrize(
    "header", [b"{}", b'{"a": 1}', b"{" * 1000, b'{"__metadata__": []}', b'{"__metadata__": {"kind": "x"}}', b"{\xff}"]
)
def test_headers_that_are_none(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "lm").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match=wording("lm-is-not-an-n")):
        read_ngram(tmp_path / "lm")


@pytest.mark.parametrize("entry", [None, [], {"dtype": "I32", "shape": [12.0], "data_offsets": [0, 48]}, {"shape": []}])
def test_entries_that_are_none(arpa: Path, entry: Any) -> None:
    write_binary(read_ngram(arpa), arpa)
    data = arpa.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["link"] = entry
    text = json.dumps(header).encode()
    arpa.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(InputError, match=wording("the-array-link-is-cut")):
        read_ngram(arpa)


def test_binary_files_cut_short_anywhere(arpa: Path, tmp_path: Path) -> None:
    write_binary(read_ngram(arpa), tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    for keep in range(0, len(data), 5):
        (tmp_path / "lm").write_bytes(data[:keep])
        with pytest.raises(InputError, match="lm"):
            read_ngram(tmp_path / "lm")


def test_arrays_that_lie_askew(arpa: Path) -> None:
    """Other writers need not align: such arrays are copied."""
    model = read_ngram(arpa)
    write_binary(model, arpa)
    about, arrays = parts(arpa)
    for shift in range(1, 8):
        write(arpa, about, arrays, shift)
        loaded = read_ngram(arpa)
        assert same(loaded, model)
        assert all(getattr(loaded, name).flags.aligned for name in ARRAYS)


def mutants(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[at] = rng.choice([0, 1, 2, 3, 5, 0x7F, 0x80, 0xFF, changed[at] ^ 1, rng.integers(256)])
        yield bytes(changed)


def test_bytes_changed_at_random_do_no_harm(arpa: Path, tmp_path: Path) -> None:
    write_binary(read_ngram(arpa), tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    body = data[8 + struct.unpack("<Q", data[:8])[0] :]
    tails = (data[: -len(body)] + tail for tail in mutants(body, 0, 500))
    path = tmp_path / "lm"
    refused = valid = 0
    for changed in (*mutants(data, 1, 200), *tails):
        path.write_bytes(changed)
        try:
            model = read_ngram(path)
        except InputError:
            refused += 1
            continue
        valid += 1
        states = np.flatnonzero(model.is_state)
        for state in states.tolist():
            for word in range(len(model.words)):
                _, after = step(model, state, word)
                assert after in states
        model.full_scores(model.words)
    assert refused > 100
    assert valid > 50


# Texts


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress, lzma.compress])
def test_sentences(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "text").write_bytes(pack("\ufeffein Wort\r\n\n日本\u2028語\nlast".encode()))
    assert list(read_sentences(tmp_path / "text")) == ["ein Wort", "", "日本\u2028語", "last"]


def test_sentences_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("gut\nschön\n".encode("latin1"))
    with pytest.raises(InputError, match=wording("text-line-2-not-utf")):
        list(read_sentences(tmp_path / "text"))


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz", "lm.arpa.xz", "lm.safetensors"])
def test_the_size_of_a_file_is_known_before_it_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "source.arpa").write_text(ARPA)
    model = read_ngram(tmp_path / "source.arpa")
    save_ngram(model, tmp_path / name)
    assert written_size(model, name) == (tmp_path / name).stat().st_size
