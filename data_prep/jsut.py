"""JSUT 1.1: ten hours of one Japanese woman reading, 48 kHz (Sonobe et al. 2017; for research). Not measured here.

The subset `basic5000`: `transcript_utf8.txt` has lines `ID:text`, recordings are `wav/ID.wav`. The publisher has no
split: test is the last 250 utterances, dev the 250 before, train the rest; of less than 500 a third each. The other
subsets, some of which say the same sentences again, are not used. The one speaker is in all splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr.errors import InputError
from data_prep.manifest import (
    Listed,
    Progress,
    Summary,
    already_prepared,
    corpus_home,
    find_files,
    pair,
    read_lines,
    split_ends,
    write_corpus,
)


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The folder jsut_ver1.1, its basic5000, or one above it; $ASR_DATA/jsut where None.
        out_dir: The folder to make.
    """
    corpus_dir = Path(corpus_dir) if corpus_dir else corpus_home("jsut")
    settings = {"corpus": "jsut", "folder": str(corpus_dir.resolve())}
    if done := already_prepared(out_dir, settings):
        return done
    transcripts = [p for p in find_files(corpus_dir.resolve(), "transcript_utf8.txt") if p.parent.name == "basic5000"]
    if len(transcripts) != 1:
        raise InputError(
            f"holds {len(transcripts)} files basic5000/transcript_utf8.txt, not one",
            where=corpus_dir,
            remedy="name the folder jsut_ver1.1",
        )
    audio = {path.stem: path for path in find_files(transcripts[0].with_name("wav"), ".wav")}
    sources, left_out = pair(_lines(transcripts[0]), audio, unlisted="has no line in transcript_utf8.txt")
    splits = split_ends(sorted(sources, key=lambda source: source.id), 250)
    return write_corpus(out_dir, splits, settings, left_out=left_out, progress=progress)


# Lhotse has no recipe for it.
def _lines(transcript: Path) -> Iterator[Listed]:
    for number, line in read_lines(transcript):
        key, colon, text = line.partition(":")
        problem = "" if colon else "is not a line `ID:text`"
        yield Listed(key.strip(), text.strip(), "JSUT", f"{transcript}, line {number}", problem)
