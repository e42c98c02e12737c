"""Which fields of tables and JSON are ids, references, hypotheses, speakers.

A field is what its name says, and no field is taken by its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from asr.utils.errors import InputError
from asr.utils.unicode import plain_name

_PATHS = (
    "path file filename file_name filepath file_path audio audio_path audio_file audio_filepath audio_filename "
    "audio_file_name wav wav_path wav_file wav_filename clip"
)
_NAMES = {  # of each kind of field, in the order in which they are taken
    kind: names.split()
    for kind, names in {
        "id": "id utt_id utterance_id uttid utt utterance key segment_id sample_id audio_id file_id item_id "
        f"{_PATHS} name index recording recording_id unnamed:_0",
        "text": "text transcript transcription sentence normalized_text raw_text transcripts",
        "reference": "reference ref references reference_text ref_text ground_truth groundtruth ground_truth_text "
        "truth gold target label labels expected correct reference_transcript reference_transcription",
        "hypothesis": "hypothesis hyp hypotheses hypothesis_text hyp_text prediction predictions predicted pred "
        "pred_text predicted_text asr asr_text asr_output output recognized recognised recognized_text decoded "
        "rec_text asr_transcript predicted_transcript predicted_transcription",
        "speaker": "speaker speaker_id speakerid spk spk_id spkid client_id talker",
        "start": "start start_time begin begin_time offset from start_ms start_seconds",
        "end": "end end_time stop to end_ms end_seconds",
        "word": "word token",
    }.items()
}
# Words within the names of fields that no list could name one by one: pred_str, hyp1, text_ref, WhisperLargeV3.
_WITHIN = {
    kind: regex.compile(rf"(?:{names})\d*")
    for kind, names in {
        "reference": "refs?|references?|labels?|targets?|gt|truth|groundtruth|gold|golden|actual|expected|manual",
        "hypothesis": "preds?|predict(?:s|ed|ions?)?|hyps?|hypos?|hypothes[ie]s|recogni\\w*|decod\\w*|asr|stt|"
        "generat\\w*|results?|infer\\w*|outputs?|whisper\\w*|wav2vec|hubert|conformer|vosk|nemo|kaldi|"
        "deepgram|google|azure|aws",
    }.items()
}
_NO_TEXT = regex.compile(  # what else such a field may tell
    "scores?|conf|confidences?|probs?|probability|logprobs?|logits|len|length|durations?|time|times|timestamps?|start|"
    "end|offset|path|file|filename|filepath|wav|audio|id|ids|uid|wer|cer|per|ler|errors?|err|lang|language|speaker|"
    "spk|date|tokens?|num|n|count|loss|rate|ppl|status|type|is|has|url|seconds|dir|folder|model|system|name|version|"
    "config|settings"
)
_OUTPUT = regex.compile("outputs?|predictions?|preds?|hyps?|results?")  # model_output is a text, asr_model is none
_ONE_ONLY = ("text", "reference", "hypothesis")  # two of them are two different texts
# Known names that could as well be a word of a text.
_ORDINARY = "truth gold target label labels expected correct output predicted recognized recognised decoded"


@dataclass(frozen=True)
class Roles:
    """The names of the fields that a file has, by what they are; None where it has no such field."""

    id: str | None = None
    text: str | None = None
    reference: str | None = None
    hypothesis: str | None = None
    speaker: str | None = None
    start: str | None = None
    end: str | None = None
    word: str | None = None

    @property
    def has_text(self) -> bool:
        """Returns whether any field is one of texts."""
        return bool(self.text or self.reference or self.hypothesis)

    @property
    def reference_field(self) -> str | None:
        """Returns the field of references: `text` where hypotheses stand beside it."""
        return self.reference or self.text

    @property
    def hypothesis_field(self) -> str | None:
        """Returns the field of hypotheses: `text` where references stand beside it, as `asr evaluate` writes them."""
        return self.hypothesis or self.text

    def named(self) -> dict[str, str]:
        """Returns the fields that are read."""
        known = {"id": self.id, "reference": self.reference_field, "hypothesis": self.hypothesis_field}
        if known["reference"] == known["hypothesis"]:
            known = {"id": self.id, "text": self.text}
        return {kind: name for kind, name in {**known, "speaker": self.speaker}.items() if name is not None}


def roles_of(names: Sequence[str], where: str, rows: Iterable[Mapping[str, Any]] = ()) -> Roles:
    """Returns what fields are, by their names.

    Args:
        rows: What the fields hold; a field of numbers is no text, unless its name is surely that of one.

    Raises:
        InputError: Two of them could be the texts.
    """
    of = _kinds(names)
    if any(not _is_sure(name) for kind in _WITHIN for name in of.get(kind, ())):
        numeric = _numeric(names, rows)
        of = {
            kind: kept
            for kind, there in of.items()
            if (kept := [name for name in there if name not in numeric or kind not in _WITHIN or _is_sure(name)])
        }
    for kind in _ONE_ONLY:
        if len(there := of.get(kind, ())) > 1:
            raise InputError(
                f"{' and '.join(map(repr, there))} could {'both' if len(there) == 2 else 'all'} be the {kind}",
                where=where,
                remedy="leave one of them, or rename the others",
            )
    return Roles(**{kind: there[0] for kind, there in of.items()})


def roles_of_row(row: Mapping[str, Any], where: str) -> Roles:
    """Returns what the fields of a row of JSON are; those that hold lists or objects are nothing."""
    return roles_of([name for name, value in row.items() if not isinstance(value, dict | list)], where, [row])


def is_header(names: Sequence[str]) -> bool:
    """Returns whether names are those of a table's columns."""
    if any(len(name.split()) > 1 for name in names) and not any(is_field(name, *_NAMES) for name in names):
        return False  # a text with commas, of which a word is one of ours
    of = {*_kinds(names)}
    if "id" in of:
        return bool(of & {*_ONE_ONLY, "speaker", "word"})
    return (
        {"reference", "hypothesis"} <= of
        or ("text" in of and bool(of & {"reference", "hypothesis"}))
        or {"text", "start", "end"} <= of
    )


def is_field(name: str, *kinds: str) -> bool:
    """Returns whether a whole name is known as that of a field of such kinds."""
    return any(plain_field(name) in _NAMES[kind] for kind in kinds)


def is_path(name: str) -> bool:
    """Returns whether a field is one of files."""
    return plain_field(name) in _PATHS.split()


def is_text_field(name: str, *, table: bool = False) -> bool:
    """Returns whether a line with nothing else is the name of a column of texts, and hardly a text.

    Args:
        table: The file is a table by its name.
    """
    plain = plain_field(name)
    if is_field(name, *_ONE_ONLY):
        return table or plain not in _ORDINARY.split()
    return bool(not regex.search(r"\s", name.strip()) and _kind_within(name)) and (table or "_" in plain)


def unread(rows: Sequence[Mapping[str, Any]], roles: Roles) -> list[str]:
    """Returns fields that hold texts like those that are read, and are passed over."""
    field = roles.reference_field or roles.hypothesis_field
    if not field:
        return []
    taken = {roles.id, *roles.named().values(), roles.start, roles.end}
    names = dict.fromkeys(name for row in rows for name in row if name not in taken)
    likely = []
    if roles.hypothesis is None:  # numbers may be what was heard, too
        whole = [name for name in _kinds([*names]).get("hypothesis", ()) if name in names]
        likely = [name for name in whole if all(str(row[name]).strip().isdigit() for row in rows if row.get(name))]
    for name in names:
        both = [(row[name], row.get(field)) for row in rows if isinstance(row.get(name), str) and row[name].strip()]
        alike = sum(isinstance(text, str) and _share(other, text) for other, text in both)
        if both and 2 * alike >= len(both) and name not in likely:
            likely.append(name)
    return likely


def plain_field(name: str) -> str:
    """Returns the name of a field without what tells it not from others: case, spaces, hyphens."""
    return str(regex.sub(r"[\s-]+", "_", plain_name(name).casefold()))


def _kinds(names: Sequence[str]) -> dict[str, list[str]]:
    """The fields of each kind: those whose names are known, in the order of these, then those that hold such a word."""
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(plain_field(name), name)
    of: dict[str, list[str]] = {}
    for kind, known in _NAMES.items():
        if there := [plain[name] for name in known if name in plain]:
            of[kind] = there
    known_names = {name for there in of.values() for name in there}
    for name in plain.values():
        if name not in known_names and (kind := _kind_within(name)):
            of.setdefault(kind, []).append(name)
    if "id" not in of and names and not names[0].strip():  # the index of a data frame has no name
        of["id"] = [names[0]]
    return of


def _kind_within(name: str) -> str:
    """What the words of a name say; nothing where they say two things or that it is no text."""
    if len(name.split()) > 2:  # a part of a text
        return ""
    apart = regex.sub(r"(?<=\p{Ll})(?=\p{Lu})", "_", plain_name(name))
    parts = [part for part in regex.split(r"[^\p{L}\d]+", apart.casefold()) if part]
    kinds = [kind for kind, words in _WITHIN.items() if any(map(words.fullmatch, parts))]
    if len(kinds) != 1:
        return ""
    if parts[0] == "model" and _OUTPUT.fullmatch(parts[-1]):
        parts = parts[1:]
    return "" if any(map(_NO_TEXT.fullmatch, parts)) else kinds[0]


def _is_sure(name: str) -> bool:
    """Whether a whole name is known as that of texts; labels and targets may be classes."""
    return is_field(name, *_WITHIN) and plain_field(name) not in ("label", "labels", "target")


def _numeric(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Fields that hold numbers and truth values alone."""
    rows = list(rows)
    values = {name: [row[name] for row in rows if row.get(name) not in (None, "")] for name in names}
    return {name for name, each in values.items() if each and all(map(_is_number, each))}


def _is_number(value: Any) -> bool:
    return not isinstance(value, str) or bool(
        regex.fullmatch(r"\s*(?:-?[\d.]+(?:e-?\d+)?|true|false)\s*", value, regex.I)
    )


def _share(other: str, text: str) -> bool:
    """Whether two texts have a word in common, or half of their letters where no spaces part words."""
    if " " in text.strip():
        return bool({*other.casefold().split()} & {*text.casefold().split()})
    ours, theirs = {*text.casefold()}, {*other.casefold()}
    return len(ours) > 1 and 2 * len(ours & theirs) > len(ours | theirs)
