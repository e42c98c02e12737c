"""What a check of a corpus looks at and finds, and how it looks on a screen."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from asr.audio.features import FeatureConfig
from asr.data.check.audio_facts import AudioFacts
from asr.data.cuts import Utterance
from asr.text.normalize import TextConfig
from asr.text.tokenizer import Kind, TokenizerConfig
from asr.utils.errors import InputError

Severity = Literal["fatal", "warning", "note"]


class EncoderFrames(Protocol):
    """The frames of an encoder, as the checks need them."""

    @property
    def factor(self) -> int: ...  # feature frames that become one
    @property
    def lower_factors(self) -> Sequence[int]: ...  # that could be chosen instead, the highest first


class ModelSettings(Protocol):
    """What the checks read of the model that is to be trained (asr.models.config.ModelConfig has it)."""

    @property
    def features(self) -> FeatureConfig: ...
    @property
    def text(self) -> TextConfig: ...
    @property
    def encoder(self) -> EncoderFrames: ...
    @property
    def kinds(self) -> Sequence[Kind]: ...  # of tokens
    def tokenizer_of(self, kind: Kind) -> TokenizerConfig: ...


@dataclass(frozen=True)
class SplitFacts:
    """How much there is of a split."""

    utterances: int
    seconds: float
    speakers: int  # that are named
    without_speaker: int  # utterances
    shortest: float  # seconds
    median: float
    longest: float
    words: int  # after normalisation; 0 where the script does not separate them
    characters: int
    texts: int  # different ones


@dataclass(frozen=True)
class Example:
    """One case: an utterance's id or a character, and what is with it."""

    name: str
    detail: str


@dataclass(frozen=True)
class Row:
    """An utterance and what is known of it."""

    split: str
    utterance: Utterance
    text: str  # normalised
    length: int  # perceived characters of `text`
    audio: AudioFacts | InputError | None = None

    def example(self, detail: str = "") -> Example:
        return Example(self.utterance.id, detail)

    @property
    def shown(self) -> str:
        """Its text, not too long."""
        text = " ".join(self.utterance.text.split())
        return f"'{text[:47]}...'" if len(text) > 50 else f"'{text}'"


@dataclass(frozen=True)
class Finding:
    """A fault, with all its cases."""

    kind: str  # stable: "unreadable"
    severity: Severity
    what: str  # "audio that cannot be read"
    remedy: str
    examples: tuple[Example, ...]
    total: int  # utterances (or whatever the cases are) that were looked at; 0 where that says nothing

    @property
    def count(self) -> int:
        return len(self.examples)

    @property
    def message(self) -> str:
        """One sentence with the count, and what to do."""
        of = f" of {self.total:,}" if self.total else ""
        count = f" ({self.count:,}{of})" if self.examples else ""
        return f"{self.what}{count}; {self.remedy}"

    def line(self, examples: int = 3) -> str:
        """The message with a few cases, in one line that a terminal can show."""
        cases = [f"{e.name} ({e.detail})" if e.detail else e.name for e in self.examples[:examples]]
        more = ", ..." if self.count > examples else ""
        return printable(f"{self.message}: {', '.join(cases)}{more}" if cases else self.message)


@dataclass(frozen=True)
class Report:
    """What was found in a corpus. `findings` stand in the order of their severity."""

    splits: dict[str, SplitFacts]
    rates: dict[int, int]  # utterances by the sample rate of their file, Hz
    findings: tuple[Finding, ...]

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """What would ruin training."""
        return tuple(f for f in self.findings if f.severity == "fatal")

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with all cases of each finding."""
        return {
            "format": 1,
            "splits": {split: asdict(facts) for split, facts in self.splits.items()},
            "sample_rates": {str(rate): count for rate, count in self.rates.items()},
            "findings": [{**asdict(f), "count": f.count, "message": f.message} for f in self.findings],
        }


def found(
    kind: str, severity: Severity, what: str, remedy: str, examples: Sequence[Example], total: int = 0
) -> Iterator[Finding]:
    """The finding, if there is a case of it."""
    if examples:
        yield Finding(kind, severity, what, remedy, tuple(examples), total)


def report_text(report: Report, *, examples: int | None = None, training_time: str = "", width: int = 100) -> str:
    """The report as one screen.

    Args:
        report: What was found.
        examples: Cases shown of each finding; by default up to five, fewer where there are many findings.
        training_time: How long training takes, in words.
        width: Columns.
    """
    if examples is None:
        examples = max(1, min(5, 24 // max(1, len(report.findings))))
    lines = ["split     utterances    hours  speakers    shortest   median  longest      words   texts"]
    for split, s in report.splits.items():
        words = f"{s.words:,}" if s.words else "-"
        lines.append(
            f"{printable(split):9} {s.utterances:10,} {s.seconds / 3600:8.2f} {s.speakers or '-':>9}"
            f" {s.shortest:9.2f} s {s.median:6.2f} s {s.longest:6.2f} s {words:>10} {s.texts:7,}"
        )
    rates = ", ".join(f"{n:,} at {rate:,} Hz" for rate, n in report.rates.items())
    lines.append(f"audio: {rates or 'none could be read'}")
    if training_time:
        lines += textwrap.wrap(printable(training_time), width)
    for finding in report.findings:
        label = {"fatal": "FATAL", "warning": "warning", "note": "note"}[finding.severity]
        lines += textwrap.wrap(
            printable(f"{label}: {finding.message} [{finding.kind}]"), width, subsequent_indent="    "
        )
        everywhere = finding.count == finding.total > examples  # cases would tell nothing
        for example in finding.examples[: 0 if everywhere else examples]:
            line = printable(f"    {example.name}  {example.detail}".rstrip())
            lines.append(line if len(line) <= width else line[: width - 3] + "...")
        if finding.count > examples and not everywhere:
            lines.append(f"    and {finding.count - examples:,} more")
    fatal = len(report.fatal)
    warnings = sum(f.severity == "warning" for f in report.findings)
    verdict = f"{fatal} would ruin training" if fatal else "nothing would ruin training"
    lines.append(f"{verdict}, {warnings} {'warning' if warnings == 1 else 'warnings'}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Ids, paths and texts come from strangers: what would steer a terminal, or is not seen, is spelt out."""
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text
    )
