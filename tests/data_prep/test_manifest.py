from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import speechlike
from lhotse import CutSet
from wording import wording

from asr.data.cuts import read_cuts
from asr.utils.errors import InputError
from data_prep._files import (
    find_files,
    only_file,
)
from data_prep._manifest import (
    Source,
    already_prepared,
    opened,
    write_corpus,
)
from data_prep._transcripts import (
    Listed,
    pair,
    read_lines,
    read_transcript,
)

RATE = 8000
SETTINGS = {"corpus": "mine", "folder": "/somewhere"}


def recording(folder: Path, name: str, seconds: float = 1.0, channels: int = 1) -> Path:
    samples = np.stack([speechlike(seconds, RATE, seed=i) for i in range(channels)], axis=1)
    soundfile.write(folder / name, samples, RATE, subtype="FLOAT" if name.endswith(".wav") else None)
    return folder / name


def written(folder: Path, sources: Sequence[Source]) -> list[str]:
    """The ids that were written, and the summary's complaints."""
    return write_corpus(folder, {"train": sources}, SETTINGS).left_out


def test_lhotse_and_we_read_what_was_written(tmp_path: Path) -> None:
    mono, stereo = recording(tmp_path, "mono.wav"), recording(tmp_path, "stereo.flac", channels=2)
    sources = [
        Source("whole", mono, " Ça va?  Oui!\u3000", "Zoé"),
        Source("part", mono, "はい", start=0.25, duration=0.5, translation="oui"),
        Source("both", stereo, "two\tchannels", "B"),
    ]
    summary = write_corpus(tmp_path / "out", {"train": sources[:2], "test": sources[2:]}, SETTINGS)
    assert summary.utterances == {"train": 2, "test": 1}
    assert summary.seconds == {"train": 1.5, "test": 1.0}
    assert summary.left_out == []
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "corpus.json",
        "cuts_train.jsonl.gz",
        "cuts_test.jsonl.gz",
    }
    cuts = {
        cut.id: cut
        for split in ("train", "test")
        for cut in CutSet.from_file(tmp_path / "out" / f"cuts_{split}.jsonl.gz")
    }
    rows = [
        json.loads(line)
        for split in ("train", "test")
        for line in gzip.decompress((tmp_path / "out" / f"cuts_{split}.jsonl.gz").read_bytes()).splitlines()
    ]
    assert rows == [cuts[row["id"]].to_dict() for row in rows]  # as Lhotse itself writes them
    assert [cuts[s.id].supervisions[0].text for s in sources] == [s.text for s in sources]  # untouched
    assert [cuts[s.id].supervisions[0].speaker for s in sources] == ["Zoé", None, "B"]
    signal = speechlike(1.0, RATE)
    np.testing.assert_array_equal(cuts["whole"].load_audio(), signal[None])
    np.testing.assert_array_equal(cuts["part"].load_audio(), signal[None, 2000:6000])
    assert cuts["both"].load_audio().shape == (2, RATE)
    ours = read_cuts(tmp_path / "out" / "cuts_train.jsonl.gz") + read_cuts(tmp_path / "out" / "cuts_test.jsonl.gz")
    assert [(u.id, u.text, u.speaker, u.duration, u.start, u.whole, u.channel) for u in ours] == [
        ("whole", sources[0].text, "Zoé", 1.0, 0.0, True, None),
        ("part", "はい", "", 0.5, 0.25, False, None),
        ("both", "two\tchannels", "B", 1.0, 0.0, True, None),
    ]
    np.testing.assert_array_equal(ours[1].samples(RATE), signal[2000:6000])
    np.testing.assert_allclose(ours[2].samples(RATE), cuts["both"].load_audio().mean(axis=0), atol=1e-6)


def test_a_relative_folder_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording(tmp_path, "a.wav")
    monkeypatch.chdir(tmp_path)
    written(Path("out"), [Source("a", Path("a.wav"), "x")])
    monkeypatch.chdir("/")
    assert len(read_cuts(tmp_path / "out" / "cuts_train.jsonl.gz")[0].samples(RATE)) == RATE


def test_what_cannot_be_used_is_named_and_the_rest_done(tmp_path: Path) -> None:
    good = recording(tmp_path, "good.wav")
    half = recording(tmp_path, "half.flac")
    half.write_bytes(half.read_bytes()[:4000])
    (tmp_path / "text.wav").write_text("no sound")
    sources = [
        Source("missing", tmp_path / "missing.wav", "x", origin="row 1"),
        Source("half", half, "x", origin="row 2"),
        Source("text", tmp_path / "text.wav", "x"),
        Source("silent", good, " \n", origin="row 4"),
        Source("late", good, "x", start=0.9, duration=0.2, origin="row 5"),
        Source("beyond", good, "x", start=1.005, duration=0.01, origin="row 6"),
        Source("backwards", good, "x", start=0.5, duration=-0.1, origin="row 7"),
        Source("good", good, "x"),
        Source("rounded", good, "x", start=0.5, duration=0.51),  # 10 ms too long: cut to what is there
    ]
    complaints = written(tmp_path / "out", sources)
    assert [line.split(": ")[0] for line in complaints] == [
        "row 1",
        "row 2",
        str(tmp_path / "text.wav"),
        *(f"row {n}" for n in range(4, 8)),
    ]
    words = [
        "no such file",
        "cut short",
        "a text",
        "no text",
        "0.900 to 1.100 s",
        "1.000 s long",
        "0.500 to 0.400 s",
    ]
    assert all(word in line for word, line in zip(words, complaints, strict=True)), complaints
    cuts = list(CutSet.from_file(tmp_path / "out" / "cuts_train.jsonl.gz"))
    assert [(cut.id, cut.duration) for cut in cuts] == [("good", 1.0), ("rounded", 0.5)]
    assert json.loads((tmp_path / "out" / "corpus.json").read_text())["left_out"] == complaints


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([Source("a", Path("x.wav"), "x", origin="row 1"), Source("a", Path("y.wav"), "x", origin="row 2")], "row 2"),
        ([Source("a", Path("x.wav"), "x", origin="row 1")], wording("no-utterance-of-train-can-4")),
        ([], wording("no-utterance-of-train")),
    ],
)
def test_corpora_that_are_refused_leave_nothing(sources: list[Source], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        written(tmp_path / "out", sources)
    assert list(tmp_path.iterdir()) == []


def test_no_split_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("no-utterance-of-any-split")):
        write_corpus(tmp_path / "out", {}, SETTINGS, left_out=["all were bad"])


def test_ids_are_compared_between_splits(tmp_path: Path) -> None:
    path = recording(tmp_path, "a.wav")
    splits = {"train": [Source("a", path, "x")], "test": [Source("a", path, "x")]}
    with pytest.raises(InputError, match=wording("a-stands-for-and-for")):
        write_corpus(tmp_path / "out", splits, SETTINGS)


def test_the_same_again_is_a_no_op_and_another_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert already_prepared(out, SETTINGS) is None
    out.mkdir()
    assert already_prepared(out, SETTINGS) is None
    summary = write_corpus(out, {"train": [Source("a", recording(tmp_path, "a.wav"), "x")]}, SETTINGS, left_out=["b"])
    again = already_prepared(out, SETTINGS)
    assert again is not None
    assert again.already_done
    assert (again.utterances, again.seconds, again.left_out) == ({"train": 1}, {"train": 1.0}, ["b"])
    assert str(again) == f"{summary} (already prepared)"
    with pytest.raises(InputError, match=wording("out-holds-mine-not-other")):
        already_prepared(out, {**SETTINGS, "corpus": "other"})


@pytest.mark.parametrize("marker", [None, "", "[]", "1", '{"format": 99}', "{"])
def test_a_folder_that_holds_something_else_is_refused(marker: str | None, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    if marker is not None:
        (tmp_path / "corpus.json").write_text(marker)
    with pytest.raises(InputError, match=str(tmp_path)):
        already_prepared(tmp_path, SETTINGS)
    with pytest.raises(InputError):
        already_prepared(tmp_path / "mine.txt", SETTINGS)
    assert (tmp_path / "mine.txt").exists()


def test_progress_ends_with_all(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    path = recording(tmp_path, "a.wav", 0.1)
    for i in range(60):
        os.link(path, tmp_path / f"{i}.wav")
    sources = [Source(str(i), tmp_path / f"{i}.wav", "x") for i in range(60)]
    write_corpus(tmp_path / "out", {"train": sources}, SETTINGS, progress=lambda *numbers: calls.append(numbers))
    assert calls == [(50, 60), (60, 60)]


def test_files_are_found_at_any_depth(tmp_path: Path) -> None:
    names = ["b.wav", "a/c.WAV", "a/d.flac", "a/._e.wav", ".hidden/f.wav", "a/g.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "d.flac")
    assert [p.relative_to(tmp_path).as_posix() for p in find_files(tmp_path, ".wav")] == ["a/c.WAV", "b.wav"]
    assert len(find_files(tmp_path, ".wav", ".flac")) == 3
    with pytest.raises(InputError, match=wording("none-no-such-folder")):
        find_files(tmp_path / "none", ".wav")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "a" / "closed"
    closed.mkdir(parents=True)
    (tmp_path / "b.wav").touch()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # whatever the rights of who runs the tests
    with pytest.raises(InputError, match=wording("a-closed-cannot-be-read")):
        find_files(tmp_path, ".wav")


def test_the_only_file_of_a_name(tmp_path: Path) -> None:
    for name in ("a/T.txt", "a/old-t.txt", "b/t.txt.txt", "c/x/t.txt", "c/xx/t.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "wav").mkdir()
    assert only_file(tmp_path, "t.txt", beside="wav", remedy="?") == tmp_path / "a" / "T.txt"
    assert only_file(tmp_path / "c", "x/t.txt", remedy="?") == tmp_path / "c" / "x" / "t.txt"
    with pytest.raises(InputError, match=wording("holds-2-files-t-txt")):
        only_file(tmp_path / "c", "t.txt", remedy="name another")
    with pytest.raises(InputError, match=wording("b-holds-0-files-t")):
        only_file(tmp_path / "b", "t.txt", beside="wav", remedy="name another")


def test_a_folder_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    monkeypatch.setenv("ASR_DATA", str(home))
    monkeypatch.chdir(tmp_path)
    for given, place in ((None, home / "mine"), ("none", tmp_path / "none")):
        with pytest.raises(InputError) as caught:
            opened("mine", given, out, page="OpenSLR 0")
        assert str(caught.value) == (wording("no-such-folder-unpack-the", place))
    (home / "mine-part").mkdir(parents=True)
    settings = {"corpus": "mine", "folder": str(home / "mine-part"), "seed": 1}
    assert opened("mine", None, out, "mine-mini", "mine-part", page="?", seed=1) == (
        *(home / "mine-part", settings, None),
    )
    assert opened("mine", "home", out, page="?")[0] == home
    write_corpus(out, {"train": [Source("a", recording(tmp_path, "a.wav"), "x")]}, settings)
    (home / "mine-part").rmdir()
    done = opened("mine", home / "mine-part", out, page="?", seed=1)[2]  # the corpus is gone, its manifests are not
    assert done is not None
    assert done.already_done
    with pytest.raises(InputError, match=wording("choose-another-out")):
        opened("mine", home / "mine-part", out, page="?", seed=2)


def test_lines_keep_their_numbers_and_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\n \n\xe9\xe2\x80\xa8 b \nc")
    assert list(read_lines(path)) == [(1, "a"), (3, "\udce9\u2028 b "), (4, "c")]
    with pytest.raises(InputError, match=wording("none-txt-cannot-be-read")):
        list(read_lines(tmp_path / "none.txt"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("BASIC5000_0001:水をマレーシアから\n".encode(encoding))
    remedy = "convert it, e.g. with `iconv -f utf-16 -t utf-8 OLD > NEW`"
    with pytest.raises(InputError, match=wording("t-txt-looks-like-utf", remedy)):
        list(read_lines(path))
    assert read_transcript(path) == ("", f"looks like UTF-16; {remedy}")
    path.write_bytes("BASIC5000_0001:水を\0マレーシアから\n".encode())  # a slip, but UTF-8
    assert len(list(read_lines(path))) == 1


def test_pairs_name_what_has_no_counterpart() -> None:
    audio = {key: Path(f"{key}.wav") for key in "abcd"}
    lines = [Listed(key, key.upper(), "s", f"t, line {i}") for i, key in enumerate("baax", 1)]
    lines.append(Listed("c", "", "", "t, line 5", problem="is bad\n\x1b[2J"))
    found, left_out = pair(lines, audio, unlisted="is new")
    assert found == [
        Source("b", Path("b.wav"), "B", "s", origin="t, line 1"),
        Source("a", Path("a.wav"), "A", "s", origin="t, line 2"),
    ]
    assert left_out == [
        *("t, line 3: a is there already: t, line 2", "t, line 4: there is no x.wav", "t, line 5: is bad \ufffd[2J"),
        "d.wav: is new",
    ]
    assert pair([], audio, unlisted=None) == ([], [])


NOT_UTF8 = [
    (
        Source("a", Path("a.wav"), "caf\udce9", "s"),
        "the text of a is not UTF-8; convert it, e.g. with `iconv -f latin1",
    ),
    (Source("a", Path("\udce9.wav"), "x", "s"), "the path of a is not UTF-8; rename it, e.g. with `convmv -f latin1"),
    (
        Source("\udce9", Path("a.wav"), "x", "s"),
        "the id of \ufffd is not UTF-8; convert it, e.g. with `iconv -f latin1",
    ),
    (
        Source("a", Path("a.wav"), "x", "\udce9"),
        "the speaker of a is not UTF-8; convert it, e.g. with `iconv -f latin1",
    ),
    (Source("a", Path("a.wav"), " \n", "s"), "a.wav: a has no text"),
]


@pytest.mark.parametrize(("source", "complaint"), NOT_UTF8)
def test_what_is_not_utf_8_or_empty_is_dropped_before_a_split_is_made(source: Source, complaint: str) -> None:
    lines = [Listed(source.id, source.text, source.speaker, "t, line 1"), Listed("b", "x", "s", "t, line 2")]
    found, left_out = pair(lines, {source.id: source.audio, "b": Path("b.wav")}, unlisted="is new")
    assert [kept.id for kept in found] == ["b"]
    assert [line.startswith(f"t, line 1: {complaint}") for line in left_out] == [True]


@pytest.mark.parametrize(("source", "complaint"), NOT_UTF8)
def test_what_is_not_utf_8_or_empty_is_not_written(source: Source, complaint: str, tmp_path: Path) -> None:
    recording(tmp_path, "a.wav")
    os.link(tmp_path / "a.wav", tmp_path / "\udce9.wav")
    bad = replace(source, audio=tmp_path / source.audio)
    (line,) = written(tmp_path / "out", [bad, Source("b", tmp_path / "a.wav", "x")])
    assert line.startswith(complaint.replace("a.wav", f"{tmp_path}/a.wav"))
    assert [u.id for u in read_cuts(tmp_path / "out" / "cuts_train.jsonl.gz")] == ["b"]


def test_a_link_into_a_folder_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9").mkdir()
    path = recording(tmp_path, "a.wav").rename(tmp_path / "caf\udce9" / "a.wav")
    (tmp_path / "link.wav").symlink_to(path)
    sources = [Source("a", tmp_path / "link.wav", "x"), Source("b", recording(tmp_path, "b.wav"), "x")]
    assert written(tmp_path / "out", sources)[0].startswith("the path of a is not UTF-8")


def test_recordings_are_found_by_names_as_people_see_them() -> None:
    audio = {"Cafe\u0301": Path("1.wav"), "B C": Path("2.wav"), "Ana": Path("3.wav"), "ana": Path("4.wav")}
    names = ("café", "B\u00a0C", "ANA", "ana", "Café")
    sources, left_out = pair([Listed(name, "x", "s", name) for name in names], audio, unlisted="unlisted")
    assert [(source.id, source.audio.name) for source in sources] == [
        ("café", "1.wav"),
        ("B C", "2.wav"),
        ("ana", "4.wav"),
    ]
    assert [line.split(":")[0] for line in left_out] == ["ANA", "Café", "3.wav"]  # not clear which; there already


def test_what_training_will_leave_out_of_the_texts_is_told(tmp_path: Path) -> None:
    texts = ["ba?a, nana", "ba?a.", "ma˥ l’eau", "na 3.14", "[noise]", "sil"]
    splits = {"train": [Source(f"u{i}", recording(tmp_path, f"{i}.wav"), text) for i, text in enumerate(texts)]}
    summary = write_corpus(tmp_path / "out", splits, {"corpus": "test"})
    labels, parted, dropped = summary.notes
    assert "'[noise]' (1), 'sil' (1)" in labels
    assert all(piece in parted for piece in ("'?'", "2", "'ba?a'"))
    assert "model.text.letters='?'" in parted
    assert all(f"'{character}' {n}" in dropped for character, n in {"?": 2, ",": 1, ".": 1}.items())
    assert "˥" not in dropped
    assert json.loads((tmp_path / "out" / "corpus.json").read_text())["notes"] == summary.notes
