"""JSON: rows a line or in an array, an object of ids and texts, transcripts; and what other programs write in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import regex

from asr.evaluate.texts import timed
from asr.evaluate.texts.contents import Source, Texts
from asr.evaluate.texts.fields import is_header, roles_of_row
from asr.evaluate.texts.lines import of_lines
from asr.evaluate.texts.tables import rows_of, segments_of
from asr.utils.errors import InputError

_AS_TEXT = "save its texts as a table (CSV with a first line id,text) or as SubRip"
_RECORDS = "write it by to_json(orient='records') or to_csv()"


def list_of_texts(source: Source) -> Texts | None:
    """Returns an array of plain texts, in order; None of anything else."""
    if not regex.match(r'\s*\[\s*(?:"|null\b)', source.text):
        return None
    try:
        values = _loads(source.text)
    except (ValueError, RecursionError):
        return None
    if not all(value is None or isinstance(value, str) for value in values):
        return None
    empty = values.count(None)
    return of_lines(source, [value or "" for value in values], [f"{empty} texts are null, and empty"] if empty else [])


def parse_json(source: Source) -> Texts:
    """JSON: rows a line or in an array, an object of ids and texts, a transcript or several."""
    rows = list(_json_rows(source))
    if not rows:
        return Texts(source.path, "JSON")
    if all(timed.is_seglst(row) for _, row in rows[:1]):
        return timed.parse_seglst(source, rows)
    if all(timed.is_transcript(row, where) for where, row in rows):
        return segments_of(source, rows, "JSON") or timed.transcripts_of(source, rows)
    return segments_of(source, rows, "JSON") or rows_of(source, rows, "JSON")


def _json_rows(source: Source) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Objects and where they stand."""
    numbered = source.numbered
    try:
        values = _loads(source.text)
    except InputError as e:
        raise InputError(str(e), where=source.path) from None
    except (ValueError, RecursionError) as whole:
        for number, line in numbered:
            try:
                row = _loads(line)
            except InputError as e:
                raise InputError(str(e), where=source.where(number)) from None
            except (ValueError, RecursionError) as e:
                # of a document of many lines, not of lines of JSON, say where the document ends to be JSON
                inside = number == numbered[0][0] and line.strip() in ("[", "{")
                at = getattr(whole, "lineno", number) if inside else number
                raise InputError(f"is not JSON ({whole if inside else e})", where=source.where(at)) from e
            yield source.where(number), _checked(row, source.where(number))
        return
    if isinstance(values, dict):
        yield from _of_object(source, values)
        return
    if not isinstance(values, list):
        raise InputError("is neither an object nor an array of JSON", where=source.path)
    for number, row in enumerate(values, 1):
        where = source.where(numbered[0][0]) if len(values) == 1 else f"{source.path}, item {number}"
        yield where, _checked(row, where)


def _of_object(source: Source, values: dict[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One row, or what an object says by id."""
    where = source.where(source.numbered[0][0])
    if kind := _foreign(values):
        raise InputError(f"is {kind}", where=source.path)
    plain = timed.is_transcript(values, where) or "id" in values or "text" in values
    kinds = {type(value) for value in values.values()}
    by_id = kinds == {dict} or (str in kinds and not kinds - {str, int, float, type(None)})
    if plain or not by_id or (kinds != {dict} and is_header([*values])):
        if values:
            yield where, values
        return
    for key, value in values.items():
        row = value if isinstance(value, dict) else {"text": value}
        place = f"{source.path}, {key!r}"
        yield place, row if roles_of_row(row, place).id else {**row, "id": key}


def _foreign(values: Mapping[str, Any]) -> str:
    """What an object of JSON is that holds no texts to be read, and what to do."""
    results = values.get("results")
    if isinstance(results, list) and any(isinstance(each, dict) and "alternatives" in each for each in results):
        return f"a reply of Google, IBM or Speechmatics; {_AS_TEXT}"
    inside = {*results} if isinstance(results, dict) else set()
    if inside & {"transcripts", "audio_segments"}:
        return f"a reply of Amazon Transcribe; {_AS_TEXT}"
    if inside & {"channels", "utterances"}:
        return f"a reply of Deepgram; {_AS_TEXT}"
    if {*values} & {"combinedRecognizedPhrases", "recognizedPhrases", "RecognitionStatus", "combinedPhrases", "NBest"}:
        return f"a reply of Azure; {_AS_TEXT}"
    if "monologues" in values:
        return f"a reply of Rev AI; {_AS_TEXT}"
    if isinstance(values.get("utts"), dict):
        return "ESPnet's data.json; name its ref.trn and hyp.trn"
    if isinstance(values.get("data"), list) and {*values} & {"columns", "schema"}:
        return f"a data frame of pandas; {_RECORDS}"
    columns = [value for value in values.values() if isinstance(value, dict)]
    numbered = columns and all(each and all(key.isdigit() for key in each) for each in columns)
    if numbered and len(columns) == len(values) and len({tuple(each) for each in columns}) == 1:
        return f"a data frame of pandas; {_RECORDS}"
    return ""


def _checked(row: Any, where: str) -> Mapping[str, Any]:
    if isinstance(row, str):
        raise InputError("is a text without an id", where=where, remedy="use --lines, if all are texts in order")
    if not isinstance(row, dict):
        raise InputError("is not a JSON object with `id` and `text`", where=where, remedy="plain texts need ids")
    return row


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose names stands there twice: the second would silently win."""
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"has the name {name!r} twice in one object")
    return values
