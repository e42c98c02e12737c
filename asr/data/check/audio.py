"""Audio that cannot be read, is silent, clipped, quiet, of another rate, or stereo of a kind that matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from asr.data.check.audio_facts import SILENT, AudioFacts
from asr.data.check.report import Example, Finding, Row, Severity, found
from asr.utils.errors import InputError

_LOW_LEVEL = -45.0  # dBFS
_STEADY = 3.0  # dB between loud and quiet frames: a tone or noise; speech has 10 and more
_CLIPPED = 1e-3  # share of samples
_OFFSET = 0.02


def check_audio(rows: Sequence[Row], training: Sequence[Row], rate: int) -> Iterator[Finding]:
    """Audio that cannot be read, is silent, clipped, quiet, of another rate, or stereo of a kind that matters."""
    unreadable = [r for r in rows if isinstance(r.audio, InputError)]
    needed = {*map(id, training), *(id(r) for r in rows if r.split == "dev")}
    ruins = any(id(r) in needed for r in unreadable)
    yield from found(
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
    yield from _levels(read, training, rate)
    yield from _rates(read, rate)
    yield from _channels(read)


_Read = Sequence[tuple[Row, AudioFacts]]


def _levels(read: _Read, training: Sequence[Row], rate: int) -> Iterator[Finding]:
    """Silence, and what is wrong with audio that is heard."""
    silent = {
        id(r): "one steady sound" if a.level >= SILENT else f"{a.level:.0f} dBFS"
        for r, a in read
        if a.level < SILENT or (a.level - a.floor < _STEADY and r.utterance.duration >= 1)
    }
    trained = sum(isinstance(r.audio, AudioFacts) for r in training)
    mute = sum(id(r) in silent for r in training)
    yield from found(
        "silent",
        "fatal" if 2 * mute > trained else "warning",
        "audio without speech: silence, or one steady sound",
        "leave it out, or look for the channel or file that has the speech",
        [r.example(silent[id(r)]) for r, _ in read if id(r) in silent],
        len(read),
    )
    heard = [(r, a) for r, a in read if id(r) not in silent]
    for kind, what, remedy, examples in (
        (
            "clipped",
            "clipped audio: too loud, its peaks are cut off",
            "record at a lower level, or fetch the original; a few do little harm",
            [r.example(f"{100 * a.clipped:.1f} % of the samples") for r, a in heard if a.clipped > _CLIPPED],
        ),
        (
            "low-level",
            f"very quiet audio, under {_LOW_LEVEL:g} dBFS",
            "look at the microphone's level, or fetch the original",
            [r.example(f"{a.level:.0f} dBFS") for r, a in heard if a.level < _LOW_LEVEL],
        ),
        (
            "digital-silence",
            "audio that is digital silence for the most part",
            "was a part of the recording lost or blanked out?",
            [r.example(f"{100 * a.zeros:.0f} % zeros") for r, a in heard if a.zeros > 0.5],
        ),
        (
            "offset",
            "audio with a constant offset",
            "look at the sound card; a high-pass filter removes it",
            [r.example(f"{a.offset:+.3f} on average") for r, a in heard if abs(a.offset) > _OFFSET],
        ),
        (
            "narrow-band",
            "audio with nothing above 4 kHz though its rate has room for it",
            "it was once telephone speech: fetch the original, or set model.features.sample_rate=8000",
            [r.example(f"{a.rate} Hz") for r, a in heard if a.narrow and rate > 8000],
        ),
    ):
        yield from found(kind, "warning", what, remedy, examples, len(read))


def _rates(read: _Read, rate: int) -> Iterator[Finding]:
    """Rates below the model's, and several above it."""
    yield from found(
        "low-rate",
        "warning",
        f"audio of a lower rate than the model's {rate:,} Hz",
        _rate_remedy([a.rate for _, a in read], rate),
        [r.example(f"{a.rate} Hz") for r, a in read if a.rate < rate],
        len(read),
    )
    higher = Counter(a.rate for _, a in read if a.rate >= rate)
    if len(higher) > 1:
        named = [Example(f"{r} Hz", f"{n:,} utterances") for r, n in sorted(higher.items())]
        yield from found("mixed-rates", "note", "audio of several rates", "all is converted to the model's", named)


def _channels(read: _Read) -> Iterator[Finding]:
    """Stereo of a kind that matters."""
    kinds: list[tuple[str, str, Severity, str, str]] = [
        (
            "silent-channel",
            "one-silent",
            "warning",
            "stereo with a silent channel",
            "the average of both is read: choose the channel that has the speech, or convert to mono",
        ),
        (
            "opposite-channels",
            "opposite",
            "warning",
            "stereo whose channels cancel each other",
            "the average of both is read: choose one channel, or convert to mono",
        ),
        (
            "different-channels",
            "different",
            "warning",
            "stereo with different speech on each channel",
            "the average of both is read: choose the channel of each utterance",
        ),
        (
            "mono-in-stereo",
            "identical",
            "note",
            "mono hidden in stereo: both channels are the same",
            "nothing need be done; mono files are half as large",
        ),
    ]
    for kind, stereo, severity, what, remedy in kinds:
        examples = [r.example() for r, a in read if a.stereo == stereo]
        yield from found(kind, severity, what, remedy, examples, len(read))


def _rate_remedy(rates: Sequence[int], rate: int) -> str:
    lowest, highest = min(rates, default=rate), max(rates, default=rate)
    if highest < rate:
        return f"nothing is above {highest // 2:,} Hz: model.features.sample_rate={highest} saves time"
    return (
        f"they have nothing above {lowest // 2:,} Hz, others have: fetch better ones,"
        f" or set model.features.sample_rate={lowest}"
    )
