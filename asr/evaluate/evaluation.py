"""A model over a set of utterances: hypotheses, scores, a results folder."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr.audio.reader import frame_levels
from asr.data.batches import load_batches
from asr.data.cuts import Utterance, read_cuts
from asr.data.transcript import Hypothesis
from asr.decode.search import Decoder, build_search, greedy_decoding
from asr.evaluate.significance import confidence_interval, interval_facts
from asr.evaluate.wer import SCORES_FORMAT, ErrorCounts, Scores, Unit, score
from asr.models.model import Model, utterance_keys
from asr.models.objective import Objective
from asr.text.lexicon import read_lexicon
from asr.text.tokenizer import PhoneTokenizer
from asr.utils.errors import InputError
from asr.utils.files import make_folder, write_json, write_jsonl
from asr.utils.provenance import provenance

log = logging.getLogger(__name__)

_NEVER = "%s: characters the model has never seen, each an error (%d in all): %s"
_UNKNOWN = {
    "characters": _NEVER,
    "bpe": _NEVER,
    "unigram": _NEVER,
    "words": "%s: words the model cannot say, each an error (%d in all): %s",
    "phones": "%s: words that are not in the model's lexicon (%d in all): %s",
}


@dataclass(frozen=True)
class Recognized:
    """An utterance, what it should say (normalised; phones, where these are decoded), what was heard (best first), its
    loss and its number of tokens."""

    utterance: Utterance
    reference: str
    nbest: list[Hypothesis]
    loss: float
    tokens: int
    left_out: bool  # of the loss: more tokens than CTC can fit into its frames
    snr: float  # dB, estimated
    comparable: bool = True  # not where phones are decoded, and words of the reference have none

    @property
    def hypothesis(self) -> Hypothesis:
        """The best one."""
        return self.nbest[0]


def recognize(
    model: Model,
    utterances: Sequence[Utterance],
    *,
    decoding: Decoder | None = None,
    objective: Objective | None = None,
    batch_seconds: float = 120.0,
    num_workers: int = 0,
) -> Iterator[Recognized]:
    """Recognises utterances in batches, the longest first. The model is left in evaluation mode.

    Args:
        decoding: Of log-probabilities; greedy where none is given.
        objective: The loss; that of the model's configuration where none is given.
    """
    decoding, objective = decoding or greedy_decoding(model), objective or Objective(model)
    recognizer = model.recognizer.eval()
    device = next(recognizer.parameters()).device
    by_id = {utterance.id: utterance for utterance in utterances}
    tokenizer = model.tokenizer
    batches = load_batches(
        utterances,
        tokenizer,
        model.normalizer(),
        sample_rate=recognizer.sample_rate,
        batch_seconds=batch_seconds,
        num_workers=num_workers,
    )
    for batch in batches:
        batch = batch.to(device)
        with torch.inference_mode():
            heard = decoding.decode(recognizer, batch.samples, batch.sample_lens, batch.ids, batch.speakers)
            loss = objective.main_loss(heard.log_probs, heard.lens, batch, heard.encoder_out)
        targets = batch.targets[tokenizer.kind]
        for i, key in enumerate(batch.ids):
            said = int(targets.lens[i])
            yield Recognized(
                utterance=by_id[key],
                reference=tokenizer.decode(targets.tokens[i, :said].tolist()) if decoding.units else batch.texts[i],
                nbest=heard.nbest[i],
                loss=float(loss.per_item[i]),
                tokens=said,
                left_out=bool(loss.left_out[i]),
                snr=_snr(batch.samples[i, : int(batch.sample_lens[i])], recognizer.sample_rate),
                comparable=not (decoding.units and tokenizer.encode_known(batch.texts[i])[1]),
            )


def evaluate(
    model: Model,
    cuts: str | Path,
    out_dir: str | Path | None = None,
    *,
    batch_seconds: float = 120.0,
    num_workers: int = 0,
    translation: bool = False,
    **decoding: Any,
) -> Scores:
    """Decodes the utterances of a cut manifest and scores them.

    Args:
        out_dir: Where `hypotheses.jsonl` and `scores.json` go, if anywhere.
        translation: The texts are one: BLEU and chrF are counted, too.
        decoding: As build_search takes it: greedy, lm, lexicon, hotwords, beam_size, ...
    """
    search = build_search(model, **decoding)
    utterances = read_cuts(cuts)
    lexicon = decoding.get("lexicon") or model.head.lexicon
    if isinstance(model.tokenizer, PhoneTokenizer) and lexicon:
        model.tokenizer.also_knows(read_lexicon(lexicon))
    unknown = unknown_units(model, utterances)
    if unknown:
        named = ", ".join(f"{each!r} ({n})" for each, n in unknown.most_common(10))
        log.warning(_UNKNOWN[model.tokenizer.kind], cuts, sum(unknown.values()), named)
    if out_dir is not None:
        out_dir = make_folder(out_dir)
    started = time.perf_counter()
    loading: dict[str, Any] = {"batch_seconds": batch_seconds, "num_workers": num_workers}
    fit_speakers(model, utterances, **loading)
    recognized = {r.utterance.id: r for r in recognize(model, utterances, decoding=search, **loading)}
    elapsed = time.perf_counter() - started
    results = [recognized[utterance.id] for utterance in utterances]
    comparable, scores = _scored(results, cuts, score_unit(model, search), translation=translation)
    if out_dir is not None:
        seconds = sum(utterance.duration for utterance in utterances)
        facts = {
            "format": SCORES_FORMAT,
            **scores.as_dict(),
            **_intervals(comparable, scores),
            "audio_seconds": round(seconds, 3),
            "wall_seconds": round(elapsed, 3),
            "real_time_factor": round(elapsed / seconds, 5),
            "model": model.name,
            "head": model.tokenizer.kind,
            "data": str(cuts),
            "decoding": search.facts,
            f"unknown_{model.tokenizer.unit}": dict(unknown),
            **provenance(),
        }
        seen = _training_words(model, cuts) if scores.unit == "words" else None
        rows = [_row(r, search.several, seen) for r in results]
        write_jsonl(out_dir / "hypotheses.jsonl", rows)
        write_json(out_dir / "scores.json", facts)
    return scores


def _scored(
    results: Sequence[Recognized], cuts: str | Path, unit: Unit, *, translation: bool
) -> tuple[list[Recognized], Scores]:
    """The results that count, and their scores."""
    comparable = [r for r in results if r.comparable]
    if not comparable:
        raise InputError(
            "no utterance has a pronunciation of every word, which a phone error rate needs",
            where=cuts,
            remedy="decode words: leave --greedy out",
        )
    if apart := len(results) - len(comparable):
        log.warning(
            "%s: %d utterances with words without pronunciation are left out of the phone error rate", cuts, apart
        )
    texts = [r.reference for r in comparable], [r.hypothesis.text for r in comparable]
    return comparable, score(*texts, unit=unit, translation=translation)


def fit_speakers(model: Model, utterances: Sequence[Utterance], **loading: Any) -> None:
    """Gives features that are normalised by speaker the means and variances of these utterances' speakers."""
    if model.config.features.normalize != "speaker":
        return
    frontend = model.recognizer.frontend
    rate, device = frontend.sample_rate, next(model.recognizer.parameters()).device
    batches = load_batches(utterances, model.tokenizer, model.normalizer(), sample_rate=rate, **loading)
    frontend.normalizer.fit_speakers(
        (*frontend.raw(batch.samples.to(device), batch.sample_lens.to(device)), batch.speakers) for batch in batches
    )


def score_unit(model: Model, decoding: Decoder | None = None) -> Unit:
    """What the rate that counts is of, where texts were decoded so (greedily by default)."""
    decoding = decoding or greedy_decoding(model)
    return "phones" if decoding.units else "words" if model.has_words else "characters"


def unknown_units(model: Model, utterances: Sequence[Utterance]) -> Counter[str]:
    """Characters (words, where these are what is known) of the normalised references that the model's tokens lack."""
    normalizer = model.normalizer()
    found: Counter[str] = Counter()
    for utterance in utterances:
        found.update(model.tokenizer.encode_known(normalizer(utterance.text))[1])
    return found


def _intervals(results: Sequence[Recognized], scores: Scores) -> dict[str, Any]:
    """The confidence interval of the rate that counts, and the rate of each speaker with its own."""
    of_speakers: dict[str, list[ErrorCounts]] = {}
    for r, errors in zip(results, scores.each, strict=True):
        if r.utterance.speaker:
            of_speakers.setdefault(r.utterance.speaker, []).append(errors)
    speakers = {}
    for speaker in sorted(of_speakers):
        own = of_speakers[speaker]
        total, length = sum(n.errors for n in own), sum(n.length for n in own)
        rate = round(total / length, 5) if length else None
        interval = interval_facts(confidence_interval(own))["interval"]
        speakers[speaker] = {"rate": rate, "interval": interval, "errors": total, "length": length}
    whole = confidence_interval(scores.each, [r.utterance.speaker for r in results])
    return {**interval_facts(whole), "speakers": speakers}


def _row(result: Recognized, several: bool, seen: Counter[str] | None) -> dict[str, Any]:
    utterance, hypothesis = result.utterance, result.hypothesis
    return {
        "id": utterance.id,
        "text": hypothesis.text,
        "reference": result.reference,
        "speaker": utterance.speaker,
        "duration": round(utterance.duration, 3),
        "snr": round(result.snr, 1),
        "loss": None if result.left_out else round(result.loss, 4),
        **({} if result.comparable else {"counted": False}),
        "words": [word.as_dict() for word in hypothesis.words],
        **({} if seen is None else {"seen": [seen[word] for word in result.reference.split()]}),
        **({"nbest": [each.as_dict() for each in result.nbest]} if several else {}),
    }


def _snr(samples: torch.Tensor, rate: int) -> float:
    """How far the loudest twentieth of the frames lies above the quietest, dB: pauses are noise alone."""
    floor, level = np.percentile(frame_levels(samples.cpu().numpy(), rate), [5, 95])
    return float(level - floor)


def _training_words(model: Model, cuts: str | Path) -> Counter[str] | None:
    """How often each word stands in the texts the model was trained on, where their manifest lies beside the cuts."""
    path = Path(cuts).with_name("cuts_train.jsonl.gz")
    if model.trained_on is None or not path.is_file():
        return None
    training = read_cuts(path)
    if not torch.isin(utterance_keys((u.id, u.duration) for u in training), model.trained_on).all():
        return None
    normalizer = model.normalizer()
    return Counter(word for u in training for word in normalizer(u.text).split())
