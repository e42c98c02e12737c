"""Characters that are broken, invisible, of another script, look-alike, spelt in two ways, unseen or rare."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence

from asr.data.check.confusables import (
    broken_pieces,
    invisible_characters,
    latin_skeleton,
    name,
    script,
    skeleton,
    strange_letters,
)
from asr.data.check.report import Example, Finding, Row, found
from asr.text.labels import labels_in
from asr.text.normalize import TextConfig, TextNormalizer
from asr.utils.unicode import graphemes

_SOFT = set("\u00ad\u200b")  # where a word may be broken: no letters
_COLON = re.compile(r"[^\W\d_]:[^\W\d_]")
_RARE = 5  # a character seen less often in training is hardly learnt


def check_characters(rows: Sequence[Row], training: Sequence[Row], normalizer: TextNormalizer) -> Iterator[Finding]:
    """Faults of the characters, each named once: one that is broken is not told to be rare, too.

    Args:
        rows: All utterances.
        training: Those of training.
        normalizer: By which their texts were normalised.
    """
    times: Counter[str] = Counter()
    in_training: Counter[str] = Counter()
    first: dict[str, str] = {}  # -> the id of the utterance that has it first
    ids = set(map(id, training))
    for row in rows:
        characters = Counter(graphemes(row.text))
        times.update(characters)
        if id(row) in ids:
            in_training.update(characters)
        for character in characters:
            first.setdefault(character, row.utterance.id)

    def example(character: str, more: str = "") -> Example:
        return Example(character, f"{name(character)}, {times[character]:,} times, first in {first[character]}{more}")

    broken = _broken(rows)
    yield from found(
        "broken-characters",
        "warning",
        "characters that no text should have",
        "save the texts as UTF-8 again from where they came, or mend them by model.text.replace",
        [Example(piece, f"{what}, {len(ids):,} times, first in {ids[0]}") for (piece, what), ids in broken.items()],
    )
    strange = _strange(rows)
    yield from found(
        "mixed-scripts",
        "warning",
        "letters of another script than the words they stand in",
        "if they only look right, replace them (model.text.replace): the model learns them as letters of their own",
        [
            Example(letter, f"{name(letter)}, in {len(where):,} words, first in '{where[0][0]}' ({where[0][1]})")
            for letter, where in strange.items()
        ],
    )
    alike = _look_alikes(times)
    yield from found(
        "look-alikes",
        "warning",
        "characters that look like another of the corpus",
        "make them one by model.text.replace",
        [example(c, f", looks like {other}, {name(other)}") for c, other in alike.items()],
    )
    yield from _two_spellings(rows)
    yield from _invisible(rows)
    yield from _dropped(normalizer, sum(len(r.text.split()) for r in rows), {c for piece, _ in broken for c in piece})
    yield from _labels(rows)
    yield from _colons(rows)
    yield from _dotless(rows, normalizer.config)

    told = {*strange, *alike, *(c for piece, _ in broken for c in graphemes(piece.lower()))}
    yield from found(
        "unseen-characters",
        "warning",
        "characters that training never has",
        "each is an error that nothing mends but training text that has it",
        [example(c) for c in times if c not in in_training and c not in told],
    )
    rare = [c for c, n in in_training.items() if n < _RARE and c not in told]
    yield from found(
        "rare-characters",
        "note",
        f"characters that training has fewer than {_RARE} times",
        "they are hardly learnt; if they are slips, mend them",
        [Example(c, f"{name(c)}, {in_training[c]} times, first in {first[c]}") for c in rare],
        len(in_training),
    )


def _dropped(normalizer: TextNormalizer, total: int, told: Container[str]) -> Iterator[Finding]:
    """What normalisation took out of the texts, of `total` words; within words it may be a letter of the language."""
    letters = "if it is one of the language's letters, name it in model.text.letters"
    for kind, words, what, remedy in (
        (
            "parted-words",
            normalizer.parted,
            "characters whose removal parts words",
            f"{letters}; if the words are two, or it is a slip, mend the text or use model.text.replace",
        ),
        ("dropped-at-edges", normalizer.edges, "characters that are removed where words begin or end", letters),
        (
            "dropped-within-words",
            normalizer.inside,
            "characters that are removed between letters",
            "if one is a letter, write it by another character (model.text.replace)",
        ),
    ):
        cases = [(c, each) for c, each in words.items() if c not in told and c not in _SOFT]
        count = sum(each.total() for _, each in cases)
        share = {"parted-words": 0.001, "dropped-at-edges": 0.01}.get(kind, 1.0)  # of words: more is no slip
        often = count >= max(_RARE, share * total)
        yield from found(
            kind,
            "warning" if often else "note",
            f"{what}, {count:,} of {total:,} words",
            remedy,
            [Example(repr(c), f"in {_times(each)}") for c, each in sorted(cases, key=lambda x: -x[1].total())],
        )
    changes = normalizer.changes
    yield from found(
        "marks-made-one",
        "note",
        "marks within words that are written in several ways",
        "training makes them one; mend them for other programs",
        [Example(change, f"{n:,} times") for change, n in changes.most_common() if change.startswith("wrote ")],
    )
    dropped = [(c, n) for c, n in normalizer.dropped.most_common() if c not in told]
    yield from found(
        "dropped-characters",
        "note",
        "characters that training leaves out",
        "if one of them is said, or is a letter, name it in model.text.letters or replace it (model.text.replace)",
        [
            Example(repr(c), f"{name(c)}, {n:,} times, first in '{' '.join(normalizer.examples[c].split())}'")
            for c, n in dropped
        ],
    )


def _labels(rows: Sequence[Row]) -> Iterator[Finding]:
    labels: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for label in labels_in(row.utterance.text):
            labels[label].append(row.utterance.id)
    cases = sorted(labels.items(), key=lambda item: -len(item[1]))
    yield from found(
        "labels",
        "warning",
        "labels that are learnt as words",
        "leave out texts that hold nothing else, and take the rest out by model.text.replace, such as {'[noise]': ''}",
        [Example(label, f"{len(ids):,} times, first in {ids[0]}") for label, ids in cases],
    )


def _colons(rows: Sequence[Row]) -> Iterator[Finding]:
    words = Counter(word for row in rows for word in row.text.split() if _COLON.search(word))
    yield from found(
        "colons-within-words",
        "note",
        f"a colon that stays within words, {words.total():,} times",
        "right for EU:n and k:a; where it ends a word, write a space behind it",
        [Example(repr(":"), f"in {_times(words)}")] if words else [],
    )


def _times(words: Counter[str]) -> str:
    first = ", ".join(f"'{word}'" for word, _ in words.most_common(3))
    return f"{words.total():,} words, such as {first}"


def _dotless(rows: Sequence[Row], text: TextConfig) -> Iterator[Finding]:
    """Letters of Turkish and its like, whose case is another, where no language is named."""
    dotless = (
        [] if text.language or text.case == "keep" else [r for r in rows if set("\u0131\u0130") & set(r.utterance.text)]
    )
    yield from found(
        "dotless-i",
        "warning",
        "texts with \u0131 or \u0130, whose case is that of English",
        "name the language (model.text.language=tr, az, crh, tt): else I becomes i, and \u0130 an i with a second dot",
        [r.example(r.shown) for r in dotless],
        len(rows),
    )


def _broken(rows: Sequence[Row]) -> dict[tuple[str, str], list[str]]:
    """What should not be in the publisher's texts and what it is -> ids."""
    pieces: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        for found_there in broken_pieces(row.utterance.text):
            pieces[found_there].append(row.utterance.id)
    return pieces


def _strange(rows: Sequence[Row]) -> dict[str, list[tuple[str, str]]]:
    """Letters that are not of their word's script -> (word, id). A word all of look-alikes counts, too, where the
    corpus has the word it looks like."""
    words: dict[str, str] = {}
    scripts: Counter[str] = Counter()
    for row in rows:
        for word in row.text.split():
            words.setdefault(word, row.utterance.id)
            scripts["Latin" if word.isascii() else script(word)] += 1
    letters: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for word, key in words.items():
        if word.isascii():
            continue
        strange = strange_letters(word, scripts)
        plain = latin_skeleton(word)
        if not strange and len(word) > 1 and plain != word and plain in words:
            strange = [c for c in word if script(c) in ("Cyrillic", "Greek")]
        for letter in dict.fromkeys(strange):
            letters[letter].append((word, key))
    return letters


def _look_alikes(times: Counter[str]) -> dict[str, str]:
    """Characters that look like a more frequent one -> that one."""
    groups: dict[str, list[str]] = defaultdict(list)
    for character in times:
        groups[skeleton(character)].append(character)
    alike = {}
    for group in groups.values():
        most, *others = sorted(group, key=lambda c: (-times[c], c))
        alike.update(dict.fromkeys(others, most))
    return alike


def _two_spellings(rows: Sequence[Row]) -> Iterator[Finding]:
    decomposed, composed = [], 0
    for row in rows:
        raw = row.utterance.text
        if not raw.isascii():
            if unicodedata.normalize("NFC", raw) != raw:
                decomposed.append(row)
            elif unicodedata.normalize("NFD", raw) != raw:
                composed += 1
    if composed:
        yield from found(
            "two-spellings",
            "note",
            "texts that spell accents as marks of their own (not NFC), where others do not",
            "training makes them one; mend them for other programs",
            [r.example(r.shown) for r in decomposed],
            len(rows),
        )


def _invisible(rows: Sequence[Row]) -> Iterator[Finding]:
    ids: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for character in invisible_characters(row.utterance.text):
            ids[character].append(row.utterance.id)
    yield from found(
        "invisible-characters",
        "note",
        "characters that nobody sees",
        "training leaves them out",
        [Example(c, f"{name(c)}, {len(where):,} times, first in {where[0]}") for c, where in ids.items()],
    )
