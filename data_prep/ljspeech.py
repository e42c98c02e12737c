"""LJ Speech 1.1: 24 hours of one woman reading English books, 22.05 kHz (Ito and Johnson 2017; public domain).

`metadata.csv` has lines `id|text|normalised text`, recordings are `wavs/<id>.wav`. Texts are the third column, where
numbers and abbreviations stand as they are read. The publisher has no split: test is the last 100 utterances of the
last chapter that is there, dev the 100 before (of a chapter of less than 200: a third each), train the rest. The one
speaker is in all of them.
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
        corpus_dir: The folder LJSpeech-1.1, or one above it; $ASR_DATA/ljspeech where None, or $ASR_DATA/ljspeech-part.
        out_dir: The folder to make.
    """
    page = "The LJ Speech Dataset, keithito.com"
    folder, settings, done = opened("ljspeech", corpus_dir, out_dir, "ljspeech-part", page=page)
    if done:
        return done
    table = only_file(folder, "metadata.csv", beside="wavs", remedy="name the folder LJSpeech-1.1")
    audio = {path.stem: path for path in find_files(table.with_name("wavs"), ".wav")}
    sources, left_out = pair(_lines(table), audio, unlisted="has no line in metadata.csv")
    sources.sort(key=lambda source: source.id)
    last = max((source.id.partition("-")[0] for source in sources), default="")
    splits = split_ends([source for source in sources if source.id.partition("-")[0] == last], 100)
    splits["train"] = [source for source in sources if source.id.partition("-")[0] != last] + splits["train"]
    return write_corpus(out_dir, splits, settings, left_out=left_out, progress=progress)


# Lhotse's prepare_ljspeech stops at the first line that has not three columns and at the first recording that cannot be
# read, decodes the table as the locale has it and only logs what is missing. A test compares its result to ours.
def _lines(table: Path) -> Iterator[Listed]:
    for number, line in read_lines(table):
        key, *texts = line.split("|")
        problem = "" if len(texts) == 2 else f"has {1 + len(texts)} columns, not id|text|normalised text"
        yield Listed(key.strip(), texts[-1].strip() if texts else "", "LJ", f"{table}, line {number}", problem)
