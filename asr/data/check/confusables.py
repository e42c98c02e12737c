"""Characters that are not what they seem: look-alikes, mixed scripts, traces of a wrong encoding.

The tables are small on purpose: pairs that are seen in transcripts, not all of Unicode's confusables (UTS 39).
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import regex

# A character -> the one it is easily taken for, of the same script or of none.
_SAME = {
    **dict.fromkeys("\u2019\u2018\u201b\u02bc\u02bb\ua78c", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    # Latin: cedilla for comma below (Romanian), turned e for schwa, the phonetic g
    **{"ş": "ș", "ţ": "ț", "Ş": "Ș", "Ţ": "Ț", "ǝ": "ə", "Ǝ": "Ə", "ɡ": "g"},
    # Arabic yeh, kaf and digits for those of Persian and Urdu
    **{"ي": "ی", "ك": "ک"},
    **{chr(0x0660 + i): chr(0x06F0 + i) for i in range(10)},
}
# A Cyrillic or Greek letter -> the Latin one it looks like.
_LATIN = {
    **dict(zip("аеорсухіјѕһԁԛԝәӏү", "aeopcyxijshdqwəly", strict=True)),
    **dict(zip("АВЕКМНОРСТУХІЈЅԚԜӘҮ", "ABEKMHOPCTYXIJSQWƏY", strict=True)),
    **dict(zip("αειοκνρυγ", "aɛɩokvpuɣ", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
}
# Greek letters that phonetic alphabets and some orthographies of Latin script take as they are.
_BORROWED = frozenset("βθχλφΒΘΧΛΦµμΩ")
_SCRIPTS = {name: regex.compile(rf"\p{{Script={name}}}") for name in ("Latin", "Cyrillic", "Greek")}
_LETTERS = regex.compile(r"\p{L}\p{M}*")
_HTML = regex.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8}\d?);")
_PRIVATE_OR_CONTROL = regex.compile(r"[\p{Co}\p{Cs}\p{Cc}\ufffd--[\s]]", regex.V1)
_INVISIBLE = regex.compile(r"[\p{Cf}--[\u200c\u200d\u0600-\u0605]]", regex.V1)
# What the bytes of UTF-8 become where they are taken for Latin-1 or Windows-1252.
# \u00c2 before a space or a quotation mark is a letter.
_MOJIBAKE = regex.compile(
    r"(?!\u00c2[\u00a0\u00ab\u00bb])[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u017e\u0192\u02c6\u02dc\u2013-\u2122]{1,3}"
)
# The same of Windows-1251: a piece of Cyrillic text, each letter of which is two.
_CYRILLIC_MOJIBAKE = regex.compile(
    r"(?:[\u0420\u0421][\u00a0-\u00bb\u0401-\u040f\u0451-\u045f\u0490\u0491\u2013-\u2026\u2030\u2039\u203a\u20ac\u2116\u2122"
    r"\u0406\u0456]){3,}"
)


def skeleton(text: str) -> str:
    """The text with look-alikes of one script made one; texts that differ only in them have the same skeleton."""
    same = (_SAME.get(c, c) for c in unicodedata.normalize("NFC", text))
    return "".join(c if _raised(c) else unicodedata.normalize("NFKC", c) for c in same)


def _raised(character: str) -> bool:
    """Whether it stands higher or lower: aspiration and tones of phonetic alphabets are no look-alikes."""
    return unicodedata.decomposition(character).startswith(("<super>", "<sub>"))


def latin_skeleton(text: str) -> str:
    """The text with the Cyrillic and Greek letters that look like Latin ones made Latin."""
    plain = "".join(_LATIN.get(c, c) for c in unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", plain)


def script(letter: str) -> str:
    """Latin, Cyrillic or Greek; empty for all else, and for Greek letters that Latin orthographies use."""
    if letter[0] in _BORROWED:
        return ""
    return next((name for name, pattern in _SCRIPTS.items() if pattern.match(letter)), "")


def strange_letters(word: str, usual: Mapping[str, int]) -> list[str]:
    """Letters, with their marks, of a word in several scripts, but for those of its most `usual` one."""
    letters = [(letter, script(letter)) for letter in _LETTERS.findall(word)]
    scripts = {name for _, name in letters if name}
    main = max(scripts, key=lambda name: (usual.get(name, 0), name), default="")
    return [letter for letter, name in letters if name not in ("", main)]


def broken_pieces(text: str) -> Iterator[tuple[str, str]]:
    """What no transcript should hold, with what it is: replacement and control characters, a wrong encoding."""
    for found in _PRIVATE_OR_CONTROL.findall(text):
        yield found, name(found)
    for found in _MOJIBAKE.findall(text):
        if meant := _meant(found):
            yield found, f"{meant!r} in a wrong encoding"
    for found in _CYRILLIC_MOJIBAKE.findall(text):
        if meant := _meant(found, ("cp1251",)):
            yield found, f"{meant!r} in a wrong encoding"
    for found in _HTML.findall(text):
        if (meant := html.unescape(found)) != found:
            yield found, f"{meant!r} as HTML writes it"


def _meant(piece: str, encodings: Sequence[str] = ("cp1252", "latin-1")) -> str:
    """The text whose UTF-8 was read as Windows-1252 or Latin-1; empty where it was not."""
    for size in range(len(piece), 1, -1):
        for encoding in encodings:
            try:
                return piece[:size].encode(encoding).decode("utf-8")
            except UnicodeError:
                continue
    return ""


def invisible_characters(text: str) -> list[str]:
    """Format characters that the eye does not see, but for the joiners that scripts need."""
    return list(_INVISIBLE.findall(text))


def name(character: str) -> str:
    """'U+0430 CYRILLIC SMALL LETTER A', for each code point of a perceived character."""
    points = (f"U+{ord(c):04X} {unicodedata.name(c, _KINDS.get(unicodedata.category(c), ''))}" for c in character)
    return " with ".join(point.rstrip() for point in points)


_KINDS = {"Cc": "control character", "Co": "private use", "Cs": "half of a pair", "Cn": "not assigned"}
