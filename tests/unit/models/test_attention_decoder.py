from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from wording import wording

from asr.models.attention import AttentionKind
from asr.models.attention_decoder import AttentionDecoder, AttentionDecoderConfig
from asr.models.cells import step
from asr.models.decoder import END_ID, with_end
from asr.models.losses import label_smoothed_cross_entropy
from asr.utils.errors import InputError

D, V, T = 6, 9, 8
LENS, TOKENS, TOKEN_LENS = (
    torch.tensor([8, 5, 2]),
    torch.tensor([[3, 4, 5, 1], [2, 2, -1, 99], [7, 0, 0, 0]]),
    torch.tensor([4, 2, 0]),
)


def made(**options: Any) -> AttentionDecoder:
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden": 10, "embedding": 4, "attention_dim": 8, "heads": 2}
    return AttentionDecoder(D, V, AttentionDecoderConfig(**small | options)).eval()


def states() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, T, D)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("attention", get_args(AttentionKind))
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_step_by_step_is_all_at_once(cell: str, attention: AttentionKind, layers: int) -> None:
    decoder = made(cell=cell, attention=attention, layers=layers)
    with torch.no_grad():
        whole = decoder(states(), LENS, TOKENS, TOKEN_LENS)  # (B, U + 1, V)
        assert whole.shape == (3, 5, V)
        assert torch.allclose(whole.exp().sum(2), torch.ones(3, 5), atol=1e-5)
        memory, state = decoder.start(states(), LENS)
        said = torch.full((3, 1), END_ID)
        for u in range(5):
            log_probs, state = decoder.step(said, state, memory)
            for b in range(3):
                if u <= TOKEN_LENS[b]:
                    assert torch.allclose(log_probs[b, 0], whole[b, u], atol=1e-5)
            if u < 4:
                said = torch.where(u < TOKEN_LENS[:, None], TOKENS[:, u : u + 1], END_ID)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("attention", get_args(AttentionKind))
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_gradient_of_all_steps_together_is_that_of_each(cell: str, attention: AttentionKind, beam: int) -> None:
    """Teacher forcing makes weights' gradients once; a loop over steps leaves all of it to autograd."""
    decoder = made(cell=cell, attention=attention, layers=2).double()
    torch.manual_seed(1)
    tokens, token_lens = torch.randint(1, V, (3, beam, 4)), torch.full((3, beam), 4)
    pull = torch.randn(3, beam, 5, V, dtype=torch.double)
    found = []
    for together in (True, False):
        encoder_out = states().double().requires_grad_()
        decoder.zero_grad()
        if together:
            log_probs, _ = decoder.given(encoder_out, LENS, tokens, token_lens)
        else:
            memory, state = decoder.start(encoder_out, LENS, beam=beam)
            last, said = torch.zeros(3, beam, dtype=torch.long), []
            for u in range(5):
                each, state = decoder.step(last, state, memory)
                said.append(each)
                last = tokens[:, :, u] if u < 4 else last
            log_probs = torch.stack(said, dim=2)
        (log_probs * pull).sum().backward()
        named = {name: parameter.grad.clone() for name, parameter in decoder.named_parameters()}
        found.append({"loss": log_probs.detach(), "encoder_out": encoder_out.grad, **named})
    for name, gradient in found[1].items():
        assert gradient.any(), name
        assert torch.allclose(found[0][name], gradient, atol=1e-6), (
            name
        )  # log-probabilities are made in single precision


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_cells_are_those_of_torch(cell: str) -> None:
    theirs = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[cell](5, 7)
    x, h, c = torch.randn(3, 5), torch.randn(3, 7), torch.randn(3, 7)
    products = x @ theirs.weight_ih.t() + theirs.bias_ih, h @ theirs.weight_hh.t() + theirs.bias_hh
    found = step(cell, *products, h, c)
    expected = theirs(x, (h, c)) if cell == "lstm" else (theirs(x, h), c)
    assert all(torch.allclose(ours, right, atol=1e-6) for ours, right in zip(found, expected, strict=True))


@pytest.mark.parametrize("attention", ["location", "multi-head"])
def test_half_precision_learns_about_the_same(attention: AttentionKind) -> None:
    decoder = made(attention=attention)
    tokens, token_lens = torch.randint(1, V, (3, 4)), torch.full((3,), 4)
    gradients = []
    for half in (False, True):
        decoder.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            decoder.loss(states(), LENS, tokens, token_lens).sum.backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in decoder.parameters()]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.98


def test_a_beam_is_its_hypotheses_and_follows_their_parents() -> None:
    decoder = made(layers=2)
    first, then = torch.tensor([[1, 2, 3]] * 3), torch.tensor([[4, 5]] * 3)
    parents = torch.tensor([[2, 0], [1, 1], [0, 2]])
    with torch.no_grad():
        memory, state = decoder.start(states(), LENS, beam=3)
        _, state = decoder.step(torch.full((3, 3), END_ID), state, memory)
        _, state = decoder.step(first, state, memory)
        found, _ = decoder.step(then, state.chosen(parents), memory)
        for b in range(3):
            for k in range(2):
                path = torch.tensor([[first[b, parents[b, k]], then[b, k]]])
                alone = decoder(states()[b : b + 1], LENS[b : b + 1], path, torch.tensor([2]))
                assert torch.allclose(found[b, k], alone[0, 2], atol=1e-5)
    assert memory.keys.shape[0] == 3  # not nine: states are not copied


def test_an_utterance_does_not_depend_on_its_batch() -> None:
    decoder = made()
    with torch.no_grad():
        whole = decoder.loss(states(), LENS, TOKENS, TOKEN_LENS)
        for b in range(3):
            alone = decoder.loss(
                states()[b : b + 1, : LENS[b]], LENS[b : b + 1], TOKENS[b : b + 1], TOKEN_LENS[b : b + 1]
            )
            assert alone.per_item[0] == pytest.approx(float(whole.per_item[b]), abs=1e-4)
    assert (int(whole.count), float(whole.sum)) == (9, pytest.approx(float(whole.per_item.sum())))


def test_the_end_stands_behind_the_last_token() -> None:
    targets, lens = with_end(TOKENS, TOKEN_LENS)
    assert targets.tolist() == [[3, 4, 5, 1, 0], [2, 2, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert lens.tolist() == [5, 3, 1]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_that_of_torch(smoothing: float) -> None:
    torch.manual_seed(0)
    log_probs, targets, lens = torch.randn(3, 5, V).log_softmax(2), torch.randint(V, (3, 5)), torch.tensor([5, 2, 0])
    found = label_smoothed_cross_entropy(log_probs, targets, lens, smoothing=smoothing)
    for b in range(3):
        own = log_probs[b, : lens[b]], targets[b, : lens[b]]
        expected = torch.nn.functional.cross_entropy(*own, reduction="sum", label_smoothing=smoothing)
        assert float(found.per_item[b]) == pytest.approx(float(expected), abs=1e-5)
    assert int(found.count) == 7
    assert not found.left_out.any()


@pytest.mark.slow
@pytest.mark.parametrize("attention", get_args(AttentionKind))
def test_it_learns_to_copy(attention: AttentionKind) -> None:
    """States that stand for tokens and their places, two frames each: what was said is said again."""
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden": 32, "embedding": 8, "attention_dim": 16, "heads": 2, "dropout": 0.0}
    decoder = AttentionDecoder(D, V, AttentionDecoderConfig(attention=attention, **small))
    signs, places = torch.randn(V, D), torch.randn(8, D)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)

    def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        lens = torch.randint(1, 5, (32,))
        tokens = torch.randint(1, V, (32, 4))
        return signs[tokens].repeat_interleave(2, dim=1) + places, 2 * lens, tokens, lens

    for _ in range(400):
        loss = decoder.loss(*batch())
        optimizer.zero_grad()
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    decoder.eval()
    encoder_out, lens, tokens, token_lens = batch()
    with torch.no_grad():
        log_probs = decoder(encoder_out, lens, tokens, token_lens)
    targets, target_lens = with_end(tokens, token_lens)
    real = torch.arange(targets.shape[1]) < target_lens[:, None]
    assert (log_probs.argmax(2) == targets)[real].float().mean() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden"),
        ({"layers": 17}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"ctc_weight": 1.0}, "ctc_weight"),
        ({"start_epoch": 0}, "start_epoch"),
        ({"attention": "multi-head", "heads": 3}, wording("attention-dim-128-cannot")),
    ],
)
def test_configurations_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AttentionDecoderConfig(**options)


def test_steps_by_the_formulas() -> None:
    """An LSTM that is fed what it said before (Luong et al. 2015), of one utterance, written out."""
    decoder = made(attention="dot")
    encoder_out, text = states()[:1], [0, 3, 4]  # the start, and two tokens
    lstm, attention = decoder.cells[0], decoder.attention
    assert isinstance(lstm, torch.nn.LSTMCell)
    with torch.no_grad():
        h = c = fed = torch.zeros(10)
        for token in text:
            x = torch.cat([decoder.embedding.weight[token], fed])
            gates = lstm.weight_ih @ x + lstm.bias_ih + lstm.weight_hh @ h + lstm.bias_hh
            i, f, g, o = gates.chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            energies = (encoder_out[0] @ attention.key.weight.T) @ attention.query(h) / 8**0.5
            context = energies.softmax(0) @ encoder_out[0]
            fed = (decoder.joined.weight @ torch.cat([h, context]) + decoder.joined.bias).tanh()
        expected = (decoder.output.weight @ fed + decoder.output.bias).log_softmax(0)
        found = decoder(encoder_out, LENS[:1], torch.tensor([text[1:]]), torch.tensor([2]))
    assert torch.allclose(found[0, 2], expected, atol=1e-5)
