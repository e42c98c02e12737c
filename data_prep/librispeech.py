"""LibriSpeech, Mini LibriSpeech, and what lies as they do: English books read aloud (Panayotov et al. 2015; CC BY 4.0).

`PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` has lines `id TEXT`; `id.flac` (or `.wav`) lies beside it. Any folder
that holds such transcripts, at any depth, is a part, and its name says what it is for: the parts `train-*` together are
the split train (where there is none, those whose names say nothing); `dev-clean` is dev (without it, the first dev-*
there is), and so for test; every other part is a split of its own name, such as `dev_other`. `train_part`, `dev_part`
and `test_part` name other parts; where train's are named, further parts `train-*` are not used. What no part is named
for is taken from train: whole speakers, one at least and about a tenth of the utterances, the same ones each time; of
one or two speakers, utterances.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.utils.errors import InputError
from data_prep._files import find_files
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    left_out_line,
    opened,
    write_corpus,
)
from data_prep._parts import hold_out, splits_of_parts
from data_prep._splits import drop_repeats
from data_prep._transcripts import (
    Listed,
    pair,
    read_lines,
)

log = logging.getLogger(__name__)

_ENDING = ".trans.txt"


def prepare(
    corpus_dir: str | Path | None,
    out_dir: str | Path,
    *,
    train_part: Sequence[str] = (),
    dev_part: str | None = None,
    test_part: str | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Writes cuts of train, dev, test, and further parts.

    Args:
        corpus_dir: The folder with the parts, one above it, or a part; $ASR_DATA/librispeech where None, or
            $ASR_DATA/librispeech-mini.
        out_dir: The folder to make.
        train_part: The parts that are train together; where there is none, as the parts' names say.
        dev_part: The part that is dev; where None, as the parts' names say.
        test_part: The part that is test.
    """
    chosen = {"dev": dev_part, "test": test_part}
    page = "OpenSLR 12 and 31"
    # where it is empty it is no setting: folders that were prepared without it stay as they are
    options = {**({"train": sorted(set(train_part))} if train_part else {}), **chosen}
    folder, settings, done = opened("librispeech", corpus_dir, out_dir, "librispeech-mini", page=page, **options)
    if done:
        return done
    parts, problems = _read(folder)
    splits = splits_of_parts(parts, chosen, folder, train_part)
    used = {name for names in splits.values() for name in names}
    left_out = [line for part, lines in problems.items() if part in used for line in lines]
    for split, names in splits.items():
        log.info("%s: %s", split, ", ".join(names))
    sources = {split: [source for name in names for source in parts[name]] for split, names in splits.items()}
    left_out += drop_repeats(sources)
    if sources.get("train"):
        hold_out(sources, folder)
    return write_corpus(out_dir, sources, settings, left_out=left_out, progress=progress)


# Lhotse's prepare_librispeech takes .flac only, stops at the first line without text, transcript that is not in the
# locale's encoding or recording that cannot be read, and only logs what is missing. A test compares its result to ours.
def _read(corpus_dir: Path) -> tuple[dict[str, list[Source]], dict[str, list[str]]]:
    """Utterances by part, and by part what cannot be used."""
    transcripts: dict[Path, dict[Path, list[Path]]] = {}  # part -> folder -> its transcripts
    audio: dict[Path, dict[str, Path]] = {}  # folder -> id -> recording
    for path in find_files(corpus_dir, _ENDING, ".flac", ".wav"):
        if path.name.lower().endswith(_ENDING):
            transcripts.setdefault(_part_folder(path, corpus_dir), {}).setdefault(path.parent, []).append(path)
        else:
            audio.setdefault(path.parent, {}).setdefault(path.stem, path)
    if not transcripts:
        raise InputError(
            f"holds no file named like 19-198{_ENDING}",
            where=corpus_dir,
            remedy="name a folder with PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt, and the audio beside them",
        )
    above = Path(os.path.commonpath([part.parent for part in transcripts]))
    names = {part: part.relative_to(above).as_posix() for part in transcripts}
    parts: dict[str, list[Source]] = {name: [] for name in names.values()}
    left_out: dict[str, list[str]] = {name: [] for name in names.values()}
    for part, by_folder in transcripts.items():
        for folder, paths in by_folder.items():
            found, problems = pair(
                (line for path in paths for line in _lines(path)),
                audio.pop(folder, {}),
                missing="there is no {}.flac or .wav beside it",
                unlisted="has no transcript",
            )
            parts[names[part]] += found
            left_out[names[part]] += problems
    for folder, recordings in audio.items():  # without a transcript
        part_of = next((names[above] for above in folder.parents if above in names), None)
        if part_of is not None:
            left_out[part_of] += [left_out_line("has no transcript", path) for path in recordings.values()]
    return parts, left_out


def _lines(transcript: Path) -> Iterator[Listed]:
    for number, line in read_lines(transcript):
        key, *text = line.split(maxsplit=1)
        speaker, _ = _speaker_chapter(transcript)
        yield Listed(key, "".join(text).rstrip(), speaker, f"{transcript}, line {number}")


def _speaker_chapter(transcript: Path) -> tuple[str, str]:
    speaker, _, chapter = transcript.name[: -len(_ENDING)].partition("-")
    return speaker, chapter


def _part_folder(transcript: Path, corpus_dir: Path) -> Path:
    """The part of .../PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt; other names may stand for speaker and chapter."""
    folder = transcript.parent
    if (folder.parent.name, folder.name) == _speaker_chapter(transcript):
        return folder.parent.parent  # which may lie above `corpus_dir`
    names = folder.relative_to(corpus_dir).parts
    return corpus_dir.joinpath(*names[: max(1, len(names) - 2)])
