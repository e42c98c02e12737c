from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import speechlike
from lhotse import CutSet

from asr.data import read_cuts
from asr.errors import InputError
from data_prep.manifest import Source, already_prepared, write_corpus

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
        Source("part", mono, "はい", start=0.25, duration=0.5),
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
    words = ["no such file", "cut short", "not audio", "no text", "0.90-1.10 s", "1.00 s long", "0.50-0.40 s"]
    assert all(word in line for word, line in zip(words, complaints, strict=True)), complaints
    cuts = list(CutSet.from_file(tmp_path / "out" / "cuts_train.jsonl.gz"))
    assert [(cut.id, cut.duration) for cut in cuts] == [("good", 1.0), ("rounded", 0.5)]
    assert json.loads((tmp_path / "out" / "corpus.json").read_text())["left_out"] == complaints


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([Source("a", Path("x.wav"), "x", origin="row 1"), Source("a", Path("y.wav"), "x", origin="row 2")], "row 2"),
        ([Source("a", Path("x.wav"), "x", origin="row 1")], "no utterance of train can be used: row 1: x.wav"),
        ([], "no utterance of train"),
    ],
)
def test_corpora_that_are_refused_leave_nothing(sources: list[Source], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        written(tmp_path / "out", sources)
    assert list(tmp_path.iterdir()) == []


def test_ids_are_compared_between_splits(tmp_path: Path) -> None:
    path = recording(tmp_path, "a.wav")
    splits = {"train": [Source("a", path, "x")], "test": [Source("a", path, "x")]}
    with pytest.raises(InputError, match=r"'a' stands for .* and for "):
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
    with pytest.raises(InputError, match=r"out: holds .*'mine'.*, not .*'other'.*; choose another --out"):
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
