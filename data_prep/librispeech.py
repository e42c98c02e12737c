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
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from data_prep._splits import drop_repeats, share_at_random, share_by_speaker
from data_prep._transcripts import (
    Listed,
    pair,
    read_lines,
)

log = logging.getLogger(__name__)

_ENDING = ".trans.txt"
_SHARE = 0.1  # of dev, and of test, where no part is named for them
_PURPOSE = re.compile(  # whole words: not `new-testament`
    r"(?:^|[_. -])(?:(?P<train>train(?:ing)?)|(?P<dev>dev(?:elopment)?|valid(?:ation)?)|"
    r"(?P<test>test(?:ing)?|eval(?:uation)?))(?![^\W\d_])",
    re.IGNORECASE,
)


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
    splits = _splits(parts, chosen, folder, train_part)
    used = {name for names in splits.values() for name in names}
    left_out = [line for part, lines in problems.items() if part in used for line in lines]
    for split, names in splits.items():
        log.info("%s: %s", split, ", ".join(names))
    sources = {split: [source for name in names for source in parts[name]] for split, names in splits.items()}
    left_out += drop_repeats(sources)
    if sources.get("train"):
        _hold_out(sources, folder)
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


def _purpose(part: str) -> str | None:
    """What the name of a part, or else of a folder around it, says that it is for."""
    matches = (_PURPOSE.search(name) for name in reversed(part.split("/")))
    return next((match.lastgroup for match in matches if match), None)


def _splits(
    parts: Iterable[str], chosen: Mapping[str, str | None], corpus_dir: Path, train: Sequence[str] = ()
) -> dict[str, list[str]]:
    """The parts of each split."""
    waiting = sorted(parts)
    splits: dict[str, list[str]] = {"train": []}
    named_parts = [("train", part) for part in sorted(set(train))]
    named_parts += [(split, part) for split, part in chosen.items() if part is not None]
    for split, part in named_parts:
        if owner := next((name for name, names in splits.items() if part in names), None):
            raise InputError(f"{part!r} is {owner} already", where=f"{split}_part", remedy="name another part")
        if part not in waiting:
            raise InputError(
                f"{part!r} is none of {', '.join(waiting) or 'those left'}",
                where=f"{split}_part",
                remedy=f"name one of them, or unpack it into {corpus_dir}",
            )
        splits.setdefault(split, []).append(part)
        waiting.remove(part)
    if train:
        waiting = [part for part in waiting if _purpose(part) != "train"]
    for split in chosen:
        named = [part for part in waiting if _purpose(part) == split]
        if split not in splits and named:
            splits[split] = [min(named, key=lambda part: (part != split, part != f"{split}-clean", part))]
            waiting.remove(splits[split][0])
    for purpose in ("train", None):  # where no name says train, parts whose names say nothing are
        splits["train"] = splits["train"] or [part for part in waiting if _purpose(part) == purpose]
    for part in waiting:
        if part not in splits["train"]:
            name = re.sub(r"\W+", "_", part)
            splits[f"{name}_part" if name in ("train", *chosen) else name] = [part]
    if not splits["train"]:
        del splits["train"]
        log.warning("%s has no part to train on", corpus_dir)
    return splits


def _hold_out(sources: dict[str, list[Source]], corpus_dir: Path) -> None:
    """Takes dev and test, where they are missing, from train."""
    shares = {split: _SHARE for split in ("test", "dev") if split not in sources}
    if not shares:
        return
    train = sources["train"]
    missing = " and ".join(sorted(shares))
    options = " and ".join(f"--{split}-part" for split in sorted(shares))
    if len({source.speaker for source in train}) > len(shares):
        speakers = share_by_speaker(train, shares)
        owner = {source.id: speakers[source.speaker] for source in train}
        taken = ", ".join(sorted({source.speaker for source in train if owner[source.id] != "train"}))
        log.warning(
            "%s has no part named %s: speakers %s of train are taken; %s can name one",
            *(corpus_dir, missing, taken, options),
        )
    else:
        owner = share_at_random(train, shares, where=corpus_dir)
        log.warning(
            "%s has no part named %s: utterances of train are taken, so that its voices are in them; %s can name one",
            *(corpus_dir, missing, options),
        )
    for split in ("train", *sorted(shares)):
        sources[split] = [source for source in train if owner[source.id] == split]
