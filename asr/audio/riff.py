"""RIFF: the chunks of a WAV, in whatever order they stand, and how long its sound is."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from asr.audio.faults import SLACK, check_rate, cut_short
from asr.audio.parts import Part

_UNKNOWN_SIZE = 0xFFFFFFFF  # a WAV that was written to a pipe does not know its own length
STREAMED_SIZE = 0x7FFF0000  # ... and some recorders then write about 2 GiB
EXTENSIBLE = 0xFFFE  # the code of the codec is the beginning of a longer name
_SEARCHED = 1 << 20  # bytes in which chunks are looked for that are not where the one before ends
_CHUNKS = frozenset(
    b"fmt |data|fact|LIST|INFO|bext|JUNK|junk|PAD |FLLR|cue |smpl|inst|iXML|axml|id3 |ID3 |DISP|PEAK|acid|cart|minf"
    b"|elm1|regn|umid|chna|_PMX|mext|levl|plst|adtl|wavl|slnt|strc|afsp|SAUR|ResU|LGWV|resu".split(b"|")
)


@dataclass(frozen=True)
class Wave:
    """Where what matters of a WAV stands."""

    form: bytes  # the body of its chunk fmt
    at: int  # where the samples begin
    claimed: int  # bytes of them, as the header says
    order: str  # of bytes: < or >
    fact: bytes = b""
    regular: bool = True  # whether everyone finds the chunks
    more: bool = False  # whether other samples follow behind another chunk

    @property
    def code(self) -> int:
        """Of the codec."""
        code, size = self._number(0), self._number(16) if len(self.form) >= 18 else 0
        return self._number(24) if code == EXTENSIBLE and size >= 22 and len(self.form) >= 26 else code

    @property
    def bytes_per_second(self) -> int:
        return int(struct.unpack(f"{self.order}I", self.form[8:12])[0])

    def check(self, file: Part, name: str, streamed: bool) -> None:
        """Raises an InputError where the rate is none, or samples that the header claims are not there."""
        check_rate(struct.unpack(f"{self.order}I", self.form[4:8])[0], name)
        there = file.size - self.at
        unknown = self.claimed == _UNKNOWN_SIZE or (streamed and self.claimed >= STREAMED_SIZE)
        if self.claimed > there + SLACK and not unknown:
            per_second = self.bytes_per_second or 1
            raise cut_short(name, there / per_second, self.claimed / per_second)

    def as_all_write_it(self, file: Part) -> Part:
        """The file with a header in which everyone finds the chunks."""
        there = min(file.size - self.at, self.claimed)
        chunks = [(b"fmt ", self.form), *([(b"fact", self.fact)] if self.fact else [])]
        body = b"".join(tag + self._packed(len(data)) + data + bytes(len(data) & 1) for tag, data in chunks)
        size = 4 + len(body) + 8 + there
        start = b"RIFX" if self.order == ">" else b"RIFF"
        head = start + self._packed(size) + b"WAVE" + body + b"data" + self._packed(there)
        return file.part(self.at, self.at + there, head)

    def _number(self, at: int) -> int:
        return int(struct.unpack(f"{self.order}H", self.form[at : at + 2])[0])

    def _packed(self, size: int) -> bytes:
        return struct.pack(f"{self.order}I", min(size, _UNKNOWN_SIZE))


def chunks(file: Part, order: str = "<") -> Iterator[tuple[bytes, int, int, bool]]:
    """The name of each chunk, where its body begins, how long it is, and whether it stands where it should.

    Behind a chunk of odd length there should be a byte that some writers leave out.
    """
    at, regular = 12, True
    while at + 8 <= file.size:
        tag, length = struct.unpack(f"{order}4sI", file.peek(at, 8))
        if not all(32 <= byte < 127 for byte in tag):  # something else stands here
            return
        yield tag, at + 8, length, regular
        at += 8 + length
        if length & 1:
            unpadded = file.peek(at, 4) in _CHUNKS and file.peek(at + 1, 4) not in _CHUNKS
            at, regular = at + (0 if unpadded else 1), regular and not unpadded


def find_wave(file: Part) -> Wave | None:
    """What a WAV holds; None where that cannot be found."""
    order = ">" if file.peek(0, 4) == b"RIFX" else "<"
    form, fact, long_data = b"", b"", 0
    data: tuple[int, int] | None = None
    regular, more = True, False
    for tag, at, length, in_place in chunks(file, order):
        if tag == b"ds64":
            long_data = int.from_bytes(file.peek(at + 8, 8), "little")
        elif tag == b"fact":
            fact = file.peek(at, min(length, 64))
        elif tag == b"fmt " and not form and 14 <= length < 1 << 16:
            form, regular = file.peek(at, length), in_place and data is None
        elif tag == b"data" and data is None:
            data = at, long_data if length == _UNKNOWN_SIZE and long_data else length
            regular = regular and in_place
        elif tag in (b"data", b"RIFF") and data and 0 < length <= file.size - at:  # or another WAV behind this
            more = True
    head = file.peek(0, _SEARCHED) if not (form and data) else b""
    if not form and (place := head.find(b"fmt ", 12)) >= 0:  # sizes before it are wrong
        length = struct.unpack(f"{order}I", head[place + 4 : place + 8].ljust(4, b"\0"))[0]
        form, regular = head[place + 8 : place + 8 + length] if 14 <= length < 200 else b"", False
    if form and data is None and (place := head.find(b"data", 12)) >= 0:
        length = struct.unpack(f"{order}I", head[place + 4 : place + 8].ljust(4, b"\0"))[0]
        data, regular = (place + 8, length), False
    if len(form) < 14 or data is None:
        return None
    if len(form) < 16:  # an old writer's: the bits of a sample are left to be known
        channels, align = struct.unpack(f"{order}2x H 8x H".replace(" ", ""), form[:14])
        form, regular = form[:14] + struct.pack(f"{order}H", 8 * align // max(1, channels)), False
    return Wave(form, *data, order, fact, regular, more)
