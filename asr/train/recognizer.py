"""A recogniser from prepared data: tokens, network, and everything that training needs around it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from asr.audio.augment import check_folders, folder_files
from asr.data.check import cache_path, check_data
from asr.data.cuts import Utterance, read_cuts, utterance_seed
from asr.evaluate.evaluation import fit_speakers
from asr.lm.ngram import NgramModel
from asr.models.config import ModelConfig
from asr.models.folder import load_model, save_model, update_model
from asr.models.hub import SHIPPED, find_model, model_name
from asr.models.model import Head, Model, utterance_keys
from asr.models.recognizer import build_recognizer
from asr.text.normalize import TextNormalizer, has_word_spaces
from asr.text.tokenizer import PhoneTokenizer, PieceTokenizer, Tokenizer, train_tokenizer, training_lexicon
from asr.train.config import TrainConfig
from asr.train.gradients import memory_advice
from asr.train.progress import Monitor, Validation
from asr.train.run_folder import check_same_run, describe_run, open_run
from asr.train.task import RecognizerTask, batches_of
from asr.train.trainer import Trainer, TrainResult
from asr.train.warm_start import take_weights
from asr.utils.config import to_dict
from asr.utils.errors import InputError
from asr.utils.files import remove_leftovers
from asr.utils.provenance import provenance

if TYPE_CHECKING:
    from lightning_fabric import Fabric


CHECK_SECONDS = 60.0  # of reading audio before a run begins
PRIOR_SECONDS = 600.0  # of audio from which the tokens' prior is estimated


def train_recognizer(
    config: TrainConfig,
    data_dir: str | Path,
    out_dir: str | Path,
    *,
    monitor: Monitor | None = None,
    check: bool = True,
) -> TrainResult:
    """Trains a recogniser on `cuts_train.jsonl.gz` of `data_dir`, judged by `cuts_dev.jsonl.gz`.

    `out_dir` gets config.yaml, log.jsonl, checkpoints/ and model/, the best model so far. The same call after an
    interruption, however hard, goes on where it was and ends with the weights of an uninterrupted run.
    How it goes is shown on standard error. Denormal numbers are flushed to zero from here on, in this process. Of
    several processes, started by torchrun or SLURM, each calls this.

    Args:
        config: All settings.
        data_dir: As made by `asr prepare`.
        out_dir: One run's own.
        monitor: Is told how it goes, instead of the terminal.
        check: A new run looks at its data first, reads audio for at most a minute, and stops where they would ruin it.

    Raises:
        InputError: The data cannot be used, `out_dir` holds a run of other settings or data, or another process of
            this run is gone.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved.
    """
    data_dir, out_dir = Path(data_dir), Path(out_dir)
    training, dev = (read_cuts(data_dir / f"cuts_{split}.jsonl.gz") for split in ("train", "dev"))
    config = resolve(config, training)
    with open_run(out_dir, config.device, monitor) as (fabric, told):
        return _train_recognizer(fabric, config, data_dir, training, dev, out_dir, told, check)


def _train_recognizer(
    fabric: Fabric,
    config: TrainConfig,
    data_dir: Path,
    training: list[Utterance],
    dev: list[Utterance],
    out_dir: Path,
    monitor: Monitor,
    check: bool,
) -> TrainResult:
    # 1. The model
    model = new_model(config, training, name=out_dir.name, monitor=monitor)
    # 2. Whose run the folder holds
    facts = provenance()
    learnt = _digest(training, dev, folder_files(config.augment), _what_is_learnt(model), *_begun(config))
    data, step = str(data_dir.resolve()), config.accumulate * fabric.world_size
    run = {"data": data, "data_sha256": learnt, "batches_per_step": step, **facts}
    described = {"run": run, **to_dict(config)}
    resumed = check_same_run(described, out_dir, fabric)
    # 3. The data
    check_folders(config.augment, config.model.features.sample_rate)
    if fabric.is_global_zero:
        remove_leftovers(out_dir / "model")
        if check and not resumed:
            _check_data(config, data_dir, training, dev, monitor)
    training = drop_unpronounceable(model, training, monitor)
    _learn_words(config, model, dev)
    keys = utterance_keys((u.id, u.duration) for u in training)
    model.trained_on = keys if model.trained_on is None else torch.unique(torch.cat([keys, model.trained_on]))
    if not resumed:
        fit_normalizer(config, model, training)
    elif any(
        (out_dir / "model" / name).exists() for name in ("lm.safetensors", "lexicon.txt", "neural-lm.safetensors")
    ):
        monitor.note(f"the next better model takes the place of {out_dir / 'model'}, what `asr tune` put there too")
    if fabric.is_global_zero:
        describe_run(described, out_dir)
    fit_speakers(model, [*training, *dev], batch_seconds=config.batch_seconds, num_workers=config.num_workers)
    hours = sum(u.duration for u in training) / 3600
    parameters = sum(p.numel() for p in model.recognizer.parameters())
    monitor.note(
        f"{len(training)} utterances ({hours:.2f} h) for training, {len(dev)} for dev;"
        f" {_sizes(model)}, {parameters / 1e6:.2f} M parameters"
    )

    # 4. Training
    def keep(validation: Validation, epochs: str) -> None:
        card = _card(model, data_dir, training, dev, validation, epochs, facts, config.init_from)
        save_model(out_dir / "model", model, card)

    task = RecognizerTask(config, model, training, dev, fabric=fabric, keep=keep)
    with batch_memory_advice(config):
        result = Trainer(fabric, task, config, out_dir, monitor).train()
    if fabric.is_global_zero:
        _keep_prior(config, out_dir / "model", training, model)
    return result


def _keep_prior(config: TrainConfig, folder: Path, training: Sequence[Utterance], fitted: Model) -> None:
    """Gives a trained model the priors of its tokens: mean posteriors over up to ten minutes of training speech."""
    model = load_model(folder)
    if model.head.log_prior is not None:
        return
    model.recognizer.frontend.normalizer.speakers = fitted.recognizer.frontend.normalizer.speakers
    chosen: list[Utterance] = []
    for utterance in sorted(training, key=lambda u: utterance_seed(config.seed, 0, u.id)):
        if sum(u.duration for u in chosen) > PRIOR_SECONDS:
            break
        chosen.append(utterance)
    main = model.recognizer.main
    for kind in model.config.kinds:
        model.use_head(kind)
        total = torch.zeros(len(model.tokenizer), dtype=torch.float64)
        with torch.inference_mode():
            for batch in batches_of(config, model, chosen):
                features = model.recognizer.features(batch.samples, batch.sample_lens, batch.speakers)
                log_probs, lens = model.recognizer.log_probs(*features)
                for i, n in enumerate(lens.tolist()):
                    total += log_probs[i, :n].double().exp().sum(dim=0)
        # A token that is never heard there keeps a prior: one frame in a million.
        model.head.log_prior = (total / total.sum().clamp(min=1e-12)).clamp(min=1e-6).log().float()
    model.use_head(main)
    update_model(folder, model)


def _check_data(
    config: TrainConfig, data_dir: Path, training: Sequence[Utterance], dev: Sequence[Utterance], monitor: Monitor
) -> None:
    """Tells what is wrong with the data.

    Raises:
        InputError: It would ruin training.
    """
    report = check_data(
        {"train": training, "dev": dev},
        config.model,
        batch_seconds=config.batch_seconds,
        audio_seconds=CHECK_SECONDS,
        fastest=max(config.augment.speed),
        cache=cache_path(data_dir),
    )
    if report.fatal:
        raise InputError(
            "; ".join(finding.line() for finding in report.fatal),
            where=data_dir,
            remedy=f"`asr check --data {data_dir}` tells more; --no-check trains anyway",
        )
    for finding in report.findings:
        monitor.note(finding.line())


def batch_memory_advice(config: TrainConfig) -> AbstractContextManager[None]:
    half = f"batch_seconds={config.batch_seconds / 2:g} accumulate={2 * config.accumulate}"
    remedy = f"{half} in a new --out: the same steps in half the memory; or precision=bf16"
    return memory_advice("batch_seconds", f"{config.batch_seconds:g} s", remedy)


def resolve(config: TrainConfig, training: Sequence[Utterance]) -> TrainConfig:
    """The configuration with what the data decides, whether texts have words, and a lexicon's whole path."""
    text = config.model.text
    if text.words == "auto":
        text = replace(text, words="spaces" if has_word_spaces(u.text for u in training) else "none")
    tokenizer = config.model.tokenizer
    if tokenizer.lexicon:
        tokenizer = replace(tokenizer, lexicon=str(Path(tokenizer.lexicon).resolve()))
    start = config.init_from
    if start and find_model(start).parent != SHIPPED:
        start = str(Path(start).resolve())
    return replace(config, model=replace(config.model, text=text, tokenizer=tokenizer), init_from=start)


def new_model(config: TrainConfig, training: Sequence[Utterance], *, name: str, monitor: Monitor) -> Model:
    """A model as configured and resolved: random weights drawn from the seed, or those it is to begin with."""
    tokenizers = _tokenizers(config, training, monitor)
    torch.manual_seed(config.seed)
    recognizer = build_recognizer(config.model, {kind: len(tokenizer) for kind, tokenizer in tokenizers.items()})
    models = _token_models(config.model, tokenizers, training)
    heads = {kind: Head(tokenizer, models.get(kind)) for kind, tokenizer in tokenizers.items()}
    model = Model(recognizer, config.model, heads, name=name)
    if config.init_from:
        monitor.note(take_weights(model, config.init_from))
    return model


def fit_normalizer(config: TrainConfig, model: Model, training: Sequence[Utterance]) -> None:
    """Gives features normalised by the training set's mean and variance theirs."""
    if config.model.features.normalize != "global":
        return
    frontend = model.recognizer.frontend
    batches = batches_of(config, model, training)
    frontend.normalizer.fit(frontend.raw(batch.samples, batch.sample_lens) for batch in batches)


def _digest(*parts: Sequence[object]) -> str:
    """Of the utterances and files that a run depends on."""
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _begun(config: TrainConfig) -> list[str]:
    """Of the weights that training begins with, where they are another model's."""
    if not config.init_from:
        return []
    return [hashlib.sha256((find_model(config.init_from) / "model.safetensors").read_bytes()).hexdigest()]


def _what_is_learnt(model: Model) -> list[object]:
    """The tokens of each head, and how they spell: what makes them may be of another version when a run goes on."""
    parts: list[object] = []
    for tokenizer in model.tokenizers.values():
        parts.append(tokenizer.tokens)
        if isinstance(tokenizer, PhoneTokenizer):
            parts.append(tokenizer.lexicon.pronunciations)
        if isinstance(tokenizer, PieceTokenizer):
            parts.append(tokenizer.model)
    return parts


def _tokenizers(config: TrainConfig, training: Sequence[Utterance], monitor: Monitor) -> dict[str, Tokenizer]:
    """The tokenizer of each head."""
    model = config.model
    normalizer = TextNormalizer(model.text)
    texts = [normalizer(u.text) for u in training]
    if changed := normalizer.report():
        more = f", and {len(changed) - 8} more" if len(changed) > 8 else ""
        monitor.note(f"text normalisation: {', '.join(changed[:8])}{more}")
    spaces = model.text.words != "none"
    return {kind: train_tokenizer(model.tokenizer_of(kind), texts, spaces=spaces) for kind in model.kinds}


def _token_models(
    config: ModelConfig, tokenizers: Mapping[str, Tokenizer], training: Sequence[Utterance]
) -> dict[str, NgramModel | None]:
    """The n-gram model of each head's tokens in the training texts, where the criterion needs one."""
    normalizer = TextNormalizer(config.text)
    models = {}
    for kind, tokenizer in tokenizers.items():
        sequences = (tokenizer.encode_known(normalizer(u.text))[0] for u in training)
        models[kind] = config.criterion.estimate(sequences, tokenizer.tokens)
    return models


def drop_unpronounceable(model: Model, training: list[Utterance], monitor: Monitor) -> list[Utterance]:
    """The utterances of which every word has a pronunciation, where phones are learnt; else all."""
    tokenizer = model.tokenizers.get("phones")
    if not isinstance(tokenizer, PhoneTokenizer):
        return training
    normalizer = model.normalizer()
    usable, unsaid = [], Counter[str]()
    for utterance in training:
        lacking = tokenizer.encode_known(normalizer(utterance.text))[1]
        unsaid.update(lacking)
        if not lacking:
            usable.append(utterance)
    if unsaid:
        named = ", ".join(f"{word!r} ({n})" for word, n in unsaid.most_common(10))
        monitor.note(
            f"{len(training) - len(usable)} utterances with words that have no pronunciation are left out: {named}"
        )
    if not usable:
        raise InputError("no utterance has a pronunciation of every word", where=model.config.tokenizer.lexicon or None)
    return usable


def _learn_words(config: TrainConfig, model: Model, dev: Sequence[Utterance]) -> None:
    """Lets a tokenizer of phones know the words of dev, too, from where it has those of the training texts."""
    tokenizer, normalizer = model.tokenizers.get("phones"), model.normalizer()
    if isinstance(tokenizer, PhoneTokenizer):
        unknown = sorted({word for u in dev for word in tokenizer.encode_known(normalizer(u.text))[1]})
        if unknown:
            tokenizer.also_knows(training_lexicon(config.model.tokenizer, unknown))


def _sizes(model: Model) -> str:
    """'33 characters'; '40 phones and 29 characters'."""
    names = {"bpe": "pieces (bpe)", "unigram": "pieces (unigram)"}
    return " and ".join(f"{len(t)} {names.get(kind, kind)}" for kind, t in model.tokenizers.items())


def _card(
    model: Model,
    data_dir: Path,
    training: Sequence[Utterance],
    dev: Sequence[Utterance],
    validation: Validation,
    epochs: str,
    facts: dict[str, Any],
    start: str,
) -> str:
    hours = sum(u.duration for u in training) / 3600
    speakers = len({u.speaker for u in training if u.speaker})
    begun = f" Training began with the weights of {model_name(find_model(start))}." if start else ""
    return f"""# {model.name}

A speech recogniser trained with Kikitori.

- Training data: {data_dir.name}, {len(training)} utterances, {hours:.2f} h, {speakers or "unknown"} speakers.{begun}
- Dev error ({len(dev)} utterances, which chose {epochs}): {validation.summary}.
- Audio: {model.recognizer.sample_rate} Hz. Tokens: {_sizes(model)}, blanks included.
- Trained by `{facts["command"]}`, commit {facts["commit"] or "unknown"}, on {facts["hardware"]}.
- Licence: that of the training data; state it here before you share the model.

Use: `asr transcribe FILE --model FOLDER`.
"""
