"""asr transcribe"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from asr.cli.common import (
    AttentionBeam,
    BeamSize,
    BeamThreshold,
    CtcWeight,
    EndFactor,
    Greedy,
    HeadKind,
    HotwordBoost,
    HotwordsFile,
    LengthNorm,
    LengthReward,
    LexiconFile,
    Lm,
    LmUnit,
    LmWeight,
    Nbest,
    PriorWeight,
    Rescore,
    RescoreBeam,
    RescoreWeight,
    SearchName,
    Temperature,
    TokenThreshold,
    UnkLetterScore,
    UnkScore,
    Warps,
    WordScore,
    given,
    numbers_of,
    say,
)
from asr.cli.outputs import (
    Delivery,
    check_folder,
    check_outputs,
    elan_file_of,
    formats_of,
    is_there,
    outputs_of,
    with_suffix,
)
from asr.models.hub import find_model
from asr.utils.device import configure_torch
from asr.utils.errors import InputError
from asr.utils.unicode import on_one_line

if TYPE_CHECKING:
    from asr.inference.transcriber import Transcriber

log = logging.getLogger(__name__)

_JOINED = ("txt", "json", "ctm")  # formats that tell on standard output what is of which input


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
            help="txt, json, srt, vtt, tsv, ctm, TextGrid, eaf; several, commas between; or all. txt where left out.",
        ),
    ] = None,
    word_times: Annotated[
        bool, typer.Option("--word-times", help="Words with their times in json, vtt and tsv; in srt, a cue a word.")
    ] = False,
    tier: Annotated[str | None, typer.Option("--tier", help="eaf: the name of the tier. Default: transcript.")] = None,
    check_below: Annotated[
        float | None,
        typer.Option(
            "--check-below",
            min=0.0,
            max=1.0,
            help="eaf, TextGrid: a tier of the words of a lower confidence. Default: 0.5 in eaf, none in TextGrid.",
        ),
    ] = None,
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
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="fp32 or bf16, which is faster where the machine has it. Default: fp32."),
    ] = None,
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
    search: SearchName = None,
    attention_beam: AttentionBeam = None,
    ctc_weight: CtcWeight = None,
    length_reward: LengthReward = None,
    length_norm: LengthNorm = None,
    end_factor: EndFactor = None,
    rescore: Rescore = None,
    rescore_weight: RescoreWeight = None,
    rescore_beam: RescoreBeam = None,
) -> None:
    """Transcribe audio files.

    On standard output, txt is the text of a single file, a line a segment, else `file<TAB>text` a line; json is an
    object a line.
    A file that cannot be read is named on standard error, the others are done, and the exit code is 1.
    """
    formats = formats_of(format or ["txt"], output_dir is not None)
    if output_dir is None and (skip_existing or overwrite):
        raise InputError("means nothing without --output-dir", where="--skip-existing, --overwrite")
    if skip_existing and overwrite:
        raise InputError("contradict each other", where="--skip-existing, --overwrite")
    if output_dir is None and sys.stdout is None:
        raise InputError("is closed: there is nowhere to write to", where="standard output", remedy="name --output-dir")
    find_model(model)  # what is not there is told before anything is made, or torch imported
    for file in (lm, lexicon, hotwords, rescore):
        if file is not None and not Path(file).exists():
            raise InputError("no such file", where=file, remedy="check the path")
    inputs, problems = _inputs(audio)
    if output_dir is None and len(inputs) > 1 and formats[0] not in _JOINED:
        remedy = "name a folder for the files"
        raise InputError(f"{formats[0]} of several inputs needs --output-dir", where="--format", remedy=remedy)
    if nbest is not None and nbest > 1 and "json" not in formats:
        log.warning("--nbest: other readings are in json alone; segments are whole pieces, not cut at pauses")
    if word_times and formats == ["txt"]:
        log.warning("--word-times: txt has no times; --format json, vtt, tsv and srt have")
    if tier is not None and "eaf" not in formats:
        log.warning("--tier: is of --format eaf")
    if check_below is not None and {"eaf", "TextGrid"}.isdisjoint(formats):
        log.warning("--check-below: is of --format eaf and TextGrid; json and ctm have each word's confidence")
    outputs = outputs_of(inputs, output_dir) if output_dir else {}
    if output_dir:
        check_folder(output_dir)
    already = 0
    if skip_existing:
        waiting = [
            (path, base)
            for path, base in inputs
            if not all(is_there(with_suffix(outputs[path], each)) for each in formats)
        ]
        there = len(inputs) - len(waiting)
        say(f"asr: {there} {'input has its' if there == 1 else 'inputs have their'} output already")
        if inputs and not waiting and not problems:
            return
        already = len(inputs) - len(waiting)
        inputs = waiting
    if "eaf" in formats:  # what cannot be written is told before anything is heard
        from asr.data.elan_writer import check_tier_name, check_tiers

        if tier is not None:
            check_tier_name(tier)
        for path, base in list(inputs):
            try:
                if output_dir is not None and (own := elan_file_of(path)) is not None:
                    check_tiers(own, tier or "transcript")
            except InputError as e:
                problems.append(str(e))
                inputs.remove((path, base))
    for problem in problems:
        print(f"asr: error: {on_one_line(problem)}", file=sys.stderr)
    if not inputs:
        raise typer.Exit(1 if already else 2)
    files = [with_suffix(outputs[path], each) for path, _ in inputs for each in formats if path in outputs]
    read = [path for path, _ in inputs]
    read += [str(own) for path, _ in inputs if "eaf" in formats and (own := elan_file_of(path)) is not None]
    check_outputs(files, read, keep=skip_existing, overwrite=overwrite)

    # oneDNN keeps what it compiled for each length of audio, 1,024 of them: memory would grow for hours.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    configure_torch()
    from asr import load

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
        search=search,
        attention_beam=attention_beam,
        ctc_weight=ctc_weight,
        length_reward=length_reward,
        length_norm=length_norm,
        end_factor=end_factor,
        rescore=rescore,
        rescore_weight=rescore_weight,
        rescore_beam=rescore_beam,
    )
    if threads is not None:
        import torch

        if threads > (cores := os.cpu_count() or threads):
            log.warning("--threads %d: there are %d cores; more threads would only wait for each other", threads, cores)
            threads = cores
        torch.set_num_threads(threads)
    machine = given(threads=threads, device=device, precision=precision)
    sure = {"json", "ctm"} | ({"eaf"} if check_below != 0 else set()) | ({"TextGrid"} if check_below else set())
    machine["confidences"] = not sure.isdisjoint(formats)  # others do not show them
    transcriber = load(model, head=head, vad=vad, **machine, **decoding)
    if transcriber.decoding.units:
        others = [kind for kind in transcriber.model.heads if kind != "phones"]
        instead = f"; --head {others[0]} gives {others[0]}" if others else ""
        log.warning("%s is of phones, and with --greedy no lexicon makes words of them%s", model, instead)
    if language is not None:
        _check_language(language, transcriber.model.config.text.language, model)
    delivery = Delivery(
        *(transcriber, inputs, outputs, formats, word_times),
        options={"eaf": given(tier=tier, check_below=check_below), "TextGrid": given(check_below=check_below)},
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


def _check_language(asked: str, known: str, model: str) -> None:
    if known and asked.lower().split("-")[0] != known.lower().split("-")[0]:
        raise InputError(f"is of the language {known}, not {asked}", where=model, remedy="`asr models` lists others")


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
        path = Path(word)
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
                problems.append(f"{word}: no such file; check the path")
            else:
                path.resolve()  # raises where links lead to themselves
                found.setdefault(path if word == "-" else path.parent.resolve() / path.name, (word, path.parent))
        except (OSError, RuntimeError) as e:  # a name that is too long, links that lead to themselves
            problems.append(f"{word}: cannot be opened ({getattr(e, 'strerror', None) or e})")
    return list(found.values()), problems
