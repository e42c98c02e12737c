from __future__ import annotations

import itertools
import logging
import math
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from asr.data.batches import load_batches
from asr.data.cuts import read_cuts
from asr.data.transcript import Hypothesis
from asr.decode.attention_search import AttentionSearch
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.rescoring import Rescoring
from asr.decode.search import EncoderOutput, Search, beam_decoder, best_of_warps, encoder_output
from asr.decode.second_pass import SecondPass, TwoPassSearch
from asr.evaluate.evaluation import fit_speakers
from asr.evaluate.tuning.confidence import cross_entropy, true_confidences
from asr.evaluate.tuning.coordinates import WORTH, KeptNumbers, Table, Trial, coordinate_search
from asr.evaluate.wer import Scores, Unit, score
from asr.lm.binary import write_binary
from asr.models.decoder import StepDecoder
from asr.models.decoding_options import DecodingOptions, LmUnit
from asr.models.folder import head_file, load_model, update_model
from asr.models.hub import SHIPPED, find_model
from asr.models.model import Model, utterance_keys
from asr.models.neural_lm import is_neural_lm
from asr.utils.device import Device, find_device
from asr.utils.errors import InputError
from asr.utils.files import atomic_path, file_sha256

log = logging.getLogger(__name__)

# Of CTC's search: what is tried first, all with all; then the neighbourhood of the best.
GRID: dict[str, tuple[float, ...]] = {
    "lm_weight": (0.4, 0.8, 1.2, 1.6, 2.0),
    "word_score": (-1.0, 0.5, 2.0, 3.5),
    "prior_weight": (0.0, 0.3, 0.6, 0.9),
}
STEPS = {"lm_weight": 0.2, "word_score": 0.75, "unk_score": 2.5, "unk_letter_score": 0.5, "prior_weight": 0.15}
LIMITS = {"lm_weight": (0.0, math.inf), "prior_weight": (0.0, math.inf), "unk_letter_score": (-math.inf, 0.0)}
SEARCH_BEAM = 200  # while weights are searched; of phones and 60,000 words, 50 hypotheses are far too few
BEAMS = (10, 25, 50, 100, 200, 400, 800, 1600)
# Of attention's search, one after another, the others as they were found: with CTC, and alone.
JOINED: dict[str, tuple[float, ...]] = {
    "ctc_weight": (0.3, 0.1, 0.2, 0.5, 0.7),
    "lm_weight": (0.0, 0.2, 0.4, 0.8),
    "length_reward": (0.0, -0.5, 0.5, 1.0),
}
ALONE: dict[str, tuple[float, ...]] = {
    "length_norm": (0.0, 0.5, 1.0),
    "lm_weight": (0.0, 0.2, 0.4, 0.8),
    "length_reward": (0.0, -0.5, 0.5, 1.0),
    "end_factor": (math.inf, 1.5, 1.2),
}
CTC_WEIGHTS = tuple(n / 10 for n in range(9, -1, -1))  # of two passes
RESCORE_WEIGHTS = tuple(n / 10 for n in range(11))
KEPT = "tuning.jsonl"  # in a model's folder


@dataclass(frozen=True)
class Tuning:
    """How a tuning went."""

    best: DecodingOptions
    score: Scores
    trials: tuple[Trial, ...]  # of CTC's search
    decodings: int  # of the dev set, by all searches
    cross_entropy: tuple[float, float]  # nats a word: of confidences as they come, and as they were made
    seconds: float
    # the best of each: ctc, and with an attention decoder two-pass, attention
    searches: dict[str, tuple[DecodingOptions, Scores]] = field(default_factory=dict)
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
    own = loaded.head
    start = own.decoding or DecodingOptions()
    warps = start.warps if warps is None else tuple(warps)
    attentive = isinstance(loaded.recognizer.decoder, StepDecoder) and head in (None, loaded.config.kinds[0])
    alone = attentive and not loaded.config.decoder.ctc_weight
    known = bool(lexicon or own.lexicon or loaded.tokenizer.kind == "phones")
    # What does not fit is told at once.
    unit = unit or ("words" if loaded.has_words else "characters")
    _check(loaded, model, folder, unit, lm, alone=alone, known=known)
    start = replace(start, warps=(), lm_unit="token" if alone else lm_unit or start.lm_unit)
    decoder = beam_decoder(loaded, lm=lm, lexicon=lexicon, options=replace(start, warps=warps))
    chooser = rescore or own.neural_lm
    neural = None if chooser is None else Rescoring(loaded, chooser, decoder, start)
    attention = None
    if attentive and not known:
        attention = AttentionSearch(loaded, start, (lm or own.lm) if start.lm_unit == "token" else None)
    if own.log_prior is None and not alone:
        log.warning("%s has no prior of its tokens (training keeps one): prior_weight is left alone", folder)
    loading: dict[str, Any] = {"batch_seconds": batch_seconds, "num_workers": num_workers}
    dev = _encode(loaded, cuts, unit, {1.0, *warps}, states=attentive, **loading)
    parts = [folder / "model.safetensors", lm or own.lm, lexicon or own.lexicon]
    kept = KeptNumbers(folder / KEPT, [*(file_sha256(part).encode() for part in parts if part), *dev.facts()])

    tuner = _Tuner(loaded, dev, kept, progress, 0 if attention is None else _of_attention(attention).most)
    if not alone:
        start = tuner.tune_ctc(decoder, start, warps, attentive=attentive)
    if attention is not None:
        tuner.tune_attention(attention, start)
    if neural is not None:
        for name, (search, _) in tuner.searches.items():
            tuner.tune_pass(name, neural.after(search, search.options), "rescore_weight", RESCORE_WEIGHTS)
    result = tuner.result(rescored=neural is not None, alone=alone)

    own.decoding = result.best
    _keep(folder, loaded, decoder if lm is not None else None, lexicon, rescore)
    kept.path.unlink(missing_ok=True)
    return replace(result, seconds=time.perf_counter() - started)


def _check(
    loaded: Model, model: str | Path, folder: Path, unit: str, lm: str | Path | None, *, alone: bool, known: bool
) -> None:
    """Refuses what cannot be tuned."""
    if folder.resolve().parent == SHIPPED.resolve():
        raise InputError(
            "comes with the package and stays as it is", where=model, remedy=f"copy {folder} and tune that"
        )
    if unit not in ("words", "characters") or (unit == "words" and not loaded.has_words):
        raise InputError(f"errors cannot be counted in {unit}", where=model, remedy="count them in characters")
    if alone and known:
        raise InputError("was trained with attention alone, which knows of no lexicon", where=model)
    if lm is not None and is_neural_lm(lm):
        raise InputError(
            "is a neural model, of which only the weight in choosing among texts is tuned",
            where=lm,
            remedy="--rescore; of tokens, try weights: asr evaluate --search attention --lm LM --lm-weight X",
        )


@dataclass
class _Tuner:
    """The searches that were tuned so far, and their scores."""

    model: Model
    dev: _DevSet
    kept: KeptNumbers
    progress: Callable[[int, int | None], None]
    of_attention: int  # decodings
    trials: tuple[Trial, ...] = ()
    entropy: tuple[float, float] = (0.0, 0.0)
    searches: dict[str, tuple[Search, Scores]] = field(default_factory=dict)

    def tune_ctc(
        self, decoder: CtcBeamDecoder, start: DecodingOptions, warps: tuple[float, ...], *, attentive: bool
    ) -> DecodingOptions:
        """CTC's search, with these warps of the mel axis where they are worth it, and where there is an attention
        decoder two-pass search; the options of the first."""
        table = _of_ctc(decoder, self.model)
        most = table.most + bool(warps) + self.of_attention
        error = self._error("error", decoder, lambda n: self.progress(n, max(most, n + 1)))
        best, trials = coordinate_search(error, replace(start, nbest=1, beam_size=SEARCH_BEAM), table)
        made, warped = best.options, replace(best.options, warps=warps)
        if warps:
            trials.append(Trial(warped, error(warped)))
            made = warped if trials[-1].error <= best.error * (1 - WORTH) else made
        self.trials = tuple(trials)
        outs = [out for out, _ in self.dev.found(decoder.with_options(**vars(made)))]
        made, self.entropy = true_confidences(partial(_confident, outs, decoder), made, self.dev.references, self.kept)
        decoder = decoder.with_options(
            **vars(replace(made, nbest=start.nbest, search="ctc" if attentive else start.search))
        )
        self.searches["ctc"] = decoder, self.dev.score(decoder)
        if attentive:
            two_pass = TwoPassSearch(self.model, decoder.with_options(search="two-pass"))
            self.tune_pass("two-pass", two_pass, "ctc_weight", CTC_WEIGHTS)
        return decoder.options

    def tune_attention(self, search: AttentionSearch, start: DecodingOptions) -> None:
        """Attention's search."""
        done, most = len(self.trials), len(self.trials) + self.of_attention
        error = self._error("attention", search, lambda n: self.progress(done + n, most))
        begun = replace(start, search="attention", nbest=1, warps=(), ctc_weight=search.options.ctc_weight)
        best, _ = coordinate_search(error, begun, _of_attention(search))
        search = search.with_options(**vars(replace(best.options, nbest=start.nbest)))
        self.searches["attention"] = search, self.dev.score(search)

    def tune_pass(self, name: str, search: SecondPass, weight: str, values: tuple[float, ...]) -> None:
        """A second pass' weight."""
        knowing = search.knowing(self.dev.of(search.options))
        best, _ = coordinate_search(partial(self.dev.error, knowing), search.options, Table(values={weight: values}))
        options = vars(best.options)
        self.searches[name] = search.with_options(**options), self.dev.score(knowing.with_options(**options))

    def _error(self, what: str, search: Search, told: Callable[[int], None]) -> Callable[[DecodingOptions], float]:
        """The error rate by options, kept as `what`; the number of calls is told."""
        calls = itertools.count(1)

        def error(options: DecodingOptions) -> float:
            (rate,) = self.kept.get(what, options, lambda: [self.dev.error(search, options)])
            told(next(calls))
            return rate

        return error

    def result(self, *, rescored: bool, alone: bool) -> Tuning:
        """The best of all."""
        best, scores = min(self.searches.values(), key=lambda each: each[1].error.errors)  # of equals the fastest
        if alone:
            sure = _confident(self.dev.outputs[1.0], best, best.options)
            self.entropy = (cross_entropy(sure, self.dev.references),) * 2
        decodings = len(self.trials) + self.of_attention
        self.progress(decodings, decodings)
        by_search = {name: (search.options, scores) for name, (search, scores) in self.searches.items()}
        return Tuning(best.options, scores, self.trials, decodings, self.entropy, 0.0, by_search, rescored)


def _of_ctc(decoder: CtcBeamDecoder, model: Model) -> Table:
    """Returns the table of the options that a decoder uses."""
    usable = {
        "lm_weight": decoder.lm is not None,
        "unk_score": decoder.lm is not None and decoder.has_unknown_words,
        "unk_letter_score": decoder.lm is not None and decoder.spells_words,
        "prior_weight": model.head.log_prior is not None,
    }
    steps = {name: step for name, step in STEPS.items() if usable.get(name, True)}
    grid = {name: values for name, values in GRID.items() if name in steps}
    return Table(grid=grid, steps=steps, limits=LIMITS, costs={"beam_size": BEAMS})


def _of_attention(search: AttentionSearch) -> Table:
    """Returns the table of the attention search."""
    values = JOINED if search.options.ctc_weight else ALONE
    return Table(values={name: each for name, each in values.items() if name != "lm_weight" or search.lm is not None})


@dataclass(frozen=True)
class _DevSet:
    """The network's output for a dev set, and its references."""

    outputs: dict[float, list[EncoderOutput]]  # of each batch, by the warp of the mel axis
    references: list[str]
    unit: Unit

    def of(self, options: DecodingOptions) -> Iterator[EncoderOutput]:
        """Returns the outputs that a search with such options reads."""
        for warp in options.warps or (1.0,):
            yield from self.outputs[warp]

    def found(self, search: Search) -> list[tuple[EncoderOutput, list[list[Hypothesis]]]]:
        """The hypotheses of each batch, and what the network says with the warps that they come from."""
        warped = [self.outputs[warp] for warp in search.options.warps or (1.0,)]
        return [best_of_warps(search, outs) for outs in zip(*warped, strict=True)]

    def score(self, search: Search) -> Scores:
        """Scores the best hypotheses."""
        texts = [several[0].text for _, nbest in self.found(search) for several in nbest]
        return score(self.references, texts, unit=self.unit)

    def error(self, search: Search, options: DecodingOptions) -> float:
        """The rate that counts."""
        return self.score(search.with_options(**vars(options))).error.rate

    def facts(self) -> Iterator[bytes]:
        """All that there is, for a digest."""
        yield "\n".join([self.unit, *self.references]).encode()
        for warp, outs in sorted(self.outputs.items()):
            yield f"{warp}".encode()
            yield from (x[:n].tobytes() for out in outs for x, n in zip(out.log_probs, out.lens, strict=True))


def _confident(outs: Sequence[EncoderOutput], search: Search, options: DecodingOptions) -> list[Hypothesis]:
    """The best hypothesis of each utterance, with times and confidences."""
    search = search.with_options(**vars(options))
    return [several[0] for out in outs for several in search.add_times(out, search.nbest(out))]


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
            model.head.lm = own("lm.safetensors")
        if lexicon is not None:
            shutil.copyfile(lexicon, stack.enter_context(atomic_path(own("lexicon.txt"))))
            model.head.lexicon = own("lexicon.txt")
        if rescore is not None:
            shutil.copyfile(rescore, stack.enter_context(atomic_path(own("neural-lm.safetensors"))))
            model.head.neural_lm = own("neural-lm.safetensors")
        update_model(folder, model)


def _encode(
    model: Model,
    cuts: str | Path,
    unit: Unit,
    warps: Collection[float],
    *,
    states: bool,
    **loading: Any,
) -> _DevSet:
    """The dev set, the longest utterances first.

    Args:
        states: Whether the encoder's states are wanted.
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
    dev = _DevSet({warp: [] for warp in warps}, [], unit)
    given = utterances, model.tokenizer, normalizer
    for batch in load_batches(*given, sample_rate=recognizer.sample_rate, **loading):
        dev.references.extend(batch.texts)
        batch = batch.to(next(recognizer.parameters()).device)
        with torch.inference_mode():
            features = recognizer.features(batch.samples, batch.sample_lens, batch.speakers)
            for warp, outputs in dev.outputs.items():
                encoder_out, lens = recognizer.encode(*features, warp=warp)
                log_probs = recognizer.ctc(encoder_out)
                outputs.append(encoder_output(log_probs, lens, encoder_out if states else None))
    return dev
