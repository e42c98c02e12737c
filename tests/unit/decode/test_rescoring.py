"""Texts that a search found, chosen anew with a neural language model; and the commands around it."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import WORDS, spelled, spelled_cuts, spelled_texts, speller, unigram_arpa, with_decoder
from typer.testing import CliRunner, Result
from wording import wording

from asr.cli import app
from asr.data.transcript import Hypothesis, Word
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.rescoring import Rescoring
from asr.decode.search import build_search
from asr.models.decoding_options import DecodingOptions
from asr.models.folder import load_model, save_model
from asr.models.neural_lm import END, UNK, LmConfig, NeuralLm, read_neural_lm, save_neural_lm
from asr.utils.errors import InputError


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def neural(words: list[str]) -> NeuralLm:
    torch.manual_seed(0)
    return NeuralLm([END, *words], LmConfig(hidden=8, layers=1)).eval()


def hypothesis(text: str, acoustic: float, lm: float) -> Hypothesis:
    tokens = tuple(Word(c if c != " " else "<space>", 0, 0, 1) for c in text)
    return Hypothesis(text, (), acoustic + lm, acoustic, lm, tokens=tokens)


class Found:
    """A Search that finds the same texts, whatever is heard."""

    needs_states, has_times, lm_share = False, True, 1.0

    def __init__(self, *texts: Hypothesis, ctc: CtcBeamDecoder | None = None, length_norm: float = 0.0) -> None:
        self.texts, self.ctc, self.length_norm = list(texts), ctc, length_norm

    def nbest(self, out: object, names: object = None) -> list[list[Hypothesis]]:
        return [self.texts]

    def with_options(self, **changes: Any) -> Found:
        return self


def rescored(lm: NeuralLm, options: DecodingOptions, *texts: Hypothesis, **search: Any) -> list[Hypothesis]:
    """Texts as they are ordered then."""
    return Rescoring(speller(), lm, Found(*texts, **search), options).nbest(None)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model m, dev/ with cuts, an n-gram model, and a text of the words."""
    folder = tmp_path_factory.mktemp("rescored")
    save_model(folder / "m", speller(), "# card\n")
    spelled_cuts(folder / "dev", spelled_texts(6, 3), seed=100)
    unigram_arpa(folder / "lm.arpa", WORDS)
    (folder / "text.txt").write_text("\n".join(spelled_texts(600, 5)) + "\n")
    return folder


def test_scores_are_those_of_the_formula() -> None:
    lm = neural([UNK, "cat", "act", "oak"])
    texts = [hypothesis("cat act", -3.0, -2.0), hypothesis("oak", -3.5, -1.0), hypothesis("cat zebra", -1.0, -2.5)]
    sure = lm.log_probs(["cat act", "oak", "cat zebra"])
    for weight in (0.0, 0.3, 1.0):
        options = DecodingOptions(rescore_weight=weight, lm_weight=0.7, unk_score=-4.0, unk_letter_score=-0.5, nbest=3)
        found = rescored(lm, options, *texts)
        expected = {
            each.text: each.acoustic_score
            + (1 - weight) * each.lm_score
            + weight * (0.7 * p - (4.0 + 5 * 0.5) * ("zebra" in each.text))
            for each, p in zip(texts, sure, strict=True)
        }
        assert {each.text: pytest.approx(each.score, abs=1e-6) for each in found} == expected
        assert [each.text for each in found] == sorted(expected, key=lambda text: -expected[text])
        assert all(each.score == pytest.approx(each.acoustic_score + each.lm_score) for each in found)
    assert len(rescored(lm, DecodingOptions(), *texts)) == 1


def test_two_passes_give_the_neural_model_the_share_of_ctc(folder: Path) -> None:
    """Of weight 1 nothing of the n-gram is left in the score, and the neural model has its place."""
    model = with_decoder()
    lm = neural([UNK, *WORDS])
    save_neural_lm(lm, folder / "words.safetensors")
    options = {"lm": folder / "lm.arpa", "search": "two-pass", "ctc_weight": 0.3, "lm_weight": 0.7, "nbest": 6}
    samples = torch.from_numpy(spelled("cat tack", 4))[None]
    lens = torch.tensor([samples.shape[1]])
    options |= {"attention_beam": 6, "unk_score": -3.0, "unk_letter_score": 0.0}
    plain = build_search(model, **options).decode(model.recognizer, samples, lens).nbest[0]
    options |= {"rescore": folder / "words.safetensors", "rescore_weight": 1.0, "rescore_beam": 6}
    chosen = {h.text: h for h in build_search(model, **options).decode(model.recognizer, samples, lens).nbest[0]}
    assert len(plain) > 2
    assert chosen.keys() == {each.text for each in plain}
    for each in plain:
        assert each.score == pytest.approx(each.acoustic_score + each.lm_score + each.word_score, abs=1e-3)
        unknown = sum(word not in lm.index for word in each.text.split())
        expected = 0.3 * (0.7 * lm.log_probs([each.text])[0] - 3.0 * unknown)
        assert chosen[each.text].lm_score == pytest.approx(expected, abs=1e-3)
        assert chosen[each.text].score == pytest.approx(each.score - each.lm_score + expected, abs=1e-3)


def test_attention_tells_when_the_chosen_text_is_said(folder: Path) -> None:
    model = with_decoder()
    lm = neural(model.tokenizer.tokens[1:])
    with torch.no_grad():
        lm.bias[lm.index["k"]] = 30.0
    save_neural_lm(lm, folder / "tokens.safetensors")
    options = {"search": "attention", "attention_beam": 8, "rescore_weight": 1.0, "rescore_beam": 8, "lm_weight": 20.0}
    samples = torch.from_numpy(spelled("cat", 4))[None]
    given = model.recognizer, samples, torch.tensor([samples.shape[1]])
    plain = build_search(model, search="attention", attention_beam=8).decode(*given).nbest[0][0]
    found = build_search(model, rescore=folder / "tokens.safetensors", **options).decode(*given).nbest[0][0]
    assert found.text != plain.text
    assert found.words
    assert all(0 <= word.start < word.end and word.confidence > 0 for word in found.words)


def test_scores_that_count_a_token_stay_so() -> None:
    """What is level to a search that divides by length is level still, where the neural model thinks alike of both."""
    model = speller()
    lm = neural(model.tokenizer.tokens[1:])
    with torch.no_grad():
        for weight in lm.parameters():
            weight.zero_()
    texts = [hypothesis("cat", -1.0, 0.0), hypothesis("catcatcat", -1.0, 0.0)]
    options = DecodingOptions(length_norm=1.0, nbest=2)
    first, second = rescored(lm, options, *texts, length_norm=1.0)
    assert first.score == pytest.approx(second.score)
    assert first.score < -1.1


def test_what_ctc_hears_of_spaces_is_not_text() -> None:
    model = speller()
    lm = neural(model.tokenizer.tokens[1:])
    rescoring = Rescoring(model, lm, Found(), DecodingOptions())
    tidy, untidy = hypothesis("cat oak", 0.0, 0.0), hypothesis(" cat  oak ", 0.0, 0.0)
    assert rescoring.of_texts([untidy]) == rescoring.of_texts([tidy])
    assert rescoring.of_texts([hypothesis(" ", 0.0, 0.0)]) == lm.log_probs([[]])


def lm_scores(texts: list[str], beside: NeuralLm, lm_unit: str = "auto", **given: object) -> list[float]:
    """What texts get of a neural model beside a decoder made with what is given."""
    model = speller()
    options = DecodingOptions(
        rescore_weight=1.0, lm_weight=0.7, unk_score=-2.0, unk_letter_score=-1.0, nbest=len(texts)
    )
    decoder = CtcBeamDecoder(model.tokenizer.tokens, options=replace(options, lm_unit=lm_unit), **given)
    found = rescored(beside, options, *(hypothesis(text, 0.0, 0.0) for text in texts), ctc=decoder)
    scores = {each.text: each.lm_score for each in found}
    return [scores[text] for text in texts]


def test_words_that_it_lacks_share_what_unk_has(tmp_path: Path) -> None:
    """As p(<unk>) of interpolated models: by the n-gram's unigrams, of which <unk> has one too."""
    lm = neural([UNK, "cat"])
    unigrams = {"<unk>": 0.05, "</s>": 0.25, "cat": 0.2, "oak": 0.3, "act": 0.2, "<s>": 1e-99}
    lines = [f"{math.log10(p):.6f}\t{word}" for word, p in unigrams.items()]
    head = f"\\data\\\nngram 1={len(lines)}\n\n\\1-grams:\n"
    (tmp_path / "lm.arpa").write_text(head + "\n".join(lines) + "\n\n\\end\\\n")
    texts = ["oak", "act", "cat", "taco", "oak act"]
    plain = [0.7 * p for p in lm.log_probs(texts)]
    shares = {"oak": 0.3 / 0.55, "act": 0.2 / 0.55, "cat": 1.0, "taco": 0.05 / 0.55}
    expected = [p + 0.7 * sum(math.log(shares[w]) for w in text.split()) for p, text in zip(plain, texts, strict=True)]
    expected[3] -= 2.0 + 4 * 1.0
    assert lm_scores(texts, lm, lm=tmp_path / "lm.arpa") == pytest.approx(expected, abs=1e-4)
    hot = lm_scores(texts, lm, lm=tmp_path / "lm.arpa", hotwords={"taco": None})
    assert hot == pytest.approx([*expected[:3], expected[3] + 4.0, expected[4]], abs=1e-4)
    (tmp_path / "words.txt").write_text("oak\nact\ncat\n")
    of_tokens = lm_scores(texts[:1], lm, lm=tmp_path / "lm.arpa", lm_unit="token")  # which knows of no words
    assert of_tokens == pytest.approx([plain[0] - 2.0 - 3 * 1.0], abs=1e-4)
    alone = lm_scores(texts[:3], lm, lexicon=tmp_path / "words.txt")
    assert alone == pytest.approx([plain[0] + 0.7 * math.log(1 / 3), plain[1] + 0.7 * math.log(1 / 3), plain[2]])


def test_no_language_model_and_nothing_found() -> None:
    lm = neural([UNK, "cat"])
    text, nothing = hypothesis("cat", -1.0, 0.0), Hypothesis("", score=-math.inf, lm_score=-math.inf)
    options = DecodingOptions(lm_weight=0.0, rescore_weight=0.5, nbest=2)
    found = rescored(lm, options, nothing, text)
    assert found[0].score == pytest.approx(-1.0 + 0.5 * DecodingOptions().lm_weight * lm.log_probs(["cat"])[0])
    assert found[1] == nothing


def test_a_model_that_is_named_is_asked(folder: Path, tmp_path: Path) -> None:
    """Where another one was of no use, too; weight 0 says no."""
    shutil.copytree(folder / "m", tmp_path / "m")
    model = load_model(tmp_path / "m")
    model.head.decoding = DecodingOptions(rescore_weight=0.0)
    save_neural_lm(neural([UNK, *WORDS]), tmp_path / "lm.safetensors")
    asked = build_search(model, rescore=tmp_path / "lm.safetensors")
    assert asked.facts["rescore_weight"] == DecodingOptions().rescore_weight
    assert "rescore" not in build_search(model, rescore=tmp_path / "lm.safetensors", rescore_weight=0.0).facts


def test_a_text_is_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, asked = neural([UNK, "cat", "act"]), []
    own = lm.log_probs

    def log_probs(texts: list[tuple[str, ...]]) -> list[float]:
        asked.extend(texts)
        return own(texts)

    monkeypatch.setattr(lm, "log_probs", log_probs)
    texts = [hypothesis(text, -1.0, 0.0) for text in ("cat act", "cat", "act", "cat")]
    rescoring = Rescoring(speller(), lm, Found(), DecodingOptions())
    found = rescoring.of_texts(texts)
    assert rescoring.of_texts(texts[::-1]) == found[::-1]
    assert sorted(asked) == [("act",), ("cat",), ("cat", "act")]
    monkeypatch.setattr("asr.decode.rescoring._MOST_KNOWN", 3)
    assert rescoring.of_texts([hypothesis("act cat", -1.0, 0.0), texts[0]])[1] == found[0]
    assert len(asked) == 5


def test_units() -> None:
    model = speller()
    of_tokens = neural(model.tokenizer.tokens[1:])
    texts = rescored(of_tokens, DecodingOptions(lm_weight=1.0), hypothesis("cat", -1.0, 0.0))
    assert texts[0].lm_score == pytest.approx(0.5 * of_tokens.log_probs([["c", "a", "t"]])[0])
    with pytest.raises(InputError, match=wording("neither-of-words-nor-of")):
        Rescoring(model, neural(["x", "y"]), Found(), DecodingOptions())


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["word", "token"])
def test_from_text_to_choice(unit: str, folder: Path, tmp_path: Path) -> None:
    lm = tmp_path / "lm.safetensors"
    shape = ("model.hidden=16", "model.layers=1", "epochs=8", "learning_rate=0.01")
    made = run(
        "lm",
        "train-neural",
        *shape,
        "--data",
        folder / "text.txt",
        "--out",
        lm,
        "--model",
        folder / "m",
        "--unit",
        unit,
    )
    assert made.exit_code == 0, made.output
    assert wording("epoch-8-8-loss") in made.stderr
    assert (tmp_path / "lm.safetensors.run" / "log.jsonl").is_file()
    told = run("lm", "perplexity", lm, folder / "text.txt", "--model", folder / "m", "--unit", unit)
    assert told.exit_code == 0, told.output
    perplexity = float(re.search(r"perplexity (\S+)", told.stdout)[1])
    model = read_neural_lm(lm)
    if unit == "token":
        words = int(re.search(r"of ([\d,]+) words;", told.stdout)[1].replace(",", ""))
        tokens = int(re.search(r"of ([\d,]+) tokens", told.stdout)[1].replace(",", ""))
        a_word = float(re.search(r"; (\S+) of [\d,]+ words", told.stdout)[1])
        assert words == sum(len(text.split()) for text in (folder / "text.txt").read_text().splitlines())
        assert a_word == pytest.approx(perplexity ** ((tokens + 600) / (words + 600)), rel=0.02)
        assert model.words[1:] == load_model(folder / "m").tokenizer.tokens[1:]
    else:
        assert perplexity < 0.95 * len(model.words)
    out = tmp_path / "out"
    options = ("--lm", folder / "lm.arpa", "--rescore", lm, "--rescore-weight", "0.4", "--nbest", "3")
    done = run("evaluate", folder / "dev" / "cuts.jsonl.gz", "--model", folder / "m", "--out", out, *options)
    assert done.exit_code == 0, done.output
    facts = json.loads((out / "scores.json").read_text())["decoding"]
    assert (facts["rescore"], facts["rescore_weight"], facts["nbest"]) == ("lm.safetensors", 0.4, 3)
    rows = [json.loads(line) for line in (out / "hypotheses.jsonl").read_text().splitlines()]
    assert all(len(row["nbest"]) <= 3 for row in rows)
    assert any(len(row["nbest"]) == 3 for row in rows)
    heard = run("transcribe", folder / "dev" / "u000.wav", "--no-vad", "--model", folder / "m", *options[:6])
    assert heard.exit_code == 0, heard.output
    assert heard.stdout.strip() == rows[0]["nbest"][0]["text"]


def test_the_choice_changes_what_is_heard(folder: Path) -> None:
    """A model that knows one word alone makes it of what sounds alike."""
    model = load_model(folder / "m")
    torch.manual_seed(0)
    lm = NeuralLm([END, UNK, "tack", "taco"], LmConfig(hidden=8, layers=1)).eval()
    with torch.no_grad():
        lm.bias[:] = torch.tensor([0.0, -50.0, -50.0, 50.0])
    save_neural_lm(lm, folder / "taco.safetensors")
    (folder / "two.txt").write_text("tack\ntaco\n")
    samples = torch.from_numpy(spelled("tack", 4))[None]
    lens = torch.tensor([samples.shape[1]])
    given = {"lexicon": folder / "two.txt", "lm_weight": 5.0}
    plain = build_search(model, **given).decode(model.recognizer, samples, lens).nbest[0][0]
    assert plain.text == "tack"
    given |= {
        "rescore": folder / "taco.safetensors",
        "rescore_weight": 1.0,
        "beam_threshold": math.inf,
        "token_threshold": math.inf,
    }
    chosen = build_search(model, **given).decode(model.recognizer, samples, lens).nbest[0][0]
    assert chosen.text == "taco"


@pytest.mark.slow
def test_the_weight_is_found_on_dev_and_kept(folder: Path, tmp_path: Path) -> None:
    """A model that knows which words follow each other, where the n-gram knows words alone."""
    model = tmp_path / "m"
    shutil.copytree(folder / "m", model)
    said = ["cat act oak", "act cot tack", "oak taco cat"]
    spelled_cuts(tmp_path / "dev", [said[i % 3] for i in range(9)], seed=300)
    (tmp_path / "text.txt").write_text("\n".join(said * 100) + "\n")
    lm = tmp_path / "lm.safetensors"
    shape = ("model.kind=gru", "model.hidden=16", "model.layers=1", "epochs=20", "learning_rate=0.02")
    assert (
        run("lm", "train-neural", *shape, "--data", tmp_path / "text.txt", "--out", lm, "--model", model).exit_code == 0
    )
    cuts = tmp_path / "dev" / "cuts.jsonl.gz"
    plain = run("tune", cuts, "--model", model, "--lm", folder / "lm.arpa")
    assert plain.exit_code == 0, plain.output
    assert "rescore_weight" not in plain.stdout
    done = run("tune", cuts, "--model", model, "--rescore", lm)
    assert done.exit_code == 0, done.output
    weight = float(re.search(r"rescore_weight (\S+),", done.stdout)[1])
    errors = [int(re.search(r"\((\d+) of \d+ words", text)[1]) for text in (plain.stdout, done.stdout)]
    assert errors[1] < errors[0]
    assert weight > 0
    kept = load_model(model)
    assert kept.head.neural_lm == model / "neural-lm.safetensors"
    assert kept.head.decoding.rescore_weight == weight
    assert "neural-lm.safetensors" in (model / "config.yaml").read_text()
    again = run("evaluate", cuts, "--model", model, "--out", tmp_path / "out")
    assert again.exit_code == 0, again.output
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["decoding"]["rescore"] == "neural-lm.safetensors"
    assert scores["wer"]["errors"] == errors[1]
    without = run("evaluate", cuts, "--model", model, "--out", tmp_path / "without", "--rescore-weight", "0")
    assert without.exit_code == 0, without.output
    assert "rescore" not in json.loads((tmp_path / "without" / "scores.json").read_text())["decoding"]
    (model / "neural-lm.safetensors").unlink()
    assert wording("has-no-neural-lm-safetensors") in run("evaluate", cuts, "--model", model).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model.kind=elman",), "model.kind: 'elman'"),
        (("--hidden", "16"), "hidden=16"),
        (("model.hiden=16",), "'hidden'"),
        (("model.kind=transformer", "model.hidden=30"), wording("cannot-be-parted-into-4")),
    ],
)
def test_what_cannot_be_trained(words: tuple[str, ...], message: str, folder: Path, tmp_path: Path) -> None:
    done = run("lm", "train-neural", *words, "--data", folder / "text.txt", "--out", tmp_path / "lm.safetensors")
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_asked(folder: Path, tmp_path: Path) -> None:
    save_neural_lm(neural([UNK, "cat"]), tmp_path / "n.safetensors")
    cuts = folder / "dev" / "cuts.jsonl.gz"
    for options, message in (
        (
            ("--lm", tmp_path / "n.safetensors"),
            wording("is-a-neural-model-which"),
        ),
        (("--rescore", folder / "lm.arpa"), wording("lm-arpa-is-damaged")),
        (("--rescore", tmp_path / "n.safetensors", "--greedy"), wording("greedy-search-finds-one")),
        (("--rescore", tmp_path / "none.safetensors"), wording("no-such-file")),
    ):
        done = run("evaluate", cuts, "--model", folder / "m", *options)
        assert done.exit_code == 2, done.output
        assert message in done.stderr
    done = run("lm", "train-neural", "--data", folder / "text.txt", "--out", tmp_path / "lm.arpa")
    assert wording("lm-arpa-is-no-name") in done.stderr
