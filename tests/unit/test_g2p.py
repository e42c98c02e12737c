from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest

from asr import g2p
from asr.errors import InputError
from asr.g2p import G2p, Pronunciation, cached_g2p, error_rates, train_g2p

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
    known = [word for word in ngram.words if word not in ("<unk>", "<s>")]
    after = [[], [known[0]], [known[1], known[5]], [known[3], known[4]]]
    for context in after:
        total = sum(10 ** (ngram.full_scores([*context, word], eos=False)[-1][0]) for word in known if word != "</s>")
        total += 10 ** ngram.full_scores(context, eos=True)[-1][0]
        assert total == pytest.approx(1, abs=1e-4)


def test_kneser_ney_of_a_hand_made_example() -> None:
    """a b, a b, a c, d b as sequences; order 2; counts of counts by hand, see the comments."""
    ngram = g2p._estimate([[0, 1], [0, 1], [0, 2], [3, 1]], ["a", "b", "c", "d"], 2)
    # bigrams: <s> a 3, a b 2, a c 1, <s> d 1, d b 1, b </s> 3, c </s> 1: n1 = 4, n2 = 1, n3 = 2, n4 = 0 (taken as 1)
    y = 4 / (4 + 2 * 1)
    d1, d2, d3 = 1 - 2 * y * 1 / 4, 0.1 * 2, 3 - 4 * y * 1 / 2  # 2 - 3 y 2 / 1 is below the least discount
    # continuations: a 1, b 2, c 1, d 1, </s> 2: n1 = 3, n2 = 2, n3 = n4 = 0 (taken as 1)
    y_low = 3 / (3 + 2 * 2)
    low1, low2 = 1 - 2 * y_low * 2 / 3, 2 - 3 * y_low * 1 / 2
    left = (3 * low1 + 2 * low2) / 7
    p_b = (2 - low2) / 7 + left / 5
    p_c = (1 - low1) / 7 + left / 5
    left_a = (d1 + d2) / 3
    assert 10 ** ngram.full_scores(["a", "b"])[1][0] == pytest.approx((2 - d2) / 3 + left_a * p_b, rel=1e-5)
    assert 10 ** ngram.full_scores(["a", "c"])[1][0] == pytest.approx((1 - d1) / 3 + left_a * p_c, rel=1e-5)
    left_d = d1 / 1
    assert 10 ** ngram.full_scores(["d", "c"])[1][0] == pytest.approx(left_d * p_c, rel=1e-5)
    left_start = (d3 + d1) / 4
    assert 10 ** ngram.full_scores(["b"])[0][0] == pytest.approx(left_start * p_b, rel=1e-5)


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
    with pytest.raises(InputError, match="no word to learn pronunciations from"):
        train_g2p(words)


def test_one_word_is_enough() -> None:
    assert train_g2p([("a", ("X",))]).guess("aa") == ("X", "X")


def test_more_parameters_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g2p, "_MOST_PARAMETERS", 10)
    with pytest.raises(InputError, match=r"8 letters and 8 units are too many .*--no-guess"):
        train_g2p([("abdefgik", tuple("ABDEFGIK"))])


def test_error_rates(model: G2p) -> None:
    right = said("cinema")
    assert error_rates(model, {"cinema": [right]}) == (0, 0)
    assert error_rates(model, {"cinema": [("S", "X"), (*right, "A")]}) == (1 / (len(right) + 1), 1)
    assert error_rates(model, {"cinema": [right], "qq": [("X", "Y")]}) == (2 / (len(right) + 2), 0.5)


# ------------------------------------------------------------------------------------------------ cache


def test_it_is_learnt_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pairs(made_up(200, 4))
    first = cached_g2p(words, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    monkeypatch.setattr(g2p, "train_g2p", lambda *_, **__: pytest.fail("learnt again"))
    second = cached_g2p(words, tmp_path / "cache")
    assert [second.guess(word) for word in made_up(50, 5)] == [first.guess(word) for word in made_up(50, 5)]
    assert list((tmp_path / "cache").iterdir()) == [file]


def test_other_words_make_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pairs(made_up(50, 4))
    cached_g2p(words, tmp_path)
    cached_g2p(words[:-1], tmp_path)
    cached_g2p([*words[:-1], (words[-1][0], ("A",))], tmp_path)
    cached_g2p(words, tmp_path, order=3)
    monkeypatch.setattr(g2p, "FORMAT", 99)
    cached_g2p(words, tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" + data[1:]]
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage, caplog: pytest.LogCaptureFixture) -> None:
    words = pairs(made_up(100, 4))
    first = cached_g2p(words, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again = cached_g2p(words, tmp_path)
    assert "made anew" in caplog.text
    assert again.guess("cash") == first.guess("cash")
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file")
    model = cached_g2p([("a", ("X",))], tmp_path / "cache")
    assert model.guess("a") == ("X",)
    assert "the next run learns anew" in caplog.text


def test_a_message_says_that_it_learns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asr")
    cached_g2p([("a", ("X",))], tmp_path)
    assert "learning from 1 pronunciations" in caplog.text
