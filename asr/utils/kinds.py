"""What a file is that was given in place of another: known by how it begins, named with what to do instead."""

from __future__ import annotations

import codecs
from pathlib import Path

from asr.utils.errors import InputError
from asr.utils.files import UTF16

_LONGEST = 64  # bytes of a beginning that are looked at

# What files are that hold neither text nor sound, by how they begin.
_ARCHIVES = {
    b"\x1f\x8b": "a gzip archive",
    b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\x1f\x9d": "an archive of compress",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
}
_DOCUMENTS = {
    b"PK\x03\x04": "a ZIP archive, as spreadsheets (Excel, OpenDocument), Word files and models of PyTorch are",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"{\\rtf": "a text with formatting (RTF)",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "a database of SQLite",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"GIF8": "a picture (GIF)",
    b"\x7fELF": "a program",
    b"version https://git-lfs": "a pointer of Git LFS, in whose place `git lfs pull` fetches the file itself",
}
_ARPA = "give the ARPA file that it was made of"
# Beginnings of files, what such a file is, and the remedy; the first that fits counts.
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"mmap lm http://kheafield.com/code", "is a KenLM binary", _ARPA),
    (b"SRILM_BINARY_NGRAM", "is an SRILM binary", "convert it: `ngram -lm OLD -write-lm NEW.arpa`"),
    (b"SRILM_BINARY_COUNTS", "holds SRILM's counts, not a model", "estimate one: `asr lm train`"),
    (b"blmt", "is an IRSTLM binary", "convert it: `compile-lm OLD --text=yes NEW.arpa`"),
    (b"Qblmt", "is a quantised IRSTLM binary", "convert the one it was made of: `compile-lm OLD --text=yes NEW.arpa`"),
    (b"iARPA", "is IRSTLM's iARPA, which lacks back-off weights", "convert it: `compile-lm OLD --text=yes NEW.arpa`"),
    (b"qARPA", "is IRSTLM's quantised qARPA", _ARPA),
    (b"Trie Language Model", "is a binary of CMU Sphinx", "convert it: `sphinx_lm_convert -i OLD -o NEW.arpa`"),
    (b"Darpa Trigram LM", "is a DMP file of CMU Sphinx", "convert it: `sphinx_lm_convert -i OLD -o NEW.arpa`"),
    (b"julius_bingram", "is a binary of Julius", _ARPA),
    (b"\xd6\xfd\xb2\x7e", "is an OpenFst transducer", _ARPA + ", or `ngramprint --ARPA` of OpenGrm"),
    (b"\0B<ConstArpaLm>", "is Kaldi's G.carpa", _ARPA),
    (b"<ConstArpaLm>", "is Kaldi's G.carpa", _ARPA),
    (b"\0B", "is a binary of Kaldi", "give the text that it was made of"),
    (b"rnnlm file format", "is a model of the RNNLM toolkit", "train one of our own: `asr lm train-neural`"),
    (b"\xac\xed\0\x05", "is a file of Java, as Berkeley LM writes it", _ARPA),
    (b"#!MLF!#", "is a label file of HTK", ""),
)


def read_beginning(path: str | Path) -> bytes:
    """Returns the first bytes of a file; none where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_LONGEST)
    except OSError:
        return b""


def foreign_kind(beginning: bytes) -> str:
    """Returns what a file is that holds neither text nor sound ("a PDF"), by its first bytes; "" where it may."""
    kinds = {**_ARCHIVES, **_DOCUMENTS}
    return next((kind for mark, kind in kinds.items() if beginning.startswith(mark)), "")


def is_archive(beginning: bytes) -> bool:
    """Returns whether a file has to be unpacked before it can be read."""
    return beginning.startswith(tuple(_ARCHIVES))


def kind_of(beginning: bytes) -> tuple[str, str] | None:
    """Returns what a file is by its first bytes, and the remedy; None where it is none of the known kinds."""
    text = beginning.removeprefix(codecs.BOM_UTF8).lstrip()
    if foreign := foreign_kind(text):
        return f"is {foreign}", "unpack it first" if is_archive(text) else "give the text that it was made of"
    for mark, what, remedy in _BEGINNINGS:
        if beginning.startswith(mark) or text.startswith(mark):
            return what, remedy
    if b"Darpa Trigram LM" in beginning[:24]:  # its length stands before it
        return kind_of(b"Darpa Trigram LM")
    if b"\n\x05<unk>" in beginning[:24] or b"\n\x03<s>" in beginning[:24]:
        return "is a model of SentencePiece", "it cuts texts into pieces, and knows nothing of their order"
    if beginning[:1] == b"\x80" and beginning[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "is a pickle of Python", "give the text that it was made of"
    if text.lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not the file that it may lead to", "fetch the file itself"
    if text.startswith(b"version:") and b"file format:" in text:
        return kind_of(b"rnnlm file format")
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is UTF-16", UTF16
    return None


def refuse_kind(beginning: bytes, path: str | Path) -> None:
    """Raises an InputError that names the file's kind where it is one of the known ones."""
    if kind := kind_of(beginning):
        raise InputError(kind[0], where=path, remedy=kind[1])
