from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from asr.decode.attention_beam import attention_beam_search
from asr.decode.ctc_prefix import CtcPrefixScorer
from asr.models.attention_decoder import AttentionDecoder, AttentionDecoderConfig
from asr.models.decoding_options import DecodingOptions
from asr.utils.errors import InputError

V = 4  # blank (or end) and three tokens


def ctc_of(log_probs: Tensor, text: tuple[int, ...]) -> float:
    """log p(text) by torch."""
    given = log_probs[:, None], torch.tensor([list(text)], dtype=torch.long), [len(log_probs)], [len(text)]
    if not text:
        return float(log_probs[:, 0].sum())
    return -float(torch.nn.functional.ctc_loss(*given, reduction="sum"))


def texts(most: int) -> list[tuple[int, ...]]:
    return [text for n in range(most + 1) for text in itertools.product(range(1, V), repeat=n)]


def heard(*lens: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    log_probs = (2 * torch.randn(len(lens), max(lens), V, dtype=torch.double)).log_softmax(2)
    for b, n in enumerate(lens):
        log_probs[b, n:] = math.nan  # padding
    return log_probs, torch.tensor(lens)


@pytest.mark.parametrize("seed", range(3))
def test_beginnings_are_the_sum_of_all_texts_that_begin_so(seed: int) -> None:
    log_probs, lens = heard(5, 3, seed=seed)
    scorer = CtcPrefixScorer(log_probs, lens)
    prefixes, begun = scorer.start(), [[()], [()]]
    probabilities = [{t: math.exp(ctc_of(log_probs[b, : lens[b]], t)) for t in texts(5)} for b in range(2)]
    assert all(sum(p.values()) == pytest.approx(1) for p in probabilities)  # of five frames no text has six tokens
    for parents, tokens in (
        ([[0, 0, 0]] * 2, [[1, 2, 3]] * 2),
        ([[0, 0, 2], [1, 1, 0]], [[1, 2, 3], [2, 1, 1]]),  # the first of each says its last token again
        ([[0, 1, 2], [0, 0, 2]], [[1, 2, 1], [2, 3, 1]]),
    ):
        prefixes = scorer.chosen(prefixes, torch.tensor(parents), torch.tensor(tokens))
        begun = [
            [(*begun[b][p], t) for p, t in zip(parents[b], tokens[b], strict=True)]  # type: ignore[misc]
            for b in range(2)
        ]
        found = scorer.scores(prefixes).exp()
        for b, k in itertools.product(range(2), range(3)):
            beginning = begun[b][k]
            assert float(found[b, k, 0]) == pytest.approx(probabilities[b][beginning], abs=1e-12)
            for token in range(1, V):
                wanted = (*beginning, token)
                total = sum(p for text, p in probabilities[b].items() if text[: len(wanted)] == wanted)
                assert float(found[b, k, token]) == pytest.approx(total, abs=1e-12)


def test_long_utterances_neither_vanish_nor_overflow() -> None:
    torch.manual_seed(0)
    log_probs = (8 * torch.randn(1, 3000, 50)).log_softmax(2)
    text = torch.unique_consecutive(log_probs[0].argmax(1))
    text = text[text != 0][:400]
    scorer = CtcPrefixScorer(log_probs, torch.tensor([3000]))
    prefixes, previous = scorer.start(), 0.0
    for token in text:
        score = float(scorer.scores(prefixes)[0, 0, token])
        assert -1e6 < score <= previous + 1e-9  # a beginning is likelier than what goes on with it
        previous = score
        prefixes = scorer.chosen(prefixes, torch.tensor([[0]]), token.reshape(1, 1))
    assert math.isfinite(float(scorer.scores(prefixes)[0, 0, 0]))


@dataclass(frozen=True)
class Paths:
    """A state that is the whole text so far."""

    said: Tensor  # (B, K, U)

    def chosen(self, parents: Tensor) -> Paths:
        return Paths(self.said.gather(1, parents[:, :, None].expand(-1, -1, self.said.shape[2])))


def table(seed: int) -> Any:
    """A step function that knows a distribution for each text, and the texts' log-probabilities."""

    def distribution(b: int, text: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 7919 + hash((b, text)) % 100_003)
        return (2 * torch.randn(V, generator=generator, dtype=torch.double)).log_softmax(0)

    def step(tokens: Tensor, state: Paths) -> tuple[Tensor, Paths]:
        said = torch.cat([state.said, tokens[:, :, None]], dim=2)  # begins with 0, the start
        rows = [[distribution(b, tuple(text[1:])) for text in own] for b, own in enumerate(said.tolist())]
        return torch.stack([torch.stack(row) for row in rows]), Paths(said)

    def of(b: int, text: tuple[int, ...]) -> float:
        return sum(float(distribution(b, text[:i])[t]) for i, t in enumerate((*text, 0)))

    return step, of


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [
        {"ctc_weight": 0.0},
        {"ctc_weight": 0.0, "length_norm": 1.0},
        {"ctc_weight": 0.3},
        {"ctc_weight": 1.0},
        {"ctc_weight": 0.5, "length_reward": 1.5},
        {"ctc_weight": 0.2, "lm_weight": 0.7, "length_reward": -0.5, "length_norm": 0.5},
    ],
)
def test_what_is_found_is_the_best_of_all_texts(options: dict[str, float], seed: int) -> None:
    log_probs, lens = heard(5, 4, seed=seed)
    (step, attention), (lm_step, lm) = table(seed), table(seed + 100)
    chosen = DecodingOptions(attention_beam=10_000, nbest=5, **{"lm_weight": 0.0, **options})
    start = Paths(torch.zeros(2, 1, 0, dtype=torch.long))
    scorer = CtcPrefixScorer(log_probs, lens) if chosen.ctc_weight else None
    found = attention_beam_search(
        step, start, lens, chosen, ctc=scorer, lm=(lm_step, start) if chosen.lm_weight else None
    )
    for b in range(2):
        ranked = []
        for text in texts(int(lens[b])):
            parts = attention(b, text), ctc_of(log_probs[b, : lens[b]], text), lm(b, text)
            score = chosen.length_reward * len(text)
            for w, part in zip((1 - chosen.ctc_weight, chosen.ctc_weight, chosen.lm_weight), parts, strict=True):
                score += w * part if w else 0
            ranked.append((score / (len(text) + 1) ** chosen.length_norm, text, score, parts))
        ranked.sort(reverse=True)
        assert [h.tokens for h in found[b]] == [text for _, text, _, _ in ranked[:5]]
        for hypothesis, (rank, _, score, parts) in zip(found[b], ranked, strict=False):
            assert (hypothesis.rank, hypothesis.score) == (pytest.approx(rank), pytest.approx(score))
            assert hypothesis.attention == pytest.approx(parts[0])
            if chosen.ctc_weight:
                assert hypothesis.ctc == pytest.approx(parts[1])
            if chosen.lm_weight:
                assert hypothesis.lm == pytest.approx(parts[2])


def test_a_text_ends_where_the_end_is_likely() -> None:
    def step(tokens: Tensor, state: Paths) -> tuple[Tensor, Paths]:
        """The end is always there, a third as likely as the best token."""
        said = torch.cat([state.said, tokens[:, :, None]], dim=2)
        log_probs = torch.tensor([0.2, 0.6, 0.1, 0.1]).log().expand(*tokens.shape, -1)
        return log_probs, Paths(said)

    def longest(**options: float) -> int:
        start, limits = Paths(torch.zeros(1, 1, 0, dtype=torch.long)), torch.tensor([7])
        ((best,),) = attention_beam_search(step, start, limits, DecodingOptions(ctc_weight=0.0, **options))
        return len(best.tokens)

    assert longest() == 0  # cut short: each token costs
    assert longest(end_factor=1.5) == 7  # log 0.2 is 3.2 times log 0.6
    assert longest(end_factor=3.5) == 0
    assert longest(length_reward=1.0) == 7
    assert longest(length_norm=1.0) == 7


def test_a_beam_of_a_real_decoder_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    decoder = AttentionDecoder(6, V, AttentionDecoderConfig(hidden=10, embedding=4, attention_dim=8)).eval()
    encoder_out, lens = torch.randn(3, 6, 6), torch.tensor([6, 4, 2])
    log_probs = torch.randn(3, 6, V).log_softmax(2)

    def search(rows: slice) -> list[Any]:
        memory, state = decoder.start(encoder_out[rows], lens[rows])
        with torch.no_grad():
            return attention_beam_search(
                lambda tokens, state: decoder.step(tokens, state, memory),
                state,
                lens[rows],
                DecodingOptions(attention_beam=5, nbest=3),
                ctc=CtcPrefixScorer(log_probs[rows], lens[rows]),
            )

    together = search(slice(0, 3))
    for b in range(3):
        (alone,) = search(slice(b, b + 1))
        assert [h.tokens for h in alone] == [h.tokens for h in together[b]]
        assert [h.score for h in alone] == pytest.approx([h.score for h in together[b]], abs=1e-4)


def test_no_frames_no_text() -> None:
    step, _ = table(0)
    start = Paths(torch.zeros(1, 1, 0, dtype=torch.long))
    ((found,),) = attention_beam_search(step, start, torch.tensor([0]), DecodingOptions(ctc_weight=0.0))
    assert found.tokens == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_beam": 0}, "attention_beam: 0"),
        ({"search": "joint"}, "search: 'joint'"),
        ({"ctc_weight": 1.5}, "ctc_weight: 1.5"),
        ({"lm_weight": -1}, "lm_weight: -1"),
        ({"length_reward": math.nan}, "length_reward: nan"),
        ({"length_norm": 3.0}, "length_norm: 3.0"),
        ({"end_factor": 0.5}, "end_factor: 0.5"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DecodingOptions(**options)
