"""Normalisation of transcripts and perceived characters: the same at training and in scoring.

Manifests keep the publisher's text; the normaliser belongs to the model's configuration.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import regex

from asr.utils.config import Config, require
from asr.utils.errors import InputError
from asr.utils.unicode import INVISIBLE

# Scripts that are written without spaces between words.
_SPACELESS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
# Apostrophes and hyphens between letters are part of a word ("don't", "well-known"); elsewhere they are punctuation.
_WORD_MARKS = "'\u2019\u05f3\u05f4-"
# What is attached to punctuation goes with it: marks (an emoji's variation selector), joiners, further word marks.
_PUNCTUATION = regex.compile(
    rf"(?:(?<![\p{{L}}\p{{M}}\p{{N}}])[{_WORD_MARKS}]|[{_WORD_MARKS}](?![\p{{L}}\p{{M}}\p{{N}}])|[\p{{P}}\p{{S}}--[{_WORD_MARKS}]])"
    rf"[\p{{M}}\u200c\u200d{_WORD_MARKS}]*",
    regex.V1,
)
_MAX_LENGTH = 1_000_000
_SPACE = regex.compile(r"\s+")


@dataclass(frozen=True, kw_only=True)
class TextConfig(Config):
    """How transcripts are normalised. Unicode NFC and single spaces always."""

    # lower | upper | keep
    case: Literal["lower", "upper", "keep"] = "lower"
    # remove: punctuation and symbols become spaces, but for apostrophes and hyphens within words; keep: left as it is
    punctuation: Literal["remove", "keep"] = "remove"
    # pieces of text and what replaces them, first of all (after NFC): {"&": " and ", "\u2019": "'"}
    replace: dict[str, str] = field(default_factory=dict)
    # whether words are separated by spaces; auto: as the script of the training text has it.
    # none: all spaces are dropped, and the error rate is the CER
    words: Literal["auto", "spaces", "none"] = "auto"
    # of the texts, as BCP 47 has it: en, mdw, zh-Hant. Transcripts say it; it changes nothing
    language: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            regex.fullmatch(r"([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?", self.language) is not None,
            f"language {self.language!r} is no tag of a language, such as en or zh-Hant",
        )
        require("" not in self.replace, "replace: an empty text cannot be replaced")


class TextNormalizer:
    """Callable: a transcript -> its normal form. `changes` counts what was changed and dropped, to be shown."""

    def __init__(self, config: TextConfig | None = None) -> None:
        self.config = config or TextConfig()
        self.changes: Counter[str] = Counter()

    def __call__(self, text: str) -> str:
        config, count = self.config, self.changes
        composed = unicodedata.normalize("NFC", text)
        count["composed (NFC)"] += composed != text
        text = composed
        for old, new in config.replace.items():
            old = unicodedata.normalize("NFC", old)
            if found := text.count(old):
                count[f"replaced {old!r} by {new!r}"] += found
                text = text.replace(old, new)
                if len(text) > _MAX_LENGTH:  # a map from a stranger can double a text at each entry
                    raise InputError(f"replacing {old!r} by {new!r} makes a text of {len(text):,} characters")
        for dropped in INVISIBLE.findall(text):
            count[f"dropped {_name(dropped)}"] += 1
        text = INVISIBLE.sub("", text)
        if config.case != "keep":  # before punctuation: the upper case of \u0149 starts with an apostrophe
            cased = text.lower() if config.case == "lower" else text.upper()
            count[f"{config.case}-cased"] += cased != text
            text = cased
        if config.punctuation == "remove":
            for dropped in "".join(_PUNCTUATION.findall(text)):
                count[f"dropped {dropped!r}"] += 1
            text = _PUNCTUATION.sub(" ", text)
        text = str(_SPACE.sub("" if config.words == "none" else " ", text)).strip()
        # Case mapping decomposes some letters, and dropping brings letters and marks together: compose again.
        return unicodedata.normalize("NFC", text)

    def report(self) -> list[str]:
        """What was changed and dropped so far, most frequent first: 'dropped ',': 214'."""
        return [f"{what}: {n}" for what, n in self.changes.most_common() if n]


def has_word_spaces(texts: Iterable[str]) -> bool:
    """Whether the script of the texts separates words by spaces: not Chinese, Japanese, Thai, Lao, Khmer, Burmese."""
    letters = spaceless = 0
    for text in texts:
        letters += sum(map(str.isalpha, text))
        spaceless += len(_SPACELESS.findall(text))
    return spaceless <= letters / 2


def _name(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"
