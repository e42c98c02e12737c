"""Training that begins with another model's weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import SMALL, tone_data
from wording import wording

from asr.data.cuts import read_cuts
from asr.evaluate.tuning.tune import tune
from asr.models.attention_decoder import AttentionDecoderConfig
from asr.models.config import IntermediateConfig
from asr.models.folder import load_model
from asr.models.model import utterance_keys
from asr.train.config import GroupConfig, TrainConfig
from asr.train.progress import SilentMonitor
from asr.train.recognizer import new_model, resolve, train_recognizer
from asr.utils.errors import InputError

pytestmark = pytest.mark.slow  # models of seconds are trained here

MODEL = replace(SMALL.model, encoder=replace(SMALL.model.encoder, factor=2, layers=2))
CONFIG = replace(SMALL, epochs=6, model=replace(MODEL, intermediate=IntermediateConfig(layer=1)))


class Notes(SilentMonitor):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    return tone_data(folder, 200)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "first"
    train_recognizer(CONFIG, data, out)
    return out


def begun(data: Path, config: TrainConfig) -> tuple[dict[str, torch.Tensor], list[str], list[str]]:
    """A new model's weights, its tokens, and what was said."""
    notes = Notes()
    training = read_cuts(data / "cuts_train.jsonl.gz")
    model = new_model(resolve(config, training), training, name="new", monitor=notes)
    return dict(model.recognizer.state_dict()), model.tokenizer.tokens, notes.said


def test_training_begins_with_all_the_weights_of_a_model_of_the_same_tokens(data: Path, trained: Path) -> None:
    weights, tokens, said = begun(data, replace(CONFIG, init_from=str(trained)))
    given = load_model(trained).recognizer.state_dict()
    assert weights.keys() == given.keys()
    for name, weight in weights.items():
        if not name.startswith("frontend."):  # the features' mean and variance are those of the new data
            assert torch.equal(weight, given[name]), name
    count = len(tokens)
    assert said[-1] == (wording("begun-from-the-encoder-of", trained, count, count))


def test_a_head_takes_the_tokens_it_knows_and_begins_the_others_anew(trained: Path, tmp_path: Path) -> None:
    folder = tone_data(tmp_path, 40)
    cuts = read_cuts(folder / "cuts_train.jsonl.gz")
    other = [replace(u, text=u.text.replace("low", "zoo")) for u in cuts]
    notes = Notes()
    config = resolve(replace(CONFIG, init_from=str(trained)), other)
    model = new_model(config, other, name="new", monitor=notes)
    given = load_model(trained)
    ours, theirs = model.tokenizer.tokens, given.tokenizer.tokens
    assert "z" in ours
    assert "z" not in theirs
    weight, old = model.recognizer.head.weight, given.recognizer.head.weight
    for i, token in enumerate(ours):
        if token == "z":
            assert not any(torch.equal(weight[i], row) for row in old)
        else:
            assert torch.equal(weight[i], old[theirs.index(token)]), token
    assert wording("of-characters-the-others-begin", len(ours) - 1, len(ours)) in notes.said[-1]


def test_another_network_is_refused_with_the_settings_that_would_do(trained: Path, data: Path) -> None:
    wider = replace(CONFIG.model.encoder, hidden=CONFIG.model.encoder.hidden + 8, dropout=0.7)
    config = replace(CONFIG, model=replace(CONFIG.model, encoder=wider), init_from=str(trained))
    with pytest.raises(InputError, match=wording("is-another-network")) as caught:
        begun(data, config)
    assert f"model.encoder.hidden={CONFIG.model.encoder.hidden}" in str(caught.value)
    assert "dropout" not in str(caught.value)  # no weight depends on it
    with pytest.raises(InputError, match=wording("no-such-model")):
        begun(data, replace(CONFIG, init_from=str(data / "nothing")))


def test_a_begun_run_is_better_at_once_and_knows_all_that_was_trained_on(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    short = replace(CONFIG, epochs=1, warmup_steps=0, learning_rate=1e-4)
    anew = train_recognizer(short, data, tmp_path / "anew")
    more = tone_data(tmp_path / "more", 60, seed=5)
    on = train_recognizer(replace(short, init_from=str(trained)), more, tmp_path / "on")
    assert on.best.error < anew.best.error / 2

    known = set(load_model(tmp_path / "on").trained_on.tolist())
    for folder in (data, more):
        for utterance in read_cuts(folder / "cuts_train.jsonl.gz"):
            assert utterance_keys([(utterance.id, utterance.duration)]).item() in known
    with pytest.raises(InputError, match=wording("was-trained-on")):
        tune(tmp_path / "on", data / "cuts_train.jsonl.gz")
    assert "began with the weights of first." in (tmp_path / "on" / "model" / "README.md").read_text()


def test_a_run_goes_on_only_from_where_it_began(data: Path, trained: Path, tmp_path: Path) -> None:
    train_recognizer(replace(CONFIG, epochs=1, init_from=str(trained)), data, tmp_path / "run")
    with pytest.raises(InputError, match="init_from"):
        train_recognizer(replace(CONFIG, epochs=1), data, tmp_path / "run")


ATTENTION = AttentionDecoderConfig(hidden=12, embedding=6, attention_dim=8, start_epoch=1)


def test_an_attention_decoder_is_taken_where_it_is_built_alike(data: Path, tmp_path: Path) -> None:
    first = replace(CONFIG, epochs=1, model=replace(CONFIG.model, decoder=ATTENTION))
    train_recognizer(first, data, tmp_path / "first")
    given = load_model(tmp_path / "first").recognizer.state_dict()
    weights, tokens, said = begun(data, replace(first, init_from=str(tmp_path / "first")))
    decoder = [name for name in weights if name.startswith("decoder.")]
    assert len(decoder) > 10
    assert all(torch.equal(weights[name], given[name]) for name in decoder)
    assert said[-1].endswith(f"; the attention decoder and {len(tokens)} of its tokens")
    wider = replace(first.model, decoder=replace(ATTENTION, hidden=16))
    weights, _, said = begun(data, replace(first, model=wider, init_from=str(tmp_path / "first")))
    assert said[-1].endswith("; the attention decoder begins anew")
    without = replace(first, model=CONFIG.model, init_from=str(tmp_path / "first"))
    _, _, said = begun(data, without)
    assert said[-1].endswith("; the head of layer 1")


def test_a_frozen_encoder_stays_as_it_is_for_a_while(data: Path, trained: Path, tmp_path: Path) -> None:
    given = load_model(trained).recognizer.encoder.state_dict()
    frozen = {"encoder": GroupConfig(freeze_epochs=1)}
    for epochs, same in ((1, True), (2, False)):
        config = replace(CONFIG, epochs=epochs, init_from=str(trained), groups=frozen, weight_decay=0.1)
        train_recognizer(config, data, tmp_path / str(epochs))
        found = load_model(tmp_path / str(epochs)).recognizer
        assert all(torch.equal(value, given[name]) for name, value in found.encoder.state_dict().items()) == same
        head = load_model(trained).recognizer.head.weight
        assert not torch.equal(found.head.weight, head)


def test_groups_learn_at_their_own_rates(data: Path, trained: Path, tmp_path: Path) -> None:
    """By the longest name: a layer as it is, the rest of the encoder a tenth as fast, all else at the full rate."""
    groups = {"encoder": GroupConfig(rate=0.1), "encoder.layers.0": GroupConfig(freeze_epochs=9)}
    config = replace(CONFIG, epochs=1, init_from=str(trained), groups=groups)
    begun_with = load_model(trained).recognizer.state_dict()
    train_recognizer(config, data, tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[0]["kind"] == "step"
    found = load_model(tmp_path / "run").recognizer.state_dict()
    moved = {name: float((value - begun_with[name]).abs().max()) for name, value in found.items()}
    assert max(far for name, far in moved.items() if name.startswith("encoder.layers.0.")) == 0
    steps, peak = log[-1]["step"], CONFIG.learning_rate
    slow = max(far for name, far in moved.items() if name.startswith("encoder.") and ".layers.0." not in name)
    assert slow <= 0.1 * peak * steps * 1.5  # Adam moves a weight by its rate at most, nearly
    with pytest.raises(InputError, match=wording("no-parameter-is-in")):
        train_recognizer(replace(config, groups={"encoder.layer": GroupConfig()}), data, tmp_path / "other")
