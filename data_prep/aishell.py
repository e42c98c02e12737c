"""AISHELL-1: 178 hours of Mandarin read by 400 speakers, 16 kHz (Bu et al. 2017; Apache-2.0). Not measured here.

`data_aishell/wav/{train,dev,test}/SPEAKER/ID.wav` are the publisher's splits; `aishell_transcript_v0.8.txt` has lines
`ID text`, with spaces between words, which stay here (training drops them, as the script has none). A few hundred of
the publisher's recordings have no transcript: they are among those left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from asr.errors import InputError
from data_prep.manifest import (
    Listed,
    Progress,
    Source,
    Summary,
    already_prepared,
    corpus_home,
    find_files,
    left_out_line,
    pair,
    read_lines,
    write_corpus,
)

_SPLITS = ("train", "dev", "test")
_TRANSCRIPT = "aishell_transcript_v0.8.txt"


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The folder data_aishell, or one above it; $ASR_DATA/aishell where None.
        out_dir: The folder to make.
    """
    corpus_dir = Path(corpus_dir) if corpus_dir else corpus_home("aishell")
    settings = {"corpus": "aishell", "folder": str(corpus_dir.resolve())}
    if done := already_prepared(out_dir, settings):
        return done
    transcripts = find_files(corpus_dir, _TRANSCRIPT)
    if len(transcripts) != 1:
        raise InputError(
            f"holds {len(transcripts)} files {_TRANSCRIPT}, not one",
            where=corpus_dir,
            remedy="name the folder data_aishell of OpenSLR 33, with wav and transcript",
        )
    wav = transcripts[0].parent.parent / "wav"
    audio: dict[str, Path] = {}
    left_out: list[str] = []
    for split in _SPLITS:
        for path in find_files(wav / split, ".wav") if (wav / split).is_dir() else []:
            if path.stem in audio:
                left_out.append(left_out_line(f"{path.stem} is there already: {audio[path.stem]}", path))
            audio.setdefault(path.stem, path)
    if not audio:
        raise InputError("holds no recording", where=wav, remedy="unpack the archives of all speakers in it")
    sources, problems = pair(_lines(transcripts[0]), audio, unlisted=f"has no line in {_TRANSCRIPT}")
    splits: dict[str, list[Source]] = {split: [] for split in _SPLITS}
    for source in sources:
        splits[source.audio.relative_to(wav).parts[0]].append(replace(source, speaker=source.audio.parent.name))
    return write_corpus(out_dir, splits, settings, left_out=left_out + problems, progress=progress)


# Lhotse's prepare_aishell changes texts (spaces dropped, letters upper-cased), stops at the first recording that cannot
# be read, and only logs what is missing.
def _lines(transcript: Path) -> Iterator[Listed]:
    for number, line in read_lines(transcript):
        key, *text = line.split(maxsplit=1)
        yield Listed(key, "".join(text).rstrip(), "", f"{transcript}, line {number}")
