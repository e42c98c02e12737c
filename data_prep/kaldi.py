"""One's own recordings, in a data folder of Kaldi or ESPnet: wav.scp, text and, if there, segments, utt2spk.

FOLDER is a data folder (data/train), or one with several in it (data): what their names say they are for, as
`asr prepare librispeech` has it; whole speakers are taken from train for dev and test where no part is named so.
Recordings are plain files: commands (`sph2pipe ... |`) are never run, and archives (.ark) not read. Of a recording
with several channels the one is taken that segments or reco2file_and_channel say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr.audio.reader import audio_info
from asr.data.names import is_no_name
from asr.utils.errors import InputError
from asr.utils.files import files_sha256
from asr.utils.unicode import plain_name
from data_prep._files import find_audio, is_folder
from data_prep._manifest import (
    Notes,
    Progress,
    Source,
    Summary,
    already_prepared,
    backwards,
    check_source,
    left_out_line,
    telling,
    write_corpus,
)
from data_prep._parts import hold_out, splits_of_parts
from data_prep._splits import drop_repeats
from data_prep._transcripts import read_lines

_USED = ("wav.scp", "text", "segments", "utt2spk", "spk2utt", "reco2file_and_channel")
_CHANNELS = {"A": 0, "B": 1, "1": 0, "2": 1}  # of reco2file_and_channel, as sph2pipe counts


def prepare(
    folder: str | Path | None,
    out_dir: str | Path,
    *,
    train_part: Sequence[str] = (),
    dev_part: str | None = None,
    test_part: str | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Writes cuts of train, dev, test, and further parts.

    Args:
        folder: A folder with wav.scp, or one above several of them.
        out_dir: The folder to make.
        train_part: The parts that are train together; where there is none, as the parts' names say.
        dev_part: The part that is dev; where None, as the parts' names say.
        test_part: The part that is test.

    Raises:
        InputError: There is no such folder, or nothing of a split can be used.
    """
    if folder is None:
        raise InputError("kaldi needs a data folder", where="FOLDER", remedy="asr prepare kaldi FOLDER --out data/X")
    folder = Path(folder).absolute()
    parts = _part_folders(folder)
    chosen = {"dev": dev_part, "test": test_part}
    settings = {
        "corpus": "kaldi",
        "folder": str(folder.resolve()),
        "sha256": files_sha256(path for part in parts.values() for name in _USED if (path := part / name).is_file()),
        **({"train": sorted(set(train_part))} if train_part else {}),
        **chosen,
    }
    if done := already_prepared(out_dir, settings):
        return done
    splits = splits_of_parts(parts, chosen, folder, train_part)
    notes = Notes()
    left_out: list[str] = []
    sources: dict[str, list[Source]] = {}
    for split, names in splits.items():
        read = [_Part(parts[name], notes) for name in names]
        sources[split] = [source for part in read for source in part.sources()]
        left_out += [line for part in read for line in part.left_out]
    left_out += drop_repeats(sources)
    with telling(left_out):
        if not any(sources.values()):
            raise InputError(f"no utterance can be used: {left_out[0] if left_out else 'there is none'}", where=folder)
        if sources.get("train"):
            hold_out(sources, folder)
    return write_corpus(out_dir, sources, settings, left_out=left_out, notes=notes, progress=progress)


def _part_folders(folder: Path) -> dict[str, Path]:
    """The data folders by name: the folder itself, or those in it.

    Raises:
        InputError: There is none.
    """
    if not is_folder(folder):
        raise InputError("no such folder", where=folder, remedy="name a data folder of Kaldi, with wav.scp and text")
    if (folder / "wav.scp").is_file():
        return {folder.name: folder}
    parts = {path.name: path for path in sorted(folder.iterdir()) if (path / "wav.scp").is_file()}
    if not parts:
        raise InputError("holds no wav.scp, nor do folders in it", where=folder, remedy="name a data folder of Kaldi")
    return parts


@dataclass(frozen=True)
class _Segment:
    recording: str
    start: float = 0.0
    duration: float | None = None
    channel: int | None = None
    origin: str = ""


class _Part:
    """What a data folder holds: utterances that have a recording and a text, and what is left out."""

    def __init__(self, folder: Path, notes: Notes) -> None:
        self.folder, self.notes = folder, notes
        self.left_out: list[str] = []
        self.contradicted: dict[str, str] = {}  # utterances of two speakers, and what is wrong

    def sources(self) -> list[Source]:
        """The utterances that can be used; the others join those left out."""
        recordings = self._recordings()
        channels = self._channels(recordings)
        segments = self._segments(recordings)
        speakers = self._speakers()
        listed = "segments" if (self.folder / "segments").is_file() else "wav.scp"
        sources: dict[str, Source] = {}
        origins: dict[str, str] = {}
        if not (self.folder / "text").is_file():
            self._leave_out("has no file `text`", str(self.folder))
        for origin, key, text in self._lines("text"):
            segment = segments.get(key)
            try:
                if key in origins:
                    raise InputError(f"{key} is there already: {origins[key]}")
                origins[key] = origin
                if key in self.contradicted:
                    raise InputError(self.contradicted[key])
                if segment is None or segment.recording not in recordings:
                    raise InputError(f"{key} is not in {listed}, or its recording cannot be used")
                channel = channels.get(segment.recording) if segment.channel is None else segment.channel
                source = Source(
                    id=key,
                    audio=recordings[segment.recording],
                    text=text,
                    speaker=speakers.get(key, ""),
                    start=segment.start,
                    duration=segment.duration,
                    origin=origin,
                    channel=channel,
                    times=segment.origin,
                )
                check_source(source)
                sources[key] = source
            except InputError as e:
                self._leave_out(str(e), origin)
        for key in sorted(segments.keys() - origins.keys()):
            self._leave_out(f"{key} has no text", str(self.folder / "text"))
        unused = sorted(path.name for path in self.folder.iterdir() if path.is_file() and path.name not in _USED)
        if unused:
            self.notes.say(f"{self.folder}: files not used: {', '.join(unused)}")
        return list(sources.values())

    def _leave_out(self, what: str, origin: str) -> None:
        self.left_out.append(left_out_line(what, origin))

    def _lines(self, name: str) -> Iterator[tuple[str, str, str]]:
        """Yields the place, the first word as a plain name, and the rest of each line of a file, if it is there."""
        path = self.folder / name
        for number, line in read_lines(path) if path.is_file() else ():
            key, _, rest = re.sub(r"[ \t]+", " ", line.strip(" \t"), count=1).partition(" ")
            yield f"{path}, line {number}", plain_name(key), rest

    def _recordings(self) -> dict[str, Path]:
        """Recordings by id; they may be relative to the folder, or to where Kaldi's scripts run, some folders above."""
        folders = [self.folder, *self.folder.parents[:3], Path.cwd()]
        recordings: dict[str, Path] = {}
        for origin, key, place in self._lines("wav.scp"):
            try:
                if key in recordings:
                    raise InputError(f"{key} is there already")
                if not place:
                    raise InputError(f"{key} names no file")
                recordings[key] = find_audio(place, folders)
            except InputError as e:
                self._leave_out(str(e), origin)
        return recordings

    def _channels(self, recordings: dict[str, Path]) -> dict[str, int]:
        """Channels of recordings that have several."""
        channels: dict[str, int] = {}
        for origin, key, rest in self._lines("reco2file_and_channel"):
            label = rest.rpartition(" ")[2].upper()
            if label not in _CHANNELS:
                self.notes.count("channels that are none of A, B, 1, 2, passed over", origin)
            elif key in recordings and _several_channels(recordings[key]):
                channels[key] = _CHANNELS[label]
        return channels

    def _segments(self, recordings: dict[str, Path]) -> dict[str, _Segment]:
        """Where each utterance is: a stretch of a recording, or all of the one of its name."""
        if not (self.folder / "segments").is_file():
            return {key: _Segment(key) for key in recordings}
        segments: dict[str, _Segment] = {}
        for origin, key, rest in self._lines("segments"):
            try:
                if key in segments:
                    raise InputError(f"{key} is there already")
                segments[key] = replace(_segment(rest), origin=origin)
            except InputError as e:
                self._leave_out(str(e), origin)
        return segments

    def _speakers(self) -> dict[str, str]:
        """The speaker of each utterance; none where each utterance has one of its own name, which says nothing."""
        listed = [(origin, key, plain_name(rest)) for origin, key, rest in self._lines("utt2spk")]
        of_speakers = [
            (origin, plain_name(key), speaker)
            for origin, speaker, rest in self._lines("spk2utt")
            for key in rest.split()
        ]
        speakers: dict[str, str] = {}
        for origin, key, speaker in listed or of_speakers:
            if speakers.setdefault(key, speaker) != speaker:
                self.contradicted.setdefault(
                    key, f"{key} has two speakers, {speakers[key]!r} and {speaker!r}: {origin}"
                )
        for origin, key, speaker in of_speakers if listed else ():
            if speakers.get(key, speaker) != speaker:
                self.notes.count("utterances whose speaker in spk2utt is not that of utt2spk, which is taken", origin)
        if len(speakers) > 1 and all(key == plain_name(name) for key, name in speakers.items()):
            self.notes.say(f"{self.folder / 'utt2spk'}: each utterance is its own speaker: they are taken as unknown")
            return {}
        for name in sorted({name for name in speakers.values() if is_no_name(name)}):
            self.notes.say(f"{self.folder}: speaker {name!r} is taken as none")
        return {key: "" if is_no_name(name) else name for key, name in speakers.items()}


def _segment(rest: str) -> _Segment:
    """A line of segments: recording, start, end (-1: the end of the recording) and, if there, the channel from 0."""
    fields = rest.split()
    try:
        recording, start, end = fields[0], float(fields[1]), float(fields[2])
        channel = int(fields[3]) if len(fields) > 3 else None
    except (IndexError, ValueError):
        raise InputError("is not a line `utterance recording start end`") from None
    if end == -1:
        return _Segment(plain_name(recording), start, None, channel)
    if not start < end < float("inf"):
        raise InputError(backwards(start, end))
    return _Segment(plain_name(recording), start, end - start, channel)


def _several_channels(path: Path) -> bool:
    try:
        return audio_info(path).channels > 1
    except InputError:
        return False  # it is told when it is read
