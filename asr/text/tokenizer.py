"""Text <-> token ids: characters, SentencePiece pieces, words, phones. Token 0 is the CTC blank, then the units.

tokens.txt holds a token a line, its number being the line's (from 0), `<blank>` first. Characters have `<space>` for
the space between words; pieces that begin a word, and words, begin with "\u2581", as SentencePiece has it.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asr.text.lexicon import Lexicon, read_lexicon, write_lexicon
from asr.utils.config import Config, require, setting
from asr.utils.errors import InputError
from asr.utils.files import atomic_path, read_text, write_text
from asr.utils.unicode import graphemes

BLANK = "<blank>"
SPACE = "<space>"
WORD_MARK = "\u2581"  # SentencePiece's, of a piece that begins a word
BLANK_ID = 0
Kind = Literal["characters", "bpe", "unigram", "words", "phones"]
SIZED = ("bpe", "unigram", "words")  # those that `size` is for
PIECES = 500  # of bpe and unigram, where no size is asked for
_MOST_BYTES = 16 << 20  # of a tokenizer's file


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Config):
    """What a model's units are."""

    # characters | bpe | unigram (SentencePiece, trained on the training texts) | words | phones
    kind: Kind = "characters"
    size: int = setting(
        0, "[0, 1000000]"
    )  # tokens, blank included; 0: 500 of bpe and unigram, every word of the training texts
    lexicon: str = ""  # phones: a file of pronunciations; words it lacks are guessed from it
    language: str = ""  # phones: words the file lacks are looked up (en) or made by eSpeak NG (fr, sw, ...)
    stress: bool = False  # phones: whether vowels carry their stress
    # phones of a word that has several pronunciations: its first, or, at each step, the one that the model hears best
    pronunciations: Literal["first", "choose"] = "first"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.size != 1, "size 1 has no token beside the blank")


class Tokenizer:
    """Text <-> token ids. What each kind does is in the classes below.

    Args:
        tokens: All tokens in the order of their ids, `<blank>` first.
    """

    kind: Kind
    unit = "characters"  # what `encode_known` reports where it is unknown

    def __init__(self, tokens: Sequence[str]) -> None:
        if not tokens or tokens[0] != BLANK:
            raise InputError(f"the first token is not {BLANK}")
        for token, n in Counter(tokens).items():
            if n > 1:
                raise InputError(f"token {token!r} stands there {n} times")
        if len(tokens) < 2 or "" in tokens:
            raise InputError("there is no token beside the blank, or an empty one")
        self.tokens = list(tokens)
        self._ids = {token: i for i, token in enumerate(tokens) if i}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Token ids of a normalised text.

        Raises:
            InputError: It has characters (words, where these are the units) that the tokenizer does not know
                (`encode_known` leaves them out).
        """
        ids, unknown = self.encode_known(text)
        if unknown:
            named = ", ".join(f"{c!r}" for c in dict.fromkeys(unknown))
            raise InputError(f"text {text!r} has {self.unit} never seen in training: {named}")
        return ids

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        """Token ids of what is known of a text, and what is not: characters, or words."""
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; blanks are left out."""
        return "".join(self.tokens[i] for i in ids if i != BLANK_ID).replace(WORD_MARK, " ").strip()

    def save(self, path: str | Path) -> None:
        """Writes tokens.txt."""
        write_text(path, "".join(f"{token}\n" for token in self.tokens))


class CharTokenizer(Tokenizer):
    """Perceived characters (grapheme clusters) as tokens."""

    kind = "characters"

    def __init__(self, tokens: Sequence[str]) -> None:
        super().__init__(tokens)
        self._ids = {" " if token == SPACE else token: i for token, i in self._ids.items()}

    @classmethod
    def train(cls, texts: Iterable[str]) -> CharTokenizer:
        """The tokens of normalised texts, sorted."""
        found = {character for text in texts for character in graphemes(text)}
        if not found:
            raise InputError("the training transcripts have no characters", remedy="check the text normalisation")
        return cls([BLANK, *(SPACE if c == " " else c for c in sorted(found))])

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        return _known(graphemes(text), self._ids)

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(" " if self.tokens[i] == SPACE else self.tokens[i] for i in ids if i != BLANK_ID)

    @classmethod
    def load(cls, path: str | Path) -> CharTokenizer:
        """Reads tokens.txt."""
        return cls(_read_tokens(path))


class PieceTokenizer(Tokenizer):
    """Pieces of words, by SentencePiece: byte-pair encoding (Sennrich et al. 2016) or a unigram model (Kudo 2018).

    Pieces that begin a word begin with "\u2581"; in texts without spaces none does.

    Args:
        model: SentencePiece's own file, as bytes; its piece 0 (`<unk>`) is the blank's place.
        kind: bpe | unigram.
    """

    def __init__(self, model: bytes, kind: Kind) -> None:
        from sentencepiece import SentencePieceProcessor

        try:
            self._processor = SentencePieceProcessor(model_proto=model)
        except RuntimeError as e:
            raise InputError("is not a SentencePiece model, or damaged") from e
        if not len(self._processor) or self._processor.unk_id() != BLANK_ID:
            raise InputError("was not made by `asr train`: its first piece is not <unk>")
        super().__init__([BLANK, *map(self._processor.id_to_piece, range(1, len(self._processor)))])
        self.kind, self.model = kind, model
        self._characters = set("".join(self.tokens[1:])) - {WORD_MARK} | {" "}

    @classmethod
    def train(cls, texts: Iterable[str], kind: Kind, size: int = 0, *, spaces: bool = True) -> PieceTokenizer:
        """Pieces that spell normalised texts.

        Args:
            size: Tokens, blank included; 0: 500.
            spaces: Whether words are separated by spaces.

        Raises:
            InputError: The texts do not have so many pieces, or more characters than that; the bound is named.
        """
        from sentencepiece import SentencePieceTrainer

        texts = [text.replace(WORD_MARK, "") for text in texts]
        if not any(texts):
            raise InputError("the training transcripts have no characters", remedy="check the text normalisation")
        size = size or PIECES
        made = io.BytesIO()
        try:
            SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=made,
                model_type=kind,
                vocab_size=size,
                character_coverage=1.0,
                normalization_rule_name="identity",  # they are normalised
                add_dummy_prefix=spaces,
                max_sentence_length=1 << 20,
                unk_id=BLANK_ID,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=1,  # sums of unigram probabilities are then the same everywhere
                minloglevel=2,
            )
        except RuntimeError as e:
            raise _wrong_size(str(e), size, kind) from e
        return cls(made.getvalue(), kind)

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        unknown = [c for c in graphemes(text) if not self._characters.issuperset(c)]
        if unknown:
            text = "".join(c for c in graphemes(text) if self._characters.issuperset(c))
        return list(self._processor.encode(" ".join(text.split()))), unknown

    def save(self, path: str | Path) -> None:
        """Writes tokens.txt, and tokenizer.model beside it."""
        super().save(path)
        with atomic_path(_model_path(path)) as temporary:
            temporary.write_bytes(self.model)

    @classmethod
    def load(cls, path: str | Path, kind: Kind) -> PieceTokenizer:
        """Reads tokenizer.model beside tokens.txt, which has to have the same tokens."""
        tokens = _read_tokens(path)
        model = _model_path(path)
        try:
            size = model.stat().st_size
            data = model.read_bytes() if size <= _MOST_BYTES else b""
        except OSError as e:
            raise InputError(f"cannot be read ({e.strerror or e})", where=model, remedy="copy the whole folder") from e
        if not data:
            raise InputError("is empty" if not size else f"of {size:,} bytes is too large", where=model)
        try:
            tokenizer = cls(data, kind)
        except InputError as e:
            raise InputError(str(e), where=model) from e
        if tokenizer.tokens != tokens:
            raise InputError("has other pieces than tokens.txt beside it", where=model, remedy="copy the model again")
        return tokenizer


class WordTokenizer(Tokenizer):
    """Whole words, each written with "\u2581" before it."""

    kind = "words"
    unit = "words"

    @classmethod
    def train(cls, texts: Iterable[str], size: int = 0) -> WordTokenizer:
        """The words of normalised texts, sorted: the most frequent, where there are more than `size` - 1."""
        counts = Counter(word for text in texts for word in text.split())
        if not counts:
            raise InputError("the training transcripts have no words", remedy="check the text normalisation")
        if size > len(counts) + 1:
            raise InputError(
                f"size {size} is more than the {len(counts)} words of the training texts and the blank",
                where="tokenizer",
                remedy=f"size={len(counts) + 1}, or 0 for all words",
            )
        most = sorted(counts, key=lambda word: (-counts[word], word))[: size - 1 if size else None]
        return cls([BLANK, *(WORD_MARK + word for word in sorted(most))])

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        ids, unknown = _known([WORD_MARK + word for word in text.split()], self._ids)
        return ids, [word.removeprefix(WORD_MARK) for word in unknown]

    @classmethod
    def load(cls, path: str | Path) -> WordTokenizer:
        """Reads tokens.txt."""
        return cls(_read_tokens(path))


class PhoneTokenizer(Tokenizer):
    """Phones (or other units) of words, as a lexicon has them; a word is unknown where it or one of its units is.

    Texts come back by beam search with a lexicon; `decode` gives the phones themselves, with a space between them.

    Args:
        tokens: The blank and the units.
        lexicon: Pronunciations of words; the first of a word is what `encode` takes.
    """

    kind = "phones"
    unit = "words"

    def __init__(self, tokens: Sequence[str], lexicon: Lexicon) -> None:
        super().__init__(tokens)
        self.lexicon = lexicon
        for token in tokens[1:]:
            if token in (SPACE, BLANK) or token.startswith(WORD_MARK):
                raise InputError(f"{token!r} cannot be a phone's name")
        self._said: dict[str, list[list[int]]] = {}
        self.also_knows(lexicon)

    @classmethod
    def train(cls, texts: Iterable[str], lexicon: Lexicon) -> PhoneTokenizer:
        """The units of the words of normalised texts."""
        words = {word for text in texts for word in text.split()}
        units = {unit for word, said in lexicon.pronunciations if word in words for unit in said}
        if not units:
            raise InputError(
                f"has none of the {len(words)} words of the training texts",
                where="lexicon",
                remedy="is it in another case? Words are compared as model.text writes them",
            )
        return cls([BLANK, *sorted(units)], lexicon)

    def also_knows(self, lexicon: Lexicon) -> None:
        """Pronunciations of further words, to score texts that have them; they are not saved, nor can they be heard."""
        further: dict[str, list[list[int]]] = {}
        for word, units in lexicon.pronunciations:
            if word not in self._said and all(unit in self._ids for unit in units):
                further.setdefault(word, []).append([self._ids[unit] for unit in units])
        self._said |= further

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        choices, unknown = self.choices(text)
        return [unit for several in choices for unit in several[0]], unknown

    def choices(self, text: str) -> tuple[list[list[list[int]]], list[str]]:
        """The pronunciations of each known word of a text, in order, and the unknown words."""
        words = text.split()
        return [self._said[w] for w in words if w in self._said], [w for w in words if w not in self._said]

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.tokens[i] for i in ids if i != BLANK_ID)

    def save(self, path: str | Path) -> None:
        """Writes tokens.txt, and pronunciations.txt beside it."""
        super().save(path)
        write_lexicon(self.lexicon, Path(path).with_name("pronunciations.txt"))

    @classmethod
    def load(cls, path: str | Path) -> PhoneTokenizer:
        """Reads tokens.txt, and pronunciations.txt beside it."""
        return cls(_read_tokens(path), read_lexicon(Path(path).with_name("pronunciations.txt")))


def train_tokenizer(config: TokenizerConfig, texts: Sequence[str], *, spaces: bool = True) -> Tokenizer:
    """The tokenizer of normalised training texts; `spaces`: whether these separate words.

    Raises:
        InputError: The texts do not have what it needs, or there is no lexicon for phones.
    """
    if config.kind in ("words", "phones") and not spaces:
        raise InputError(
            f"tokenizer.kind={config.kind} needs words, and the texts have no spaces between them",
            remedy="characters, bpe or unigram; or put spaces into the texts and set model.text.words=spaces",
        )
    if config.kind in ("bpe", "unigram"):
        return PieceTokenizer.train(texts, config.kind, config.size, spaces=spaces)
    if config.kind == "words":
        return WordTokenizer.train(texts, config.size)
    if config.kind == "phones":
        return PhoneTokenizer.train(texts, training_lexicon(config, texts))
    return CharTokenizer.train(texts)


def training_lexicon(config: TokenizerConfig, texts: Sequence[str]) -> Lexicon:
    """The configuration's file of pronunciations, and those of the words of the texts that it lacks."""
    from asr.text.pronunciations import pronounce

    if not (config.lexicon or config.language):
        raise InputError(
            "phones need pronunciations",
            where="tokenizer",
            remedy="name a file (lexicon: FILE), a language (language: en), or both",
        )
    counts = Counter(word for text in texts for word in text.split())
    words = sorted(counts, key=lambda word: (-counts[word], word))
    listed = read_lexicon(config.lexicon).words if config.lexicon else []  # all of them can be heard
    own = config.lexicon or None
    return pronounce([*words, *listed], language=config.language, lexicon=own, stress=config.stress).lexicon


def load_tokenizer(kind: Kind, path: str | Path) -> Tokenizer:
    """Reads a tokenizer that was saved as `path` (tokens.txt)."""
    if kind in ("bpe", "unigram"):
        return PieceTokenizer.load(path, kind)
    if kind == "words":
        return WordTokenizer.load(path)
    if kind == "phones":
        return PhoneTokenizer.load(path)
    return CharTokenizer.load(path)


def _known(units: Sequence[str], ids: dict[str, int]) -> tuple[list[int], list[str]]:
    return [ids[unit] for unit in units if unit in ids], [unit for unit in units if unit not in ids]


def _read_tokens(path: str | Path) -> list[str]:
    """The tokens of a file, looked at."""
    tokens = read_text(path, limit=_MOST_BYTES).removesuffix("\n").split("\n")
    try:
        Tokenizer(tokens)
    except InputError as e:
        raise InputError(str(e), where=path) from e
    for number, token in enumerate(tokens, 1):
        if any(unicodedata.category(character) == "Cc" for character in token) and len(token) > 1:
            # A character of its own may have been in a training text; terminals would obey a sequence of them.
            raise InputError(f"token {token!r} has control characters", where=f"{path}, line {number}")
    return tokens


def _model_path(path: str | Path) -> Path:
    """tokenizer.model beside tokens.txt."""
    path = Path(path)
    return path.with_name(path.stem.replace("tokens", "tokenizer") + ".model")


def _wrong_size(reason: str, size: int, kind: str) -> InputError:
    """SentencePiece's complaint in plain words."""
    where: dict[str, Any] = {"where": f"tokenizer {kind}"}
    if most := re.search(r"value <= (\d+)", reason):
        return InputError(
            f"the training texts do not give {size} pieces", **where, remedy=f"size={most[1]} at most, or characters"
        )
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", reason):
        return InputError(
            f"the training texts have more characters than a size of {size}",
            **where,
            remedy=f"size={least[1]} at least",
        )
    return InputError(f"cannot be trained on the training texts ({' '.join(reason.split())})", **where)
