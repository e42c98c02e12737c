"""Which column of a table is which: by our names, by those that others give them, or as the user says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asr.utils.errors import InputError
from asr.utils.unicode import plain_name
from data_prep._manifest import Notes
from data_prep._rows import Table

COLUMNS = ("path", "text", "id", "speaker", "start", "end", "duration", "channel", "split")
_NEEDED = ("path", "text")
TIMES = ("start", "end", "duration")
_UNITS = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds", "ins", "insec", "inseconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds", "inms", "inmilliseconds"), 0.001),
}
# What other programs call them, without spaces and signs. Names of several meanings are not here: they are asked for.
_OTHER_NAMES = {
    "path": "audio audiofile audiofilename audiofilepath audiopath clip clippath file filename filepath wav wavfile"
    " wavfilename wavfilepath wavpath soundfile",
    "text": "transcript transcription transcriptions transcripttext sentence txt wrd rawtranscription rawtranscript"
    " rawtext normalizedtext normalizedtranscript normalizedtranscription",
    "id": "uttid utteranceid key",
    "speaker": "speakerid speakername spk spkid spkr clientid",
    "start": "begin starttime begintime startoffset offset onset tmin xmin tstart timestart segmentstart segmentbegin"
    " segstart utterancestart",
    "end": "stop endtime stoptime endoffset tmax xmax tend timeend segmentend segend utteranceend finish finishtime",
    "duration": "dur",
    "channel": "audiochannel channelselector",
    "split": "",
}
# Names that say something only beside others: what must all be there, and what they are then.
_BESIDE: tuple[tuple[frozenset[str], Mapping[str, str]], ...] = (
    (frozenset({"onset", "offset"}), {"offset": "end"}),
    (frozenset({"from", "to"}), {"from": "start", "to": "end"}),
    (frozenset({"key", "source", "target"}), {"source": "path", "target": "text"}),  # of FunASR
    (frozenset({"wav", "words"}), {"words": "text"}),  # of SpeechBrain
)
_EDGE, _SAMPLE = (
    r"(?:start|begin|onset|from|end|stop|finish|offset)(?:ing)?",
    r"(?:samples?|frames?)(?:no|nr|index|idx)?",
)
_SAMPLES = re.compile(rf"(?:segment)?(?:{_EDGE}{_SAMPLE}|{_SAMPLE}{_EDGE})")


@dataclass(frozen=True)
class Column:
    """A column of ours in a table: what it is called there, and what its numbers are multiplied by."""

    name: str
    scale: float = 1.0


def find_columns(table: Table, columns: Mapping[str, str], path: Path, notes: Notes) -> dict[str, Column]:
    """Returns our columns that a table has. What is taken under another name, and what is not used, is told.

    Args:
        table: Its header, and its rows, to see which columns hold anything.
        columns: Our names -> theirs, where the user says so.
        path: The table.
        notes: Where it is told.

    Raises:
        InputError: There is none for the path or the text, or several may be meant.
    """
    taken = _as_told(table.header, columns, path)
    elsewhere = {column.name for ours, column in taken.items() if ours != "id"}  # what names a file may be its id, too
    free = [name for name in table.header if name not in elsewhere]
    guessed: list[str] = []
    meanings = _meanings(free, table)
    for ours in COLUMNS:
        if ours in taken:
            continue
        same = [name for name in free if name.casefold() == ours]
        others = [name for name in dict.fromkeys(free) if meanings[name][0] == ours and table.used(name)]
        if len(same) > 1:
            raise InputError(f"has {same[0]!r} {len(same)} times", where=path, remedy="rename one")
        if not same and len(others) > 1:
            names = " or ".join(map(repr, others))
            raise InputError(f"{ours} may be {names}", where=path, remedy=f"say which: --column {ours}=NAME")
        if same or others:
            name = (same or others)[0]
            taken[ours] = Column(name, 1.0 if same else meanings[name][1])
            free.remove(name)
            guessed += [] if same else [f"{name} for {ours}{' in milliseconds' * (taken[ours].scale != 1)}"]
        elif ours in _NEEDED:
            raise InputError(
                f"has no column {ours!r}, only {', '.join(filter(None, table.header))}",
                where=path,
                remedy=f"name it in the first line, or say which it is: --column {ours}=NAME. There are path and text,"
                f" and if there: {', '.join(COLUMNS[2:])}",
            )
    if guessed:
        notes.say(f"{path}: columns taken: {', '.join(guessed)}")
    used = {column.name for column in taken.values()}
    samples = [name for name in free if _SAMPLES.fullmatch(_key(name)) and table.used(name)]
    if len(samples) > 1 and "start" not in taken:
        raise InputError(
            f"{' and '.join(samples)} count samples, not seconds",
            where=path,
            remedy="divide them by the sample rate, and call them start and end",
        )
    if unused := _shown(name for name in dict.fromkeys(free) if table.used(name) and name not in used):
        notes.say(f"{path}: columns not used: {unused}")
    return taken


def _as_told(header: list[str], columns: Mapping[str, str], path: Path) -> dict[str, Column]:
    """Columns that the user names; `start_ms` says that it is milliseconds."""
    taken: dict[str, Column] = {}
    there = {name.casefold(): name for name in header}
    for ours, theirs in columns.items():
        base, scale = _meaning(ours)
        if ours not in COLUMNS and not (base in TIMES and ours.startswith(f"{base}_")):
            raise InputError(f"{ours!r} is none of {', '.join(COLUMNS)}", where="--column")
        name = there.get(plain_name(theirs).casefold())
        if name is None:
            raise InputError(f"has no column {theirs!r}, only {', '.join(filter(None, header))}", where=path)
        if header.count(name) > 1:
            raise InputError(f"has {name!r} {header.count(name)} times", where=path, remedy="rename one")
        own_scale = _meaning(name)[1] if _meaning(name)[0] in TIMES else 1.0
        taken[base] = Column(name, scale if ours not in COLUMNS else own_scale)
    return taken


def _meaning(name: str) -> tuple[str, float]:
    """Which of our columns a name stands for, if any, and in which unit."""
    key = _key(name)
    for ours, others in _OTHER_NAMES.items():
        for other in (ours, *others.split()):
            if key == other:
                return ours, 1.0
            if ours in TIMES and key.startswith(other) and key[len(other) :] in _UNITS:
                return ours, _UNITS[key[len(other) :]]
    return "", 1.0


def _meanings(names: Iterable[str], table: Table) -> dict[str, tuple[str, float]]:
    """What each of the names in a header stands for, beside the others."""
    meanings = {name: _meaning(name) for name in names}
    by_key = {_key(name): name for name in meanings}
    for needed, beside in _BESIDE:
        for unit, scale in _UNITS.items():
            if by_key.keys() >= {key + unit for key in needed}:
                these = {by_key[key + unit]: (ours, scale) for key, ours in beside.items()}
                if all(ours not in TIMES or table.holds_times(name) for name, (ours, _) in these.items()):
                    meanings |= these
    return meanings


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", plain_name(name).casefold())


def _shown(names: Iterable[str]) -> str:
    return ", ".join(name or "one without a name" for name in names)
