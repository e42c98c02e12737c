"""AISHELL-1: 178 hours of Mandarin read by 400 speakers, 16 kHz (Bu et al. 2017; Apache-2.0). Not measured here.

`data_aishell/wav/{train,dev,test}/SPEAKER/ID.wav` are the publisher's splits; `aishell_transcript_v0.8.txt` has lines
`ID text`, with spaces between words, which stay here (training drops them, as the script has none). A few hundred of
the publisher's recordings have no transcript: they are among those left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from asr.utils.errors import InputError
from data_prep._files import (
    find_files,
    is_folder,
    only_file,
)
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    left_out_line,
    opened,
    write_corpus,
)
from data_prep._transcripts import (
    Listed,
    pair,
    read_lines,
)

_TRANSCRIPT = "aishell_transcript_v0.8.txt"


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The folder data_aishell, or one above it; $ASR_DATA/aishell where None.
        out_dir: The folder to make.
    """
    folder, settings, done = opened("aishell", corpus_dir, out_dir, page="OpenSLR 33")
    if done:
        return done
    remedy = "name the folder data_aishell of OpenSLR 33, with wav and transcript"
    transcript = only_file(folder, _TRANSCRIPT, remedy=remedy)
    wav = transcript.parent.parent / "wav"
    audio: dict[str, Path] = {}
    left_out: list[str] = []
    for split in ("test", "dev", "train"):  # train loses what is in two
        for path in find_files(wav / split, ".wav") if is_folder(wav / split) else []:
            if path.stem in audio:
                left_out.append(left_out_line(f"{path.stem} is there already: {audio[path.stem]}", path))
            audio.setdefault(path.stem, path)
    if not audio:
        raise InputError("holds no recording", where=wav, remedy="unpack the archives of all speakers in it")
    sources, problems = pair(_lines(transcript), audio, unlisted=f"has no line in {_TRANSCRIPT}")
    splits: dict[str, list[Source]] = {"train": [], "dev": [], "test": []}
    for source in sources:
        splits[source.audio.relative_to(wav).parts[0]].append(replace(source, speaker=source.audio.parent.name))
    return write_corpus(out_dir, splits, settings, left_out=left_out + problems, progress=progress)


# Lhotse's prepare_aishell changes texts (spaces dropped, letters upper-cased), stops at the first recording that cannot
# be read, and only logs what is missing.
def _lines(transcript: Path) -> Iterator[Listed]:
    for number, line in read_lines(transcript):
        key, *text = line.split(maxsplit=1)
        yield Listed(key, "".join(text).rstrip(), "", f"{transcript}, line {number}")
