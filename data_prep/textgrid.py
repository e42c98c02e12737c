"""One's own recordings, transcribed in Praat: a folder of .TextGrid files, long or short, each with its recording.

Tiers are chosen by name; where several are, each is a speaker. See data_prep._annotations.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from asr.data.textgrid import read_textgrid
from asr.data.tiers import AnnotationFile
from data_prep._annotations import prepare_annotations


def _read(path: Path) -> AnnotationFile:
    """A TextGrid without its pauses, which are intervals without text."""
    found = read_textgrid(path)
    tiers = (replace(t, annotations=tuple(each for each in t.annotations if each.text)) for t in found.tiers)
    return replace(found, tiers=tuple(tiers))


prepare = partial(prepare_annotations, "textgrid", _read, ".TextGrid")
