"""asr transcribe"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from asr.cli.common import Channel, Device, ModelName, Tier, Track, as_option, channel_of, given, say, takes_decoding
from asr.cli.outputs import Delivery, Source, check_folder, check_outputs, elan_file_of, formats_of, outputs_of
from asr.data.formats import ONE_FILE
from asr.models.hub import find_model
from asr.utils.device import configure_torch
from asr.utils.errors import InputError
from asr.utils.files import find_path, is_there, no_such_file
from asr.utils.unicode import on_one_line

if TYPE_CHECKING:
    from asr.inference.transcriber import Transcriber

log = logging.getLogger(__name__)

_JOINED = ("txt", "json", "ctm")  # formats that tell on standard output what is of which input

_Audio = Annotated[
    list[str], typer.Argument(metavar="AUDIO ...", help="Files, folders (searched for audio), or - for standard input.")
]
_Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        help="txt, json, srt, vtt, tsv, ctm, TextGrid, eaf; several, commas between; or all. txt where left out.",
    ),
]
_WordTimes = Annotated[
    bool, typer.Option("--word-times", help="Words with their times in json, vtt and tsv; in srt, a cue a word.")
]
_CheckBelow = Annotated[
    float | None,
    typer.Option(
        "--check-below",
        min=0.0,
        max=1.0,
        help="eaf, TextGrid: a tier of the words of a lower confidence. Default: 0.5 in eaf, none in TextGrid.",
    ),
]
_OutputDir = Annotated[
    Path | None, typer.Option("--output-dir", help="A file for each input goes here, instead of standard output.")
]
_SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Leave inputs alone whose output is there.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there in --output-dir.")]
_Language = Annotated[
    str | None, typer.Option("--language", help="Of the speech, such as en: refused if the model's is another.")
]
_Vad = Annotated[
    bool,
    typer.Option(
        "--vad/--no-vad", help="Whether a network decides what is speech. Without: all but pauses is recognised."
    ),
]
_BatchSeconds = Annotated[
    float | None, typer.Option(help="Seconds of audio recognised at a time, padding included. Default: 120.")
]
_Precision = Annotated[
    str | None,
    typer.Option("--precision", help="fp32 or bf16, which is faster where the machine has it. Default: fp32."),
]
_Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Default: as many as there are cores.")]


@takes_decoding()
def transcribe(
    audio: _Audio,
    *,
    model: ModelName,
    format: _Formats = None,
    word_times: _WordTimes = False,
    tier: Tier = None,
    check_below: _CheckBelow = None,
    output_dir: _OutputDir = None,
    skip_existing: _SkipExisting = False,
    overwrite: _Overwrite = False,
    channel: Channel = None,
    track: Track = None,
    language: _Language = None,
    vad: _Vad = True,
    batch_seconds: _BatchSeconds = None,
    device: Device = None,
    precision: _Precision = None,
    threads: _Threads = None,
    decoding: dict[str, Any],
) -> None:
    """Transcribe audio files.

    On standard output, txt is the text of a single file, a line a segment, else `file<TAB>text` a line; json is an
    object a line.
    A file that cannot be read is named on standard error, the others are done, and the exit code is 1.
    """
    wanted = Wanted(
        formats=formats_of(format or ["txt"], output_dir is not None),
        word_times=word_times,
        tier=tier,
        check_below=check_below,
        output_dir=output_dir,
        skip_existing=skip_existing,
        overwrite=overwrite,
        channel=channel_of(channel),
        track=track,
    )
    wanted.check()
    find_model(model)  # what is not there is told before anything is made, or torch imported
    for file in (decoding.get(name) for name in ("lm", "lexicon", "hotwords", "rescore")):
        if file is not None and not file.exists():
            raise InputError("no such file", where=file, remedy="check the path")
    if decoding.get("nbest", 1) > 1 and "json" not in wanted.formats:
        log.warning("--nbest: other readings are in json alone; segments are whole pieces, not cut at pauses")
    plan = wanted.plan(audio)

    # oneDNN keeps what it compiled for each length of audio, 1,024 of them: memory would grow for hours.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    configure_torch()
    from asr import load

    machine = given(threads=_limited(threads), device=device, precision=precision)
    transcriber = load(model, vad=vad, confidences=wanted.confidences, **machine, **decoding)
    _check_model(transcriber, model, language)
    plan.run(transcriber, **given(batch_seconds=batch_seconds))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Holds the options that say what to write, and where."""

    formats: list[str]
    word_times: bool
    tier: str | None
    check_below: float | None
    output_dir: Path | None
    skip_existing: bool
    overwrite: bool
    channel: Literal["mix", "each"] | int
    track: int | None

    def check(self) -> None:
        """Refuses options that contradict each other, and names those that mean nothing."""
        if self.output_dir is None and (self.skip_existing or self.overwrite):
            raise InputError("means nothing without --output-dir", where="--skip-existing, --overwrite")
        if self.skip_existing and self.overwrite:
            raise InputError("contradict each other", where="--skip-existing, --overwrite")
        if self.output_dir is None and sys.stdout is None:
            remedy = "name --output-dir"
            raise InputError("is closed: there is nowhere to write to", where="standard output", remedy=remedy)
        if self.word_times and self.formats == ["txt"]:
            log.warning("--word-times: txt has no times; --format json, vtt, tsv and srt have")
        if self.tier is not None and "eaf" not in self.formats:
            log.warning("--tier: is of --format eaf")
        if self.check_below is not None and {"eaf", "TextGrid"}.isdisjoint(self.formats):
            log.warning("--check-below: is of --format eaf and TextGrid; json and ctm have each word's confidence")

    @property
    def confidences(self) -> bool:
        """Returns whether a format shows the confidences of words."""
        marked = ({"eaf"} if self.check_below != 0 else set()) | ({"TextGrid"} if self.check_below else set())
        return not ({"json", "ctm"} | marked).isdisjoint(self.formats)

    def plan(self, audio: list[str]) -> Plan:
        """Lists the inputs to transcribe and their outputs, and names inputs that cannot be transcribed.

        Raises:
            typer.Exit: There is nothing to do.
        """
        inputs, problems = _inputs(audio)
        if self.output_dir is None and len(inputs) > 1 and self.formats[0] not in _JOINED:
            raise self._needs_folder("inputs")
        plan = Plan(self, inputs, problems)
        plan.find_sources()
        if self.output_dir is not None:
            check_folder(self.output_dir)
            plan.outputs = outputs_of(inputs, self.output_dir)
        elif self.formats[0] not in (*_JOINED, *ONE_FILE) and any(source.several for source in plan.sources):
            raise self._needs_folder("channels")
        if self.skip_existing:
            plan.skip_existing()
        if "eaf" in self.formats:
            plan.check_tiers()
        for problem in problems:
            print(f"asr: error: {on_one_line(problem)}", file=sys.stderr)
        if not plan.inputs:
            raise typer.Exit(1 if plan.already else 2)
        plan.check_outputs()
        return plan

    def _needs_folder(self, what: str) -> InputError:
        remedy = "name a folder for the files"
        return InputError(f"{self.formats[0]} of several {what} needs --output-dir", where="--format", remedy=remedy)


@dataclass
class Plan:
    """Inputs, each with the folder that its output's path is relative to."""

    wanted: Wanted
    inputs: list[tuple[str, Path]]
    problems: list[str]  # with the others
    outputs: dict[str, Path] = field(default_factory=dict)  # without the formats' suffixes
    already: int = 0  # inputs that were done before
    sources_of: dict[str, list[Source]] = field(default_factory=dict)  # an input: it, or each of its channels
    opened: ExitStack = field(default_factory=ExitStack)

    @property
    def sources(self) -> list[Source]:
        """Returns what is transcribed, in its order."""
        return [source for path, _ in self.inputs for source in self.sources_of[path]]

    def find_sources(self) -> None:
        """Looks how many channels the inputs have, where each is wanted by itself."""
        from asr.audio.sources import each_channel, select

        channel, track = self.wanted.channel, self.wanted.track
        for path, _ in self.inputs:
            audio, channels = _source(path), []
            if channel == "each":
                try:
                    channels = self.opened.enter_context(each_channel(audio, track, path))
                except InputError:  # reading it will tell
                    if path == "-":
                        raise
            if len(channels) > 1:
                self.sources_of[path] = [Source(path, each, each.channel, several=True) for each in channels]
            elif channels:
                self.sources_of[path] = [Source(path, channels[0])]
            else:
                number = channel if isinstance(channel, int) else None
                self.sources_of[path] = [
                    Source(path, select(audio, "mix" if number is None else number, track), number)
                ]

    def skip_existing(self) -> None:
        """Leaves out inputs that have all their outputs."""
        waiting = [each for each in self.inputs if not all(map(is_there, self._files(each[0])))]
        self.already = len(self.inputs) - len(waiting)
        say(f"asr: {self.already} {'input has its' if self.already == 1 else 'inputs have their'} output already")
        if self.inputs and not waiting and not self.problems:
            raise typer.Exit
        self.inputs = waiting

    def check_tiers(self) -> None:
        """Leaves out inputs beside which lies an ELAN file that has such tiers; before anything is heard."""
        from asr.data.elan_writer import check_tier_name, check_tiers

        if self.wanted.tier is not None:
            check_tier_name(self.wanted.tier)
        for each in list(self.inputs):
            try:
                if self.outputs and (own := elan_file_of(each[0])) is not None:
                    check_tiers(own, self.wanted.tier or "transcript", len(self.sources_of[each[0]]))
            except InputError as e:
                self.problems.append(str(e))
                self.inputs.remove(each)

    def check_outputs(self) -> None:
        """Nothing of somebody else's is written over."""
        files = [file for path, _ in self.inputs for file in self._files(path)]
        read = [path for path, _ in self.inputs]
        if "eaf" in self.wanted.formats:
            read += [str(own) for path, _ in self.inputs if (own := elan_file_of(path)) is not None]
        check_outputs(files, read, keep=self.wanted.skip_existing, overwrite=self.wanted.overwrite)

    def _files(self, path: str) -> list[Path]:
        if not self.outputs:
            return []
        base, formats = self.outputs[path], self.wanted.formats
        return list(dict.fromkeys(source.file(base, each) for source in self.sources_of[path] for each in formats))

    def run(self, transcriber: Transcriber, **options: Any) -> None:
        """Transcribes, and delivers what is heard as it comes.

        Raises:
            typer.Exit: Some inputs failed.
            KeyboardInterrupt: It was stopped.
        """
        delivery = Delivery(transcriber, self)
        sources = ((source.audio, source.name) for source in self.sources)
        try:
            with self.opened, _stopping(transcriber):
                for number, event in transcriber.listen(sources, **options):
                    delivery.take(number, event)
        except BaseException:  # a second Ctrl-C, too, keeps what was heard by then
            delivery.interrupted()
            raise
        delivery.progress.clear()
        failed = delivery.failed + len(self.problems)
        say(f"asr: {delivery.progress.summary()}" + (f", {failed} failed" if failed else ""))
        log.debug("seconds: %s", ", ".join(f"{what} {seconds:.1f}" for what, seconds in transcriber.seconds.items()))
        if delivery.stopped:
            raise KeyboardInterrupt
        if failed:
            raise typer.Exit(1 if delivery.done + self.already else 2)


def _limited(threads: int | None) -> int | None:
    """The threads that were asked for, as far as there are cores; torch takes no more."""
    if threads is None:
        return None
    import torch

    if threads > (cores := os.cpu_count() or threads):
        log.warning("--threads %d: there are %d cores; more threads would only wait for each other", threads, cores)
        threads = cores
    torch.set_num_threads(threads)
    return threads


def _check_model(transcriber: Transcriber, model: str, language: str | None) -> None:
    """Refuses a model of another language, and warns where it writes phones."""
    known = transcriber.model.config.text.language
    if language and known and language.lower().replace("_", "-").partition("-")[0] != known.lower().partition("-")[0]:
        raise InputError(f"is of the language {known}, not {language}", where=model, remedy="`asr models` lists others")
    if transcriber.decoding.units:
        others = [kind for kind in transcriber.model.heads if kind != "phones"]
        instead = f"; --head {others[0]} gives {others[0]}" if others else ""
        log.warning("%s is of phones, and with --greedy no lexicon makes words of them%s", model, instead)


@contextmanager
def _stopping(transcriber: Transcriber) -> Iterator[None]:
    """The first Ctrl-C ends the audio; what was read is still recognised, unless there is a second.

    So does SIGTERM (timeout, docker stop), and SIGHUP, a connection that was lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number in numbers if before[number] is not signal.SIG_IGN]  # of nohup

    def stop(*_: object) -> None:
        for number in taken:
            signal.signal(number, signal.default_int_handler)
        say("asr: stopping: what was read is still recognised; Ctrl-C again: only what was recognised is kept")
        transcriber.stop()

    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def _source(path: str) -> BinaryIO | str:
    if path == "-":
        return sys.stdin.buffer if sys.stdin is not None else io.BytesIO()
    return path


def _inputs(audio: list[str]) -> tuple[list[tuple[str, Path]], list[str]]:
    """Each input with the folder that its output's path is relative to, and what is wrong with the rest."""
    from asr.audio.reader import find_audio

    found: dict[Path, tuple[str, Path]] = {}  # by folder and name: the same one is done once
    problems = []
    for word in audio:
        path = Path(word) if word in ("", "-") else find_path(word)
        name = word if path == Path(word) else str(path)
        try:
            if not word:
                problems.append("'': is no name of a file")
            elif word != "-" and path.is_dir():
                closed: list[OSError] = []
                files = find_audio(path, closed.append)
                for file in files:
                    found.setdefault(file.parent.resolve() / file.name, (str(file), path))
                problems += [f"{e.filename}: cannot be read ({e.strerror})" for e in closed]
                if not files and not closed:
                    problems.append(f"{word}: holds no audio file")
            elif word != "-" and not path.exists():
                remedy = f"options are written so: {option}" if (option := as_option(word)) else "check the path"
                problems.append(str(no_such_file(word, remedy)))
            else:
                path.resolve()  # raises where links lead to themselves
                found.setdefault(path if word == "-" else path.parent.resolve() / path.name, (name, path.parent))
        except (OSError, RuntimeError) as e:  # a name that is too long, links that lead to themselves
            problems.append(f"{word}: cannot be opened ({getattr(e, 'strerror', None) or e})")
    return list(found.values()), problems
