"""asr score"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.common import Translation

if TYPE_CHECKING:
    from asr.evaluate.wer import Scores, Unit


def score(
    reference: Annotated[Path, typer.Argument(metavar="REF", help="The right texts.")],
    hypotheses: Annotated[
        list[Path], typer.Argument(metavar="HYP ...", help="The texts to score; several are compared.")
    ],
    lines: Annotated[
        bool, typer.Option("--lines", help="Plain lines, paired in order; else each line begins with its id.")
    ] = False,
    unit: Annotated[
        str | None,
        typer.Option(help="What errors are counted in: words or characters. Default: words, if the script has spaces."),
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option(help="`id speaker` a line, for intervals. Default: as JSON lines say.")
    ] = None,
    translation: Translation = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Word and character error rate of text files against another, how sure they are, and which is better.

    Files hold `id text` a line, as Kaldi's, `text (id)`, as sclite's, or JSON lines with `id` and `text`
    (hypotheses.jsonl). Texts are compared as they are: case and punctuation count, and what only they cost is said.
    """
    from asr.evaluate.significance import compare, confidence_interval, interval_facts
    from asr.evaluate.texts import pair, read_lines, read_speakers, read_texts
    from asr.evaluate.wer import score as score_texts, spelling_errors
    from asr.text.normalize import has_word_spaces
    from asr.utils.errors import InputError

    read = read_lines if lines else read_texts
    references = read(reference)
    if unit not in (None, "words", "characters"):
        raise InputError(f"{unit!r} is neither words nor characters", where="--unit")
    counted = unit or ("words" if has_word_spaces(references.values()) else "characters")
    of_speaker = read_speakers(speakers) if speakers else {}
    systems: dict[str, Scores] = {}
    unpaired: list[dict[str, list[str]]] = []
    for path, name in zip(hypotheses, _names(hypotheses), strict=True):
        texts = read(path, empty=True)
        said, heard, notes = pair(references, texts)
        for note in notes:
            print(f"asr: {path}: {note}", file=sys.stderr)
        in_unit: Unit = "characters" if counted == "characters" else "words"
        systems[name] = score_texts(said, heard, unit=in_unit, translation=translation)
        unpaired.append(
            {
                "missing": [key for key in references if key not in texts],
                "extra": [key for key in texts if key not in references],
            }
        )
    if not speakers and not lines:
        for path in [reference, *hypotheses]:
            of_speaker |= read_speakers(path, texts=True)
    if speakers and (unknown := [key for key in references if key not in of_speaker]):
        print(f"asr: {speakers}: {len(unknown)} references have no speaker (first: {unknown[0]})", file=sys.stderr)
    voices = [of_speaker.get(key, "") for key in references]

    facts: list[dict[str, Any]] = []
    for (name, scores), ids in zip(systems.items(), unpaired, strict=True):
        interval = confidence_interval(scores.each, voices)
        spelling = spelling_errors(scores)
        facts.append({**scores.as_dict(), **interval_facts(interval), "spelling": spelling, **ids})
        if as_json:
            continue
        print(f"{name}: {scores}" if len(systems) > 1 else scores)
        if interval:
            why = f" ({interval.why})" if interval.why else ""
            print(f"  95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %, over {interval.over}{why}")
        if kinds := ", ".join(f"{kind} {n}" for kind, n in spelling.items() if n):
            print(f"  {sum(spelling.values())} of {scores.error.errors} errors are spelling alone: {kinds}")
    found = compare(systems, voices) if len(systems) > 1 and next(iter(systems.values())).error.length else []
    if as_json:
        several = {
            "systems": [{"name": name, **each} for name, each in zip(systems, facts, strict=True)],
            "comparisons": [each.as_dict() for each in found],
        }
        print(json.dumps(several if len(systems) > 1 else facts[0], ensure_ascii=False, allow_nan=False))
    elif found:
        print()
        for each in found:
            print(each)


def _names(paths: list[Path]) -> list[str]:
    """Short ones that are different: file names, or paths where these are the same."""
    names = [path.name for path in paths]
    if len(set(names)) < len(set(paths)):
        names = [str(path) for path in paths]
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:  # the same file twice
            names[i] = f"{name} ({seen[name]})"
    return names
