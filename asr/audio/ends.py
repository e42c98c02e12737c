"""Where a file of audio ends, by its own account, and whether it is there to that end."""

from __future__ import annotations

from asr.audio.faults import SLACK
from asr.audio.parts import Part
from asr.utils.errors import InputError

BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"styp", b"sidx")  # of MP4
_BOXES_BEHIND = (*BOXES, b"meta", b"uuid", b"udta", b"mfra", b"mdia", b"pdin")
_CAF_CHUNKS = b"desc|data|pakt|kuki|chan|free|info|midi|strg|mark|regn|inst|umid|edct|peak|ovvw|uuid|LMKS".split(b"|")
_LARGEST_PAGE = 66_000  # bytes of Ogg, and a few
_ANY_SIZE = 0xFFFFFFFF
_AIFF_CHUNKS = b"COMM|SSND|FVER|MARK|INST|MIDI|AESD|APPL|COMT|NAME|AUTH|(c) |ANNO|SAXL|CHAN|ID3 |PEAK|FLLR|bext".split(
    b"|"
)
_W64_CHUNK = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # what the names of chunks end with
_MOST_HEADER = 1 << 16  # bytes of a SPHERE's header


def announced(claimed: int, there: int) -> str:
    """Returns how many bytes are missing of those that a header announces; '' where none are."""
    return f"its header announces {claimed:,} bytes, {there:,} are there" if claimed > there + SLACK else ""


def missing_of(file: Part, format: str) -> str:
    """Returns why a file is not there to its end; '' where it is, or does not say how long it is."""
    if format == "ogg":
        return _missing_of_ogg(file)
    if format == "flv":  # behind each tag stands its length
        last = file.size - 4 - int.from_bytes(file.peek(file.size - 4, 4), "big")
        whole = last >= 9 and file.peek(last, 1)[0] & 0x1F in (8, 9, 18)
        return "" if whole or file.size < 14 else "its last piece is not whole"
    return announced(end_of(file, format), file.size)


def end_of(file: Part, format: str) -> int:
    """Returns where a file ends, by its header; 0 where it does not say."""
    head = file.peek(0, 64)
    if format == "aiff":
        return max(8 + int.from_bytes(head[4:8], "big"), _end_of_aiff(file))
    if format == "au":
        data = int.from_bytes(head[8:12], "big")
        return 0 if data == _ANY_SIZE else int.from_bytes(head[4:8], "big") + data
    if format == "w64":
        size = int.from_bytes(head[16:24], "little")
        return 0 if size >= 1 << 62 else max(size, _end_of_w64(file))
    if format == "nistsphere":
        return _end_of_sphere(file)
    if format == "caf":
        return _end_of_caf(file)
    if format == "mp4":
        return _end_of_mp4(file)
    if format == "wv":
        return _end_of_wavpack(file)
    if format == "matroska":
        return _end_of_matroska(file)
    if format == "asf":
        head = file.peek(0, 1 << 14)
        at = head.find(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65")  # file properties
        if at >= 0 and len(head) > at + 92 and not head[at + 88] & 1:  # it was not sent as it was recorded
            return int.from_bytes(head[at + 40 : at + 48], "little")
    return 0


def _sphere(file: Part) -> dict[str, str]:
    """The fields of a SPHERE's header, each a name, a type and a value, such as `sample_count -i 46797`."""
    lines = file.peek(0, _MOST_HEADER).partition(b"end_head")[0].decode("latin-1").splitlines()[2:]
    return {parts[0]: parts[2].strip() for parts in (line.split(None, 2) for line in lines) if len(parts) == 3}


def check_sphere(file: Part, name: str) -> None:
    """Raises an InputError where the samples of a SPHERE are packed."""
    coding = _sphere(file).get("sample_coding", "pcm").lower()
    packing = next((packing for packing in ("shorten", "wavpack", "shortpack") if packing in coding), "")
    if packing:
        raise InputError(
            f"is SPHERE packed by {packing} ({coding}), which is not read",
            where=name,
            remedy="unpack it with `sph2pipe -f wav FILE new.wav`",
        )


def _end_of_sphere(file: Part) -> int:
    fields = _sphere(file)
    try:
        begin = int(file.peek(8, 8))
        count, channels = int(fields["sample_count"]), int(fields.get("channel_count", 1))
        return begin + count * channels * int(fields["sample_n_bytes"])
    except (KeyError, ValueError):
        return 0


def _end_of_wavpack(file: Part) -> int:
    """Where the last block ends before one that begins anew."""
    at, before = 0, -1
    while (head := file.peek(at, 24))[:4] == b"wvpk" and len(head) == 24:
        index, count = int.from_bytes(head[16:20], "little"), int.from_bytes(head[20:24], "little")
        if count and index < before:
            break
        before = index if count else before
        at += 8 + int.from_bytes(head[4:8], "little")
    return at


def _end_of_aiff(file: Part) -> int:
    at = 12
    while at + 8 <= file.size and file.peek(at, 4) in _AIFF_CHUNKS:
        size = int.from_bytes(file.peek(at + 4, 4), "big")
        at += 8 + size + (size & 1)
    return at


def _end_of_w64(file: Part) -> int:
    at = 40
    while (head := file.peek(at, 24))[4:16] == _W64_CHUNK and len(head) == 24:
        size = int.from_bytes(head[16:], "little")
        if not 24 <= size < 1 << 62:
            break
        at += (size + 7) & ~7
    return at


def _end_of_mp4(file: Part) -> int:
    """Where the last of an MP4's boxes ends; of one in fragments, all that follow belong to it."""
    at, fragments = 0, False
    while at + 8 <= file.size:
        head = file.peek(at, 16)
        size = int.from_bytes(head[:4], "big")
        fragments = fragments or head[4:8] == b"moof"
        if head[4:8] == b"ftyp" and at and not fragments:  # another file
            break
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8 or head[4:8] not in _BOXES_BEHIND:  # 0: to the end of the file; or something else behind it
            break
        at += size
    return at


def _end_of_caf(file: Part) -> int:
    at = 8
    while at + 12 <= file.size:
        head = file.peek(at, 12)
        size = int.from_bytes(head[4:], "big", signed=True)
        if size < 0:  # to the end of the file
            return file.size
        if head[:4] not in _CAF_CHUNKS:
            break
        at += 12 + size
    return at


def _end_of_matroska(file: Part) -> int:
    """Where the Segment ends; 0 where it does not say."""
    head = file.peek(0, 1 << 12)
    at = head.find(b"\x18\x53\x80\x67")
    if at < 0 or len(head) < at + 12 or not head[at + 4]:
        return 0
    width = 9 - head[at + 4].bit_length()
    size = int.from_bytes(head[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
    return 0 if size == (1 << 7 * width) - 1 else at + 4 + width + size


def _missing_of_ogg(file: Part) -> str:
    """The last page of an Ogg file must be whole: its length is in its header (RFC 3533, section 6)."""
    tail = file.peek(max(0, file.size - _LARGEST_PAGE), _LARGEST_PAGE)
    page = tail.rfind(b"OggS")
    header = tail[page : page + 27] if page >= 0 else b""
    segments = tail[page + 27 : page + 27 + header[26]] if len(header) == 27 else b""
    whole = len(header) == 27 and len(segments) == header[26] and page + 27 + header[26] + sum(segments) <= len(tail)
    return "" if whole else "its last page is not whole"


def streams_of_ogg(file: Part) -> int:
    """Returns how many streams an Ogg file holds, beside or behind each other; two where there are more."""
    at = begun = 0
    while at + 27 <= file.size and begun < 2:
        page = file.peek(at, 27 + 255)
        if page[:4] != b"OggS":
            break
        begun += bool(page[5] & 2)
        at += 27 + page[26] + sum(page[27 : 27 + page[26]])
    return begun
