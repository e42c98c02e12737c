"""Pronunciation dictionaries as programs of the field write them: lines -> words and their units.

Read are our own (word<TAB>units<TAB>source), lists of words, and the dictionaries of MFA, Kaldi, CMUdict, Sphinx, HTK,
Julius, k2 and flashlight. What a column holds, all lines together say; where they do not, or where a file is of
another kind, it is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from asr.text.dictionary_columns import Row, drop_numbers
from asr.text.dictionary_lines import OURS, SHOWN, Lines, examples, fail, read_lines, tell
from asr.text.dictionary_units import SILENCES, with_same_units, without_bounds, without_positions, without_symbols
from asr.utils.unicode import graphemes

MOST_UNITS = 1000  # in a pronunciation
_LONG = 4  # letters of what is rather a word than a unit
# What stands for no word: silence, bounds of sentences, all unknown words.
_NO_WORDS = {"<eps>", "<s>", "</s>", "<sil>", "<silence>", "<unk>", "<unknown>", "<oov>", "<pad>", "<blank>", "#0"}
_NO_WORDS |= {"!sil", "!enter", "!exit", "!null", "sent-start", "sent-end"}
_NO_WORD = re.compile(
    r"<[^<>]+>|\[[^\[\]]+\]|\{[^{}]+\}|\([^()]+\)|\*[^*]+\*|\++[^+]+\++|#[0-9]+"
)  # [noise], ++NOISE++
_MARK = re.compile(r"<.+>|\[.+\]|!.+|#[0-9]+")  # a name that is no word of a text
_OUTPUT = re.compile(r"\s*(\S+)\s+(?:@\S+\s+)?(?:\[([^\]]*)\]|\{([^}\s]+)\})\s+(\S.*)")  # of HTK and Julius
_QUOTED = re.compile(r"\\(?=[\"'\\])")  # as HTK writes marks that begin a word
_OCTAL = re.compile(r"(?:\\[0-7]{3})+")  # bytes, as HTK writes them
_VARIANT = re.compile(r"(.+)\([0-9]{1,3}\)")
_NUMBERED = re.compile(r"^(\s*[^\s()]+)\s+(?=\([0-9]{1,3}\)\s+\S)")  # word (2) units
_APART = {
    ",",
    ";",
    ":",
    "|",
    "=",
    "/",
    "\\",
    "->",
    "=>",
    ":=",
    "::",
    "--",
    "\u2013",
    "\u2014",
    "\u2192",
}  # between columns
_BETWEEN = {",", ";", "|", "/", "||", "//", "~", "--"}  # between pronunciations
# Parts of speech as the Penn Treebank and Universal Dependencies name them.
_TAGS = re.compile(
    "CC|CD|DT|EX|FW|IN|JJ[RS]?|LS|MD|NNP?S?|PDT|POS|PRP[$]?|RB[RS]?|RP|SYM|TO|VB[DGNPZ]?|WDT|WP[$]?|WRB|UH|"
    "NOUN|VERB|ADJ|ADV|PRON|DET|ADP|NUM|CONJ|CCONJ|SCONJ|PROPN|PART|INTJ|AUX"
)


def read_dictionary(text: str, path: str | Path) -> list[Row]:
    """Returns the entries of a dictionary or of a list of words, in the file's order; `path` is for messages.

    What is left out or changed is told in a warning, once.

    Raises:
        InputError: The text is of another kind, a line cannot be read, or it cannot be told what a column holds.
    """
    lines = read_lines(text, path)
    lines = [(n, _NUMBERED.sub(r"\1", line)) for n, line in lines]
    rows = _of_htk(lines, path) or _rows(lines, path)
    if not any("\t" in line for _, line in lines):
        _check_words_apart(rows, path)
    rows = drop_numbers(without_bounds(rows, path), path, tell)
    rows = _without_silence(rows, path)
    _check_columns(rows, path)
    rows = without_positions(without_symbols(rows, path), path)
    _check_cut(rows, path)
    return [_normal(row, path) for row in _named(with_same_units(rows, path), path)]


# ------------------------------------------------------------------------------------------------ text -> rows


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
                fail(n, f"the output {word!r} is not one word", path, "a word has no space inside")
            if word != match[1] and word != match[1].partition("+")[0]:
                renamed.append(f"{match[1]} [{word}]")
        rows.append(Row(n, word, (tuple(units),) if units else ()))
    if silent:
        tell(path, f"entries whose output is empty are left out: {examples(silent)}")
    if renamed:
        tell(path, f"entries are named by their output in brackets: {examples(renamed)}")
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
    several = [row.columns for row in rows if len(row.columns) > 1]
    usual = {unit for row in rows if len(row.columns) == 1 for unit in row.units}
    behind = {unit for columns in several for unit in columns[1]}
    if not any(columns[0] for columns in several) and (usual & behind or any(len(c[1]) > 1 for c in several)):
        # two tabs between columns, as BEEP has them
        rows = [row._replace(columns=tuple(filter(None, row.columns)) or row.columns) for row in rows]
    phrases = [row for row in rows if " " in row.word]
    if 2 * len(phrases) >= len(rows):
        fail(phrases[0].line, f"{phrases[0].word!r} is not one word", path, "a word has no space inside")
    if phrases:
        tell(path, f"entries of several words are left out: {examples(row.word for row in phrases)}")
    return [row for row in rows if " " not in row.word]


def _by_tabs(n: int, line: str, path: str | Path) -> Row:
    first, tab, rest = line.partition("\t")
    if not first.strip():
        fail(n, "no word stands before the tab", path)
    word, *others = first.split()
    columns = [tuple(column.split()) for column in rest.split("\t")] if tab else []
    if others and tab and all(re.fullmatch(r"[0-9]+\.[0-9]+", text) for text in others):
        columns, others = [tuple(others), *columns], []  # word 1.0<TAB>units
    if others and not tab:
        fail(n, f"{first.strip()!r} is not one word", path, "separate the word from its units by a tab")
    return Row(n, " ".join([word, *others]), tuple(columns))


def _by_spaces(n: int, line: str, path: str | Path) -> Row:
    word, *units = line.split()
    if "\u2028" in line or "\u2029" in line:
        fail(n, f"{line.strip()!r} is not one word", path)
    return Row(n, word, (tuple(units),) if units else ())


# ------------------------------------------------------------------------------------------------ rows are looked at


def _check_words_apart(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses files without tabs in which it is not clear what is a word, and what are its units."""
    _check_marks(rows, path)
    _check_tags(rows, path)
    words = [row for row in rows if not row.columns and row.word.lower() not in _NO_WORDS]
    pronounced = [row for row in rows if row.columns]
    if words and len(words) < len(pronounced):
        fail(words[0].line, f"{words[0].word!r} has no units", path, "add them, or give words alone")
    units = Counter(unit for row in pronounced for unit in row.units)
    long = sum(len(graphemes(re.sub(r"_[BIES]$", "", unit))) >= _LONG for unit in units)
    once = sum(count == 1 for count in units.values())
    phrases = 2 * long > len(units) and 2 * once > len(units)
    if pronounced and (words or phrases):
        text = " ".join([pronounced[0].word, *pronounced[0].units])
        fail(pronounced[0].line, f"{text[:SHOWN]!r} is not one word", path, "separate the word from its units by a tab")


def _check_tags(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses files in which a part of speech stands between each word and its units."""
    pronounced = [row for row in rows if len(row.units) > 1]
    first = {row.units[0] for row in pronounced}
    others = {unit for row in pronounced for unit in row.units[1:]}
    if not pronounced or first & others or not all(re.fullmatch("[A-Z]{2,}[$]?", tag) for tag in first):
        return
    named = all(map(_TAGS.fullmatch, first)) and first != {"UH"}  # which is a phone, too
    strange = len(pronounced) > len(first) and not any(unit.isupper() and len(unit) > 1 for unit in others)
    if named or strange:
        what = f"{pronounced[0].units[0]!r} behind {pronounced[0].word!r} seems to be a part of speech, not a unit"
        fail(pronounced[0].line, what, path, f"leave it out; {OURS}")


def _check_marks(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses files whose columns are separated by other marks than tabs and spaces."""
    first = {row.units[0] if len(row.units) > 1 else "" for row in rows}
    if len(first) == 1 and (mark := min(first)) in _APART:
        fail(rows[0].line, f"{mark!r} seems to separate columns", path, "separate the word from its units by a tab")
    for mark in (mark for mark in ",;:|=\\" if rows and mark in rows[0].word + "".join(rows[0].units[:1])):
        inside = {row.word.strip(mark).count(mark) for row in rows}
        letters = mark != "," or all(re.search(r"[^\W\d_]", part) for row in rows for part in row.word.split(mark, 1))
        columns = inside != {0} and len(inside) == 1 and letters and (len(rows) > 1 or rows[0].columns)
        behind = all(len(row.word) > 1 and row.word.endswith(mark) for row in rows)
        if columns or behind:
            what = f"{mark!r} seems to separate columns: {rows[0].word[:SHOWN]!r}"
            fail(rows[0].line, what, path, "separate the word from its units by a tab")


def _check_columns(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses lines that have no units, units that are none, and what cannot be a source in the last column."""
    units = {unit for row in rows for unit in row.units}
    named = [row for row in rows if row.source and not row.is_ours and len(row.columns) == 2]
    if wrong := next((row for row in named if units.intersection(row.columns[1])), None):
        what = f"{wrong.source!r} in the last column is no source, but units"
        fail(wrong.line, what, path, "a line has one pronunciation")
    if named:
        if all(0 < len(row.units) < len(row.columns[1]) for row in named):
            what = f"it cannot be told which column has the units, {' '.join(named[0].units)!r} or {named[0].source!r}"
            fail(named[0].line, what, path, OURS)
        tell(path, f"the last column is taken for the source of pronunciations: {examples(r.source for r in named)}")
    for row in rows:
        if len(row.columns) > 2:
            remedy = "a line is word<TAB>units or word<TAB>units<TAB>source: separate units by spaces"
            fail(row.line, "has more than two tabs", path, remedy)
        if row.columns and not row.units:
            fail(row.line, f"{row.word!r} has no units", path, "add them, or leave the tab out to spell it")
        count = len(row.units or graphemes(row.word))
        if count > MOST_UNITS:
            fail(row.line, f"{row.word!r} has {count:,} units, more than {MOST_UNITS:,}", path)
        if row.is_spelled:
            continue
        whole = " ".join(row.units)
        if len(whole) > 2 and whole[0] + whole[-1] in ("//", "[]") and whole.count("/") in (0, 2):
            fail(row.line, f"{whole[:SHOWN]!r} is a transcription, not units", path, OURS)
        if mark := next((unit for unit in row.units[1:-1] if unit in _BETWEEN and not row.is_ours), ""):
            what = f"{whole[:SHOWN]!r} holds {mark}, as between several pronunciations"
            fail(row.line, what, path, f"a line has one pronunciation; {OURS}")
        if any(len(unit) > 1 and unit.endswith(",") for unit in row.units[:-1]):
            fail(row.line, f"{whole[:SHOWN]!r} holds commas", path, f"a line has one pronunciation; {OURS}")


def _check_cut(rows: Sequence[Row], path: str | Path) -> None:
    """Refuses files in which each word has one unit, most a long one of their own: they are not cut into units."""
    pronounced = [row for row in rows if row.columns and not row.is_ours]
    if len(pronounced) < 2 or not all(len(row.units) == 1 for row in pronounced):
        return
    long = [row for row in pronounced if len(graphemes(row.units[0])) >= _LONG - 1]
    strange = {row.units[0]: row for row in long if row.units[0].strip("\u2581_|") != row.word}
    if 2 * len(strange) > len(pronounced):
        unit, row = next(iter(strange.items()))
        remedy = f"{OURS}; where each is a unit, word<TAB>units<TAB>user"
        fail(row.line, f"each word has a single unit, such as {unit[:SHOWN]!r}", path, remedy)


# ------------------------------------------------------------------------------------------------ rows -> entries


def _without_silence(rows: Sequence[Row], path: str | Path) -> list[Row]:
    """Rows without those of no word."""

    def is_word(row: Row) -> bool:
        name = row.word.lower()
        if row.is_ours:
            return True
        silent = name in SILENCES and {re.sub("_[BIES]$", "", unit.lower()) for unit in row.units} <= SILENCES
        return name not in _NO_WORDS and not _NO_WORD.fullmatch(name) and not (silent and row.columns)

    words = [row for row in rows if is_word(row)]
    if len(words) < len(rows):
        named = examples(row.word for row in rows if not is_word(row))
        tell(path, f"entries that are no words are left out: {named} (word<TAB>units<TAB>user keeps one)")
    return words


def _named(rows: list[Row], path: str | Path) -> list[Row]:
    """Rows with word(2) as another pronunciation of `word`; in lists of words, where `word` stands there, too."""
    if rows and all(len(row.word) > 2 and row.word[0] == row.word[-1] == '"' for row in rows):
        tell(path, f"quotes around words are left out: {examples(row.word for row in rows)}")
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
        tell(path, f"words with a number are further pronunciations of the word without it: {examples(numbered)}")
    if listed:
        tell(path, f"words with a number are left out, for they stand there without it, too: {examples(listed)}")
    return named


def _normal(row: Row, path: str | Path) -> Row:
    """A row with its word composed (NFC) and as HTK means it; a word alone has its characters as units."""
    word = row.word
    if "\\" in word:
        word = _QUOTED.sub("", word, count=1)
        try:
            word = _OCTAL.sub(lambda m: bytes(int(b, 8) & 255 for b in m[0].split("\\")[1:]).decode(), word)
        except UnicodeDecodeError:
            fail(row.line, f"{word!r} holds bytes that are not UTF-8", path, "write the word in UTF-8")
    word = unicodedata.normalize("NFC", word)  # which costs nothing where it is composed
    if word == row.word and row.columns:
        return row
    spelled = Row(row.line, word, (tuple(graphemes(word)), *row.columns[1:]))
    return spelled if row.is_spelled else row._replace(word=word)
