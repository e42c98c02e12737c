"""Mboshi: 4.5 hours of a Bantu language (C25) of Congo-Brazzaville, three speakers, 16 kHz (Godard et al. 2018).

`<speaker>_<date>_..._<number>.wav` lies beside `.mb.cleaned`, what is said, and `.fr.cleaned`, its French translation
(github besacier/mboshi-french-parallel-corpus, folder `full_corpus_newsplit`). The publisher's `dev` is the test split;
dev is 5 % of its `train`, drawn by a hash of the utterance's id. All three speakers are in each split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import regex

from asr.utils.errors import InputError
from data_prep._files import (
    find_files,
    is_folder,
)
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    opened,
    write_corpus,
)
from data_prep._splits import drop_repeats, hash_share, part_of
from data_prep._transcripts import (
    Listed,
    pair,
    read_transcript,
)

Text = Literal["mboshi", "french"]
_ENDINGS: dict[Text, str] = {"mboshi": ".mb.cleaned", "french": ".fr.cleaned"}
_APOSTROPHE = regex.compile(r"&apos;\s*")  # l&apos; assesseur
_DEV_SHARE = 0.05


def prepare(
    corpus_dir: str | Path | None,
    out_dir: str | Path,
    *,
    hours: float | None = None,
    text: Text = "mboshi",
    progress: Progress | None = None,
) -> Summary:
    """Writes cuts of train, dev and test: the same utterances whichever text is wanted.

    Args:
        corpus_dir: The publisher's folder, or one above it; $ASR_DATA/mboshi where None.
        out_dir: The folder to make.
        hours: Train is no more than this, drawn by a hash of the id, so that less is part of more.
        text: mboshi, what is said; french, its translation.
    """
    page = "github.com/besacier/mboshi-french-parallel-corpus, folder full_corpus_newsplit"
    options: dict[str, Any] = {} if hours is None else {"hours": hours}
    if text != "mboshi":
        options["text"] = text
    ending = _ENDINGS[text]
    folder, settings, done = opened("mboshi", corpus_dir, out_dir, page=page, **options)
    if done:
        return done
    splits: dict[str, list[Source]] = {"train": [], "dev": [], "test": []}
    left_out: list[str] = []
    for part in ("train", "dev"):
        files = find_files(_part(folder, part), ".wav", ending)
        audio = {path.stem: path for path in files if path.suffix.lower() == ".wav"}
        texts = [path for path in files if path.suffix.lower() != ".wav"]
        sources, problems = pair(
            _lines(texts, ending), audio, missing="has no {}.wav beside it", unlisted=f"has no {ending} beside it"
        )
        left_out += problems
        for source in sources:
            split = "test" if part == "dev" else "dev" if hash_share(source.id) < _DEV_SHARE else "train"
            splits[split].append(source)
    left_out += drop_repeats(splits)
    if hours is not None:
        splits["train"] = part_of(splits["train"], hours)
    return write_corpus(out_dir, splits, settings, left_out=left_out, progress=progress)


def _lines(texts: Iterable[Path], ending: str) -> Iterator[Listed]:
    for path in texts:
        key = path.name[: -len(ending)]
        text, problem = read_transcript(path)
        yield Listed(key, _APOSTROPHE.sub("'", text), key.partition("_")[0], str(path), problem)


def _part(folder: Path, name: str) -> Path:
    """The publisher's train or dev, below `folder`."""
    for above in (folder, folder / "full_corpus_newsplit", folder / "mboshi" / "full_corpus_newsplit"):
        if is_folder(above / name):
            return above / name
    raise InputError(
        f"holds no folder {name}",
        where=folder,
        remedy="name the folder full_corpus_newsplit of github besacier/mboshi-french-parallel-corpus",
    )
