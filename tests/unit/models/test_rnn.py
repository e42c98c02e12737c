from __future__ import annotations

import itertools

import pytest
import torch

from asr.models.layers import Dropout
from asr.models.rnn import RnnConfig
from asr.utils.errors import InputError

LENS = torch.tensor([37, 1, 100, 64])


@pytest.mark.parametrize(
    ("kind", "bidirectional", "subsampling"),
    list(
        itertools.product(
            ["rnn", "rnn-relu", "rnn-sigmoid", "lstm", "gru"], [True, False], [("stack", 1), ("stack", 3), ("conv", 4)]
        )
    ),
)
def test_an_utterance_does_not_depend_on_its_batch(kind: str, bidirectional: bool, subsampling: tuple) -> None:
    torch.manual_seed(0)
    config = RnnConfig(
        kind=kind,
        hidden=24,
        layers=2,
        bidirectional=bidirectional,
        projection=10 if kind == "lstm" else 0,
        layer_norm=kind == "gru",
        subsampling=subsampling[0],
        factor=subsampling[1],
    )
    encoder = config.build(13).eval()
    features = torch.randn(4, 100, 13)  # padding is not zero
    encoder_out, lens, _ = encoder(features, LENS)
    assert torch.equal(lens, encoder.output_lens(LENS))
    assert encoder_out.shape == (4, int(lens.max()), encoder.output_dim)
    for i, size in enumerate(LENS.tolist()):
        single, count, _ = encoder(features[i : i + 1, :size], LENS[i : i + 1])
        assert int(count) == int(lens[i])
        assert (single[0] - encoder_out[i, : int(count)]).abs().max() < 1e-5
        assert not encoder_out[i, int(count) :].any()


def test_both_directions_equal_torchs_packed_sequences() -> None:
    """Outputs and gradients are those of the bidirectional LSTM that other toolkits run over packed sequences."""
    torch.manual_seed(0)
    encoder = RnnConfig(hidden=24, layers=1, factor=1, dropout=0.0).build(13)
    layer = encoder.layers[0]
    reference = torch.nn.LSTM(13, 24, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for name, value in layer.forwards.named_parameters():
            getattr(reference, name).copy_(value)
        for name, value in layer.backwards.named_parameters():
            getattr(reference, f"{name}_reverse").copy_(value)
    features = torch.randn(4, 100, 13)
    packed = torch.nn.utils.rnn.pack_padded_sequence(features, LENS, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    got, *_ = encoder(features, LENS)
    assert (got - expected).abs().max() < 1e-5
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (got * weights).sum().backward()
    for name, value in layer.backwards.named_parameters():
        wanted = getattr(reference, f"{name}_reverse").grad
        assert (value.grad - wanted).abs().max() < 1e-3 * wanted.abs().max()


def test_stacking_counts_a_last_incomplete_group() -> None:
    encoder = RnnConfig(hidden=4, layers=1, factor=3).build(2)
    stacked, lens = encoder.subsampling(torch.arange(14.0).reshape(1, 7, 2), torch.tensor([7]))
    assert lens.tolist() == [3]
    assert stacked[0].tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "settings", [{"hidden": 0}, {"layers": 1000}, {"dropout": 1.0}, {"subsampling": "conv", "factor": 3}, {"factor": 0}]
)
def test_settings_that_cannot_be(settings: dict) -> None:
    with pytest.raises(InputError, match=next(iter(set(settings) - {"subsampling"}))):
        RnnConfig(**settings)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    x = torch.ones(7, 301, 211, requires_grad=True)
    torch.manual_seed(3)
    dropout = Dropout(p)
    y = dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), y)
    assert not torch.equal(dropout(x), y) or p == 0
    sigma = (p * (1 - p) / x.numel()) ** 0.5
    assert float((y == 0).float().mean()) == pytest.approx(p, abs=4 * sigma + 2**-16)
    assert float(y.max().detach()) == pytest.approx(1 / (1 - p))
    # neighbours, whose bits come from one draw, are dropped independently
    zero = (y == 0).float().flatten()
    together = float((zero[:-1] * zero[1:]).mean())
    assert together == pytest.approx(p * p, abs=0.005)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y.detach())
    assert torch.equal(dropout.eval()(x), x)


def test_what_convolutions_give_is_normalised_frame_by_frame() -> None:
    torch.manual_seed(0)
    features = 10 * torch.randn(4, 100, 13)
    plain, normalised = (
        RnnConfig(subsampling="conv", factor=4, layer_norm=on).build(13).subsampling(features, LENS)[0][2]
        for on in (False, True)
    )
    assert (plain.std(dim=1) - 1).abs().max() > 0.2
    assert normalised.mean(dim=1).abs().max() < 1e-5
    assert (normalised.std(dim=1) - 1).abs().max() < 0.01
