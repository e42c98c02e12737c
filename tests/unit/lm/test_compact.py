"""Language models in few bytes: what is kept, what is rounded, files that are damaged."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.lm.compact import MAGIC, compact_bytes, write_compact
from asr.lm.corpus import read_corpus
from asr.lm.files import read_ngram, save_ngram, written_size
from asr.lm.kneser_ney import EstimateOptions, estimate_ngram
from asr.lm.ngram import NgramModel
from asr.utils.errors import InputError


def sentences(count: int, seed: int = 0) -> list[str]:
    """Of a language in which words like to follow those one letter before."""
    rng = np.random.default_rng(seed)
    words = [f"{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"]
    texts = []
    for _ in range(count):
        at = rng.integers(len(words), size=1)[0]
        text = []
        for _ in range(rng.integers(1, 9)):
            text.append(words[at])
            at = (at + rng.choice([1, 1, 1, 7, rng.integers(len(words))])) % len(words)
        texts.append(" ".join(text))
    return texts


def model_of(order: int, count: int = 3000) -> NgramModel:
    return estimate_ngram(read_corpus(sentences(count)), EstimateOptions(order=order))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_tree_is_kept_and_probabilities_nearly(order: int, tmp_path: Path) -> None:
    model = model_of(order)
    write_compact(model, tmp_path / "m.lmz")
    read = read_ngram(tmp_path / "m.lmz")
    assert read.words == model.words
    assert read.order == order
    for name in ("word", "link", "first", "is_state"):
        assert np.array_equal(getattr(read, name), getattr(model, name)), name
    text = sentences(300, seed=1)
    assert read.perplexity(text).perplexity == pytest.approx(model.perplexity(text).perplexity, rel=0.01)
    assert read.score("ak bl", bos=False) == pytest.approx(model.score("ak bl", bos=False), abs=0.3)
    assert read.log_prob[1 + read.bos] == pytest.approx(model.log_prob[1 + model.bos])  # -99, with no other
    if order > 1:
        assert (tmp_path / "m.lmz").stat().st_size < written_size(model, "m.safetensors") / 4


def test_few_values_are_kept_as_they_are(tmp_path: Path) -> None:
    """Of up to 255 different ones none is rounded."""
    model = model_of(2, count=20)
    write_compact(model, tmp_path / "m.lmz")
    read = read_ngram(tmp_path / "m.lmz")
    assert np.unique(model.log_prob).size < 255
    assert np.allclose(read.log_prob, model.log_prob, atol=1e-6)
    assert np.allclose(read.backoff, model.backoff, atol=1e-6)


def test_from_the_command_line(tmp_path: Path) -> None:
    save_ngram(model_of(3), tmp_path / "m.safetensors")
    done = CliRunner().invoke(
        app, ["lm", "prune", f"{tmp_path}/m.safetensors", "--out", f"{tmp_path}/small.lmz", "--max-size", "6kB"]
    )
    assert done.exit_code == 0, done.output
    size = (tmp_path / "small.lmz").stat().st_size
    assert 5000 < size <= 6000
    small = read_ngram(tmp_path / "small.lmz")
    assert written_size(small, "m.lmz") <= size  # what is rounded is not rounded up again
    assert small.counts[0] == model_of(3).counts[0]
    assert (
        CliRunner().invoke(app, ["lm", "convert", f"{tmp_path}/small.lmz", "--out", f"{tmp_path}/a.arpa"]).exit_code
        == 0
    )
    assert np.array_equal(read_ngram(tmp_path / "a.arpa").log_prob, small.log_prob)


def packed(data: bytes) -> bytes:
    return MAGIC + lzma.compress(data)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "m.lmz"
    whole = compact_bytes(model_of(2, count=50))
    inside = lzma.decompress(whole[len(MAGIC) :])
    line, _, rest = inside.partition(b"\n")
    for broken, message in [
        (whole[:-40], wording("cut-short-unpacked")),
        (whole[:100] + b"\0\0\0\0" + whole[104:], "unpacked"),
        (MAGIC, wording("cut-short")),
        (packed(inside[:-3]), wording("cut-short")),
        (packed(inside + b"more"), wording("more-follows")),
        (packed(b"[]\n" + rest), "header"),
        (packed(line.replace(b'"order": 2', b'"order": 3') + b"\n" + rest), "header"),
        (packed(line.replace(b'"bytes": ', b'"bytes": 9') + b"\n" + rest), wording("cut-short")),
        (packed(b'{"order": 1, "counts": [900000000], "bytes": 0}\n'), "words"),
        (packed(line + b"\n" + b"\xff" + rest[1:]), "UTF-8"),
    ]:
        path.write_bytes(broken)
        with pytest.raises(InputError, match=message):
            read_ngram(path)


def test_a_bomb_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.lm.compact._MOST", 1 << 20)
    (tmp_path / "m.lmz").write_bytes(packed(b"\0" * (1 << 26)))
    with pytest.raises(InputError, match=wording("larger-than-any-model")):
        read_ngram(tmp_path / "m.lmz")
