"""What ELAN's and Praat's files have in common: tiers of a folder of files become utterances.

Recordings are found by the names that a file gives, in the folder or below `media`, else by the file's own name.
Nothing that stands in a file leads out of these folders.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from asr.audio.reader import SUFFIXES, audio_info
from asr.data.praat_symbols import SYMBOLS
from asr.data.tiers import Annotation, AnnotationFile, Tier
from asr.utils.errors import InputError
from asr.utils.files import files_sha256
from asr.utils.unicode import plain_name
from data_prep._files import find_files
from data_prep._manifest import (
    Notes,
    Progress,
    Source,
    Summary,
    already_prepared,
    check_source,
    left_out_line,
    span,
    telling,
    write_corpus,
)
from data_prep._selection import Selection, names_of
from data_prep._splits import check_split, split_sources
from data_prep._stretches import OVERLAP, shared_seconds

log = logging.getLogger(__name__)

VIDEO = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".mpg", ".mpeg", ".m2ts", ".wmv", ".flv", ".3gp", ".webm", ".ogv")
_SHOWN = 10  # symbols
_ANOTHER_TEXT = "the same speaker has another text at the same time: leave one, or rename the tier"


def prepare_annotations(
    corpus: str,
    read: Callable[[Path], AnnotationFile],
    ending: str,
    folder: str | Path | None,
    out_dir: str | Path,
    *,
    tier: Sequence[str] = (),
    type: str | None = None,
    translation: str | None = None,
    media: str | Path | None = None,
    keep_overlaps: bool = False,
    split_by: str = "auto",
    dev: float = 0.1,
    test: float = 0.1,
    seed: int = 1,
    progress: Progress | None = None,
) -> Summary:
    """Writes cuts of train, dev and test of annotation files; what cannot be used is listed, the rest is done.

    Args:
        corpus: What `asr prepare` calls it.
        read: Of a file.
        ending: Of the files' names.
        folder: Where they are, at any depth; or one of them.
        out_dir: The folder to make.
        tier: Names of tiers whose texts are taken; `*` stands for anything: `*@Maria`, `Phrase*`. Where neither these
            nor `type` is given: the tier that all files have at the top, if there is one.
        type: Or all tiers of this linguistic type.
        translation: Tiers (or their type) below, `*` as in `tier`, whose texts are kept beside: custom["translation"]
            of a supervision.
        media: Where else recordings are, at any depth.
        keep_overlaps: Utterances that other speakers talk over are kept, too.
        split_by: auto, speaker or random, as splits.split_sources has it; auto is random where speakers are too few.
        dev: Share of the utterances for dev.
        test: The same for test.
        seed: Of the split.

    Raises:
        InputError: There are no such files or tiers, or the utterances cannot be split as asked.
    """
    if folder is None:
        raise InputError(
            f"{corpus} needs a folder of {ending} files",
            where="FOLDER",
            remedy=f"asr prepare {corpus} FOLDER --out data/X",
        )
    check_split(split_by, dev, test)
    if split_by == "column":
        raise InputError(f"{corpus} files have no split column", where="split_by", remedy="speaker, random or auto")
    folder = Path(folder).absolute()
    listed = [folder] if folder.is_file() else find_files(folder, ending.lower())
    files = [path for path in listed if path.is_file()]
    if not files:
        raise InputError(f"holds no {ending} file", where=folder, remedy=_other_files(folder))
    root = folder.parent if folder.is_file() else folder
    recordings = _recordings([root, *([Path(media).absolute()] if media else [])])
    settings = {
        "corpus": corpus,
        "folder": str(folder.resolve()),
        "sha256": files_sha256(files),
        "recordings": _digest(recordings),
        **{"tier": list(tier), "type": type, "translation": translation, "media": str(media) if media else None},
        **{"keep_overlaps": keep_overlaps, "split_by": split_by, "dev": dev, "test": test, "seed": seed},
    }
    if done := already_prepared(out_dir, settings):
        return done
    problems = [left_out_line("is a link to nothing", path) for path in listed if path not in files]
    read_files = _read_all(files, read, problems)
    selection = Selection(read_files.values(), tier, type, translation, where=folder)
    notes = Notes()
    sources = _with_own_ids(_sources(read_files, root, recordings, selection, keep_overlaps, problems, notes))
    _note_symbols(read_files, notes)
    with telling(problems):
        if not sources:
            raise InputError(f"no annotation can be used: {problems[0]}", where=folder)
        split_by = _possible_split(split_by, sources, folder)
        splits = split_sources(
            sources, [""] * len(sources), split_by=split_by, dev=dev, test=test, seed=seed, where=folder
        )
    return write_corpus(out_dir, splits, settings, left_out=problems, notes=notes, progress=progress)


def _sources(
    files: dict[Path, AnnotationFile],
    root: Path,
    recordings: dict[str, list[Path]],
    selection: Selection,
    keep_overlaps: bool,
    problems: list[str],
    notes: Notes,
) -> list[Source]:
    """The utterances of all files; what cannot be used joins the problems."""
    sources: list[Source] = []
    for path, annotated in files.items():
        problems += [left_out_line(problem, path) for problem in annotated.problems]
        try:
            found = _utterances(path, root, annotated, recordings, selection, problems)
        except InputError as e:
            problems.append(left_out_line(str(e), path))
            continue
        names = Counter(tier.name for tier in selection.chosen(annotated.tiers))
        for name in [name for name, n in names.items() if n > 1]:
            notes.count(f"files of several tiers {name!r}: rename them where they are of several speakers", str(path))
        found = _without_repeats(found, problems, notes)
        sources += found if keep_overlaps else _alone(found, problems)
    return sources


def _possible_split(split_by: str, sources: Sequence[Source], folder: Path) -> str:
    """How to split: auto is random where speakers are too few, or not named."""
    speakers = {source.speaker for source in sources}
    if split_by != "auto" or (len(speakers) >= 3 and "" not in speakers):
        return split_by
    unnamed = sum(not source.speaker for source in sources)
    few = f"{len(speakers)} speakers are too few" if len(speakers) > 1 else "there is one speaker"
    why = f"{unnamed} utterances name no speaker" if unnamed else few
    log.warning("%s: %s: split at random, dev and test have voices of train", folder, why)
    return "random"


def _read_all(
    files: Sequence[Path], read: Callable[[Path], AnnotationFile], problems: list[str]
) -> dict[Path, AnnotationFile]:
    """What can be read."""
    found = {}
    for path in files:
        try:
            found[path] = read(path)
        except InputError as e:
            problems.append(str(e))
    if not found:
        with telling(problems):
            raise InputError(problems[0])
    return found


def _other_files(folder: Path) -> str:
    """What of a folder something else reads, for those who took the wrong command."""
    endings = {".eaf": "asr prepare elan", ".textgrid": "asr prepare textgrid"}
    endings |= dict.fromkeys((".trs", ".flextext", ".cha", ".exb", ".antx", ".srt", ".vtt"), "import them into ELAN")
    counts = Counter(path.suffix.lower() for path in find_files(folder, *endings))
    return ", ".join(f"there are {n} {ending}: {endings[ending]}" for ending, n in counts.most_common(2))


def _note_symbols(files: Mapping[Path, AnnotationFile], notes: Notes) -> None:
    """Tells which of Praat's backslash sequences became characters, and which are none of its."""
    seen: Counter[str] = Counter()
    first: dict[str, Path] = {}
    for path, annotated in files.items():
        seen.update(annotated.symbols)
        for each in annotated.symbols:
            first.setdefault(each, path)
    known, unknown = ([each for each in seen.most_common() if (each[0] in SYMBOLS) == right] for right in (True, False))
    if known:
        shown = ", ".join(f"{each} {SYMBOLS[each]} {n:,} times" for each, n in known[:_SHOWN])
        notes.say(f"{len(known):,} of Praat's backslash symbols became characters: {shown}")
    if unknown:
        shown = ", ".join(f"{each!r} {n:,} times" for each, n in unknown[:_SHOWN])
        notes.say(f"{first[unknown[0][0]]}: a backslash that is no symbol of Praat's stays as it is: {shown}")


def _recordings(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Recordings below folders, by their plain names in lower case."""
    found: dict[str, list[Path]] = {}
    for path in dict.fromkeys(path for folder in folders for path in find_files(folder, *SUFFIXES)):
        found.setdefault(_key(path.name), []).append(path)
    return found


def _digest(recordings: dict[str, list[Path]]) -> str:
    """Of names and sizes: when recordings come or change, a corpus is prepared anew."""
    paths = sorted(path for several in recordings.values() for path in several if path.is_file())
    listed = "".join(f"{path} {path.stat().st_size}\n" for path in paths)
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _recording(
    path: Path, root: Path, annotated: AnnotationFile, recordings: dict[str, list[Path]]
) -> tuple[Path, float]:
    """That of a file, and where in it the file's time begins: one that it names, else one of its own name; sound before
    film. Of several of one name the one whose folders are those that the file names, or those of the file itself.

    Raises:
        InputError: There is none, or it is not clear which.
    """
    named = [(media.path, media.offset) for media in annotated.media]
    named += [(path.stem + ending, 0.0) for ending in sorted(SUFFIXES)]
    for name, offset in sorted(named, key=lambda each: each[0].lower().endswith(VIDEO)):
        several = recordings.get(_key(PurePosixPath(name).name), [])
        beside = path.parent / name
        exact = [each for each in several if beside.exists() and each.exists() and each.samefile(beside)]
        if exact or len(several) == 1:
            return (exact or several)[0], offset
        if several:
            own = path.relative_to(root).with_name(PurePosixPath(name).name)
            ranks = [
                (each.parent == path.parent, _common(each, PurePosixPath(name)), _common(each, own)) for each in several
            ]
            best = max(ranks)
            if ranks.count(best) > 1:
                there = ", ".join(str(each) for each, rank in zip(several, ranks, strict=True) if rank == best)
                raise InputError(f"its recording may be any of {there}: leave one")
            return several[ranks.index(best)], offset
    shown = ", ".join(dict.fromkeys(PurePosixPath(media.path).name for media in annotated.media)) or f"{path.stem}.wav"
    raise InputError(f"its recording ({shown}) is not there: name its folder by --media")


def _common(one: PurePath, other: PurePath) -> int:
    """How many folders of two paths are the same, from their ends."""
    pairs = zip(reversed(one.parent.parts), reversed(other.parent.parts), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if _key(a) != _key(b)), min(len(one.parts), len(other.parts)) - 1)


def _with_own_ids(sources: Sequence[Source]) -> list[Source]:
    """Sources, each with an id of its own."""
    seen: Counter[str] = Counter()
    taken = {source.id for source in sources}
    found = []
    for source in sources:
        seen[source.id] += 1
        name, number = source.id, seen[source.id]
        while number > 1 and (name := f"{source.id}-{number}") in taken:
            number += 1
        taken.add(name)
        found.append(replace(source, id=name))
    return found


def _key(name: str) -> str:
    return plain_name(name).casefold()


def _utterances(
    path: Path,
    root: Path,
    annotated: AnnotationFile,
    recordings: dict[str, list[Path]],
    selection: Selection,
    problems: list[str],
) -> list[Source]:
    """The annotations of a file that have a text and a time; those of a parent on one tier are one text.

    Raises:
        InputError: It has none of the tiers, or no recording that can be read.
    """
    tiers = selection.chosen(annotated.tiers)
    if not tiers:
        raise InputError(f"has none of the tiers, only {names_of(annotated.tiers)}")
    audio, offset = _recording(path, root, annotated, recordings)
    length, translations = audio_info(audio).duration, selection.translations(annotated.tiers)
    prefix = path.relative_to(root).with_suffix("").as_posix().replace("/", "-")
    sources = []
    for tier in tiers:
        name = f"{prefix}-{tier.name}" if len(tiers) > 1 else prefix
        if tier.annotations and all(each.start == each.end for each in tier.annotations):
            what = f"its {len(tier.annotations):,} annotations are points of time, which have no duration"
            problems.append(left_out_line(what, f"{path}, tier {tier.name!r}"))
            continue
        for annotation in _joined(tier):
            source = Source(
                id="_".join(f"{name}-{annotation.number}".split()),
                audio=audio,
                text=annotation.text,
                speaker=selection.speaker(tier),
                start=annotation.start + offset,
                duration=annotation.end - annotation.start,
                origin=f"{path}, tier {tier.name!r}, annotation {annotation.number}",
                translation=translations.get(annotation.id, translations.get(annotation.parent, "")),
            )
            try:
                _check(source, annotation, length)
                sources.append(source)
            except InputError as e:
                problems.append(left_out_line(str(e), source.origin))
    return sources


def _check(source: Source, annotation: Annotation, length: float) -> None:
    if not annotation.text:
        raise InputError("has no text")
    if annotation.end <= annotation.start:
        raise InputError(f"has no duration: {annotation.start:.3f} to {annotation.end:.3f} s")
    span(source, length)
    check_source(source)


def _joined(tier: Tier) -> Iterator[Annotation]:
    """Annotations; where several have parts of the time of one above (words of a phrase), their text is one."""
    of_owner: dict[str, list[Annotation]] = {}
    for annotation in tier.annotations:
        if annotation.owner:
            of_owner.setdefault(annotation.owner, []).append(annotation)
        else:
            yield annotation
    for several in of_owner.values():
        text = " ".join(each.text for each in several if each.text)
        first = several[0]
        start, end = min(each.start for each in several), max(each.end for each in several)
        yield Annotation(start, end, text, first.number, first.id, first.owner)


def _without_repeats(sources: Sequence[Source], problems: list[str], notes: Notes) -> list[Source]:
    """Utterances of a file, each stretch of a speaker once: the same text on it again is passed over, and counted;
    others are left out with the first, for nobody knows which is right."""
    of_stretch: dict[tuple[str, float, float], list[Source]] = {}
    for source in sources:
        key = (source.speaker, round(source.start, 3), round(source.duration or 0.0, 3))
        of_stretch.setdefault(key, []).append(source)
    kept = []
    for several in of_stretch.values():
        if len({source.text for source in several}) > 1 and several[0].speaker:
            problems += [left_out_line(_ANOTHER_TEXT, source.origin) for source in several]
            continue
        kept.append(several[0])
        for source in several[1:]:
            notes.count(
                "annotations that stand there already, with the same times and text, passed over", source.origin
            )
    return kept


def _alone(sources: list[Source], problems: list[str]) -> Iterator[Source]:
    """Utterances of a file, in their order, but for those that another speaker talks over for more than a part."""
    for source, shares in zip(sources, shared_seconds(sources), strict=True):
        others = {speaker: share for speaker, share in shares.items() if speaker != source.speaker}
        loudest = max(others, key=lambda speaker: others[speaker], default="")
        if loudest and others[loudest] > OVERLAP * (source.duration or 0):
            problems.append(left_out_line(f"{loudest} speaks at the same time", source.origin))
        else:
            yield source
