"""Models made small: weights of fewer bits, a pruned language model, and what decodes as before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from helpers import WORDS, spelled_cuts, spelled_texts, speller, unigram_arpa
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result
from wording import wording

from asr.cli import app
from asr.evaluate.evaluation import evaluate
from asr.evaluate.tuning.tune import tune
from asr.lm.corpus import read_corpus
from asr.lm.files import read_ngram, save_ngram
from asr.lm.kneser_ney import EstimateOptions, estimate_ngram
from asr.models.folder import load_model, save_model
from asr.models.packing import pack
from asr.utils.errors import InputError


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spelled_cuts(tmp_path_factory.mktemp("dev"), spelled_texts(16, seed=5), seed=100)


@pytest.fixture
def folder(tmp_path: Path, cuts: Path) -> Path:
    """A tuned model with a language model and a lexicon."""
    save_model(tmp_path / "m", speller(), "# card\n")
    model = estimate_ngram(read_corpus(spelled_texts(400, seed=7)), EstimateOptions(order=3))
    save_ngram(model, tmp_path / "lm.safetensors")
    (tmp_path / "lexicon.txt").write_text("".join(f"{word}\n" for word in WORDS))
    tune(tmp_path / "m", cuts, lm=tmp_path / "lm.safetensors", lexicon=tmp_path / "lexicon.txt")
    return tmp_path / "m"


def asr_pack(model: Path, out: Path, *options: object) -> Result:
    return CliRunner().invoke(app, ["pack", "--model", str(model), "--out", str(out), *map(str, options)])


@pytest.mark.parametrize(("precision", "bytes_each"), [("float32", 4), ("float16", 2), ("int8", 1)])
def test_weights_of_fewer_bits(precision: str, bytes_each: int, folder: Path, cuts: Path, tmp_path: Path) -> None:
    out = pack(folder, tmp_path / "small", precision=precision)
    whole, small = load_model(folder), load_model(out)
    assert small.head.decoding == whole.head.decoding
    assert (out / "README.md").read_text() == "# card\n"
    assert (out / "lm.safetensors").read_bytes() == (folder / "lm.safetensors").read_bytes()
    matrices = 0
    for (name, a), (_, b) in zip(whole.recognizer.named_parameters(), small.recognizer.named_parameters(), strict=True):
        assert b.dtype == torch.float32
        # int8: half a unit of its row. float16: 11 bits.
        row = a.flatten(1).abs().amax(1).view(-1, *[1] * (a.ndim - 1)) if a.ndim > 1 else a.abs()
        off = {"float32": 0 * row, "float16": row * 2**-11, "int8": row / 254 if a.ndim > 1 else row * 2**-11}
        assert ((a - b).abs() <= off[precision] * 1.001 + 1e-7).all(), name
        matrices += a.numel() if a.ndim > 1 else 0
    taken = sum(v.nbytes for v in load_file(out / "model.safetensors").values() if v.ndim > 1)
    assert taken == bytes_each * matrices
    assert evaluate(small, cuts).words.rate <= evaluate(whole, cuts).words.rate + 0.02


@pytest.mark.slow
def test_a_language_model_of_a_size(folder: Path, cuts: Path, tmp_path: Path) -> None:
    whole = read_ngram(folder / "lm.safetensors")
    done = asr_pack(folder, tmp_path / "small", "--precision", "int8", "--lm-size", "1.2kB")
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "small").iterdir()}
    assert names == {"README.md", "config.yaml", "lexicon.txt", "lm.lmz", "model.safetensors", "tokens.txt"}
    assert (tmp_path / "small" / "lm.lmz").stat().st_size <= 1200
    small = load_model(tmp_path / "small")
    assert small.head.lm is not None
    found = read_ngram(small.head.lm)
    assert found.words == whole.words
    assert found.word.size < whole.word.size
    assert evaluate(small, cuts).words.rate < evaluate(small, cuts, greedy=True).words.rate
    # Tuned anew with another model, it has that one alone; saved, its file keeps its name.
    save_model(tmp_path / "again", small, "# card\n")
    assert (tmp_path / "again" / "lm.lmz").read_bytes() == small.head.lm.read_bytes()
    tune(tmp_path / "small", cuts, lm=unigram_arpa(tmp_path / "words.arpa", WORDS))
    assert not (tmp_path / "small" / "lm.lmz").exists()
    assert load_model(tmp_path / "small").head.lm == tmp_path / "small" / "lm.safetensors"


def test_a_card_of_its_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("# small\n")
    assert asr_pack(folder, tmp_path / "small", "--card", tmp_path / "card.md").exit_code == 0
    assert (tmp_path / "small" / "README.md").read_text() == "# small\n"
    weights = load_file(tmp_path / "small" / "model.safetensors")
    assert {value.dtype for name, value in weights.items() if name.startswith("encoder")} == {torch.float16}


@pytest.mark.slow
def test_what_cannot_be(folder: Path, tmp_path: Path) -> None:
    for arguments, message in [
        ((folder, folder), "is the model itself"),
        ((folder, tmp_path / "x", "--precision", "int4"), "none of float32, float16, int8"),
        ((folder, tmp_path / "x", "--lm-size", "many"), "is not a size"),
        ((folder, tmp_path / "x", "--lm-size", "100B"), "words alone need"),
        ((tmp_path / "nothing", tmp_path / "x"), "no such model"),
    ]:
        done = asr_pack(*arguments)
        assert done.exit_code == 2
        assert message in done.output
        assert not (tmp_path / "x").exists()


def test_units_that_do_not_fit_their_matrix(folder: Path, tmp_path: Path) -> None:
    out = pack(folder, tmp_path / "small", precision="int8")
    path = out / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith(".scale"))
    for change, message in [
        ({name: weights[name][:1]}, wording("has-shape")),
        ({name: None}, wording("has-shape")),
        ({name: weights[name] * float("nan")}, "NaN"),
    ]:
        save_file({key: value for key, value in {**weights, **change}.items() if value is not None}, path)
        with pytest.raises(InputError, match=message):
            load_model(out)
    os.truncate(path, 200)
    with pytest.raises(InputError, match="damaged"):
        load_model(out)
