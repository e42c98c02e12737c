"""Streams of frames without a container: MPEG audio (MP3, MP2), AAC in ADTS and LOAS, AC-3; and the tags behind them.

A frame is known by its neighbors: its header says where the next one begins, and that has the same rate.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from asr.audio.parts import Part

_RATES = (44100, 48000, 32000)  # Hz of MPEG-1; MPEG-2 has half of them, MPEG-2.5 a quarter
_BITRATES = {  # kbit/s by the index in the header; of (MPEG-1?, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_BITRATES_AC3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_ENOUGH = 4  # frames in a row that are none by chance
_MOST_FRAME = 8192  # bytes
# What a frame's first bytes may be; of layer I, which nobody uses, they are too like quiet samples without a header.
FRAME = rb"\xff[\xe2-\xe5\xf0-\xf5\xf8-\xfd][\x10-\xef]|\x56[\xe0-\xff]|\x0b\x77"
_TAILS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")


class Frame(NamedTuple):
    """What the header of a frame says."""

    format: str  # FFmpeg's name of the container
    size: int  # bytes
    like: bytes  # what is the same in all frames


def frame_of(head: bytes) -> Frame | None:
    """The frame that begins with these seven bytes, if one does."""
    if len(head) < 7:
        return None
    if head[:2] == b"\x0b\x77":
        return _ac3(head)
    if head[0] == 0x56 and head[1] & 0xE0 == 0xE0:
        return Frame("loas", 3 + ((head[1] & 0x1F) << 8 | head[2]), b"")
    if head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    if layer == 4:  # AAC has none
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return (
            Frame("aac", size, head[1:2] + bytes([head[2] & 0x3C]))
            if head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13 and size > 7
            else None
        )
    rate, bitrate = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate == 3 or not 0 < bitrate < 15:
        return None
    first = version == 3
    hertz = _RATES[rate] >> (0 if first else 1 if version == 2 else 2)
    bits = 1000 * _BITRATES[first, layer][bitrate]
    padding = head[2] >> 1 & 1
    if layer == 1:
        size = (12 * bits // hertz + padding) * 4
    else:
        size = (72 if layer == 3 and not first else 144) * bits // hertz + padding
    return Frame("mp3", size, bytes([head[1] & 0xFE, rate]))


def _ac3(head: bytes) -> Frame | None:
    """AC-3, or E-AC-3, which says the size itself (ATSC A/52)."""
    if 10 < head[5] >> 3 <= 16:
        return Frame("eac3", 2 * (((head[2] & 7) << 8 | head[3]) + 1), b"")
    rate, code = head[4] >> 6, head[4] & 0x3F
    if head[5] >> 3 > 10 or rate == 3 or code >= 2 * len(_BITRATES_AC3):
        return None
    bitrate = _BITRATES_AC3[code >> 1]
    words = (2 * bitrate, 320 * bitrate // 147 + (code & 1), 3 * bitrate)[rate]
    return Frame("ac3", 2 * words, bytes([rate]))


def frames_at(file: Part, at: int) -> str:
    """The format of the frames that follow each other from a place on; '' where there are none."""
    first = following = frame_of(file.peek(at, 7))
    count = 0
    while first and following and following[::2] == first[::2]:
        count, at = count + 1, at + following.size
        if count >= _ENOUGH or at >= file.size or file.peek(at, 11).startswith(_TAILS):
            return first.format if count > 1 or at == file.size else ""
        following = frame_of(file.peek(at, 7))
    return ""


def syncsafe(data: bytes) -> int:
    """A size in an ID3v2 tag: groups of seven bits."""
    return sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(data))


def ends_within_frame(file: Part) -> bool:
    """Whether the last of a stream's frames is not all there."""
    begin = max(0, file.size - 8 * _MOST_FRAME)
    for match in re.finditer(b"(?=" + FRAME + b")", file.peek(begin, 4 * _MOST_FRAME)):
        at = begin + match.start()
        if frames_at(file, at):
            while frame := frame_of(file.peek(at, 7)):
                at += frame.size
            return at > file.size
    return False


def without_tags(file: Part) -> Part:
    """The file without what stands behind its sound: ID3v1, ID3v2, Lyrics3, APE."""
    end = file.size
    while end:
        tail = file.peek(max(0, end - 128), min(128, end))
        if tail[:3] == b"TAG":
            end -= 128
        elif tail[-10:-7] == b"3DI" and (size := 20 + syncsafe(tail[-4:])) <= end:
            end -= size
        elif tail[-32:-24] == b"APETAGEX":
            size = int.from_bytes(tail[-20:-16], "little") + (32 if tail[-9] & 0x80 else 0)
            if not 32 <= size <= end:
                break
            end -= size
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit() and int(tail[-15:-9]) + 15 <= end:
            end -= int(tail[-15:-9]) + 15
        else:
            break
    return file.part(0, end)


def has_length(file: Part) -> bool:
    """Whether an MP3's first frame (Xing, Info) says how many follow, and nothing else follows these."""
    head = file.peek(0, 256)
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at < 0:
        return False
    flags, size = head[at + 7], head[at + 8 + 4 * (head[at + 7] & 1) :][:4]
    return not flags & 2 or file.size - int.from_bytes(size, "big") < 1 << 11
