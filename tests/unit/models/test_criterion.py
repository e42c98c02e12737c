"""CTC-CRF as the criterion of a training, on tones: the warm-up, the token model, decoding, going on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import SMALL, tone_data, tone_words
from wording import wording

from asr.data.cuts import read_cuts
from asr.decode.search import greedy_decoding
from asr.evaluate.evaluation import evaluate
from asr.inference.transcriber import Transcriber
from asr.lm.corpus import read_corpus
from asr.lm.files import save_ngram
from asr.lm.kneser_ney import EstimateOptions, estimate_ngram
from asr.models.ctc_crf import CtcCrfConfig
from asr.models.folder import load_model
from asr.text.tokenizer import TokenizerConfig
from asr.train.config import TrainConfig
from asr.train.progress import Progress, SilentMonitor
from asr.train.recognizer import new_model, resolve, train_recognizer
from asr.train.task import RecognizerTask
from asr.utils.errors import InputError

pytestmark = pytest.mark.slow  # models of seconds are trained here

LEXICON = "low\tL OW\nhigh\tHH AY\n"
SPEECH = tone_words(["high", "low", "high"], seed=99)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    (folder / "lexicon.txt").write_text(LEXICON)
    return tone_data(folder, 200)


def config(data: Path, **changes: object) -> TrainConfig:
    model = replace(
        SMALL.model,
        encoder=replace(SMALL.model.encoder, factor=2),
        tokenizer=TokenizerConfig(lexicon=str(data.parent / "lexicon.txt")),
        heads=("phones", "characters"),
        criterion=CtcCrfConfig(warm_up_epochs=3),
    )
    return replace(SMALL, epochs=10, model=model, **changes)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crf") / "run"
    train_recognizer(config(data), data, out)
    return out


def test_both_heads_decode_with_their_token_models(run: Path, data: Path) -> None:
    folder = run / "model"
    for head, text in (("phones", "HH AY L OW HH AY"), ("characters", "high low high")):
        model = load_model(folder, head=head)
        assert model.head.token_lm is not None
        assert set(model.head.token_lm.words) >= set(model.tokenizer.tokens[1:])
        assert greedy_decoding(model).facts == {"search": "greedy with token model"}
        assert Transcriber(model, vad=False, greedy=True).transcribe(SPEECH, 8000).text == text
        assert evaluate(model, data / "cuts_test.jsonl.gz", greedy=True).words.rate < 0.1
    assert (
        Transcriber(load_model(folder), vad=False).transcribe(SPEECH, 8000).text == "high low high"
    )  # through the lexicon


def test_the_first_epochs_are_ctcs(data: Path) -> None:
    training = read_cuts(data / "cuts_train.jsonl.gz")
    resolved = resolve(config(data), training)
    model = new_model(resolved, training, name="x", monitor=SilentMonitor())
    task, losses = RecognizerTask(resolved, model, training), []
    for epoch in (2, 3, 2):
        task.on_epoch_start(epoch)
        _, batches = task.batches(epoch)
        batch = max(batches, key=lambda batch: float(batch.samples.std()))
        with torch.inference_mode():
            loss = task.objective.eval()(batch)
        losses.append(float(loss.sum / loss.count))
    assert losses[1] < losses[0] == losses[2]  # without a network the texts' own model does best


def test_it_goes_on_with_the_same_weights(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped after the warm-up ends as one that is not."""

    class Stop(SilentMonitor):
        def epoch(self, progress: Progress, *_: object) -> None:
            if progress.epoch == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_recognizer(config(data), data, tmp_path / "run", monitor=Stop())
    train_recognizer(config(data), data, tmp_path / "run")
    ours, theirs = (load_model(folder / "model").recognizer.state_dict() for folder in (tmp_path / "run", run))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_token_model_that_is_missing_or_anothers(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(run / "model", folder)
    (folder / "token-lm.safetensors").unlink()
    with pytest.raises(InputError, match=r"token-lm\.safetensors"):
        load_model(folder)
    save_ngram(estimate_ngram(read_corpus(["a b", "b a"]), EstimateOptions(order=2)), folder / "token-lm.safetensors")
    with pytest.raises(InputError, match=wording("token-lm-safetensors-not-of")):
        load_model(folder)
