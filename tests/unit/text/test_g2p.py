from __future__ import annotations

import json
import logging
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from wording import wording

from asr.text import g2p
from asr.text.g2p import G2p, Pronunciation, cached_g2p, train_g2p
from asr.utils.errors import InputError

SINGLE = dict(zip("abdefgiklmnoprstuvwz", "ABDEFGIKLMNOPRSTUVWZ", strict=True))


def said(word: str) -> tuple[str, ...]:
    """A made-up language: ch, sh are one phone, x two, h none, c is S before e and i, else K."""
    units: list[str] = []
    i = 0
    while i < len(word):
        if word[i : i + 2] in ("ch", "sh"):
            units.append(word[i : i + 2].upper())
            i += 1
        elif word[i] == "x":
            units += ["K", "S"]
        elif word[i] == "c":
            units.append("S" if word[i + 1 : i + 2] in ("e", "i") else "K")
        elif word[i] != "h":
            units.append(SINGLE[word[i]])
        i += 1
    return tuple(units)


def made_up(n: int, seed: int, pieces: str = "a b d e f g i k l m n o r s t u x h ch sh ci ca co ce") -> list[str]:
    rng = np.random.default_rng(seed)
    choices = pieces.split()
    words: dict[str, None] = {}
    while len(words) < n:
        words["".join(rng.choice(choices, rng.integers(3, 7)))] = None
    return list(words)


def pairs(words: list[str]) -> list[Pronunciation]:
    return [(word, units) for word in words if (units := said(word))]


@pytest.fixture(scope="module")
def model() -> G2p:
    return train_g2p(pairs(made_up(3000, 1)))


def test_a_regular_language_is_learnt(model: G2p) -> None:
    learnt = set(made_up(3000, 1))
    new = [word for word in made_up(400, 2) if word not in learnt]
    right = sum(model.guess(word) == said(word) for word in new)
    assert right / len(new) > 0.97


@pytest.mark.parametrize("word", ["chat", "axon", "ahem", "cinema", "cacao", "shoxi"])
def test_one_letter_many_phones_and_the_other_way_round(model: G2p, word: str) -> None:
    assert model.guess(word) == said(word)


def test_graphones_are_those_of_the_language(model: G2p) -> None:
    graphones = {tuple(re.split("[\x1f]", word)) for word in model.ngram.words if "\x1f" in word}
    assert {("ch", "CH"), ("sh", "SH"), ("x", "K\x1eS"), ("h", ""), ("c", "K"), ("c", "S"), ("a", "A")} <= graphones


@pytest.mark.parametrize("word", ["", "q", "naq", "日本", "a" * 101, "a b"])
def test_what_cannot_be_spelled_has_no_guess(model: G2p, word: str) -> None:
    assert model.guess(word) == ()


def test_long_words(model: G2p) -> None:
    assert model.guess("ba" * 50) == ("B", "A") * 50


def test_letters_are_composed(model: G2p) -> None:
    accented = train_g2p([("é", ("E",)), ("e", ("X",))])
    assert accented.guess("e\u0301") == ("E",)
    assert accented.guess("e") == ("X",)


def best_of_all(model: G2p, word: str) -> tuple[float, set[tuple[str, ...]]]:
    """The best score over all graphone sequences that spell a word, by the n-gram model's own scores."""
    graphones = [name for name in model.ngram.words if "\x1f" in name]
    spelled = [[[]]] + [[] for _ in word]
    for i in range(len(word)):
        for name in graphones:
            letters = name.partition("\x1f")[0]
            if word.startswith(letters, i):
                spelled[i + len(letters)] += [[*path, name] for path in spelled[i]]
    scores = [(model.ngram.score(path), path) for path in spelled[-1]]
    best = max(score for score, _ in scores)
    phones = [
        tuple(p for name in path for p in name.partition("\x1f")[2].split("\x1e") if p)
        for score, path in scores
        if score > best - 1e-4
    ]
    return best, set(phones)


@pytest.mark.parametrize("word", ["cash", "xhce", "cices", "ocho"])
def test_a_wide_beam_finds_the_most_probable_sequence(model: G2p, word: str) -> None:
    _, phones = best_of_all(model, word)
    assert model.guess(word, 1000) in phones


def test_a_wide_beam_finds_it_where_many_are_alike() -> None:
    rng = np.random.default_rng(6)
    words = made_up(150, 7, "a b c ab")
    model = train_g2p(
        [(word, tuple(rng.choice(list("XYZ"), rng.integers(1, len(word) + 1)).tolist())) for word in words], order=4
    )
    for word in made_up(80, 8, "a b c"):
        if len(word) == 3:
            assert model.guess(word, 500) in best_of_all(model, word)[1]


def test_probabilities_sum_up_to_one() -> None:
    words = pairs(made_up(60, 3))
    ngram = train_g2p(words, order=3).ngram
    known = [word for word in ngram.words if "\x1f" in word]
    after = [[], [known[0]], [known[1], known[5]], [known[3], known[4]]]
    for context in after:
        total = sum(10 ** (ngram.full_scores([*context, word], eos=False)[-1][0]) for word in [*known, "<unk>"])
        total += 10 ** ngram.full_scores(context, eos=True)[-1][0]
        assert total == pytest.approx(1, abs=1e-4)


def test_few_words_are_spelled_one_to_one() -> None:
    words = [
        "the",
        "and",
        "of",
        "to",
        "a",
        "in",
        "i",
        "that",
        "he",
        "was",
        "his",
        "for",
        "she",
        "you",
        "not",
        "but",
        "at",
    ]
    spelled = train_g2p([(word, tuple(word)) for word in words])
    assert all(spelled.guess(word) == tuple(word) for word in ["then", "thus", "hand", "faster", "bend", "yonder"])


@pytest.mark.parametrize(
    "words", [[], [("a", ())], [("a", ("X", "Y", "Z"))], [("a" * 41, ("X",) * 41)], [("", ("X",))]]
)
def test_nothing_to_learn_from(words: list[Pronunciation]) -> None:
    with pytest.raises(InputError, match=wording("no-word-to-learn-pronunciations")):
        train_g2p(words)


def test_one_word_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    assert train_g2p([("a", ("X",))]).guess("aa") == ("X", "X")
    assert not caplog.text


def test_more_parameters_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g2p, "_MOST_PARAMETERS", 10)
    with pytest.raises(InputError, match=wording("8-letters-and-8-units")):
        train_g2p([("abdefgik", tuple("ABDEFGIK"))])


# ------------------------------------------------------------------------------------------------ cache


def test_it_is_learnt_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pairs(made_up(200, 4))
    first = cached_g2p(words, tmp_path / "cache" / "a.safetensors")
    monkeypatch.setattr(g2p, "train_g2p", lambda *_, **__: pytest.fail("learnt again"))
    second = cached_g2p(words, tmp_path / "cache" / "a.safetensors")
    assert [second.guess(word) for word in made_up(50, 5)] == [first.guess(word) for word in made_up(50, 5)]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["a.safetensors", "a.sha256"]


def test_other_words_are_learnt_anew_in_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pairs(made_up(50, 4))
    learnt = []
    monkeypatch.setattr(g2p, "train_g2p", lambda pronunciations: learnt.append(1) or train_g2p(pronunciations))
    for pronunciations in (words, words[:-1], [*words[:-1], (words[-1][0], ("A",))], words):
        for _ in range(2):
            cached_g2p(pronunciations, tmp_path / "a.safetensors")
    monkeypatch.setattr(g2p, "FORMAT", 99)
    cached_g2p(words, tmp_path / "a.safetensors")
    assert len(learnt) == 5
    assert len(list(tmp_path.iterdir())) == 2


def flipped(file: Path, name: str) -> bytes:
    """A file in which one bit of a safetensors array is another."""
    data = bytearray(file.read_bytes())
    (size,) = struct.unpack("<Q", data[:8])
    begin, end = json.loads(data[8 : 8 + size])[name]["data_offsets"]
    data[8 + size + (begin + end) // 2] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:1000]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"x" + file.read_bytes()[1:]),
        lambda file: file.write_bytes(flipped(file, "log_prob")),
        lambda file: file.write_bytes(flipped(file, "backoff")),
        lambda file: file.write_bytes(flipped(file, "words")),
        lambda file: file.unlink(),
        lambda file: file.with_suffix(".sha256").unlink(),
        lambda file: file.with_suffix(".sha256").write_bytes(b"\xff\xfe"),
    ],
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asr")
    words = pairs(made_up(100, 4))
    first = cached_g2p(words, tmp_path / "a.safetensors")
    whole = {file: file.read_bytes() for file in tmp_path.iterdir()}
    damage(tmp_path / "a.safetensors")
    again = cached_g2p(words, tmp_path / "a.safetensors")
    assert again.guess("cash") == first.guess("cash")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == whole
    assert caplog.text.count(wording("learning-from-100-pronunciations-how")) == 2
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_a_cache_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file")
    model = cached_g2p([("a", ("X",))], tmp_path / "cache" / "a.safetensors")
    assert model.guess("a") == ("X",)
    assert wording("the-next-run-learns-anew") in caplog.text
