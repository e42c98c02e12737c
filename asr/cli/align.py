"""asr align"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.common import HeadKind, counter, given, say
from asr.utils.device import configure_torch
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from asr.audio.reader import Samples

_SHOWN = 20  # doubtful segments
_CHECK_BELOW = 0.01  # how well a word fits, under which it is marked: where something else is heard it is 0


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
        float,
        typer.Option(
            min=0.0, max=1.0, help="Leave out segments that fit less well, 0-1, and where something else is heard."
        ),
    ] = 0.0,
    tier: Annotated[str | None, typer.Option("--tier", help="eaf: the name of the tier. Default: transcript.")] = None,
    check_below: Annotated[
        float | None,
        typer.Option(
            "--check-below", min=0.0, max=1.0, help="eaf, TextGrid: a tier of words that fit less well. Default: 0.01."
        ),
    ] = None,
    word_times: Annotated[
        bool, typer.Option("--word-times", help="srt and tsv have a line a word, vtt words' times within its cues.")
    ] = False,
    head: HeadKind = None,
) -> None:
    """Find when each word of a known text is said.

    Segments that fit badly are named: there the text may be another than what is said. With --cut 15 --least 0.4 a
    whole transcript becomes utterances that are fit for training: asr prepare elan or textgrid takes them. Of an ELAN
    file beside AUDIO, eaf is a copy with new tiers.
    """
    from asr.cli.outputs import elan_file_of
    from asr.data.elan_writer import add_tiers, check_tier_name, check_tiers
    from asr.data.formats import FORMATS
    from asr.utils.files import check_output, read_text, write_bytes, write_text

    named = format or (out.suffix.lstrip(".") if out is not None else "") or "json"
    formats = {name.lower(): name for name in FORMATS if name != "txt"}
    if named.lower() not in formats:
        where = "--format" if format else out
        raise InputError(f"no format {named!r} with times", where=where, remedy=f"there are {', '.join(formats)}")
    named = formats[named.lower()]
    own = elan_file_of(str(audio)) if named == "eaf" and out is not None else None
    if out is not None:
        check_output(out, audio, text, *([own] if own is not None else []))
        if out.exists() and not overwrite:
            raise InputError("is there already", where=out, remedy="--overwrite replaces it; or name another --out")
    if tier is not None:
        check_tier_name(tier)
    if own is not None:
        check_tiers(own, tier or "transcript")
    numbered = [(n, line) for n, line in enumerate(read_text(text).splitlines(), 1) if line.strip()]
    lines = [line for _, line in numbered]
    if not lines:
        raise InputError("has no text", where=text)
    if not audio.exists():
        raise InputError("no such file", where=audio)
    configure_torch()
    from asr.audio.reader import audio_info, read_blocks
    from asr.data.transcript import Transcript
    from asr.inference.aligner import align as run, by_lines, by_pauses, doubt
    from asr.models.folder import load_model

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
    doubts = [doubt(segment) for segment in segments]
    kept = [
        segment
        for segment, why in zip(segments, doubts, strict=True)
        if not least or (not why and segment.confidence >= least)
    ]
    language = loaded.config.text.language
    transcript = Transcript(str(audio), tuple(kept), length / rate, loaded.name, language, spaces)
    marked = {"check_below": _CHECK_BELOW if check_below is None else check_below}
    if own is not None and out is not None:
        write_bytes(out, add_tiers(own, transcript, tier=tier or "transcript", **marked))
    else:
        of_eaf = given(tier=tier, folder=out.parent if out is not None else None)
        options = {"eaf": {**marked, **of_eaf}, "TextGrid": marked}.get(named, {})
        written = FORMATS[named](transcript, word_times or named == "json", **options)
        if out is None:
            print(written, end="")
        else:
            write_text(out, written)
    doubtful = []
    for n, (segment, why) in enumerate(zip(segments, doubts, strict=True)):
        if why or segment.confidence < least:
            line = "" if cut else f", line {numbered[n][0]}"
            why = why or f"it fits badly ({segment.confidence:.2f})"
            said = "left out" if least else "doubtful"
            doubtful.append(f"{said}: {_clock(segment.start)}{line}: {why}: {_short(segment.text)}")
    for each in doubtful[:_SHOWN]:
        say(f"asr: {each}")
    if len(doubtful) > _SHOWN:
        say(f"asr: and {len(doubtful) - _SHOWN:,} others")
    mean = sum(word.confidence for word in words) / len(words)
    say(f"asr: {len(words):,} words, {len(kept):,} of {len(segments):,} segments; how well they fit: {mean:.2f}")


def _clock(seconds: float) -> str:
    """1:02:03.4"""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02}:{rest:04.1f}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
