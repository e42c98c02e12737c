"""Where transcripts go: names and formats of the files, and what is written when."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.common import given
from asr.utils.errors import InputError
from asr.utils.files import is_there
from asr.utils.unicode import on_one_line

if TYPE_CHECKING:
    from asr.cli.transcribe import Plan
    from asr.data.transcript import Segment, Transcript
    from asr.inference.transcriber import Ended, Transcriber


class Delivery:
    """Writes what is heard where it is wanted."""

    def __init__(self, transcriber: Transcriber, plan: Plan) -> None:
        from asr.cli.display import TranscriptionProgress

        self.transcriber, self.outputs = transcriber, plan.outputs
        self.formats, self.word_times = plan.wanted.formats, plan.wanted.word_times
        marked = given(check_below=plan.wanted.check_below)
        self.options = {"eaf": {**given(tier=plan.wanted.tier), **marked}, "TextGrid": marked}  # of each format
        self.paths = [path for path, _ in plan.inputs]
        self.alone = len(plan.inputs) + len(plan.problems) == 1  # a single input, whose text needs no name
        self.keep = plan.wanted.skip_existing  # the files that are there
        self.stems = Counter(Path(path).stem for path in self.paths)
        self.progress = TranscriptionProgress(self.paths)
        self.segments: list[Segment] = []
        self.number = self.done = self.failed = 0
        self.stopped = False

    def take(self, number: int, event: Segment | Ended) -> None:
        """A segment of an input, or its end."""
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
            if event.stopped:
                self._write_part(event.duration)
            else:
                self._write(event.duration)
                self.done += 1
        except InputError as e:
            self.failed += 1
            self.progress.clear()
            print(f"asr: error: {e}", file=sys.stderr)
            if event.error is not None:
                self._write_part(event.duration)
        self.segments.clear()

    def interrupted(self) -> None:
        """Keeps what was heard of an input that did not end."""
        self.progress.clear()
        if self.segments:
            self._write_part(self.segments[-1].end)
        elif self.number < len(self.paths):
            print(f"asr: nothing was recognised of {on_one_line(self.paths[self.number])} yet", file=sys.stderr)

    def _write(self, duration: float) -> None:
        path = self.paths[self.number]
        for each in self.formats:
            if self.outputs:
                file = with_suffix(self.outputs[path], each)
                if not (self.keep and is_there(file)):
                    self._write_file(file, each, duration)
                with suppress(OSError):  # there is none, or could be none
                    _part(self.outputs[path], each).unlink()  # of an earlier time
            elif self.alone and each == "txt":
                if not self.segments:
                    self._print("\n")
            else:
                self._print_whole(duration)

    def _write_part(self, duration: float) -> None:
        """What came before an end that did not come: beside where the whole would be."""
        if not self.segments:
            return
        if not self.outputs:
            if not self.alone or self.formats != ["txt"]:
                self._print_whole(duration, partial=True)
            return
        parts = [_part(self.outputs[self.paths[self.number]], each) for each in self.formats]
        for part, each in zip(parts, self.formats, strict=True):
            try:
                self._write_file(part, each, duration, partial=True)
            except InputError as e:
                print(f"asr: error: {e}", file=sys.stderr)
                return
        others = "".join(f", {part.suffix}" for part in parts[1:])
        print(f"asr: what was heard of it is in {on_one_line(str(parts[0]))}{others}", file=sys.stderr)

    def _write_file(self, path: Path, format: str, duration: float, partial: bool = False) -> None:
        from asr.utils.files import make_folder, write_bytes, write_text

        make_folder(path.parent)
        own = elan_file_of(self.paths[self.number])
        if format == "eaf" and own is not None:
            from asr.data.elan_writer import add_tiers

            transcript = self._transcript(self.paths[self.number], duration, partial)
            write_bytes(path, add_tiers(own, transcript, **self.options["eaf"]))
        else:
            write_text(path, self._text(format, duration, partial, path.parent))

    def _text(self, format: str, duration: float, partial: bool = False, folder: Path | None = None) -> str:
        from asr.data.formats import FORMATS

        path = self.paths[self.number]
        if format == "ctm" and not self.outputs and self.stems[Path(path).stem] > 1:
            path = Path(path).as_posix().replace("/", "_") + ".ctm"  # a recording's name is what comes before
        transcript = self._transcript(path, duration, partial)
        own = {"folder": folder} if format == "eaf" else {}
        return FORMATS[format](transcript, self.word_times, **self.options.get(format, {}), **own)

    def _transcript(self, path: str, duration: float, partial: bool) -> Transcript:
        return replace(self.transcriber.transcript(path, self.segments, duration), partial=partial)

    def _print_whole(self, duration: float, partial: bool = False) -> None:
        """On standard output, with the input's name."""
        text = self._text(self.formats[0], duration, partial)
        if self.formats == ["txt"]:
            joined = self.transcriber.transcript("", self.segments, duration).text
            text = f"{on_one_line(self.paths[self.number])}\t{joined}\n"
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
    """Where each input's text goes, without the format's suffix: its name, with its own suffix where two would meet."""

    def names(keep_suffix: bool) -> Iterator[tuple[str, Path]]:
        for path, base in inputs:
            inside = Path("stdin") if path == "-" else Path(path).relative_to(base)
            yield path, inside.with_name(inside.name if keep_suffix else inside.stem)

    short, whole = dict(names(False)), dict(names(True))
    times = Counter(short.values())
    for name in short.values():  # talk.partial.wav beside talk.wav, whose part has that name
        if name.suffix == ".partial" and name.with_suffix("") in times:
            times[name] += 1
    result = {path: folder / (whole[path] if times[short[path]] > 1 else short[path]) for path in short}
    if len(set(result.values())) < len(result):
        twice = next(path for path, times in Counter(result.values()).items() if times > 1)
        both = " and ".join(path for path in result if result[path] == twice)
        raise InputError(
            f"{both} would have output of the same name, {twice.name}",
            where="AUDIO",
            remedy="transcribe one of them into another --output-dir, or rename it",
        )
    return result


def check_outputs(files: list[Path], inputs: list[str], *, keep: bool, overwrite: bool) -> None:
    """Nothing of somebody else's is written over."""
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


def _part(path: Path, format: str) -> Path:
    return with_suffix(path, f"partial.{format}")


def with_suffix(path: Path, format: str) -> Path:
    return path.with_name(f"{path.name}.{format}")
