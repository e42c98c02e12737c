"""What a file is that was given in place of another: known by how it begins, named with what to do instead."""

from __future__ import annotations

import codecs
from pathlib import Path

from asr.utils.errors import InputError
from asr.utils.files import UTF16

_LONGEST = 64  # bytes of a beginning that are looked at

_ARPA = "give the ARPA file that it was made of"
_UNPACK = "unpack it first"
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
    (b"\x1f\x8b", "is packed by gzip", _UNPACK),
    (b"\xfd7zXZ\0", "is packed by xz", _UNPACK),
    (b"BZh", "is packed by bzip2", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "is packed by zstd", _UNPACK),
    (b"\x1f\x9d", "is packed by compress", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "is packed by 7-Zip", _UNPACK),
    (b"Rar!", "is packed by RAR", _UNPACK),
    (b"PK\x03\x04", "is a zip archive, as spreadsheets and models of PyTorch are", "give the text that it was made of"),
    (b"SQLite format 3\0", "is a database of SQLite", "give the text that it was made of"),
    (b"\x89HDF", "is an HDF5 file", "give the text that it was made of"),
    (b"%PDF", "is a PDF", "give the text that it was made of"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself", "fetch it: `git lfs pull`"),
    (b"#!MLF!#", "is a label file of HTK", ""),
)


def read_beginning(path: str | Path) -> bytes:
    """Returns the first bytes of a file; none where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_LONGEST)
    except OSError:
        return b""


def kind_of(beginning: bytes) -> tuple[str, str] | None:
    """Returns what a file is by its first bytes, and the remedy; None where it is none of the known kinds."""
    text = beginning.removeprefix(codecs.BOM_UTF8).lstrip()
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
