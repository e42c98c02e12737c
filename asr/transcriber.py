"""Audio files -> Transcripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from asr.audio import AudioSource, Samples, read_audio
from asr.decoding import decoding_for
from asr.errors import InputError
from asr.model_folder import Model, load_model
from asr.transcript import Hypothesis, Segment, Transcript


class Transcriber:
    """Transcribes with one model. It changes nothing in the process: no thread count, no flag, no random state.

    Args:
        decoding: As decoding_for takes it: greedy, lm, lexicon, hotwords, beam_size, nbest, ...
    """

    def __init__(self, model: Model, **decoding: Any) -> None:
        self.model = model
        self.decoding = decoding_for(model, **decoding)
        self.sample_rate = model.recognizer.sample_rate

    @classmethod
    def load(cls, model: str | Path, *, head: str | None = None, **decoding: Any) -> Transcriber:
        """From a model folder, or by the name of one that comes with the package.

        Args:
            head: Kind of the tokens of the head to use (phones, characters, ...), where it has several.
        """
        return cls(load_model(model, head=head), **decoding)

    def transcribe(
        self, audio: AudioSource | npt.ArrayLike, sample_rate: int | None = None, *, name: str | None = None
    ) -> Transcript:
        """Transcribes a file, a stream, bytes, or an array.

        Args:
            audio: As read_audio takes it, or an array.
            sample_rate: Of an array, Hz.
            name: What the transcript and errors call it.

        Raises:
            InputError: The audio cannot be read, or an array came without its rate.
        """
        source = _source(audio, sample_rate)
        (result,) = self.transcribe_all([(source, name or _name(source))])
        if isinstance(result, InputError):
            raise result
        return result

    def transcribe_all(
        self, sources: Iterable[tuple[AudioSource, str]], *, batch_seconds: float = 60.0
    ) -> Iterator[Transcript | InputError]:
        """Transcribes (source, name) pairs, several at a time, and yields the results in their order.

        A source that cannot be read yields its InputError; the others are done.

        Args:
            batch_seconds: Audio that is held and recognised at a time, padding included.
        """
        waiting: list[tuple[str, Samples | InputError]] = []
        longest = 0
        for source, name in sources:
            samples: Samples | InputError
            try:
                samples = read_audio(source, self.sample_rate, name=name)
            except InputError as e:
                samples = e
            length = 0 if isinstance(samples, InputError) else len(samples)
            if waiting and max(longest, length) * (len(waiting) + 1) > batch_seconds * self.sample_rate:
                yield from self._batch(waiting)
                waiting, longest = [], 0
            waiting.append((name, samples))
            longest = max(longest, length)
        yield from self._batch(waiting)

    @torch.inference_mode()
    def _recognize(self, readable: list[tuple[str, Samples]]) -> list[Transcript]:
        lens = torch.tensor([len(samples) for _, samples in readable])
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(s) for _, s in readable], batch_first=True)
        found = self.decoding.hear(self.model.recognizer, padded, lens, [name for name, _ in readable]).nbest
        return [
            Transcript(
                name,
                self._segments(nbest),
                len(samples) / self.sample_rate,
                self.model.name,
                spaces=self.model.has_words or self.model.tokenizer.kind == "phones",
            )
            for (name, samples), nbest in zip(readable, found, strict=True)
        ]

    def _segments(self, nbest: list[Hypothesis]) -> tuple[Segment, ...]:
        best = nbest[0]
        if not best.words:
            return ()
        return (
            Segment(
                best.words[0].start,
                best.words[-1].end,
                best.text,
                best.words,
                tuple(nbest) if self.decoding.several else (),
            ),
        )

    def _batch(self, waiting: list[tuple[str, Samples | InputError]]) -> Iterator[Transcript | InputError]:
        readable = [(name, samples) for name, samples in waiting if not isinstance(samples, InputError)]
        done = iter(self._recognize(readable) if readable else [])
        for _, samples in waiting:
            yield samples if isinstance(samples, InputError) else next(done)


def _source(audio: AudioSource | npt.ArrayLike, sample_rate: int | None) -> AudioSource:
    if isinstance(audio, str | Path | bytes | tuple) or hasattr(audio, "read"):
        if sample_rate is not None:
            raise InputError("a sample rate goes with an array; files have their own", where="sample_rate")
        return audio  # type: ignore[return-value]
    if sample_rate is None:
        raise InputError("an array needs its rate", where="array", remedy="transcribe(array, sample_rate)")
    return (audio, sample_rate)


def _name(source: AudioSource) -> str:
    if isinstance(source, str | Path):
        return str(source)
    return "array" if isinstance(source, tuple) else "audio"
