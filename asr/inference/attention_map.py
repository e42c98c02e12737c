"""Where an attention decoder looks, token by token: a picture of an utterance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from asr.audio.reader import AudioSource, audio_info, read_audio
from asr.decode.attention_search import attention_decoder
from asr.decode.search import build_search
from asr.models.folder import load_model
from asr.utils.errors import InputError
from asr.utils.files import atomic_path

_LONGEST = 60.0  # seconds
_FORMATS = ("svg", "png", "pdf")


def attention_map(model: str | Path, audio: AudioSource) -> tuple[list[str], npt.NDArray[np.float32], float]:
    """What a model hears in an utterance, and where it looked for it.

    Args:
        model: A model folder, with an attention decoder.
        audio: An utterance of a minute at most.

    Returns:
        U tokens, the weights (U + 1, T) of them and of the end, the mean of several heads; seconds from frame to frame.
    """
    loaded = load_model(model)
    decoder, recognizer = attention_decoder(loaded), loaded.recognizer
    seconds = audio_info(audio).duration
    if seconds > _LONGEST:
        raise InputError(
            f"is {seconds:.0f} s long; a map is of an utterance of {_LONGEST:.0f} s at most",
            where=audio if isinstance(audio, str | Path) else "audio",
            remedy="cut one out",
        )
    samples = torch.from_numpy(read_audio(audio, recognizer.sample_rate))[None]
    with torch.inference_mode():
        heard = build_search(loaded, search="attention").decode(recognizer, samples, torch.tensor([samples.shape[1]]))
        names = [token.text for token in heard.nbest[0][0].tokens]
        tokens = torch.tensor([[[loaded.tokenizer.tokens.index(name) for name in names]]], dtype=torch.long)
        lens = torch.tensor([[len(names)]])
        _, maps = decoder.given(heard.encoder_out, heard.lens, tokens.reshape(1, 1, -1), lens, maps=True)
    assert maps is not None
    return names, maps[0, :, 0].mean(0).numpy(), recognizer.frame_seconds


def draw_attention(model: str | Path, audio: AudioSource, out: str | Path) -> str:
    """Draws the map of an utterance into an SVG, PNG or PDF file; the text that was heard."""
    from matplotlib.figure import Figure

    kind = Path(out).suffix[1:].lower()
    if kind not in _FORMATS:
        raise InputError(f"is of none of the formats {', '.join(_FORMATS)}", where=out, remedy="name it so: map.svg")
    names, weights, frame_seconds = attention_map(model, audio)
    shown = ["␣" if name == "<space>" else name for name in names] + ["end"]
    figure = Figure(figsize=(9, 1.5 + 0.16 * len(shown)), layout="constrained")
    axis = figure.subplots()
    edges = (0, weights.shape[1] * frame_seconds, len(shown) - 0.5, -0.5)
    axis.imshow(weights, aspect="auto", cmap="gray_r", extent=edges, interpolation="nearest")
    axis.set_yticks(range(len(shown)), shown, fontsize=8)
    axis.set_xlabel("seconds")
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return "".join(names).replace("<space>", " ")
