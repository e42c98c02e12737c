"""Normalisation of transcripts and perceived characters: the same at training and in scoring.

Manifests keep the publisher's text; the normaliser belongs to the model's configuration.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import regex

from asr.text.orthography import SPACELESS, Dropped, WordMarks, lower, plain_letters, upper, windows_punctuation
from asr.utils.config import Config, require
from asr.utils.errors import InputError
from asr.utils.unicode import INVISIBLE
from asr.utils.units import counted

# Version 1 of the rules: of what Unicode calls punctuation and symbols, these alone stay, between letters.
_MARKS_1 = "'\u2019\u05f3\u05f4-"
_PUNCTUATION_1 = regex.compile(
    rf"(?:(?<![\p{{L}}\p{{M}}\p{{N}}])[{_MARKS_1}]|[{_MARKS_1}](?![\p{{L}}\p{{M}}\p{{N}}])|[\p{{P}}\p{{S}}--[{_MARKS_1}]])"
    rf"[\p{{M}}\u200c\u200d{_MARKS_1}]*",
    regex.V1,
)
_SPACELESS = regex.compile(f"[{SPACELESS}]")
_BETWEEN_WORDS = regex.compile(rf"(?<=[\p{{M}}{SPACELESS}])\u200b", regex.V1)  # a space that nobody sees
_GRAPHEME_JOINER = "\u034f"
_MAX_LENGTH = 1_000_000
_SPACE = regex.compile(r"\s+")
_LETTERS_ALONE = regex.compile(r"[\p{L}\p{M}\p{N}\s]*")  # of which nothing is dropped


@dataclass(frozen=True, kw_only=True)
class TextConfig(Config):
    """How transcripts are normalised. Unicode NFC and single spaces always."""

    # lower | upper | keep, as `language` has it
    case: Literal["lower", "upper", "keep"] = "lower"
    # remove: punctuation and symbols become spaces, but for those that belong to words (asr.text.orthography);
    # keep: left as it is
    punctuation: Literal["remove", "keep"] = "remove"
    # characters that are letters in these texts, though elsewhere they are punctuation or symbols: "?!="
    letters: str = ""
    # pieces of text and what replaces them, first of all (after NFC): {"&": " and ", "\u2019": "'"}
    replace: dict[str, str] = field(default_factory=dict)
    # whether words are separated by spaces; auto: as the script of the training text has it.
    # none: all spaces are dropped, and the error rate is the CER
    words: Literal["auto", "spaces", "none"] = "auto"
    # of the texts, as BCP 47 has it: en, mdw, zh-Hant. Turkish and others have their own rule of case
    language: str = ""
    # of these rules: 1 parts words at most marks, and has one rule of case. A model keeps that of its training
    version: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            regex.fullmatch(r"([A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*)?", self.language) is not None,
            f"language {self.language!r} is no tag of a language, such as en, tr or zh-Hant",
        )
        require("" not in self.replace, "replace: an empty text cannot be replaced")
        require(regex.fullmatch(r"[\p{P}\p{S}]*", self.letters) is not None, f"letters {self.letters!r}: has others")


class TextNormalizer:
    """Callable: a transcript -> its normal form.

    Attributes:
        changes: How often what was changed and dropped, to be shown.
        examples: The first text of each character that was dropped, as far as it stands around it.
        parted: Characters whose removal parted words -> these words, as often as each came.
        inside: The same of those that were dropped between letters, where the word stayed whole.
        edges: The same of those that were dropped where a word begins or ends, and are no punctuation as it seems.
    """

    def __init__(self, config: TextConfig | None = None) -> None:
        self.config = config or TextConfig()
        self.changes: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.parted: dict[str, Counter[str]] = defaultdict(Counter)
        self.inside: dict[str, Counter[str]] = defaultdict(Counter)
        self.edges: dict[str, Counter[str]] = defaultdict(Counter)
        self._marks = WordMarks(self.config.letters, self.config.replace)
        self._replace = {unicodedata.normalize("NFC", old): new for old, new in self.config.replace.items()}

    def __call__(self, text: str) -> str:
        config, count, new_rules = self.config, self.changes, self.config.version > 1
        composed = unicodedata.normalize("NFC", text)
        count["composed (NFC)"] += composed != text
        if new_rules:
            plain = plain_letters(windows_punctuation(composed))
            count["forms of printing written as letters"] += plain != composed
            composed = plain
        text = self._replaced(composed)
        text = self._visible(text)
        if config.case != "keep":  # before punctuation: the upper case of \u0149 starts with an apostrophe
            language = config.language if new_rules else ""
            cased = lower(text, language) if config.case == "lower" else upper(text, language)
            count[f"{config.case}-cased"] += cased != text
            text = cased
        if config.punctuation == "remove" and not _LETTERS_ALONE.fullmatch(text):
            text = self._without_punctuation(text) if new_rules else self._without_punctuation_1(text)
        text = str(_SPACE.sub("" if config.words == "none" else " ", text)).strip()
        # Case mapping decomposes some letters, and dropping brings letters and marks together: compose again.
        return unicodedata.normalize("NFC", text)

    def _replaced(self, text: str) -> str:
        for old, new in self._replace.items():
            if times := text.count(old):
                self.changes[f"replaced {old!r} by {new!r}"] += times
                text = text.replace(old, new)
                if len(text) > _MAX_LENGTH:  # a map from a stranger can double a text at each entry
                    raise InputError(f"replacing {old!r} by {new!r} makes a text of {len(text):,} characters")
        return text

    def _visible(self, text: str) -> str:
        """Drops what nobody sees; between words of scripts without spaces it may be one."""
        if text.isascii() and text.isprintable():
            return text
        if self.config.version > 1:
            text = _BETWEEN_WORDS.sub(" ", text)
            self.changes[f"dropped {_name(_GRAPHEME_JOINER)}"] += text.count(_GRAPHEME_JOINER)
            text = text.replace(_GRAPHEME_JOINER, "")
        for match in INVISIBLE.finditer(text):
            self._count(self._marks.dropped(text, *match.span(), parts=False), _name)
        return str(INVISIBLE.sub("", text))

    def _without_punctuation(self, text: str) -> str:
        dropped: list[Dropped] = []
        text = self._marks.drop_punctuation(self._marks.make_one(text, self.changes), dropped)
        for each in dropped:
            self._count(each)
        return text

    def _without_punctuation_1(self, text: str) -> str:
        for match in _PUNCTUATION_1.finditer(text):
            self._count(self._marks.dropped(text, *match.span(), parts=True))
        return str(_PUNCTUATION_1.sub(" ", text))

    def _count(self, dropped: Dropped, named: Callable[[str], str] = repr) -> None:
        for character in dropped.characters:
            self.changes[f"dropped {named(character)}"] += 1
            self.examples.setdefault(character, dropped.near)
        if dropped.place:
            words = {"parted": self.parted, "inside": self.inside, "edge": self.edges}[dropped.place]
            words[dropped.characters[0]][dropped.word] += 1

    def report(self) -> list[str]:
        """What was changed and dropped so far, most frequent first: 'dropped ',': 214'."""
        return [f"{what}: {n}" for what, n in self.changes.most_common() if n]

    @property
    def dropped(self) -> Counter[str]:
        """How often each visible character was dropped."""
        times = {character: self.changes[f"dropped {character!r}"] for character in self.examples}
        return Counter({character: n for character, n in times.items() if n})

    def losses(self, shown: int = 5) -> list[str]:
        """Returns what was taken out of the texts so far, in sentences; those that part words first.

        Args:
            shown: Of each kind, so many characters at most.
        """
        lines = []
        for words_of, what in ((self.parted, "removing {} parts {}"), (self.edges, "{} is removed at the edge of {}")):
            for character, words in sorted(words_of.items(), key=lambda item: -item[1].total())[:shown]:
                named = ", ".join(repr(word) for word, _ in words.most_common(3))
                told = what.format(repr(character), counted(words.total(), "word"))
                lines.append(f"{told} ({named}): if it is a letter, train with model.text.letters={character!r}")
        if dropped := self.dropped:
            near = {c: " ".join(self.examples[c].split()) for c in dropped}
            each = (f"{c!r} {counted(n, 'time')} ('{near[c]}')" for c, n in dropped.most_common(shown))
            more = f" and {len(dropped) - shown} others" if len(dropped) > shown else ""
            lines.append(f"training leaves out {', '.join(each)}{more}")
        return lines


def has_word_spaces(texts: Iterable[str]) -> bool:
    """Whether the script of the texts separates words by spaces: not Chinese, Japanese, Thai, Lao, Khmer, Burmese."""
    letters = spaceless = 0
    for text in texts:
        letters += sum(map(str.isalpha, text))
        spaceless += len(_SPACELESS.findall(text))
    return spaceless <= letters / 2


def _name(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"
