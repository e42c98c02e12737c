"""What a file of audio is, by its bytes: where in it sound begins, in which container, and whether all of it is there.

Before sound there may be tags (ID3v2, APE), a byte order mark, zeros, the header of an HTTP answer, or junk; an MP3 may
begin within a frame. What is no sound is refused by its name.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal, NamedTuple

from asr.audio.ends import BOXES, announced, check_sphere, end_of, missing_of, streams_of_ogg
from asr.audio.faults import SLACK, check_rate, tell_once
from asr.audio.mpeg import FRAME, ends_within_frame, frames_at, has_length, syncsafe, without_tags
from asr.audio.parts import Part
from asr.audio.riff import behind_chunks, chunks, find_wave
from asr.utils.errors import InputError
from asr.utils.kinds import foreign_kind

_MPEG_TS = 188  # bytes of a packet, each of which begins with G
_PACKETS = ((0, _MPEG_TS), (4, _MPEG_TS + 4))  # of broadcasts; of cameras and Blu-rays, with a time before each
_MOST_JUNK = 1 << 25  # bytes that are searched for the beginning of sound; a tag holds pictures
_A_FRAME = 1 << 12  # bytes: what begins within a frame is a cut, not junk
_MOST_HEADER = 1 << 16  # bytes of an HTTP answer's header
_MOST_PADDING = 1 << 16  # bytes, all the same
_READ_AHEAD = 1 << 17  # bytes that a decoder may have read before it needed them
_MPEG_CODES = (0x50, 0x55)  # of WAV


_READ_ON = ("au", "w64", "nistsphere")  # behind the end that their header announces


class Kind(NamedTuple):
    """A container: FFmpeg's name of it ('' for one that only libsndfile knows), and whether libsndfile comes first."""

    format: str
    soundfile: bool = False


_MAGIC = {
    b"RIFF": Kind("wav", True),
    b"RIFX": Kind("wav", True),
    b"RF64": Kind("wav", True),
    b"BW64": Kind("wav", True),
    b"riff\x2e\x91\xcf\x11": Kind("w64", True),
    b"fLaC": Kind("flac", True),
    b"OggS": Kind("ogg", True),
    b"caff": Kind("caf", True),
    b"FORM": Kind("aiff", True),
    b".snd": Kind("au", True),
    b"Creative Voice File": Kind("voc", True),
    b"NIST_1A": Kind("nistsphere", True),
    b"PVF1": Kind("pvf", True),
    b"\x1a\x45\xdf\xa3": Kind("matroska"),
    b"\x30\x26\xb2\x75": Kind("asf"),
    b"#!AMR": Kind("amr"),
    b"FLV\x01": Kind("flv"),
    b"\x00\x00\x01\xba": Kind("mpeg"),
    b"\x7f\xfe\x80\x01": Kind("dts"),
    b"wvpk": Kind("wv"),
    b"TTA1": Kind("tta"),
    b"MAC ": Kind("ape"),
    b"MPCK": Kind("mpc8"),
    b"MP+": Kind("mpc"),
    b"DSD ": Kind("dsf"),
    b"FRM8": Kind("iff"),
    b".RMF": Kind("rm"),
    b".ra\xfd": Kind("rm"),
    b"ea3\x03": Kind("oma"),
    b"EA3\x01": Kind("oma"),
    b"\x02dss": Kind("dss"),
    b"\x03dss": Kind("dss"),
    b"nut/multimedia container\0": Kind("nut"),
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01": Kind("mxf"),
}
_FRAMES = ("mp3", "aac", "loas", "ac3", "eac3", "amr", "dts")  # without a container
# What tells so little of its length that FFmpeg guesses it from the bit rate.
_ENDLESS = (*_FRAMES, "asf", "mpeg", "mpegts", "flv", "rm", "dss", "nut")
_BEGINNINGS = re.compile(
    rb"(?=RIFF....(?:WAVE|AVI )|fLaC\0\0\0\x22|OggS\0\x02|FORM....AIF|....ftyp[ -~]{4}|caff\0\x01|\.snd\0\0\0|#!AMR"
    rb"|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75\x8e\x66\xcf\x11|wvpk....[\x02-\x10]\x04|" + FRAME + rb")",
    re.DOTALL,
)
_NO_SOUND = {
    b"MThd": "MIDI, which is notes",
    b"#EXTM3U": "a playlist",
    b"[playlist]": "a playlist",
    b"#!SILK": "SILK, a codec of voice messages that is not known",
    b"\x02#!SILK": "SILK, a codec of voice messages that is not known",
    b"\x03ds2": "DS2, a codec of dictation machines that is not known",
    b"ADIF": "AAC in ADIF, which is not known",
    b"<!DOCTYPE": "a page in HTML",
    b"<html": "a page in HTML",
    b"<?xml": "a text in XML",
}
_SPACES = str.maketrans("\t\r\n\ufeff", "    ")


@dataclass(frozen=True)
class Container:
    """Sound in a file.

    Attributes:
        exact: Whether the header knows how long the sound is; else FFmpeg guesses.
        missing: Why the file is not there to its end; '' where it is, as far as can be known.
    """

    kind: Kind
    file: Part
    exact: bool = True
    missing: str = ""


def find_container(f: BinaryIO, name: str, streamed: bool) -> Container:
    """Finds where in a file sound begins, and how it is packed.

    Args:
        streamed: Whether it came through a pipe: its writer could not know its length.

    Raises:
        InputError: It is empty, or no sound.
    """
    begin = f.tell()
    return _container(Part(f, begin, f.seek(0, os.SEEK_END)), name, streamed)


def _container(file: Part, name: str, streamed: bool) -> Container:
    if file.size == 0:
        raise InputError("is empty (0 bytes)", where=name, remedy="record or copy it again")
    at, kind = _sound(file, name)
    if kind is None:
        # libsndfile knows some more, but takes what begins so for MP3, and complains on standard error.
        return Container(Kind("", not file.peek(0, 3).startswith((b"\xff", b"ID3"))), file)
    file = file.part(at)
    if kind.format == "wav":
        return _riff(file, kind, name, streamed)
    if kind.format in _FRAMES:
        file = without_tags(file)
        if ends_within_frame(file):
            tell_once(f"{name}: ends within a frame: it may have been cut short")
        return Container(kind, file, kind.format == "mp3" and has_length(file))
    if kind.format == "nistsphere":
        check_sphere(file, name)
    file, missing = _to_its_end(file, kind.format, name)
    # Of several streams libsndfile reads the first, as its header does; of one that is cut, nothing.
    if kind.format == "ogg" and (missing or streams_of_ogg(file) > 1):
        return Container(Kind("ogg"), file, False, missing)
    return Container(kind, file, kind.format not in _ENDLESS, missing)


# Where sound begins.


def _sound(file: Part, name: str) -> tuple[int, Kind | None]:
    """Where sound begins, and in which container; None where there is none that is known."""
    at = first = _behind_tags(file, 0)
    if kind := _kind_at(file, at):
        return at, kind
    if at == file.size and at:
        what = "holds nothing but " + ("tags" if file.peek(0, 1).strip(b"\0") else "zeros")
        raise InputError(what, where=name, remedy="record or copy it again")
    head = file.peek(at, 32).lstrip()
    if what := foreign_kind(head) or next((what for magic, what in _NO_SOUND.items() if head.startswith(magic)), ""):
        raise InputError(f"is no sound, but {what}", where=name, remedy="name the recording itself")
    if first and file.peek(0, 3) == b"ID3":  # its size is wrong
        first = 10
    for match in _BEGINNINGS.finditer(file.peek(first, _MOST_JUNK)):
        at = first + match.start()
        if kind := _kind_at(file, at):
            if kind.format not in _FRAMES or at - first > _A_FRAME:
                tell_once(f"{name}: {at - first:,} bytes before the sound are of no known kind, and passed over")
            return at, kind
    if _is_text(file.peek(0, 512)):
        raise InputError("is no sound, but a text", where=name, remedy="name the recording itself")
    return 0, None


def _is_text(head: bytes) -> bool:
    utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = head[: len(head) & ~1].decode("utf-16", "replace") if utf16 else head.decode("utf-8", "replace")
    return text[: max(1, len(text) - 3)].replace("\ufffd", "\0").translate(_SPACES).isprintable()


def _behind_tags(file: Part, at: int) -> int:
    """Where tags and padding at a place end."""
    while at < file.size and _kind_at(file, at) is None:
        head = file.peek(at, 32)
        size = 0
        if head.startswith(b"ID3") and len(head) > 10 and max(head[6:10]) < 0x80:
            size = 10 + syncsafe(head[6:10]) + (10 if head[5] & 0x10 else 0)  # with a footer
        elif head.startswith(b"APETAGEX"):
            size = 32 + int.from_bytes(head[12:16], "little")
        elif head.startswith(b"\xef\xbb\xbf"):
            size = 3
        elif head.startswith((b"HTTP/1", b"ICY 200")):
            size = file.peek(at, _MOST_HEADER).find(b"\r\n\r\n") + 4
            size = size if size > 3 else 0
        elif head[:4] == bytes(4):
            size = _zeros(file, at)
        if not size or at + size > file.size:
            break
        at += size
    return at


def _zeros(file: Part, at: int) -> int:
    """How many zeros there are from a place on; fewer where some of the last belong to what follows."""
    begin = at
    while (data := file.peek(at, 1 << 16)) and not data.strip(b"\0"):
        at += len(data)
    at += len(data) - len(data.lstrip(b"\0"))
    return next((at - back for back in (3, 2, 1) if at - back > begin and _kind_at(file, at - back)), at) - begin


def _kind_at(file: Part, at: int) -> Kind | None:
    """The container that begins at a place, if one does."""
    head = file.peek(at, _MPEG_TS + 9)
    if any(head[first : first + 1] == head[first + size : first + size + 1] == b"G" for first, size in _PACKETS):
        return Kind("mpegts")
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[4:8] in BOXES:
        return Kind("mp4")
    frames = frames_at(file, at)
    return Kind(frames) if frames else None


# What is in it, and whether all of it is there.


class Behind(NamedTuple):
    """What follows behind the end that a header announces, and where: a file, samples, or nothing that is sound."""

    what: Literal["file", "samples", ""]
    at: int


def _behind(file: Part, end: int, order: str) -> Behind:
    file = without_tags(file)
    if end >= file.size - SLACK:
        return Behind("", end)
    chunked = behind_chunks(file, end, order)
    at = _behind_tags(file, chunked)
    if file.peek(at, 1) == b"\0" and not _kind_at(file, at):  # behind an odd length
        at += 1
    if at >= file.size - SLACK:
        return Behind("", at)
    kind = _kind_at(file, at)
    if kind and kind.format != "mpegts":  # which samples may begin like
        return Behind("file", at)
    padding = file.size - at < _MOST_PADDING and len(set(file.peek(at, _MOST_PADDING))) == 1
    return Behind("" if chunked > end or padding or _is_text(file.peek(at, 512)) else "samples", at)


def goes_on(file: Part, end: int, name: str, order: str = "<", whole: bool = True) -> bool:
    """Whether samples go on behind the end that a header announces. That is told, and so is another file there.

    Args:
        order: That of bytes: < or >.
        whole: Whether the file is there to its end.
    """
    what, at = _behind(file, end, order)
    if what == "file":
        _tell_another(file, at, name, whole)
    elif what:
        tell_once(f"{name}: its header announces too little: {_count(file, at, whole)} follow, which are read, too")
    return what == "samples"


def tell_joined_flac(file: Part, last: int, name: str) -> None:
    """Tells whether another FLAC follows one whose last block was read from a place on, or a little before it."""
    begin = max(0, last - _READ_AHEAD)
    behind = file.peek(begin, _MOST_JUNK).find(b"fLaC\0\0\0\x22", 0 if begin else 4)
    if behind >= 0:
        _tell_another(file, begin + behind, name)


def _tell_another(file: Part, at: int, name: str, whole: bool = True) -> None:
    tell_once(f"{name}: another file follows behind its end ({_count(file, at, whole)}), which is not read")


def _count(file: Part, at: int, whole: bool) -> str:
    return f"{file.size - at:,} bytes{'' if whole else ' or more'}"


def _riff(file: Part, kind: Kind, name: str, streamed: bool) -> Container:
    form = file.peek(8, 4)
    if form == b"AVI ":
        claimed = int.from_bytes(file.peek(4, 4), "little")
        return Container(Kind("avi"), file, missing=announced(8 + claimed, file.size) if claimed < 0x7F000000 else "")
    if form == b"QLCM":
        return Container(Kind("qcp"), file)
    if form != b"WAVE":
        inside = next((at for tag, at, _, _ in chunks(file) if tag == b"data"), None)  # RMP3: an MP3 in RIFF
        at, own = _sound(file.part(inside), name) if inside is not None else (0, None)
        if inside is None or own is None or own.format == "wav":
            shown = form.decode("ascii", "replace").strip()
            raise InputError(f"is no sound, but RIFF of the kind {shown!r}", where=name, remedy="name a recording")
        return _container(file.part(inside + at), name, streamed)
    wave = find_wave(file)
    if wave is None:
        return Container(kind, file)  # which both decoders refuse
    check_rate(wave.rate, name)
    missing = wave.missing(file, streamed)
    if len(wave.pieces) > 1:
        tell_once(f"{name}: its samples are in {len(wave.pieces)} pieces, which are read one after another")
    if goes_on(file, wave.end, name, wave.order):
        wave = wave.read_on(without_tags(file))
    samples = wave.samples(file)
    if wave.code in _MPEG_CODES:
        at, own = _sound(samples, name)
    else:
        at = _behind_tags(samples, 0) if samples.peek(0, 3) == b"ID3" else 0
        own = _kind_at(samples, at)
    if own is not None and own.format in _FRAMES:  # an MP3, whatever the header calls it
        return replace(_container(samples.part(at), name, streamed), missing=missing)
    # libsndfile knows of plain samples alone how many there are; the length of what FFmpeg decodes is a guess.
    return Container(kind, file if wave.regular else wave.as_all_write_it(file), False, missing)


def _to_its_end(file: Part, format: str, name: str) -> tuple[Part, str]:
    """The file without another that is joined to it, and why it is not there to its end; '' where it is."""
    if missing := missing_of(file, format):
        return file, missing
    end = end_of(file, format)
    if not end or format == "matroska" or end >= file.size - SLACK:  # of joined Matroskas all are read
        return file, ""
    what, at = _behind(file, end, "<")
    if what == "file":
        _tell_another(file, at, name)
        return file.part(0, end), ""
    if format in _READ_ON and goes_on(file, end, name) and format == "au":
        return file.part(12, head=file.peek(0, 8) + b"\xff" * 4), ""
    if what and format in ("aiff", "caf"):
        tell_once(
            f"{name}: {file.size - at:,} bytes follow behind the end that its header announces, which are not read"
        )
    return file, ""
