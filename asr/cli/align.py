"""asr align"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.common import Channel, Device, ModelName, Tier, Track, channel_of, counter, given, say, takes_decoding
from asr.utils.device import configure_torch, find_device
from asr.utils.errors import InputError
from asr.utils.files import find_path, no_such_file

if TYPE_CHECKING:
    from asr.audio.reader import AudioSource, Samples
    from asr.data.transcript import Transcript

_SHOWN = 20  # doubtful segments
_CHECK_BELOW = 0.01  # how well a word fits, under which it is marked: where something else is heard it is 0

_Cut = Annotated[
    float | None, typer.Option(min=1.0, help="Segments of so many seconds at most, parted at pauses, instead of lines.")
]
_Least = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="Leave out segments that fit less well, 0-1, and where something else is heard."
    ),
]
_CheckBelow = Annotated[
    float | None,
    typer.Option(
        "--check-below", min=0.0, max=1.0, help="eaf, TextGrid: a tier of words that fit less well. Default: 0.01."
    ),
]
_WordTimes = Annotated[
    bool, typer.Option("--word-times", help="srt and tsv have a line a word, vtt words' times within its cues.")
]


@takes_decoding("head")
def align(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording, of any length.")],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="What is said in it, UTF-8; a line is a segment.")],
    *,
    model: ModelName,
    format: Annotated[
        str | None,
        typer.Option("--format", help="TextGrid, eaf, json, ctm, srt, vtt, tsv: by --out's ending, or json."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write, instead of standard output.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there at --out.")] = False,
    cut: _Cut = None,
    least: _Least = 0.0,
    tier: Tier = None,
    check_below: _CheckBelow = None,
    word_times: _WordTimes = False,
    channel: Channel = None,
    track: Track = None,
    device: Device = None,
    decoding: dict[str, Any],
) -> None:
    """Find when each word of a known text is said.

    Segments that fit badly are named: there the text may be another than what is said. With --cut 15 --least 0.4 a
    whole transcript becomes utterances that are fit for training: asr prepare elan or textgrid takes them. Of an ELAN
    file beside AUDIO, eaf is a copy with new tiers.
    """
    audio, text = find_path(audio), find_path(text)
    number = channel_of(channel)
    if number == "each":
        raise InputError("a text is said in one channel, or in the mix", where="--channel", remedy="name its number")
    output = _Output(audio, format, out, tier, _CHECK_BELOW if check_below is None else check_below, word_times)
    output.check(text, overwrite)
    lines = _lines(text)
    if not audio.exists():
        raise no_such_file(audio, "check the path")
    configure_torch()
    from asr.audio.sources import select
    from asr.data.transcript import Transcript
    from asr.inference.aligner import align as run, by_lines, by_pauses, doubtful_segments
    from asr.models.folder import load_model

    loaded = load_model(model, **decoding)
    loaded.recognizer.to(find_device(device))
    spaces, heard = loaded.has_words, _Heard(select(audio, number, track), loaded.recognizer.sample_rate)
    words = run(loaded, heard, "\n".join(lines.values()), where=text)
    segments = by_pauses(words, cut, spaces=spaces) if cut else by_lines(words, [*lines.values()], spaces=spaces)
    doubtful = doubtful_segments(segments, least, None if cut else [*lines])
    kept = tuple(segment for n, segment in enumerate(segments) if not least or n not in doubtful)
    of_channel = number if isinstance(number, int) else None
    language = loaded.config.text.language
    output.write(
        Transcript(str(audio), kept, heard.seconds, loaded.name, language, spaces, channel=of_channel),
    )
    for each in list(doubtful.values())[:_SHOWN]:
        say(f"asr: {each}")
    if len(doubtful) > _SHOWN:
        say(f"asr: and {len(doubtful) - _SHOWN:,} others")
    mean = sum(word.confidence for word in words) / len(words)
    say(f"asr: {len(words):,} words, {len(kept):,} of {len(segments):,} segments; how well they fit: {mean:.2f}")


def _lines(text: Path) -> dict[int, str]:
    """The lines of a file that hold something, by their numbers."""
    from asr.data.known_files import kind_of
    from asr.utils.files import read_bytes, read_text

    beginning = read_bytes(text)[:4000]
    what = kind_of(beginning).name or ("JSON" if beginning.lstrip().startswith((b'{"', b"[{")) else "")
    if what:
        remedy = "save what is said, a segment a line"
        raise InputError(f"is {what}, not plain text", where=text, remedy=remedy)
    lines = {n: line for n, line in enumerate(read_text(text).splitlines(), 1) if line.strip()}
    if not lines:
        raise InputError("has no text", where=text)
    return lines


class _Heard:
    """Iterates over the blocks of a recording, tells how far it is, and counts its seconds."""

    def __init__(self, audio: AudioSource, rate: int) -> None:
        self.audio, self.rate, self.seconds = audio, rate, 0.0

    def __iter__(self) -> Iterator[Samples]:
        from asr.audio.reader import audio_info, read_blocks

        progress, total, length = counter("seconds"), round(audio_info(self.audio).duration), 0
        for block in read_blocks(self.audio, self.rate):
            length += len(block)
            self.seconds = length / self.rate
            yield block
            progress(min(round(self.seconds), total), total)


class _Output:
    """Writes the result in a format, to a file or standard output."""

    def __init__(
        self, audio: Path, format: str | None, out: Path | None, tier: str | None, check_below: float, word_times: bool
    ) -> None:
        from asr.cli.outputs import elan_file_of
        from asr.data.formats import FORMATS

        named = format or (out.suffix.lstrip(".") if out is not None else "") or "json"
        formats = {name.lower(): name for name in FORMATS if name != "txt"}
        if named.lower() not in formats:
            where = "--format" if format else out
            raise InputError(f"no format {named!r} with times", where=where, remedy=f"there are {', '.join(formats)}")
        self.audio, self.format, self.out = audio, formats[named.lower()], out
        self.tier, self.check_below, self.word_times = tier, check_below, word_times
        self.own = elan_file_of(str(audio)) if self.format == "eaf" and out is not None else None

    def check(self, text: Path, overwrite: bool) -> None:
        """Refuses what could not be written in the end, or would take another file's place."""
        from asr.data.elan_writer import check_tier_name, check_tiers
        from asr.utils.files import check_output

        if self.out is not None:
            check_output(self.out, self.audio, text, *([self.own] if self.own else []))
            if self.out.exists() and not overwrite:
                remedy = "--overwrite replaces it; or name another --out"
                raise InputError("is there already", where=self.out, remedy=remedy)
        if self.tier is not None:
            check_tier_name(self.tier)
        if self.own is not None:
            check_tiers(self.own, self.tier or "transcript")

    def write(self, transcript: Transcript) -> None:
        from asr.data.elan_writer import add_tiers
        from asr.data.formats import FORMATS
        from asr.utils.files import write_bytes, write_text

        marked: dict[str, Any] = {"check_below": self.check_below}
        if self.own is not None and self.out is not None:
            write_bytes(self.out, add_tiers(self.own, transcript, tier=self.tier or "transcript", **marked))
            return
        of_eaf = given(tier=self.tier, folder=self.out.parent if self.out is not None else None)
        options = {"eaf": {**marked, **of_eaf}, "TextGrid": marked}.get(self.format, {})
        written = FORMATS[self.format](transcript, self.word_times or self.format == "json", **options)
        if self.out is None:
            print(written, end="")
        else:
            write_text(self.out, written)
