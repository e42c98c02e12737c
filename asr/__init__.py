"""Kikitori: speech recognition that people train themselves.

import asr

recognizer = asr.load("digits-en")
print(recognizer.transcribe("seven.wav").text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    import numpy.typing as npt
    from typing_extensions import Unpack

    from asr.audio.reader import AudioSource
    from asr.data.transcript import Transcript, Word
    from asr.inference.transcriber import Transcriber, TranscriberOptions
    from asr.models.decoding_options import DecodingChanges
    from asr.utils import errors as errors
    from asr.utils.device import Device
    from asr.utils.errors import InputError as InputError

__version__ = "0.1.0"
__all__ = ["InputError", "__version__", "align", "available_models", "errors", "load", "transcribe"]


def load(
    model: str | Path,
    *,
    head: str | None = None,
    greedy: bool = False,
    lm: str | Path | None = None,
    lexicon: str | Path | None = None,
    hotwords: str | Path | Mapping[str, float | None] | Sequence[str] | None = None,
    rescore: str | Path | None = None,
    confidences: bool = True,
    vad: bool = True,
    device: Device = "auto",
    precision: Literal["fp32", "bf16"] = "fp32",
    threads: int = 0,
    **decoding: Unpack[DecodingChanges],
) -> Transcriber:
    """Loads a recogniser.

    Args:
        model: A model folder, or the name of a model that comes with the package (`available_models`).
        head: The kind of tokens to use (phones, characters, ...), where the model has several.
        greedy: Take the best token of each frame, whatever the model folder holds.
        lm: An n-gram language model's file, instead of the folder's.
        lexicon: A lexicon's file, instead of the folder's.
        hotwords: Words and phrases to expect: a file, phrases with their boosts, or phrases.
        rescore: A neural language model's file that chooses among the texts that are found.
        confidences: Whether those of words are wanted; beam search takes about three times as long for them.
        vad: Whether a network that knows speech decides what is speech.
        device: What the network runs on; auto: a GPU where torch can use one.
        precision: Of the network's products.
        threads: Of the beam search; 0: as many as there are processors.
        decoding: Fields of asr.models.DecodingOptions, instead of the folder's: beam_size, nbest, lm_weight, ...

    Raises:
        InputError: There is no such model, it is damaged, or an option does not fit it.
    """
    from asr.inference.transcriber import Transcriber
    from asr.models.folder import load_model

    return Transcriber(
        load_model(model, head=head),
        greedy=greedy,
        lm=lm,
        lexicon=lexicon,
        hotwords=hotwords,
        rescore=rescore,
        confidences=confidences,
        vad=vad,
        device=device,
        precision=precision,
        threads=threads,
        **decoding,
    )


def transcribe(
    audio: AudioSource,
    model: str | Path,
    *,
    channel: Literal["mix"] | int = "mix",
    track: int | None = None,
    **options: Unpack[TranscriberOptions],
) -> Transcript:
    """Transcribes one file; to transcribe several, `load` the model once. Options are those of `load`; channel and
    track are those of `Transcriber.transcribe`."""
    return load(model, **options).transcribe(audio, channel=channel, track=track)


def align(
    audio: AudioSource | npt.ArrayLike,
    text: str,
    model: str | Path | Transcriber,
    sample_rate: int | None = None,
    *,
    channel: Literal["mix"] | int = "mix",
    track: int | None = None,
    device: Device = "auto",
) -> list[Word]:
    """Finds when each word of a known text is said.

    Args:
        audio: A file, a stream, bytes, or an array; of any length.
        text: What is said in it, in the model's language.
        model: A model folder, the name of a model that comes with the package, or what `load` gave.
        sample_rate: Of an array, Hz.
        channel: The channel it is said in, from 0; mix: all of them together.
        track: The sound track of a film, from 1; None: the first that is not silent.
        device: What the network runs on; what `load` gave stays where it is.

    Returns:
        The words with their times in seconds, and how well each fits, 0 to 1.

    Raises:
        InputError: The audio cannot be read, or the text cannot be said in it.
    """
    from asr.inference.aligner import align_audio
    from asr.inference.transcriber import Transcriber
    from asr.models.folder import load_model
    from asr.utils.device import find_device

    if isinstance(model, Transcriber):
        return align_audio(model.model, audio, text, sample_rate, channel=channel, track=track)
    loaded = load_model(model)
    loaded.recognizer.to(find_device(device))
    return align_audio(loaded, audio, text, sample_rate, channel=channel, track=track)


def available_models() -> list[str]:
    """The names of the models that come with the package."""
    from asr.models.hub import available_models

    return available_models()


def __getattr__(name: str) -> Any:
    if name in ("errors", "InputError"):
        from asr.utils import errors

        return errors if name == "errors" else errors.InputError
    raise AttributeError(f"module 'asr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
