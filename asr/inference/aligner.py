"""When each word of a known text is said: CTC's best path for it, edges where the energy has them.

Long recordings are parted where what is heard greedily and the text agree for some tokens that neither has twice
(Moreno et al. 1998 part them so, by words), and each part is aligned by itself. T frames, V tokens.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from asr.audio.reader import AudioSource, Samples, read_blocks
from asr.audio.segmentation import as_loud_as_usual, smoothed_levels
from asr.audio.sources import audio_source, select
from asr.data.transcript import Segment, Word
from asr.decode.align import align_tokens
from asr.decode.search import EncoderOutput, greedy_decoding
from asr.inference.anchors import find_anchors
from asr.inference.word_edges import LEVEL, Floats, edges_by_energy
from asr.models.model import Model
from asr.text.lexicon import Lexicon
from asr.text.pronunciations import pronounce
from asr.text.tokenizer import PhoneTokenizer
from asr.utils.errors import InputError
from asr.utils.unicode import graphemes
from asr.utils.units import clock

log = logging.getLogger(__name__)

_WINDOW, _CONTEXT = 24.0, 2.0  # seconds the network hears at a time, and of these at each end that are not used
_MOST_CELLS = 40_000_000  # of Viterbi's table
_PART = 20.0  # seconds of a part, at least

_OTHERWISE, _MOST, _ALLOWED = 8.0, 5.0, 62.5  # nats by which something else fits better: in all, a frame, a second

LONGEST = 2.0  # seconds of a word, beyond which something else is said, or nothing
DOUBTFUL = 0.4  # how well a text fits, under which it may be another


def align(model: Model, blocks: Iterable[Samples], text: str, *, where: str | Path | None = None) -> list[Word]:
    """The words of a text with their times, and how likely they are what is said there, 0-1.

    That is the mean of their tokens' probabilities; 0 where other words are said, more of them, or fewer.

    Args:
        model: Its main head is asked.
        blocks: Samples at the model's rate, one after another.
        text: What is said. Words are what spaces part; perceived characters, where the model's script has no spaces.
        where: The text is from, for errors.

    Raises:
        InputError: The text has no word that the model knows.
    """
    if model.config.decoder.kind != "none" and not model.config.decoder.ctc_weight:
        raise InputError(
            "was trained with attention alone: its CTC, which says when, has learnt nothing", where=model.name
        )
    words: list[str] = []
    begins: set[int] = set()  # those that begin a line
    for line in text.splitlines():
        begins.add(len(words))
        words += line.split() if model.has_words else [c for c in graphemes(line) if c.strip()]
    tokens, owners = word_tokens(model, words)
    if not tokens:
        raise InputError("has no word that the model knows", where=where)
    log_probs, levels = hear(model, blocks)
    seconds = model.recognizer.frame_seconds
    spans: list[tuple[float, float]] = [(math.nan, math.nan)] * len(tokens)
    scores = np.zeros(len(tokens))
    better = log_probs.max(1)  # of each frame: how much likelier than the text is what is heard there
    better -= log_probs[:, 0]
    for first, last, begin, end in _parts(model, log_probs, tokens):
        found = None
        if (end - begin) * (2 * (last - first) + 1) <= _MOST_CELLS:
            found = align_tokens(log_probs[begin:end], tokens[first:last])
        for n, span in enumerate(found or []):
            spans[first + n] = ((begin + span.start) * seconds, (begin + span.end) * seconds)
            scores[first + n] = math.exp(span.log_prob)
            said = slice(begin + span.start, begin + span.end)
            better[said] += log_probs[said, 0] - log_probs[said, tokens[first + n]]
        if found is None:  # what does not fit is spread evenly, and believed not at all
            step = (end - begin) * seconds / max(1, last - first)
            for n in range(last - first):
                spans[first + n] = (begin * seconds + n * step, begin * seconds + (n + 1) * step)
    placed = _words(words, owners, spans, scores, levels, begins)
    return _contradicted(placed, runs_otherwise(better, seconds), begins)


def align_audio(
    model: Model,
    audio: AudioSource | npt.ArrayLike,
    text: str,
    sample_rate: int | None = None,
    *,
    channel: Literal["mix"] | int = "mix",
    track: int | None = None,
) -> list[Word]:
    """As `align`, of a file, a stream, bytes, or an array with its rate in Hz; of one channel or track, if wanted."""
    source = select(audio_source(audio, sample_rate), channel, track)
    return align(model, read_blocks(source, model.recognizer.sample_rate), text)


def doubt(segment: Segment) -> str:
    """Why a segment's text may not be what is said there; empty where it likely is."""
    for word in segment.words:
        if not word.confidence:
            return f"something else is heard at {word.text!r}"
        if word.end - word.start > LONGEST:
            return f"{word.text!r} takes {word.end - word.start:.1f} s"
    return f"it fits badly ({segment.confidence:.2f})" if segment.confidence < DOUBTFUL else ""


def doubtful_segments(segments: Sequence[Segment], least: float, numbers: Sequence[int] | None) -> dict[int, str]:
    """What is to be told of segments whose text may be another than what is said, or that fit less well than `least`
    (0: none is left out); by their places. Where segments are lines of a text, `numbers` are those of the lines."""
    found = {}
    for n, segment in enumerate(segments):
        why = doubt(segment) or (f"it fits badly ({segment.confidence:.2f})" if segment.confidence < least else "")
        if why:
            line = f", line {numbers[n]}" if numbers else ""
            text = segment.text if len(segment.text) <= 80 else f"{segment.text[:77]}..."
            said = "left out" if least else "doubtful"
            found[n] = f"{said}: {clock(round(1000 * segment.start))}{line}: {why}: {text}"
    return found


def by_lines(words: Sequence[Word], lines: Sequence[str], *, spaces: bool = True) -> list[Segment]:
    """Aligned words as segments: a line of the text each."""
    found, at = [], 0
    for line in lines:
        size = len(line.split()) if spaces else len([c for c in graphemes(line) if c.strip()])
        if size:
            found.append(_segment(words[at : at + size], spaces))
            at += size
    return found


def by_pauses(words: Sequence[Word], longest: float, *, spaces: bool = True) -> list[Segment]:
    """Aligned words as segments of no more than `longest` seconds, if words are not, parted at the longest pauses, and
    wherever one is longer than a word may be."""
    found: list[Segment] = []
    waiting = [words] if words else []
    while waiting:
        part = waiting.pop()
        pauses = [after.start - word.end for word, after in pairwise(part)]
        if not pauses or (part[-1].end - part[0].start <= longest and max(pauses) <= LONGEST):
            found.append(_segment(part, spaces))
            continue
        middle = (part[0].start + part[-1].end) / 2  # of pauses that are as long, the one nearest to it
        cut = max(
            range(1, len(part)),
            key=lambda n: (round(pauses[n - 1], 1), -abs(part[n].start - middle)),
        )
        waiting += [part[cut:], part[:cut]]
    return found


def _segment(words: Sequence[Word], spaces: bool) -> Segment:
    text = (" " if spaces else "").join(word.text for word in words)
    return Segment(words[0].start, words[-1].end, text, tuple(words))


def hear(model: Model, blocks: Iterable[Samples]) -> tuple[Floats, Floats]:
    """Samples -> log-probabilities (T, V), and levels (dB) of each 10 ms.

    The network hears some seconds at a time; what it says goes to temporary files, which the results are mapped from:
    memory does not grow with the recording.
    """
    recognizer = model.recognizer.eval()
    device = next(recognizer.parameters()).device
    rate, seconds = recognizer.sample_rate, recognizer.frame_seconds
    hop, context = round((_WINDOW - 2 * _CONTEXT) / seconds), round(_CONTEXT / seconds)
    step, around = round(hop * seconds * rate), round(context * seconds * rate)
    frame = round(LEVEL * rate)
    held: Samples = np.zeros(0, np.float32)
    before = 0  # samples of context at the beginning of what is held
    found, levels = _Growing(), _Growing()

    def window(samples: Samples, first: int, count: int | None) -> None:
        with torch.inference_mode():
            loud = torch.from_numpy(as_loud_as_usual(samples, rate))
            heard = loud[None].to(device), torch.tensor([len(samples)], device=device)
            log_probs, lens = recognizer.log_probs(*recognizer.features(*heard))
        own = log_probs[0, : int(lens[0])].float().cpu().numpy()[first:]
        found.add(own if count is None else own[:count])
        inside = samples[round(first * seconds * rate) :]
        levels.add(smoothed_levels(inside if count is None else inside[:step], frame))

    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= before + step + around:
            window(held[: before + step + around], round(before / (seconds * rate)), hop)
            held = held[before + step - around :]
            before = around
    if len(held) > before or not levels.size:
        window(held if len(held) else np.zeros(frame, np.float32), round(before / (seconds * rate)), None)
    return found.mapped().reshape(-1, len(model.tokenizer)), levels.mapped()


class _Growing:
    """Numbers in a file that is gone when nothing is mapped from it any more."""

    def __init__(self) -> None:
        self.file, self.size = TemporaryFile(), 0  # noqa: SIM115 - it lasts as long as what is mapped

    def add(self, numbers: Floats) -> None:
        try:
            self.file.write(numbers.tobytes())
            self.file.flush()
        except OSError as e:
            raise InputError(
                f"cannot be written to ({e.strerror or e})", where=gettempdir(), remedy="make room, or set TMPDIR"
            ) from e
        self.size += numbers.size

    def mapped(self) -> Floats:
        return np.memmap(self.file, np.float32, "c") if self.size else np.zeros(0, np.float32)


def word_tokens(model: Model, words: Sequence[str]) -> tuple[list[int], list[int]]:
    """Token ids of the words, and the number of the word that each is of; -1: of none."""
    normalize, tokenizer = model.normalizer(), model.tokenizer
    normal = [normalize(word) for word in words]
    if isinstance(tokenizer, PhoneTokenizer):
        spelled = {word for each in normal for word in each.split()}
        unknown = sorted(word for word in spelled if tokenizer.encode_known(word)[1])
        if unknown:
            phones, said = set(tokenizer.tokens), {}
            with suppress(InputError):  # none of them can be read: numbers
                said = pronounce(unknown, lexicon=tokenizer.lexicon).said
            pairs = ((word, units) for word, each in said.items() for units in each.pronunciations)
            if known := tuple(pair for pair in pairs if phones.issuperset(pair[1])):
                tokenizer.also_knows(Lexicon(known))
    space = tokenizer.encode_known(" ")[0] if tokenizer.kind == "characters" and model.has_words else []
    tokens: list[int] = []
    owners: list[int] = []
    lacking: Counter[str] = Counter()
    for number, word in enumerate(normal):
        ids, unknown = tokenizer.encode_known(word) if word else ([], [])
        lacking.update(unknown)
        if ids and tokens:
            tokens += space
            owners += [-1] * len(space)
        tokens += ids
        owners += [number] * len(ids)
    if lacking:
        named = ", ".join(f"{what!r} ({n})" for what, n in lacking.most_common(8))
        log.warning("%s does not know %s: passed over", model.name or "the model", named)
    return tokens, owners


def _parts(model: Model, log_probs: Floats, tokens: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """Tokens from, to and frames from, to of parts that are aligned by themselves."""
    cuts = [(0, 0)]
    if len(log_probs) * (2 * len(tokens) + 1) > _MOST_CELLS:
        least = round(_PART / model.recognizer.frame_seconds)
        for token, frame in find_anchors(_heard(model, log_probs), tokens):
            if frame - cuts[-1][1] >= least and len(log_probs) - frame >= least:
                cuts.append((token, frame))
    cuts.append((len(tokens), len(log_probs)))
    for (first, begin), (last, end) in pairwise(cuts):
        yield first, last, begin, end


def _heard(model: Model, log_probs: Floats) -> list[tuple[int, int]]:
    """Tokens that are heard greedily, and the frame where each begins."""
    search, number = greedy_decoding(model).search, {token: i for i, token in enumerate(model.tokenizer.tokens)}
    seconds, found = model.recognizer.frame_seconds, []
    size = round(60 / seconds)
    for at in range(0, len(log_probs), size):
        part = log_probs[None, at : at + size]
        ((best, *_),) = search.nbest(EncoderOutput(part, np.array([part.shape[1]]), part[:, :, :0]))
        found += [(number[token.text], at + round(token.start / seconds)) for token in best.tokens]
    return found


def runs_otherwise(better: Floats, seconds: float) -> list[tuple[float, float]]:
    """Stretches, seconds from and to, in which something else is said than the text.

    There the sum of what it is better by becomes too large (Page 1954's cumulative sum, less some nats a second).

    Args:
        better: By how many nats the likeliest token of each frame is likelier than the text's.
        seconds: Of a frame.
    """
    sums = np.cumsum(np.minimum(better, _MOST) - _ALLOWED * seconds, dtype=np.float64)
    excess = sums - np.minimum.accumulate(np.minimum(sums, 0.0))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], excess > 0, [False]])))
    found = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        last = begin + int(excess[begin:end].argmax())
        if excess[last] > _OTHERWISE:
            found.append((begin * seconds, (last + 1) * seconds))
    return found


def _contradicted(
    words: Sequence[Word], otherwise: Sequence[tuple[float, float]], begins: Collection[int]
) -> list[Word]:
    """Words that something else is said instead of are believed not at all: those in such a run, or, where it lies
    between two, both, unless the time between lines is so long that nobody takes it for theirs."""
    ends, starts = [word.end for word in words], [word.start for word in words]
    doubted: set[int] = set()
    for begin, end in otherwise:
        first, last = bisect_right(ends, begin), bisect_left(starts, end)
        if first == last and 0 < first < len(words):
            apart = first in begins and starts[first] - ends[first - 1] > LONGEST
            first, last = (first, last) if apart else (first - 1, last + 1)
        doubted.update(range(first, last))
    return [replace(word, confidence=0.0) if n in doubted else word for n, word in enumerate(words)]


@dataclass
class _Spoken:
    """A word that has tokens: when these are heard."""

    number: int
    start: float
    end: float


def _words(
    words: Sequence[str],
    owners: Sequence[int],
    spans: Sequence[tuple[float, float]],
    scores: npt.NDArray[np.float64],
    levels: Floats,
    begins: Collection[int],
) -> list[Word]:
    """Words with edges; those without tokens (a dash, a number) have no duration: they lie behind the one before, or,
    at the beginning of a line, before the one that follows, and are believed as that one is."""
    spoken: list[_Spoken] = []
    for n, owner in enumerate(owners):
        if owner >= 0:
            if not spoken or spoken[-1].number != owner:
                spoken.append(_Spoken(owner, *spans[n]))
            spoken[-1].end = spans[n][1]
    sums, counts = np.zeros(len(words)), np.zeros(len(words))
    of_word = np.array(owners)
    np.add.at(sums, of_word[of_word >= 0], scores[of_word >= 0])
    np.add.at(counts, of_word[of_word >= 0], 1)
    edges = edges_by_energy([(each.start, each.end) for each in spoken], levels)
    found = {
        each.number: Word(words[each.number], *edge, float(sums[each.number] / counts[each.number]))
        for each, edge in zip(spoken, edges, strict=True)
    }
    following: dict[int, int | None] = {}  # of each word that one of its line, from there on, that has tokens
    coming = None
    for number in reversed(range(len(words))):
        coming = following[number] = number if number in found else coming
        coming = None if number in begins else coming
    result: list[Word] = []
    opening = False  # whether nothing of the line has tokens so far
    for number, text in enumerate(words):
        opening = number in begins or (opening and number - 1 not in found)
        beside = result[-1] if result else None
        after = following[number]
        if number not in found and (opening or beside is None) and after is not None:
            result.append(Word(text, found[after].start, found[after].start, found[after].confidence))
            continue
        at, sure = (beside.end, beside.confidence) if beside else (0.0, 0.0)
        result.append(found.get(number, Word(text, at, at, sure)))
    return result
