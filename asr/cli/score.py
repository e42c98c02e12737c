"""asr score"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.common import Translation

if TYPE_CHECKING:
    from asr.evaluate.texts import Texts
    from asr.evaluate.wer import Scores, Unit


def score(
    reference: Annotated[Path, typer.Argument(metavar="REF", help="The right texts.")],
    hypotheses: Annotated[
        list[Path], typer.Argument(metavar="HYP ...", help="The texts to score; several are compared.")
    ],
    lines: Annotated[
        bool, typer.Option("--lines", help="Plain lines, paired in order; else each text has its id.")
    ] = False,
    unit: Annotated[
        str | None,
        typer.Option(help="What errors are counted in: words or characters. Default: words, if the script has spaces."),
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option(help="`id speaker` a line, for intervals. Default: as the files say.")
    ] = None,
    translation: Translation = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Word and character error rate of text files against another, how sure they are, and which is better.

    Files are read as what they are: `id text` a line (Kaldi's), sclite's trn, STM and CTM, CSV and TSV with a header,
    JSON (lines), SubRip, WebVTT, TextGrid, ELAN. Of one that holds references and hypotheses, each is taken in its
    place. Texts are compared as they are: case and punctuation count, and what only they cost is said.
    """
    from asr.evaluate.significance import compare
    from asr.evaluate.texts import as_references, read_lines, read_speakers, read_texts
    from asr.text.normalize import has_word_spaces
    from asr.utils.errors import InputError

    if unit not in (None, "words", "characters"):
        raise InputError(f"{unit!r} is neither words nor characters", where="--unit")
    references = read_lines(reference) if lines else as_references(read_texts(reference))
    texts = [(read_lines if lines else read_texts)(path, empty=True) for path in hypotheses]
    counted: Any = unit or ("words" if has_word_spaces(references.references.values()) else "characters")
    _tell(references)
    of_speaker = read_speakers(speakers) if speakers else None
    systems = [
        _System(name, references, each, of_speaker, counted, translation=translation)
        for each, name in zip(texts, _names(hypotheses), strict=True)
    ]
    if speakers and (unknown := [key for key in systems[0].pairs.ids if not systems[0].voices[key]]):
        print(f"asr: {speakers}: {len(unknown)} references have no speaker (first: {unknown[0]})", file=sys.stderr)
    if not as_json:
        for system in systems:
            system.tell(named=len(systems) > 1)
    scores, voices = _comparable(systems)
    comparisons = compare(scores, voices) if len(systems) > 1 and systems[0].scores.error.length else []
    if as_json:
        facts = [system.facts() for system in systems]
        several = {
            "systems": [{"name": system.name, **each} for system, each in zip(systems, facts, strict=True)],
            "comparisons": [each.as_dict() for each in comparisons],
        }
        print(json.dumps(several if len(systems) > 1 else facts[0], ensure_ascii=False, allow_nan=False))
    elif comparisons:
        print("", *comparisons, sep="\n")


class _System:
    """Texts to score, and how they compare with the references."""

    def __init__(
        self, name: str, references: Texts, texts: Texts, speakers: dict[str, str] | None, unit: Unit, **how: Any
    ) -> None:
        from asr.evaluate.significance import confidence_interval
        from asr.evaluate.texts import pair
        from asr.evaluate.wer import score as score_texts, spelling_errors

        pairs = pair(references, texts, unit=unit)
        told = pairs.speakers if speakers is None else [speakers.get(key, "") for key in pairs.ids]
        self.voices = dict(zip(pairs.ids, told, strict=True))
        _tell(texts, pairs.notes)
        self.name, self.pairs = name, pairs
        self.scores = score_texts(pairs.references, pairs.hypotheses, unit=unit, **how)
        self.interval = confidence_interval(self.scores.each, told)
        self.spelling = spelling_errors(self.scores)

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
        unpaired = {"missing": self.pairs.missing, "extra": self.pairs.extra}
        return {**self.scores.as_dict(), **interval, "spelling": self.spelling, **unpaired}


def _comparable(systems: list[_System]) -> tuple[dict[str, Scores], list[str]]:
    """Scores of several systems, and speakers, of the utterances whose alternations suit all systems alike."""
    from asr.evaluate.wer import score as score_texts

    first = systems[0]
    scores = {system.name: system.scores for system in systems}
    if any(system.pairs.ids != first.pairs.ids for system in systems):
        return scores, [*first.voices.values()]  # which are of other utterances, and cannot be compared
    rows = [*zip(*(system.pairs.references for system in systems), strict=True)]
    same = [i for i, texts in enumerate(rows) if len({*texts}) == 1]
    if len(same) < len(rows):
        left_out = len(rows) - len(same)
        print(
            f"asr: {left_out} utterances whose alternations suit the systems differently are not compared",
            file=sys.stderr,
        )
        scores = {
            system.name: score_texts(
                [system.pairs.references[i] for i in same],
                [system.pairs.hypotheses[i] for i in same],
                unit=system.scores.unit,
            )
            for system in systems
        }
    return scores, [[*first.voices.values()][i] for i in same]


def _tell(texts: Texts, notes: Sequence[str] = ()) -> None:
    """What was left out of a file or interpreted, a line each."""
    for note in [*texts.notes, *notes]:
        print(f"asr: {texts.path}: {note}", file=sys.stderr)


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
