"""The lines of pronunciation dictionaries: what else such a text may be, headings, remarks, categories.

Texts of another kind are refused by name; what is passed over is told.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import regex

from asr.utils.errors import InputError

log = logging.getLogger(__name__)

Lines = list[tuple[int, str]]  # with their numbers

SHOWN = 40  # characters of a line in a message
OURS = "write word<TAB>units, with a space between units"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNSEEN = regex.compile(r"[\p{Cf}--[\u200c\u200d]]", regex.V1)  # but joiners, which shape letters
# Kinds of texts that are not read, by a line of theirs: what such a text is, the remedy.
_OTHERS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"\A\s*<(?:\?xml|lexicon)\b"), "is XML, such as a PLS lexicon", OURS),
    (re.compile(r"\A\s*(?:\{\s*\"|\[\s*[\"\[{])"), "is JSON", OURS),
    (re.compile(r"^[ \t]*\([ \t]*\"|\AMNCL", re.M), "is a lexicon of Festival", OURS),
    (re.compile(r"^\\data\\\s*$", re.M), "is a language model (ARPA), no list of words", ""),
    (
        re.compile(r"^//|^\.(?:group|L\d\d|replace)\b|[ \t]\$[a-z]\w*[ \t]*(?://.*)?\r?$", re.M),
        "is a dictionary source of eSpeak NG, whose phonemes are not separated",
        "asr lexicon --language asks eSpeak NG itself",
    ),
    (re.compile(r"^\S+\s+[(\[]'[^']*',", re.M), "holds lists as Python prints them", OURS),
    (
        re.compile(r"\A\s*[0-9]+-[0-9]+-[0-9]{4}\s+\S"),
        "holds transcripts, as LibriSpeech's .trans.txt",
        "`asr lexicon` makes a dictionary of the words of a text",
    ),
    (re.compile(r"^[0-9]+\\[^\d\\\n][^\\\n]*\\.", re.M), r"is a table of CELEX, with \ between columns", OURS),
)
# Names of columns as tables have them, in small letters and without accents.
_WORD_HEADINGS = {
    "word",
    "words",
    "text",
    "orthography",
    "orthographic",
    "grapheme",
    "graphemes",
    "spelling",
    "headword",
    "entry",
    "ortho",
    "token",
    "transcript",
    "wort",
    "worter",
    "schreibung",
    "mot",
    "mots",
    "orthographe",
    "graphie",
    "palabra",
    "palabras",
    "parola",
    "palavra",
    "woord",
    "слово",
    "単語",
    "词",
    "詞",
    "词语",
}
_UNIT_HEADINGS = {
    "pronunciation",
    "pronunciations",
    "phones",
    "phone",
    "phonemes",
    "phoneme",
    "units",
    "ipa",
    "transcription",
    "transcriptions",
    "pron",
    "phon",
    "phonetic",
    "phonetics",
    "phonemic",
    "sampa",
    "xsampa",
    "arpabet",
    "aussprache",
    "lautschrift",
    "prononciation",
    "phonetique",
    "pronunciacion",
    "fonemas",
    "fonetica",
    "transcripcion",
    "pronuncia",
    "fonemi",
    "uitspraak",
    "произношение",
    "транскрипция",
    "発音",
    "发音",
    "發音",
    "拼音",
}
_COUNT_HEADINGS = {"count", "counts", "frequency", "freq", "occurrences", "haufigkeit", "frequence", "frecuencia"}
_OTHER_HEADINGS = {*_COUNT_HEADINGS, "id", "index", "source", "prob", "probability", "rank"}
_REMARK = re.compile(r"(?<=\S)(\s+)(?:[#;]+\s+|#(?=[^\s0-9#]))(\S[^\t]*)$")
_SYMBOL = re.compile(r"#[0-9]+")  # of Kaldi, and no remark
_CATEGORY = re.compile(r"\s*%\s*\S+\s*")  # of Julius


def read_lines(text: str, path: str | Path) -> Lines:
    """Returns the lines of a dictionary that hold entries; `path` is for messages.

    Raises:
        InputError: The text is of another kind.
    """
    for pattern, what, remedy in _OTHERS:
        if match := pattern.search(text):
            fail(text.count("\n", 0, match.start()) + 1, what, path, remedy)
    lines = _without_heading(_lines(text, path), path)
    return _without_remarks(_without_categories(lines, path), path)


@lru_cache(maxsize=1000)
def tell(path: str | Path, what: str) -> None:
    """Logs a warning about a file, once: several parts of a command read the same one."""
    log.warning("%s: %s", path, what)


def fail(line: int, what: str, path: str | Path, remedy: str = "") -> NoReturn:
    raise InputError(what, where=f"{path}, line {line}", remedy=remedy)


def examples(texts: Iterable[str]) -> str:
    """The first, and how many there are: 'seven(2)' and 11 others."""
    several = list(texts)
    others = f" and {len(several) - 1:,} other{'s' if len(several) > 2 else ''}" if len(several) > 1 else ""
    return f"{several[0][:SHOWN]!r}{others}"


def _lines(text: str, path: str | Path) -> Lines:
    """The lines that hold something, without comments."""
    text = text.replace("\r\n", "\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as old Macs end lines
    if _UNSEEN.search(text):
        text, times = _UNSEEN.subn("", text)
        tell(path, f"characters that nobody sees, such as U+200B, are left out, {times:,} times")
    numbered = [(n, line.rstrip("\r")) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    lines = [(n, line) for n, line in numbered if not line.lstrip().startswith((";;", "##", "# "))]
    if _CONTROL.search(text.replace("\r\n", "\n")):
        for n, line in lines:
            if _CONTROL.search(line):  # a terminal would obey them
                fail(n, f"{line[:SHOWN]!r} has control characters", path)
    return lines


def _without_heading(lines: Lines, path: str | Path) -> Lines:
    """Lines without a first one that names the columns.

    Raises:
        InputError: The columns stand in another order, commas separate them, or none has pronunciations.
    """
    if not lines:
        return lines
    number, line = lines[0]
    separator = r"[\t,;|]+" if re.search(r"[\t,;|]", line) else r"\s+"
    names = [name.strip(" \"'") for name in re.split(separator, line.strip())]
    kinds = [_column(name) for name in names]
    begins = "\t" in line and kinds[:2] == ["word", "units"]  # whatever follows
    if not begins and (None in kinds or kinds.count("word") != 1 or len(kinds) < 2):
        return lines
    if kinds[0] != "word" or "units" not in kinds or re.search("[,;|]", line):
        what = "is a table" if "units" in kinds else "is a list of words"
        fail(number, f"{what} with the columns {', '.join(names)}", path, OURS)
    tell(path, f"the first line, {line.split()}, names columns, and is passed over")
    return lines[1:]


def _column(name: str) -> str | None:
    """What a column of such a name holds: word, units, other; None where the name is none that is known."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    parts = {*re.split(r"[\W_]+", bare), re.sub(r"[\W_]+", "", bare)}  # phoneme_sequence, X-SAMPA
    if _OTHER_HEADINGS & parts:
        return "other"
    return "units" if _UNIT_HEADINGS & parts else "word" if _WORD_HEADINGS & parts else None


def _without_categories(lines: Lines, path: str | Path) -> Lines:
    """Lines without the categories of a word list of Julius (.voca): % NAME before words and their units."""
    categories = [line for _, line in lines if line.lstrip().startswith("%")]
    entries = [(n, line) for n, line in lines if not line.lstrip().startswith("%")]
    begins = lines[:1] != entries[:1] and any(len(line.split()) > 1 for _, line in entries)
    if not begins or not all(map(_CATEGORY.fullmatch, categories)):
        return lines
    tell(path, f"categories of words, as Julius has them, are not used: {examples(map(str.strip, categories))}")
    return entries


def _without_remarks(lines: Lines, path: str | Path) -> Lines:
    """Lines without `#remark` and, at their ends, `# remark`, `#remark` or `; remark`.

    It is none where all its parts are units elsewhere.
    """
    whole = {
        n: line
        for n, line in lines
        if (parts := line.split())[0][0] in "#;%"
        and "\t" not in line
        and len(parts) > 1
        and not _SYMBOL.fullmatch(parts[0])
    }
    ends = {n: match for n, line in lines if n not in whole and (match := _remark(line))}
    if not whole and not ends:
        return lines
    bare = {n: line[: ends[n].start()] if n in ends else line for n, line in lines}
    units = {unit for n, line in bare.items() if n not in whole for unit in line.split()[1:]}
    if all(units.issuperset(match[2].split()) for match in ends.values()):
        bare = dict(lines)  # # is a unit
        ends = {}
    remarks = [line for line in whole.values() if not units.issuperset(line.split()[1:])]
    if remarks or ends:
        tell(path, f"remarks are passed over: {examples([*remarks, *(match[2] for match in ends.values())])}")
    return [(n, line) for n, line in bare.items() if line not in remarks]


def _remark(line: str) -> re.Match[str] | None:
    """A remark at the end of a line; none is what stands behind its only tab."""
    match = _REMARK.search(line)
    return None if match and "\t" in match[1] and "\t" not in line[: match.start()] else match
