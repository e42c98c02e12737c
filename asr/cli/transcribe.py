"""asr transcribe"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator
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
from asr.errors import on_one_line

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
    from asr.errors import InputError
    from asr.files import make_folder

    formats = _formats(format or ["txt"], output_dir is not None)
    if skip_existing and output_dir is None:
        raise InputError("means nothing without --output-dir", where="--skip-existing")
    inputs, problems = _inputs(audio)
    outputs = _outputs(inputs, output_dir) if output_dir else {}
    if output_dir:
        make_folder(output_dir)
    if skip_existing:
        waiting = [
            (path, base)
            for path, base in inputs
            if not all(_with_suffix(outputs[path], each).exists() for each in formats)
        ]
        say(f"asr: {len(inputs) - len(waiting)} inputs have their output already")
        if inputs and not waiting and not problems:
            return
        inputs = waiting
    for problem in problems:
        print(f"asr: error: {problem}", file=sys.stderr)
    if not inputs:
        raise typer.Exit(2)

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
    delivery = _Delivery(transcriber, inputs, outputs, formats, word_times, alone=len(inputs) + len(problems) == 1)
    sources = ((_source(path), "standard input" if path == "-" else path) for path, _ in inputs)
    try:
        for number, event in transcriber.listen(sources, **given(batch_seconds=batch_seconds)):
            delivery.take(number, event)
    finally:  # Ctrl-C, too, keeps what was heard
        delivery.stop()
    done, failed = delivery.done, delivery.failed + len(problems)
    say(f"asr: {delivery.progress.summary()}" + (f", {failed} failed" if failed else ""))
    log.info("seconds: %s", ", ".join(f"{what} {seconds:.1f}" for what, seconds in transcriber.seconds.items()))
    if failed:
        raise typer.Exit(1 if done else 2)


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
    ) -> None:
        from asr.cli.display import TranscriptionProgress

        self.transcriber, self.outputs, self.formats, self.word_times = transcriber, outputs, formats, word_times
        self.paths = [path for path, _ in inputs]
        self.alone = alone  # a single input, whose text needs no name
        self.progress = TranscriptionProgress(self.paths)
        self.segments: list[Segment] = []
        self.number = self.done = self.failed = 0

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
        if event.error is None:
            self.done += 1
            self._write(event.duration)
        else:
            self.failed += 1
            self.progress.clear()
            print(f"asr: error: {event.error}", file=sys.stderr)
            self._write_part(event.duration)
        self.segments.clear()

    def stop(self) -> None:
        """Keeps what was heard of an input that has not ended."""
        self.progress.clear()
        if self.segments:
            self._write_part(self.segments[-1].end)

    def _write(self, duration: float) -> None:
        path = self.paths[self.number]
        for each in self.formats:
            if self.outputs:
                self._write_file(_with_suffix(self.outputs[path], each), each, duration)
            elif each != "txt":
                self._print(self._text(each, duration))
            elif not self.alone:
                text = self.transcriber.transcript(path, self.segments, duration).text
                self._print(f"{on_one_line(path)}\t{text}\n")
            elif not self.segments:
                self._print("\n")

    def _write_part(self, duration: float) -> None:
        """What came before an end that did not come: beside where the whole would be."""
        if self.segments and self.outputs:
            path = self.paths[self.number]
            for each in self.formats:
                part = _with_suffix(self.outputs[path], f"partial.{each}")
                self._write_file(part, each, duration)
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


def _check_language(asked: str, known: str, model: str) -> None:
    from asr.errors import InputError

    if known and asked.lower().split("-")[0] != known.lower().split("-")[0]:
        raise InputError(f"is of the language {known}, not {asked}", where=model, remedy="`asr models` lists others")


def _source(path: str) -> BinaryIO | str:
    return sys.stdin.buffer if path == "-" else path


def _inputs(audio: list[str]) -> tuple[list[tuple[str, Path]], list[str]]:
    """Each input with the folder that its output's path is relative to, and what is wrong with the rest."""
    from asr.audio import find_audio

    found: dict[Path, tuple[str, Path]] = {}  # by the file itself: the same one is done once
    problems = []
    for word in audio:
        path = Path(word)
        if word != "-" and path.is_dir():
            files = find_audio(path)
            for file in files:
                found.setdefault(file.resolve(), (str(file), path))
            if not files:
                problems.append(f"{word}: holds no audio file")
        else:
            found.setdefault(path if word == "-" else path.resolve(), (word, path.parent))
    return list(found.values()), problems


def _formats(words: list[str], to_files: bool) -> list[str]:
    """Names of formats; in any case of their letters, commas between, `all`."""
    from asr.errors import InputError
    from asr.formats import FORMATS

    known = {name.lower(): name for name in FORMATS}
    found: list[str] = []
    for word in ",".join(words).lower().split(","):
        if word.strip() not in {*known, "all"}:
            remedy = f"there are {', '.join(FORMATS)} and all"
            raise InputError(f"no format {word.strip()!r}", where="--format", remedy=remedy)
        found += FORMATS if word.strip() == "all" else [known[word.strip()]]
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
        from asr.errors import InputError

        raise InputError(
            "two inputs have the same name", where="AUDIO", remedy="transcribe them into folders of their own"
        )
    return result


def _with_suffix(path: Path, format: str) -> Path:
    return path.with_name(f"{path.name}.{format}")
