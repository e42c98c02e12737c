"""asr quickstart"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from asr.inference.transcriber import Transcriber


def quickstart(
    out: Annotated[Path | None, typer.Option("--out", help="Folder for everything. Default: quickstart.")] = None,
) -> None:
    """From nothing to a trained, scored, used recogniser of spoken digits, in minutes.

    Takes the Free Spoken Digit Dataset from $ASR_DATA/fsdd or from its publisher; where neither can be had, eSpeak NG
    speaks the digits.
    """
    from asr.cli.common import say
    from asr.utils.device import configure_torch, find_device

    configure_torch()
    from asr.evaluate.evaluation import evaluate
    from asr.evaluate.report import write_report
    from asr.inference.transcriber import Transcriber
    from asr.models.folder import load_model

    out = out or Path("quickstart")
    _claim(out)
    started = time.perf_counter()
    say("1. Obtaining the corpus")
    name, corpus, prepare = _corpus(out)
    data, run = out / "data" / name, out / "exp" / name
    say("2. Preparing it: every file is checked")
    say(f"   {prepare(corpus, data)}")
    say("3. Training a bidirectional LSTM with CTC over characters")
    _train(data, run)
    say("4. Evaluating it on the test set")
    model = load_model(run / "model")
    model.recognizer.to(find_device())
    result = evaluate(model, data / "cuts_test.jsonl.gz", run / "results" / "test")
    write_report(run / "results" / "test")
    say("5. Transcribing three test files")
    for path, reference, text in _examples(Transcriber(model), data):
        print(f"{path}: said {reference!r}, heard {text!r}")

    print(f"\nWER {100 * result.words.rate:.2f} % on {result.utterances} test utterances ({_about(name)})")
    print(
        f"model:   {run}/model\nresults: {run}/results/test\nreport:  {run}/results/test/report.html\ndata:    {data}"
    )
    print(f"time:    {time.perf_counter() - started:.0f} s")
    if name == "synthetic":
        print(_SYNTHETIC)
    asr = "asr" if shutil.which("asr") else sys.argv[0]  # .venv/bin/asr where the environment is not activated
    print(
        f"""next:
  {asr} transcribe YOUR.wav --model {run}/model
  {asr} evaluate {data}/cuts_test.jsonl.gz --model {run}/model
  {asr} prepare table YOUR.csv --out data/mine    # columns: path, text
  {asr} train --preset speech --data data/mine --out exp/mine     # others: {asr} train --list"""
    )


_SYNTHETIC = """
This was synthetic speech: the real corpus was not there and could not be fetched, so eSpeak NG spoke the digits. The
error rate shows that everything works; it says nothing about people. For the real one, connect to the network, or
put the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset) where $ASR_DATA/fsdd points
(default ~/.cache/asr/data/fsdd), and run this again.
"""


def _claim(out: Path) -> None:
    """Makes the folder, with a file that says whose it is; one that holds anything else is left alone."""
    from asr.utils.errors import InputError
    from asr.utils.files import write_text

    marker = out / "quickstart.txt"
    if out.is_dir() and any(out.iterdir()) and not marker.is_file():
        raise InputError("is not empty and not a quickstart's", where=out, remedy="choose another --out")
    write_text(marker, "Made by `asr quickstart`. The whole folder may be removed.\n")


def _corpus(out: Path) -> tuple[str, Path | None, Any]:
    """The corpus's name, its folder and its `prepare`."""
    from asr.cli.common import counter, say
    from asr.utils.errors import InputError
    from data_prep import fsdd, synthetic

    try:
        folder = fsdd.download(progress=counter("   bytes fetched"))
        say(f"   Free Spoken Digit Dataset: {folder}")
        return "fsdd", folder, fsdd.prepare
    except InputError as e:
        say(f"   The Free Spoken Digit Dataset cannot be had: {e}")
        say("   SYNTHETIC SPEECH instead: eSpeak NG speaks the ten digits. It says nothing about real voices.")
        return "synthetic", out / "synthetic-digits", synthetic.prepare


def _train(data: Path, run: Path) -> None:
    from asr.cli.common import is_quiet, say
    from asr.train.config import TrainConfig
    from asr.train.monitors import training_monitor
    from asr.train.presets import preset_path
    from asr.train.recognizer import train_recognizer
    from asr.train.run_folder import is_finished
    from asr.utils.config import read_config

    if is_finished(run):
        say(f"   {run} is trained already; remove it to train again")
        return
    config = read_config(TrainConfig, preset_path("words"))
    with training_monitor(quiet=is_quiet()) as monitor:
        train_recognizer(config, data, run, monitor=monitor)


def _examples(transcriber: Transcriber, data: Path) -> list[tuple[str, str, str]]:
    """Three test files of different words and voices: path, what is said, what is heard."""
    from asr.data.cuts import read_cuts

    cuts = read_cuts(data / "cuts_test.jsonl.gz")
    normalizer = transcriber.model.normalizer()
    chosen = [cuts[int(len(cuts) * share)] for share in (0.125, 0.545, 0.875)]
    return [(cut.audio, normalizer(cut.text), transcriber.transcribe(cut.audio).text) for cut in chosen]


def _about(name: str) -> str:
    if name == "synthetic":
        return "synthetic voices that training did not hear"
    return "digits of the six speakers heard in training; new speakers are harder"
