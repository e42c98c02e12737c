"""The folder a model is shared as.

    config.yaml         format, the ModelConfig, and `decoding`: options of beam search, where they were tuned
    model.safetensors   weights; `log_prior` of the tokens and `trained_on`, numbers that stand for utterances
    tokens.txt          a token a line
    README.md           the model card
    lm.safetensors      an n-gram model, where there is one (asr.lm.ngram)
    lexicon.txt         a lexicon, where there is one (asr.lexicon)

Folders come from strangers: YAML is read as plain values, interpolations are refused, and the weights' header is
checked against the configuration before memory is taken.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from asr.config import from_dict, to_dict
from asr.decode.ctc_beam import BeamOptions
from asr.errors import InputError
from asr.files import atomic_path, read_text, write_text
from asr.models.recognizer import ModelConfig, Recognizer, build_recognizer
from asr.text import TextNormalizer
from asr.tokenizer import CharTokenizer

FORMAT = 1
PRETRAINED = Path(__file__).parent / "pretrained"
_DTYPES = {"F32": 4, "F16": 2, "BF16": 2}
_MAX_HEADER = 16 << 20
# What model.safetensors may hold beside weights.
_EXTRAS = ("log_prior", "trained_on")


@dataclass
class Model:
    """A recogniser with all it needs to be used."""

    recognizer: Recognizer
    tokenizer: CharTokenizer
    config: ModelConfig
    name: str = ""
    log_prior: torch.Tensor | None = None  # (V,) log of the mean posterior of each token on training speech
    trained_on: torch.Tensor | None = None  # int64, sorted: utterance_keys of what it was trained on
    decoding: BeamOptions | None = None  # as tuned
    lm: Path | None = None  # the folder's own language model
    lexicon: Path | None = None

    def normalizer(self) -> TextNormalizer:
        """A new normaliser of texts, as the model was trained with."""
        return TextNormalizer(self.config.text)

    @property
    def has_words(self) -> bool:
        """Whether its texts have spaces between words."""
        return self.config.text.words != "none"


def pretrained_names() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.yaml"))


def utterance_keys(utterances: Iterable[tuple[str, float]]) -> torch.Tensor:
    """Ids and durations (s) of utterances -> int64, sorted: numbers that tell whether one is among others."""
    digests = {hashlib.blake2b(f"{key} {seconds:.3f}".encode(), digest_size=8).digest() for key, seconds in utterances}
    return torch.tensor(sorted(int.from_bytes(digest, "little", signed=True) for digest in digests), dtype=torch.int64)


def save_model(folder: str | Path, model: Model, card: str) -> None:
    """Writes a model folder, whole or not at all; an older model at its place is replaced, nothing else is.

    The model's LM and lexicon are copied into it.

    Args:
        card: README.md: what it was trained on, the licence, error rates with their commands.
    """
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in model.recognizer.state_dict().items()}
    state.update((name, value) for name in _EXTRAS if (value := getattr(model, name)) is not None)
    ours = (Path(folder) / "model.safetensors").is_file() and (Path(folder) / "tokens.txt").is_file()
    with atomic_path(folder, replace_folder=ours) as staging:
        staging.mkdir(parents=True)
        (staging / "config.yaml").write_text(_config_text(model), encoding="utf-8")
        (staging / "README.md").write_text(card, encoding="utf-8")
        model.tokenizer.save(staging / "tokens.txt")
        (staging / "model.safetensors").write_bytes(save(state))
        for source, name in ((model.lm, "lm.safetensors"), (model.lexicon, "lexicon.txt")):
            if source is not None:
                shutil.copyfile(source, staging / name)


def update_model(folder: str | Path, model: Model) -> None:
    """Writes what a model has learnt since it was loaded: decoding options into config.yaml, log_prior."""
    from safetensors.torch import save

    folder = find_model(folder)
    write_text(folder / "config.yaml", _config_text(model))
    if model.log_prior is not None and "log_prior" not in _read_header(folder / "model.safetensors"):
        state = {name: value.detach().cpu().contiguous() for name, value in model.recognizer.state_dict().items()}
        state.update((name, value) for name in _EXTRAS if (value := getattr(model, name)) is not None)
        with atomic_path(folder / "model.safetensors") as temporary:
            temporary.write_bytes(save(state))


def _config_text(model: Model) -> str:
    config = {"format": FORMAT, **to_dict(model.config)}
    if model.decoding is not None:
        config["decoding"] = to_dict(model.decoding)
    return yaml.safe_dump(config, allow_unicode=True, sort_keys=False)


def load_model(model: str | Path) -> Model:
    """Loads a model folder, or one that comes with the package, by its name. Nothing in the process is changed.

    Raises:
        InputError: There is no such model, a file is missing or damaged, or parts do not fit each other.
    """
    folder = find_model(model)
    config, decoding = _read_config(folder / "config.yaml")
    if not (folder / "tokens.txt").is_file():
        raise InputError("has no tokens.txt", where=folder, remedy="copy the whole folder")
    tokenizer = CharTokenizer.load(folder / "tokens.txt")
    recognizer = build_recognizer(config, len(tokenizer), without_weights=True)
    weights = _read_weights(folder / "model.safetensors", recognizer)
    extras = {name: weights.pop(name, None) for name in _EXTRAS}
    recognizer.load_state_dict(weights, assign=True)
    recognizer.eval().requires_grad_(False)
    path = folder.resolve()  # exp/fsdd/model is called fsdd
    name = path.parent.name if path.name == "model" else path.name
    lm, lexicon = (file if file.is_file() else None for file in (folder / "lm.safetensors", folder / "lexicon.txt"))
    return Model(recognizer, tokenizer, config, name, **extras, decoding=decoding, lm=lm, lexicon=lexicon)


def find_model(model: str | Path) -> Path:
    """The folder of a model: itself, the one inside a run's folder, or that of one that comes with the package."""
    folder = Path(model)
    if (folder / "model" / "config.yaml").is_file():  # the run's folder
        return folder / "model"
    if (folder / "config.yaml").is_file():
        return folder
    names = pretrained_names()
    if str(model) in names:
        return PRETRAINED / str(model)
    if folder.is_dir():
        raise InputError("is not a model folder: it has no config.yaml", where=folder)
    raise InputError(
        "no such model",
        where=model,
        remedy=f"name a model folder, or one that comes with the package: {', '.join(names) or 'there is none'}",
    )


def _read_config(path: Path) -> tuple[ModelConfig, BeamOptions | None]:
    text = read_text(path, limit=1 << 20)
    if "${" in text:
        raise InputError("holds an interpolation (${...}), which a model's configuration may not", where=path)
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise InputError(f"is not valid YAML ({' '.join(str(e).split())})", where=path) from e
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise InputError("is not a model's configuration: it names no format", where=path)
    version = values.pop("format")
    if not 1 <= version <= FORMAT:
        raise InputError(
            f"has format {version}, this version reads 1 to {FORMAT}", where=path, remedy="update kikitori"
        )
    decoding = values.pop("decoding", None)
    if decoding is not None and not isinstance(decoding, dict):
        raise InputError("decoding is no mapping of options", where=path)
    options = None if decoding is None else from_dict(BeamOptions, decoding, where=f"{path}: decoding")
    return from_dict(ModelConfig, values, where=path), options


def _read_weights(path: Path, recognizer: Recognizer) -> dict[str, torch.Tensor]:
    """The weights as float32, after names, shapes, types and the file's length were found to be as they must."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = _read_header(path)
    expected = {name: list(value.shape) for name, value in recognizer.state_dict().items()}
    found = {name: entry.get("shape") for name, entry in header.items()}
    if "log_prior" in found:
        expected["log_prior"] = [recognizer.head.out_features]
    if "trained_on" in found:
        shape = found["trained_on"]
        expected["trained_on"] = shape if isinstance(shape, list) and len(shape) == 1 else [0]
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"weight {name} has shape {found.get(name)}, the configuration and tokens need {expected.get(name)}",
                where=path,
                remedy="the folder's files do not belong together",
            )
    for name, entry in header.items():
        types = ["I64"] if name == "trained_on" else list(_DTYPES)
        if entry.get("dtype") not in types:
            raise InputError(f"weight {name} is of type {entry.get('dtype')}, not {', '.join(types)}", where=path)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as e:
        raise InputError(f"is damaged ({e})", where=path, remedy="copy the model again") from e
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise InputError(f"weight {name} holds NaN or infinity", where=path, remedy="copy the model again")
    return {name: value if name == "trained_on" else value.float() for name, value in weights.items()}


def _read_header(path: Path) -> Mapping[str, Any]:
    """The JSON header of a safetensors file: name -> dtype, shape, data_offsets."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as f:
            prefix = f.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise InputError("is not a safetensors file, or damaged", where=path, remedy="copy the model again")
            header = json.loads(f.read(length))
    except FileNotFoundError:
        raise InputError("no such file", where=path, remedy="copy the whole folder") from None
    except (OSError, ValueError, RecursionError) as e:
        if isinstance(e, InputError):
            raise
        raise InputError(f"cannot be read ({e})", where=path, remedy="copy the model again") from e
    if not isinstance(header, dict):
        raise InputError("is not a safetensors file", where=path)
    header.pop("__metadata__", None)
    if not all(isinstance(entry, dict) for entry in header.values()):
        raise InputError("is not a safetensors file", where=path)
    return header
