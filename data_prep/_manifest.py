"""What all corpora share: utterances, checked one by one, become Lhotse cut manifests.

A prepared folder holds `cuts_<split>.jsonl.gz` for each split, and `corpus.json`: where it came from, with how many
utterances and hours, and what was left out. It is written whole or not at all.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import wave
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio.reader import AudioInfo, audio_info, read_blocks
from asr.utils.errors import InputError
from asr.utils.files import UTF8, UTF16, atomic_path, data_home, is_utf16, read_text, write_json, write_jsonl

FORMAT = 1  # of corpus.json
Progress = Callable[[int, int], None]  # done, in all


@dataclass(frozen=True)
class Source:
    """An utterance of a corpus: a file, or `duration` seconds of it from `start`."""

    id: str
    audio: Path
    text: str
    speaker: str = ""
    start: float = 0.0
    duration: float | None = None
    origin: str = ""  # where it was listed ("table.csv, row 7"), for what is said of it
    translation: str = ""


@dataclass(frozen=True)
class Listed:
    """What a line of a transcript says of a recording, which `pair` finds."""

    id: str
    text: str
    speaker: str
    origin: str  # file and line
    problem: str = ""  # why it cannot be used


@dataclass
class Summary:
    """What came of a preparation."""

    folder: Path
    utterances: dict[str, int]
    seconds: dict[str, float]
    left_out: list[str] = field(default_factory=list)  # one line each: what, why
    already_done: bool = False

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {n} ({self.seconds[name] / 3600:.2f} h)" for name, n in self.utterances.items())
        return f"{self.folder}: {parts}" + (" (already prepared)" if self.already_done else "")


def already_prepared(out_dir: str | Path, settings: Mapping[str, Any]) -> Summary | None:
    """The summary of a folder that was prepared with the same settings, None where there is none.

    Raises:
        InputError: The folder holds something else.
    """
    out_dir = Path(out_dir)
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return None
    marker = out_dir / "corpus.json"
    if not marker.is_file():
        raise InputError(
            "is there already and was not made by `asr prepare`", where=out_dir, remedy="choose another --out"
        )
    try:
        done = dict(json.loads(read_text(marker)))
    except (ValueError, TypeError) as e:
        raise InputError(f"is damaged ({e})", where=marker, remedy=f"remove {out_dir} and prepare again") from e
    if done.get("format") != FORMAT or done.get("settings") != dict(settings):
        before: dict[str, Any] = done["settings"] if isinstance(done.get("settings"), dict) else {}
        differing = [
            f"{name.replace('sha256', 'its files')} was {before.get(name)!r}, not {settings.get(name)!r}"
            for name in dict.fromkeys([*before, *settings])
            if before.get(name) != settings.get(name)
        ]
        raise InputError(
            f"holds what was prepared otherwise: {', '.join(differing) or 'by another version'}",
            where=out_dir,
            remedy="choose another --out or remove it",
        )
    return Summary(out_dir, done["utterances"], done["seconds"], done["left_out"], already_done=True)


def opened(
    name: str, corpus_dir: str | Path | None, out_dir: str | Path, *homes: str, page: str, **options: Any
) -> tuple[Path, dict[str, Any], Summary | None]:
    """The folder of a corpus, the settings of its preparation, and what came of it where it was done before.

    Args:
        name: The corpus.
        corpus_dir: Its folder; where None, $ASR_DATA/name, or the first of $ASR_DATA/`homes` that is there.
        out_dir: The folder to make.
        page: Where its publisher has it, for those who lack it.
        options: What else determines the result.

    Raises:
        InputError: There is no such folder, or `out_dir` holds something else.
    """
    home = data_home()
    found = (home / other for other in (name, *homes) if is_folder(home / other))
    folder = (Path(corpus_dir) if corpus_dir else next(found, home / name)).resolve()
    settings = {"corpus": name, "folder": str(folder), **options}
    done = already_prepared(out_dir, settings)
    if not done and not is_folder(folder):
        raise InputError(
            "no such folder", where=folder, remedy=f"unpack the corpus there or name its folder; it comes from {page}"
        )
    return folder, settings, done


def write_corpus(
    out_dir: str | Path,
    splits: Mapping[str, Sequence[Source]],
    settings: Mapping[str, Any],
    *,
    left_out: Iterable[str] = (),
    progress: Progress | None = None,
) -> Summary:
    """Checks that each utterance can be read and has text, and writes the manifests.

    Args:
        out_dir: The folder to make.
        splits: Utterances by split, in the order in which they are to be written.
        settings: What determined the result (the corpus, its folder, options): the same again is a no-op.
        left_out: What the caller could not use, one line each.
        progress: Called now and then.

    Raises:
        InputError: Two utterances have one id, or nothing is left of a split.
    """
    rows = [(split, source) for split, sources in splits.items() for source in sources]
    problems = list(left_out)
    _check_ids(rows)
    rows_out: dict[str, list[dict[str, Any]]] = {split: [] for split in splits}
    seconds = dict.fromkeys(splits, 0.0)
    infos: dict[Path, AudioInfo | InputError] = {}
    paths = list(dict.fromkeys(source.audio for _, source in rows))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # decoding happens outside the interpreter's lock
        for done, (path, info) in enumerate(zip(paths, pool.map(_check_audio, paths), strict=True), 1):
            infos[path] = info
            if progress and (done % 50 == 0 or done == len(paths)):
                progress(done, len(paths))
    for split, source in rows:
        try:
            row = _cut(source, infos[source.audio])
        except InputError as e:
            problems.append(left_out_line(str(e), source.origin))
            continue
        rows_out[split].append(row)
        seconds[split] += row["duration"]
    for split, found in rows_out.items() or [("any split", [])]:
        if not found:
            origins = [source.origin for source in splits.get(split, ())]
            own = [problem for problem in problems if any(origin and origin in problem for origin in origins[:1000])]
            reason = f": {(own or problems)[0]}" if problems else ""
            with telling(problems):
                raise InputError(
                    f"no utterance of {split} can be used{reason}",
                    where=settings.get("folder", out_dir),
                    remedy="each split needs one at least: add some, or name another folder",
                )
    counts = {split: len(found) for split, found in rows_out.items()}
    with atomic_path(out_dir) as folder:
        folder.mkdir(parents=True)
        for split, found in rows_out.items():
            write_jsonl(folder / f"cuts_{split}.jsonl.gz", found)
        write_json(
            folder / "corpus.json",
            {
                "format": FORMAT,
                "settings": dict(settings),
                "utterances": counts,
                "seconds": {split: round(value, 3) for split, value in seconds.items()},
                "left_out": problems,
            },
        )
    return Summary(Path(out_dir), counts, seconds, problems)


@contextmanager
def telling(problems: Sequence[str]) -> Iterator[None]:
    """An InputError within it tells what was left out before, too."""
    try:
        yield
    except InputError as e:
        e.left_out = e.left_out or list(problems)
        raise


def is_folder(path: Path) -> bool:
    """Whether there is such a folder.

    Raises:
        InputError: One above it cannot be read.
    """
    try:
        return path.is_dir()
    except OSError as e:
        raise _unreadable(e) from e


def find_files(folder: Path, *endings: str) -> list[Path]:
    """The files below `folder` whose names end so, in either case; sorted, hidden ones left out, links followed.

    Raises:
        InputError: There is no such folder, or one below that cannot be read: which splits there are may hang on it.
    """

    def stop(e: OSError) -> None:
        raise _unreadable(e) from e

    if not is_folder(folder):
        raise InputError("no such folder", where=folder)
    found: list[Path] = []
    seen: set[str] = set()
    for above, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        real = os.path.realpath(above)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:  # a link may lead back
            found += [Path(above, n) for n in names if n.lower().endswith(endings) and not n.startswith(".")]
        seen.add(real)
    return sorted(found)


def recordings_named(pattern: re.Pattern[str], folder: Path) -> list[Path]:
    """The .wav files below a folder whose whole names fit; none where there is no such folder."""
    return [p for p in find_files(folder, ".wav") if pattern.fullmatch(p.stem)] if is_folder(folder) else []


def _unreadable(e: OSError) -> InputError:
    remedy = "have it made readable, or name a folder without it"
    return InputError(f"cannot be read ({e.strerror or e})", where=e.filename, remedy=remedy)


def only_file(folder: Path, name: str, *, beside: str = "", remedy: str) -> Path:
    """The one file below `folder` of this name, in either case, with a folder `beside` it.

    Args:
        folder: Where to look, at any depth.
        name: The whole name, after those of folders around it if they matter: `basic5000/transcript_utf8.txt`.
        beside: The name of a folder that must lie beside it.
        remedy: What the folder should be.

    Raises:
        InputError: There is none, or several.
    """
    found = [
        path
        for path in find_files(folder, PurePath(name).suffix)
        if path.as_posix().lower().endswith(f"/{name}".lower()) and is_folder(path.parent / beside)
    ]
    if len(found) != 1:
        what = f"{name} beside a folder {beside}" if beside else name
        names = f" ({', '.join(str(path.relative_to(folder)) for path in found[:3])})" if found else ""
        raise InputError(f"holds {len(found)} files {what}{names}, not one", where=folder, remedy=remedy)
    return found[0]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that hold something, with their numbers from 1.

    What is not UTF-8 in one becomes lone surrogates: `pair` leaves that utterance out, and says where.

    Raises:
        InputError: The file cannot be read, or is UTF-16.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror or e})", where=path) from e
    if is_utf16(data):
        raise InputError("looks like UTF-16", where=path, remedy=UTF16)
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        if line.strip():
            yield number, line.decode("utf-8", "surrogateescape").rstrip("\r")


def pair(
    lines: Iterable[Listed], audio: Mapping[str, Path], *, missing: str = "there is no {}.wav", unlisted: str | None
) -> tuple[list[Source], list[str]]:
    """Finds the recording of each line; those whose text cannot be used are left out.

    Args:
        lines: What the transcripts say, in their order.
        audio: Recordings by id.
        missing: What is said of a line without one.
        unlisted: What is said of a recording without a line; None: nothing, and it is none of those left out.

    Returns:
        The utterances, and what is left out: a line each.
    """
    found: dict[str, Source] = {}
    seen: set[str] = set()
    left_out: list[str] = []
    for line in lines:
        if line.id in found:
            left_out.append(left_out_line(f"{line.id} is there already: {found[line.id].origin}", line.origin))
        elif line.problem or line.id not in audio:
            left_out.append(left_out_line(line.problem or missing.format(line.id), line.origin))
        else:
            source = Source(line.id, audio[line.id], line.text, line.speaker, origin=line.origin)
            try:
                check_source(source)
                found[line.id] = source
            except InputError as e:
                left_out.append(left_out_line(str(e), line.origin))
        seen.add(line.id)
    if unlisted is not None:
        left_out += [left_out_line(unlisted, path) for key, path in audio.items() if key not in seen]
    return list(found.values()), left_out


def left_out_line(what: str, where: str | Path) -> str:
    """A line for `left_out`, harmless on a terminal whatever stood in a file."""
    return str(InputError(what, where=where or None))


def check_source(source: Source) -> None:
    """Looks at all of an utterance but its audio.

    Raises:
        InputError: It has no text, or something of it is not UTF-8.
    """
    if not source.text.strip():
        raise InputError(f"{source.id} has no text", where=source.audio)
    convert = UTF8
    for name, value, remedy in (
        ("text", source.text, convert),
        ("path", str(source.audio), "rename it, e.g. with `convmv -f latin1 -t utf-8 --notest`"),
        ("id", source.id, convert),
        ("speaker", source.speaker, convert),
    ):
        if any("\ud800" <= c <= "\udfff" for c in ("" if value.isascii() else value)):
            raise InputError(f"the {name} of {source.id} is not UTF-8", remedy=remedy)


def read_transcript(path: Path) -> tuple[str, str]:
    """The text of a file that holds one transcript, on one line; and why it cannot be used, if it cannot."""
    try:
        lines = [line.strip() for _, line in read_lines(path)]
    except InputError as e:
        return "", str(e).removeprefix(f"{path}: ")
    if len(lines) != 1:
        return "", "has no text" if not lines else f"has {len(lines)} lines of text, not one"
    return lines[0], ""


def _check_ids(rows: Sequence[tuple[str, Source]]) -> None:
    seen: dict[str, Source] = {}
    for _, source in rows:
        if (other := seen.get(source.id)) is not None:
            raise InputError(
                f"the id {source.id!r} stands for {other.audio} and for {source.audio}",
                where=source.origin or None,
                remedy="give each utterance an id of its own",
            )
        seen[source.id] = source


def _check_audio(path: Path) -> AudioInfo | InputError:
    """Decodes a file from end to end: a header alone does not tell whether the rest is there."""
    try:
        info = audio_info(path)
        samples = sum(len(block) for block in read_blocks(path, info.sample_rate))
        return AudioInfo(samples / info.sample_rate, info.sample_rate, info.channels, info.format)
    except InputError as e:
        return e


def _cut(source: Source, info: AudioInfo | InputError) -> dict[str, Any]:
    """An utterance as Lhotse writes a cut: a MonoCut, or a MultiCut over all channels."""
    if isinstance(info, InputError):
        raise info
    path = source.audio.resolve()
    check_source(replace(source, audio=path))
    end = info.duration if source.duration is None else source.start + source.duration
    if not (0 <= source.start < min(end, info.duration) and end <= info.duration + 0.02):
        raise InputError(
            f"{source.id} is at {source.start:.2f}-{end:.2f} s, the audio is {info.duration:.2f} s long",
            where=source.audio,
        )
    duration = min(end, info.duration) - source.start
    channels = list(range(info.channels))
    recording = source.id if source.duration is None else path.stem
    # Lhotse's own classes would bring torch, and seconds of imports.
    supervision: dict[str, Any] = {
        "id": source.id,
        "recording_id": recording,
        "start": 0.0,
        "duration": duration,
        "channel": channels if info.channels > 1 else 0,
        "text": source.text,
    }
    if source.speaker:
        supervision["speaker"] = source.speaker
    if source.translation:
        supervision["custom"] = {"translation": source.translation}
    return {
        "id": source.id,
        "start": source.start,
        "duration": duration,
        "channel": supervision["channel"],
        "supervisions": [supervision],
        "recording": {
            "id": recording,
            "sources": [{"type": "file", "channels": channels, "source": str(path)}],
            "sampling_rate": info.sample_rate,
            "num_samples": round(info.duration * info.sample_rate),
            "duration": info.duration,
            "channel_ids": channels,
        },
        "type": "MultiCut" if info.channels > 1 else "MonoCut",
    }


def write_wav(path: Path, samples: npt.NDArray[Any], rate: int) -> None:
    """Writes samples (N,) in [-1, 1] as 16-bit WAV."""
    with wave.open(str(path), "wb") as f:
        f.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        f.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
