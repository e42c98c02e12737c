"""What all corpora share: utterances, checked one by one, become Lhotse cut manifests.

A prepared folder holds `cuts_<split>.jsonl.gz` for each split, and `corpus.json`: where it came from, with how many
utterances and hours, and what was left out. It is written whole or not at all.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import wave
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio import AudioInfo, audio_info, read_blocks
from asr.errors import InputError
from asr.files import atomic_path, data_home, read_text, write_json, write_jsonl

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
        raise InputError(
            f"holds {done.get('settings')}, not {dict(settings)}",
            where=out_dir,
            remedy="choose another --out or remove it",
        )
    return Summary(out_dir, done["utterances"], done["seconds"], done["left_out"], already_done=True)


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
            problems.append(left_out_line(str(e), source.origin) if source.origin else str(e))
            continue
        rows_out[split].append(row)
        seconds[split] += row["duration"]
    for split, found in rows_out.items() or [("any split", [])]:
        if not found:
            reason = f": {problems[0]}" if problems else ""
            raise InputError(f"no utterance of {split} can be used{reason}", where=out_dir)
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


def hash_share(key: str) -> float:
    """A number from 0 to 1 that an utterance's id determines: those below 0.05 are a fixed twentieth of a corpus."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:6], "big") / (1 << 48)


def share_by_speaker(sources: Sequence[Source], shares: Mapping[str, float], seed: int = 1) -> dict[str, str]:
    """Speaker -> split: in an order drawn by the seed, speakers go to each split of `shares` in turn, until its share
    of the utterances is nearly full; one at least to each, and the one with most utterances to train, as all the rest.

    Raises:
        InputError: There are fewer speakers than splits.
    """
    counts = Counter(source.speaker for source in sources)
    if len(counts) <= len(shares):
        raise InputError(f"{len(counts)} speakers cannot be split into train, {' and '.join(sorted(shares))}")
    largest = max(sorted(counts), key=lambda speaker: counts[speaker])
    waiting = sorted((s for s in counts if s != largest), key=lambda speaker: _draw(seed, speaker))
    owner = dict.fromkeys(counts, "train")
    for number, (name, share) in enumerate(shares.items(), 1):
        taken = 0
        reserve = len(shares) - number  # a speaker must be left for each split to come
        for speaker in list(waiting):
            enough = taken + counts[speaker] / 2 > share * len(sources)
            if (taken and enough) or len(waiting) <= reserve:
                continue
            owner[speaker] = name
            waiting.remove(speaker)
            taken += counts[speaker]
    return owner


def share_at_random(sources: Sequence[Source], shares: Mapping[str, float], seed: int = 1) -> dict[str, str]:
    """Id -> split: utterances, in an order drawn by the seed, fill each split of `shares` in turn; the rest is train.

    Raises:
        InputError: There are fewer utterances than splits.
    """
    if len(sources) <= len(shares):
        raise InputError(f"{len(sources)} utterances cannot be split into train, {' and '.join(sorted(shares))}")
    waiting = iter(sorted((source.id for source in sources), key=lambda name: _draw(seed, name)))
    owner = {
        key: name for name, share in shares.items() for key in islice(waiting, max(1, round(share * len(sources))))
    }
    return owner | dict.fromkeys(waiting, "train")


def split_ends(sources: Sequence[Source], count: int) -> dict[str, list[Source]]:
    """Test is the last `count` of them, dev as many before, train the rest; of less than 2 `count`, a third each."""
    count = min(count, len(sources) // 3) if len(sources) < 2 * count else count
    start, middle = len(sources) - 2 * count, len(sources) - count
    return {"train": [*sources[:start]], "dev": [*sources[start:middle]], "test": [*sources[middle:]]}


def _draw(seed: int, name: str) -> str:
    return hashlib.blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def corpus_home(name: str, *others: str) -> Path:
    """$ASR_DATA/name, or the first of the others that is there if that is not."""
    home = data_home()
    return next((home / other for other in (name, *others) if (home / other).is_dir()), home / name)


def find_files(folder: Path, *endings: str) -> list[Path]:
    """The files below `folder` whose names end so, in either case; sorted, hidden ones left out, links followed.

    Raises:
        InputError: There is no such folder.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=folder)
    found: list[Path] = []
    seen: set[str] = set()
    for above, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(above)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:  # a link may lead back
            found += [Path(above, n) for n in names if n.lower().endswith(endings) and not n.startswith(".")]
        seen.add(real)
    return sorted(found)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that hold something, with their numbers from 1.

    What is not UTF-8 in one becomes lone surrogates: `write_corpus` leaves that utterance out, and says where.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror or e})", where=path) from e
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        if line.strip():
            yield number, line.decode("utf-8", "surrogateescape").rstrip("\r")


def pair(
    lines: Iterable[Listed], audio: Mapping[str, Path], *, missing: str = "there is no {}.wav", unlisted: str | None
) -> tuple[list[Source], list[str]]:
    """Finds the recording of each line.

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
            found[line.id] = Source(line.id, audio[line.id], line.text, line.speaker, origin=line.origin)
        seen.add(line.id)
    if unlisted is not None:
        left_out += [left_out_line(unlisted, path) for key, path in audio.items() if key not in seen]
    return list(found.values()), left_out


def run_recipe(recipe: Callable[..., Any], corpus_dir: str | Path, **options: Any) -> Any:
    """What a recipe of Lhotse returns, without its progress bars.

    Raises:
        InputError: It stopped: recipes trust that a corpus is whole.
    """
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return recipe(corpus_dir, **options)
    except Exception as e:
        reason = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
        raise InputError(f"Lhotse's {recipe.__name__} stopped ({reason})", where=corpus_dir) from e


def sources_of(recordings: Iterable[Any], supervisions: Iterable[Any]) -> list[Source]:
    """Utterances of what a recipe of Lhotse returns: its recordings and supervisions, each of them a whole file or a
    stretch of it.

    Raises:
        InputError: A supervision is of no recording, or of one that is not a single file.
    """
    by_id = {recording.id: recording for recording in recordings}
    sources = []
    for supervision in supervisions:
        recording = by_id.get(supervision.recording_id)
        if recording is None:
            raise InputError("has no recording", where=supervision.id)
        files = [source.source for source in recording.sources if source.type == "file"]
        if len(files) != 1 or len(recording.sources) != 1:
            raise InputError("is not a single file", where=recording.id)
        whole = supervision.start == 0 and abs(supervision.duration - recording.duration) < 0.01
        sources.append(
            Source(
                supervision.id,
                Path(files[0]),
                supervision.text or "",
                supervision.speaker or "",
                start=supervision.start,
                duration=None if whole else supervision.duration,
            )
        )
    return sources


def left_out_line(what: str, where: str | Path) -> str:
    """A line for `left_out`, harmless on a terminal whatever stood in a file."""
    return str(InputError(what, where=where))


def read_transcript(path: str | Path) -> str:
    """The text of a file that holds one transcript, on one line."""
    lines = [line.strip() for line in read_text(path, limit=1 << 20).splitlines() if line.strip()]
    if len(lines) != 1:
        raise InputError("has no text" if not lines else f"has {len(lines)} lines of text, not one", where=path)
    return lines[0]


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
    from lhotse import AudioSource, MonoCut, MultiCut, Recording, SupervisionSegment

    if isinstance(info, InputError):
        raise info
    if not source.text.strip():
        raise InputError(f"{source.id} has no text", where=source.audio)
    if not source.text.isascii() and any("\ud800" <= c <= "\udfff" for c in source.text):
        raise InputError(
            f"the text of {source.id} is not UTF-8", remedy="convert it, e.g. with `iconv -f latin1 -t utf-8`"
        )
    end = info.duration if source.duration is None else source.start + source.duration
    if not (0 <= source.start < min(end, info.duration) and end <= info.duration + 0.02):
        raise InputError(
            f"{source.id} is at {source.start:.2f}-{end:.2f} s, the audio is {info.duration:.2f} s long",
            where=source.audio,
        )
    duration = min(end, info.duration) - source.start
    path = source.audio.resolve()
    channels = list(range(info.channels))
    recording = Recording(
        id=source.id if source.duration is None else path.stem,
        sources=[AudioSource(type="file", channels=channels, source=str(path))],
        sampling_rate=info.sample_rate,
        num_samples=round(info.duration * info.sample_rate),
        duration=info.duration,
        channel_ids=channels,
    )
    channel: Any = 0 if info.channels == 1 else channels
    supervision = SupervisionSegment(
        id=source.id,
        recording_id=recording.id,
        start=0.0,
        duration=duration,
        channel=channel,
        text=source.text,
        speaker=source.speaker or None,
    )
    make = MonoCut if info.channels == 1 else MultiCut
    cut = make(
        id=source.id,
        start=source.start,
        duration=duration,
        channel=channel,
        supervisions=[supervision],
        recording=recording,
    )
    return dict(cut.to_dict())


def write_wav(path: Path, samples: npt.NDArray[Any], rate: int) -> None:
    """Writes samples (N,) in [-1, 1] as 16-bit WAV."""
    with wave.open(str(path), "wb") as f:
        f.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        f.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
