"""Files of texts by utterance: Kaldi's, sclite's, JSON lines; pairs of reference and hypothesis. No torch here."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import regex

from asr.utils.errors import InputError
from asr.utils.files import read_text

_TRN = regex.compile(r"(.*?)\s*\(([^()\s]*[\d_-][^()\s]*)\)\s*")  # an id has a digit, _ or -: (laughter) is none


def read_texts(path: str | Path, *, empty: bool = False) -> dict[str, str]:
    """Texts by utterance id: `id text` a line as Kaldi's, sclite's trn (`text (id)`), or JSONL with `id` and `text`.

    Args:
        empty: Whether a file without any text is one of a system that heard nothing, and no mistake.

    Raises:
        InputError: Names the file and the line of an id that stands there twice or a line that cannot be read.
    """
    path = Path(path)
    texts: dict[str, str] = {}
    lines = _lines(path)
    filled = [line for line in lines if line.strip()]
    as_json = bool(filled) and filled[0].lstrip().startswith("{")
    as_trn = bool(filled) and all(map(_TRN.fullmatch, filled))
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if as_json:
            key, text = _json_line(line, f"{path}, line {number}")
        elif as_trn and (found := _TRN.fullmatch(line)):
            text, key = found.groups()
        else:
            key, _, text = line.strip().partition(" ")
            if "\t" in key:
                key, _, text = line.strip().partition("\t")
        if key in texts:
            raise InputError(f"the id {key!r} stands there twice", where=f"{path}, line {number}")
        texts[key] = text.strip()
    if not texts and not empty:
        raise InputError("holds no text", where=path)
    return texts


def read_speakers(path: str | Path, *, texts: bool = False) -> dict[str, str]:
    """Speakers by utterance id: `id speaker` a line, Kaldi's utt2spk, or JSONL with `id` and `speaker`.

    Args:
        texts: The file is one of texts: JSON lines may tell speakers, others do not.
    """
    path = Path(path)
    lines = [line for line in _lines(path) if line.strip()]
    if lines and lines[0].lstrip().startswith("{"):
        rows = [_json_row(line, str(path)) for line in lines]
        return {str(row["id"]): row["speaker"] for row in rows if isinstance(row.get("speaker"), str)}
    return {} if texts else read_texts(path)


def read_lines(path: str | Path, *, empty: bool = False) -> dict[str, str]:
    """Plain lines in order, the line's number as the id; an empty line is an empty text.

    Args:
        empty: As in read_texts.
    """
    lines = _lines(path)
    if not empty and not any(line.strip() for line in lines):
        raise InputError("holds no text", where=path)
    return {str(number): line.strip() for number, line in enumerate(lines, 1)}


def pair(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> tuple[list[str], list[str], list[str]]:
    """References and hypotheses by id: (references, hypotheses, what has to be said of ids that lack a partner).

    A missing hypothesis counts as an empty one, so its words as deletions; a superfluous one is left out.
    """
    if hypotheses and not references.keys() & hypotheses.keys():
        raise InputError(
            f"references and hypotheses have no id in common ({next(iter(references), '')!r} stands first in the one,"
            f" {next(iter(hypotheses), '')!r} in the other)",
            remedy="if these are plain lines in order, use --lines",
        )
    missing = [key for key in references if key not in hypotheses]
    extra = [key for key in hypotheses if key not in references]
    notes = []
    if missing:
        notes.append(f"{len(missing)} references have no hypothesis and count as deletions (first: {missing[0]})")
    if extra:
        notes.append(f"{len(extra)} hypotheses have no reference and are left out (first: {extra[0]})")
    return list(references.values()), [hypotheses.get(key, "") for key in references], notes


def _lines(path: str | Path) -> list[str]:
    """Lines as every editor counts them: `str.splitlines` would also split at characters such as U+2028 in a text."""
    return io.StringIO(read_text(path), newline=None).read().removesuffix("\n").split("\n")


def _json_line(line: str, where: str) -> tuple[str, str]:
    row = _json_row(line, where)
    if not isinstance(row.get("text"), str):
        raise InputError("is not a JSON object with `id` and `text`", where=where)
    return str(row["id"]), row["text"]


def _json_row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise InputError(f"is not JSON ({e})", where=where) from e
    if not isinstance(row, dict) or "id" not in row:
        raise InputError("is not a JSON object with `id` and `text`", where=where)
    return row
