"""A fault is planted in a clean corpus: the check must find it, where it is, and nothing else."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from helpers import speechlike

from asr.data.batches import load_batches
from asr.data.check import Report, check_data, report_text
from asr.data.check.audio_facts import audio_facts, measure_audio
from asr.data.check.confusables import broken_pieces, skeleton
from asr.data.cuts import Utterance
from asr.models.config import ModelConfig
from asr.models.model import Head, Model
from asr.models.objective import Objective
from asr.models.recognizer import build_recognizer
from asr.text.normalize import TextNormalizer
from asr.text.tokenizer import CharTokenizer
from asr.utils.config import from_dict

RATE = 16000
PANGRAMS = (
    "the quick brown fox jumps over a lazy dog while seven zebras sit beside one old king who never gave his box of"
    " quartz away but kept it under heavy lock and key for many years"
)
WORDS = PANGRAMS.split()
Splits = dict[str, list[Utterance]]
_numbers = itertools.count()


def sentence(seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(chance.randint(5, 9)))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Clean: each split has speakers of its own, no text twice, 13 to 15 characters a second."""
    folder = tmp_path_factory.mktemp("clean")
    result: Splits = {}
    for split, count in (("train", 40), ("dev", 5), ("test", 5)):
        result[split] = []
        for i in range(count):
            text = sentence(len(result) * 1000 + i)
            seconds = len(text) / random.Random(i).uniform(13, 15)
            samples = speechlike(seconds, RATE, seed=len(result) * 1000 + i) - 0.01  # without its offset
            path = folder / f"{split}{i:02d}.wav"
            soundfile.write(path, samples, RATE)
            info = soundfile.info(path)
            result[split].append(Utterance(path.stem, str(path), text, info.duration, speaker=f"{split}{i % 3}"))
    return result


@pytest.fixture
def copied(splits: Splits, tmp_path: Path) -> Splits:
    """Files that a test may spoil."""
    for path in Path(splits["train"][0].audio).parent.glob("*[0-9].wav"):
        shutil.copy(path, tmp_path)
    return {split: [replace(u, audio=str(tmp_path / f"{u.id}.wav")) for u in some] for split, some in splits.items()}


def kinds(report: Report) -> dict[str, list[str]]:
    """What was found -> where."""
    return {finding.kind: [example.name for example in finding.examples] for finding in report.findings}


def check(splits: Splits, **options: object) -> dict[str, list[str]]:
    return kinds(check_data(splits, **{"model": ModelConfig(), **options}))  # type: ignore[arg-type]


def with_text(splits: Splits, index: int, text: str, split: str = "train") -> Splits:
    changed = list(splits[split])
    changed[index] = replace(changed[index], text=text)
    return {**splits, split: changed}


def with_audio(
    splits: Splits, index: int, make: Callable[[np.ndarray], np.ndarray], rate: int = RATE, split: str = "train"
) -> Splits:
    """The utterance's audio is made into another, in a file beside it; its duration follows."""
    u = splits[split][index]
    samples, _ = soundfile.read(u.audio, dtype="float32")
    path = Path(u.audio).with_name(f"{u.id}-{next(_numbers)}-made.wav")
    soundfile.write(path, make(samples), rate)
    changed = list(splits[split])
    changed[index] = replace(u, audio=str(path), duration=soundfile.info(path).duration)
    return {**splits, split: changed}


def test_a_clean_corpus_has_no_finding(splits: Splits) -> None:
    report = check_data(splits, ModelConfig(), batch_seconds=100)
    assert report.findings == ()
    train = report.splits["train"]
    assert (train.utterances, train.speakers, train.texts, train.without_speaker) == (40, 3, 40, 0)
    assert train.seconds == pytest.approx(sum(u.duration for u in splits["train"]))
    assert train.shortest == min(u.duration for u in splits["train"])
    assert train.words == sum(len(u.text.split()) for u in splits["train"])
    assert train.characters == sum(len(u.text) for u in splits["train"])
    assert report.rates == {RATE: 50}


# Audio


def tone(x: np.ndarray) -> np.ndarray:
    return 0.2 * np.sin(2 * np.pi * 440 / RATE * np.arange(len(x)))


def hiss(x: np.ndarray) -> np.ndarray:
    return 1e-4 * np.random.default_rng(0).standard_normal(len(x))


def wobbling(x: np.ndarray) -> np.ndarray:
    return np.clip(8 * x, -1, 1) * np.random.default_rng(0).uniform(0.9993, 1, len(x))


def two_speakers(x: np.ndarray) -> np.ndarray:
    """One speaks in the first half on the left, another in the second on the right."""
    other = speechlike(len(x) / RATE + 1, RATE, seed=77)[: len(x)]
    noise = 1e-3 * np.random.default_rng(0).standard_normal((len(x), 2))
    first = np.arange(len(x)) < len(x) // 2
    return np.stack([x * first, (other - 0.01) * ~first], axis=1) + noise


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("silent", np.zeros_like),
        ("silent", hiss),
        ("silent", tone),
        ("clipped", lambda x: np.clip(8 * x, -1, 1)),
        ("clipped", lambda x: np.clip(3 * x, -0.4, 0.4)),  # cut off, then made quieter
        ("clipped", wobbling),  # cut off, then through a codec that is not exact
        ("low-level", lambda x: 0.02 * x),
        ("digital-silence", lambda x: x * (np.arange(len(x)) > 0.6 * len(x))),
        ("offset", lambda x: x + 0.1),
        ("narrow-band", lambda x: soxr.resample(soxr.resample(x, RATE, 8000), 8000, RATE)),
        ("mono-in-stereo", lambda x: np.stack([x, x], axis=1)),
        ("silent-channel", lambda x: np.stack([x, np.zeros_like(x)], axis=1)),
        ("opposite-channels", lambda x: np.stack([x, -0.7 * x], axis=1)),
        ("different-channels", two_speakers),
    ],
)
def test_planted_in_the_audio(kind: str, make: Callable[[np.ndarray], np.ndarray], splits: Splits) -> None:
    report = check_data(with_audio(splits, 7, make), ModelConfig())
    assert kinds(report) == {kind: ["train07"]}
    assert not report.fatal


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x / np.abs(x).max(),  # as loud as can be
        lambda x: 0.1 * x,
        lambda x: np.stack([x, 0.5 * np.roll(x, 12)], axis=1),  # two microphones, one farther away
        lambda x: np.concatenate([x, 0.001 * speechlike(3, RATE)]),  # a long pause at the end
    ],
)
def test_nothing_is_wrong_with_it(make: Callable[[np.ndarray], np.ndarray], splits: Splits) -> None:
    assert check(with_audio(splits, 7, make)) == {}


def test_a_channel_that_is_chosen_is_what_counts(splits: Splits) -> None:
    planted = with_audio(splits, 7, lambda x: np.stack([x, np.zeros_like(x)], axis=1))
    for channel, expected in ((0, {}), (1, {"silent": ["train07"]})):
        chosen = list(planted["train"])
        chosen[7] = replace(chosen[7], channel=channel)
        assert check({**planted, "train": chosen}) == expected


def test_a_segment_of_a_longer_file(splits: Splits, tmp_path: Path) -> None:
    """Silence between segments is nobody's fault; a segment in it is."""
    parts, cuts, at = [], [], 0.0
    for u in splits["train"]:
        samples, _ = soundfile.read(u.audio)
        parts += [samples, np.zeros(RATE * 2)]
        cuts.append(replace(u, audio=str(tmp_path / "long.flac"), start=at, whole=False))
        at += len(samples) / RATE + 2
    soundfile.write(tmp_path / "long.flac", np.concatenate(parts), RATE)
    assert check({**splits, "train": cuts}) == {}
    silent = replace(cuts[3], start=cuts[3].start + cuts[3].duration, duration=2.0)
    assert check({**splits, "train": [*cuts[:3], silent, *cuts[4:]]})["silent"] == ["train03"]
    beyond = replace(cuts[3], start=at)
    report = check_data({**splits, "train": [*cuts[:3], beyond, *cuts[4:]]}, ModelConfig())
    assert kinds(report) == {"unreadable": ["train03"]}
    assert "ends before" in report.findings[0].examples[0].detail


def test_audio_that_cannot_be_read(copied: Splits) -> None:
    paths = [Path(u.audio) for u in copied["train"]]
    paths[3].unlink()
    paths[4].write_text("no audio")
    paths[5].write_bytes(paths[5].read_bytes()[:-9000])
    soundfile.write(paths[6], speechlike(1, RATE), RATE)  # shorter than the manifest says
    report = check_data(copied, ModelConfig())
    assert kinds(report) == {"unreadable": ["train03", "train04", "train05", "train06"]}
    (finding,) = report.fatal
    reasons = [example.detail for example in finding.examples]
    for reason, words in zip(reasons, ["no such file", "a text", "cut short", "its manifest says"], strict=True):
        assert words in reason
    Path(copied["test"][0].audio).unlink()
    only_test = {"train": copied["dev"], "dev": copied["train"][10:], "test": copied["test"]}
    assert not check_data(only_test, ModelConfig()).fatal  # training never reads it


def test_most_audio_is_silent(splits: Splits) -> None:
    for i in range(21):
        splits = with_audio(splits, i, lambda x: np.zeros(3 * RATE))
    report = check_data(splits, ModelConfig())
    assert [f.kind for f in report.fatal] == ["silent"]
    assert len(kinds(report)["silent"]) == 21
    assert "same-audio" not in kinds(report)  # silence is like silence


def test_other_rates(splits: Splits) -> None:
    one = with_audio(splits, 7, lambda x: soxr.resample(x, RATE, 8000), rate=8000)
    report = check_data(one, ModelConfig())
    assert kinds(report) == {"low-rate": ["train07"]}
    assert "nothing above 4,000 Hz, others have" in report.findings[0].message
    assert report.rates == {8000: 1, RATE: 49}
    assert check_data(one, from_dict(ModelConfig, {"features": {"sample_rate": 8000}}, where="")).fatal == ()
    assert list(check(one, model=from_dict(ModelConfig, {"features": {"sample_rate": 8000}}, where=""))) == [
        "mixed-rates"
    ]
    higher = with_audio(one, 8, lambda x: soxr.resample(x, RATE, 44100), rate=44100)
    assert check(higher) == {"low-rate": ["train07"], "mixed-rates": ["16000 Hz", "44100 Hz"]}


def test_all_of_one_low_rate(splits: Splits) -> None:
    for split, some in splits.items():
        for i in range(len(some)):
            splits = with_audio(splits, i, lambda x: soxr.resample(x, RATE, 8000), rate=8000, split=split)
    report = check_data(splits, ModelConfig())
    assert list(kinds(report)) == ["low-rate"]
    assert "model.features.sample_rate=8000" in report.findings[0].message


# Texts


@pytest.mark.parametrize("text", ["", "  ", "?!"])
def test_no_text(text: str, splits: Splits) -> None:
    report = check_data(with_text(splits, 7, text), ModelConfig())
    assert kinds(report) == {
        "empty-text": ["train07"],
        **({"dropped-characters": ["'?'", "'!'"]} if "?" in text else {}),
    }
    assert not report.fatal


def test_no_text_at_all(splits: Splits) -> None:
    report = check_data({**splits, "train": [replace(u, text="...") for u in splits["train"]]}, ModelConfig())
    assert [f.kind for f in report.fatal] == ["empty-text"]


def test_a_placeholder_is_a_text_that_stands_too_often(splits: Splits) -> None:
    for i in range(6):
        splits = with_text(splits, i, "the dog jumps over a king of old")
    report = check_data(splits, ModelConfig())
    assert kinds(report) == {"repeated-text": ["the dog jumps over a king of old"]}
    assert "6 times, first in train00" in report.findings[0].examples[0].detail


def test_prompts_that_everybody_reads_are_no_placeholder(splits: Splits) -> None:
    """Five sentences, eight readers each."""
    by_length = sorted(splits["train"], key=lambda u: len(u.text))
    prompts = [replace(u, text=by_length[i // 8 * 8].text) for i, u in enumerate(by_length)]
    assert "repeated-text" not in check({**splits, "train": prompts})


def test_a_text_of_another_utterance(splits: Splits) -> None:
    long = " ".join(sentence(i) for i in range(50, 54))
    assert check(with_text(splits, 7, long)) == {"does-not-fit": ["train07"], "text-too-long": ["train07"]}
    twice = f"{splits['train'][7].text} {splits['train'][7].text}"
    assert check(with_text(splits, 7, twice)) == {"text-too-long": ["train07"]}
    stretched = with_audio(splits, 7, lambda x: speechlike(12, RATE, seed=9))
    assert check(with_text(stretched, 7, "the king")) == {"text-too-short": ["train07"]}
    drawn_out = with_audio(splits, 7, lambda x: speechlike(2, RATE, seed=9))
    assert check(with_text(drawn_out, 7, "the king")) == {}


def test_texts_that_do_not_fit_are_those_that_the_loss_leaves_out(splits: Splits) -> None:
    """Against the recogniser itself, with lengths around the limit."""
    model = from_dict(ModelConfig, {"encoder": {"hidden": 8, "layers": 1}}, where="")
    training = [replace(u, text="ab" * (8 + i)) for i, u in enumerate(splits["train"])]  # no equal neighbours
    training += [replace(u, id=f"{u.id}-double", text="a" * (8 + i)) for i, u in enumerate(splits["train"])]
    tokenizer = CharTokenizer.train(u.text for u in training)
    recognizer = build_recognizer(model, {tokenizer.kind: len(tokenizer)})
    objective = Objective(Model(recognizer, model, {tokenizer.kind: Head(tokenizer)}))
    left_out = set()
    for batch in load_batches(training, tokenizer, TextNormalizer(), sample_rate=RATE, batch_seconds=60):
        marks = objective(batch).left_out.tolist()
        left_out |= {key for key, mark in zip(batch.ids, marks, strict=True) if mark}
    assert 5 < len(left_out) < 75
    report = check_data({**splits, "train": training}, model)
    assert set(kinds(report)["does-not-fit"]) == left_out


def test_most_texts_do_not_fit(splits: Splits) -> None:
    model = from_dict(ModelConfig, {"encoder": {"factor": 16}}, where="")
    report = check_data(splits, model)
    (finding,) = report.fatal
    assert finding.kind == "does-not-fit"
    assert finding.count > 25
    lower = next(int(word.split("=")[1]) for word in finding.remedy.split() if "factor=" in word)
    for factor, expected in ((lower, 0), (lower + 1, 1)):
        model = from_dict(ModelConfig, {"encoder": {"factor": factor}}, where="")
        assert len(check(splits, model=model).get("does-not-fit", [])) >= expected
        assert expected or "does-not-fit" not in check(splits, model=model)


def test_longer_than_a_batch(splits: Splits) -> None:
    longest = max((u for some in splits.values() for u in some), key=lambda u: u.duration)
    assert check(splits, batch_seconds=longest.duration) == {}
    assert check(splits, batch_seconds=longest.duration - 1e-6) == {"longer-than-batch": [longest.id]}


# Characters


def changed(splits: Splits, change: Callable[[str], str], index: int = 7) -> Splits:
    return with_text(splits, index, change(splits["train"][index].text))


@pytest.mark.parametrize(
    ("kind", "character", "change"),
    [
        ("broken-characters", "\ufffd", lambda t: t.replace(" ", " \ufffd ", 1)),
        ("broken-characters", "\x1b", lambda t: f"\x1b{t}"),
        ("broken-characters", "\ue012", lambda t: f"{t}\ue012"),
        ("broken-characters", "Ã©", lambda t: f"{t} cafÃ©"),
        ("broken-characters", "&#39;", lambda t: f"{t} dog&#39;s"),
        ("broken-characters", "РјРёСЂ", lambda t: f"{t} РјРёСЂ"),
        ("mixed-scripts", "а", lambda t: f"{t} jаm"),  # Cyrillic
        ("mixed-scripts", "ο", lambda t: f"{t} bοx"),  # Greek
        ("mixed-scripts", "о", lambda t: f"{t} ох".replace("х", "x")),
        ("invisible-characters", "\u200b", lambda t: t.replace(" ", "\u200b ", 1)),
        ("invisible-characters", "\ufeff", lambda t: f"\ufeff{t}"),
        ("invisible-characters", "\u202e", lambda t: f"{t}\u202e"),
        ("rare-characters", "ß", lambda t: f"{t} groß"),
        ("rare-characters", "日", lambda t: f"{t} 日"),
    ],
)
def test_planted_in_the_characters(kind: str, character: str, change: Callable[[str], str], splits: Splits) -> None:
    report = check_data(changed(splits, change), ModelConfig())
    assert kinds(report) == {kind: [character]}
    assert "first in" in report.findings[0].examples[0].detail
    assert "train07" in report.findings[0].examples[0].detail


def test_a_word_all_of_another_script_that_looks_like_one_of_the_corpus(splits: Splits) -> None:
    """'ox' in Cyrillic letters beside 'ox' in Latin ones; a Russian word is not taken for anything."""
    planted = changed(splits, lambda t: f"{t} ox", 8)
    assert check(changed(planted, lambda t: f"{t} ох", 9)) == {"mixed-scripts": ["о", "х"]}
    russian = changed(planted, lambda t: f"{t} нет", 9)
    assert check(russian) == {"rare-characters": ["н", "е", "т"]}


@pytest.mark.parametrize(
    ("usual", "other"),
    [("'", "’"), ("ș", "ş"), ("ی", "ي"), ("ə", "ǝ"), ("カ", "ｶ"), ("a", "ａ")],
)
def test_look_alikes(usual: str, other: str, splits: Splits) -> None:
    for i in range(6):
        splits = changed(splits, lambda t: f"{t} x{usual}x", i)
    assert check(splits) == {}
    planted = check(changed(splits, lambda t: f"{t} x{other}x"))
    assert planted == ({"marks-made-one": ["wrote '’' as \"'\""]} if other == "’" else {"look-alikes": [other]})


def test_characters_whose_removal_parts_words(splits: Splits) -> None:
    once = check_data(changed(splits, lambda t: f"{t} and/or king!"), ModelConfig())
    assert kinds(once) == {"parted-words": ["'/'"], "dropped-characters": ["'/'", "'!'"]}
    assert {finding.severity for finding in once.findings} == {"note"}
    for i in range(10):
        splits = changed(splits, lambda t: f"{t} the?very", i)
    often = check_data(splits, ModelConfig())
    assert [f.severity for f in often.findings if f.kind == "parted-words"] == ["warning"]
    assert "'the?very'" in often.findings[0].examples[0].detail
    assert check(splits, model=from_dict(ModelConfig, {"text": {"letters": "?"}}, where="test")) == {}


def test_letters_that_are_taken_for_quotation_marks(splits: Splits) -> None:
    for i in range(6):
        splits = changed(splits, lambda t: f"'{t}' tog‘ ?ana", i)
    found = check(splits)
    assert found["dropped-at-edges"] == ["'‘'", "'?'"]
    assert found.keys() <= {"dropped-at-edges", "dropped-characters"}


def test_labels_are_no_words(splits: Splits) -> None:
    planted = check(changed(splits, lambda t: f"{t} [king] (laughing) (the) <very>"))
    assert planted["labels"] == ["[king]", "(laughing)", "<very>"]
    assert check(with_text(splits, 7, "sil"))["labels"] == ["sil"]


def test_colons_that_stay_within_words(splits: Splits) -> None:
    for i in range(6):
        splits = changed(splits, lambda t: f"{t} king:the 10:30: so", i)
    report = check_data(splits, ModelConfig())
    assert "'king:the'" in next(f for f in report.findings if f.kind == "colons-within-words").examples[0].detail


def test_characters_removed_between_letters(splits: Splits) -> None:
    planted = check(changed(splits, lambda t: t.replace("e", "e\u055e", 1)))
    assert planted == {"dropped-within-words": ["'\u055e'"], "dropped-characters": ["'\u055e'"]}


def test_letters_whose_case_is_that_of_another_language(splits: Splits) -> None:
    for i in range(6):
        splits = changed(splits, lambda t: f"{t} kız", i)
    assert check(splits) == {"dotless-i": [f"train{i:02d}" for i in range(6)]}
    turkish = from_dict(ModelConfig, {"text": {"language": "tr"}}, where="test")
    assert check(splits, model=turkish) == {}


def test_two_spellings_of_one_accent(splits: Splits) -> None:
    for i in range(6):
        splits = changed(splits, lambda t: f"{t} café", i)
    planted = changed(splits, lambda t: f"{t} cafe\u0301")
    assert check(planted) == {"two-spellings": ["train07"]}
    assert "look-alikes" not in check(planted)


def test_a_text_wholly_in_another_form_is_no_matter(splits: Splits) -> None:
    for i in range(6):
        splits = changed(splits, lambda t: f"{t} cafe\u0301", i)
    assert check(splits) == {}


def test_characters_that_training_never_has(splits: Splits) -> None:
    assert check(with_text(splits, 0, f"{splits['dev'][0].text} ñ", "dev")) == {"unseen-characters": ["ñ"]}


def test_scripts_that_belong_together_are_no_mixture(splits: Splits) -> None:
    """Japanese words, IPA with its Greek letters, Persian and Indic joiners."""
    texts = ["スマホで見る", "ðə θɪŋ βeta χi", "می\u200cخواهم", "क्\u200dष", "Привет мир", "CORAÇÃO «Â» naïve"]
    training = [replace(u, text=f"{u.text} {texts[i % 6]}") for i, u in enumerate(splits["train"])]
    found = check({**splits, "train": training})
    assert found.keys() <= {"does-not-fit", "text-too-long", "rare-characters", "dropped-characters"}


def test_spelling_out_what_was_meant() -> None:
    for text in ("é", "’", "п", "日", "ñ", "°"):
        wrong = text.encode().decode("latin-1")
        assert (wrong, f"{text!r} in a wrong encoding") in list(broken_pieces(wrong))
    assert not list(broken_pieces("CORAÇÃO MÃE À «Â» Â\xa0 naïve Ñandú ÄÖ"))
    assert skeleton("don’t") == skeleton("don't")
    assert skeleton("ﬁ") == "fi"
    assert len({skeleton(c) for c in ("h", "ʰ", "ⁿ", "n", "1", "¹", "₁", "w", "ʷ")}) == 9  # of phonetic alphabets


# Splits


def test_a_split_without_utterances(splits: Splits) -> None:
    report = check_data({**splits, "dev": []}, ModelConfig())
    assert kinds(report) == {"empty-split": ["dev"]}
    assert report.fatal


def test_a_speaker_on_both_sides(splits: Splits) -> None:
    dev = [replace(splits["dev"][0], speaker="train1"), *splits["dev"][1:]]
    report = check_data({**splits, "dev": dev}, ModelConfig())
    assert kinds(report) == {"shared-speakers": ["train1"]}
    assert report.findings[0].severity == "warning"


def test_all_speakers_on_both_sides_are_meant(splits: Splits) -> None:
    same = {split: [replace(u, speaker=u.speaker[-1]) for u in some] for split, some in splits.items()}
    assert [f.severity for f in check_data(same, ModelConfig()).findings if f.kind == "shared-speakers"] == ["note"]
    one = {split: [replace(u, speaker="me") for u in some] for split, some in splits.items()}
    assert check(one) == {}


def test_a_sentence_on_both_sides(splits: Splits) -> None:
    longest = max(splits["train"], key=lambda u: len(u.text))
    lengths = [abs(u.duration - longest.duration) for u in splits["dev"]]
    index = lengths.index(min(lengths))
    assert check(with_text(splits, index, longest.text.upper(), "dev")) == {"shared-texts": [splits["dev"][index].id]}


def test_audio_on_both_sides(splits: Splits, tmp_path: Path) -> None:
    """The same file, and a copy of it under another name; the text differs, so that it is not what is found."""
    one = replace(splits["dev"][0], audio=splits["train"][0].audio, duration=splits["train"][0].duration)
    assert check({**splits, "dev": [one, *splits["dev"][1:]]}) == {"leaked-audio": ["dev00"]}
    copy = tmp_path / "copy.flac"
    soundfile.write(copy, soundfile.read(splits["train"][0].audio)[0], RATE)
    report = check_data({**splits, "dev": [replace(one, audio=str(copy)), *splits["dev"][1:]]}, ModelConfig())
    assert kinds(report) == {"leaked-audio": ["dev00"]}
    assert not report.fatal
    assert "as train00 of train, with another text" in report.findings[0].examples[0].detail


def test_a_dev_set_that_was_trained_on_is_fatal(splits: Splits) -> None:
    planted = {**splits, "dev": [replace(u, id=f"dev-{u.id}") for u in splits["train"][:5]]}
    for order in (planted, dict(reversed(planted.items()))):
        assert [f.kind for f in check_data(order, ModelConfig()).fatal] == ["leaked-audio"]


def test_audio_twice_in_one_split(splits: Splits) -> None:
    again = replace(splits["train"][3], id="again", text=sentence(999))
    assert check({**splits, "train": [*splits["train"], again]}) == {"same-audio": ["again"]}


def test_a_single_manifest_has_no_other_side(splits: Splits) -> None:
    assert check({"cuts": splits["train"] + splits["dev"]}) == {}


# The cache, the time, the report


def test_the_second_reading_reads_nothing(splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = with_audio(splits, 7, np.zeros_like)
    first = check_data(planted, ModelConfig(), cache=tmp_path / "cache")
    monkeypatch.setattr("asr.data.check.audio_facts.measure_audio", lambda u: 1 / 0)
    assert check_data(planted, ModelConfig(), cache=tmp_path / "cache") == first


def test_a_file_that_changed_is_read_again(copied: Splits, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert check(copied, cache=cache) == {}
    audio = Path(copied["train"][7].audio)
    good = audio.read_bytes()
    audio.write_bytes(good[:44] + bytes(len(good) - 44))  # as long as before
    assert check(copied, cache=cache) == {"silent": ["train07"]}
    audio.unlink()
    assert check(copied, cache=cache) == {"unreadable": ["train07"]}
    audio.write_bytes(good)
    assert check(copied, cache=cache) == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: b"\x00\xff nonsense",
        lambda lines: b"",
        lambda lines: b"\n".join(lines)[:-20],
        lambda lines: b"\n".join([lines[0].replace(b'"format": 1', b'"format": 2'), *lines[1:]]),
        lambda lines: b"\n".join(lines).replace(b"16000", b'"16000"'),
        lambda lines: re.sub(rb"16000, 1, [\d.]+", b"16000, 1, NaN", b"\n".join(lines)),
        lambda lines: b"\n".join([lines[0], b"[" * 60000]),
        lambda lines: b"\n".join([lines[0], b" " * 1_000_000]),
    ],
)
def test_a_damaged_cache_does_no_harm(
    spoil: Callable[[list[bytes]], bytes], splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    assert check(splits, cache=cache) == {}
    cache.write_bytes(spoil(cache.read_bytes().splitlines()))
    read = []
    monkeypatch.setattr("asr.data.check.audio_facts.measure_audio", lambda u: read.append(u.id) or measure_audio(u))
    assert check(splits, cache=cache) == {}
    assert len(read) == 50


def test_a_folder_that_cannot_be_written_does_not_matter(splits: Splits, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert check(splits, cache=tmp_path / "file" / "cache") == {}


def test_time_that_does_not_suffice(splits: Splits, tmp_path: Path) -> None:
    report = check_data(with_text(splits, 7, ""), ModelConfig(), audio_seconds=-1, cache=tmp_path / "cache")
    assert list(kinds(report)) == ["empty-text", "audio-not-read"]
    assert "50 of 50 utterances" in report.findings[1].message
    assert not report.fatal
    assert check(splits, audio_seconds=1000) == {}


def test_what_was_read_in_time_counts_the_next_time(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = splits["train"]
    audio_facts(everything[:15], cache=tmp_path / "cache")
    facts = audio_facts(everything, cache=tmp_path / "cache", seconds=-1)
    assert [f is not None for f in facts] == [True] * 15 + [False] * 25


def test_progress_ends_at_the_whole(splits: Splits, tmp_path: Path) -> None:
    said: list[tuple[int, int | None]] = []
    check_data(splits, ModelConfig(), cache=tmp_path / "cache", progress=lambda done, total: said.append((done, total)))
    assert said[-1] == (50, 50)


def test_the_report_in_json_and_on_the_screen(splits: Splits) -> None:
    planted = {**splits, "dev": [replace(splits["dev"][0], id="\x1b[2Jevil\u202e\u009b", text=""), *splits["dev"][1:]]}
    for i in range(8):
        planted = with_text(planted, i, "")
    report = check_data(planted, ModelConfig())
    values = json.loads(json.dumps(report.as_dict()))
    assert values["format"] == 1
    (finding,) = values["findings"]
    assert (finding["kind"], finding["count"], len(finding["examples"])) == ("empty-text", 9, 9)
    text = report_text(report, training_time="an epoch takes 90 s")
    assert finding["message"] in " ".join(text.split())
    assert "and 4 more" in text
    assert "90 s" in text
    for shown in (text, report_text(report, examples=100)):
        assert all(c.isprintable() or c == "\n" for c in shown)
        assert max(map(len, shown.splitlines())) <= 100
    assert r"\x1b[2Jevil\u202e\x9b" in report_text(report, examples=100)


def test_one_screen_though_all_is_wrong(splits: Splits) -> None:
    makes = [np.zeros_like, lambda x: x + 0.1, lambda x: 0.02 * x, lambda x: np.clip(8 * x, -1, 1)]
    makes += [lambda x: np.stack([x, x], axis=1), two_speakers, lambda x: np.stack([x, 0 * x], axis=1)]
    for i, make in enumerate(makes * 3):
        splits = with_audio(splits, i, make)
    for i in range(25, 40):
        splits = with_text(splits, i, ["", "jаm ß\ufffd", "the\u200b king"][i % 3])
    report = check_data(splits, ModelConfig(), batch_seconds=1)
    assert len(report.findings) >= 11
    assert len(report_text(report).splitlines()) <= 60


def test_the_generators_of_chance_are_left_alone(splits: Splits) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    check_data(splits, ModelConfig(), audio_seconds=60)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_text_that_fits_only_at_normal_speed(splits: Splits) -> None:
    """100 frames of 10 ms in threes are 34 steps, at twice the speed 17."""
    u = splits["train"][0]
    short = {
        **splits,
        "train": [replace(u, duration=1.025, whole=False, text="abcdefghijklmnopqrst"), *splits["train"][1:]],
    }
    assert "does-not-fit" not in check(short)
    found = check_data(short, ModelConfig(), fastest=2.0)
    (finding,) = [f for f in found.findings if f.kind == "does-not-fit"]
    assert u.id in [e.name for e in finding.examples]
    assert "at speed 2" in finding.examples[0].detail
