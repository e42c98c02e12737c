"""Common Voice: sentences read by volunteers in over 100 languages, MP3 (Ardila et al. 2020; CC0). Not measured here.

A language's folder holds `train.tsv`, `dev.tsv` and `test.tsv`, the publisher's splits, and `clips/*.mp3`. The other
clips, those of validated.tsv, invalidated.tsv and other.tsv alone, are in no split. A speaker is a `client_id`.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    pair,
    read_lines,
    write_corpus,
)

_COLUMNS = ("client_id", "path", "sentence")


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The folder of a language, such as cv-corpus-22.0-2025-06-20/ga-IE, or one above if it holds only
            that; $ASR_DATA/common_voice where None.
        out_dir: The folder to make.
    """
    corpus_dir = Path(corpus_dir) if corpus_dir else corpus_home("common_voice")
    settings = {"corpus": "common_voice", "folder": str(corpus_dir.resolve())}
    if done := already_prepared(out_dir, settings):
        return done
    clips = find_files(corpus_dir, ".mp3", "train.tsv")
    languages = [path.parent for path in clips if path.name == "train.tsv"]
    if len(languages) != 1:
        names = f" ({', '.join(folder.name for folder in languages)})" if languages else ""
        raise InputError(
            f"holds {len(languages)} folders with a train.tsv{names}, not one",
            where=corpus_dir,
            remedy="name the folder of a language, with train.tsv, dev.tsv, test.tsv and clips",
        )
    audio = {path.stem: path for path in clips if path.parent == languages[0] / "clips"}
    splits: dict[str, list[Source]] = {}
    left_out: list[str] = []
    for split in ("train", "dev", "test"):
        lines = _lines(languages[0] / f"{split}.tsv")
        splits[split], problems = pair(lines, audio, missing="there is no clips/{}.mp3", unlisted=None)
        left_out += problems
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
