"""One's own recordings, transcribed in Praat: a folder of .TextGrid files, long or short, each with its recording.

Tiers are chosen by name; where several are, each is a speaker. See data_prep.annotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asr.textgrid import read_textgrid
from asr.tiers import AnnotationFile
from data_prep.annotations import prepare_annotations
from data_prep.manifest import Progress, Summary


def prepare(
    folder: str | Path | None,
    out_dir: str | Path,
    *,
    tier: Sequence[str] = (),
    media: str | Path | None = None,
    keep_overlaps: bool = False,
    split_by: str = "auto",
    dev: float = 0.1,
    test: float = 0.1,
    seed: int = 1,
    progress: Progress | None = None,
) -> Summary:
    """Writes cuts of train, dev and test; the arguments are those of prepare_annotations."""
    return prepare_annotations(
        "textgrid",
        _read,
        ".TextGrid",
        folder,
        out_dir,
        tier=tier,
        media=media,
        keep_overlaps=keep_overlaps,
        split_by=split_by,
        dev=dev,
        test=test,
        seed=seed,
        progress=progress,
    )


def _read(path: Path) -> AnnotationFile:
    """A TextGrid without its pauses, which are intervals without text."""
    found = read_textgrid(path)
    tiers = (replace(t, annotations=tuple(each for each in t.annotations if each.text)) for t in found.tiers)
    return replace(found, tiers=tuple(tiers))
