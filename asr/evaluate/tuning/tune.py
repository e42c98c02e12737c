"""Decoding options found on a dev set: language model weight, word score, prior weight, beam, true confidences.

The network runs once; then its log-probabilities are decoded some hundred times. What each decoding gave is kept in the
model's folder until all is done, so that a tuning that was stopped goes on where it was.
"""

from __future__ import annotations

import itertools
import logging
import math
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asr.data.batches import load_batches
from asr.data.cuts import read_cuts
from asr.data.transcript import Hypothesis
from asr.decode.attention_search import AttentionSearch, TwoPassSearch
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.rescoring import Rescoring
from asr.decode.search import beam_decoder
from asr.evaluate.evaluation import fit_speakers
from asr.evaluate.tuning.attention import (
    Found,
    LogProbs,
    States,
    best_attention,
    best_two_pass,
    decodings,
    heard_by_attention,
    timed_by_attention,
)
from asr.evaluate.tuning.cache import KeptDecodings
from asr.evaluate.tuning.confidence import cross_entropy, true_confidences
from asr.evaluate.tuning.rescoring import best_rescoring
from asr.evaluate.wer import Scores, Unit, score
from asr.lm.binary import write_binary
from asr.models.decoding_options import DecodingOptions, LmUnit
from asr.models.folder import head_file, load_model, update_model
from asr.models.hub import SHIPPED, find_model
from asr.models.model import Model, utterance_keys
from asr.models.neural_lm import is_neural_lm
from asr.utils.device import Device, find_device
from asr.utils.errors import InputError
from asr.utils.files import atomic_path, file_sha256

log = logging.getLogger(__name__)

# What is tried first, all with all; then the neighbourhood of the best, in steps that are halved twice.
GRID: dict[str, tuple[float, ...]] = {
    "lm_weight": (0.4, 0.8, 1.2, 1.6, 2.0),
    "word_score": (-1.0, 0.5, 2.0, 3.5),
    "prior_weight": (0.0, 0.3, 0.6, 0.9),
}
STEPS = {"lm_weight": 0.2, "word_score": 0.75, "prior_weight": 0.15, "unk_score": 2.5, "unk_letter_score": 0.5}
LIMITS = {"lm_weight": (0.0, math.inf), "prior_weight": (0.0, math.inf), "unk_letter_score": (-math.inf, 0.0)}
SEARCH_BEAM = 200  # while weights are searched; of phones and 60,000 words, 50 hypotheses are far too few
BEAMS = (10, 25, 50, 100, 200, 400, 800, 1600)
WORTH = 0.01  # of the error rate: what a larger beam has to bring
KEPT = "tuning.jsonl"  # in a model's folder


@dataclass(frozen=True)
class Trial:
    """Options and what they gave."""

    options: DecodingOptions
    error: float  # WER or CER


@dataclass(frozen=True)
class Tuning:
    """How a tuning went."""

    best: DecodingOptions
    score: Scores
    trials: tuple[Trial, ...]  # of CTC's search
    decodings: int  # of the dev set, by all searches
    cross_entropy: tuple[float, float]  # nats a word: of confidences as they come, and as they were made
    seconds: float
    # of each search the best: ctc, and with an attention decoder two-pass, attention
    ways: dict[str, tuple[DecodingOptions, Scores]] = field(default_factory=dict)
    rescored: bool = False  # by a neural language model

    def surface(self) -> list[list[str]]:
        """Error rates (%) by LM weight (rows) and word score (columns), the best of all else: rows of a table."""
        found: dict[tuple[float, float], float] = {}
        for trial in self.trials:
            o = trial.options
            if o.beam_size == SEARCH_BEAM:
                key = (o.lm_weight, o.word_score)
                found[key] = min(trial.error, found.get(key, math.inf))
        columns = sorted({word for _, word in found})
        rows = [["LM weight \\ word score", *(f"{word:g}" for word in columns)]]
        for weight in sorted({weight for weight, _ in found}):
            cells = [found.get((weight, word)) for word in columns]
            rows.append([f"{weight:g}", *("" if cell is None else f"{100 * cell:.2f}" for cell in cells)])
        return rows


def tune(
    model: str | Path,
    cuts: str | Path,
    *,
    lm: str | Path | None = None,
    lexicon: str | Path | None = None,
    rescore: str | Path | None = None,
    head: str | None = None,
    unit: Unit | None = None,
    warps: Sequence[float] | None = None,
    lm_unit: LmUnit | None = None,
    batch_seconds: float = 120.0,
    num_workers: int = 0,
    device: Device = "auto",
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Tuning:
    """Finds decoding options on a dev set and writes them into the model folder, with the LM and lexicon given.

    Args:
        model: A model folder.
        cuts: Utterances that the model was not trained on.
        lm: A language model, instead of the folder's.
        lexicon: A lexicon, instead of the folder's.
        rescore: A neural language model that chooses among texts, instead of the folder's.
        head: That which is tuned, where the model has several; the first where None. Where it has an attention decoder,
            searches with it are tuned, too, and the best of them is kept.
        unit: Whether errors are counted in words or characters; words where None, if spaces separate them.
        warps: Of the mel axis, tried at the end, and kept if the error is lower by a hundredth: searching takes as many
            times as long. Those of the folder where None.
        lm_unit: Whether the language model is over words or over tokens, where these have spaces too; as the folder has
            it where None.
        device: What the network runs on; auto: a GPU where torch can use one.
        progress: Is told the decodings that are done, and the most that there can be.

    Raises:
        InputError: Utterances were trained on, have no text, or parts do not fit each other.
    """
    started = time.perf_counter()
    loaded, folder = load_model(model, head=head), find_model(model)
    loaded.recognizer.to(find_device(device))
    if folder.resolve().parent == SHIPPED.resolve():
        raise InputError(
            "comes with the package and stays as it is", where=model, remedy=f"copy {folder} and tune that"
        )
    unit = unit or ("words" if loaded.has_words else "characters")
    if unit not in ("words", "characters") or (unit == "words" and not loaded.has_words):
        raise InputError(f"errors cannot be counted in {unit}", where=model, remedy="count them in characters")
    start = loaded.decoding or DecodingOptions()
    warps = start.warps if warps is None else tuple(warps)
    start = replace(start, warps=(), lm_unit=lm_unit or start.lm_unit)
    # What does not fit is told at once.
    attentive = loaded.recognizer.decoder is not None and head in (None, loaded.config.kinds[0])
    alone = attentive and not loaded.config.decoder.ctc_weight
    known = lexicon or loaded.lexicon or loaded.tokenizer.kind == "phones"
    if alone and known:
        raise InputError("was trained with attention alone, which knows of no lexicon", where=model)
    start = replace(start, lm_unit="token") if alone else start
    if lm is not None and is_neural_lm(lm):
        raise InputError(
            "is a neural model, of which only the weight in choosing among texts is tuned",
            where=lm,
            remedy="--rescore; of tokens, try weights: asr evaluate --search attention --lm LM --lm-weight X",
        )
    decoder = beam_decoder(loaded, lm=lm, lexicon=lexicon, options=replace(start, warps=warps))
    chooser = rescore or loaded.neural_lm
    neural = None if chooser is None else Rescoring(loaded, chooser, lambda: [], start, decoder=decoder)
    attention = None
    if attentive and not known:
        attention = AttentionSearch(loaded, start, (lm or loaded.lm) if start.lm_unit == "token" else None)
    logits, states, references = _heard(
        loaded, cuts, {1.0, *warps}, attentive, batch_seconds=batch_seconds, num_workers=num_workers
    )
    parts = [folder / "model.safetensors", lm or loaded.lm, lexicon or loaded.lexicon]
    kept = KeptDecodings(folder / KEPT, [unit, *references, *(file_sha256(part) for part in parts if part)], logits)
    more = 0 if attention is None else decodings(attention)
    ways: dict[str, Found] = {}
    trials: tuple[Trial, ...] = ()
    if not alone:
        if loaded.log_prior is None:
            log.warning("%s has no prior of its tokens (training keeps one): prior_weight is left alone", folder)
        tried = _Trials(decoder, logits, references, unit, replace(start, nbest=1), progress, kept, more)
        best, entropy = _best_of_ctc(
            tried, [name for name, usable in _weights(decoder, loaded).items() if usable], warps
        )
        trials, start = tuple(tried.trials.values()), replace(best, nbest=start.nbest)
        heard = tried.decode(best)
        ways["ctc"] = start, heard, score(references, [each.text for each in heard], unit=unit)
    if attentive and not alone:
        ways["ctc"] = (replace(start, search="ctc"), *ways["ctc"][1:])
        two_pass = TwoPassSearch(loaded, decoder.with_options(**vars(start)))
        warped = [(logits[warp], states[warp]) for warp in start.warps or (1.0,)]
        ways["two-pass"] = best_two_pass(two_pass, warped, references, unit)
    if attention is not None:
        done = itertools.count(len(trials) + 1)
        attention.options = replace(start, nbest=1, ctc_weight=attention.options.ctc_weight)
        given = logits[1.0], states[1.0], references, unit
        tick = lambda: progress(next(done), len(trials) + more)  # noqa: E731
        made, heard, found = best_attention(attention, *given, tick, partial(kept, what="attention"))
        ways["attention"] = replace(made, nbest=start.nbest), heard, found
    if neural is not None:
        several = _Several(loaded, decoder, attention, logits, states)
        for name, (own, _, _) in ways.items():
            neural.options, neural.how = own, name
            weight, heard, found = best_rescoring(neural, several(name, own), references, unit)
            ways[name] = replace(own, rescore_weight=weight), heard, found
    options, heard, result = min(ways.values(), key=lambda way: way[2].error.errors)  # of equals the fastest
    if attention is not None and alone:
        sure = timed_by_attention(attention, heard, logits[1.0], states[1.0])  # a text that was chosen has none
        entropy = (cross_entropy(sure, references),) * 2
    progress(len(trials) + more, len(trials) + more)

    loaded.decoding = options
    _keep(folder, loaded, decoder if lm is not None else None, lexicon, rescore)
    kept.path.unlink(missing_ok=True)
    scores = {name: (way[0], way[2]) for name, way in ways.items()}
    return Tuning(
        options, result, trials, len(trials) + more, entropy, time.perf_counter() - started, scores, neural is not None
    )


@dataclass
class _Several:
    """Callable: a search, its options -> texts of each utterance for a neural model to choose among, with each warp."""

    model: Model
    decoder: CtcBeamDecoder
    attention: AttentionSearch | None
    log_probs: dict[float, LogProbs]
    states: dict[float, States]

    def __call__(self, search: str, options: DecodingOptions) -> list[list[list[Hypothesis]]]:
        count = options.rescore_beam
        wide = replace(options, nbest=count, beam_size=max(options.beam_size, count))
        if search == "attention":
            assert self.attention is not None
            self.attention.options = wide
            return [heard_by_attention(self.attention, self.log_probs[1.0], self.states[1.0])]
        decoder = self.decoder.with_options(**vars(wide))
        warped = [(self.log_probs[warp], self.states[warp]) for warp in options.warps or (1.0,)]
        if search == "ctc":
            return [decoder.decode_each(log_probs, confidences=False) for log_probs, _ in warped]
        two_pass, found = TwoPassSearch(self.model, decoder), []
        for log_probs, states in warped:
            texts = two_pass.search.decode_each(log_probs, confidences=False)
            sure = [two_pass.attention(state, each) for state, each in zip(states, texts, strict=True)]
            found.append([two_pass.chosen(*each) for each in zip(texts, sure, strict=True)])
        return found


def _best_of_ctc(
    tried: _Trials, weights: Sequence[str], warps: tuple[float, ...]
) -> tuple[DecodingOptions, tuple[float, float]]:
    """The best options of CTC's search, and the cross-entropy of confidences, as they come and with these options."""
    sizes = [len(GRID[name]) for name in weights if name in GRID]
    tried.most += math.prod(sizes) + 12 * len(weights) + len(BEAMS) + bool(warps)
    best = _least_beam(tried, _climb(tried, weights, _best_of_grid(tried, weights)))
    if warps:
        warped = tried(replace(best.options, warps=warps))
        best = warped if warped.error <= best.error * (1 - WORTH) else best
    return true_confidences(tried.decode, best.options, tried.references, tried.kept)


def _weights(decoder: CtcBeamDecoder, model: Model) -> dict[str, bool]:
    """The options that are weights, and whether they mean anything to this decoder."""
    return {
        "lm_weight": decoder.lm is not None,
        "word_score": True,
        "unk_score": decoder.lm is not None and decoder.has_unknown_words,
        "unk_letter_score": decoder.lm is not None and decoder.spells_words,
        "prior_weight": model.log_prior is not None,
    }


@dataclass
class _Trials:
    """Decodes the dev set with options, once with each. Callable: options -> Trial."""

    decoder: CtcBeamDecoder
    log_probs: dict[float, LogProbs]  # of each warp
    references: list[str]
    unit: Unit
    start: DecodingOptions
    progress: Callable[[int, int | None], None]
    kept: KeptDecodings
    most: int
    trials: dict[DecodingOptions, Trial] = field(default_factory=dict)
    warps: dict[DecodingOptions, list[int]] = field(
        default_factory=dict
    )  # the best of each utterance, with some options

    def __call__(self, options: DecodingOptions) -> Trial:
        if options not in self.trials:

            def errors() -> list[float]:
                texts = [hypothesis.text for hypothesis in self.decode(options, confidences=False)]
                return [score(self.references, texts, unit=self.unit).error.rate]

            self.trials[options] = Trial(options, *self.kept(options, errors))
            self.progress(len(self.trials), max(self.most, len(self.trials) + 1))
        return self.trials[options]

    def decode(self, options: DecodingOptions, confidences: bool = True) -> list[Hypothesis]:
        """The best hypothesis of each utterance; of several warps, the one of the best score."""
        decoder = self.decoder.with_options(**vars(options))

        def best(log_probs: LogProbs, sure: bool) -> list[Hypothesis]:
            return [nbest[0] for nbest in decoder.decode_each(log_probs, confidences=sure)]

        warps = options.warps or (1.0,)
        if len(warps) == 1:
            return best(self.log_probs[warps[0]], confidences)
        plain = replace(options, temperature=1.0, calibration=(1.0, 0.0))  # which change no score
        if confidences and plain in self.warps:
            chosen = self.warps[plain]
        else:
            ways = [best(self.log_probs[warp], False) for warp in warps]
            chosen = [max(range(len(warps)), key=lambda n: several[n].score) for several in zip(*ways, strict=True)]
            self.warps[plain] = chosen
            if not confidences:
                return [ways[n][i] for i, n in enumerate(chosen)]
        return best([self.log_probs[warps[n]][i] for i, n in enumerate(chosen)], True)


def _best_of_grid(tried: _Trials, weights: Sequence[str]) -> Trial:
    """The best of all of GRID with all, and of where one starts."""
    names = [name for name in weights if name in GRID]
    start = replace(tried.start, beam_size=SEARCH_BEAM)
    best = tried(start)
    for values in itertools.product(*(GRID[name] for name in names)):
        point: dict[str, Any] = dict(zip(names, values, strict=True))
        best = _better(best, tried(replace(start, **point)))
    return best


def _climb(tried: _Trials, weights: Sequence[str], best: Trial) -> Trial:
    """The best of the neighbourhood, weight by weight, for as long as one is better; then in steps of half the size."""
    for scale in (1.0, 0.5):
        improved = True
        while improved:
            improved = False
            for name, sign in itertools.product(weights, (-1, 1)):
                value = round(getattr(best.options, name) + sign * scale * STEPS[name], 4)
                low, high = LIMITS.get(name, (-math.inf, math.inf))
                if low <= value <= high:
                    step: dict[str, Any] = {name: value}
                    found = tried(replace(best.options, **step))
                    improved |= found.error < best.error
                    best = _better(best, found)
    return best


def _least_beam(tried: _Trials, best: Trial) -> Trial:
    """The smallest beam that is about as good as any."""
    by_beam = [tried(replace(best.options, beam_size=beam)) for beam in BEAMS]
    least = min(trial.error for trial in by_beam)
    return next(trial for trial in by_beam if trial.error <= least * (1 + WORTH))


def _keep(
    folder: Path,
    model: Model,
    decoder: CtcBeamDecoder | None,
    lexicon: str | Path | None,
    rescore: str | Path | None,
) -> None:
    """Writes the model's options into its folder, with the language models and the lexicon that are given."""

    def own(name: str) -> Path:
        return folder / head_file(model.config, model.recognizer.main, name)

    with ExitStack() as stack:  # all is on the disk before anything takes its place
        if decoder is not None and decoder.lm is not None:
            stack.callback(own("lm.lmz").unlink, missing_ok=True)
            write_binary(decoder.lm, stack.enter_context(atomic_path(own("lm.safetensors"))))
            model.lm = own("lm.safetensors")
        if lexicon is not None:
            shutil.copyfile(lexicon, stack.enter_context(atomic_path(own("lexicon.txt"))))
            model.lexicon = own("lexicon.txt")
        if rescore is not None:
            shutil.copyfile(rescore, stack.enter_context(atomic_path(own("neural-lm.safetensors"))))
            model.neural_lm = own("neural-lm.safetensors")
        update_model(folder, model)


def _better(a: Trial, b: Trial) -> Trial:
    return b if b.error < a.error else a


def _heard(
    model: Model, cuts: str | Path, warps: Collection[float], attentive: bool, **loading: Any
) -> tuple[dict[float, LogProbs], dict[float, States], list[str]]:
    """What the network says of each utterance, with each warp, and what it should say.

    Args:
        attentive: Whether the encoder's states are wanted; else there are none.
    """
    utterances = read_cuts(cuts)
    if model.trained_on is not None:
        known = set(model.trained_on.tolist())
        seen = [u for u in utterances if utterance_keys([(u.id, u.duration)]).item() in known]
        if seen:
            raise InputError(
                f"the model was trained on {len(seen)} of its {len(utterances)} utterances ({seen[0].id} is one)",
                where=cuts,
                remedy="tune on a set that training never saw, such as cuts_dev.jsonl.gz",
            )
    normalizer = model.normalizer()
    if not any(normalizer(u.text) for u in utterances):
        raise InputError("has no text to tune on", where=cuts)
    fit_speakers(model, utterances, **loading)
    recognizer = model.recognizer.eval()
    device = next(recognizer.parameters()).device
    logits: dict[float, dict[str, npt.NDArray[np.float32]]] = {warp: {} for warp in warps}
    states: dict[float, dict[str, torch.Tensor]] = {warp: {} for warp in warps}
    texts: dict[str, str] = {}
    batches = load_batches(utterances, model.tokenizer, normalizer, sample_rate=recognizer.sample_rate, **loading)
    for batch in batches:
        batch = batch.to(device)
        with torch.inference_mode():
            features = recognizer.features(batch.samples, batch.sample_lens, batch.speakers)
        for warp in warps:
            with torch.inference_mode():
                encoder_out, lens = recognizer.encode(*features, warp=warp)
                log_probs = recognizer.ctc(encoder_out)
            for i, key in enumerate(batch.ids):
                if attentive:
                    states[warp][key] = encoder_out[i : i + 1, : lens[i]].clone()
                logits[warp][key] = log_probs[i, : lens[i]].cpu().numpy().copy()
        texts |= zip(batch.ids, batch.texts, strict=True)
    names = [u.id for u in sorted(utterances, key=lambda u: -u.duration)]
    ordered: dict[float, LogProbs] = {warp: [of[key] for key in names] for warp, of in logits.items()}
    kept: dict[float, States] = {warp: [of[key] for key in names if attentive] for warp, of in states.items()}
    return ordered, kept, [texts[key] for key in names]
