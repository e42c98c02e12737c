"""What annotation files hold, whatever their format: tiers of texts that have times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asr.utils.unicode import plain_name


@dataclass(frozen=True)
class Annotation:
    """A text and when it is said, seconds into the recording."""

    start: float
    end: float
    text: str
    number: int  # its place in its tier, from 1
    id: str = ""
    parent: str = ""  # the id of what it belongs to, on the tier above
    owner: str = ""  # where it has no time of its own, but a part of another's: the id of that one


@dataclass(frozen=True)
class Tier:
    """Annotations of one kind, mostly of one speaker, in the order of the file. Names are plain (`plain_name`)."""

    name: str
    annotations: tuple[Annotation, ...]
    speaker: str = ""
    type: str = ""  # ELAN's linguistic type
    parent: str = ""  # the tier above

    def __post_init__(self) -> None:
        for name in ("name", "speaker", "type", "parent"):
            object.__setattr__(self, name, plain_name(getattr(self, name)))


@dataclass(frozen=True)
class Media:
    """A recording that a file names."""

    path: str  # as the file has it
    offset: float = 0.0  # seconds into it, where the file's time begins


@dataclass(frozen=True)
class AnnotationFile:
    """Tiers, and the recordings they are of."""

    tiers: tuple[Tier, ...]
    media: tuple[Media, ...] = ()  # sound before film, relative paths first
    problems: tuple[str, ...] = field(default=())  # what could not be read, a line each
    symbols: Mapping[str, int] = field(default_factory=dict)  # Praat's backslash sequences, known or not: how often
