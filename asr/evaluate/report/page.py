"""The report as one HTML file that needs no network: everything is in it, and nothing of a text can become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr.evaluate.report import charts
from asr.evaluate.report.analysis import Group, by_utterance, by_word, calibration, confusions, found_by_checking
from asr.evaluate.report.results import Results, Row, number, read_results, writable
from asr.evaluate.significance import compare, confidence_interval
from asr.evaluate.wer import RATES, ErrorCounts, Pair, score, spelling_errors
from asr.utils.errors import InputError
from asr.utils.files import write_text

_WORST = 100  # utterances that are there without JavaScript
_CHECKED = (5, 10, 20, 30, 50)  # % of the words
_INVISIBLE = {n: f"\\x{n:02x}" for n in [*range(32), *range(127, 160)]}
# A path from the root, in a word or behind = : , and the like.
_ABSOLUTE = re.compile(r"""(?<![^\s=:,@('"\[])(?:file:/+|~?/|[A-Za-z]:[\\/])[^:,'"\]]*""")
_HOME = re.compile(r"^(?:home|Users)/[^/]+(?:/|$)|^root(?:/|$)")
# Directions that a text may force upon what stands after it.
_INVISIBLE |= {n: f"\\u{n:04x}" for n in [0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]}


def report_page(systems: Sequence[Results], *, title: str = "", sound: int = 0) -> str:
    """The report of one system, or of several on the same set, as HTML.

    Args:
        systems: The first one is looked at most closely; the others are compared with it.
        title: "": the systems' names.
        sound: How many utterances, those with the most errors, can be heard and seen; about 60 kB each.

    Raises:
        InputError: The systems' results are not of the same set.
    """
    from jinja2 import Environment

    systems = _in_one_order(_with_names(systems))
    first = systems[0]
    comparisons = []
    if len(systems) > 1 and first.scores.error.length:
        comparisons = compare({s.name: s.scores for s in systems}, first.speakers)
    sure = calibration(first)
    confused = [("Words" if first.unit == "words" else first.unit.capitalize(), confusions(first.scores.alignments))]
    if first.unit == "words":
        letters = score([r.reference for r in first.rows], [r.hypothesis for r in first.rows], unit="characters")
        confused.append(("Characters", confusions(letters.alignments)))
    epochs = [row for row in first.log if row.get("kind") == "epoch" and isinstance(row.get("epoch"), int)]
    notes = [note for s in systems for note in s.notes]
    heard: dict[int, Any] = {}
    if sound:
        heard, note = _sounds(first, sound)
        notes += [note] if note else []
    sections = {
        "scores": "How good",
        "comparison": "Which is better" if comparisons else "",
        "where": "Where it fails",
        "confusions": "What is taken for what",
        "confidence": "Does it know" if sure else "",
        "utterances": "Every utterance",
        "training": "How it was trained" if epochs else "",
        "made": "How it was made",
    }
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["printable"] = _printable
    environment.filters["percent"] = _percent
    environment.filters["shown"] = lambda text: _printable(text) if text.strip() else "(space)"
    template = environment.from_string(_file("page.html"))
    script = _file("page.js")
    from markupsafe import Markup

    return template.render(
        title=writable(title or " and ".join(s.name for s in systems)),
        style=Markup(_file("page.css")),
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        sections=[(key, name) for key, name in sections.items() if name],
        rate=RATES[first.unit],
        unit=first.unit,
        language=_language(first),
        direction=_direction(first),
        measured=_measured(first),
        systems=[_headline(s) for s in systems],
        notes=notes,
        comparisons=comparisons,
        has_duration=any(row.duration is not None for row in first.rows),
        has_confidence=sure is not None,
        worst=_worst(systems),
        total=len(first.rows),
        confused=confused,
        groups=_groups(first),
        calibration=sure,
        found20=found_by_checking(sure, 0.2) if sure else 0,
        checked=[(share, found_by_checking(sure, share / 100)) for share in _CHECKED] if sure else [],
        reliability=Markup(charts.reliability(sure)) if sure else "",
        checking=Markup(charts.checking(sure)) if sure else "",
        training=[(name, Markup(chart)) for name, chart in _training_charts(first)],
        epochs=[_epoch(row) for row in epochs],
        data=Markup(_data(systems, heard)),
    )


def write_report(folder: str | Path) -> Path:
    """Writes report.html into a folder of results, of these alone."""
    path = Path(folder) / "report.html"
    write_text(path, report_page([read_results(str(folder))]))
    return path


def _percent(counts: ErrorCounts) -> str:
    return f"{100 * counts.rate:.2f}" if counts.length else "–"


def _measured(system: Results) -> str:
    """ "514 utterances, 2,993 words, 26.5 minutes, 3 speakers"."""
    speakers = {row.speaker for row in system.rows if row.speaker}
    seconds = sum(row.duration or 0 for row in system.rows)
    parts = [(len(system.rows), "utterance"), (system.scores.error.length, system.unit[:-1])]
    parts += [(len(speakers), "speaker")] if speakers else []
    said = [f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in parts]
    return ", ".join([*said, *([_minutes(seconds)] if seconds else [])])


def _direction(system: Results) -> str:
    """That in which most of the letters are written."""
    kinds = Counter(unicodedata.bidirectional(c) for row in system.rows[:1000] for c in row.reference)
    return "rtl" if kinds["R"] + kinds["AL"] > kinds["L"] else "ltr"


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _printable(text: str) -> str:
    """Control characters, and such as turn the direction of what follows, made visible."""
    return str(text).translate(_INVISIBLE)


def _with_names(systems: Sequence[Results]) -> list[Results]:
    """With names that are different."""
    named: dict[str, Results] = {}
    for system in systems:
        name, n = system.name, 1
        while name in named:
            n += 1
            name = f"{system.name} ({n})"
        named[name] = replace(system, name=name)
    return list(named.values())


def _in_one_order(systems: Sequence[Results]) -> list[Results]:
    """All with their utterances in the order of the first one's."""
    first, *others = systems
    said = {row.id: row.reference for row in first.rows}
    ordered = [first]
    for other in others:
        rows = {row.id: row for row in other.rows}
        differs = next((key for key in said.keys() | rows.keys() if key not in said or key not in rows), None)
        example = f" ({differs} is of one of them alone)" if differs else ""
        if not differs and (key := next((key for key in said if said[key] != rows[key].reference), None)):
            differs, example = key, f" ({key}: {said[key]!r} and {rows[key].reference!r})"
        if differs is not None:
            raise InputError(
                f"is not of the same utterances and references as {first.name}{example}",
                where=other.name,
                remedy="evaluate both on the same set, with models that write texts alike",
            )
        ordered.append(replace(other, rows=tuple(rows[key] for key in said)))
    return ordered


def _headline(system: Results) -> dict[str, Any]:
    scores = system.scores
    return {
        "name": system.name,
        "scores": scores,
        "interval": confidence_interval(scores.each, system.speakers),
        "spelling": [(kind, n) for kind, n in spelling_errors(scores).items() if n],
        "made": list(_made(system.facts)),
    }


def _made(facts: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What is known of how results were made, without paths of the machine."""
    decoding = facts.get("decoding")
    known: dict[str, Any] = {
        "model": facts.get("model"),
        "data": facts.get("data"),
        "references": facts.get("references"),
        "decoding": decoding,
        "command": _words(facts["command"]) if isinstance(facts.get("command"), str) else None,
        "commit": facts.get("commit"),
        "date": facts.get("date"),
        "hardware": facts.get("hardware"),
        "versions": facts.get("versions"),
        "audio": _minutes(seconds) if (seconds := number(facts.get("audio_seconds"))) else None,
        "real-time factor": number(facts.get("real_time_factor")),
    }
    for name, value in known.items():
        if isinstance(value, dict):
            value = ", ".join(f"{_relative(str(k))} {_relative(str(v))}" for k, v in value.items())
        elif isinstance(value, list):
            value = shlex.join(_relative(str(v)) for v in value)
        if value not in (None, ""):
            yield name, writable(_relative(str(value)))


def _words(command: str) -> list[str]:
    """A command as its words."""
    try:
        return shlex.split(command)
    except ValueError:  # made before commands were quoted
        return command.split()


def _relative(text: str) -> str:
    """Absolute paths cut to their last two parts, without whose home they are in; anything else as it is."""

    def cut(found: re.Match[str]) -> str:
        path = re.sub(r"^(?:file:/+|~?/|[A-Za-z]:/)", "", found[0].replace("\\", "/"))
        return "/".join(_HOME.sub("", path).split("/")[-2:])

    return _ABSOLUTE.sub(cut, text)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _language(system: Results) -> str:
    found = system.facts.get("language")
    return found if isinstance(found, str) and re.fullmatch(r"[A-Za-z0-9-]+", found) else ""


def _row_facts(row: Row) -> str:
    parts = [row.speaker, f"{row.duration:.1f} s" if row.duration is not None else ""]
    parts.append(f"{row.snr:.0f} dB" if row.snr is not None else "")
    return ", ".join(part for part in parts if part)


def _worst(systems: Sequence[Results]) -> list[dict[str, Any]]:
    first = systems[0]
    return [
        {
            "id": first.rows[i].id,
            "facts": _row_facts(first.rows[i]),
            "systems": [(s.name, s.scores.alignments[i]) for s in systems],
        }
        for i in _most_wrong(first, _WORST)
    ]


def _most_wrong(system: Results, most: int) -> list[int]:
    each = system.scores.each
    return sorted(range(len(each)), key=lambda i: -each[i].errors)[:most]


def _sounds(system: Results, number: int) -> tuple[dict[int, Any], str]:
    """By the utterance's number: MP3, PNG, seconds, and the words with their times and confidence."""
    from asr.evaluate.report.sound import sounds

    chosen = _most_wrong(system, number)
    found, problem = sounds(system, [system.rows[i].id for i in chosen])
    made = {}
    for i in chosen:
        row = system.rows[i]
        if one := found.get(row.id):
            coded = [base64.b64encode(content).decode() for content in (one.mp3, one.picture)]
            timed = [word for word in row.words if word.start is not None and word.end is not None]
            words = [[_printable(w.text), w.start, w.end, w.confidence] for w in timed]
            made[i] = [*coded, round(one.seconds, 3), words]
    return made, problem


def _data(systems: Sequence[Results], heard: Mapping[int, Any]) -> str:
    """What the page's script draws: JSON that no text can end."""
    first = systems[0]

    def unit(pair: Pair) -> Any:
        said, heard = (None if text is None else _printable(text) for text in pair)
        return said if said == heard and pair[0] == pair[1] else [said, heard]

    def confidence(row: Row) -> float | None:
        known = [word.confidence for word in row.words if word.confidence is not None]
        return round(sum(known) / len(known), 3) if known else None

    rows = [
        [
            _printable(row.id),
            _printable(_row_facts(row)),
            None if row.duration is None else round(row.duration, 2),
            [s.scores.each[i].errors for s in systems],
            first.scores.each[i].length,
            confidence(row),
            [[unit(p) for p in s.scores.alignments[i]] for s in systems],
        ]
        for i, row in enumerate(first.rows)
    ]
    names = [_printable(s.name) for s in systems]
    whole = {
        "systems": names,
        "language": _language(first),
        "direction": _direction(first),
        "join": "" if first.unit == "characters" else " ",
        "rows": rows,
        "sounds": heard,
    }
    text = json.dumps(whole, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\u2028", "\\u2028")


def _groups(system: Results) -> list[tuple[str, list[Group], Any, str, str]]:
    from markupsafe import Markup

    rate = RATES[system.unit]
    found = []
    for title, groups in by_utterance(system).items():
        whole = system.scores.error.rate
        chart = Markup(charts.rates(groups, f"{rate}, %", name=title, whole=whole)) if len(groups) <= 40 else ""
        found.append((title, groups, chart, "utterances", rate))
    errors = system.scores.error
    for title, groups in by_word(system).items():
        of = f"{system.unit} wrong"
        whole = (errors.errors - errors.insertions) / max(1, errors.length)
        chart = Markup(charts.rates(groups, f"{of}, %", name=title, whole=whole))
        found.append((title, groups, chart, "utterances", of))
    return found


def _training_charts(system: Results) -> list[tuple[str, str]]:
    epochs = [row for row in system.log if row.get("kind") == "epoch" and isinstance(row.get("epoch"), int)]

    def series(names: Mapping[str, str], factor: float = 1.0) -> dict[str, list[tuple[float, float]]]:
        found = {}
        for key, name in names.items():
            points = [(row["epoch"], factor * row[key]) for row in epochs if isinstance(row.get(key), int | float)]
            if points:
                found[name] = points
        return found

    drawn = {
        "Loss": (series({"loss": "training", "dev_loss": "dev"}), "loss", False),
        "Error on dev": (series({"dev_wer": "WER", "dev_cer": "CER", "dev_per": "PER"}, 100), "%", False),
        "Learning rate": (series({"learning_rate": "learning rate"}), "learning rate", False),
        "Gradient norm": (series({"gradient_norm": "gradient norm"}), "gradient norm", True),
    }
    return [(title, charts.curves(s, label, name=title, log=log)) for title, (s, label, log) in drawn.items() if s]


def _epoch(row: Mapping[str, Any]) -> dict[str, str]:
    def shown(name: str, form: str, factor: float = 1.0) -> str:
        return format(factor * row[name], form) if isinstance(row.get(name), int | float) else "-"

    error = next((key for key in ("dev_wer", "dev_per", "dev_cer") if key in row), "")
    return {
        "epoch": str(row["epoch"]),
        "loss": shown("loss", ".3f"),
        "dev_loss": shown("dev_loss", ".3f"),
        "error": shown(error, ".2f", 100),
        "learning_rate": shown("learning_rate", ".2g"),
        "gradient_norm": shown("gradient_norm", ".3g"),
    }
