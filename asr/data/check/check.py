"""All checks over a corpus, in one call."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from asr.data.check.audio import check_audio
from asr.data.check.audio_facts import CACHE_NAME, AudioFacts, audio_facts
from asr.data.check.characters import check_characters
from asr.data.check.report import ModelSettings, Report, Row, SplitFacts
from asr.data.check.splits import check_both_sides, check_missing
from asr.data.check.texts import check_lengths, check_texts
from asr.data.cuts import Utterance, read_cuts
from asr.text.normalize import TextNormalizer, has_word_spaces
from asr.utils.unicode import graphemes


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
    model: ModelSettings,
    *,
    batch_seconds: float | None = None,
    audio_seconds: float | None = None,
    fastest: float = 1.0,
    cache: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Report:
    """Looks for what would spoil training.

    Args:
        splits: Utterances of `train`, `dev`, and others. Where there is no `train`, all count as training.
        model: What is to be trained (a ModelConfig): its text normalisation, sample rate, tokens and frames.
        batch_seconds: The budget of a batch: longer utterances are named.
        audio_seconds: How long to read audio, by the clock; the rest is left unread, and that is said.
        fastest: The highest speed of augmentation: texts must fit the frames that are left then.
        cache: A file that makes the next reading quick (`cache_path`).
        progress: Called while audio is read, with how many utterances are done, and of how many.
    """
    training_split = splits.get("train") or [u for some in splits.values() for u in some]
    words = model.text.words == "spaces"
    if model.text.words == "auto":
        words = has_word_spaces(u.text for u in training_split)
    everything = [(split, u) for split in sorted(splits, key=lambda s: s != "train") for u in splits[split]]
    audio = audio_facts([u for _, u in everything], cache=cache, seconds=audio_seconds, progress=progress)
    normalizer = TextNormalizer(replace(model.text, words="spaces" if words else "none"))
    rows = []
    for (split, utterance), facts in zip(everything, audio, strict=True):
        text = normalizer(utterance.text)
        rows.append(Row(split, utterance, text, len(graphemes(text)), facts))
    training = [r for r in rows if r.split == "train" or "train" not in splits]
    found = [
        *check_missing(splits),
        *check_texts(rows, training, words=words),
        *check_lengths(rows, training, model, batch_seconds, fastest, words=words),
        *check_characters(rows, training, normalizer),
        *check_audio(rows, training, model.features.sample_rate),
        *check_both_sides(splits, rows, words=words),
    ]
    order = ("fatal", "warning", "note")
    return Report(
        splits={s: _split_facts([r for r in rows if r.split == s], words) for s in splits},
        rates=dict(sorted(Counter(r.audio.rate for r in rows if isinstance(r.audio, AudioFacts)).items())),
        findings=tuple(sorted(found, key=lambda f: order.index(f.severity))),
    )


def _split_facts(rows: Sequence[Row], words: bool) -> SplitFacts:
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
        characters=sum(r.length for r in rows),
        texts=len({r.text for r in rows}),
    )
