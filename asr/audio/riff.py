"""RIFF: the chunks of a WAV, in whatever order they stand, and how long its sound is."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from asr.audio.faults import SLACK
from asr.audio.parts import Part

_UNKNOWN_SIZE = 0xFFFFFFFF  # a WAV that was written to a pipe does not know its own length
STREAMED_SIZE = 0x7FFF0000  # ... and some recorders then write about 2 GiB
EXTENSIBLE = 0xFFFE  # the code of the codec is the beginning of a longer name
FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_SEARCHED = 1 << 20  # bytes in which chunks are looked for that are not where the one before ends
_CHUNKS = frozenset(
    b"fmt |data|fact|LIST|INFO|bext|JUNK|junk|PAD |FLLR|cue |smpl|inst|iXML|axml|id3 |ID3 |DISP|PEAK|acid|cart|minf"
    b"|elm1|regn|umid|chna|_PMX|mext|levl|plst|adtl|wavl|slnt|strc|afsp|SAUR|ResU|LGWV|resu".split(b"|")
)


@dataclass(frozen=True)
class Wave:
    """Where what matters of a WAV stands."""

    form: bytes  # the body of its chunk fmt
    pieces: tuple[tuple[int, int], ...]  # where samples begin, and how many bytes of them the header announces
    order: str  # of bytes: < or >
    fact: bytes = b""
    regular: bool = True  # whether everyone finds the chunks

    @property
    def claimed(self) -> int:
        """Returns how many bytes of samples the header announces."""
        return sum(size for _, size in self.pieces)

    @property
    def end(self) -> int:
        """Returns the byte at which the samples end, as the header says."""
        return sum(self.pieces[-1])

    @property
    def code(self) -> int:
        """Returns the number that the format chunk gives the codec."""
        code, size = self._number(0), self._number(16) if len(self.form) >= 18 else 0
        return self._number(24) if code == EXTENSIBLE and size >= 22 and len(self.form) >= 26 else code

    @property
    def rate(self) -> int:
        """Returns the sample rate, Hz."""
        return int(struct.unpack(f"{self.order}I", self.form[4:8])[0])

    @property
    def bytes_per_second(self) -> int:
        return int(struct.unpack(f"{self.order}I", self.form[8:12])[0])

    def missing(self, file: Part, streamed: bool) -> str:
        """Returns why samples that the header announces are missing; '' where none are, or where nobody knows."""
        there = self.samples(file).size
        unknown = self.claimed == _UNKNOWN_SIZE or (streamed and self.claimed >= STREAMED_SIZE)
        if self.claimed <= there + SLACK or unknown:
            return ""
        per_second = self.bytes_per_second or 1
        return f"its header announces {self.claimed / per_second:,.2f} s, {there / per_second:,.2f} s are there"

    def samples(self, file: Part) -> Part:
        """Returns those of the announced samples that are in the file."""
        return file.joined([(at, min(file.size, at + size)) for at, size in self.pieces])

    def read_on(self, file: Part) -> Wave:
        """Returns a wave whose samples go on to the end of the file."""
        *before, (at, _) = self.pieces
        return replace(self, pieces=(*before, (at, file.size - at)), regular=False)

    def as_all_write_it(self, file: Part) -> Part:
        """The file with a header in which everyone finds the chunks."""
        samples = self.samples(file)
        there = samples.size
        chunks = [(b"fmt ", self.form), *([(b"fact", self.fact)] if self.fact else [])]
        body = b"".join(tag + self._packed(len(data)) + data + bytes(len(data) & 1) for tag, data in chunks)
        size, announced = 4 + len(body) + 8 + there, there
        start = b"RIFX" if self.order == ">" else b"RIFF"
        if size > _UNKNOWN_SIZE:  # the sizes stand in a chunk of their own (EBU Tech 3306)
            start, body = b"RF64", struct.pack("<4sIQQQI", b"ds64", 28, size + 36, there, 0, 0) + body
            size = announced = _UNKNOWN_SIZE
        head = start + self._packed(size) + b"WAVE" + body + b"data" + self._packed(announced)
        return samples.part(0, there, head)

    def _number(self, at: int) -> int:
        return int(struct.unpack(f"{self.order}H", self.form[at : at + 2])[0])

    def _packed(self, size: int) -> bytes:
        return struct.pack(f"{self.order}I", size)


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
    """Returns the format and the pieces of samples of a WAV; None where these cannot be found."""
    order = ">" if file.peek(0, 4) == b"RIFX" else "<"
    form, fact, long_data = b"", b"", 0
    data: list[tuple[int, int]] = []
    regular = True
    for tag, at, length, in_place in chunks(file, order):
        if tag == b"ds64":
            long_data = int.from_bytes(file.peek(at + 8, 8), "little")
        elif tag == b"fact":
            fact = file.peek(at, min(length, 64))
        elif tag == b"fmt " and not form and 14 <= length < 1 << 16:
            form, regular = file.peek(at, length), in_place and not data
        elif tag == b"data":
            data.append((at, long_data if length == _UNKNOWN_SIZE and long_data else length))
            regular = regular and in_place
        elif tag == b"LIST" and file.peek(at, 4) == b"wavl":  # samples in pieces
            inside = file.part(at - 8, min(file.size, at + length))
            data += [(at - 8 + place, size) for tag, place, size, _ in chunks(inside, order) if tag == b"data"]
            regular = False
        elif tag in FORMS:  # another file
            break
    head = file.peek(0, _SEARCHED) if not (form and data) else b""
    if not form and (place := head.find(b"fmt ", 12)) >= 0:  # sizes before it are wrong
        length = struct.unpack(f"{order}I", head[place + 4 : place + 8].ljust(4, b"\0"))[0]
        form, regular = head[place + 8 : place + 8 + length] if 14 <= length < 200 else b"", False
    if form and not data and (place := head.find(b"data", 12)) >= 0:
        length = struct.unpack(f"{order}I", head[place + 4 : place + 8].ljust(4, b"\0"))[0]
        data, regular = [(place + 8, length)], False
    if len(form) < 14 or not data:
        return None
    pieces = tuple(piece for piece in data if piece[1]) or (data[0],)
    if len(form) < 16:  # an old writer's: the bits of a sample are left to be known
        channels, align = struct.unpack(f"{order}2x H 8x H".replace(" ", ""), form[:14])
        form, regular = form[:14] + struct.pack(f"{order}H", 8 * align // max(1, channels)), False
    return Wave(form, pieces, order, fact, regular and len(data) == 1)


def behind_chunks(file: Part, at: int, order: str = "<") -> int:
    """Returns the byte at which the chunks that begin at a place end.

    Chunks of any name count where they reach the end of the file, else known ones alone.
    """
    if any(_reach_the_end(file, at + pad, order) for pad in (0, 1)):
        return file.size
    while pads := [pad for pad in (0, 1) if file.peek(at + pad, 4) in _CHUNKS]:
        at += pads[0]
        at += 8 + int(struct.unpack(f"{order}I", file.peek(at + 4, 4).ljust(4, b"\0"))[0])
    return at


def _reach_the_end(file: Part, at: int, order: str) -> bool:
    while at + 8 <= file.size:
        tag, length = struct.unpack(f"{order}4sI", file.peek(at, 8))
        if tag in FORMS or not all(32 <= byte < 127 for byte in tag):
            return False
        at += 8 + length + (length & 1)
    return at <= file.size + SLACK
