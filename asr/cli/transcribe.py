"""asr transcribe"""

from __future__ import annotations

import io
import logging
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from asr.cli.common import (
    BeamSize,
    BeamThreshold,
    Greedy,
    HeadKind,
    HotwordBoost,
    HotwordsFile,
    LexiconFile,
    Lm,
    LmUnit,
    LmWeight,
    Nbest,
    PriorWeight,
    Temperature,
    TokenThreshold,
    UnkLetterScore,
    UnkScore,
    Warps,
    WordScore,
    given,
    numbers_of,
    ready_torch,
    say,
)
from asr.errors import InputError, on_one_line

if TYPE_CHECKING:
    from asr.transcriber import Ended, Transcriber
    from asr.transcript import Segment

log = logging.getLogger(__name__)


def transcribe(
    audio: Annotated[
        list[str],
        typer.Argument(metavar="AUDIO ...", help="Files, folders (searched for audio), or - for standard input."),
    ],
    model: Annotated[str, typer.Option("--model", help="A model folder, or the name of a shipped model.")] = ...,  # type: ignore[assignment]
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="txt, json, srt, vtt, tsv, ctm, TextGrid; several, commas between; or all. txt where left out.",
        ),
    ] = None,
    word_times: Annotated[
        bool, typer.Option("--word-times", help="Words with their times in json, vtt and tsv; in srt, a cue a word.")
    ] = False,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", help="A file for each input goes here, instead of standard output.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave inputs alone whose output is there.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there in --output-dir.")] = False,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the speech, such as en: refused if the model's is another.")
    ] = None,
    vad: Annotated[
        bool,
        typer.Option(
            "--vad/--no-vad", help="Whether a network decides what is speech. Without: all but pauses is recognised."
        ),
    ] = True,
    batch_seconds: Annotated[
        float | None, typer.Option(help="Seconds of audio recognised at a time, padding included. Default: 120.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu or gpu. Default: cpu.")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Default: as many as there are cores.")
    ] = None,
    head: HeadKind = None,
    greedy: Greedy = False,
    lm: Lm = None,
    lexicon: LexiconFile = None,
    hotwords: HotwordsFile = None,
    beam_size: BeamSize = None,
    nbest: Nbest = None,
    lm_weight: LmWeight = None,
    word_score: WordScore = None,
    unk_score: UnkScore = None,
    unk_letter_score: UnkLetterScore = None,
    prior_weight: PriorWeight = None,
    hotword_boost: HotwordBoost = None,
    temperature: Temperature = None,
    beam_threshold: BeamThreshold = None,
    token_threshold: TokenThreshold = None,
    lm_unit: LmUnit = None,
    warps: Warps = None,
) -> None:
    """Transcribe audio files.

    On standard output, txt is the text of a single file, a line a segment, else `file<TAB>text` a line; json is an
    object a line.
    A file that cannot be read is named on standard error, the others are done, and the exit code is 1.
    """
    from asr.files import make_folder

    formats = _formats(format or ["txt"], output_dir is not None)
    if skip_existing and output_dir is None:
        raise InputError("means nothing without --output-dir", where="--skip-existing")
    inputs, problems = _inputs(audio)
    outputs = _outputs(inputs, output_dir) if output_dir else {}
    if output_dir:
        make_folder(output_dir)
    already = 0
    if skip_existing:
        waiting = [
            (path, base)
            for path, base in inputs
            if not all(_with_suffix(outputs[path], each).exists() for each in formats)
        ]
        say(f"asr: {len(inputs) - len(waiting)} inputs have their output already")
        if inputs and not waiting and not problems:
            return
        already = len(inputs) - len(waiting)
        inputs = waiting
    for problem in problems:
        print(f"asr: error: {on_one_line(problem)}", file=sys.stderr)
    if not inputs:
        raise typer.Exit(1 if already else 2)
    files = [_with_suffix(outputs[path], each) for path, _ in inputs for each in formats if path in outputs]
    _check_outputs(files, [path for path, _ in inputs], keep=skip_existing, overwrite=overwrite)

    ready_torch()
    from asr.transcriber import Transcriber

    decoding = given(
        greedy=greedy or None,
        lm=lm,
        lexicon=lexicon,
        hotwords=hotwords,
        beam_size=beam_size,
        nbest=nbest,
        lm_weight=lm_weight,
        word_score=word_score,
        unk_score=unk_score,
        unk_letter_score=unk_letter_score,
        prior_weight=prior_weight,
        hotword_boost=hotword_boost,
        temperature=temperature,
        beam_threshold=beam_threshold,
        token_threshold=token_threshold,
        lm_unit=lm_unit,
        warps=numbers_of(warps),
    )
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    transcriber = Transcriber.load(model, head=head, vad=vad, **given(threads=threads, device=device), **decoding)
    if language is not None:
        _check_language(language, transcriber.model.config.text.language, model)
    delivery = _Delivery(
        *(transcriber, inputs, outputs, formats, word_times),
        alone=len(inputs) + len(problems) == 1,
        keep=skip_existing,
    )
    sources = ((_source(path), "standard input" if path == "-" else path) for path, _ in inputs)
    try:
        with _stopping(transcriber):
            for number, event in transcriber.listen(sources, **given(batch_seconds=batch_seconds)):
                delivery.take(number, event)
    except BaseException:  # a second Ctrl-C, too, keeps what was heard by then
        delivery.interrupted()
        raise
    delivery.progress.clear()
    failed = delivery.failed + len(problems)
    say(f"asr: {delivery.progress.summary()}" + (f", {failed} failed" if failed else ""))
    log.debug("seconds: %s", ", ".join(f"{what} {seconds:.1f}" for what, seconds in transcriber.seconds.items()))
    if delivery.stopped:
        raise KeyboardInterrupt
    if failed:
        raise typer.Exit(1 if delivery.done + already else 2)


@contextmanager
def _stopping(transcriber: Transcriber) -> Iterator[None]:
    """The first Ctrl-C ends the audio; what was read is still recognised, unless there is a second."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        say("asr: stopping: what was read is still recognised; Ctrl-C again: only what was recognised is kept")
        transcriber.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Delivery:
    """Writes what is heard where it is wanted."""

    def __init__(
        self,
        transcriber: Transcriber,
        inputs: list[tuple[str, Path]],
        outputs: dict[str, Path],
        formats: list[str],
        word_times: bool,
        alone: bool,
        keep: bool,
    ) -> None:
        from asr.cli.display import TranscriptionProgress

        self.transcriber, self.outputs, self.formats, self.word_times = transcriber, outputs, formats, word_times
        self.paths = [path for path, _ in inputs]
        self.alone = alone  # a single input, whose text needs no name
        self.keep = keep  # the files that are there
        self.progress = TranscriptionProgress(self.paths)
        self.segments: list[Segment] = []
        self.number = self.done = self.failed = 0
        self.stopped = False

    def take(self, number: int, event: Segment | Ended) -> None:
        """A segment of an input, or its end."""
        from asr.transcript import Segment

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

    def _write(self, duration: float) -> None:
        path = self.paths[self.number]
        for each in self.formats:
            if self.outputs:
                file = _with_suffix(self.outputs[path], each)
                if not (self.keep and file.exists()):
                    self._write_file(file, each, duration)
                _part(self.outputs[path], each).unlink(missing_ok=True)  # of an earlier time
            elif each != "txt":
                self._print(self._text(each, duration))
            elif not self.alone:
                text = self.transcriber.transcript(path, self.segments, duration).text
                self._print(f"{on_one_line(path)}\t{text}\n")
            elif not self.segments:
                self._print("\n")

    def _write_part(self, duration: float) -> None:
        """What came before an end that did not come: beside where the whole would be."""
        if not self.segments:
            return
        if not self.outputs:
            if self.alone and self.formats != ["txt"]:
                self._print(self._text(self.formats[0], duration))
            return
        path = self.paths[self.number]
        for each in self.formats:
            part = _part(self.outputs[path], each)
            try:
                self._write_file(part, each, duration)
            except InputError as e:
                print(f"asr: error: {e}", file=sys.stderr)
                return
            print(f"asr: what was heard of it is in {on_one_line(str(part))}", file=sys.stderr)

    def _write_file(self, path: Path, format: str, duration: float) -> None:
        from asr.files import make_folder, write_text

        make_folder(path.parent)
        write_text(path, self._text(format, duration))

    def _text(self, format: str, duration: float) -> str:
        from asr.formats import FORMATS

        transcript = self.transcriber.transcript(self.paths[self.number], self.segments, duration)
        return FORMATS[format](transcript, self.word_times)

    def _print(self, text: str) -> None:
        self.progress.clear()
        print(text, end="", flush=True)


def _check_outputs(files: list[Path], inputs: list[str], *, keep: bool, overwrite: bool) -> None:
    """Nothing of somebody else's is written over."""
    heard = {Path(path).resolve() for path in inputs if path != "-"}
    for file in files:
        if file.resolve() in heard:
            raise InputError("is an input, and would be written over", where=file, remedy="choose another --output-dir")
    there = [file for file in files if file.exists()] if not (keep or overwrite) else []
    if there:
        others = f", as are {len(there) - 1:,} others" if len(there) > 1 else ""
        remedy = "--skip-existing leaves them, --overwrite replaces them"
        raise InputError(f"is there already{others}", where=there[0], remedy=remedy)


def _check_language(asked: str, known: str, model: str) -> None:
    if known and asked.lower().split("-")[0] != known.lower().split("-")[0]:
        raise InputError(f"is of the language {known}, not {asked}", where=model, remedy="`asr models` lists others")


def _source(path: str) -> BinaryIO | str:
    if path == "-":
        return sys.stdin.buffer if sys.stdin is not None else io.BytesIO()
    return path


def _inputs(audio: list[str]) -> tuple[list[tuple[str, Path]], list[str]]:
    """Each input with the folder that its output's path is relative to, and what is wrong with the rest."""
    from asr.audio import find_audio

    found: dict[Path, tuple[str, Path]] = {}  # by the file itself: the same one is done once
    problems = []
    for word in audio:
        path = Path(word)
        try:
            if not word:
                problems.append("'': is no name of a file")
            elif word != "-" and path.is_dir():
                files = find_audio(path)
                for file in files:
                    found.setdefault(file.resolve(), (str(file), path))
                if not files:
                    problems.append(f"{word}: holds no audio file")
            else:
                found.setdefault(path if word == "-" else path.resolve(), (word, path.parent))
        except (OSError, RuntimeError) as e:  # a name that is too long, links that lead to themselves
            problems.append(f"{word}: cannot be opened ({getattr(e, 'strerror', None) or e})")
    return list(found.values()), problems


def _formats(words: list[str], to_files: bool) -> list[str]:
    """Names of formats; in any case of their letters, commas between, `all`."""
    from asr.formats import FORMATS

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


def _outputs(inputs: list[tuple[str, Path]], folder: Path) -> dict[str, Path]:
    """Where each input's text goes, without the format's suffix: its name, with its own suffix where two would meet."""

    def names(keep_suffix: bool) -> Iterator[tuple[str, Path]]:
        for path, base in inputs:
            inside = Path("stdin") if path == "-" else Path(path).relative_to(base)
            yield path, inside.with_name(inside.name if keep_suffix else inside.stem)

    short, whole = dict(names(False)), dict(names(True))
    times = Counter(short.values())
    result = {path: folder / (whole[path] if times[short[path]] > 1 else short[path]) for path in short}
    if len(set(result.values())) < len(result):
        twice = next(path for path, times in Counter(result.values()).items() if times > 1)
        both = " and ".join(path for path in result if result[path] == twice)
        raise InputError(
            f"{both} would both be written as {twice.name}",
            where="AUDIO",
            remedy="transcribe them into folders of their own",
        )
    return result


def _part(path: Path, format: str) -> Path:
    return _with_suffix(path, f"partial.{format}")


def _with_suffix(path: Path, format: str) -> Path:
    return path.with_name(f"{path.name}.{format}")
