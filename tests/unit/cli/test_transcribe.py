"""`asr transcribe` as people use it: outputs that are there, names that clash, what goes wrong on the way."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import time
import unicodedata
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pympi
import pytest
import soundfile
from helpers import spelled, speller
from typer.testing import CliRunner, Result
from wording import wording

from asr.cli import app
from asr.data.elan import read_eaf
from asr.data.formats import FORMATS
from asr.data.transcript import Segment
from asr.inference.transcriber import Ended, Transcriber
from asr.models.folder import save_model

RATE = 8000
runner = CliRunner()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, speller(), "# card\n")
    (folder / "lexicon.txt").write_text("tack\ntaco\n")
    return folder


def record(path: Path, text: str = "tack") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, spelled(text, 4), RATE)
    return path


def run(model: Path, *arguments: object) -> Result:
    return runner.invoke(app, ["transcribe", "--no-vad", "--model", str(model), *map(str, arguments)])


def test_what_is_there_is_neither_replaced_nor_read_as_done_unasked(model: Path, tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("a transcript by hand\n")
    done = run(model, tmp_path / "a.wav", "--output-dir", tmp_path, "--format", "txt,json")
    assert done.exit_code == 2
    assert wording("a-txt-is-there-already") in done.stderr
    assert not (tmp_path / "a.json").exists()
    done = run(model, tmp_path / "a.wav", "--output-dir", tmp_path, "--format", "txt,json", "--skip-existing")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.txt").read_text() == "a transcript by hand\n"
    assert json.loads((tmp_path / "a.json").read_text())["text"] == "tack"
    done = run(model, tmp_path / "a.wav", "--output-dir", tmp_path, "--format", "txt,json", "--overwrite")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.txt").read_text() == "tack\n"


def test_an_elan_file_that_is_there_gets_tiers(model: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        record(tmp_path / f"{name}.wav")
    mine = pympi.Eaf()
    mine.add_tier("Phrase")
    mine.add_annotation("Phrase", 100, 200, "tak")
    mine.to_file(str(tmp_path / "a.eaf"))
    (tmp_path / "c.eaf").write_text("broken")
    before = (tmp_path / "a.eaf").read_bytes()
    done = run(model, tmp_path, "--format", "eaf", "--tier", "draft", "--output-dir", tmp_path / "out")
    assert done.exit_code == 1
    assert wording("is-not-xml", tmp_path / "c.eaf") in done.stderr
    tiers = {name: {t.name: t for t in read_eaf(tmp_path / "out" / f"{name}.eaf").tiers} for name in "ab"}
    assert [a.text for a in tiers["a"]["Phrase"].annotations] == ["tak"]
    for found in tiers.values():
        assert [a.text for a in found["draft"].annotations] == ["tack"]
        assert [a.text for a in found["draft-words"].annotations] == ["tack"]
    assert "Phrase" not in tiers["b"]
    assert not (tmp_path / "out" / "c.eaf").exists()
    done = run(model, tmp_path / "a.wav", "--format", "eaf", "--output-dir", tmp_path, "--overwrite")
    assert done.exit_code == 2  # it is read
    assert (tmp_path / "a.eaf").read_bytes() == before
    done = run(model, tmp_path / "b.wav", "--format", "eaf")
    assert 'TIER_ID="transcript"' in done.stdout


def test_how_sure_a_word_has_to_be(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record(tmp_path / "a.wav")
    shown = {}
    for least in (None, "0", "1"):
        options = ["--greedy", *(["--check-below", least] if least else [])]  # whose confidence is no 1.0
        done = run(model, tmp_path / "a.wav", "--format", "eaf", *options)
        shown["eaf", least] = "transcript-check" in done.stdout
        done = run(model, tmp_path / "a.wav", "--format", "TextGrid", *options)
        shown["TextGrid", least] = '"check"' in done.stdout
    assert not shown["eaf", "0"]
    assert shown["eaf", "1"]
    assert [shown["TextGrid", least] for least in (None, "0", "1")] == [False, False, True]
    run(model, tmp_path / "a.wav", "--check-below", "0.3")
    assert wording("check-below-is-of-format") in caplog.text
    assert run(model, tmp_path / "a.wav", "--format", "eaf", "--check-below", "50").exit_code == 2


def test_an_input_is_never_written_over(model: Path, tmp_path: Path) -> None:
    record(tmp_path / "a.wav").rename(tmp_path / "a.txt")
    data = (tmp_path / "a.txt").read_bytes()
    done = run(model, tmp_path / "a.txt", "--output-dir", tmp_path, "--overwrite")
    assert done.exit_code == 2
    assert wording("is-an-input") in done.stderr
    assert (tmp_path / "a.txt").read_bytes() == data


def test_one_output_that_cannot_be_written_among_others(model: Path, tmp_path: Path) -> None:
    for name in "abc":
        record(tmp_path / "in" / f"{name}.wav")
    (tmp_path / "out" / "b.txt" / "x").mkdir(parents=True)
    done = run(model, tmp_path / "in", "--output-dir", tmp_path / "out", "--overwrite")
    assert done.exit_code == 1
    assert "b.txt" in done.stderr
    assert [(tmp_path / "out" / f"{name}.txt").read_text() for name in "ac"] == ["tack\n"] * 2


def test_a_name_as_long_as_can_be(model: Path, tmp_path: Path) -> None:
    record(tmp_path / f"{'語' * 80}.wav")
    done = run(model, tmp_path, "--output-dir", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / f"{'語' * 80}.txt").read_text() == "tack\n"
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize("name", ["", "x" * 300, "loop", "nowhere.wav"])
def test_names_that_lead_nowhere(model: Path, tmp_path: Path, name: str) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    given = str(tmp_path / name) if name else ""
    done = run(model, given, tmp_path / "a.wav")
    assert done.exit_code == 1
    assert done.stdout == f"{tmp_path / 'a.wav'}\ttack\n"
    assert wording("asr-error") in done.stderr
    assert run(model, given).exit_code == 2


def test_names_that_meet(model: Path, tmp_path: Path) -> None:
    for name in ("1/a.wav", "2/a.wav"):
        record(tmp_path / name)
    done = run(model, tmp_path / "1" / "a.wav", tmp_path / "2" / "a.wav", "--output-dir", tmp_path / "out")
    assert done.exit_code == 2
    assert wording("1-a-wav-and-2", tmp_path, tmp_path) in done.stderr
    assert run(model, tmp_path / "1", tmp_path / "1" / "a.wav").stdout == "tack\n"


@pytest.mark.parametrize(
    ("format", "names"), [(".srt", ["srt"]), ("SRT, vtt,", ["srt", "vtt"]), ("textgrid", ["TextGrid"])]
)
def test_formats_as_people_write_them(model: Path, tmp_path: Path, format: str, names: list[str]) -> None:
    done = run(model, record(tmp_path / "a.wav"), "--output-dir", tmp_path / "out", "--format", format)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"a.{name}" for name in names)


def long_flac(path: Path, count: int) -> Path:
    """Texts with pauses, three seconds each."""
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(count):
            samples = np.zeros(3 * RATE, np.float32)
            samples[: len(said)] = (said := spelled("tack", 4))
            file.write(samples)
    return path


def test_a_part_and_a_whole_of_one_name(model: Path, tmp_path: Path) -> None:
    for name in ("talk.wav", "talk.partial.wav"):
        record(tmp_path / "in" / name)
    done = run(model, tmp_path / "in", "--output-dir", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["talk.partial.wav.txt", "talk.txt"]


def test_a_folder_where_a_part_would_be(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "a.partial.txt").mkdir(parents=True)
    done = run(model, record(tmp_path / "a.wav"), "--output-dir", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "a.txt").read_text() == "tack\n"


@pytest.mark.parametrize("length", [243, 249])
def test_names_too_long_for_what_is_added_to_them(model: Path, tmp_path: Path, length: int) -> None:
    record(tmp_path / f"{'b' * length}.wav")
    done = run(model, tmp_path, "--output-dir", tmp_path / "out", "--format", "txt,TextGrid")
    assert done.exit_code == (0 if length == 243 else 2), done.output
    assert (length == 243) or wording("textgrid-cannot-be-written") in done.stderr


def test_several_inputs_on_standard_output(model: Path, tmp_path: Path) -> None:
    paths = [record(tmp_path / "a.wav"), record(tmp_path / "b.wav")]
    for name in ("srt", "vtt", "tsv", "TextGrid"):
        done = run(model, *paths, "--format", name)
        assert done.exit_code == 2
        assert wording("of-several-inputs-needs-output", name) in done.stderr
    assert [line.split()[4] for line in run(model, *paths, "--format", "ctm").stdout.splitlines()] == ["tack", "tack"]
    data = long_flac(tmp_path / "c.flac", 60).read_bytes()
    (tmp_path / "c.flac").write_bytes(data[: len(data) * 2 // 3])
    done = run(model, *paths, tmp_path / "c.flac")
    assert done.exit_code == 1
    a, b, c = done.stdout.splitlines()
    assert (a, b) == (f"{paths[0]}\ttack", f"{paths[1]}\ttack")
    assert c.startswith(f"{tmp_path / 'c.flac'}\ttack ")
    rows = [json.loads(x) for x in run(model, *paths, tmp_path / "c.flac", "--format", "json").stdout.splitlines()]
    assert [row.get("partial") for row in rows] == [None, None, True]


def test_ctm_of_inputs_whose_names_meet(model: Path, tmp_path: Path) -> None:
    for name in ("1/a.wav", "2/a.wav", "2/b.wav"):
        record(tmp_path / name)
    done = run(model, tmp_path, "--format", "ctm")
    assert done.exit_code == 0, done.output
    names = [line.split()[0] for line in done.stdout.splitlines()]
    long = [str(tmp_path / name).replace("/", "_") for name in ("1/a.wav", "2/a.wav")]
    assert names == [*long, "b"]


def test_a_folder_that_cannot_be_read(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "in/a/b.wav")
    (tmp_path / "in/closed").mkdir()
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    done = run(model, tmp_path / "in")
    assert done.exit_code == 1
    assert wording("in-closed-cannot-be-read", tmp_path) in done.stderr
    assert done.stdout.endswith("tack\n")
    done = run(model, tmp_path / "in/closed")
    assert done.exit_code == 2
    assert wording("holds-no-audio") not in done.stderr


def test_more_threads_than_cores(model: Path, tmp_path: Path) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        done = run(model, record(tmp_path / "a.wav"), "--threads", 100_000)
        assert done.stdout == "tack\n"
        assert torch.get_num_threads() == os.cpu_count()
    finally:
        torch.set_num_threads(before)


def test_standard_output_that_is_closed(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "asr", "transcribe", "--model", str(model), str(record(tmp_path / "a.wav"))]
    shell = " ".join(f"'{word}'" for word in command)
    done = subprocess.run(["sh", "-c", f"{shell} >&-"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert wording("standard-output-is-closed") in done.stderr


def test_a_link_in_a_folder_is_an_input(model: Path, tmp_path: Path) -> None:
    record(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "b.wav").symlink_to("a.wav")
    done = run(model, tmp_path / "in", tmp_path / "in" / "a.wav", "--output-dir", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.txt", "b.txt"]


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="a folder that even root cannot write to")
def test_a_folder_that_cannot_be_written_to_is_told_at_once(model: Path, tmp_path: Path) -> None:
    done = run(model, record(tmp_path / "a.wav"), "--output-dir", "/sys/kernel")
    assert done.exit_code == 2
    assert wording("sys-kernel-no-file-can") in done.stderr
    assert wording("as-fast") not in done.stderr


@pytest.mark.parametrize("option", ["--model", "--lm", "--lexicon", "--hotwords"])
def test_what_is_not_there_is_told_before_anything_is_made(model: Path, tmp_path: Path, option: str) -> None:
    done = run(model, record(tmp_path / "a.wav"), "--output-dir", tmp_path / "out", option, tmp_path / "nowhere")
    assert done.exit_code == 2
    assert wording("no-such", tmp_path / "nowhere") in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--overwrite"], ["--skip-existing"], ["--skip-existing", "--overwrite"]])
def test_options_that_mean_nothing(model: Path, tmp_path: Path, options: list[str]) -> None:
    more = ["--output-dir", tmp_path / "out"] if len(options) == 2 else []
    done = run(model, record(tmp_path / "a.wav"), *options, *more)
    assert done.exit_code == 2
    assert wording("skip-existing-overwrite") in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_standard_output_that_is_full(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(SystemExit) as ended:
        app(["transcribe", "--no-vad", "--model", str(model), str(record(tmp_path / "a.wav"))])
    monkeypatch.undo()
    with suppress(OSError):
        full.close()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert wording("standard-output-cannot-be-written") in said
    assert "internal" not in said


@pytest.mark.parametrize("format", ["txt", "srt"])
def test_what_was_heard_before_damage_is_kept(model: Path, tmp_path: Path, format: str) -> None:
    data = long_flac(tmp_path / "whole.flac", 60).read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) * 2 // 3])
    done = run(model, tmp_path / "a.flac", "--output-dir", tmp_path / "out", "--format", format)
    assert done.exit_code == 2
    assert wording("is-cut-short") in done.stderr
    part = tmp_path / "out" / f"a.partial.{format}"
    assert str(part) in done.stderr
    assert 30 < part.read_text().count("tack") < 45
    assert run(model, tmp_path / "a.flac", "--format", format).stdout.count("tack") > 30
    (tmp_path / "a.flac").write_bytes(data)
    assert run(model, tmp_path / "a.flac", "--output-dir", tmp_path / "out", "--format", format).exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"a.{format}"]


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_it_keeps_what_was_read(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    listen = Transcriber.listen

    def interrupted(self: Transcriber, *arguments: Any, **options: Any) -> Iterator[tuple[int, Segment | Ended]]:
        for count, (source, event) in enumerate(listen(self, *arguments, **options)):
            if count == 2:
                os.kill(os.getpid(), number)
            yield source, event

    monkeypatch.setattr(Transcriber, "listen", interrupted)
    before = signal.signal(number, signal.default_int_handler)  # the tests themselves may run under nohup
    try:
        done = run(model, long_flac(tmp_path / "a.flac", 500), "--output-dir", tmp_path / "out")
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert done.exit_code == 130
    assert wording("what-was-read-is-still") in done.stderr
    (part,) = (tmp_path / "out").iterdir()
    assert part.name == "a.partial.txt"
    assert 2 < part.read_text().count("tack") < 500


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="how much a pipe holds is asked as Linux has it")
def test_a_microphone_that_is_not_closed(model: Path, tmp_path: Path) -> None:
    data = long_flac(tmp_path / "a.wav", 40).read_bytes()
    command = [sys.executable, "-m", "asr", "transcribe", "-", "--no-vad", "--model", str(model), "--format", "json"]
    options: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, **options) as process:
        timer = threading.Timer(120, process.kill)  # rather than wait for ever
        timer.start()
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(data[:40] + b"\xff\xff\xff\xff" + data[44:])
        process.stdin.flush()
        left = array("i", [1])
        while left[0]:
            time.sleep(0.05)
            fcntl.ioctl(process.stdin, termios.FIONREAD, left)
        time.sleep(0.5)  # until what was taken from the pipe is read
        process.send_signal(signal.SIGTERM)
        found = json.loads(process.stdout.read())
        assert process.wait(60) == 130
        timer.cancel()
        assert found["text"].split() == ["tack"] * 40
        assert found["duration"] == pytest.approx(120, abs=1)
        assert b"what was read is still recognised" in process.stderr.read()


def test_interrupted_before_anything_was_heard(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: Any, **__: Any) -> Iterator[tuple[int, Segment | Ended]]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Transcriber, "listen", cut)
    done = run(model, record(tmp_path / "a.wav"), "--output-dir", tmp_path / "out")
    assert done.exit_code == 130
    assert wording("nothing-was-recognised-of-yet", tmp_path / "a.wav") in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_interrupted_at_once_what_was_heard_by_then_is_kept(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = Transcriber.listen

    def cut(self: Transcriber, *arguments: Any, **options: Any) -> Iterator[tuple[int, Segment | Ended]]:
        for number, (source, event) in enumerate(listen(self, *arguments, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield source, event

    monkeypatch.setattr(Transcriber, "listen", cut)
    long_flac(tmp_path / "a.flac", 20)
    done = run(model, tmp_path / "a.flac", "--output-dir", tmp_path / "out")
    assert done.exit_code == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.partial.txt"]
    assert (tmp_path / "out" / "a.partial.txt").read_text() == "tack\n" * 3


def call(path: Path, *texts: str) -> Path:
    """A recording with a speaker in each channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = [spelled(text, 3) for text in texts]
    samples = np.zeros((max(map(len, channels)), len(channels)), np.float32)
    for number, channel in enumerate(channels):
        samples[: len(channel), number] = channel
    soundfile.write(path, samples, RATE)
    return path


def test_each_channel_of_a_call(model: Path, tmp_path: Path) -> None:
    call(tmp_path / "in" / "call.wav", "tack taco", "taco")
    record(tmp_path / "in" / "mono.wav")
    out, options = tmp_path / "out", ["--channel", "each", "--lexicon", model / "lexicon.txt"]
    done = run(model, tmp_path / "in", "--format", "all", "--output-dir", out, *options)
    assert done.exit_code == 0, done.output
    of_channels = {f"call.ch{n}.{kind}" for n in (0, 1) for kind in ("txt", "json", "srt", "vtt", "tsv")}
    whole = {f"call.{kind}" for kind in ("ctm", "TextGrid", "eaf")} | {f"mono.{kind}" for kind in FORMATS}
    assert {path.name for path in out.iterdir()} == of_channels | whole
    assert [(out / f"call.ch{n}.txt").read_text() for n in (0, 1)] == ["tack taco\n", "taco\n"]
    assert [json.loads((out / f"call.ch{n}.json").read_text())["channel"] for n in (0, 1)] == [0, 1]
    assert [line.split()[1::3] for line in (out / "call.ctm").read_text().splitlines()] == [
        ["A", "tack"],
        ["A", "taco"],
        ["B", "taco"],
    ]
    tiers = {tier.name: tier for tier in read_eaf(out / "call.eaf").tiers}
    assert [each.text for each in tiers["transcript-ch1"].annotations] == ["taco"]
    assert "channel" not in json.loads((out / "mono.json").read_text())
    done = run(model, tmp_path / "in", "--format", "all", "--output-dir", out, "--skip-existing", *options)
    assert done.exit_code == 0
    done = run(model, tmp_path / "in" / "call.wav", "--output-dir", out, *options)
    assert str(out / "call.ch0.txt") in done.stderr


def test_channels_on_standard_output(model: Path, tmp_path: Path) -> None:
    path = call(tmp_path / "call.wav", "tack taco", "taco")
    options = ["--lexicon", model / "lexicon.txt", "--channel"]
    done = run(model, path, *options, "each")
    assert [line.split("\t")[1] for line in done.stdout.splitlines()] == ["tack taco", "taco"]
    assert run(model, path, *options, "1").stdout == "taco\n"
    assert [
        json.loads(line)["channel"]
        for line in run(model, path, *options, "each", "--format", "json").stdout.splitlines()
    ] == [0, 1]
    assert run(model, path, *options, "each", "--format", "TextGrid").stdout.count('"IntervalTier"') == 4
    for wrong in (["2"], ["left"], ["each", "--format", "srt"], ["mix", "--track", "2"]):
        done = run(model, path, *options, *wrong)
        assert done.exit_code == 2
        assert done.stdout == ""
    piped = runner.invoke(
        app,
        ["transcribe", "-", "--no-vad", "--model", str(model), *map(str, options), "each"],
        input=path.read_bytes(),
    )
    assert [line.split("\t")[1] for line in piped.stdout.splitlines()] == ["tack taco", "taco"]


def test_what_was_heard_of_channels_before_damage_is_kept(model: Path, tmp_path: Path) -> None:
    path = call(tmp_path / "call.flac", "tack taco tack taco", "taco tack taco tack")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    done = run(model, path, "--channel", "each", "--format", "txt,ctm", "--output-dir", tmp_path / "out")
    assert done.exit_code == 2
    names = {"call.ch0.partial.txt", "call.ch1.partial.txt", "call.partial.ctm"}
    assert {each.name for each in (tmp_path / "out").iterdir()} == names
    assert {line.split()[1] for line in (tmp_path / "out" / "call.partial.ctm").read_text().splitlines()} == {"A", "B"}


def test_names_as_people_see_them(model: Path, tmp_path: Path) -> None:
    record(tmp_path / unicodedata.normalize("NFD", "Zoë.wav"))
    done = run(model, tmp_path / unicodedata.normalize("NFC", "Zoë.wav"))
    assert (done.exit_code, done.stdout) == (0, "tack\n")
    assert run(model, tmp_path / "zoë.WAV").stdout == "tack\n"
    done = run(model, tmp_path / "Zoe.wav")
    assert done.exit_code == 2
    assert unicodedata.normalize("NFD", "Zoë.wav") in done.stderr


def test_outputs_that_only_capitals_tell_apart(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record(tmp_path / "1" / "Talk.wav")
    record(tmp_path / "2" / "talk.wav")
    record(tmp_path / "2" / "b.wav")
    inputs = [tmp_path / "1", tmp_path / "2"]
    done = run(model, *inputs, "--output-dir", tmp_path / "out")
    assert done.exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"Talk.wav.txt", "talk.wav.txt", "b.txt"}
    assert str(tmp_path / "1" / "Talk.wav") in caplog.text


def test_decoders_say_nothing(model: Path, tmp_path: Path) -> None:
    before = {"zeros.mp3": bytes(3000), "mid.mp3": b"", "tag.flac": b"ID3\3\0\0\0\0\0\x64" + bytes(100)}
    for name, junk in before.items():
        soundfile.write(tmp_path / name, spelled("tack", 4), RATE)
        data = (tmp_path / name).read_bytes()[100 if name == "mid.mp3" else 0 :]
        (tmp_path / name).write_bytes(junk + data)
    command = [sys.executable, "-m", "asr", "--quiet", "transcribe", tmp_path, "--no-vad", "--model", model]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len(before)
