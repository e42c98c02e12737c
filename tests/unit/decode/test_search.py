from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import WORDS, speller, unigram_arpa, with_head
from wording import wording

from asr.decode.search import EncoderOutput, build_search, encoder_output
from asr.lm.files import read_ngram, save_ngram
from asr.models.config import ModelConfig
from asr.models.decoding_options import DecodingOptions
from asr.models.folder import load_model, save_model
from asr.models.model import Head, Model
from asr.models.recognizer import build_recognizer
from asr.text.lexicon import read_lexicon
from asr.text.tokenizer import PhoneTokenizer, TokenizerConfig
from asr.utils.config import to_dict
from asr.utils.errors import InputError

ATTENTION = ("attention_beam", "ctc_weight", "length_reward", "length_norm", "end_factor")
RESCORING = ("rescore_beam", "rescore_weight")


def of_ctc(options: DecodingOptions) -> dict[str, Any]:
    """What a result is said to be decoded with."""
    return {name: value for name, value in to_dict(options).items() if name not in (*ATTENTION, *RESCORING)} | {
        "search": "beam"
    }


DEFAULTS = of_ctc(DecodingOptions())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "m", speller(), "# card\n")
    return tmp_path / "m"


def sure(model: Model, path: list[str | None], other: str = "") -> EncoderOutput:
    """What the network says of a path (None: blank), each token 0.6 sure; `other` and the rest share what is left."""
    names = model.tokenizer.tokens
    probs = torch.full((1, len(path), len(names)), 0.01)
    for frame, token in enumerate(path):
        if token == "a" and other:
            probs[0, frame, names.index(other)] = 0.3
        probs[0, frame, names.index(token) if token else 0] = 0.6
    return encoder_output((probs / probs.sum(2, keepdim=True)).log(), torch.tensor([len(path)]), None)


def texts(model: Model, **options: Any) -> list[str]:
    """What is heard where the network says "cat", and "cot" at half its probability."""
    return [
        each.text for each in build_search(model, **options).search.nbest(sure(model, ["c", "a", "t"], other="o"))[0]
    ]


def test_greedy_unless_something_else_is_there(folder: Path) -> None:
    model = load_model(folder)
    decoding = build_search(model)
    assert decoding.facts == {"search": "greedy"}
    found = decoding.search.nbest(sure(model, ["c", None, "c", "<space>", "a", "t"]))
    assert [[each.text for each in nbest] for nbest in found] == [["cc at"]]


@pytest.mark.parametrize("name", ["lm.safetensors", "lexicon.txt", "decoding"])
def test_what_the_folder_holds_is_used(folder: Path, tmp_path: Path, name: str) -> None:
    if name == "lm.safetensors":
        save_ngram(read_ngram(unigram_arpa(tmp_path / "x.arpa", {"cot": 0.9, "cat": 0.01})), folder / name)
        facts, expected = {"lm": name}, ["cot"]
    elif name == "lexicon.txt":
        (folder / name).write_text("cot\n")
        facts, expected = {"lexicon": name}, ["cot"]
    else:
        save_model(folder, with_head(speller(), decoding=DecodingOptions(nbest=2)), "# card\n")
        facts, expected = {"nbest": 2}, ["cat", "cot"]
    model = load_model(folder)
    assert texts(model) == expected
    assert build_search(model).facts == {**DEFAULTS, "search": "beam", **facts}
    assert texts(model, greedy=True) == ["cat"]
    assert build_search(model, greedy=True, lm="x", nbest=3).facts == {"search": "greedy"}


def test_what_is_given_is_used_instead_of_the_folders(folder: Path, tmp_path: Path) -> None:
    tuned = DecodingOptions(nbest=2, beam_size=7, lm_weight=0.0, word_score=1.5)
    save_model(folder, with_head(speller(), decoding=tuned), "# card\n")
    save_ngram(read_ngram(unigram_arpa(tmp_path / "x.arpa", {"cot": 0.9, "cat": 0.01})), folder / "lm.safetensors")
    (folder / "lexicon.txt").write_text("cot\ncat\n")
    model = load_model(folder)
    assert texts(model) == ["cat", "cot"]  # the weight is 0
    decoding = build_search(model, lm_weight=1.0)
    assert decoding.facts == {
        **of_ctc(replace(tuned, lm_weight=1.0)),
        "lm": "lm.safetensors",
        "lexicon": "lexicon.txt",
    }
    assert texts(model, lm_weight=1.0, nbest=1) == ["cot"]
    (tmp_path / "mine.txt").write_text("at\nact\n")
    assert texts(model, lexicon=tmp_path / "mine.txt", nbest=1) != texts(model, nbest=1)
    other = unigram_arpa(tmp_path / "other.arpa", {"cat": 0.9, "cot": 0.01})
    assert texts(model, lm=other, lm_weight=1.0) == ["cat", "cot"]
    (tmp_path / "hot.txt").write_text("cot\t9\n")
    assert texts(model, hotwords=tmp_path / "hot.txt") == ["cot", "cat"]
    named = build_search(model, lm=other, lexicon=tmp_path / "mine.txt", hotwords=tmp_path / "hot.txt").facts
    assert [named[name] for name in ("lm", "lexicon", "hotwords")] == ["other.arpa", "mine.txt", "hot.txt"]


@pytest.mark.parametrize(
    "option",
    [
        {"beam_size": 3},
        {"word_score": -1.0},
        {"prior_weight": 0.0},  # a default, asked for
        {"temperature": 2.0},
        {"beam_threshold": 9.0},
    ],
)
def test_any_option_asks_for_beam_search(folder: Path, option: dict[str, Any]) -> None:
    assert build_search(load_model(folder), **option).facts == {**DEFAULTS, "search": "beam", **option}


def test_no_limit_can_be_written_down(folder: Path) -> None:
    facts = build_search(load_model(folder), beam_threshold=float("inf"), token_threshold=float("inf")).facts
    json.dumps(facts, allow_nan=False)  # as scores.json is
    assert facts["search"] == "beam"


def test_options_that_are_none(folder: Path) -> None:
    model = load_model(folder)
    with pytest.raises(InputError, match=wording("no-option-beam-there-are")):
        build_search(model, beam=3)
    with pytest.raises(InputError, match="beam_size"):
        build_search(model, beam_size=-1)


def test_the_prior_is_the_models(folder: Path) -> None:
    """A token that is as frequent as it is probable counts for nothing once the prior is taken off."""
    model = load_model(folder)
    prior = torch.full((len(model.tokenizer),), 0.01)
    prior[model.tokenizer.tokens.index("a")] = 0.9
    save_model(folder, with_head(model, log_prior=prior.log()), "# card\n")
    model = load_model(folder)
    assert texts(model, prior_weight=0.0) == ["cat"]
    assert texts(model, prior_weight=1.0) == ["cot"]


@pytest.mark.parametrize("tuned", [False, True])
def test_a_prior_weight_without_a_prior_is_told(folder: Path, caplog: pytest.LogCaptureFixture, tuned: bool) -> None:
    options = DecodingOptions(prior_weight=0.3) if tuned else None
    save_model(folder, with_head(speller(), log_prior=None, decoding=options), "# card\n")
    model = load_model(folder)
    with caplog.at_level(logging.WARNING, "asr"):
        build_search(model, prior_weight=0.0)
        build_search(model, greedy=True)
        assert not caplog.records
        build_search(model, **({} if tuned else {"prior_weight": 0.3}))
    assert caplog.messages == [wording("m-the-model-has-no")]


def test_hot_words_alone(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    (tmp_path / "hot.txt").write_text("cot\n")
    assert texts(model, hotwords=tmp_path / "hot.txt") == ["cot"]
    assert texts(model, hotwords=tmp_path / "hot.txt", hotword_boost=0.1) == ["cat"]


@pytest.mark.parametrize("hotwords", [["Cot!"], {"COT": None}, {"cot": 5.0}])
def test_hot_words_are_written_as_the_model_writes(folder: Path, hotwords: Any) -> None:
    assert texts(load_model(folder), hotwords=hotwords) == ["cot"]
    with pytest.raises(InputError, match=wording("a-phrase-has-no-letter")):
        build_search(load_model(folder), hotwords=["..."])


def phones(lexicon: str, folder: Path) -> Model:
    """A model of phones, upper-case letters; its own lexicon teaches that c is K."""
    (folder / "lexicon.txt").write_text(lexicon)
    tokens = ["<blank>", *"KATOS"]
    tokenizer = PhoneTokenizer(tokens, read_lexicon(folder / "lexicon.txt"))
    recognizer = build_recognizer(ModelConfig(tokenizer=TokenizerConfig(kind="phones")), {"phones": len(tokens)})
    return Model(recognizer, ModelConfig(tokenizer=TokenizerConfig(kind="phones")), {"phones": Head(tokenizer)})


def test_hot_words_that_a_lexicon_of_phones_lacks_are_guessed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = ["cat", "coat", "act", "toc", "so", "as", "sac", "cost", "coast", "tact"]
    model = phones("".join(f"{w}\t{' '.join(w.upper().replace('C', 'K'))}\n" for w in said), tmp_path)

    def heard(*path: str | None, **options: Any) -> str:
        return build_search(model, **options).search.nbest(sure(model, list(path)))[0][0].text

    assert heard("K", "O", "T") != "cot"
    with caplog.at_level(logging.WARNING, "asr"):
        assert heard("K", "O", "T", hotwords=["Cot"]) == "cot"
    assert wording("how-words-are-said-is") in caplog.messages
    (tmp_path / "own.txt").write_text("cat\ncot\nsac\tS A S\n")
    assert heard("K", "O", "T", lexicon=tmp_path / "own.txt") == "cot"
    assert heard("K", "A", "T", lexicon=tmp_path / "own.txt") == "cat"
    assert heard("S", "A", "S", lexicon=tmp_path / "own.txt") == "sac"
    assert heard("A", "K", "T", lexicon=tmp_path / "own.txt") != "act"


def test_the_vocabulary_is_one_the_model_can_say(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lexicon.txt").write_text("xyz\n")
    with pytest.raises(InputError, match=wording("none-of-its-1-words-2")) as error:
        build_search(load_model(folder), lexicon=tmp_path / "lexicon.txt")
    assert str(error.value).startswith(f"{tmp_path / 'lexicon.txt'}: ")
    assert set("".join(WORDS)) <= set(load_model(folder).tokenizer.tokens)
