from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from asr.errors import InputError
from asr.text import graphemes
from asr.tokenizer import BLANK, SPACE, CharTokenizer

TEXTS = {
    "english": "don't stop well-known",
    "mboshi": "wa ámibúngá mɔ́tɔ̌ ɛ́",
    "hebrew": "שָׁלוֹם עוֹלָם",
    "hindi": "नमस्ते क्षत्रिय",
    "japanese": "きょうはがっこう",
}


@pytest.mark.parametrize("language", TEXTS)
def test_round_trip(language: str) -> None:
    text = TEXTS[language]
    tokenizer = CharTokenizer.train([text])
    ids = tokenizer.encode(text)
    assert len(ids) == len(graphemes(text))
    assert 0 not in ids
    assert tokenizer.decode(ids) == text
    assert len(tokenizer) == 1 + len(set(graphemes(text)))


def test_ids_are_the_sorted_characters_after_the_blank() -> None:
    tokenizer = CharTokenizer.train(["ba", "c a"])
    assert tokenizer.tokens == [BLANK, SPACE, "a", "b", "c"]
    assert tokenizer.encode("cab a") == [4, 2, 3, 1, 2]
    assert tokenizer.decode([0, 4, 0, 0, 2, 1, 3, 0]) == "ca b"
    assert tokenizer.encode("") == []
    # A letter with its tone is one token, and another one than the letter.
    assert CharTokenizer.train(["ɔ ɔ\u0301"]).tokens == [BLANK, SPACE, "ɔ", "ɔ\u0301"]


@given(st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=5))
def test_decode_inverts_encode(texts: list[str]) -> None:
    tokenizer = CharTokenizer.train(texts)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(sorted(set("".join(TEXTS.values())))))
def test_any_text_over_the_alphabet_comes_back_or_is_refused(text: str) -> None:
    tokenizer = CharTokenizer.train(TEXTS.values())
    known = set(tokenizer.tokens) - {SPACE} | {" "}
    ids, unknown = tokenizer.encode_known(text)
    assert unknown == [c for c in graphemes(text) if c not in known]
    assert tokenizer.decode(ids) == "".join(c for c in graphemes(text) if c in known)
    if not unknown:
        assert tokenizer.encode(text) == ids


def test_unseen_characters_are_named() -> None:
    tokenizer = CharTokenizer.train(["ab c"])
    with pytest.raises(InputError) as error:
        tokenizer.encode("xaɔ\u0301x")
    assert "never seen in training: 'x', 'ɔ\u0301'" in str(error.value)
    ids, unknown = tokenizer.encode_known("xaɔ\u0301x b")
    assert tokenizer.decode(ids) == "a b"
    assert unknown == ["x", "ɔ\u0301", "x"]


def test_no_characters_to_learn() -> None:
    for texts in ([], ["", ""]):
        with pytest.raises(InputError, match="no characters"):
            CharTokenizer.train(texts)


def test_saved_and_loaded(tmp_path: Path) -> None:
    odd = [
        "#",
        '"',
        "\\",
        "'",
        "<",
        "\u3000",
        "\u2028",
        "\u0085",
        "ש\u05b8\u05c1",
        "स\u094dत\u0947",
        "\U0001f1eb\U0001f1f7",
    ]
    tokenizer = CharTokenizer([BLANK, SPACE, *odd])
    path = tmp_path / "tokens.txt"
    tokenizer.save(path)
    assert path.read_bytes().decode().split("\n") == [*tokenizer.tokens, ""]
    loaded = CharTokenizer.load(path)
    assert loaded.tokens == tokenizer.tokens
    text = " ".join(odd)
    assert loaded.decode(loaded.encode(text)) == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\n", "first token is not <blank>"),
        (b"", "first token is not <blank>"),
        (b"<blank>\n", "no token beside the blank"),
        (b"<blank>\na\nb\na\n", "'a' stands there 2 times"),
        (b"<blank>\na\n<blank>\n", "'<blank>' stands there 2 times"),
        (b"<blank>\na\n\nb\n", "empty"),
        (b"<blank>\na\n\n", "empty"),
        (b"<blank>\n\xe9\n", "line 2 is not UTF-8"),
    ],
)
def test_broken_token_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tokens.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        CharTokenizer.load(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))


def test_the_texts_are_what_they_seem() -> None:
    """The editor that saves this file must not decompose the samples: the normaliser gives NFC."""
    assert all(unicodedata.is_normalized("NFC", text) for text in TEXTS.values())
