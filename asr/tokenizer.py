"""Text <-> token ids. Token 0 is the CTC blank, then the units.

tokens.txt holds a token a line, its number being the line's (from 0): `<blank>`, then perceived characters, with
`<space>` for the space between words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from asr.errors import InputError
from asr.files import read_text, write_text
from asr.text import graphemes

BLANK = "<blank>"
SPACE = "<space>"
BLANK_ID = 0


class CharTokenizer:
    """Perceived characters (grapheme clusters) as tokens.

    Args:
        tokens: All tokens in the order of their ids, `<blank>` first.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        if not tokens or tokens[0] != BLANK:
            raise InputError(f"the first token is not {BLANK}", where="tokens")
        for token, n in Counter(tokens).items():
            if n > 1:
                raise InputError(f"token {token!r} stands there {n} times", where="tokens")
        if len(tokens) < 2 or "" in tokens:
            raise InputError("there is no token beside the blank, or an empty one", where="tokens")
        self.tokens = list(tokens)
        self._ids = {" " if token == SPACE else token: i for i, token in enumerate(tokens) if i}

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def train(cls, texts: Iterable[str]) -> CharTokenizer:
        """The tokens of normalised texts, sorted."""
        found = {character for text in texts for character in graphemes(text)}
        if not found:
            raise InputError("the training transcripts have no characters", remedy="check the text normalisation")
        return cls([BLANK, *(SPACE if c == " " else c for c in sorted(found))])

    def encode(self, text: str) -> list[int]:
        """Token ids of a normalised text.

        Raises:
            InputError: It has characters that the tokenizer does not know (`encode_known` leaves them out).
        """
        ids, unknown = self.encode_known(text)
        if unknown:
            named = ", ".join(f"{c!r}" for c in dict.fromkeys(unknown))
            raise InputError(f"text {text!r} has characters never seen in training: {named}")
        return ids

    def encode_known(self, text: str) -> tuple[list[int], list[str]]:
        """Token ids of the known characters, and the unknown characters."""
        ids, unknown = [], []
        for character in graphemes(text):
            token = self._ids.get(character)
            if token is None:
                unknown.append(character)
            else:
                ids.append(token)
        return ids, unknown

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; blanks are left out."""
        return "".join(" " if self.tokens[i] == SPACE else self.tokens[i] for i in ids if i != BLANK_ID)

    def save(self, path: str | Path) -> None:
        write_text(path, "".join(f"{token}\n" for token in self.tokens))

    @classmethod
    def load(cls, path: str | Path) -> CharTokenizer:
        text = read_text(path, limit=16 << 20)
        try:
            return cls(text.removesuffix("\n").split("\n"))
        except InputError as e:
            raise InputError(str(e), where=path) from e
