"""asr transcribe"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

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


def transcribe(
    audio: Annotated[
        list[str],
        typer.Argument(metavar="AUDIO ...", help="Files, folders (searched for audio), or - for standard input."),
    ],
    model: Annotated[str, typer.Option("--model", help="A model folder, or the name of a shipped model.")] = ...,  # type: ignore[assignment]
    format: Annotated[str, typer.Option("--format", help="txt or json (words with times and confidence).")] = "txt",
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", help="A file for each input goes here, instead of standard output.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave inputs alone whose output is there.")
    ] = False,
    batch_seconds: Annotated[
        float | None, typer.Option(help="Seconds of audio recognised at a time, padding included. Default: 60.")
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

    On standard output, txt is the text of a single file, else `file<TAB>text` a line; json is an object a line.
    A file that cannot be read is named on standard error, the others are done, and the exit code is 1.
    """
    from asr.errors import InputError
    from asr.files import make_folder, write_text
    from asr.formats import FORMATS

    if format not in FORMATS:
        raise InputError(f"no format {format!r}", where="--format", remedy=f"there are {', '.join(FORMATS)}")
    if skip_existing and output_dir is None:
        raise InputError("means nothing without --output-dir", where="--skip-existing")
    inputs, problems = _inputs(audio)
    outputs = _outputs([(path, base) for path, base in inputs], output_dir, format) if output_dir else {}
    if output_dir:
        make_folder(output_dir)
    if skip_existing:
        waiting = [(path, base) for path, base in inputs if not (path in outputs and outputs[path].exists())]
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
    transcriber = Transcriber.load(model, head=head, **decoding)
    sources = ((_source(path), "standard input" if path == "-" else path) for path, _ in inputs)
    results = transcriber.transcribe_all(sources, **given(batch_seconds=batch_seconds))
    failed = len(problems)
    for (path, _), result in zip(inputs, results, strict=True):
        if isinstance(result, InputError):
            failed += 1
            print(f"asr: error: {result}", file=sys.stderr)
            continue
        text = FORMATS[format](result)
        if output_dir:
            write_text(outputs[path], text)
        elif format == "txt" and len(inputs) + len(problems) > 1:
            print(f"{path}\t{text}", end="", flush=True)
        else:
            print(text, end="", flush=True)
    if failed:
        done = len(inputs) + len(problems) - failed
        say(f"asr: {done} done, {failed} failed")
        raise typer.Exit(1 if done else 2)


def _source(path: str) -> bytes | str:
    return sys.stdin.buffer.read() if path == "-" else path


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


def _outputs(inputs: list[tuple[str, Path]], folder: Path, format: str) -> dict[str, Path]:
    """Where each input's text goes: its name with the format's suffix, its own kept where two would meet."""

    def names(keep_suffix: bool) -> Iterator[tuple[str, Path]]:
        for path, base in inputs:
            inside = Path("stdin") if path == "-" else Path(path).relative_to(base)
            yield path, inside.with_name(f"{inside.name if keep_suffix else inside.stem}.{format}")

    short = dict(names(False))
    whole = dict(names(True))
    times = Counter(short.values())
    result = {path: folder / (whole[path] if times[short[path]] > 1 else short[path]) for path in short}
    if len(set(result.values())) < len(result):
        from asr.errors import InputError

        raise InputError(
            "two inputs have the same name", where="AUDIO", remedy="transcribe them into folders of their own"
        )
    return result
