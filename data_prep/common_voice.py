"""Common Voice: sentences read by volunteers in over 100 languages, MP3 (Ardila et al. 2020; CC0). Not measured here.

A language's folder holds `train.tsv`, `dev.tsv` and `test.tsv`, the publisher's splits, and `clips/*.mp3`. The other
clips, those of validated.tsv, invalidated.tsv and other.tsv alone, are in no split. A speaker is a `client_id`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr.utils.errors import InputError
from data_prep._files import (
    find_files,
    only_file,
)
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    opened,
    write_corpus,
)
from data_prep._splits import drop_repeats
from data_prep._transcripts import (
    Listed,
    pair,
    read_lines,
)

_COLUMNS = ("client_id", "path", "sentence")


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The folder of a language, such as cv-corpus-22.0-2025-06-20/ga-IE, or one above if it holds only
            that; $ASR_DATA/common_voice where None.
        out_dir: The folder to make.
    """
    folder, settings, done = opened("common_voice", corpus_dir, out_dir, page="Common Voice, commonvoice.mozilla.org")
    if done:
        return done
    remedy = (
        "name the folder of a language, with train.tsv, dev.tsv, test.tsv and clips; where there are no such splits,"
        " `asr prepare table validated.tsv` makes some"
    )
    table = only_file(folder, "train.tsv", beside="clips", remedy=remedy)
    audio = {path.stem: path for path in find_files(table.with_name("clips"), ".mp3")}
    splits: dict[str, list[Source]] = {}
    left_out: list[str] = []
    for split in ("train", "dev", "test"):
        lines = _lines(table.with_name(f"{split}.tsv"))
        splits[split], problems = pair(lines, audio, missing="there is no clips/{}.mp3", unlisted=None)
        left_out += problems
    left_out += drop_repeats(splits)
    return write_corpus(out_dir, splits, settings, left_out=left_out, progress=progress)


# Lhotse's prepare_commonvoice needs pandas and a folder to write to, knows the languages by a list of its own, and only
# logs what is missing.
def _lines(table: Path) -> Iterator[Listed]:
    """The rows of a table: tabs separate, and quotes are quotes."""
    header: list[str] = []
    for number, line in read_lines(table):
        fields = line.split("\t")
        if not header:
            header = fields
            if missing := [name for name in _COLUMNS if name not in header]:
                raise InputError(f"has no column {', '.join(missing)}", where=table)
            continue
        problem = "" if len(fields) == len(header) else f"has {len(fields)} columns, the first line {len(header)}"
        row = dict(zip(header, fields, strict=False))
        speaker, path, sentence = (row.get(name, "") for name in _COLUMNS)
        yield Listed(path.removesuffix(".mp3"), sentence, speaker, f"{table}, line {number}", problem)
