"""A new model that begins with what another has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from asr.models.decoder import StepDecoder
from asr.models.folder import load_model
from asr.models.model import Model
from asr.utils.config import to_dict
from asr.utils.errors import InputError

# What the network is; settings of it that no weight depends on.
_PARTS = ("features", "encoder")
_FREE = {"dropout", "normalize"}
_OF_TRAINING = {"dropout", "label_smoothing", "ctc_weight", "start_epoch"}


def take_weights(model: Model, source: str | Path) -> str:
    """Gives a new model the encoder of a trained one, and each head the weights of the tokens that both have.

    What that one was trained on, the new one was trained on, too.

    Args:
        source: A model folder, a run's folder, or the name of a model that comes with the package.

    Returns:
        What was taken, and what begins anew.

    Raises:
        InputError: Its features or its encoder are others.
    """
    given = load_model(source)
    _check_same(model, given, source)
    ours, theirs = model.recognizer, given.recognizer
    ours.encoder.load_state_dict(theirs.encoder.state_dict())
    model.trained_on = given.trained_on
    main, layer = model.config.kinds[0], model.config.intermediate.layer
    inner = layer and layer == given.config.intermediate.layer and main == given.config.kinds[0]
    said = []
    for kind, tokenizer in model.tokenizers.items():
        rows: list[tuple[int, int]] = []
        if kind in given.tokenizers:
            where = {token: i for i, token in enumerate(given.tokenizers[kind].tokens)}
            rows = [(i, where[token]) for i, token in enumerate(tokenizer.tokens) if token in where]
            _copy_rows(ours.heads[kind], theirs.heads[kind], rows)
            if inner and kind == main:
                _copy_rows(ours.intermediate_head, theirs.intermediate_head, rows)
        known = {i for i, _ in rows}
        anew = [token for i, token in enumerate(tokenizer.tokens) if i not in known]
        named = f": {' '.join(anew[:20])}{' ...' if anew[20:] else ''}" if rows and anew else ""
        said.append(f"{len(rows)} of {len(tokenizer)} {kind}{' (the others begin anew' + named + ')' if anew else ''}")
    if layer:
        said.append(f"the head of layer {layer}" + ("" if inner else " begins anew"))
    if ours.decoder is not None:
        taken = _take_decoder(model, given)
        said.append("the attention decoder" + (f" and {taken} of its tokens" if taken else " begins anew"))
    return f"begun from {source}: the encoder; {'; '.join(said)}"


def _take_decoder(model: Model, given: Model) -> int:
    """Gives the attention decoder the weights of one that is built alike; how many tokens both have, 0: it is not."""
    ours, theirs, kind = model.recognizer.decoder, given.recognizer.decoder, model.config.kinds[0]
    settings = [
        {name: value for name, value in to_dict(each.config.decoder).items() if name not in _OF_TRAINING}
        for each in (model, given)
    ]
    if not (isinstance(ours, StepDecoder) and isinstance(theirs, StepDecoder)):
        return 0
    if settings[0] != settings[1] or kind != given.config.kinds[0]:
        return 0
    where = {token: i for i, token in enumerate(given.tokenizers[kind].tokens)}
    rows = [(i, where[token]) for i, token in enumerate(model.tokenizers[kind].tokens) if token in where]
    known = theirs.state_dict()
    of_tokens = ("embedding.", "output.")
    ours.load_state_dict({n: v for n, v in known.items() if not n.startswith(of_tokens)}, strict=False)
    _copy_rows(ours.output, theirs.output, rows)
    with torch.no_grad():
        ours.embedding.weight[[i for i, _ in rows]] = theirs.embedding.weight[[j for _, j in rows]]
    return len(rows)


def _check_same(model: Model, given: Model, source: str | Path) -> None:
    differing = []
    for part in _PARTS:
        wanted, found = to_dict(getattr(model.config, part)), to_dict(getattr(given.config, part))
        if wanted["kind"] != found["kind"]:  # their other settings have nothing to do with each other
            wanted, found = {"kind": wanted["kind"]}, {"kind": found["kind"]}
        differing += [
            (f"model.{part}.{name}", value, wanted[name])
            for name, value in found.items()
            if name not in _FREE and value != wanted[name]
        ]
    if differing:
        raise InputError(
            "is another network: " + ", ".join(f"its {name} is {its}, not {ours}" for name, its, ours in differing),
            where=source,
            remedy="take its settings: " + " ".join(f"{name}={its}" for name, its, _ in differing),
        )


def _copy_rows(new: nn.Module, old: nn.Module, rows: Sequence[tuple[int, int]]) -> None:
    """Gives tokens of one output layer the weights of another's."""
    assert isinstance(new, nn.Linear)
    assert isinstance(old, nn.Linear)
    to, of = ([row[i] for row in rows] for i in (0, 1))
    with torch.no_grad():
        new.weight[to] = old.weight[of]
        new.bias[to] = old.bias[of]
