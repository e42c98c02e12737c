"""What ELAN's and Praat's files have in common: tiers of a folder of files become utterances.

Recordings are found by the names that a file gives, in the folder or below `media`, else by the file's own name.
Nothing that stands in a file leads out of these folders.
"""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from asr.audio.reader import SUFFIXES, audio_info
from asr.data.tiers import Annotation, AnnotationFile, Tier
from asr.utils.errors import InputError
from asr.utils.files import files_sha256
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    already_prepared,
    check_source,
    find_files,
    left_out_line,
    telling,
    write_corpus,
)
from data_prep._splits import check_split, split_sources

log = logging.getLogger(__name__)

VIDEO = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".mpg", ".mpeg", ".m2ts", ".wmv", ".flv", ".3gp", ".webm", ".ogv")
OVERLAP = 0.25  # of an utterance, that may be of other speakers, too


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
    root = folder.parent if folder.is_file() else folder
    files = [path for path in listed if path.is_file()]
    if not files:
        raise InputError(f"holds no {ending} file", where=folder)
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
    found = _Found(problems=[left_out_line("is a link to nothing", path) for path in listed if path not in files])
    read_files = _read_all(files, read, found.problems)
    chosen = _chooser(read_files, tier, type, translation, where=folder)
    speakers_of = _speakers_by_name([[t for t in each.tiers if chosen(t)] for each in read_files.values()])
    for path, annotated in read_files.items():
        found.problems += [left_out_line(problem, path) for problem in annotated.problems]
        tiers = [each for each in annotated.tiers if chosen(each)]
        if not tiers:
            found.problems.append(left_out_line(f"has none of the tiers, only {_names(annotated.tiers)}", path))
            continue
        try:
            audio, offset = _recording(path, root, annotated, recordings)
            length = audio_info(audio).duration
        except InputError as e:
            found.problems.append(left_out_line(str(e), path))
            continue
        of_file = _utterances(path, root, annotated, tiers, audio, translation, speakers_of, offset, length, found)
        for source, others in _with_overlaps(of_file):
            if others and not keep_overlaps:
                found.problems.append(left_out_line(f"{others} speaks at the same time", source.origin))
            else:
                found.sources.append(source)
    if not found.sources:
        with telling(found.problems):
            raise InputError(f"no annotation can be used: {found.problems[0]}", where=folder)
    sources = _with_own_ids(found.sources)
    speakers = {source.speaker for source in sources}
    if split_by == "auto" and (len(speakers) < 3 or "" in speakers):
        split_by = "random"
        unnamed = sum(not source.speaker for source in sources)
        few = f"{len(speakers)} speakers are too few" if len(speakers) > 1 else "there is one speaker"
        why = f"{unnamed} utterances name no speaker" if unnamed else few
        log.warning("%s: %s: split at random, dev and test have voices of train", folder, why)
    labels = [""] * len(sources)
    with telling(found.problems):
        splits = split_sources(sources, labels, split_by=split_by, dev=dev, test=test, seed=seed, where=folder)
    return write_corpus(out_dir, splits, settings, left_out=found.problems, progress=progress)


@dataclass
class _Found:
    sources: list[Source] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


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


def _speakers_by_name(files: Iterable[Sequence[Tier]]) -> set[str]:
    """The names of wanted tiers that are a speaker's, for want of a better: where no tier of any file says whose it is,
    those that stand beside another one in some file. (Two tiers of one name in two files may be anybody's.)"""
    tiers = [[tier for tier in each if any(annotation.text for annotation in tier.annotations)] for each in files]
    if any(_speaker(tier) for each in tiers for tier in each):
        return set()
    return {tier.name for each in tiers if len(each) > 1 for tier in each}


def _speaker(tier: Tier) -> str:
    """Whom a tier says that it is of."""
    return tier.speaker or (tier.name.rpartition("@")[2] if "@" in tier.name else "")


def _chooser(
    files: dict[Path, AnnotationFile], names: Sequence[str], kind: str | None, translation: str | None, where: Path
) -> Callable[[Tier], bool]:
    """Which tiers are wanted."""
    tiers = [tier for annotated in files.values() for tier in annotated.tiers]
    for name in names:
        if not any(_matches(tier.name, name) for tier in tiers):
            raise InputError(f"no file has a tier {name}", where=where, remedy=f"there are {_names(tiers)}")
    if kind and not any(_same(tier.type, kind) for tier in tiers):
        raise InputError(f"no file has a tier of type {kind}", where=where, remedy=f"there are {_names(tiers)}")
    if translation and not any(_matches(each, translation) for tier in tiers for each in (tier.name, tier.type)):
        raise InputError(f"no file has a tier or type {translation}", where=where, remedy=f"there are {_names(tiers)}")
    if names or kind:
        return lambda tier: any(_matches(tier.name, name) for name in names) or (bool(kind) and _same(tier.type, kind))
    tops = Counter(tier.name for tier in tiers if not tier.parent)
    spoken = {tier.name for tier in tiers if any(annotation.text for annotation in tier.annotations)}
    common = [name for name, count in tops.items() if count == len(files) and name in spoken]
    if len(common) != 1:
        raise InputError(
            "it is not clear which tier holds the texts", where=where, remedy=f"name it: --tier; {_names(tiers)}"
        )
    return lambda tier: tier.name == common[0]


def _same(one: str, other: str | None) -> bool:
    """However accents are written."""
    return unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other or "")


def _matches(name: str, pattern: str) -> bool:
    """Whether a name is a pattern's, in which * stands for anything. However accents are written."""
    name, pattern = (unicodedata.normalize("NFC", text) for text in (name, pattern))
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    if not name.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return name.endswith(rest[-1]) and len(name) - len(rest[-1]) >= at


def _names(tiers: Iterable[Tier]) -> str:
    """Tiers for a message: how many texts each has, and its type."""
    counts: Counter[tuple[str, str]] = Counter()
    for tier in tiers:
        counts[tier.name, tier.type] += sum(bool(annotation.text) for annotation in tier.annotations)
    shown = [f"{name!r}{f' (type {kind})' if kind else ''}: {n} texts" for (name, kind), n in counts.most_common(12)]
    return ", ".join(shown) + (f" and {len(counts) - 12} others" if len(counts) > 12 else "") or "none"


def _recordings(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Recordings below folders, by their name in lower case, without accents' other spelling."""
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
    return unicodedata.normalize("NFC", name).lower()


def _utterances(
    path: Path,
    root: Path,
    annotated: AnnotationFile,
    tiers: Sequence[Tier],
    audio: Path,
    translation: str | None,
    speakers_of: Collection[str],
    offset: float,
    length: float,
    found: _Found,
) -> list[Source]:
    """The annotations of a file that have a text and a time; those of a parent on one tier are one text."""
    prefix = path.relative_to(root).with_suffix("").as_posix().replace("/", "-")
    below = [t for t in annotated.tiers if translation and any(_matches(n, translation) for n in (t.name, t.type))]
    of_parent: dict[str, str] = {}
    for annotation in (a for each in below for a in each.annotations if a.parent):
        of_parent[annotation.parent] = f"{of_parent.get(annotation.parent, '')} {annotation.text}".strip()
    sources = []
    for tier in tiers:
        speaker = _speaker(tier) or (tier.name if tier.name in speakers_of else "")
        for annotation in _joined(tier):
            origin = f"{path}, tier {tier.name!r}, annotation {annotation.number}"
            name = f"{prefix}-{annotation.number}" if len(tiers) == 1 else f"{prefix}-{tier.name}-{annotation.number}"
            seconds = annotation.end - annotation.start
            source = Source(
                id="_".join(name.split()),
                audio=audio,
                text=annotation.text,
                speaker=speaker,
                start=annotation.start + offset,
                duration=seconds,
                origin=origin,
                translation=of_parent.get(annotation.id, of_parent.get(annotation.parent, "")),
            )
            try:
                if not annotation.text:
                    raise InputError("has no text")
                if seconds <= 0:
                    raise InputError(f"has no duration: {annotation.start:.3f} to {annotation.end:.3f} s")
                if not 0 <= source.start < source.start + seconds <= length + 0.02:
                    where = f"{source.start:.3f} to {source.start + seconds:.3f} s"
                    raise InputError(f"is at {where}, the recording is {length:.3f} s long")
                check_source(source)
                sources.append(source)
            except InputError as e:
                found.problems.append(left_out_line(str(e), origin))
    return sources


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


def _with_overlaps(sources: list[Source]) -> Iterator[tuple[Source, str]]:
    """Utterances of a file, in their order, and the speaker who talks over one for more than a part of it, if any."""
    ordered = sorted(sources, key=lambda source: source.start)
    running: list[Source] = []
    over: dict[int, dict[str, float]] = {}
    for source in ordered:
        running = [each for each in running if each.start + (each.duration or 0) > source.start]
        for other in running:
            if other.speaker != source.speaker:
                end = min(other.start + (other.duration or 0), source.start + (source.duration or 0))
                for one, two in ((source, other), (other, source)):
                    shares = over.setdefault(id(one), {})
                    shares[two.speaker] = shares.get(two.speaker, 0.0) + end - source.start
        running.append(source)
    for source in sources:
        shares = over.get(id(source), {})
        loudest = max(shares, key=lambda speaker: shares[speaker], default="")
        yield source, loudest if loudest and shares[loudest] > OVERLAP * (source.duration or 0) else ""
