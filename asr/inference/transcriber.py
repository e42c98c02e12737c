"""Audio of any length -> Segments and Transcripts."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy.typing as npt
import torch

from asr.audio.reader import AudioSource, Samples, is_pipe, read_blocks
from asr.audio.segmentation import Piece, Segmenter, as_loud_as_usual
from asr.audio.sources import Channel, Selected, audio_source, each_channel, select
from asr.data.transcript import PAUSE, Hypothesis, Segment, Transcript, Word
from asr.decode.search import HotWords, build_search
from asr.models.decoding_options import DecodingChanges
from asr.models.model import Model
from asr.utils.config import require
from asr.utils.device import Device, autocast, find_device
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Unpack

_READ = 1.0  # seconds that are read at a time: what Ctrl-C loses
_PATIENCE = 10.0  # seconds until what waits is recognised, however little it is


@dataclass(frozen=True)
class Ended:
    """A source that nothing more comes of."""

    duration: float  # seconds that were read
    error: InputError | None = None  # why it was not read to its end
    stopped: bool = False  # it was not, as `stop` was called


class SearchOptions(DecodingChanges, total=False):
    """The keyword arguments of build_search."""

    greedy: bool
    lm: str | Path | None
    lexicon: str | Path | None
    hotwords: HotWords | None
    rescore: str | Path | None


class TranscriberOptions(SearchOptions, total=False):
    """The options of `asr.load` as keyword arguments, for type checkers and editors."""

    head: str | None
    confidences: bool
    vad: bool
    device: Device
    precision: Literal["fp32", "bf16"]
    threads: int


class Transcriber:
    """Transcribes with one model. It changes nothing in the process: no thread count, no flag, no random state.

    Audio is read as it is needed and cut at pauses, so that memory does not grow with its length.

    Args:
        vad: Whether a network that knows speech (Silero's) decides what is speech; without it all that is not clearly a
            pause is recognised.
        threads: Of the beam search; 0: as many as there are processors.
        device: What the network runs on; auto: a GPU where torch can use one.
        precision: Of the network's products: bf16 is faster on CPUs that have it, and on GPUs.
        confidences: Whether words' are wanted; beam search takes about three times as long for them, and without them
            those of long pieces are nearly all 1.
        search: As build_search takes them: greedy, lm, lexicon, hotwords, rescore, beam_size, ...
    """

    def __init__(
        self,
        model: Model,
        *,
        vad: bool = True,
        threads: int = 0,
        device: Device = "auto",
        precision: Literal["fp32", "bf16"] = "fp32",
        confidences: bool = True,
        **search: Unpack[SearchOptions],
    ) -> None:
        require(precision in ("fp32", "bf16"), f"precision: there is no {precision!r}, there are fp32 and bf16")
        require(threads >= 0, f"threads {threads} is below 0")
        self.model, self.vad, self.precision, self.confidences = model, vad, precision, confidences
        self.device = find_device(device)
        autocast(precision, self.device)  # refuses what the processor has not
        model.recognizer.to(self.device)
        self.decoding = build_search(model, threads=threads, **search)
        self.sample_rate = model.recognizer.sample_rate
        self.spaces = model.has_words or self.decoding.units
        self._stopped = self._reading = False
        # by what took them; and of audio: all, speech, heard by the VAD
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def __repr__(self) -> str:
        config, facts = self.model.config, self.decoding.facts
        files = [f"{name} {facts[name]}" for name in ("lm", "lexicon", "hotwords", "rescore") if facts.get(name)]
        parts = [
            " ".join(filter(None, [self.model.name, config.text.language and f"({config.text.language})"])),
            f"{config.encoder.kind} of {sum(p.numel() for p in self.model.recognizer.parameters()):,} parameters",
            f"{self.model.tokenizer.kind} of audio at {self.sample_rate:,} Hz",
            ", ".join([f"search {facts['search']}", *files]),
            f"on the {'GPU' if self.device.type == 'cuda' else 'CPU'}",
        ]
        return f"<Transcriber {'; '.join(parts)}>"

    @overload
    def transcribe(
        self,
        audio: AudioSource | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: Literal["mix"] | int = "mix",
        track: int | None = None,
        name: str | None = None,
    ) -> Transcript: ...

    @overload
    def transcribe(
        self,
        audio: AudioSource | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: Literal["each"],
        track: int | None = None,
        name: str | None = None,
    ) -> list[Transcript]: ...

    def transcribe(
        self,
        audio: AudioSource | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: Channel = "mix",
        track: int | None = None,
        name: str | None = None,
    ) -> Transcript | list[Transcript]:
        """Transcribes a file, a stream, bytes, or an array.

        Args:
            audio: As read_audio takes it, or an array.
            sample_rate: Of an array, Hz.
            channel: Which channel is heard, from 0; mix: all of them together; each: every one by itself, as of a
                telephone call, which gives a transcript for each.
            track: Which sound track of a film is heard, from 1; None: the first that is not silent.
            name: What the transcript and errors call it.

        Raises:
            InputError: The audio cannot be read, has no such channel or track, or an array came without its rate.
        """
        source = audio_source(audio, sample_rate)
        name = name or _name(source)
        if channel == "each":
            with each_channel(source, track, name) as channels:
                return [_result(each) for each in self.transcribe_all((each, name) for each in channels)]
        (result,) = self.transcribe_all([(select(source, channel, track), name)])
        return _result(result)

    def segments(
        self,
        audio: AudioSource | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: Literal["mix"] | int = "mix",
        track: int | None = None,
        name: str | None = None,
    ) -> Iterator[Segment]:
        """As transcribe, but gives each segment as soon as it is ready; of one channel, or the mix."""
        source = audio_source(audio, sample_rate)
        for _, event in self.listen([(select(source, channel, track), name or _name(source))]):
            if isinstance(event, Segment):
                yield event
            elif event.error:
                raise event.error

    def transcribe_all(
        self, sources: Iterable[tuple[AudioSource, str]], *, batch_seconds: float = 120.0
    ) -> Iterator[Transcript | InputError]:
        """Transcribes (source, name) pairs, several at a time, and yields the results in their order.

        A source that cannot be read yields its InputError; the others are done.

        Args:
            batch_seconds: Audio that is recognised at a time, padding included.

        Raises:
            InputError: `batch_seconds` is none.
        """
        names: list[tuple[str, int | None]] = []

        def named() -> Iterator[tuple[AudioSource, str]]:
            for source, name in sources:
                names.append((name, source.channel if isinstance(source, Selected) else None))
                yield source, name

        found: list[Segment] = []
        for number, event in self.listen(named(), batch_seconds=batch_seconds):
            if isinstance(event, Segment):
                found.append(event)
            else:
                name, channel = names[number]
                yield event.error or self.transcript(name, found, event.duration, channel)
                found = []

    def transcript(
        self, name: str, segments: Iterable[Segment], duration: float, channel: int | None = None
    ) -> Transcript:
        """Of segments that were heard."""
        language = self.model.config.text.language
        return Transcript(name, tuple(segments), duration, self.model.name, language, self.spaces, channel=channel)

    def listen(
        self, sources: Iterable[tuple[AudioSource, str]], *, batch_seconds: float = 120.0
    ) -> Iterator[tuple[int, Segment | Ended]]:
        """Of (source, name) pairs: the number of each, from 0, with its segments in their order and, last, its end."""
        if not 0 < batch_seconds < math.inf:
            raise InputError(f"{batch_seconds} is no length of audio", where="batch_seconds", remedy="120 is usual")
        self._stopped = False
        waiting: list[tuple[int, Piece | Ended]] = []
        held, since = 0.0, time.monotonic()
        for number, event in self._pieces(sources):
            waiting.append((number, event))
            held += len(event.samples) / self.sample_rate if isinstance(event, Piece) else 0.0
            patient = time.monotonic() - since < _PATIENCE  # audio that comes slowly is not waited for
            if held >= 2 * batch_seconds or len(waiting) > 4096 or not patient:
                yield from self._recognized(waiting, batch_seconds)
                waiting, held, since = [], 0.0, time.monotonic()
        yield from self._recognized(waiting, batch_seconds)

    def stop(self) -> None:
        """Ends what is being listened to: what was read is recognised, nothing more is read. For a handler of signals:
        where it comes while a source is waited for, KeyboardInterrupt is raised and caught within."""
        self._stopped = True
        if self._reading:
            raise KeyboardInterrupt

    def _pieces(self, sources: Iterable[tuple[AudioSource, str]]) -> Iterator[tuple[int, Piece | Ended]]:
        """The sources' speech."""
        for number, (source, name) in enumerate(sources):
            segmenter = Segmenter(self.sample_rate, vad=self.vad)
            error = None
            pieces = segmenter.pieces(self._read(source, name))
            try:
                while True:
                    with self._timed("gate"):
                        piece = next(pieces, None)
                    if piece is None:
                        break
                    yield number, piece
            except InputError as e:
                error = e.with_traceback(None)  # which would keep the audio while the error waits for its turn
            heard = segmenter.heard
            for what, seconds in (("audio", heard.audio), ("speech", heard.pieces), ("heard by the VAD", heard.vad)):
                self.seconds[what] += seconds
            yield number, Ended(heard.audio, None if self._stopped else error, self._stopped)
            if self._stopped:
                return

    def _read(self, source: AudioSource, name: str) -> Iterator[Samples]:
        blocks = read_blocks(source, self.sample_rate, seconds=_READ, name=name)
        waits = is_pipe(source)  # what is in a file comes at once; and C code that reads it knows no exceptions
        while not self._stopped:
            with self._timed("reading", within="gate"):
                try:
                    self._reading = waits
                    block = None if self._stopped else next(blocks, None)
                except KeyboardInterrupt:
                    if not self._stopped:
                        raise
                    block = None
                finally:
                    self._reading = False
            if block is None:
                return
            yield block

    def _recognized(
        self, waiting: list[tuple[int, Piece | Ended]], batch_seconds: float
    ) -> Iterator[tuple[int, Segment | Ended]]:
        """What waits, recognised: pieces of like lengths together."""
        pieces = sorted((event for _, event in waiting if isinstance(event, Piece)), key=lambda p: len(p.samples))
        found: dict[int, list[Hypothesis]] = {}
        while pieces:
            size = max(1, int(min(batch_seconds, 1e6) * self.sample_rate / len(pieces[-1].samples)))
            batch, pieces = pieces[-size:], pieces[:-size]
            found.update(zip(map(id, batch), self._recognize(batch), strict=True))
        for number, event in waiting:
            if isinstance(event, Ended):
                yield number, event
            else:
                for segment in self._segments(found[id(event)], event):
                    yield number, segment

    @torch.inference_mode()
    def _recognize(self, pieces: list[Piece]) -> list[list[Hypothesis]]:
        lens = torch.tensor([len(piece.samples) for piece in pieces])
        padded = torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(as_loud_as_usual(piece.samples, self.sample_rate)) for piece in pieces],
            batch_first=True,
        )
        recognizer, samples = self.model.recognizer, padded.to(self.device)
        with autocast(self.precision, self.device):
            lens = lens.to(self.device)
            hear = self.decoding.decode
            return hear(recognizer, samples, lens, confidences=self.confidences, timed=self._timed).nbest

    def _segments(self, nbest: list[Hypothesis], piece: Piece) -> Iterator[Segment]:
        """A piece's words, parted at pauses; not where other readings were asked for, which are of the whole piece."""
        runs: list[list[Word]] = []
        for word in nbest[0].words:
            moved = replace(word, start=word.start + piece.start, end=word.end + piece.start)
            if not runs or (not self.decoding.several and moved.start - runs[-1][-1].end >= PAUSE):
                runs.append([])
            runs[-1].append(moved)
        for run in runs:
            text = (" " if self.spaces else "").join(word.text for word in run)
            others = tuple(nbest) if self.decoding.several else ()
            yield Segment(run[0].start, run[-1].end, text, tuple(run), others)

    @contextmanager
    def _timed(self, what: str, *, within: str | None = None) -> Iterator[None]:
        """Adds the time this takes to `what`, and takes it off that within which it happens."""
        began = time.perf_counter()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize()  # it only queues what it is asked for
            seconds = time.perf_counter() - began
            self.seconds[what] += seconds
            if within:
                self.seconds[within] -= seconds


def _result(result: Transcript | InputError) -> Transcript:
    if isinstance(result, InputError):
        raise result
    return result


def _name(source: AudioSource) -> str:
    plain = source.source if isinstance(source, Selected) else source
    if isinstance(plain, str | Path):
        return str(plain)
    return "array" if isinstance(plain, tuple) else "audio"
