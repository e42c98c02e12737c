"""Where transcripts go: names and formats of the files, and what is written when."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from asr.cli.common import given
from asr.data.formats import ONE_FILE
from asr.utils.errors import InputError
from asr.utils.files import is_there
from asr.utils.unicode import on_one_line, plain_name

if TYPE_CHECKING:
    from asr.audio.reader import AudioSource
    from asr.cli.transcribe import Plan
    from asr.data.transcript import Segment, Transcript
    from asr.inference.transcriber import Ended, Transcriber


log = logging.getLogger(__name__)


class Source(NamedTuple):
    """What is transcribed by itself: an input, or a channel of one."""

    path: str
    audio: AudioSource
    channel: int | None = None
    several: bool = False  # whether the input's other channels are transcribed, too

    @property
    def name(self) -> str:
        """What errors and lines on standard output call it."""
        name = "standard input" if self.path == "-" else self.path
        return f"{name}, channel {self.channel}" if self.several else name

    def file(self, base: Path, format: str, partial: bool = False) -> Path:
        """The file of its output, by the path of the input's output without a suffix."""
        own = f".ch{self.channel}" if self.several and format not in ONE_FILE else ""
        return base.with_name(f"{base.name}{own}{'.partial' if partial else ''}.{format}")


class Delivery:
    """Writes what is heard where it is wanted."""

    def __init__(self, transcriber: Transcriber, plan: Plan) -> None:
        from asr.cli.display import TranscriptionProgress

        self.transcriber, self.outputs, self.sources = transcriber, plan.outputs, plan.sources
        self.formats, self.word_times = plan.wanted.formats, plan.wanted.word_times
        marked = given(check_below=plan.wanted.check_below)
        self.options = {"eaf": {**given(tier=plan.wanted.tier), **marked}, "TextGrid": marked}  # of each format
        self.alone = len(plan.sources) + len(plan.problems) == 1  # a single source, whose text needs no name
        self.keep = plan.wanted.skip_existing  # the files that are there
        self.stems = Counter(Path(path).stem for path, _ in plan.inputs)
        paths = [source.path for source in self.sources]
        several = any(source.several for source in self.sources)
        self.progress = TranscriptionProgress(paths, "channel" if several else "file")
        self.segments: list[Segment] = []
        self.channels: list[Transcript] = []  # of an input: formats that hold all of them wait for the last
        self.number = self.done = self.failed = 0
        self.stopped = False

    def take(self, number: int, event: Segment | Ended) -> None:
        """A segment of a source, or its end."""
        from asr.data.transcript import Segment

        self.number = number
        if isinstance(event, Segment):
            self.segments.append(event)
            self.progress.heard(number, event.end)
            if self.alone and not self.outputs and self.formats == ["txt"]:
                self._print(event.text + "\n")
            return
        self.progress.ended(number, event.duration)
        self.stopped |= event.stopped
        try:
            if event.error is not None:
                raise event.error
            self._deliver(event.duration, partial=event.stopped)
            self.done += not event.stopped
        except InputError as e:
            self.failed += 1
            self.progress.clear()
            print(f"asr: error: {e}", file=sys.stderr)
            if event.error is not None:
                self._deliver(event.duration, partial=True)
        self.segments.clear()

    def interrupted(self) -> None:
        """Keeps what was heard of an input that did not end."""
        self.progress.clear()
        self.stopped = True
        if self.segments:
            self._deliver(self.segments[-1].end, partial=True)
        elif self.channels:
            self._write_channels(partial=True)
        elif self.number < len(self.sources):
            print(f"asr: nothing was recognised of {on_one_line(self.sources[self.number].name)} yet", file=sys.stderr)

    def _deliver(self, duration: float, partial: bool) -> None:
        """Writes what was heard of a source; what holds all channels of an input, when it was the last of them."""
        source = self.sources[self.number]
        whole = self.transcriber.transcript(source.path, self.segments, duration, source.channel)
        transcript = replace(whole, partial=partial)
        if not source.several:
            self._write([transcript], self.formats)
            return
        self.channels.append(transcript)
        try:
            self._write([transcript], [each for each in self.formats if each not in ONE_FILE])
        finally:
            following = self.sources[self.number + 1 : self.number + 2]
            if self.stopped or not following or following[0].path != source.path:
                self._write_channels(partial=self.stopped)

    def _write_channels(self, partial: bool) -> None:
        """Writes what holds all channels of an input."""
        channels, self.channels = self.channels, []
        channels[-1] = replace(channels[-1], partial=partial or channels[-1].partial)
        self._write(channels, [each for each in self.formats if each in ONE_FILE])

    def _write(self, transcripts: list[Transcript], formats: list[str]) -> None:
        if any(each.partial for each in transcripts):
            self._write_part(transcripts, formats)
            return
        source = self.sources[self.number]
        for each in formats:
            if self.outputs:
                base = self.outputs[source.path]
                file = source.file(base, each)
                if not (self.keep and is_there(file)):
                    self._write_file(file, each, transcripts)
                with suppress(OSError):  # there is none, or could be none
                    source.file(base, each, partial=True).unlink()  # of an earlier time
            elif self.alone and each == "txt":
                if not self.segments:
                    self._print("\n")
            else:
                self._print_whole(transcripts)

    def _write_part(self, transcripts: list[Transcript], formats: list[str]) -> None:
        """What came before an end that did not come: beside where the whole would be."""
        if not formats or not any(each.segments for each in transcripts):
            return
        if not self.outputs:
            if not self.alone or self.formats != ["txt"]:
                self._print_whole(transcripts)
            return
        source = self.sources[self.number]
        parts = [source.file(self.outputs[source.path], each, partial=True) for each in formats]
        for part, each in zip(parts, formats, strict=True):
            try:
                self._write_file(part, each, transcripts)
            except InputError as e:
                print(f"asr: error: {e}", file=sys.stderr)
                return
        others = "".join(f", {part.suffix}" for part in parts[1:])
        print(f"asr: what was heard of it is in {on_one_line(str(parts[0]))}{others}", file=sys.stderr)

    def _write_file(self, path: Path, format: str, transcripts: list[Transcript]) -> None:
        from asr.utils.files import make_folder, write_bytes, write_text

        make_folder(path.parent)
        own = elan_file_of(transcripts[0].audio)
        if format == "eaf" and own is not None:
            from asr.data.elan_writer import add_tiers

            write_bytes(path, add_tiers(own, transcripts[0], others=transcripts[1:], **self.options["eaf"]))
        else:
            write_text(path, self._text(format, transcripts, path.parent))

    def _text(self, format: str, transcripts: list[Transcript], folder: Path | None = None) -> str:
        from asr.data.formats import FORMATS

        path = transcripts[0].audio
        if format == "ctm" and not self.outputs and self.stems[Path(path).stem] > 1:
            path = Path(path).as_posix().replace("/", "_") + ".ctm"  # a recording's name is what comes before
        first, *others = (replace(each, audio=path) for each in transcripts)
        own = {"folder": folder} if format == "eaf" else {}
        options = {**self.options.get(format, {}), **({"others": others} if others else {}), **own}
        return FORMATS[format](first, self.word_times, **options)

    def _print_whole(self, transcripts: list[Transcript]) -> None:
        """On standard output, with the input's name."""
        text = self._text(self.formats[0], transcripts)
        if self.formats == ["txt"]:
            text = f"{on_one_line(self.sources[self.number].name)}\t{transcripts[0].text}\n"
        self._print(text)

    def _print(self, text: str) -> None:
        self.progress.clear()
        try:
            print(text, end="", flush=True)
        except BrokenPipeError:
            raise
        except OSError as e:
            raise InputError(f"cannot be written ({e.strerror or e})", where="standard output") from e


def elan_file_of(path: str) -> Path | None:
    """The ELAN file beside an input, if there is one: its transcript becomes tiers of a copy of that."""
    own = Path(path).with_suffix(".eaf") if path != "-" else None
    return own if own is not None and is_there(own) else None


def formats_of(words: list[str], to_files: bool) -> list[str]:
    """Names of formats; in any case of their letters, commas between, `all`."""
    from asr.data.formats import FORMATS

    known = {name.lower(): name for name in FORMATS}
    found: list[str] = []
    for word in filter(None, (word.strip(" .") for word in ",".join(words).lower().split(","))):
        if word not in {*known, "all"}:
            remedy = f"there are {', '.join(FORMATS)} and all"
            raise InputError(f"no format {word!r}", where="--format", remedy=remedy)
        found += FORMATS if word == "all" else [known[word]]
    if not found:
        raise InputError("names no format", where="--format", remedy=f"there are {', '.join(FORMATS)} and all")
    if len(dict.fromkeys(found)) > 1 and not to_files:
        raise InputError("several formats need --output-dir", where="--format", remedy="name a folder for the files")
    return list(dict.fromkeys(found))


def outputs_of(inputs: list[tuple[str, Path]], folder: Path) -> dict[str, Path]:
    """Returns the path of each input's output, without the format's suffix.

    An input keeps its own suffix where two outputs would have the same path.
    """

    def names(keep_suffix: bool) -> Iterator[tuple[str, Path]]:
        for path, base in inputs:
            inside = Path("stdin") if path == "-" else Path(path).relative_to(base)
            yield path, inside.with_name(inside.name if keep_suffix else inside.stem)

    short, whole = dict(names(False)), dict(names(True))
    times = Counter(map(_plain, short.values()))
    for name in short.values():  # talk.partial.wav beside talk.wav, whose part has that name
        if name.suffix == ".partial" and _plain(name.with_suffix("")) in times:
            times[_plain(name)] += 1
    result = {path: folder / (whole[path] if times[_plain(short[path])] > 1 else short[path]) for path in short}
    first: dict[str, str] = {}
    for path, output in result.items():
        other = first.setdefault(_plain(output), path)
        if other == path:
            continue
        both = f"{other} and {path} would have output of the same name, {output.name}"
        if result[other] != output and not _ignores_case(folder):
            log.warning("%s, where nobody tells capitals or Unicode's forms apart", both)
            continue
        remedy = "transcribe one of them into another --output-dir, or rename it"
        raise InputError(both, where="AUDIO", remedy=remedy)
    return result


def _plain(path: Path) -> str:
    """What file systems that tell neither capitals nor Unicode's forms apart take a path for."""
    return plain_name(str(path)).casefold()


def _ignores_case(folder: Path) -> bool:
    """Whether a folder takes two names for one that differ only in capitals."""
    try:
        with tempfile.NamedTemporaryFile(prefix="case-", dir=folder) as file:
            return Path(file.name).with_name(Path(file.name).name.swapcase()).exists()
    except OSError:
        return False


def check_outputs(files: list[Path], inputs: list[str], *, keep: bool, overwrite: bool) -> None:
    """Nothing of somebody else's is written over, and no output by another."""
    if twice := [file for file, times in Counter(files).items() if times > 1]:
        raise InputError("would be written twice", where=twice[0], remedy="rename an input")
    heard = {Path(path).resolve() for path in inputs if path != "-"}
    for file in files:
        if file.resolve() in heard:
            raise InputError("is an input, and would be written over", where=file, remedy="choose another --output-dir")
    there = [file for file in files if is_there(file)] if not (keep or overwrite) else []
    if there:
        others = f", as are {len(there) - 1:,} others" if len(there) > 1 else ""
        remedy = "--skip-existing leaves them, --overwrite replaces them"
        raise InputError(f"is there already{others}", where=there[0], remedy=remedy)


def check_folder(folder: Path) -> None:
    """Makes a folder and looks whether files can be written there, before hours of work."""
    from asr.utils.files import make_folder

    make_folder(folder)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as e:
        raise InputError(f"no file can be written there ({e.strerror or e})", where=folder) from e
