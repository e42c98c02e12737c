from __future__ import annotations

import itertools
import json
import math
import random
import re
import shutil
import subprocess
from collections.abc import Sequence

import numpy as np
import pytest
from wording import wording

from asr.evaluate.significance import Interval, _sign_flips, compare, confidence_interval, matched_pairs
from asr.evaluate.wer import ErrorCounts, Scores, score
from asr.utils.errors import InputError


def wrong_at(words: str, *places: int) -> str:
    """The words with others in some places."""
    return " ".join("wrong" if i in places else word for i, word in enumerate(words.split()))


WORDS = "a b c d e f g h i j"


def pairs_of(hypothesis: str, other: str, reference: str = WORDS) -> tuple[int, float]:
    test = matched_pairs(*(score([reference], [text]).alignments for text in (hypothesis, other)))
    return test.segments, test.mean


@pytest.mark.parametrize(
    ("first", "second", "segments", "mean"),
    [
        (WORDS, WORDS, 0, 0.0),
        (wrong_at(WORDS, 2), WORDS, 1, 1.0),
        (wrong_at(WORDS, 2), wrong_at(WORDS, 2), 1, 0.0),
        (wrong_at(WORDS, 2, 4), WORDS, 1, 2.0),  # one word right between: the same segment
        (wrong_at(WORDS, 2, 5), WORDS, 2, 1.0),  # two words right: two segments
        (wrong_at(WORDS, 2), wrong_at(WORDS, 4), 1, 0.0),  # right in both is what counts
        (wrong_at(WORDS, 2), wrong_at(WORDS, 5), 2, 0.0),
        (wrong_at(WORDS, 0, 9), WORDS, 2, 1.0),  # the ends of an utterance
        ("a b x c d x e f g h i j", WORDS, 2, 1.0),  # insertions, two words right between
        ("a b x c x d e f g h i j", WORDS, 1, 2.0),
        ("a b d e f g h i j x", WORDS, 2, 1.0),  # a deletion, an insertion at the end
        ("", WORDS, 1, 10.0),
    ],
)
def test_segments_by_hand(first: str, second: str, segments: int, mean: float) -> None:
    assert pairs_of(first, second) == (segments, pytest.approx(mean))
    assert pairs_of(second, first) == (segments, pytest.approx(-mean))


def test_the_statistic_by_hand() -> None:
    # Four segments, errors of the first less the second: 1, 1, 1, -1; their deviation is 1
    said = [WORDS] * 4
    first = score(said, [wrong_at(WORDS, 3)] * 3 + [WORDS])
    second = score(said, [WORDS] * 3 + [wrong_at(WORDS, 3)])
    test = matched_pairs(first.alignments, second.alignments)
    assert (test.segments, test.mean, test.deviation, test.z) == (4, 0.5, pytest.approx(1.0), pytest.approx(1.0))
    assert test.p == pytest.approx(10 / 16)  # of 16 ways to choose signs, all but 6 give 2 or more, or -2 or less
    # A hundred of each: the normal law
    test = matched_pairs(
        *(
            score(said * 25, [t for t in each for _ in range(25)]).alignments
            for each in ([wrong_at(WORDS, 3)] * 3 + [WORDS], [WORDS] * 3 + [wrong_at(WORDS, 3)])
        )
    )
    assert test.p == pytest.approx(math.erfc(test.z / math.sqrt(2)))
    assert test.z == pytest.approx(0.5 / (math.sqrt(75 / 99) / 10))


@pytest.mark.parametrize(("wrong", "p"), [(1, 1.0), (2, 0.5), (3, 0.25), (6, 1 / 32)])
def test_a_few_errors_prove_little(wrong: int, p: float) -> None:
    said = [WORDS] * 20
    some, none = score(said, [wrong_at(WORDS, 3)] * wrong + said[wrong:]), score(said, said)
    assert matched_pairs(some.alignments, none.alignments).p == pytest.approx(p)
    assert matched_pairs(none.alignments, some.alignments).p == pytest.approx(p)
    (found,) = compare({"some": some, "none": none})
    assert found.significant == (p < 0.05)
    never = matched_pairs(none.alignments, none.alignments)
    assert (never.segments, never.z, never.p) == (0, 0.0, 1.0)


def test_signs_are_counted_out() -> None:
    differences = [3, 1, -2, 2, 5]
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in itertools.product((1, -1), repeat=5)
    ]
    expected = sum(abs(each) >= sum(differences) for each in sums) / 32
    assert _sign_flips(np.array(differences, float)) == pytest.approx(expected)


def spoilt(sentences: Sequence[str], share: float, seed: int) -> list[str]:
    rng = random.Random(seed)
    found = []
    for sentence in sentences:
        words = []
        for word in sentence.split():
            x = rng.random() / share
            words += [f"x{rng.randrange(99)}"] if x < 0.6 else [] if x < 0.8 else ["y", word] if x < 1 else [word]
        found.append(" ".join(words))
    return found


def sentences(number: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(f"w{rng.randrange(300)}" for _ in range(rng.randint(1, 25))) for _ in range(number)]


def sgml(name: str, scores: Scores) -> str:
    """Alignments as sclite hands them to sc_stats."""
    date = "Fri Nov 27 23:27:58 2026"
    head = f'<SYSTEM title="{name}" ref_fname="r" hyp_fname="h" creation_date="{date}" format="2.4" frag_corr="FALSE"'
    lines = [f'{head} opt_del="FALSE" weight_ali="FALSE" weight_filename="">', '<SPEAKER id="s">']
    for i, pairs in enumerate(scores.alignments):
        kinds = ["C" if r == h else "I" if r is None else "D" if h is None else "S" for r, h in pairs]
        quoted = [[f'"{unit}"' if unit else "" for unit in pair] for pair in pairs]
        row = ":".join(",".join([kind, *pair]) for kind, pair in zip(kinds, quoted, strict=True))
        lines += [f'<PATH id="(s_{i})" word_cnt="{len(pairs)}" sequence="{i}">', row, "</PATH>"]
    return "\n".join([*lines, "</SPEAKER>", "</SYSTEM>", ""])


@pytest.mark.skipif(shutil.which("sctk") is None, reason="NIST's sctk is not installed")
@pytest.mark.parametrize("seed", range(5))
def test_as_sc_stats_has_it(seed: int) -> None:
    said = sentences(20 + 40 * seed, seed)
    first, second = (score(said, spoilt(said, share, seed + 10)) for share in (0.2, 0.15))
    test = matched_pairs(first.alignments, second.alignments)
    out = subprocess.run(
        ["sctk", "sc_stats", "-p", "-t", "mapsswe", "-v", "-n", "-"],
        input=sgml("first", first) + sgml("second", second),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    ).stdout
    found = re.search(r"segs: (\d+).*?mean: +(\S+)\).*?dev: +(\S+)\).*?Stat: +(\S+)\)", out.replace("\n", " "))
    assert found, out
    segments, mean, deviation, z = map(float, found.groups())
    assert segments == test.segments
    assert (mean, deviation, abs(z)) == (
        pytest.approx(test.mean, abs=6e-4),
        pytest.approx(test.deviation, abs=6e-4),
        pytest.approx(abs(test.z), abs=6e-4),
    )


def counts(*errors: int, length: int = 10) -> list[ErrorCounts]:
    return [ErrorCounts(n, 0, 0, length) for n in errors]


def test_an_interval_by_hand() -> None:
    # Two utterances: drawn anew both, one or none is the wrong one: 1/4, 1/2, 1/4
    found = confidence_interval(counts(0, 10), level=0.4)
    assert found == Interval(0.5, 0.5, "utterances", "the speakers are not known")
    assert confidence_interval(counts(0, 10), level=0.9) == Interval(0.0, 1.0, "utterances", found.why)
    assert confidence_interval(counts(2, 2, 2)).low == 0.2


def test_an_interval_is_as_wide_as_theory_has_it() -> None:
    rng = np.random.default_rng(1)
    each = counts(*rng.binomial(10, 0.2, size=2000).tolist())
    found = confidence_interval(each)
    rate = sum(n.errors for n in each) / 20_000
    width = 1.96 * math.sqrt(0.2 * 0.8 / 20_000)
    assert (found.low, found.high) == (pytest.approx(rate - width, abs=4e-4), pytest.approx(rate + width, abs=4e-4))
    assert confidence_interval(each) == found
    assert confidence_interval(each, seed=1) != found


def test_without_error_or_others_there_is_little_to_say() -> None:
    assert confidence_interval(counts(3)) is None  # one utterance
    assert confidence_interval(counts(0, 1, length=0)) is None
    none = confidence_interval(counts(*[0] * 30))
    assert none is not None
    assert (none.low, none.high) == (0, pytest.approx(1 - 0.025 ** (1 / 300)))  # Clopper and Pearson: 1.2 %
    (found,) = compare({"a": score(["a b"], ["a x"]), "b": score(["a b"], ["a b"])})
    assert (found.interval, found.significant) == (None, False)
    with pytest.raises(InputError, match=wording("the-references-are-empty")):
        compare({"a": score([""], ["x"]), "b": score([""], [""])})


def test_ten_speakers_are_drawn_from() -> None:
    each = counts(*[0, 10] * 30)
    voices = [f"voice {i % 10}" for i in range(60)]  # all of a voice is right, or all is wrong
    by_speaker = confidence_interval(each, voices)
    by_utterance = confidence_interval(each)
    assert (by_speaker.over, by_speaker.why) == ("speakers", "")
    assert by_speaker.high - by_speaker.low > 2 * (by_utterance.high - by_utterance.low)
    few = confidence_interval(each, [f"voice {i % 9}" for i in range(60)])
    assert (few.low, few.high) == (by_utterance.low, by_utterance.high)
    assert few.why == "there are 9 speakers, and fewer than 10 are too few to draw from"
    assert confidence_interval(each, ["", *voices[1:]]).why == "the speakers are not known"
    assert confidence_interval(each, ["x"] * 60).why.startswith("there is one speaker")


def test_a_planted_difference_is_found_and_none_is_not() -> None:
    said = sentences(400, 1)
    worse, better = (score(said, spoilt(said, share, seed)) for share, seed in ((0.25, 2), (0.2, 3)))
    (found,) = compare({"old": worse, "new": better})
    assert found.significant
    assert found.interval.low < found.difference < found.interval.high
    assert found.interval.low > 0
    low, high = 100 * found.interval.low, 100 * found.interval.high
    by = f"{100 * found.difference:.2f} % absolute, 95 % interval {low:.2f} to {high:.2f}"
    assert str(found) == f"new is better than old by {by}; p < 0.0001 (matched pairs)"
    (turned,) = compare({"new": better, "old": worse})
    assert str(turned) == str(found)
    (always,) = compare({"a": score([WORDS] * 3, [wrong_at(WORDS, 3)] * 3), "b": score([WORDS] * 3, [WORDS] * 3)})
    assert json.loads(json.dumps(always.as_dict(), allow_nan=False))["matched_pairs"]["z"] is None

    alike = score(said, spoilt(said, 0.25, 4))
    (same,) = compare({"one": worse, "two": alike})
    assert not same.significant
    assert same.interval.low < 0 < same.interval.high
    assert str(same).startswith("whether ")
    assert compare({"one": worse, "two": worse})[0].difference == 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "share"), [(60, 0.2), (10, 0.03), (30, 0.03)])
def test_false_alarms_are_as_many_as_they_may_be(number: int, share: float) -> None:
    alarms = 0
    for seed in range(200):
        said = sentences(number, seed)
        one, two = (score(said, spoilt(said, share, 1000 * seed + i)) for i in (1, 2))
        alarms += matched_pairs(one.alignments, two.alignments).p < 0.05
    assert alarms <= 21  # of 200, 10 expected: 99.9 % of the time


@pytest.mark.slow
def test_errors_of_some_speakers_make_no_winner() -> None:
    """Each of twelve speakers lies better to one of two systems that are equally good."""
    alarms = 0
    for seed in range(60):
        rng = random.Random(seed)
        said = sentences(120, seed)
        voices = [f"voice {i % 12}" for i in range(120)]
        shares = [{voice: rng.choice((0.05, 0.35)) for voice in voices} for _ in range(2)]
        heard = [
            [
                spoilt([text], own[voice], 7 * seed + i)[0]
                for i, (text, voice) in enumerate(zip(said, voices, strict=True))
            ]
            for own in shares
        ]
        (found,) = compare({"a": score(said, heard[0]), "b": score(said, heard[1])}, voices, samples=1000)
        alarms += found.significant
    assert alarms <= 10  # 3 expected were draws of twelve exact; matched pairs alone give about 30


def test_where_the_test_and_the_draws_disagree() -> None:
    said = sentences(240, 1)
    voices = [f"voice {i % 12}" for i in range(240)]
    worse = [spoilt([text], 0.9, i)[0] if i % 12 == 0 else text for i, text in enumerate(said)]  # one speaker's alone
    (found,) = compare({"a": score(said, worse), "b": score(said, said)}, voices)
    assert found.matched_pairs.p < 0.0001
    assert found.interval is not None
    assert found.interval.low <= 0
    assert not found.significant
    assert str(found).startswith("whether b is better than a is not certain: by ")
    assert str(found).endswith("over speakers; p < 0.0001 (matched pairs), but the interval holds 0")


def test_several_comparisons_are_corrected() -> None:
    said = sentences(60, 5)
    systems = {f"s{i}": score(said, spoilt(said, share, i)) for i, share in enumerate((0.3, 0.22, 0.2))}
    found = {each.systems: each for each in compare(systems)}
    alone = {names: compare({n: systems[n] for n in names})[0].p for names in found}
    assert list(found) == [("s0", "s1"), ("s0", "s2"), ("s1", "s2")]
    ascending = sorted(alone, key=lambda names: alone[names])
    holm = [min(1.0, (3 - rank) * alone[names]) for rank, names in enumerate(ascending)]
    expected = dict(zip(ascending, np.maximum.accumulate(holm), strict=True))
    assert {names: each.p for names, each in found.items()} == pytest.approx(expected)
    assert "corrected for 3 comparisons" in str(found["s0", "s1"])


def test_what_cannot_be_compared() -> None:
    one, other = score(["a b"], ["a b"]), score(["a b c"], ["a b c"])
    with pytest.raises(InputError, match=wording("second-was-not-scored-against")):
        compare({"first": one, "second": other})
    with pytest.raises(InputError, match=wording("was-not-scored-against-the")):
        compare({"first": one, "second": score(["a c"], ["a b"])})  # of the same length
    with pytest.raises(InputError, match=wording("needs-two-systems")):
        compare({"first": one})
