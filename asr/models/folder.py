"""The folder a model is shared as.

    config.yaml         format, the ModelConfig, and `decoding`: options of beam search, where they were tuned;
                        `plugins`: the modules that the network's parts are from, where they are not ours
    model.safetensors   weights; `log_prior` of the tokens and `trained_on`, numbers that stand for utterances. Weights
                        may be of half precision, or whole numbers of 8 bits and for each row NAME.scale, their unit
    tokens.txt          a token a line; tokenizer.model (SentencePiece) or pronunciations.txt (phones) beside it
    token-lm.safetensors    an n-gram model of its tokens, of models trained with CTC-CRF, who are decoded with it
    README.md           the model card
    lm.safetensors      an n-gram model, where there is one (asr.lm.ngram); or lm.lmz (asr.lm.compact)
    neural-lm.safetensors   a neural model (asr.models.neural_lm) that chooses among the texts that are found
    lexicon.txt         the words that can be heard, where they are limited (asr.text.lexicon); of phones, where they
                        are others than those of pronunciations.txt

What further heads have of their own is named after the kind of their tokens: tokens-characters.txt,
lexicon-characters.txt, `log_prior.characters`, `decoding_of: {characters: ...}`. One without its own language model has
that of the first.

Folders come from strangers: YAML is read as plain values, no module is imported for what they name, and the weights'
header is checked against the configuration before memory is taken.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

import torch
import yaml

from asr.lm.files import read_ngram, save_ngram
from asr.lm.ngram import NgramModel
from asr.models.config import ModelConfig, without_foreign_settings
from asr.models.ctc_crf import token_numbers
from asr.models.decoding_options import DecodingOptions
from asr.models.hub import find_model, model_name
from asr.models.model import Head, Model
from asr.models.recognizer import Recognizer, build_recognizer
from asr.text.tokenizer import Tokenizer, load_tokenizer
from asr.utils.config import from_dict, to_dict
from asr.utils.errors import InputError
from asr.utils.files import atomic_path, read_text, write_text
from asr.utils.plain_yaml import parse_yaml

FORMAT = 2

Precision = Literal["float32", "float16", "int8"]
_DTYPES = ("F32", "F16", "BF16", "I8")
_LM = ("lm.safetensors", "lm.lmz")
_AGAIN = "copy the model again"
_NO_WEIGHTS = ("log_prior", "trained_on", "frontend.")  # beginnings of their names
_SCALE = ".scale"  # of the unit of a matrix of whole numbers, behind its name


def save_model(folder: str | Path, model: Model, card: str, *, precision: Precision = "float32") -> None:
    """Writes a model folder, whole or not at all; an older model at its place is replaced, nothing else is.

    The model's LM and lexicon are copied into it.

    Args:
        card: README.md: what it was trained on, the licence, error rates with their commands.
        precision: Of the weights in the file. int8 is of matrices, each row in units of its greatest weight / 127.
    """
    from safetensors.torch import save

    ours = (Path(folder) / "model.safetensors").is_file() and (Path(folder) / "tokens.txt").is_file()
    with atomic_path(folder, replace_folder=ours) as staging:
        staging.mkdir(parents=True)
        (staging / "config.yaml").write_text(_config_text(model), encoding="utf-8")
        (staging / "README.md").write_text(card, encoding="utf-8")
        (staging / "model.safetensors").write_bytes(save(_rounded(_state(model), precision)))
        for kind, head in model.heads.items():
            head.tokenizer.save(staging / head_file(model.config, kind, "tokens.txt"))
            if head.token_lm is not None:
                save_ngram(head.token_lm, staging / head_file(model.config, kind, "token-lm.safetensors"))
        for name, source in _language_files(model).items():
            shutil.copyfile(source, staging / name)


def _language_files(model: Model) -> dict[str, Path]:
    """Language models and lexica by their names in the folder; heads may share them."""
    found: dict[str, Path] = {}
    for kind, head in model.heads.items():
        for source, stem in ((head.lm, "lm"), (head.lexicon, "lexicon"), (head.neural_lm, "neural-lm")):
            if source is not None and source not in found.values():
                found[head_file(model.config, kind, stem + source.suffix)] = source
    return found


def _rounded(state: dict[str, torch.Tensor], precision: Precision) -> dict[str, torch.Tensor]:
    """Weights as precise as asked for; all else as it is."""
    if precision == "float32":
        return state
    rounded: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if name.startswith(_NO_WEIGHTS):
            rounded[name] = value
        elif precision == "float16" or value.ndim < 2:
            rounded[name] = value.half()
        else:
            rows = value.flatten(1)
            unit = (rows.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
            rounded[name] = (rows / unit[:, None]).round().to(torch.int8).view_as(value)
            rounded[f"{name}{_SCALE}"] = unit
    return rounded


def update_model(folder: str | Path, model: Model) -> None:
    """Writes what a model has learnt since it was loaded: decoding options into config.yaml, log_prior."""
    from safetensors.torch import save

    folder = find_model(folder)
    write_text(folder / "config.yaml", _config_text(model))
    state = _state(model)
    if state.keys() - _read_header(folder / "model.safetensors").keys():
        with atomic_path(folder / "model.safetensors") as temporary:
            temporary.write_bytes(save(state))


def head_file(config: ModelConfig, kind: str, name: str) -> str:
    """The name of a head's file: that of the configuration's first head, or tokens-characters.txt for tokens.txt."""
    stem, _, ending = name.partition(".")
    return name if kind == config.kinds[0] else f"{stem}-{kind}.{ending}"


def _prior_name(config: ModelConfig, kind: str) -> str:
    return "log_prior" if kind == config.kinds[0] else f"log_prior.{kind}"


def _state(model: Model) -> dict[str, torch.Tensor]:
    """What model.safetensors holds: weights, priors, the utterances of training."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.recognizer.state_dict().items()}
    for kind, head in model.heads.items():
        if head.log_prior is not None:
            state[_prior_name(model.config, kind)] = head.log_prior
    if model.trained_on is not None:
        state["trained_on"] = model.trained_on
    return state


def _config_text(model: Model) -> str:
    config = {"format": FORMAT, **to_dict(model.config)}
    if plugins := model.config.plugins:
        config["plugins"] = plugins
    tuned = {kind: to_dict(head.decoding) for kind, head in model.heads.items() if head.decoding is not None}
    if main := tuned.pop(model.config.kinds[0], None):
        config["decoding"] = main
    if tuned:
        config["decoding_of"] = tuned
    if files := sorted(_language_files(model)):
        config["files"] = files  # without them it would hear other words
    return yaml.safe_dump(config, allow_unicode=True, sort_keys=False)


def load_model(model: str | Path, *, head: str | None = None) -> Model:
    """Loads a model folder, or one that comes with the package, by its name. Nothing in the process is changed.

    Args:
        head: Kind of the tokens of the head to use; the configuration's first where None.

    Raises:
        InputError: There is no such model, a file is missing or damaged, or parts do not fit each other.
    """
    folder = find_model(model)
    config, decoding, files = _read_config(folder / "config.yaml")
    for name in files:
        if not (folder / name).is_file():
            remedy = "copy the whole folder; or take it out of `files` in config.yaml, to do without"
            raise InputError(f"has no {name}", where=folder, remedy=remedy)
    heads: dict[str, Head] = {}
    for kind in config.kinds:
        names = ("tokens.txt", "lexicon.txt", "neural-lm.safetensors")
        tokens, lexicon, neural = (folder / head_file(config, kind, name) for name in names)
        models = [*(folder / head_file(config, kind, name) for name in _LM), *(folder / name for name in _LM)]
        if not tokens.is_file():
            raise InputError(f"has no {tokens.name}", where=folder, remedy="copy the whole folder")
        tokenizer, token_lm = load_tokenizer(kind, tokens), folder / head_file(config, kind, "token-lm.safetensors")
        heads[kind] = Head(
            tokenizer,
            token_lm=_read_token_lm(token_lm, tokenizer) if config.criterion.uses_token_lm else None,
            decoding=decoding.get(kind),
            lm=next((path for path in models if path.is_file()), None),
            lexicon=lexicon if lexicon.is_file() else None,
            neural_lm=neural if neural.is_file() else None,
        )
    sizes = {kind: len(head.tokenizer) for kind, head in heads.items()}
    recognizer = build_recognizer(config, sizes, without_weights=True)
    weights = _read_weights(folder / "model.safetensors", config, recognizer)
    for name, each in heads.items():
        each.log_prior = weights.pop(_prior_name(config, name), None)
    trained_on = weights.pop("trained_on", None)
    recognizer.load_state_dict(weights, assign=True)
    recognizer.eval().requires_grad_(False)
    loaded = Model(recognizer, config, heads, name=model_name(folder), trained_on=trained_on)
    if head is not None:
        loaded.use_head(head)
    return loaded


def _read_token_lm(path: Path, tokenizer: Tokenizer) -> NgramModel:
    model = read_ngram(path)
    try:
        token_numbers(model, tokenizer.tokens)
    except InputError as e:
        raise InputError(str(e), where=path) from e
    return model


def _read_config(path: Path) -> tuple[ModelConfig, dict[str, DecodingOptions], list[str]]:
    """The configuration, what was tuned of the heads, and the language models and lexica there are."""
    values = parse_yaml(read_text(path, limit=1 << 20), where=path)
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise InputError("is not a model's configuration: it names no format", where=path)
    version = values.pop("format")
    if not 1 <= version <= FORMAT:
        raise InputError(
            f"has format {version}, this version reads 1 to {FORMAT}", where=path, remedy="update kikitori"
        )
    if version == 1:
        values = without_foreign_settings(values)
    if isinstance(text := values.get("text"), dict):
        text.setdefault("version", 1)  # of models that were made before the rules for texts had one
    plugins = values.pop("plugins", None) or []
    main, tuned = values.pop("decoding", None), values.pop("decoding_of", None) or {}
    files = values.pop("files", None) or []
    if not isinstance(files, list) or not all(isinstance(name, str) and Path(name).name == name for name in files):
        raise InputError("files is no list of names", where=path)
    try:
        config = from_dict(ModelConfig, values, where=path)
    except InputError as e:
        if not isinstance(plugins, list) or all(str(name) in sys.modules for name in plugins):
            raise
        raise InputError(
            str(e), remedy=f"the model was made with the plug-in {plugins}: install it if you trust it"
        ) from e
    if not isinstance(tuned, dict) or tuned.keys() - set(config.kinds):
        raise InputError("decoding_of is no mapping from the model's heads to options", where=path)
    tuned = {config.kinds[0]: main, **tuned}
    if not all(options is None or isinstance(options, dict) for options in tuned.values()):
        raise InputError("decoding is no mapping of options", where=path)
    where = f"{path}: decoding"
    options = {kind: from_dict(DecodingOptions, o, where=where) for kind, o in tuned.items() if o is not None}
    return config, options, files


def _read_weights(path: Path, config: ModelConfig, recognizer: Recognizer) -> dict[str, torch.Tensor]:
    """The weights as float32, after names, shapes, types and the file's length were found to be as they must."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    # Models of before there were several heads have one without a name.
    renamed = {f"head.{name}": f"heads.{config.kinds[0]}.{name}" for name in ("weight", "bias")}
    header = {renamed.get(name, name): entry for name, entry in _read_header(path).items()}
    expected = {name: list(value.shape) for name, value in recognizer.state_dict().items()}
    found = {name: shape for name, (shape, _) in header.items()}
    for kind in config.kinds:
        if (prior := _prior_name(config, kind)) in found:
            expected[prior] = expected[f"heads.{kind}.bias"]
    for name in [name for name, (_, dtype) in header.items() if dtype == "I8"]:
        expected[name + _SCALE] = (expected.get(name) or [0])[:1]
    if "trained_on" in found:
        expected["trained_on"] = found["trained_on"] if len(found["trained_on"]) == 1 else [0]
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"weight {name} has shape {found.get(name)}, the configuration and tokens need {expected.get(name)}",
                where=path,
                remedy="the folder's files do not belong together",
            )
    for name, (_, dtype) in header.items():
        types = ["I64"] if name == "trained_on" else _DTYPES
        if dtype not in types:
            raise InputError(f"weight {name} is of type {dtype}, not {', '.join(types)}", where=path)
    try:
        weights = {renamed.get(name, name): value for name, value in load_file(path).items()}
    except (SafetensorError, OSError, ValueError) as e:
        raise InputError(f"is damaged ({e})", where=path, remedy=_AGAIN) from e
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise InputError(f"weight {name} holds NaN or infinity", where=path, remedy=_AGAIN)
    for name in [name for name, value in weights.items() if value.dtype == torch.int8]:
        unit = weights.pop(name + _SCALE).float()
        weights[name] = weights[name].float() * unit.view(-1, *[1] * (weights[name].ndim - 1))
    return {name: value if name == "trained_on" else value.float() for name, value in weights.items()}


def _read_header(path: Path) -> dict[str, tuple[list[int], str]]:
    """Shape and type of each weight in a safetensors file, none of which is read."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError("no such file", where=path, remedy="copy the whole folder")
    try:
        with safe_open(str(path), "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            return {name: (each.get_shape(), each.get_dtype()) for name, each in slices.items()}
    except (SafetensorError, OSError, ValueError) as e:
        reason = " ".join(str(e).split())
        raise InputError(f"is not a safetensors file, or damaged ({reason})", where=path, remedy=_AGAIN) from e
