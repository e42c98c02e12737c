"""What all corpora share: utterances, checked one by one, become Lhotse cut manifests.

A prepared folder holds `cuts_<split>.jsonl.gz` for each split, and `corpus.json`: where it came from, with how many
utterances and hours, and what was left out. It is written whole or not at all.
"""

from __future__ import annotations

import json
import logging
import os
import wave
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio.reader import AudioInfo, audio_info, read_blocks
from asr.data.names import names_that_look_the_same
from asr.text.labels import labels_in
from asr.text.normalize import TextNormalizer
from asr.utils.errors import InputError
from asr.utils.files import UTF8, atomic_path, data_home, is_there, no_such_file, read_text, write_json, write_jsonl
from asr.utils.unicode import on_one_line, plain_name
from data_prep._files import is_folder
from data_prep._stretches import note_stretches

log = logging.getLogger(__name__)

FORMAT = 1  # of corpus.json
OVERRUN = 0.1  # seconds that an utterance may lie outside its recording
_ROUNDED = 0.001  # seconds, that are not worth telling
_SHOWN = 10  # pairs of speakers
_SHORT = 0.02  # seconds, in which nobody says anything
Progress = Callable[[int, int], None]  # done, in all


@dataclass(frozen=True)
class Source:
    """An utterance of a corpus: a file, or `duration` seconds of it from `start`. Id and speaker are plain names."""

    id: str
    audio: Path
    text: str
    speaker: str = ""
    start: float = 0.0
    duration: float | None = None  # None: up to the end of the file
    origin: str = ""  # where it was listed ("table.csv, row 7"), for what is said of it
    translation: str = ""
    channel: int | None = None  # from 0; None: all of them, averaged
    length: float | None = None  # seconds that the whole file lasts, where its list says so
    times: str = ""  # where its times stand, if not at its origin
    unit_known: bool = True  # whether its times can be nothing but seconds

    def __post_init__(self) -> None:
        for name in ("id", "speaker"):
            object.__setattr__(self, name, plain_name(getattr(self, name)))


class Notes:
    """What is told once, however often it happens: counted, with the first place.

    A line is logged when `tell` is called, and kept in `lines` for the summary.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def count(self, what: str, where: str) -> None:
        """Counts that something happened, and where."""
        self._counts[what] = self._counts.get(what, 0) + 1
        self._first.setdefault(what, where)

    def say(self, line: str) -> None:
        """Tells something that happens once."""
        self.lines.append(on_one_line(line))
        log.warning("%s", self.lines[-1])

    def tell(self) -> None:
        """Tells what was counted."""
        for what, n in self._counts.items():
            self.say(f"{what}: {n:,}, the first at {self._first[what]}" if self._first[what] else f"{what}: {n:,}")
        self._counts.clear()
        self._first.clear()


@dataclass
class Summary:
    """What came of a preparation."""

    folder: Path
    utterances: dict[str, int]
    seconds: dict[str, float]
    left_out: list[str] = field(default_factory=list)  # one line each: what, why
    notes: list[str] = field(default_factory=list)  # what was guessed or changed, a line each
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
    notes = done.get("notes", [])
    return Summary(out_dir, done["utterances"], done["seconds"], done["left_out"], notes, already_done=True)


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
    notes: Notes | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Checks that each utterance can be read and has text, and writes the manifests.

    Args:
        out_dir: The folder to make.
        splits: Utterances by split, in the order in which they are to be written.
        settings: What determined the result (the corpus, its folder, options): the same again is a no-op.
        left_out: What the caller could not use, one line each.
        notes: What the caller has told already; what is counted here joins it.
        progress: Called now and then.

    Raises:
        InputError: Two utterances have one id, or nothing is left of a split.
    """
    rows = [(split, source) for split, sources in splits.items() for source in sources]
    problems = list(left_out)
    notes = notes or Notes()
    _check_ids(rows)
    rows_out: dict[str, list[dict[str, Any]]] = {split: [] for split in splits}
    seconds = dict.fromkeys(splits, 0.0)
    kept: list[Source] = []
    infos: dict[Path, AudioInfo | InputError] = {}
    paths = list(dict.fromkeys(source.audio for _, source in rows))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # decoding happens outside the interpreter's lock
        for done, (path, info) in enumerate(zip(paths, pool.map(_check_audio, paths), strict=True), 1):
            infos[path] = info
            if progress and (done % 50 == 0 or done == len(paths)):
                progress(done, len(paths))
    for split, source in rows:
        try:
            row = _cut(source, infos[source.audio], notes)
        except InputError as e:
            problems.append(left_out_line(str(e), source.origin))
            continue
        rows_out[split].append(row)
        kept.append(replace(source, start=row["start"], duration=row["duration"]))
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
    note_stretches(kept, notes)
    for one, other in names_that_look_the_same(source.speaker for _, source in rows)[:_SHOWN]:
        notes.say(f"speakers {one!r} and {other!r} are taken for two: write one name where they are one person")
    notes.tell()
    _note_texts((source.text for _, source in rows), notes)
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
                "notes": notes.lines,
            },
        )
    return Summary(Path(out_dir), counts, seconds, problems, notes.lines)


@contextmanager
def telling(problems: Sequence[str]) -> Iterator[None]:
    """An InputError within it tells what was left out before, too."""
    try:
        yield
    except InputError as e:
        e.left_out = e.left_out or list(problems)
        raise


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


def _note_texts(texts: Iterable[str], notes: Notes) -> None:
    """Tells what training will leave out of texts, and labels that it will take for words."""
    normalizer, labels = TextNormalizer(), Counter[str]()
    for text in texts:
        normalizer(text)
        labels.update(labels_in(text))
    if labels:
        named = ", ".join(f"{label!r} ({n:,})" for label, n in labels.most_common(_SHOWN))
        notes.say(f"texts: labels are learnt as words: {named}")
    for line in normalizer.losses():
        notes.say(f"texts: {line}")


def _check_ids(rows: Sequence[tuple[str, Source]]) -> None:
    seen: dict[str, Source] = {}
    for _, source in rows:
        if (other := seen.get(source.id)) is not None:
            raise InputError(
                f"the id {source.id!r} stands for {other.audio} and for {source.audio}",
                where=source.origin or None,
                remedy="give each utterance an id of its own; of a table, --column id=NAME takes another column",
            )
        seen[source.id] = source


def _check_audio(path: Path) -> AudioInfo | InputError:
    """Decodes a file from end to end: a header alone does not tell whether the rest is there."""
    try:
        if not is_there(path) and "\0" not in str(path):
            return no_such_file(path)
        info = audio_info(path)
        samples = sum(len(block) for block in read_blocks(path, info.sample_rate))
        return AudioInfo(samples / info.sample_rate, info.sample_rate, info.channels, info.format)
    except InputError as e:
        return e


def span(source: Source, length: float) -> tuple[float, float]:
    """Returns where an utterance begins and ends in a recording of `length` seconds.

    What lies outside by less than a tenth of a second, as where lengths were rounded, is cut off.

    Raises:
        InputError: It lies outside by more, or begins beyond the end.
    """
    end = length if source.duration is None else source.start + source.duration
    start = max(source.start, 0.0)
    if not (source.start > -OVERRUN and start < min(end, length) and end < length + OVERRUN):
        what = f"is at {source.start:.3f} to {end:.3f} s, the recording is {length:.3f} s long"
        remedy = f"its times are in {source.times}" if source.times else ""
        if not source.unit_known and float(end).is_integer() and 5 * length < end <= 1000 * length:
            remedy = "if these are milliseconds, call them so: start_ms, end_ms"
        raise InputError(what, remedy=remedy)
    return start, min(end, length)


def backwards(start: float, end: float) -> str:
    """What is wrong with a segment that ends where it begins, or before."""
    return f"begins and ends at {start:g} s" if start == end else f"ends at {end:g} s, before it begins at {start:g} s"


def _cut(source: Source, info: AudioInfo | InputError, notes: Notes) -> dict[str, Any]:
    """An utterance as Lhotse writes a cut: a MonoCut of one channel, or a MultiCut over all of them."""
    if isinstance(info, InputError):
        raise info
    path = source.audio.resolve()
    check_source(replace(source, audio=path))
    start, end = span(source, info.duration)
    _note(source, info, notes)
    duration = end - start
    channels = list(range(info.channels))
    if source.channel is not None and source.channel not in channels:
        raise InputError(
            f"{source.id} is channel {source.channel}, the audio has {info.channels}",
            where=source.audio,
            remedy="the first is channel 0",
        )
    channel = channels if info.channels > 1 and source.channel is None else source.channel or 0
    recording = source.id if source.duration is None and not start else path.stem
    # Lhotse's own classes would bring torch, and seconds of imports.
    supervision: dict[str, Any] = {
        "id": source.id,
        "recording_id": recording,
        "start": 0.0,
        "duration": duration,
        "channel": channel,
        "text": source.text,
    }
    if source.speaker:
        supervision["speaker"] = source.speaker
    if source.translation:
        supervision["custom"] = {"translation": source.translation}
    return {
        "id": source.id,
        "start": start,
        "duration": duration,
        "channel": channel,
        "supervisions": [supervision],
        "recording": {
            "id": recording,
            "sources": [{"type": "file", "channels": channels, "source": str(path)}],
            "sampling_rate": info.sample_rate,
            "num_samples": round(info.duration * info.sample_rate),
            "duration": info.duration,
            "channel_ids": channels,
        },
        "type": "MultiCut" if isinstance(channel, list) else "MonoCut",
    }


def _note(source: Source, info: AudioInfo, notes: Notes) -> None:
    """Counts what is changed of an utterance, or told otherwise by its list.

    Raises:
        InputError: Its list says that the file lasts much longer or shorter: it may be another one, or a part of it.
    """
    end = info.duration if source.duration is None else source.start + source.duration
    where = source.origin or source.id
    if end > info.duration + _ROUNDED:
        notes.count(f"utterances that overrun their recording by less than {OVERRUN} s, cut at its end", where)
    if source.start < -_ROUNDED:
        notes.count("utterances that begin before their recording, cut at its beginning", where)
    if (end - source.start) < _SHORT:
        notes.count(f"utterances of less than {_SHORT} s: are their times in another unit?", where)
    if source.length is None:
        return
    differing = abs(source.length - info.duration)
    if differing > max(1.0, 0.05 * info.duration):
        raise InputError(
            f"lasts {info.duration:.2f} s, its list says {source.length:.2f} s",
            where=source.audio,
            remedy="where a part of it is meant, say where it starts",
        )
    if differing > max(0.1, 0.01 * info.duration):
        notes.count("recordings that last up to a second more or less than their list says", where)


def write_wav(path: Path, samples: npt.NDArray[Any], rate: int) -> None:
    """Writes samples (N,) in [-1, 1] as 16-bit WAV."""
    with wave.open(str(path), "wb") as f:
        f.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        f.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
