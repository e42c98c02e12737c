from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from wording import wording

from asr.evaluate.wer import ErrorCounts, score, spelling_errors
from asr.utils.errors import InputError


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Levenshtein's distance, by the textbook."""
    row = list(range(len(hypothesis) + 1))
    for i, r in enumerate(reference, 1):
        above, row[0] = row[0], i
        for j, h in enumerate(hypothesis, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (r != h))
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "words", "characters"),
    [  # substitutions, deletions, insertions, length
        ("the cat sat", "the cat sat", (0, 0, 0, 3), (0, 0, 0, 11)),
        ("the cat sat", "the bat sat", (1, 0, 0, 3), (1, 0, 0, 11)),
        ("the cat sat", "the sat", (0, 1, 0, 3), (0, 4, 0, 11)),
        ("the cat sat", "the cat sat up", (0, 0, 1, 3), (0, 0, 3, 11)),
        ("aa bb cc dd ee ff", "xx bb dd ee ff gg", (1, 1, 1, 6), (2, 3, 3, 17)),
        ("a b", "ab", (1, 1, 0, 2), (0, 1, 0, 3)),
        ("ab", "a b", (1, 0, 1, 1), (0, 0, 1, 2)),
        ("  a   b ", "a b", (0, 0, 0, 2), (0, 0, 0, 3)),
        ("a b", "", (0, 2, 0, 2), (0, 3, 0, 3)),
        ("", "a b", (0, 0, 2, 0), (0, 0, 3, 0)),
        ("", "", (0, 0, 0, 0), (0, 0, 0, 0)),
        # A letter with its tone, points or kana mark is one character.
        ("mɔ\u0301tɔ\u0301", "mɔ\u0300tɔ\u0301", (1, 0, 0, 1), (1, 0, 0, 4)),
        ("ש\u05b8\u05c1לו\u05b9ם", "שלום", (1, 0, 0, 1), (2, 0, 0, 4)),
        ("नमस्ते", "नम", (1, 0, 0, 1), (0, 1, 0, 3)),
        ("がっこう", "かっこ", (1, 0, 0, 1), (1, 1, 0, 4)),
    ],
)
def test_counts_by_hand(
    reference: str, hypothesis: str, words: tuple[int, int, int, int], characters: tuple[int, int, int, int]
) -> None:
    result = score([reference], [hypothesis])
    assert result.words == ErrorCounts(*words)
    assert result.characters == ErrorCounts(*characters)
    assert result.utterances == 1
    assert result.wrong_utterances == (reference.split() != hypothesis.split())


def test_a_set_sums_its_utterances() -> None:
    result = score(["a b", "c", "", "d e"], ["a x", "c", "y z", ""])
    assert result.words == ErrorCounts(substitutions=1, deletions=2, insertions=2, length=5)
    assert result.words.errors == 5
    assert result.words.rate == 1.0
    assert (result.utterances, result.wrong_utterances) == (4, 3)
    assert str(result) == (
        "WER 100.00 % (5 of 5 words: 1 substituted, 2 deleted, 2 inserted), CER 100.00 % (7 of 7 characters:"
        " 1 substituted, 3 deleted, 3 inserted), "
        "3 of 4 utterances wrong"
    )
    assert result.as_dict()["wer"] == {
        "rate": 1.0,
        "errors": 5,
        "substitutions": 1,
        "deletions": 2,
        "insertions": 2,
        "length": 5,
    }


def test_each_utterance_and_its_alignment() -> None:
    result = score(["a b c", "", "x"], ["a y c d", "b", ""])
    assert result.alignments == (
        (("a", "a"), ("b", "y"), ("c", "c"), (None, "d")),
        ((None, "b"),),
        (("x", None),),
    )
    assert result.each == (ErrorCounts(1, 0, 1, 3), ErrorCounts(0, 0, 1, 0), ErrorCounts(0, 1, 0, 1))
    characters = score(["がっ"], ["がつ"], unit="characters")
    assert characters.alignments == ((("が", "が"), ("っ", "つ")),)
    assert characters.each == (characters.characters,)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "spelling"),
    [
        ("The cat SAT", "the cat sat", {"case": 2}),
        ("no, thank you.", "no thank you", {"punctuation": 2}),
        ("yes \u2014 no", "yes no", {"punctuation": 1}),
        ("don't o\u2019clock", "dont o'clock", {"apostrophes": 2}),
        ("caf\u00e9 \uff41", "cafe\u0301 a", {"encoding": 2}),
        ("a well-known man", "a well known man", {"hyphens": 2}),
        ("ice cream", "icecream", {"compounds": 2}),
        ("icecream", "ice cream", {"compounds": 2}),
        ("an ice cream", "an ice-cream", {"hyphens": 2}),
        ("Ice-cream!", "ice cream", {"hyphens": 2}),  # case and punctuation, too
        ("the Ice is cold", "the ice iz cold", {"case": 1}),  # a wrong word beside it
        ("the ice cream is cold", "the icecream iz cold", {"compounds": 2}),
        ("so the ice cream is cold", "sow ze ice-cream cold", {"hyphens": 2}),
        ("the Ice was so cold", "the ice was sow cold", {"case": 1}),
        ("a cat", "a bat", {}),
        ("", "word", {}),
    ],
)
def test_errors_that_are_spelling_alone(reference: str, hypothesis: str, spelling: dict[str, int]) -> None:
    kinds = dict.fromkeys(("encoding", "case", "punctuation", "apostrophes", "hyphens", "compounds"), 0)
    assert spelling_errors(score([reference], [hypothesis])) == kinds | spelling


def test_spelling_alone_is_what_remains_without_it() -> None:
    rng = random.Random(0)
    words = [f"wo{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    plain = [[rng.choice(words) for _ in range(12)] for _ in range(200)]
    heard = [" ".join(w if rng.random() > 0.3 else rng.choice(words) for w in each) for each in plain]
    said = [" ".join(w.capitalize() + "," if rng.random() < 0.3 else w for w in each) for each in plain]
    raw, without = score(said, heard), score([" ".join(each) for each in plain], heard)
    assert without.words.errors > 500
    assert sum(spelling_errors(raw).values()) == raw.words.errors - without.words.errors


def test_spelling_of_characters() -> None:
    found = spelling_errors(score(["\u4eca\u5929 \u5929\u6c14A"], ["\u4eca\u5929\u5929\u6c17a"], unit="characters"))
    assert found == {"encoding": 0, "case": 1, "punctuation": 0, "apostrophes": 0, "spaces": 1}
    assert spelling_errors(score(["AH K"], ["ah k"], unit="phones")) == {}


def test_rates_without_a_reference() -> None:
    assert ErrorCounts(0, 0, 0, 0).rate == 0.0
    assert ErrorCounts(0, 0, 2, 0).rate == float("inf")
    json.dumps(score([""], ["a"]).as_dict(), allow_nan=False)
    assert score([""], ["a"]).as_dict()["wer"]["rate"] is None


def test_what_cannot_be_scored() -> None:
    with pytest.raises(InputError, match=wording("2-references-and-1-hypotheses")):
        score(["a", "b"], ["a"])
    with pytest.raises(InputError, match=wording("nothing-to-score")):
        score([], [])


@pytest.mark.skipif(shutil.which("sctk") is None, reason="NIST's sctk is not installed")
@pytest.mark.parametrize("seed", range(3))
def test_as_many_errors_as_sclite_counts(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    said = [[f"w{rng.randrange(200)}" for _ in range(rng.randint(1, 20))] for _ in range(100)]
    heard = [
        [w for word in row for w in rng.choices([[word], [], ["x"], ["y", word]], [8, 1, 1, 1])[0]] for row in said
    ]
    for name, rows in (("ref", said), ("hyp", heard)):
        lines = [f"{' '.join(row)} (s_{i:03d})\n" for i, row in enumerate(rows)]
        (tmp_path / name).write_text("".join(lines))
    command = ["sctk", "sclite", "-i", "spu_id", "-r", "ref", "trn", "-h", "hyp", "trn", "-o", "rsum", "stdout"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (found,) = re.findall(r"\| *Sum *\|([\d |]+)\|", out)
    utterances, words, _, *kinds, errors, wrong = map(int, re.findall(r"\d+", found))
    result = score([" ".join(row) for row in said], [" ".join(row) for row in heard])
    assert (result.utterances, result.words.length, result.words.errors) == (utterances, words, errors)
    assert result.wrong_utterances == wrong
    # Substitutions are dearer to sclite than to Levenshtein: ties are counted otherwise, but their balance is the same.
    assert result.words.insertions - result.words.deletions == kinds[2] - kinds[1]


CLUSTERS = st.lists(st.sampled_from(["a", "b", " ", "ɔ\u0301", "ɔ", "が", "स्ते"]), max_size=10)


@given(st.lists(st.tuples(CLUSTERS, CLUSTERS), min_size=1, max_size=4))
def test_errors_are_the_edit_distance(pairs: list[tuple[list[str], list[str]]]) -> None:
    def single_spaces(units: list[str]) -> list[str]:
        kept = [u for i, u in enumerate(units) if u != " " or (i and units[i - 1] != " ")]
        return kept[:-1] if kept and kept[-1] == " " else kept

    references, hypotheses = zip(*[(single_spaces(r), single_spaces(h)) for r, h in pairs], strict=True)
    result = score(["".join(r) for r, _ in pairs], ["".join(h) for _, h in pairs])
    split = [("".join(r).split(), "".join(h).split()) for r, h in pairs]
    for counts, units in ((result.characters, list(zip(references, hypotheses, strict=True))), (result.words, split)):
        assert counts.errors == sum(edit_distance(r, h) for r, h in units)
        assert counts.length == sum(len(r) for r, _ in units)
        assert counts.insertions - counts.deletions == sum(len(h) - len(r) for r, h in units)
    assert result.wrong_utterances == sum(r != h for r, h in zip(references, hypotheses, strict=True))
