"""The Transformer: torch's own layers as truth; padding, positions, one step at a time."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
import torch
from helpers import SMALL, tone_data, tone_words
from torch import nn
from wording import wording

from asr.inference.transcriber import Transcriber
from asr.models.config import ModelConfig
from asr.models.folder import load_model
from asr.models.transformer import (
    Layer,
    SelfAttention,
    TransformerConfig,
    TransformerDecoder,
    TransformerDecoderConfig,
    sinusoids,
)
from asr.train.recognizer import train_recognizer
from asr.utils.config import from_dict
from asr.utils.errors import InputError

A, S, LENS = 24, 3, torch.tensor([37, 1, 100, 64])


def test_positions_are_those_of_the_paper() -> None:
    found = sinusoids(torch.tensor([0, 3, 1000]), 6)
    for i, position in enumerate((0, 3, 1000)):
        for pair in range(3):
            angle = position / 10_000 ** (2 * pair / 6)
            assert found[i, 2 * pair] == pytest.approx(math.sin(angle), abs=1e-4)
            assert found[i, 2 * pair + 1] == pytest.approx(math.cos(angle), abs=1e-4)
    assert sinusoids(torch.tensor([2]), 5).shape == (1, 5)


def theirs(layer: Layer, ours: nn.Module) -> nn.Module:
    """torch's layer with the weights of ours."""
    ours.self_attn.in_proj_weight.data = layer.own.parts.weight.data
    ours.self_attn.in_proj_bias.data = layer.own.parts.bias.data
    ours.self_attn.out_proj.load_state_dict(layer.own.output.state_dict())
    ours.norm1.load_state_dict(layer.own_norm.state_dict())
    ours.linear1.load_state_dict(layer.dense[0].state_dict())
    ours.linear2.load_state_dict(layer.dense[3].state_dict())
    return ours.eval()


@pytest.mark.parametrize("causal", [False, True])
def test_a_layer_is_torchs(causal: bool) -> None:
    torch.manual_seed(0)
    layer = Layer(A, S, 50, 0.1).eval()
    reference = theirs(layer, nn.TransformerEncoderLayer(A, S, 50, batch_first=True, norm_first=True))
    reference.norm2.load_state_dict(layer.dense_norm.state_dict())
    x, lens = torch.randn(3, 20, A), torch.tensor([20, 7, 13])
    real = torch.arange(20) < lens[:, None]
    if causal:
        mask = nn.Transformer.generate_square_subsequent_mask(20)
        expected = reference(x, src_mask=mask, is_causal=True)
        assert (layer(x) - expected).abs().max() < 1e-5
    else:
        expected = reference(x, src_key_padding_mask=~real)
        found = layer(x, real[:, None])
        assert ((found - expected).abs() * real[..., None]).max() < 1e-5


@pytest.mark.parametrize(("bidirectional", "subsampling"), [(True, ("stack", 3)), (False, ("conv", 4))])
def test_an_utterance_does_not_depend_on_its_batch(bidirectional: bool, subsampling: tuple) -> None:
    torch.manual_seed(0)
    kind, factor = subsampling
    config = TransformerConfig(
        hidden=A, layers=2, heads=S, bidirectional=bidirectional, subsampling=kind, factor=factor
    )
    encoder = config.build(13).eval()
    features = torch.randn(4, 100, 13)  # padding is not zero
    encoder_out, lens, _ = encoder(features, LENS)
    assert torch.equal(lens, encoder.output_lens(LENS))
    assert encoder_out.shape == (4, int(lens.max()), A)
    for i, size in enumerate(LENS.tolist()):
        single, count, _ = encoder(features[i : i + 1, :size], LENS[i : i + 1])
        assert int(count) == int(lens[i])
        assert (single[0] - encoder_out[i, : int(count)]).abs().max() < 1e-5
        assert not encoder_out[i, int(count) :].any()
    nothing, *_ = encoder(features, torch.tensor([0, 1, 100, 64]))
    assert torch.isfinite(nothing).all()
    changed = features.clone()
    changed[2, 80:] += 1.0
    same = (encoder(changed, LENS)[0][2] - encoder_out[2]).abs().amax(1) < 1e-6
    assert same[: 80 // factor - 1].all() != bidirectional  # what follows is seen, or not


def test_order_matters() -> None:
    torch.manual_seed(0)
    encoder = TransformerConfig(hidden=A, layers=1, heads=S, factor=1).build(13).eval()
    x = torch.randn(1, 10, 13)
    swapped = x[:, [1, 0, *range(2, 10)]]
    lens = torch.tensor([10])
    assert (encoder(x, lens)[0][0, 5] - encoder(swapped, lens)[0][0, 5]).abs().max() > 1e-3


def made() -> tuple[TransformerDecoder, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    decoder = TransformerDecoderConfig(hidden=A, layers=2, heads=S, feed_forward=30).build(11, 9).eval()
    return decoder, torch.randn(3, 15, 11), torch.tensor([15, 4, 9])


def test_the_decoder_is_torchs() -> None:
    decoder, states, lens = made()
    layer = decoder.layers[0]
    reference = nn.TransformerDecoderLayer(A, S, 30, batch_first=True, norm_first=True)
    theirs(layer, reference)
    reference.norm2.load_state_dict(layer.other_norm.state_dict())
    reference.norm3.load_state_dict(layer.dense_norm.state_dict())
    other = layer.other
    cross = nn.MultiheadAttention(A, S, kdim=11, vdim=11, batch_first=True)
    cross.q_proj_weight.data, cross.k_proj_weight.data = other.query.weight.data, other.key.weight.data
    cross.v_proj_weight.data = other.value.weight.data
    cross.in_proj_bias.data = torch.cat([other.query.bias, other.key.bias, other.value.bias]).detach()
    cross.out_proj.load_state_dict(other.output.state_dict())
    reference.multihead_attn = cross.eval()
    x = torch.randn(3, 6, A)
    padding = torch.arange(15) >= lens[:, None]
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    expected = reference(x, states, tgt_mask=mask, memory_key_padding_mask=padding)
    found, _ = layer.look(x + layer.own(layer.own_norm(x)), layer.other.memory(states, lens))
    assert (layer.think(found) - expected).abs().max() < 1e-5


def test_one_step_at_a_time_is_all_at_once() -> None:
    decoder, states, lens = made()
    tokens, token_lens = torch.randint(1, 9, (3, 5)), torch.tensor([5, 3, 5])
    expected = decoder(states, lens, tokens, token_lens)
    memory, state = decoder.start(states, lens)
    last = torch.zeros(3, 1, dtype=torch.long)
    for u in range(6):
        log_probs, state = decoder.step(last, state, memory)
        within = u <= token_lens
        assert (log_probs[within, 0] - expected[within, u]).abs().max() < 1e-5
        last = tokens[:, u : u + 1] if u < 5 else last


def test_hypotheses_go_on_from_their_parents() -> None:
    decoder, states, lens = made()
    memory, state = decoder.start(states, lens)
    _, state = decoder.step(torch.zeros(3, 1, dtype=torch.long), state, memory)
    state = state.chosen(torch.zeros(3, 2, dtype=torch.long))
    first = torch.tensor([[1, 2], [3, 4], [5, 6]])
    _, state = decoder.step(first, state, memory)
    parents = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 0]])
    log_probs, _ = decoder.step(torch.tensor([[7, 7, 8]] * 3), state.chosen(parents), memory)
    texts = torch.stack([first.gather(1, parents), torch.tensor([[7, 7, 8]] * 3)], 2)  # (B, K, 2)
    expected, maps = decoder.given(states, lens, texts, torch.full((3, 3), 2), maps=True)
    assert (log_probs - expected[:, :, 2]).abs().max() < 1e-5
    assert maps is not None
    assert maps.shape == (3, S, 3, 3, 15)
    assert (maps.sum(-1) - 1).abs().max() < 1e-5
    assert not maps[1, ..., 4:].any()  # padding is not looked at


def test_padding_changes_nothing() -> None:
    decoder, states, lens = made()
    tokens, token_lens = torch.randint(1, 9, (3, 5)), torch.tensor([5, 3, 5])
    whole = decoder.loss(states, lens, tokens, token_lens)
    noisy = states + 100 * (torch.arange(15) >= lens[:, None])[..., None]
    longer = torch.nn.functional.pad(tokens, (0, 3), value=8)
    assert torch.allclose(decoder.loss(noisy, lens, longer, token_lens).per_item, whole.per_item, atol=1e-4)
    for i in range(3):
        given = (states[i : i + 1, : lens[i]], lens[i : i + 1], tokens[i : i + 1, : token_lens[i]])
        alone = decoder.loss(*given, token_lens[i : i + 1])
        assert float(alone.sum.detach()) == pytest.approx(float(whole.per_item[i]), abs=1e-4)


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(InputError, match=wording("width-24-cannot-be-parted")):
        SelfAttention(24, 5)


@pytest.mark.slow
def test_a_recogniser_without_recurrence(tmp_path: Path) -> None:
    """Trained, kept, loaded, asked in each way; the same words as any other."""
    encoder = TransformerConfig(hidden=64, layers=2, heads=4, subsampling="conv", factor=2, dropout=0.0)
    decoder = TransformerDecoderConfig(hidden=32, layers=1, heads=2, dropout=0.0, start_epoch=5)
    config = replace(SMALL, model=replace(SMALL.model, encoder=encoder, decoder=decoder), epochs=30, learning_rate=3e-3)
    result = train_recognizer(config, tone_data(tmp_path / "tones", 60), tmp_path / "exp")
    assert result.best.error < 0.1
    model = load_model(tmp_path / "exp")
    assert model.config.encoder == encoder
    soundfile.write(tmp_path / "a.wav", tone_words(["low", "high", "low"], seed=90), 8000)
    for search in ("ctc", "attention"):
        heard = Transcriber(model, search=search, vad=False).transcribe(tmp_path / "a.wav")
        assert heard.text == "low high low"
    assert all(a.end <= b.end for a, b in pairwise(heard.words))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 30, "heads": 4}, wording("hidden-30-cannot-be-parted")),
        ({"projection": 10}, wording("projection-there-is-no-such")),
        ({"feed_forward": -1}, "encoder.feed_forward: -1"),
    ],
)
def test_settings_that_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_dict(ModelConfig, {"encoder": {"kind": "transformer", **settings}}, where="x")
