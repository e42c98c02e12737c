"""asr align"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.common import HeadKind, counter, ready_torch, say
from asr.errors import InputError

if TYPE_CHECKING:
    from asr.audio import Samples

_SHOWN = 20  # doubtful segments


def align(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording, of any length.")],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="What is said in it, UTF-8; a line is a segment.")],
    model: Annotated[str, typer.Option("--model", help="A model folder, or the name of a shipped model.")] = ...,  # type: ignore[assignment]
    format: Annotated[
        str | None,
        typer.Option("--format", help="TextGrid, eaf, json, ctm, srt, vtt, tsv: by --out's ending, or json."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write, instead of standard output.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there at --out.")] = False,
    cut: Annotated[
        float | None,
        typer.Option(min=1.0, help="Segments of so many seconds at most, parted at pauses, instead of lines."),
    ] = None,
    least: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Segments that fit less well, 0-1, are left out.")
    ] = 0.0,
    head: HeadKind = None,
) -> None:
    """Find when each word of a known text is said.

    Segments that fit badly are named: there the text may be another than what is said. With --cut 15 --least 0.4 a
    whole transcript becomes utterances that are fit for training: asr prepare elan or textgrid takes them.
    """
    from asr.files import check_output, read_text, write_text
    from asr.formats import FORMATS

    named = format or (out.suffix.lstrip(".") if out is not None else "") or "json"
    formats = {name.lower(): name for name in FORMATS if name != "txt"}
    if named.lower() not in formats:
        raise InputError(f"no format {named!r} with times", where="--format", remedy=f"there are {', '.join(formats)}")
    if out is not None:
        check_output(out, audio, text)
        if out.exists() and not overwrite:
            raise InputError("is there already", where=out, remedy="--overwrite replaces it; or name another --out")
    lines = [line for line in read_text(text).splitlines() if line.strip()]
    if not lines:
        raise InputError("has no text", where=text)
    if not audio.exists():
        raise InputError("no such file", where=audio)
    ready_torch()
    from asr.alignment import align as run, by_lines, by_pauses, fits
    from asr.audio import audio_info, read_blocks
    from asr.model_folder import load_model
    from asr.transcript import Transcript

    loaded = load_model(model, head=head)
    rate, spaces = loaded.recognizer.sample_rate, loaded.has_words
    length = 0

    progress, total = counter("seconds"), round(audio_info(audio).duration)

    def counted() -> Iterator[Samples]:
        nonlocal length
        for block in read_blocks(audio, rate):
            length += len(block)
            yield block
            progress(min(round(length / rate), total), total)

    words = run(loaded, counted(), "\n".join(lines), where=text)
    segments = by_pauses(words, cut, spaces=spaces) if cut else by_lines(words, lines, spaces=spaces)
    doubtful = [segment for segment in segments if not fits(segment) or segment.confidence < least]
    kept = [segment for segment in segments if not least or (fits(segment) and segment.confidence >= least)]
    language = loaded.config.text.language
    transcript = Transcript(str(audio), tuple(kept), length / rate, loaded.name, language, spaces)
    written = FORMATS[formats[named.lower()]](transcript, True)
    if out is None:
        print(written, end="")
    else:
        write_text(out, written)
    for segment in doubtful[:_SHOWN]:
        said = "doubtful" if segment in kept else "left out"
        say(f"asr: {said} ({segment.confidence:.2f}): {_clock(segment.start)} {segment.text[:80]}")
    if len(doubtful) > _SHOWN:
        say(f"asr: and {len(doubtful) - _SHOWN:,} others")
    mean = sum(word.confidence for word in words) / len(words)
    say(f"asr: {len(words):,} words, {len(kept):,} of {len(segments):,} segments; how well they fit: {mean:.2f}")


def _clock(seconds: float) -> str:
    """1:02:03.4"""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02}:{rest:04.1f}"
