"""yesno (OpenSLR 1): 60 files of eight Hebrew words each, "yes" or "no", one speaker, 8 kHz.

File names are the transcripts: 1 is yes, 0 is no. Sorted, every second file is test (30), the others are train,
but for every sixth of them, which is dev (5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from asr.utils.errors import InputError
from asr.utils.files import data_home, download_archive
from data_prep._files import recordings_named
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    opened,
    write_corpus,
)

URL = "https://www.openslr.org/resources/1/waves_yesno.tar.gz"
SHA256 = "30301975fd8c5cac4040c261c0852f57cfa8adbbad2ce78e77e4986957445f27"
_NAME = re.compile(r"[01](_[01]){7}")


def download(folder: str | Path | None = None, *, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """The corpus's folder, $ASR_DATA/yesno unless told otherwise; fetched from OpenSLR where it is not there."""
    folder = Path(folder) if folder else data_home() / "yesno"
    if not recordings_named(_NAME, folder):
        download_archive(URL, folder, sha256=SHA256, progress=progress)
    return folder


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Writes cuts of train (25), dev (5) and test (30).

    Args:
        corpus_dir: The folder with the recordings, at any depth; $ASR_DATA/yesno or the publisher's where None.
        out_dir: The folder to make.
    """
    folder, settings, done = opened("yesno", corpus_dir or download(), out_dir, page="OpenSLR 1")
    if done:
        return done
    files = recordings_named(_NAME, folder)
    if len(files) < 12:
        raise InputError(
            f"holds {len(files)} files named like 0_1_1_0_1_0_0_1.wav, not 60",
            where=folder,
            remedy="name the folder waves_yesno of OpenSLR 1",
        )
    train, test = files[0::2], files[1::2]
    splits = {"train": [p for i, p in enumerate(train) if i % 6], "dev": train[::6], "test": test}
    return write_corpus(
        out_dir,
        {
            split: [
                Source(path.stem, path, " ".join("YES" if c == "1" else "NO" for c in path.stem.split("_")), "speaker")
                for path in paths
            ]
            for split, paths in splits.items()
        },
        settings,
        progress=progress,
    )
