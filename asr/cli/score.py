"""asr score"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.cli.common import Translation


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
    from asr.evaluate.significance import compare
    from asr.evaluate.texts import read_lines, read_speakers, read_texts
    from asr.text.normalize import has_word_spaces
    from asr.utils.errors import InputError

    if unit not in (None, "words", "characters"):
        raise InputError(f"{unit!r} is neither words nor characters", where="--unit")
    read = read_lines if lines else read_texts
    references = read(reference)
    counted = unit or ("words" if has_word_spaces(references.values()) else "characters")
    of_speaker = read_speakers(speakers) if speakers else {}
    if not speakers and not lines:
        for path in [reference, *hypotheses]:
            of_speaker |= read_speakers(path, texts=True)
    if speakers and (unknown := [key for key in references if key not in of_speaker]):
        print(f"asr: {speakers}: {len(unknown)} references have no speaker (first: {unknown[0]})", file=sys.stderr)
    voices = [of_speaker.get(key, "") for key in references]
    systems = [
        _System(name, path, references, read(path, empty=True), voices, unit=counted, translation=translation)
        for path, name in zip(hypotheses, _names(hypotheses), strict=True)
    ]
    if not as_json:
        for system in systems:
            system.tell(named=len(systems) > 1)
    scores = {system.name: system.scores for system in systems}
    found = compare(scores, voices) if len(systems) > 1 and systems[0].scores.error.length else []
    if as_json:
        facts = [system.facts() for system in systems]
        several = {
            "systems": [{"name": system.name, **each} for system, each in zip(systems, facts, strict=True)],
            "comparisons": [each.as_dict() for each in found],
        }
        print(json.dumps(several if len(systems) > 1 else facts[0], ensure_ascii=False, allow_nan=False))
    elif found:
        print("", *found, sep="\n")


class _System:
    """Texts to score, and how they compare with the references."""

    def __init__(
        self, name: str, path: Path, references: dict[str, str], texts: dict[str, str], voices: list[str], **how: Any
    ) -> None:
        from asr.evaluate.significance import confidence_interval
        from asr.evaluate.texts import pair
        from asr.evaluate.wer import score as score_texts, spelling_errors

        said, heard, notes = pair(references, texts)
        for note in notes:
            print(f"asr: {path}: {note}", file=sys.stderr)
        self.name, self.scores = name, score_texts(said, heard, **how)
        self.interval = confidence_interval(self.scores.each, voices)
        self.spelling = spelling_errors(self.scores)
        self.unpaired = {
            "missing": [key for key in references if key not in texts],
            "extra": [key for key in texts if key not in references],
        }

    def tell(self, *, named: bool) -> None:
        """The scores in words, with the interval and what is spelling alone."""
        print(f"{self.name}: {self.scores}" if named else self.scores)
        if interval := self.interval:
            why = f" ({interval.why})" if interval.why else ""
            print(f"  95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %, over {interval.over}{why}")
        if kinds := ", ".join(f"{kind} {n}" for kind, n in self.spelling.items() if n):
            errors = self.scores.error.errors
            print(f"  {sum(self.spelling.values())} of {errors} errors are spelling alone: {kinds}")

    def facts(self) -> dict[str, Any]:
        """The same for JSON."""
        from asr.evaluate.significance import interval_facts

        interval = interval_facts(self.interval)
        return {**self.scores.as_dict(), **interval, "spelling": self.spelling, **self.unpaired}


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
