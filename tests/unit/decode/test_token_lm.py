from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from wording import wording

from asr.decode.token_lm import TokenLm
from asr.lm.corpus import read_corpus
from asr.lm.kneser_ney import EstimateOptions, estimate_ngram
from asr.lm.ngram import NgramModel
from asr.utils.errors import InputError

TOKENS = ["<blank>", "<space>", "a", "b", "c"]


@pytest.fixture(scope="module")
def model() -> NgramModel:
    rng = random.Random(0)
    texts = [" ".join(rng.choices(TOKENS[1:4], k=rng.randint(1, 9))) for _ in range(200)]
    return estimate_ngram(read_corpus(texts), EstimateOptions(order=4))


def test_scores_are_those_of_the_model(model: NgramModel) -> None:
    lm, rng = TokenLm(model, TOKENS), random.Random(1)
    for _ in range(20):
        text = rng.choices(range(1, 5), k=rng.randint(0, 8))  # one of the tokens is unknown
        state, said, total = lm.start(1), torch.tensor([[0]]), 0.0
        for token in [*text, 0]:
            log_probs, state = lm(said, state)
            total += float(log_probs[0, 0, token])
            said = torch.tensor([[token]])
        expected = model.score([TOKENS[token] for token in text])
        assert total / 2.302585 == pytest.approx(expected, abs=1e-5)


def test_hypotheses_go_on_from_their_parents(model: NgramModel) -> None:
    lm = TokenLm(model, TOKENS)
    _, state = lm(torch.tensor([[0]] * 2), lm.start(2))
    state = state.chosen(torch.zeros(2, 3, dtype=torch.long))
    first = torch.tensor([[1, 2, 3], [3, 2, 1]])
    _, state = lm(first, state)
    parents = torch.tensor([[2, 0], [1, 1]])
    then = torch.tensor([[2, 2], [1, 3]])
    found, _ = lm(then, state.chosen(parents))
    for b in range(2):
        for k in range(2):
            text = [TOKENS[int(first[b, parents[b, k]])], TOKENS[int(then[b, k])]]
            end = model.score(text) - model.score(text, eos=False)
            assert float(found[b, k, 0]) / 2.302585 == pytest.approx(end, abs=1e-5)


def test_a_model_of_other_units_is_refused(model: NgramModel, tmp_path: Path) -> None:
    words = estimate_ngram(read_corpus(["hello world", "world"]), EstimateOptions(order=2))
    with pytest.raises(InputError, match=wording("is-of-other-units-hello")):
        TokenLm(words, TOKENS)
