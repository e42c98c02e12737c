"""Texts that are empty, repeated, too long or too short for their audio, or do not fit their frames."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frontend, Mfcc
from asr.data.check.audio_facts import AudioFacts
from asr.data.check.report import EncoderFrames, Example, Finding, ModelSettings, Row, found
from asr.text.tokenizer import Tokenizer, train_tokenizer

_Floats: TypeAlias = npt.NDArray[np.float64]
# Human speech: characters a second. The first is where words are separated, the other where they are not.
_FASTEST = {True: 25.0, False: 12.0}
_SLOWEST = 10.0  # of speech itself, pauses apart
_FEWEST = 20  # utterances that make a distribution to stand out from


def check_texts(rows: Sequence[Row], training: Sequence[Row], words: bool) -> Iterator[Finding]:
    """Empty, repeated, too long or too short for their audio."""
    empty = [r for r in rows if not r.text]
    dev = [r for r in rows if r.split == "dev"]
    all_of_training = bool(training) and not any(r.text for r in training)
    ruined = all_of_training or (bool(dev) and not any(r.text for r in dev))
    yield from found(
        "empty-text",
        "fatal" if ruined else "warning",
        "no text in training" if all_of_training else "no text after normalisation",
        "write what is said, or leave these utterances out",
        [r.example(f"{r.split}, {r.shown}") for r in empty],
        len(rows),
    )
    yield from _repeated(training)
    yield from _speeds([r for r in rows if r.length], words)


def _repeated(training: Sequence[Row]) -> Iterator[Finding]:
    """Prompts that several people read come as often as each other; a placeholder stands out."""
    same: dict[str, list[Row]] = defaultdict(list)
    for row in training:
        same[row.text].append(row)
    usual = float(np.percentile([len(some) for some in same.values()], 95)) if same else 0.0
    repeated = [
        Example(some[0].shown.strip("'"), f"{len(some):,} times, first in {some[0].utterance.id}")
        for text, some in same.items()
        if len(text) >= 15 and len(some) >= max(5, 5 * usual if len(same) > 1 else 0)
    ]
    yield from found(
        "repeated-text",
        "warning",
        "long texts that stand with far more utterances than others do",
        "if they are a placeholder, not what is said, leave those utterances out",
        repeated,
    )


def _speeds(rows: Sequence[Row], words: bool) -> Iterator[Finding]:
    """Texts read faster or slower than people speak, and than the rest of the corpus."""
    if len(rows) < _FEWEST:
        return
    count = np.array([r.length for r in rows], np.float64)
    seconds = np.array([r.utterance.duration for r in rows])
    # Speech itself, for pauses may be long; not known of audio that was not read.
    active = np.array([max(r.audio.active, 0.02) if isinstance(r.audio, AudioFacts) else np.nan for r in rows])
    speed, deviations = _spread(count / seconds)
    fast = (deviations > 3.5) & (count / seconds > max(_FASTEST[words], 1.6 * speed))
    speed, deviations = _spread(count / active)
    slow = (deviations < -5) & (count / active < _SLOWEST) & (active - count / speed > 2)
    remedy = "listen to these: the text may belong to another utterance, or be incomplete"
    for kind, chosen, what, time in (
        ("text-too-long", fast, "texts too long for their audio", seconds),
        ("text-too-short", slow, "texts too short for their audio", active),
    ):
        hits = [
            rows[i].example(f"{rows[i].length} characters in {time[i]:.1f} s, {rows[i].shown}")
            for i in np.flatnonzero(chosen)
        ]
        yield from found(kind, "warning", what, remedy, hits, len(rows))


def _spread(values: _Floats) -> tuple[float, _Floats]:
    """The median, and how many times the usual spread of logarithms (at least 10 %) each value is away from it.

    NaN stands for what is not known, and is not away from it.
    """
    logs = np.log(values)
    known = logs[~np.isnan(logs)].tolist()
    if not known:
        return 1.0, np.zeros(len(values))
    middle = statistics.median(known)
    spread = max(0.1, 1.4826 * statistics.median(abs(x - middle) for x in known))
    return math.exp(middle), np.where(np.isnan(logs), 0.0, (logs - middle) / spread)


def check_lengths(
    rows: Sequence[Row],
    training: Sequence[Row],
    model: ModelSettings,
    batch_seconds: float | None,
    fastest: float,
    *,
    words: bool,
) -> Iterator[Finding]:
    """Tokens that do not fit their frames, words without pronunciation, utterances longer than a batch."""
    if batch_seconds is not None:
        yield from found(
            "longer-than-batch",
            "warning",
            f"utterances longer than batch_seconds, {batch_seconds:g} s",
            "each is a batch of its own and takes more memory than others: cut them, or leave them out",
            [r.example(f"{r.utterance.duration:.1f} s") for r in rows if r.utterance.duration > batch_seconds],
            len(rows),
        )
    if not any(r.text for r in training):
        return
    for kind in model.kinds:
        tokenizer = train_tokenizer(model.tokenizer_of(kind), [r.text for r in training], spaces=words)
        if kind == "phones":
            yield from _unpronounced(training, tokenizer)
        yield from _check_fit(rows, training, model, tokenizer, fastest)


def _unpronounced(training: Sequence[Row], tokenizer: Tokenizer) -> Iterator[Finding]:
    lacking = {id(r): missing for r in training if (missing := tokenizer.encode_known(r.text)[1])}
    yield from found(
        "no-pronunciation",
        "fatal" if 2 * len(lacking) > len(training) else "warning",
        "texts with words that have no pronunciation",
        "training leaves them out: add the words to the lexicon, or name the language (model.tokenizer.language)",
        [r.example(" ".join(lacking[id(r)])) for r in training if id(r) in lacking],
        len(training),
    )


def _check_fit(
    rows: Sequence[Row], training: Sequence[Row], model: ModelSettings, tokenizer: Tokenizer, fastest: float
) -> Iterator[Finding]:
    """Texts with more tokens than frames."""
    kind = tokenizer.kind
    extractor = Frontend(model.features).extractor
    fbank = extractor.fbank if isinstance(extractor, Mfcc) else extractor
    names = "pieces" if kind in ("bpe", "unigram") else kind
    learnt = set(map(id, training))
    hits, sizes, examples = set(), [], []
    for row in rows:
        speed = fastest if id(row) in learnt else 1.0  # only training audio is augmented
        before = fbank.frame_count(round(row.utterance.duration / speed * model.features.sample_rate))
        frames = -(-before // model.encoder.factor)
        tokens = tokenizer.encode_known(row.text)[0]
        needed = len(tokens) + sum(a == b for a, b in pairwise(tokens))  # CTC: a blank between equal neighbours
        if needed > frames:
            hits.add(id(row))
            sizes.append((before, needed))
            quick = f" at speed {speed:g}" if speed != 1 else ""
            have = f"{frames} frames ({row.utterance.duration:.2f} s{quick})"
            examples.append(row.example(f"{have}, {len(tokens)} {names} need {needed}, {row.shown}"))
    remedy = "they are left out of the loss: check their texts and times"
    yield from found(
        "does-not-fit",
        "fatal" if 2 * sum(id(r) in hits for r in training) > len(training) else "warning",
        f"texts with more {names} than their audio has frames",
        remedy + _lower_factor(sizes, model.encoder),
        examples,
        len(rows),
    )


def _lower_factor(sizes: Sequence[tuple[int, int]], encoder: EncoderFrames) -> str:
    """The factor that mends as many of the (frames before subsampling, frames needed) as any does."""
    mended = {f: sum(-(-frames // f) >= needed for frames, needed in sizes) for f in encoder.lower_factors}
    best = max(mended, key=lambda f: mended[f], default=0)  # the first, so the largest
    if not best or not mended[best]:
        return ""
    return f"; model.encoder.factor={best} has frames enough for {mended[best]:,} of them"
