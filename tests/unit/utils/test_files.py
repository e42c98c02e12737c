from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import stat
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wording import wording

from asr.utils.errors import InputError
from asr.utils.files import (
    atomic_path,
    data_home,
    download,
    extract,
    files_sha256,
    make_folder,
    read_text,
    write_json,
    write_jsonl,
)

BODY = np.random.default_rng(0).bytes(300_000)
BODY_SHA256 = hashlib.sha256(BODY).hexdigest()


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, hidden files too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


# ------------------------------------------------------------------------------------------------ writing, reading


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        with atomic_path(tmp_path / "a" / "f") as temporary:
            temporary.write_bytes(content)
            assert (tmp_path / "a" / "f").exists() == (content == b"two")
        assert tree(tmp_path) == {"a": None, "a/f": content}


@pytest.mark.parametrize("before", ["nothing", "folder", "file"])
def test_a_folder_is_written_and_replaces_what_was_there(before: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    if before == "folder":
        path.mkdir()
        (path / "old").write_bytes(b"old")
    elif before == "file":
        path.write_bytes(b"old")
    with atomic_path(path, replace_folder=True) as temporary:
        temporary.mkdir()
        (temporary / "new").write_bytes(b"new")
    assert tree(tmp_path) == {"f": None, "f/new": b"new"}


def test_a_folder_that_holds_something_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "precious").write_bytes(b"mine")
    with pytest.raises(InputError, match=wording("not-empty")), atomic_path(tmp_path / "f") as temporary:
        temporary.mkdir()
    assert tree(tmp_path) == {"f": None, "f/precious": b"mine"}


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "old").write_bytes(b"old")
    with pytest.raises(InputError, match=wording("f-cannot-be-written")), atomic_path(tmp_path / "f") as temporary:
        temporary.write_bytes(b"new")
    assert tree(tmp_path) == {"f": None, "f/old": b"old"}


@pytest.mark.parametrize("folder", [True, False])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_and_nothing_else(folder: bool, error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")

    def write() -> None:
        with atomic_path(tmp_path / "f") as temporary:
            if folder:
                temporary.mkdir()
            (temporary / "x" if folder else temporary).write_bytes(b"new")
            raise error

    with pytest.raises(InputError if error is OSError else error):
        write()
    assert tree(tmp_path) == {"f": b"old"}


def test_a_value_that_json_cannot_hold_keeps_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "f", {"é": 1})
    before = tree(tmp_path)
    assert "é".encode() in before["f"]
    with pytest.raises(ValueError, match=wording("json-compliant")):
        write_json(tmp_path / "f", float("nan"))
    assert tree(tmp_path) == before


def test_jsonl_lines_and_reproducible_gzip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": "はい\u2028"}, {"n": 1}]
    for name, now in (("a.jsonl.gz", 1e9), ("b.jsonl.gz", 2e9), ("c.jsonl", 0)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        write_jsonl(tmp_path / name, rows)
    plain = (tmp_path / "c.jsonl").read_bytes()
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == plain
    assert [json.loads(line) for line in plain.decode().split("\n")[:-1]] == rows


@pytest.mark.parametrize(
    ("data", "text"), [(b"\xef\xbb\xbfa\r\n", "a\r\n"), ("キク".encode(), "キク"), (b"", ""), (b"1234", "1234")]
)
def test_read_text(data: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    assert read_text(tmp_path / "f", limit=max(4, len(data))) == text


@pytest.mark.parametrize(
    ("data", "words"), [(b"a\nb\n\xe9t\xe9\n", "line 3 is not UTF-8.*iconv"), (b"123456", "is larger than 5 bytes")]
)
def test_texts_that_are_refused(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / 'f'))}: {words}"):
        read_text(tmp_path / "f", limit=5 if b"6" in data else 100)


def test_texts_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("x-no-such-file")):
        read_text(tmp_path / "x")
    with pytest.raises(InputError, match=wording("cannot-be-read")):
        read_text(tmp_path)


def test_data_home_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_DATA", str(tmp_path))
    assert data_home() == tmp_path
    monkeypatch.setenv("ASR_DATA", "")
    assert data_home() == Path.home() / ".cache" / "asr" / "data"


def test_files_sha256_sees_names_and_contents(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (tmp_path / name for name in "abc")
    assert files_sha256([a, b]) == files_sha256([b, a])
    assert len({files_sha256(files) for files in ([a, b], [a], [c], [a, c], [])}) == 5


# ------------------------------------------------------------------------------------------------ downloads


class Server(ThreadingHTTPServer):
    """Serves BODY at every address; the address says how it misbehaves. `ranges` holds what clients asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []

    def url(self, manner: str = "good") -> str:
        return f"http://127.0.0.1:{self.server_port}/{manner}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        manner = self.path.strip("/")
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if manner == "garbage":
            self.wfile.write(b"what is this\r\n\r\n")
            return
        if manner == "missing":
            self.send_error(404)
            return
        begin = 0
        if wanted and manner != "no-range":
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(BODY):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(BODY) - 1}/{len(BODY)}")
        else:
            self.send_response(200)
        body = BODY[begin:]
        if manner == "chunked-truncated":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(body) + body[: len(body) // 2])
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if manner == "truncated" else body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_download_of_a_whole_file(server: Server, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    path = download(
        server.url(), tmp_path / "a" / "f", sha256=BODY_SHA256, progress=lambda *numbers: calls.append(numbers)
    )
    assert tree(tmp_path) == {"a": None, "a/f": BODY}
    assert path == tmp_path / "a" / "f"
    assert calls[-1] == (len(BODY), len(BODY))
    assert server.ranges == [None]


def test_download_of_what_is_there_asks_nobody(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(BODY)
    download(server.url(), tmp_path / "f", sha256=BODY_SHA256)
    (tmp_path / "g").write_bytes(b"anything")
    download(server.url(), tmp_path / "g")
    assert server.ranges == []
    download(server.url(), tmp_path / "g", sha256=BODY_SHA256)  # not the one meant: fetched again
    assert server.ranges == [None]
    assert (tmp_path / "g").read_bytes() == BODY


@pytest.mark.parametrize("manner", ["good", "no-range"])
def test_download_continues_a_part(manner: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(BODY[:100_000])
    calls: list[tuple[int, int | None]] = []
    download(server.url(manner), tmp_path / "f", sha256=BODY_SHA256, progress=lambda *numbers: calls.append(numbers))
    assert tree(tmp_path) == {"f": BODY}
    assert server.ranges == ["bytes=100000-"]
    assert calls[-1] == (len(BODY), len(BODY))


@pytest.mark.parametrize("manner", ["truncated", "chunked-truncated"])
def test_download_cut_short_is_continued_by_the_next_try(manner: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("http-the-download-failed-try")):
        download(server.url(manner), tmp_path / "f", sha256=BODY_SHA256)
    assert list(tree(tmp_path)) == ["f.part"]
    part = (tmp_path / "f.part").read_bytes()
    assert BODY.startswith(part)
    if manner == "truncated":
        assert len(part) == len(BODY) // 2
    download(server.url(), tmp_path / "f", sha256=BODY_SHA256)
    assert tree(tmp_path) == {"f": BODY}
    assert server.ranges[1] == (f"bytes={len(part)}-" if part else None)


def test_download_with_another_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"checksum {BODY_SHA256[:16]}"):
        download(server.url(), tmp_path / "f", sha256="0" * 64)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(("manner", "words"), [("missing", "HTTP 404"), ("garbage", "download failed")])
def test_download_that_fails_keeps_the_part(manner: str, words: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"part")
    with pytest.raises(InputError, match=f"^{server.url(manner)}: .*{words}"):
        download(server.url(manner), tmp_path / "f")
    assert tree(tmp_path) == {"f.part": b"part"}


def test_download_with_a_part_that_is_too_long_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    download(server.url(), tmp_path / "f")
    assert tree(tmp_path) == {"f": BODY}


def test_download_from_nobody(tmp_path: Path) -> None:
    server = Server()
    url = server.url()
    server.server_close()
    with pytest.raises(InputError, match=wording("refused-try-again", url)):
        download(url, tmp_path / "f")
    assert tree(tmp_path) == {}


# ------------------------------------------------------------------------------------------------ archives


def archive(path: Path, files: dict[str, bytes], extra: tarfile.TarInfo | None = None, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if extra:
            tar.addfile(extra)
    return path


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2", "w"])
@pytest.mark.parametrize("there", [True, False])
def test_extract(mode: str, there: bool, tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar", {"x/1": BODY, "2": b"two"}, mode=mode)
    if there:
        (tmp_path / "out").mkdir()
    extract(packed, tmp_path / "out")
    assert tree(tmp_path / "out") == {"x": None, "x/1": BODY, "2": b"two"}
    assert {p.name for p in tmp_path.iterdir()} == {"a.tar", "out"}
    plain = tmp_path / "plain"
    plain.mkdir()
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("../evil", None),
        ("x/../../evil", None),
        ("/tmp/evil-kikitori", None),
        ("x/1", link("s", "/etc", tarfile.SYMTYPE)),
        ("x/1", link("s", "x/1", tarfile.SYMTYPE)),
        ("x/1", link("h", "x/1", tarfile.LNKTYPE)),
        ("x/1", link("p", "", tarfile.FIFOTYPE)),
        ("x/1", link("d", "", tarfile.CHRTYPE)),
    ],
)
def test_members_that_are_refused(name: str, extra: tarfile.TarInfo | None, tmp_path: Path) -> None:
    packed = archive(
        make_folder(tmp_path / "in") / "a.tar.gz",
        {"good": b"good", name: b"evil"},
        extra,
    )
    refused = extra.name if extra else name
    with pytest.raises(InputError, match=f"^{re.escape(str(packed))}: holds {refused!r}"):
        extract(packed, tmp_path / "in" / "out")
    assert set(tree(tmp_path)) == {"in", "in/a.tar.gz"}
    assert not Path("/tmp/evil-kikitori").exists()


def test_the_size_limit_counts_all_members(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar.gz", {"1": bytes(600), "2": bytes(600)})
    extract(packed, tmp_path / "fits", limit=1200)
    with pytest.raises(InputError, match=wording("more-than-1-199-bytes")):
        extract(packed, tmp_path / "out", limit=1199)
    assert {p.name for p in tmp_path.iterdir()} == {"a.tar.gz", "fits"}


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2", "w"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "missing"])
def test_damaged_archives_leave_nothing(mode: str, damage: str, tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar", {"1": BODY, "2": BODY}, mode=mode)
    data = bytearray(packed.read_bytes())
    if damage == "flipped" and mode == "w":
        pytest.skip("a plain tar has no checksum of its contents")
    data[len(data) // 3] ^= 0xFF
    packed.write_bytes(
        {"cut": packed.read_bytes()[: len(data) // 3], "flipped": data, "text": b"hello"}.get(damage, b"")
    )
    if damage == "missing":
        packed.unlink()
    with pytest.raises(InputError, match=wording("cannot-be-unpacked-remove-it", re.escape(str(packed)))):
        extract(packed, tmp_path / "out")
    assert set(tree(tmp_path)) <= {"a.tar"}


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_bytes(b"mine")
    with pytest.raises(InputError, match=wording("cannot-be-unpacked")):
        extract(archive(tmp_path / "a.tar.gz", {"1": b"1"}), tmp_path / "out")
    assert set(tree(tmp_path)) == {"a.tar.gz", "out", "out/mine"}
