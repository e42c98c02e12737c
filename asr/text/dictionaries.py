"""Pronunciation dictionaries as programs of the field write them: lines -> words and their units.

Read are our own (word<TAB>units<TAB>source), lists of words, and the dictionaries of MFA, Kaldi, CMUdict, Sphinx, HTK,
Julius, k2 and flashlight. What a column holds, all lines together say; where they do not, or where a file is of
another kind, it is refused.
"""

from __future__ import annotations

import itertools
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import regex

from asr.text.dictionary_columns import Row, drop_numbers
from asr.utils.errors import InputError
from asr.utils.unicode import graphemes

log = logging.getLogger(__name__)

Lines = list[tuple[int, str]]  # with their numbers

MOST_UNITS = 1000  # in a pronunciation
_LONG = 4  # letters of what is rather a word than a unit
_SHOWN = 40  # characters of a line in a message
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNSEEN = regex.compile(r"[\p{Cf}--[\u200c\u200d]]", regex.V1)  # but joiners, which shape letters
_OURS = "write word<TAB>units, with a space between units"
# Kinds of texts that are not read, by a line of theirs: what such a text is, the remedy.
_OTHERS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"\A\s*<(?:\?xml|lexicon)\b"), "is XML, such as a PLS lexicon", _OURS),
    (re.compile(r"\A\s*(?:\{\s*\"|\[\s*[\"\[{])"), "is JSON", _OURS),
    (re.compile(r"^[ \t]*\([ \t]*\"|\AMNCL", re.M), "is a lexicon of Festival", _OURS),
    (re.compile(r"^\\data\\\s*$", re.M), "is a language model (ARPA), no list of words", ""),
    (
        re.compile(r"^//|^\.(?:group|L\d\d|replace)\b|[ \t]\$[a-z]\w*[ \t]*(?://.*)?\r?$", re.M),
        "is a dictionary source of eSpeak NG, whose phonemes are not separated",
        "asr lexicon --language asks eSpeak NG itself",
    ),
    (re.compile(r"^\S+\s+[(\[]'[^']*',", re.M), "holds lists as Python prints them", _OURS),
)
_WORD_HEADINGS = {"word", "words", "orthography", "grapheme", "graphemes", "spelling", "headword", "entry", "ortho"}
_UNIT_HEADINGS = {"pronunciation", "pronunciations", "phones", "phone", "phonemes", "phoneme", "units", "ipa"}
_UNIT_HEADINGS |= {"transcription", "transcriptions", "pron", "phon", "phonetic", "sampa", "x-sampa", "xsampa"}
_OTHER_HEADINGS = {"id", "index", "source", "prob", "probability", "pron_prob", "frequency", "freq", "count"}
# What stands for no word: silence, bounds of sentences, all unknown words.
_NO_WORDS = {"<eps>", "<s>", "</s>", "<sil>", "<silence>", "<unk>", "<unknown>", "<oov>", "<pad>", "<blank>", "#0"}
_NO_WORDS |= {"!sil", "!enter", "!exit", "!null", "sent-start", "sent-end"}
_MARK = re.compile(r"<.+>|\[.+\]|!.+")  # a name that is no word of a text
_SILENCES = {"sil", "silence", "sp", "spn", "nsn"}  # words, where their units are among them, too
_OUTPUT = re.compile(r"\s*(\S+)\s+(?:@\S+\s+)?(?:\[([^\]]*)\]|\{([^}\s]+)\})\s+(\S.*)")  # of HTK and Julius
_QUOTED = re.compile(r"\\(?=[\"'\\])")  # as HTK writes marks that begin a word
_OCTAL = re.compile(r"(?:\\[0-7]{3})+")  # bytes, as HTK writes them
_VARIANT = re.compile(r"(.+)\([0-9]{1,3}\)")
_REMARK = re.compile(r"(?<=\S) +# +(\S[^\t]*)$")
_DISAMBIGUATION = re.compile(r"#[0-9]+")
_POSITION = re.compile(r"(.+)_([BIES])")


def read_dictionary(text: str, path: str | Path) -> list[Row]:
    """Returns the entries of a dictionary or of a list of words, in the file's order; `path` is for messages.

    What is left out or changed is told in a warning, once.

    Raises:
        InputError: The text is of another kind, a line cannot be read, or it cannot be told what a column holds.
    """
    for pattern, what, remedy in _OTHERS:
        if match := pattern.search(text):
            _fail(text.count("\n", 0, match.start()) + 1, what, path, remedy)
    lines = _without_remarks(_without_heading(_lines(text, path), path), path)
    rows = _of_htk(lines, path) or _rows(lines, path)
    if not any("\t" in line for _, line in lines):
        _check_words_apart(rows, path)
    rows = drop_numbers(_without_bars(rows, path), path, tell)
    rows = _without_silence(rows, path)
    _check_columns(rows, path)
    rows = _without_positions(_without_symbols(rows, path), path)
    _check_cut(rows, path)
    return [_normal(row, path) for row in _named(_with_same_units(rows, path), path)]


@lru_cache(maxsize=1000)
def tell(path: str | Path, what: str) -> None:
    """Logs a warning about a file, once: several parts of a command read the same one."""
    log.warning("%s: %s", path, what)


def _fail(line: int, what: str, path: str | Path, remedy: str = "") -> NoReturn:
    raise InputError(what, where=f"{path}, line {line}", remedy=remedy)


def _examples(texts: Iterable[str]) -> str:
    """The first, and how many there are: 'seven(2)' and 11 others."""
    several = list(texts)
    others = f" and {len(several) - 1:,} other{'s' if len(several) > 2 else ''}" if len(several) > 1 else ""
    return f"{several[0][:_SHOWN]!r}{others}"


# ------------------------------------------------------------------------------------------------ text -> rows


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
                _fail(n, f"{line[:_SHOWN]!r} has control characters", path)
    return lines


def _without_heading(lines: Lines, path: str | Path) -> Lines:
    """Lines without a first one that names the columns.

    Raises:
        InputError: The columns stand in another order, or commas separate them.
    """
    if not lines:
        return lines
    number, line = lines[0]
    separator = r"[\t,;|]+" if re.search(r"[\t,;|]", line) else r"\s+"
    names = [name.strip(" \"'").lower() for name in re.split(separator, line)]
    known = _WORD_HEADINGS | _UNIT_HEADINGS | _OTHER_HEADINGS
    if not (known.issuperset(names) and _WORD_HEADINGS & set(names) and _UNIT_HEADINGS & set(names)):
        return lines
    if names[0] not in _WORD_HEADINGS or re.search("[,;|]", line):
        _fail(number, f"is a table with the columns {', '.join(names)}", path, _OURS)
    tell(path, f"the first line, {line.split()}, names columns, and is passed over")
    return lines[1:]


def _without_remarks(lines: Lines, path: str | Path) -> Lines:
    """Lines without `#remark` and, at their ends, `# remark`; it is none where all its parts are units elsewhere."""
    whole = {n: line for n, line in lines if line.lstrip()[0] in "#;%" and "\t" not in line and len(line.split()) > 1}
    ends = {n: match for n, line in lines if n not in whole and (match := _REMARK.search(line))}
    if not whole and not ends:
        return lines
    bare = {n: line[: ends[n].start()] if n in ends else line for n, line in lines}
    units = {unit for n, line in bare.items() if n not in whole for unit in line.split()[1:]}
    if all(units.issuperset(match[1].split()) for match in ends.values()):
        bare = dict(lines)  # # is a unit
        ends = {}
    remarks = [line for line in whole.values() if not units.issuperset(line.split()[1:])]
    if remarks or ends:
        tell(path, f"remarks are passed over: {_examples([*remarks, *(match[1] for match in ends.values())])}")
    return [(n, line) for n, line in bare.items() if line not in remarks]


def _of_htk(lines: Lines, path: str | Path) -> list[Row]:
    """The rows of a dictionary of HTK or Julius, WORD [OUTPUT] UNITS; none where no line has an output.

    The output is what is written; where it is empty, nothing is.
    """
    rows, silent, renamed = [], [], []
    matches = {n: match for n, line in lines if (match := _OUTPUT.fullmatch(line)) and not _is_ours(line)}
    for n, line in lines if matches else ():
        match = matches.get(n)
        if line.strip() == "DICEND":  # of Julius
            break
        word, *units = line.split()
        if match:
            word, units = (match[2] or match[3] or "").strip(), match[4].split()
            if not word:
                silent.append(match[1])
                continue
            if len(word.split()) > 1:
                _fail(n, f"the output {word!r} is not one word", path, "a word has no space inside")
            if word != match[1] and word != match[1].partition("+")[0]:
                renamed.append(f"{match[1]} [{word}]")
        rows.append(Row(n, word, (tuple(units),) if units else ()))
    if silent:
        tell(path, f"entries whose output is empty are left out: {_examples(silent)}")
    if renamed:
        tell(path, f"entries are named by their output in brackets: {_examples(renamed)}")
    return rows


def _is_ours(line: str) -> bool:
    """Whether `asr lexicon` wrote a line."""
    word, *columns = line.split("\t")
    return Row(0, word, tuple(tuple(column.split()) for column in columns)).is_ours


def _rows(lines: Lines, path: str | Path) -> list[Row]:
    """The word of each line, and the columns after it: separated by tabs where there are any.

    Among lines with tabs others may stand whose units are known from these, as scripts for Kaldi write them.
    """
    if not any("\t" in line for _, line in lines):
        return [_by_spaces(n, line, path) for n, line in lines]
    units = {unit for _, line in lines if "\t" in line for unit in line.partition("\t")[2].split()}
    rows = []
    for n, line in lines:
        word, *others = line.split()
        known = _MARK.fullmatch(word) or units.issuperset(others)
        rows.append(_by_spaces(n, line, path) if others and known and "\t" not in line else _by_tabs(n, line, path))
    phrases = [row for row in rows if " " in row.word]
    if 2 * len(phrases) >= len(rows):
        _fail(phrases[0].line, f"{phrases[0].word!r} is not one word", path, "a word has no space inside")
    if phrases:
        tell(path, f"entries of several words are left out: {_examples(row.word for row in phrases)}")
    return [row for row in rows if " " not in row.word]


def _by_tabs(n: int, line: str, path: str | Path) -> Row:
    first, tab, rest = line.partition("\t")
    if not first.strip():
        _fail(n, "no word stands before the tab", path)
    word, *others = first.split()
    columns = [tuple(column.split()) for column in rest.split("\t")] if tab else []
    if others and tab and all(re.fullmatch(r"[0-9]+\.[0-9]+", text) for text in others):
        columns, others = [tuple(others), *columns], []  # word 1.0<TAB>units
    if others and not tab:
        _fail(n, f"{first.strip()!r} is not one word", path, "separate the word from its units by a tab")
    return Row(n, " ".join([word, *others]), tuple(columns))


def _by_spaces(n: int, line: str, path: str | Path) -> Row:
    word, *units = line.split()
    if "\u2028" in line or "\u2029" in line:
        _fail(n, f"{line.strip()!r} is not one word", path)
    return Row(n, word, (tuple(units),) if units else ())


# ------------------------------------------------------------------------------------------------ rows are looked at


def _check_words_apart(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses files without tabs in which it is not clear what is a word, and what are its units."""
    _check_marks(rows, path)
    words = [row for row in rows if not row.columns and row.word.lower() not in _NO_WORDS]
    pronounced = [row for row in rows if row.columns]
    if words and len(words) < len(pronounced):
        _fail(words[0].line, f"{words[0].word!r} has no units", path, "add them, or give words alone")
    units = Counter(unit for row in pronounced for unit in row.units)
    long = sum(len(graphemes(re.sub(r"_[BIES]$", "", unit))) >= _LONG for unit in units)
    once = sum(count == 1 for count in units.values())
    phrases = 2 * long > len(units) and 2 * once > len(units)
    if pronounced and (words or phrases):
        text = " ".join([pronounced[0].word, *pronounced[0].units])
        _fail(
            pronounced[0].line, f"{text[:_SHOWN]!r} is not one word", path, "separate the word from its units by a tab"
        )


def _check_marks(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses files whose columns are separated by other marks than tabs and spaces."""
    for mark in (mark for mark in ",;:|=\\" if rows and mark in rows[0].word + "".join(rows[0].units[:1])):
        inside = {row.word.strip(mark).count(mark) for row in rows}
        letters = mark != "," or all(re.search(r"[^\W\d_]", part) for row in rows for part in row.word.split(mark, 1))
        columns = inside != {0} and len(inside) == 1 and letters and (len(rows) > 1 or rows[0].columns)
        behind = all(len(row.word) > 1 and row.word.endswith(mark) for row in rows)
        apart = len(rows) > 1 and all(row.units[:1] == (mark,) for row in rows)
        if columns or behind or apart:
            what = f"{mark!r} seems to separate columns: {rows[0].word[:_SHOWN]!r}"
            _fail(rows[0].line, what, path, "separate the word from its units by a tab")


def _check_columns(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses lines that have no units, units that are none, and what cannot be a source in the last column."""
    units = {unit for row in rows for unit in row.units}
    named = [row for row in rows if row.source and not row.is_ours and len(row.columns) == 2]
    if wrong := next((row for row in named if units.intersection(row.columns[1])), None):
        what = f"{wrong.source!r} in the last column is no source, but units"
        _fail(wrong.line, what, path, "a line has one pronunciation")
    if named:
        if all(0 < len(row.units) < len(row.columns[1]) for row in named):
            what = f"it cannot be told which column has the units, {' '.join(named[0].units)!r} or {named[0].source!r}"
            _fail(named[0].line, what, path, _OURS)
        tell(path, f"the last column is taken for the source of pronunciations: {_examples(r.source for r in named)}")
    for row in rows:
        if len(row.columns) > 2:
            remedy = "a line is word<TAB>units or word<TAB>units<TAB>source: separate units by spaces"
            _fail(row.line, "has more than two tabs", path, remedy)
        if row.columns and not row.units:
            _fail(row.line, f"{row.word!r} has no units", path, "add them, or leave the tab out to spell it")
        count = len(row.units or graphemes(row.word))
        if count > MOST_UNITS:
            _fail(row.line, f"{row.word!r} has {count:,} units, more than {MOST_UNITS:,}", path)
        if row.is_spelled:
            continue
        whole = " ".join(row.units)
        if len(whole) > 2 and whole[0] + whole[-1] in ("//", "[]") and whole.count("/") in (0, 2):
            _fail(row.line, f"{whole[:_SHOWN]!r} is a transcription, not units", path, _OURS)
        if any(len(unit) > 1 and unit.endswith(",") for unit in row.units[:-1]):
            _fail(row.line, f"{whole[:_SHOWN]!r} holds commas", path, f"a line has one pronunciation; {_OURS}")


def _check_cut(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses files in which each word has one unit, a long one of its own: they are not cut into units."""
    pronounced = [row for row in rows if row.columns and not row.is_ours]
    if len(pronounced) < 2 or not all(
        len(row.units) == 1 and len(graphemes(row.units[0])) >= _LONG - 1 for row in pronounced
    ):
        return
    strange = {row.units[0]: row for row in pronounced if row.units[0].strip("\u2581_|") != row.word}
    if 2 * len(strange) > len(pronounced):
        unit, row = next(iter(strange.items()))
        remedy = f"{_OURS}; where each is a unit, word<TAB>units<TAB>user"
        _fail(row.line, f"each word has a single unit, such as {unit[:_SHOWN]!r}", path, remedy)


# ------------------------------------------------------------------------------------------------ rows -> entries


def _without_silence(rows: Sequence[Row], path: str | Path) -> list[Row]:
    """Rows without those of no word."""

    def is_word(row: Row) -> bool:
        name = row.word.lower()
        silent = name in _SILENCES and {re.sub("_[BIES]$", "", unit.lower()) for unit in row.units} <= _SILENCES
        return name not in _NO_WORDS and not (silent and row.columns)

    words = [row for row in rows if is_word(row)]
    if len(words) < len(rows):
        tell(path, f"entries that are no words are left out: {_examples(r.word for r in rows if not is_word(r))}")
    return words


def _without_bars(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows without | at the end, where every word has it: flashlight's bound of words."""
    pronounced = [row for row in rows if row.columns]
    if not pronounced or not all(len(row.units) > 1 and row.units[-1] == "|" for row in pronounced):
        return rows
    tell(path, "| behind the units of every word is left out")
    return [row.with_units(row.units[:-1]) if row.columns else row for row in rows]


def _without_symbols(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows without Kaldi's #1 at the end, which tells words apart that sound alike."""
    pronounced = [row for row in rows if len(row.units) > 1 and not row.is_spelled]
    ends = {row.line: row.units[-1] for row in pronounced if _DISAMBIGUATION.fullmatch(row.units[-1])}
    if not ends:
        return rows
    tell(path, f"symbols behind the units, which tell words apart, are left out: {_examples(ends.values())}")
    return [row.with_units(row.units[:-1]) if row.line in ends else row for row in rows]


def _without_positions(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows without Kaldi's marks of a unit's place in the word, _B _I _E _S, where all words have them rightly."""

    def places(row: Row) -> str:
        return "".join(match[2] if (match := _POSITION.fullmatch(unit)) else "?" for unit in row.units)

    pronounced = [row for row in rows if row.columns and not {unit.lower() for unit in row.units} <= _SILENCES]
    if not pronounced or not all(re.fullmatch("BI*E|S", places(row)) for row in pronounced):
        return rows
    tell(
        path, f"marks of places in the word are left out: {_examples(unit for row in pronounced for unit in row.units)}"
    )
    return [row.with_units(re.sub("_[BIES]$", "", unit) for unit in row.units) if row.columns else row for row in rows]


def _with_same_units(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows with their units composed (NFC), where the same unit is written in two ways."""
    units = set(itertools.chain.from_iterable(row.units for row in rows))
    composed = {unit: unicodedata.normalize("NFC", unit) for unit in units}
    if len(set(composed.values())) == len(units):
        return rows
    twice = sorted(unit for unit in units if composed[unit] != unit and composed[unit] in units)
    tell(path, f"units are composed (NFC), for some were written in two ways: {_examples(twice or sorted(units))}")
    return [row.with_units(map(composed.__getitem__, row.units)) if row.columns else row for row in rows]


def _named(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows with word(2) as another pronunciation of `word`; in lists of words, where `word` stands there, too."""
    if rows and all(len(row.word) > 2 and row.word[0] == row.word[-1] == '"' for row in rows):
        tell(path, f"quotes around words are left out: {_examples(row.word for row in rows)}")
        rows = [row._replace(word=row.word[1:-1]) for row in rows]
    words = {row.word for row in rows}
    named, numbered, listed = [], [], []
    for row in rows:
        match = _VARIANT.fullmatch(row.word)
        if match and row.columns and not row.is_spelled:
            numbered.append(row.word)
            row = row._replace(word=match[1])
        elif match and not row.columns and match[1] in words:
            listed.append(row.word)
            continue
        named.append(row)
    if numbered:
        tell(path, f"words with a number are further pronunciations of the word without it: {_examples(numbered)}")
    if listed:
        tell(path, f"words with a number are left out, for they stand there without it, too: {_examples(listed)}")
    return named


def _normal(row: Row, path: str | Path) -> Row:
    """A row with its word composed (NFC) and as HTK means it; a word alone has its characters as units."""
    word = row.word
    if "\\" in word:
        word = _QUOTED.sub("", word, count=1)
        try:
            word = _OCTAL.sub(lambda m: bytes(int(b, 8) & 255 for b in m[0].split("\\")[1:]).decode(), word)
        except UnicodeDecodeError:
            _fail(row.line, f"{word!r} holds bytes that are not UTF-8", path, "write the word in UTF-8")
    word = unicodedata.normalize("NFC", word)  # which costs nothing where it is composed
    if word == row.word and row.columns:
        return row
    spelled = Row(row.line, word, (tuple(graphemes(word)), *row.columns[1:]))
    return spelled if row.is_spelled else row._replace(word=word)
