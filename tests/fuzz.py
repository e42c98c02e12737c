#!/usr/bin/env python3
"""Files from strangers: broken ones are made of good ones, and read, each in a process of its own.

    python tests/fuzz.py --mutants 10000 --seed 1 [--minutes 60] [--kind eaf] [--keep FOLDER]

A reader has to take a file or to refuse it with an InputError. What else ends the process, takes more than 20 s or 1 GB
beyond what reading the good one needs, starts a program, opens a connection, or touches a file outside its folder, is
a failure; with --keep its file is kept. Prints a line a kind: tried, taken, refused, failed.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import av
import numpy as np
import soundfile
import torch
from helpers import WORDS, spelled, speller, unigram_arpa

from asr.audio.reader import read_blocks
from asr.data.cuts import read_cuts
from asr.data.elan import read_eaf
from asr.data.elan_writer import add_tiers, to_eaf
from asr.data.formats import to_textgrid
from asr.data.textgrid import read_textgrid
from asr.data.transcript import Segment, Transcript, Word
from asr.lm.binary import write_binary
from asr.lm.compact import write_compact
from asr.lm.files import read_ngram
from asr.models.folder import load_model, save_model
from asr.models.neural_lm import END, UNK, LmConfig, NeuralLm, read_neural_lm, save_neural_lm
from asr.text.lexicon import read_lexicon
from asr.utils.errors import InputError
from asr.utils.files import extract
from data_prep import elan, table

SECONDS, MEMORY = 20, 1 << 30
WORSE = (b"9" * 20, b"-1", b"1e308", b"nan", b"../../../etc/passwd", b"&a;", b"\0", b'"', b"<", b"\n")
PARTS = [Word(text, n / 10, n / 10 + 0.08, 0.9 - n / 10) for n, text in enumerate(["cat", "act", "oak", "cot", "tack"])]
SAID = Transcript("a.wav", tuple(Segment(word.start, word.end, word.text, (word,)) for word in PARTS), 1.0)
Reader = Callable[[Path], Any]


def heard(path: Path) -> None:
    """All of a recording, of which a header may say that it is endless."""
    samples = 0
    for block in read_blocks(path, 8000):
        assert np.isfinite(block).all()
        samples += len(block)
        if samples > 8000 * 3600:
            raise AssertionError("an hour of audio out of two seconds")


def annotated(path: Path) -> None:
    read_eaf(path)
    add_tiers(path, SAID, tier="draft")
    elan.prepare(path, path.parent / "out", media=path.parent)


def listed(path: Path) -> None:
    table.prepare(path, path.parent / "out")


def scored(path: Path) -> None:
    model = read_ngram(path)
    model.score("cat act nothing")


def unpacked(path: Path) -> None:
    extract(path, path.parent / "out", limit=1 << 20)


def loaded(path: Path) -> None:
    """A model folder of which one file is broken."""
    folder = path.parent / "m"
    shutil.copytree(FOLDER / "m", folder, dirs_exist_ok=True)
    shutil.copyfile(path, folder / path.name)
    load_model(folder)


READERS: dict[str, Reader] = {
    **dict.fromkeys(("wav", "flac", "ogg", "mp3", "m4a"), heard),
    "eaf": annotated,
    "TextGrid": read_textgrid,
    "csv": listed,
    "jsonl": listed,
    **dict.fromkeys(("arpa", "lm", "lmz"), scored),
    "neural-lm": read_neural_lm,
    **dict.fromkeys(("tar", "tgz"), unpacked),
    "lexicon": read_lexicon,
    "cuts": read_cuts,
    **dict.fromkeys(("model.safetensors", "config.yaml", "tokens.txt"), loaded),
}
FOLDER = Path(tempfile.gettempdir()) / f"fuzz-{os.getpid()}"


def seeds() -> dict[str, Path]:
    """A good file of each kind."""
    FOLDER.mkdir()
    samples, found = spelled("cat act", 1), {}
    for ending in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(FOLDER / f"a.{ending}", samples, 8000)
    with av.open(str(FOLDER / "a.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 2**15).clip(-32768, 32767).astype(np.int16)[None], "s16", "mono")
        frame.rate = 8000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    for ending in ("wav", "flac", "ogg", "mp3", "m4a"):
        found[ending] = FOLDER / f"a.{ending}"
    (FOLDER / "a.eaf").write_text(to_eaf(SAID), encoding="utf-8")
    (FOLDER / "a.TextGrid").write_text(to_textgrid(SAID), encoding="utf-8")
    rows = [f"a.wav,cat act {i},s{i},{i / 10},{i / 10 + 0.1}" for i in range(5)]
    (FOLDER / "a.csv").write_text("path,text,speaker,start,end\n" + "\n".join(rows) + "\n")
    names = ("path", "text", "speaker", "start", "end")
    lines = [json.dumps(dict(zip(names, row.split(","), strict=True))) for row in rows]
    (FOLDER / "a.jsonl").write_text("\n".join(lines) + "\n")
    unigram_arpa(FOLDER / "a.arpa", WORDS)
    model = read_ngram(FOLDER / "a.arpa")
    write_binary(model, FOLDER / "a.lm")
    write_compact(model, FOLDER / "a.lmz")
    save_neural_lm(NeuralLm([END, UNK, *WORDS], LmConfig(hidden=4, layers=1)), FOLDER / "a.neural-lm")
    found["neural-lm"] = FOLDER / "a.neural-lm"
    for ending, kind in (("tar", "tar"), ("tgz", "gztar")):
        shutil.make_archive(str(FOLDER / "archive"), kind, FOLDER, "a.csv")
        archive = next(FOLDER.glob("archive.*"))
        found[ending] = archive.rename(FOLDER / f"a.{ending}")
    (FOLDER / "a.lexicon").write_text("".join(f"{word}\t{' '.join(word)}\n" for word in WORDS))
    prepared = table.prepare(FOLDER / "a.csv", FOLDER / "data").folder
    shutil.copyfile(prepared / "cuts_train.jsonl.gz", FOLDER / "cuts.jsonl.gz")
    save_model(FOLDER / "m", speller(), "# card\n")
    found |= {
        kind: FOLDER / f"a.{kind}" for kind in ("eaf", "TextGrid", "csv", "jsonl", "arpa", "lm", "lmz", "lexicon")
    }
    found["cuts"] = FOLDER / "cuts.jsonl.gz"
    return found | {name: FOLDER / "m" / name for name in ("model.safetensors", "config.yaml", "tokens.txt")}


def mutant(data: bytes, draw: random.Random, other: bytes) -> bytes:
    """A file that was cut, had bits flipped, parts taken out, doubled, numbers that lie, a part of another file."""
    b = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at, size = draw.randrange(len(b) + 1), draw.choice((1, 4, 30, 1000))
        kind = draw.randrange(9)
        if kind == 0:
            b = b[:at]
        elif kind == 1:
            for _ in range(draw.choice((1, 8, 64))):
                if b:
                    b[draw.randrange(len(b))] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del b[at : at + size]
        elif kind == 3:
            b[at:at] = b[at : at + size] * draw.choice((1, 100))
        elif kind == 4:
            b[at : at + 4] = draw.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x80\0\0\0"))
        elif kind == 5:
            b[at:at] = draw.choice(WORSE)
        elif kind == 6:
            head = min(len(b), 200)  # where sizes are
            if head:
                b[draw.randrange(head)] = draw.randrange(256)
        elif kind == 7:
            b[at:at] = draw.randbytes(size)
        else:
            begin = draw.randrange(len(other))
            b[at : at + size] = other[begin : begin + size]
    return bytes(b)


def forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("a program was started, or a connection opened")


def child(reader: Reader, path: Path) -> int:
    """Reads in a process of its own: 0 taken, 3 refused; all else is a failure."""
    with open("/proc/self/statm") as f:
        pages = int(f.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    subprocess.Popen = os.system = os.execve = os.posix_spawn = forbidden  # type: ignore[assignment,misc]
    socket.socket.connect = forbidden  # type: ignore[assignment,method-assign]
    try:
        reader(path)
        return 0
    except InputError as e:
        return 3 if str(e).strip() else 4
    except MemoryError:
        print("more than 1 GB", file=sys.stderr)
        return 5
    except BaseException as e:
        print(f"{type(e).__name__}: {str(e)[:300]}", file=sys.stderr)
        faulthandler.dump_traceback(file=sys.stderr)
        import traceback

        traceback.print_exc()
        return 6


def tried(reader: Reader, path: Path) -> tuple[str, str]:
    """taken, refused or failed, and why."""
    errors = path.parent / "stderr"
    before = set(path.parent.parent.iterdir())
    process = os.fork()
    if process == 0:
        out = os.open(errors, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stderr = os.fdopen(2, "w", buffering=1)  # whoever had it replaced
        try:
            code = child(reader, path)
        finally:
            os._exit(code if "code" in locals() else 7)
    end = time.monotonic() + SECONDS
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return "failed", f"more than {SECONDS} s"
        time.sleep(0.002)
    if new := set(path.parent.parent.iterdir()) - before:
        return "failed", f"wrote {sorted(new)[0]}"
    code = os.waitstatus_to_exitcode(status)
    if code in (0, 3):
        return ("taken" if code == 0 else "refused"), ""
    return "failed", f"exit {code}: {errors.read_text(errors='replace')[-2000:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--minutes", type=float, help="stop after so long, whatever --mutants says")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=list(READERS), help="this one alone")
    parser.add_argument("--keep", type=Path, help="a folder for files that fail")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = seeds()
    kinds = [args.kind] if args.kind else list(READERS)
    work = FOLDER / "work"
    for kind in kinds:  # the good ones are taken; what is compiled or imported at first is, once for all
        (work / kind).mkdir(parents=True)
        for each in FOLDER.glob("a.wav"):
            shutil.copyfile(each, work / kind / "a.wav")
        path = work / kind / found[kind].name
        shutil.copyfile(found[kind], path)
        READERS[kind](path)
        shutil.rmtree(work / kind)
    draw, counts, failures = random.Random(args.seed), Counter[tuple[str, str]](), 0
    start, tries = time.monotonic(), 0
    for number in range(args.mutants) if args.minutes is None else count():
        if args.minutes is not None and time.monotonic() - start > 60 * args.minutes:
            break
        tries += 1
        kind = kinds[number % len(kinds)]
        folder = work / str(number)
        folder.mkdir()
        if READERS[kind] in (annotated, listed):
            shutil.copyfile(FOLDER / "a.wav", folder / "a.wav")
        path = folder / found[kind].name
        path.write_bytes(mutant(found[kind].read_bytes(), draw, found[draw.choice([*found])].read_bytes()))
        result, why = tried(READERS[kind], path)
        counts[kind, result] += 1
        if result == "failed":
            failures += 1
            print(f"{kind}, mutant {number}: {why}", flush=True)
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, args.keep / f"{args.seed}-{number}-{path.name}")
        shutil.rmtree(folder)
    for kind in kinds:
        each = [counts[kind, result] for result in ("taken", "refused", "failed")]
        print(f"{kind}: {sum(each)} tried, {each[0]} taken, {each[1]} refused, {each[2]} failed")
    print(f"{tries} in all, {failures} failed")
    shutil.rmtree(FOLDER)
    taken = sum(count for (_, result), count in counts.items() if result == "taken")
    if tries >= 300 and not tries / 10 < taken < 9 * tries / 10:
        print(f"{taken} taken: mutants are neither all harmless nor all worthless")
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
