"""Files that are given for one another: what kind a file is, by how it begins, and what reads it."""

from __future__ import annotations

import codecs
from typing import NamedTuple

import regex

from asr.utils.errors import InputError
from asr.utils.files import has_utf16_mark
from asr.utils.kinds import foreign_kind, is_archive


class Kind(NamedTuple):
    """What a file is ("an ELAN file"), and what to do with one; both empty where nothing is known."""

    name: str = ""
    remedy: str = ""


XML = Kind("an XML document")
TEXTGRID = Kind("a TextGrid of Praat", "asr prepare textgrid FOLDER")
_CSV = "save it as CSV in the program that made it"
_UNPACK = "unpack it"
ELAN = Kind("an ELAN file", "asr prepare elan FOLDER")
_TO_ELAN = "import it into ELAN, then `asr prepare elan`"
_SUBTITLES = "have it made a table with the columns path, start, end and text"
_PRAAT = {
    b"ooBinaryFile\x08TextGrid": Kind("a binary TextGrid", "in Praat: Save as text file..."),
    b"ooBinaryFile": Kind("a binary file of Praat", "in Praat: Save as text file..."),
}
_ROOTS = {
    "ANNOTATION_DOCUMENT": ELAN,
    "preferences": Kind("a file of ELAN's preferences (.pfsx)", "name the .eaf file"),
    "CONTROLLED_VOCABULARY": Kind("a vocabulary of ELAN (.ecv)", "name the .eaf file"),
    "CV_RESOURCE": Kind("a vocabulary of ELAN (.ecv)", "name the .eaf file"),
    "Trans": Kind("a Transcriber file (.trs)", _TO_ELAN),
    "document": Kind("a FLEx file (.flextext) or another XML document", _TO_ELAN),
    "basic-transcription": Kind("an EXMARaLDA file (.exb)", _TO_ELAN),
    "html": Kind("an HTML page", "download the file itself"),
}
_TIME = r"\d+(?:\.\d+)?"
_TEXTS = tuple(
    (regex.compile(pattern), kind)
    for pattern, kind in (
        (r"WEBVTT", Kind("a file of subtitles (WebVTT)", _SUBTITLES)),
        (r"\d+\s*\n\d+:\d\d:\d\d[,.]\d+ *-->", Kind("a file of subtitles (SubRip)", _SUBTITLES)),
        (r"@(?:UTF8|Begin|Font|Window)\b", Kind("a CHAT transcript (.cha)", _TO_ELAN)),
        (rf"{_TIME}\t{_TIME}\t", Kind("a file of Audacity's labels", _SUBTITLES)),
        (rf"\S+ +\S+ +{_TIME} +{_TIME} +\S+(?: +{_TIME})? *(?:\r?\n|$)", Kind("a CTM", _SUBTITLES)),
        (rf"(?:;;.*\n)*\S+ +\S+ +\S+ +{_TIME} +{_TIME} +<", Kind("an STM", _SUBTITLES)),
    )
)
_ROOT = regex.compile(r"(?:<\?.*?\?>\s*|<!--.*?-->\s*|<![^>]*>\s*)*<([\w.-]+)", regex.DOTALL)
_SHORT_CLASS = regex.compile(r'(?:File type\s*=\s*)?"ooTextFile[\w ]*"\s+"([\w ]+)"')
_CLASS = regex.compile(r'(?:Object class\s*=\s*)"([\w ]+)"')


def kind_of(data: bytes) -> Kind:
    """Returns what a file is, by the bytes at its beginning; an empty kind where it may be anything."""
    if data[257:262] == b"ustar":
        return Kind("a tar archive", _UNPACK)
    if foreign := foreign_kind(data):
        return Kind(foreign, _UNPACK if is_archive(data) else _CSV)
    for beginning, kind in _PRAAT.items():
        if data.startswith(beginning):
            return kind
    head = data[:4000].removeprefix(codecs.BOM_UTF8)
    text = head.decode("utf-16" if has_utf16_mark(head) else "utf-8", "replace").lstrip()
    if text.startswith(('File type = "ooTextFile', '"ooTextFile')):
        what = _CLASS.search(text) or _SHORT_CLASS.match(text)
        name = what[1].split()[0] if what else "object"
        return TEXTGRID if name == "TextGrid" else Kind(f"a {name} of Praat", "save the TextGrid alone")
    if text.startswith('"Praat chronological TextGrid'):
        return Kind("a chronological TextGrid of Praat", "in Praat: Save as text file...")
    if text.startswith("<") and (root := _ROOT.match(text)):
        return _ROOTS.get(root[1], XML)
    return next((kind for pattern, kind in _TEXTS if pattern.match(text)), Kind())


def refuse_others(data: bytes, path: object, wanted: str, *, but: Kind | None = None) -> None:
    """Looks whether a file is of a kind that something else reads.

    Args:
        data: The file's bytes.
        path: The file.
        wanted: What it should be ("a table").
        but: The kind that is right.

    Raises:
        InputError: It is; it names the kind, and what to do.
    """
    kind = kind_of(data)
    if kind.name and kind != but:
        raise InputError(f"is {kind.name}, not {wanted}", where=str(path), remedy=kind.remedy)
