"""What will go wrong in training, looked for before it does: texts, characters, audio, splits, lengths.

`check_data` finds facts and faults, `report_text` puts them on a screen, `Report.as_dict` into JSON. Thresholds are
such that clean corpora (LibriSpeech) have no finding; docs/data.md tells what each means.
"""

from __future__ import annotations

import math
import statistics
import textwrap
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from asr.audio_facts import CACHE_NAME, AudioFacts, audio_facts
from asr.data import Utterance, read_cuts
from asr.errors import InputError
from asr.features import Mfcc
from asr.look_alikes import broken_pieces, invisible_characters, latin_skeleton, name, script, skeleton, strange_letters
from asr.models.losses import frames_needed
from asr.models.recognizer import ModelConfig, build_recognizer
from asr.text import TextNormalizer, graphemes, has_word_spaces
from asr.tokenizer import CharTokenizer

Severity = Literal["fatal", "warning", "note"]

_RARE = 5  # a character seen less often in training is hardly learnt
_LOW_LEVEL = -45.0  # dBFS
_SILENT = -65.0  # dBFS
_STEADY = 3.0  # dB between loud and quiet frames: a tone or noise; speech has 10 and more
_CLIPPED = 1e-3  # share of samples
_OFFSET = 0.02


@dataclass(frozen=True)
class SplitFacts:
    """How much there is of a split."""

    utterances: int
    seconds: float
    speakers: int  # that are named
    without_speaker: int  # utterances
    shortest: float  # seconds
    median: float
    longest: float
    words: int  # after normalisation; 0 where the script does not separate them
    characters: int
    texts: int  # different ones


@dataclass(frozen=True)
class Example:
    """One case: an utterance's id or a character, and what is with it."""

    name: str
    detail: str


@dataclass(frozen=True)
class Finding:
    """A fault, with all its cases."""

    kind: str  # stable: "unreadable"
    severity: Severity
    what: str  # "audio that cannot be read"
    remedy: str
    examples: tuple[Example, ...]
    total: int  # utterances (or whatever the cases are) that were looked at; 0 where that says nothing

    @property
    def count(self) -> int:
        return len(self.examples)

    @property
    def message(self) -> str:
        """One sentence with the count, and what to do."""
        of = f" of {self.total:,}" if self.total else ""
        count = f" ({self.count:,}{of})" if self.examples else ""
        return f"{self.what}{count}; {self.remedy}"


@dataclass(frozen=True)
class Report:
    """What was found in a corpus. `findings` stand in the order of their severity."""

    splits: dict[str, SplitFacts]
    rates: dict[int, int]  # utterances by the sample rate of their file, Hz
    findings: tuple[Finding, ...]

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """What would ruin training."""
        return tuple(f for f in self.findings if f.severity == "fatal")

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with all cases of each finding."""
        return {
            "format": 1,
            "splits": {split: asdict(facts) for split, facts in self.splits.items()},
            "sample_rates": {str(rate): count for rate, count in self.rates.items()},
            "findings": [{**asdict(f), "count": f.count, "message": f.message} for f in self.findings],
        }


@dataclass(frozen=True)
class _Row:
    """An utterance and what is known of it."""

    split: str
    utterance: Utterance
    text: str  # normalised
    characters: list[str]
    audio: AudioFacts | InputError | None = None

    def example(self, detail: str = "") -> Example:
        return Example(self.utterance.id, detail)

    @property
    def shown(self) -> str:
        """Its text, not too long."""
        text = " ".join(self.utterance.text.split())
        return f"'{text[:47]}...'" if len(text) > 50 else f"'{text}'"


def read_splits(data: str | Path) -> dict[str, list[Utterance]]:
    """The splits of a folder made by `asr prepare`, or a single manifest under the name of its split.

    A folder without dev has an empty one: it cannot be trained on.
    """
    data = Path(data)
    if not data.is_dir():
        return {data.name.split(".")[0].removeprefix("cuts_") or "cuts": read_cuts(data)}
    paths = {p.name.removeprefix("cuts_").split(".")[0]: p for p in sorted(data.glob("cuts_*.jsonl.gz"))}
    training = read_cuts(data / "cuts_train.jsonl.gz")
    dev = read_cuts(paths["dev"]) if "dev" in paths else []
    others = {split: read_cuts(path) for split, path in paths.items() if split not in ("train", "dev")}
    return {"train": training, "dev": dev, **others}


def cache_path(data: str | Path) -> Path:
    """Where facts of the audio of a folder, or of a manifest in it, are kept."""
    data = Path(data)
    return (data if data.is_dir() else data.parent) / CACHE_NAME


def check_data(
    splits: Mapping[str, Sequence[Utterance]],
    model: ModelConfig | None = None,
    *,
    batch_seconds: float | None = None,
    audio_seconds: float | None = None,
    cache: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Report:
    """Looks for what would spoil training.

    Args:
        splits: Utterances of `train`, `dev`, and others. Where there is no `train`, all count as training.
        model: What is to be trained: its text normalisation, sample rate and frames. The defaults where None.
        batch_seconds: The budget of a batch: longer utterances are named.
        audio_seconds: How long to read audio, by the clock; the rest is left unread, and that is said.
        cache: A file that makes the next reading quick (`cache_path`).
        progress: Called while audio is read, with how many utterances are done, and of how many.
    """
    model = model or ModelConfig()
    training_split = splits.get("train") or [u for some in splits.values() for u in some]
    if model.text.words == "auto":
        spaces = has_word_spaces(u.text for u in training_split)
        model = replace(model, text=replace(model.text, words="spaces" if spaces else "none"))
    everything = [(split, u) for split, some in splits.items() for u in some]
    audio = audio_facts([u for _, u in everything], cache=cache, seconds=audio_seconds, progress=progress)
    normalizer = TextNormalizer(model.text)
    rows = []
    for (split, utterance), facts in zip(everything, audio, strict=True):
        text = normalizer(utterance.text)
        rows.append(_Row(split, utterance, text, graphemes(text), facts))
    training = [r for r in rows if r.split == "train" or "train" not in splits]
    found = [
        *_missing(splits),
        *_texts(rows, training, words=model.text.words == "spaces"),
        *_lengths(rows, training, model, batch_seconds),
        *_characters(rows, training),
        *_audio(rows, training, model.features.sample_rate),
        *_both_sides(splits, rows, words=model.text.words == "spaces"),
    ]
    order = ("fatal", "warning", "note")
    return Report(
        splits={s: _split_facts([r for r in rows if r.split == s], model.text.words == "spaces") for s in splits},
        rates=dict(sorted(Counter(r.audio.rate for r in rows if isinstance(r.audio, AudioFacts)).items())),
        findings=tuple(sorted(found, key=lambda f: order.index(f.severity))),
    )


def _split_facts(rows: Sequence[_Row], words: bool) -> SplitFacts:
    durations = [r.utterance.duration for r in rows] or [0.0]
    return SplitFacts(
        utterances=len(rows),
        seconds=sum(durations),
        speakers=len({r.utterance.speaker for r in rows if r.utterance.speaker}),
        without_speaker=sum(not r.utterance.speaker for r in rows),
        shortest=min(durations),
        median=statistics.median(durations),
        longest=max(durations),
        words=sum(len(r.text.split()) for r in rows) if words else 0,
        characters=sum(len(r.characters) for r in rows),
        texts=len({r.text for r in rows}),
    )


def _found(
    kind: str, severity: Severity, what: str, remedy: str, examples: Sequence[Example], total: int = 0
) -> Iterator[Finding]:
    """The finding, if there is a case of it."""
    if examples:
        yield Finding(kind, severity, what, remedy, tuple(examples), total)


def _missing(splits: Mapping[str, Sequence[Utterance]]) -> Iterator[Finding]:
    empty = [Example(split, "no utterance") for split, some in splits.items() if not some]
    remedy = "training needs utterances to learn from (train) and others to judge by (dev)"
    yield from _found("empty-split", "fatal", "splits without utterances", remedy, empty)


def _texts(rows: Sequence[_Row], training: Sequence[_Row], words: bool) -> Iterator[Finding]:
    """Empty, repeated, too long or too short for their audio."""
    empty = [r for r in rows if not r.text]
    all_of_training = bool(training) and not any(r.text for r in training)
    yield from _found(
        "empty-text",
        "fatal" if all_of_training else "warning",
        "no text in training" if all_of_training else "no text after normalisation",
        "write what is said, or leave these utterances out",
        [r.example(f"{r.split}, {r.shown}") for r in empty],
        len(rows),
    )

    same: dict[str, list[_Row]] = defaultdict(list)
    for row in training:
        same[row.text].append(row)
    usual = float(np.percentile([len(some) for some in same.values()], 95)) if same else 0.0
    repeated = [
        Example(some[0].shown.strip("'"), f"{len(some):,} times, first in {some[0].utterance.id}")
        for text, some in same.items()
        if len(text) >= 15 and len(some) >= max(5, 5 * usual if len(same) > 1 else 0)
    ]
    yield from _found(
        "repeated-text",
        "warning",
        "long texts that stand with far more utterances than others do",
        "if they are a placeholder, not what is said, leave those utterances out",
        repeated,
    )

    rows = [r for r in rows if r.characters]
    if len(rows) < 20:  # no distribution to stand out from
        return
    count = np.array([len(r.characters) for r in rows], np.float64)
    seconds = np.array([r.utterance.duration for r in rows])
    # Speech itself, for pauses may be long; not known of audio that was not read.
    active = np.array([max(r.audio.active, 0.02) if isinstance(r.audio, AudioFacts) else np.nan for r in rows])
    speed, _, deviations = _spread(count / seconds)
    fast = (deviations > 3.5) & (count / seconds > max(25.0 if words else 12.0, 1.6 * speed))
    speed, _, deviations = _spread(count / active)
    slow = (deviations < -5) & (count / active < 8) & (active - count / speed > 2)
    remedy = "listen to these: the text may belong to another utterance, or be incomplete"
    for kind, chosen, what, time in (
        ("text-too-long", fast, "texts too long for their audio", seconds),
        ("text-too-short", slow, "texts too short for their audio", active),
    ):
        hits = [
            rows[i].example(f"{len(rows[i].characters)} characters in {time[i]:.1f} s, {rows[i].shown}")
            for i in np.flatnonzero(chosen)
        ]
        yield from _found(kind, "warning", what, remedy, hits, len(rows))


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, np.ndarray[Any, Any]]:
    """Median, spread of the logarithm (from the median deviation; at least 10 %), and each value's deviation in it."""
    logs = np.log(values)
    known = logs[~np.isnan(logs)]
    if not len(known):
        return 1.0, 1.0, np.zeros(len(values))
    middle = float(np.median(known))
    spread = max(0.1, 1.4826 * float(np.median(np.abs(known - middle))))
    return math.exp(middle), spread, np.nan_to_num((logs - middle) / spread)


def _lengths(
    rows: Sequence[_Row], training: Sequence[_Row], model: ModelConfig, batch_seconds: float | None
) -> Iterator[Finding]:
    """Tokens that do not fit their frames, utterances longer than a batch."""
    if batch_seconds is not None:
        yield from _found(
            "longer-than-batch",
            "warning",
            f"utterances longer than batch_seconds, {batch_seconds:g} s",
            "each is a batch of its own and takes more memory than others: cut them, or leave them out",
            [r.example(f"{r.utterance.duration:.1f} s") for r in rows if r.utterance.duration > batch_seconds],
            len(rows),
        )
    if not any(r.text for r in training):
        return
    tokenizer = CharTokenizer.train(r.text for r in training)
    recognizer = build_recognizer(model, len(tokenizer), without_weights=True)
    extractor = recognizer.frontend.extractor
    fbank = extractor.fbank if isinstance(extractor, Mfcc) else extractor
    hits, short, finest = [], [], model.encoder.factor
    for row in rows:
        before = fbank.frame_count(round(row.utterance.duration * recognizer.sample_rate))
        frames = int(recognizer.encoder.output_lens(torch.tensor(before)))
        tokens = tokenizer.encode_known(row.text)[0]
        needed = int(frames_needed(torch.tensor([tokens], dtype=torch.long), torch.tensor([len(tokens)])))
        if needed > frames:
            hits.append(row)
            short.append(
                row.example(
                    f"{frames} frames ({row.utterance.duration:.2f} s), {needed} needed by {len(tokens)} characters,"
                    f" {row.shown}"
                )
            )
            if before >= needed:
                finest = min(finest, before // needed)
    factors = (2,) if model.encoder.subsampling == "conv" else range(model.encoder.factor - 1, 0, -1)
    lower = next((f for f in factors if f <= finest), None) if finest < model.encoder.factor else None
    training_hits = sum(r.split == "train" for r in hits)
    remedy = "they are left out of the loss: check their texts and times"
    yield from _found(
        "does-not-fit",
        "fatal" if 2 * training_hits > len(training) else "warning",
        "texts with more characters than their audio has frames",
        remedy + (f"; model.encoder.factor={lower} makes more frames" if lower else ""),
        short,
        len(rows),
    )


def _characters(rows: Sequence[_Row], training: Sequence[_Row]) -> Iterator[Finding]:
    """Broken, invisible, of another script, look-alike, spelt in two ways, unseen and rare characters."""
    broken: dict[str, list[str]] = defaultdict(list)  # character and what it is -> ids
    invisible: dict[str, list[str]] = defaultdict(list)
    strange: dict[str, list[tuple[str, str]]] = defaultdict(list)  # letter -> (word, id)
    seen: dict[str, dict[str, int]] = defaultdict(Counter)  # character -> split -> times
    first: dict[str, str] = {}
    words: dict[str, str] = {}  # -> id
    decomposed, composed = [], 0
    for row in rows:
        raw, key = row.utterance.text, row.utterance.id
        for piece, what in broken_pieces(raw):
            broken[f"{piece}\0{what}"].append(key)
        for character in invisible_characters(raw):
            invisible[character].append(key)
        if not raw.isascii():
            nfc = unicodedata.normalize("NFC", raw)
            if nfc != raw:
                decomposed.append(row)
            elif unicodedata.normalize("NFD", raw) != raw:
                composed += 1
        for character in row.characters:
            seen[character][row.split] += 1
            first.setdefault(character, key)
        for word in row.text.split():
            words.setdefault(word, key)
    for word, key in words.items():
        if not word.isascii():
            for letter in strange_letters(word):
                strange[letter].append((word, key))
            plain = latin_skeleton(word)
            if len(word) > 1 and plain != word and plain in words and {script(c) for c in plain} == {"Latin"}:
                for letter in (c for c in word if script(c) in ("Cyrillic", "Greek")):
                    strange[letter].append((word, key))

    yield from _found(
        "broken-characters",
        "warning",
        "characters that no text should have",
        "save the texts as UTF-8 again from where they came, or mend them by model.text.replace",
        [
            Example(key.split("\0")[0], f"{key.split(chr(0))[1]}, {len(ids):,} times, first in {ids[0]}")
            for key, ids in broken.items()
        ],
    )
    yield from _found(
        "mixed-scripts",
        "warning",
        "letters of another script than the words they stand in",
        "if they only look right, replace them (model.text.replace); the model learns them as letters of their own",
        [
            Example(letter, f"{name(letter)}, in {len(where):,} words, first in '{where[0][0]}' ({where[0][1]})")
            for letter, where in strange.items()
        ],
    )
    times = {c: sum(by_split.values()) for c, by_split in seen.items()}
    groups: dict[str, list[str]] = defaultdict(list)
    for character in times:
        groups[skeleton(character)].append(character)
    alike = [sorted(group, key=lambda c: -times[c]) for group in groups.values() if len(group) > 1]
    yield from _found(
        "look-alikes",
        "warning",
        "characters that look like another of the corpus",
        "make them one by model.text.replace",
        [
            Example(c, f"{name(c)}, {times[c]:,} times, first in {first[c]}, looks like {group[0]}, {name(group[0])}")
            for group in alike
            for c in group[1:]
        ],
    )
    yield from _found(
        "two-spellings",
        "note",
        "texts that spell accents as marks of their own (not NFC), beside others that do not" if composed else "",
        "training makes them one; mend them for other programs",
        [r.example(r.shown) for r in decomposed] if composed else [],
        len(rows),
    )
    yield from _found(
        "invisible-characters",
        "note",
        "characters that nobody sees",
        "training leaves them out",
        [Example(c, f"{name(c)}, {len(ids):,} times, first in {ids[0]}") for c, ids in invisible.items()],
    )
    told = {*strange, *(c for group in alike for c in group[1:])}
    told |= {c for key in broken for c in graphemes(key.split("\0")[0].lower())}
    in_training = Counter(c for r in training for c in r.characters)
    new = [c for c in times if c not in in_training and c not in told]
    yield from _found(
        "unseen-characters",
        "warning",
        "characters that training never has",
        "each is an error that nothing mends but training text that has it",
        [Example(c, f"{name(c)}, {times[c]:,} times, first in {first[c]}") for c in new],
    )
    rare = [c for c, n in in_training.items() if n < _RARE and c not in told]
    yield from _found(
        "rare-characters",
        "note",
        f"characters that training has fewer than {_RARE} times",
        "they are hardly learnt; if they are slips, mend them",
        [Example(c, f"{name(c)}, {in_training[c]} times, first in {first[c]}") for c in rare],
        len(in_training),
    )


def _audio(rows: Sequence[_Row], training: Sequence[_Row], rate: int) -> Iterator[Finding]:
    """Audio that cannot be read, is silent, clipped, quiet, of another rate, or stereo of a kind that matters."""
    unreadable = [r for r in rows if isinstance(r.audio, InputError)]
    ruins = any(r.split != "test" for r in unreadable)
    yield from _found(
        "unreadable",
        "fatal" if ruins else "warning",
        "audio that cannot be read",
        f"mend it or leave it out: {'training' if ruins else 'evaluation'} stops where it meets one",
        [r.example(str(r.audio)) for r in unreadable],
        len(rows),
    )
    unread = sum(r.audio is None for r in rows)
    if unread:
        what = f"{unread:,} of {len(rows):,} utterances whose audio was not looked at for lack of time"
        yield Finding("audio-not-read", "note", what, "`asr check` looks at all", (), 0)

    read = [(r, r.audio) for r in rows if isinstance(r.audio, AudioFacts)]
    silent = {
        id(r): "one steady sound" if a.level >= _SILENT else f"{a.level:.0f} dBFS"
        for r, a in read
        if a.level < _SILENT or (a.level - a.floor < _STEADY and r.utterance.duration >= 1)
    }
    heard = [(r, a) for r, a in read if id(r) not in silent]
    trained = sum(isinstance(r.audio, AudioFacts) for r in training)
    mute = sum(id(r) in silent for r in training)
    checks: list[tuple[str, Severity, str, str, list[Example]]] = [
        (
            "silent",
            "fatal" if 2 * mute > trained else "warning",
            "audio without speech: silence, or one steady sound",
            "leave it out, or look for the channel or file that has the speech",
            [r.example(silent[id(r)]) for r, _ in read if id(r) in silent],
        ),
        (
            "clipped",
            "warning",
            "clipped audio: too loud, its peaks are cut off",
            "record at a lower level, or fetch the original; a few do little harm",
            [r.example(f"{100 * a.clipped:.1f} % of the samples") for r, a in heard if a.clipped > _CLIPPED],
        ),
        (
            "low-level",
            "warning",
            f"very quiet audio, under {_LOW_LEVEL:g} dBFS",
            "look at the microphone's level, or fetch the original",
            [r.example(f"{a.level:.0f} dBFS") for r, a in heard if a.level < _LOW_LEVEL],
        ),
        (
            "digital-silence",
            "warning",
            "audio that is digital silence for the most part",
            "was a part of the recording lost or blanked out?",
            [r.example(f"{100 * a.zeros:.0f} % zeros") for r, a in heard if a.zeros > 0.5],
        ),
        (
            "offset",
            "warning",
            "audio with a constant offset",
            "look at the sound card; a high-pass filter removes it",
            [r.example(f"{a.offset:+.3f} on average") for r, a in heard if abs(a.offset) > _OFFSET],
        ),
        (
            "narrow-band",
            "warning",
            "audio with nothing above 4 kHz though its rate has room for it",
            "it was once telephone speech: fetch the original, or set model.features.sample_rate=8000",
            [r.example(f"{a.rate} Hz") for r, a in heard if a.narrow and rate > 8000],
        ),
        (
            "low-rate",
            "warning",
            f"audio of a lower rate than the model's {rate:,} Hz",
            _rate_remedy({a.rate for _, a in read}, rate),
            [r.example(f"{a.rate} Hz") for r, a in read if a.rate < rate],
        ),
        (
            "silent-channel",
            "warning",
            "stereo with a silent channel",
            "the average of both is read: choose the channel that has the speech, or convert to mono",
            [r.example() for r, a in read if a.stereo == "one-silent"],
        ),
        (
            "opposite-channels",
            "warning",
            "stereo whose channels cancel each other",
            "the average of both is read: choose one channel, or convert to mono",
            [r.example() for r, a in read if a.stereo == "opposite"],
        ),
        (
            "different-channels",
            "warning",
            "stereo with different speech on each channel",
            "the average of both is read: choose the channel of each utterance",
            [r.example() for r, a in read if a.stereo == "different"],
        ),
        (
            "mono-in-stereo",
            "note",
            "mono hidden in stereo: both channels are the same",
            "nothing need be done; mono files are half as large",
            [r.example() for r, a in read if a.stereo == "identical"],
        ),
    ]
    for kind, severity, what, remedy, examples in checks:
        yield from _found(kind, severity, what, remedy, examples, len(read))
    higher = Counter(a.rate for _, a in read if a.rate >= rate)
    if len(higher) > 1:
        named = [Example(f"{r} Hz", f"{n:,} utterances") for r, n in sorted(higher.items())]
        yield from _found("mixed-rates", "note", "audio of several rates", "all is converted to the model's", named)


def _rate_remedy(rates: set[int], rate: int) -> str:
    if max(rates, default=rate) < rate:
        return f"nothing is above {max(rates) // 2:,} Hz: model.features.sample_rate={max(rates)} saves time"
    return (
        f"they have nothing above {min(rates) // 2:,} Hz, others have: fetch better ones,"
        f" or set model.features.sample_rate={min(rates)}"
    )


def _both_sides(splits: Mapping[str, Sequence[Utterance]], rows: Sequence[_Row], words: bool) -> Iterator[Finding]:
    """The same audio twice, and audio, speakers or sentences of training in other splits."""
    first: dict[Any, _Row] = {}
    twice, leaked = [], []
    for row in rows:  # training comes first
        u = row.utterance
        keys: list[Any] = [(u.audio, round(u.start, 2), u.channel)]
        if isinstance(row.audio, AudioFacts) and row.audio.level >= _SILENT:
            keys.append(row.audio.digest)
        known = next((first[key] for key in keys if key in first), None)
        for key in keys:
            first.setdefault(key, row)
        if known is not None:
            across = known.split != row.split
            same = "the same text" if known.text == row.text else "another text"
            (leaked if across else twice).append(
                (row, row.example(f"{row.split}, as {known.utterance.id} of {known.split}, with {same}"))
            )
    yield from _found(
        "same-audio",
        "warning",
        "audio that stands there twice",
        "leave one out; where the texts differ, one is wrong",
        [example for _, example in twice],
        len(rows),
    )
    dev = len(splits.get("dev", ()))
    yield from _found(
        "leaked-audio",
        "fatal" if 2 * sum(r.split == "dev" for r, _ in leaked) > max(dev, 1) else "warning",
        "audio of one split that is in another, too",
        "take it out of one: error rates on what was trained on mean nothing",
        [example for _, example in leaked],
        len(rows),
    )
    training = [r for r in rows if r.split == "train"]
    others = [r for r in rows if r.split != "train" and "train" in splits]
    speakers = {r.utterance.speaker for r in training if r.utterance.speaker}
    by_speaker: dict[tuple[str, str], int] = Counter((r.utterance.speaker, r.split) for r in others)
    shared = {key: n for key, n in by_speaker.items() if key[0] in speakers}
    named = {key for key in by_speaker if key[0]}
    if len(speakers | {speaker for speaker, _ in named}) > 1:
        mistake = 2 * len(shared) < len(named)  # where most are on both sides, that is meant
        yield from _found(
            "shared-speakers",
            "warning" if mistake else "note",
            "speakers of training in other splits",
            "error rates are those of known voices; new ones will be worse",
            [Example(speaker, f"{n:,} utterances in {split}") for (speaker, split), n in sorted(shared.items())],
            len(named),
        )
    sentences = {r.text: r for r in training if _is_sentence(r, words)}
    again = [(r, sentences[r.text]) for r in others if r.text in sentences]
    yield from _found(
        "shared-texts",
        "warning" if 10 * len(again) > len(others) else "note",
        "sentences of training in other splits",
        "error rates are lower than those of new sentences",
        [r.example(f"{r.split}, as {known.utterance.id}, {r.shown}") for r, known in again],
        len(others),
    )


def _is_sentence(row: _Row, words: bool) -> bool:
    """Whether a text is so long and varied that it does not come again by chance, as words and digits do."""
    return len(set(row.text.split())) >= 4 if words else len(set(row.characters)) >= 8


def report_text(
    report: Report, *, examples: int | None = None, seconds_per_epoch: float | None = None, width: int = 100
) -> str:
    """The report as one screen.

    Args:
        report: What was found.
        examples: Cases shown of each finding; by default up to five, fewer where there are many findings.
        seconds_per_epoch: What an epoch of training will take, if it was tried.
        width: Columns.
    """
    if examples is None:
        examples = max(1, min(5, 24 // max(1, len(report.findings))))
    lines = ["split     utterances    hours  speakers    shortest   median  longest      words   texts"]
    for split, s in report.splits.items():
        lines.append(
            f"{_printable(split):9} {s.utterances:10,} {s.seconds / 3600:8.2f} {s.speakers or '-':>9}"
            f" {s.shortest:9.2f} s {s.median:6.2f} s {s.longest:6.2f} s {s.words or '-':>10} {s.texts:7,}"
        )
    rates = ", ".join(f"{n:,} at {rate:,} Hz" for rate, n in report.rates.items())
    lines.append(f"audio: {rates or 'none could be read'}")
    if seconds_per_epoch is not None:
        lines.append(f"an epoch of training takes about {_time(seconds_per_epoch)} on this machine")
    for finding in report.findings:
        label = {"fatal": "FATAL", "warning": "warning", "note": "note"}[finding.severity]
        lines += textwrap.wrap(
            _printable(f"{label}: {finding.message} [{finding.kind}]"), width, subsequent_indent="    "
        )
        for example in finding.examples[:examples]:
            line = _printable(f"    {example.name}  {example.detail}".rstrip())
            lines.append(line if len(line) <= width else line[: width - 3] + "...")
        if finding.count > examples:
            lines.append(f"    and {finding.count - examples:,} more")
    fatal = len(report.fatal)
    warnings = sum(f.severity == "warning" for f in report.findings)
    verdict = f"{fatal} would ruin training" if fatal else "nothing would ruin training"
    lines.append(f"{verdict}, {warnings} {'warning' if warnings == 1 else 'warnings'}")
    return "\n".join(lines)


def _printable(text: str) -> str:
    """Ids, paths and texts come from strangers: what would steer a terminal, or is not seen, is spelt out."""
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text
    )


def _time(seconds: float) -> str:
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "minutes"), (math.inf, 3600, "hours")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds} s"
