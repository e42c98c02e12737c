"""One's own recordings, transcribed in ELAN: a folder of .eaf files.

Tiers are chosen by name (`--tier Phrase`, `--tier "*@Maria"`) or by linguistic type; a speaker is a tier's PARTICIPANT,
or what stands behind the @ of its name. Texts that share the time of one above (words of a phrase) are joined. See
data_prep.annotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr.eaf import read_eaf
from data_prep.annotations import prepare_annotations
from data_prep.manifest import Progress, Summary


def prepare(
    folder: str | Path | None,
    out_dir: str | Path,
    *,
    tier: Sequence[str] = (),
    type: str | None = None,
    translation: str | None = None,
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
        "elan",
        read_eaf,
        ".eaf",
        folder,
        out_dir,
        tier=tier,
        type=type,
        translation=translation,
        media=media,
        keep_overlaps=keep_overlaps,
        split_by=split_by,
        dev=dev,
        test=test,
        seed=seed,
        progress=progress,
    )
