"""JSUT 1.1: ten hours of one Japanese woman reading, 48 kHz (Sonobe et al. 2017; for research). Not measured here.

The subset `basic5000`: `transcript_utf8.txt` has lines `ID:text`, recordings are `wav/ID.wav`. The publisher has no
split: test is the last 250 utterances, dev the 250 before, train the rest; of less than 500 a third each. The other
subsets, some of which say the same sentences again, are not used. The one speaker is in all splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_prep._files import (
    find_files,
    only_file,
)
from data_prep._manifest import (
    Progress,
    Summary,
    opened,
    write_corpus,
)
from data_prep._splits import split_ends
from data_prep._transcripts import (
    Listed,
    pair,
    read_lines,
)


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The folder jsut_ver1.1, its basic5000, or one above it; $ASR_DATA/jsut where None.
        out_dir: The folder to make.
    """
    page = "JSUT (Japanese speech corpus of Saruwatari-lab., University of Tokyo)"
    folder, settings, done = opened("jsut", corpus_dir, out_dir, page=page)
    if done:
        return done
    name = "basic5000/transcript_utf8.txt"
    transcript = only_file(folder, name, beside="wav", remedy="name the folder jsut_ver1.1")
    audio = {path.stem: path for path in find_files(transcript.with_name("wav"), ".wav")}
    sources, left_out = pair(_lines(transcript), audio, unlisted="has no line in transcript_utf8.txt")
    splits = split_ends(sorted(sources, key=lambda source: source.id), 250)
    return write_corpus(out_dir, splits, settings, left_out=left_out, progress=progress)


# Lhotse has no recipe for it.
def _lines(transcript: Path) -> Iterator[Listed]:
    for number, line in read_lines(transcript):
        key, colon, text = line.partition(":")
        problem = "" if colon else "is not a line `ID:text`"
        yield Listed(key.strip(), text.strip(), "JSUT", f"{transcript}, line {number}", problem)
