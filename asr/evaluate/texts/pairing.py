"""Which hypothesis is of which reference: by id, by recording, by time."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import regex

from asr.evaluate.texts.alternations import closest, first
from asr.evaluate.texts.contents import IDS, LINES, Piece, Texts, named_segments, several_channels, whole_recordings
from asr.evaluate.texts.lines import check_lines
from asr.evaluate.texts.tables import is_id_like
from asr.evaluate.wer import Unit
from asr.utils.errors import InputError
from asr.utils.files import find_path, is_there
from asr.utils.unicode import graphemes

_ENDING = regex.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")


@dataclass(frozen=True)
class Pairs:
    """References and hypotheses, one by one in the order of the references."""

    ids: list[str]
    references: list[str]
    hypotheses: list[str]  # empty where there is none
    theirs: list[str | None]  # the id of each hypothesis in its own file
    speakers: list[str]  # as the two files tell them; empty where neither does
    missing: list[str]  # ids of references without a hypothesis
    extra: list[str]  # ids of hypotheses without a reference
    notes: list[str]  # what has to be told


def pair(references: Texts, hypotheses: Texts, *, unit: Unit = "words") -> Pairs:
    """Pairs the references of a file with the hypotheses of another, or of the same.

    A missing hypothesis counts as an empty one, so its words as deletions; a superfluous one is left out.

    Args:
        unit: What errors are counted in: by it the best of several readings of a reference is chosen.

    Raises:
        InputError: One file holds no such texts, or no id is in both.
    """
    if hypotheses.references and not hypotheses.hypotheses:
        raise InputError("holds references and no hypotheses", where=hypotheses.path)
    notes: list[str] = []
    if _is_itself(references, hypotheses):
        notes.append("is compared with itself: REF and HYP are the same texts of one file")
    if references.format == hypotheses.format == LINES:
        check_lines(references, hypotheses, notes)
    references, hypotheses = (
        _of_one_recording(references, hypotheses, notes),
        _of_one_recording(hypotheses, references, notes),
    )
    if references.pieces and (hypotheses.pieces or not hypotheses.hypotheses):
        ref_texts, hyp_texts, speakers = _by_time(references, hypotheses, notes)
    else:
        ref_texts, hyp_texts = dict(references.references), dict(hypotheses.hypotheses)
        speakers = {**hypotheses.speakers, **references.speakers}
        if ignored := sum(piece.ignored for piece in references.pieces):
            notes.append(f"words within {ignored} segments not to be scored count as errors: these texts have no times")
    single = _nameless(references, hypotheses) and len(ref_texts) == len(hyp_texts) == 1
    theirs = _partners(list(ref_texts), list(hyp_texts), single, notes, bool(references.pieces or hypotheses.pieces))
    missing = [key for key in ref_texts if key not in theirs]
    taken = {*theirs.values()}
    extra = [key for key in hyp_texts if key not in taken]
    if missing:
        notes.append(f"{len(missing)} references have no hypothesis and count as deletions (first: {missing[0]})")
    if extra:
        notes.append(f"{len(extra)} hypotheses have no reference and are left out (first: {extra[0]})")
    own = hypotheses.references if "reference" in hypotheses.fields else {}
    differ = [key for key, their in theirs.items() if own and own.get(their, "").split() != ref_texts[key].split()]
    if differ:
        notes.append(f"{len(differ)} of its own references are others than those of REF (first: {differ[0]})")
    texts = [hyp_texts[theirs[key]] if key in theirs else "" for key in ref_texts]
    if hypotheses.unread and texts == list(ref_texts.values()):
        raise InputError(
            f"holds the texts of REF themselves; {' and '.join(map(repr, hypotheses.unread))} would be passed over",
            where=hypotheses.path,
            remedy="rename the field of the hypotheses to `hypothesis`",
        )
    if hypotheses.markup:
        texts = [first(text) for text in texts]
    chosen = list(ref_texts.values())
    if references.markup:
        cut = _letters if unit == "characters" else str.split
        chosen = [closest(text, other, cut) for text, other in zip(chosen, texts, strict=True)]
    voices = [speakers.get(key) or speakers.get(theirs.get(key, ""), "") for key in ref_texts]
    return Pairs([*ref_texts], chosen, texts, [theirs.get(key) for key in ref_texts], voices, missing, extra, notes)


def _is_itself(references: Texts, hypotheses: Texts) -> bool:
    """Whether what is compared are the same texts of the same file."""
    paths = find_path(references.path), find_path(hypotheses.path)
    same = paths[0] == paths[1] or (is_there(paths[0]) and is_there(paths[1]) and paths[0].samefile(paths[1]))
    return same and bool(references.references) and references.references == hypotheses.hypotheses


def _of_one_recording(texts: Texts, other: Texts, notes: list[str]) -> Texts:
    """Plain lines as one text, where the other file has that of one recording."""
    if texts.format != LINES or not other.pieces:
        return texts
    whole = {texts.path.stem: " ".join(filter(None, texts.references.values()))}
    notes.append(f"the plain lines of {texts.path}, {len(texts.references)}, are joined to one text")
    return replace(texts, references=whole, hypotheses=whole, named=False)


def _nameless(references: Texts, hypotheses: Texts) -> bool:
    """Whether a file does not name its recording, and the first words of the other look like ids, if they are such."""
    ids = [*(references.references if references.format == IDS else ())]
    ids += hypotheses.hypotheses if hypotheses.format == IDS else ()
    return not (references.named and hypotheses.named) and all(map(is_id_like, ids))


def _letters(text: str) -> list[str]:
    return graphemes("".join(text.split()))


def _partners(
    ref_ids: Sequence[str], hyp_ids: Sequence[str], single: bool, notes: list[str], recordings: bool
) -> dict[str, str]:
    """The id of the hypothesis of each reference; where no id is the same, by the names of files alone.

    Args:
        single: Each side has but one text, one of them without a name of its own.
        recordings: The ids of one side are names of recordings.
    """
    if not hyp_ids or not ref_ids:
        return {}
    both = {*ref_ids} & {*hyp_ids}
    rest = [[key for key in ids if key not in both] for ids in (ref_ids, hyp_ids)]
    alike = _alike(*rest, ends_only=bool(both), notes=notes) if all(rest) else {}
    if partners := {key: key if key in both else alike[key] for key in ref_ids if key in both or key in alike}:
        return partners
    if single:  # neither could be another's
        notes.append(f"the only text is compared with that of {ref_ids[0]!r}")
        return {ref_ids[0]: hyp_ids[0]}
    remedy = "if these are plain lines in order, use --lines"
    if recordings:
        remedy = "begin the line of a recording's text with its name, or use --lines if lines are plain"
    raise InputError(
        f"references and hypotheses have no id in common ({ref_ids[0]!r} stands first in the one,"
        f" {hyp_ids[0]!r} in the other)",
        remedy=remedy,
    )


def _alike(ref_ids: Sequence[str], hyp_ids: Sequence[str], *, ends_only: bool, notes: list[str]) -> dict[str, str]:
    """Ids that are the same by the ends of paths: by file names, or as many folders above as tell all apart.

    Args:
        ends_only: One of two ids has to be the end of the other.
    """
    parts = {key: _parts(key) for key in (*ref_ids, *hyp_ids)}
    for depth in range(1, 1 + max(map(len, parts.values()))):
        for fold in (str, str.casefold):
            ours, theirs = ({fold("/".join(parts[key][-depth:])): key for key in ids} for ids in (ref_ids, hyp_ids))
            if "" in ours or "" in theirs or (len(ours), len(theirs)) != (len(ref_ids), len(hyp_ids)):
                continue
            partners = {key: theirs[name] for name, key in ours.items() if name in theirs}
            if ends_only:
                partners = {key: their for key, their in partners.items() if _is_end(key, their)}
            if partners:
                key = next(iter(partners))
                what = "file name alone" if depth == 1 else f"the last {depth} parts of paths alone"
                what += ", in any case" if fold is not str else ""
                number = f"{len(partners)} " if ends_only else ""
                notes.append(f"{number}ids are the same by {what} ({key!r} is {partners[key]!r})")
                return partners
    return {}


def _parts(key: str) -> list[str]:
    """The folders and the file of a path, without its ending: "clips" and "a" of clips/a.wav."""
    return [part for part in _ENDING.sub("", key).replace("\\", "/").split("/") if part] or [""]


def _is_end(key: str, other: str) -> bool:
    shorter, longer = sorted((_parts(key.casefold()), _parts(other.casefold())), key=len)
    return longer[-len(shorter) :] == shorter


def _by_time(
    references: Texts, hypotheses: Texts, notes: list[str]
) -> tuple[dict[str, str], dict[str, str], Mapping[str, str]]:
    """References, hypotheses and speakers by id: of segments, where words or the same segments are given for them."""
    pieces = _same_recordings(references, hypotheses, notes)
    pieces = _same_channels(references.pieces, pieces)
    pieces = _without_ignored(references.pieces, pieces, notes)
    segments = named_segments([piece for piece in references.pieces if not piece.ignored])
    if not references.words and references.named:
        if hypotheses.words or not hypotheses.pieces:
            return (
                {key: piece.text for key, piece in segments.items()},
                _placed(segments, pieces, notes),
                references.speakers,
            )
        theirs = named_segments(pieces)
        if 2 * len(segments.keys() & theirs.keys()) > len(theirs):
            texts = [{key: piece.text for key, piece in each.items()} for each in (segments, theirs)]
            return texts[0], texts[1], references.speakers
    several = several_channels([*references.pieces, *pieces])
    ref_texts, hyp_texts = (whole_recordings(each, several) for each in (references.pieces, pieces))
    if references.named:
        notes.append(f"{len(ref_texts)} whole recordings are compared")
    return ref_texts, hyp_texts, {}


def _same_recordings(references: Texts, hypotheses: Texts, notes: list[str]) -> list[Piece]:
    """The hypotheses' pieces, of recordings called as the references call them."""
    ref_ids, hyp_ids = (
        list(dict.fromkeys(each.recording for each in texts.pieces)) for texts in (references, hypotheses)
    )
    single = _nameless(references, hypotheses) and len(ref_ids) == len(hyp_ids) == 1
    ours = {their: key for key, their in _partners(ref_ids, hyp_ids, single, notes, True).items()}
    if all(their == key for their, key in ours.items()):
        return [*hypotheses.pieces]
    return [replace(piece, recording=ours.get(piece.recording, piece.recording)) for piece in hypotheses.pieces]


def _same_channels(references: Iterable[Piece], pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces with their channels called as those of the references: 1 or A; any, where each side has but one."""
    pieces = list(pieces)
    ours: dict[str, set[str]] = {}
    theirs: dict[str, set[str]] = {}
    for of, each in [*((ours, piece) for piece in references), *((theirs, piece) for piece in pieces)]:
        of.setdefault(each.recording, set()).add(each.channel)

    def renamed(piece: Piece) -> Piece:
        known = ours.get(piece.recording, set())
        if piece.channel in known:
            return piece
        alike = [name for name in known if _letter(name) == _letter(piece.channel)]
        if len(known) == len(theirs[piece.recording]) == 1:
            alike = [*known]
        return replace(piece, channel=alike[0]) if alike else piece

    return [*map(renamed, pieces)]


def _letter(channel: str) -> str:
    return {"1": "A", "2": "B"}.get(channel, channel.upper())


def _without_ignored(references: Iterable[Piece], pieces: Iterable[Piece], notes: list[str]) -> list[Piece]:
    """Pieces without those whose middle lies where nothing is to be scored."""
    pieces = list(pieces)
    ignored: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for each in references:
        if each.ignored:
            ignored.setdefault((each.recording, each.channel), []).append((each.start, each.end))
    if not ignored:
        return pieces
    kept = []
    for piece in pieces:
        spans = ignored.get((piece.recording, piece.channel), ()) if piece.end > piece.start else ()
        if not any(start <= piece.middle <= end for start, end in spans):
            kept.append(piece)
    number, left_out = sum(map(len, ignored.values())), len(pieces) - len(kept)
    notes.append(f"{number} segments are not to be scored: {left_out} pieces that were heard there are left out")
    return kept


def _placed(segments: Mapping[str, Piece], words: Iterable[Piece], notes: list[str]) -> dict[str, str]:
    """The words of each segment, as sclite places them: by their middles, those between segments in the next one, those
    behind all in the last. Segments without words have an empty text where anything was heard of the recording."""
    of: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for key, piece in segments.items():
        of.setdefault((piece.recording, piece.channel), []).append((piece.end, key))
    ends: dict[tuple[str, str], tuple[list[float], list[str]]] = {}
    overlapping = 0
    for place, each in of.items():
        each.sort(key=lambda one: (one[0], segments[one[1]].start))
        ends[place] = [end for end, _ in each], [key for _, key in each]
        overlapping += sum(segments[key].start < end for (end, _), (_, key) in itertools.pairwise(each))
    texts: dict[str, list[str]] = {}
    recordings = set()
    outside = unknown = 0
    for word in sorted(words, key=lambda word: word.start):
        place = (word.recording, word.channel)
        if place not in ends:
            unknown += 1
            continue
        recordings.add(word.recording)
        times, keys = ends[place]
        key = keys[min(bisect_right(times, word.middle), len(keys) - 1)]
        outside += not segments[key].start <= word.middle <= segments[key].end
        texts.setdefault(key, []).append(word.text)
    if outside:
        notes.append(f"{outside} words lie in no segment and count as insertions in the next")
    if unknown:
        notes.append(f"{unknown} words are of recordings or channels without reference and are left out")
    if overlapping:
        notes.append(
            f"{overlapping} segments begin before another ends: words there are taken for the one that ends first"
        )
    return {key: " ".join(texts.get(key, ())) for key, piece in segments.items() if piece.recording in recordings}
