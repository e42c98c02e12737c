from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from wording import wording

from asr.text.lexicon import Lexicon
from asr.text.tokenizer import (
    BLANK,
    BLANK_ID,
    SPACE,
    WORD_MARK,
    CharTokenizer,
    PhoneTokenizer,
    Tokenizer,
    TokenizerConfig,
    load_tokenizer,
    train_tokenizer,
)
from asr.utils.errors import InputError
from asr.utils.unicode import graphemes

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
    assert wording("never-seen-in-training-x") in str(error.value)
    ids, unknown = tokenizer.encode_known("xaɔ\u0301x b")
    assert tokenizer.decode(ids) == "a b"
    assert unknown == ["x", "ɔ\u0301", "x"]


def test_no_characters_to_learn() -> None:
    for texts in ([], ["", ""]):
        with pytest.raises(InputError, match=wording("no-characters")):
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
        (b"a\nb\n", wording("first-token-is-not-blank")),
        (b"", wording("first-token-is-not-blank")),
        (b"<blank>\n", wording("no-token-beside-the-blank")),
        (b"<blank>\na\nb\na\n", wording("a-stands-there-2-times")),
        (b"<blank>\na\n<blank>\n", wording("blank-stands-there-2-times")),
        (b"<blank>\na\n\nb\n", "empty"),
        (b"<blank>\na\n\n", "empty"),
        (b"<blank>\n\xe9\n", wording("line-2-is-not-utf")),
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


# Pieces, words, phones

SPOKEN = ["die katze sitzt auf dem dach", "das dach ist nass", "die katze ist nass", "auf dem dach sitzt die katze"]


@pytest.mark.parametrize(("kind", "size"), [("bpe", 30), ("unigram", 21)])
def test_pieces_spell_every_text(kind: str, size: int, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TokenizerConfig(kind=kind, size=size), SPOKEN)
    assert len(tokenizer) == size
    assert tokenizer.tokens[0] == BLANK
    assert any(len(token) > 1 and token.startswith(WORD_MARK) for token in tokenizer.tokens)  # more than characters
    new = "das dachs zieht"
    for text in [*SPOKEN, "", "nassau"]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert BLANK_ID not in tokenizer.encode(text)
    ids, unknown = tokenizer.encode_known(new + " über\u2581x")  # x, b and r were seen nowhere
    assert unknown == ["ü", "b", "r", "\u2581", "x"]
    assert tokenizer.decode(ids) == "das dachs zieht e"
    with pytest.raises(InputError, match=wording("characters-never-seen-in-training")):
        tokenizer.encode("ü")
    tokenizer.save(tmp_path / "tokens.txt")
    loaded = load_tokenizer(kind, tmp_path / "tokens.txt")
    assert loaded.tokens == tokenizer.tokens
    assert loaded.encode(SPOKEN[0]) == tokenizer.encode(SPOKEN[0])


def test_pieces_of_texts_without_spaces() -> None:
    texts = ["今日は天気がいい", "天気は今日もいい", "明日は天気が悪い"]
    tokenizer = train_tokenizer(TokenizerConfig(kind="bpe", size=18), texts, spaces=False)
    assert not any(WORD_MARK in token for token in tokenizer.tokens)
    assert "天気" in tokenizer.tokens
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sizes_that_the_texts_do_not_allow(kind: str) -> None:
    def train(size: int) -> Tokenizer:
        return train_tokenizer(TokenizerConfig(kind=kind, size=size), SPOKEN)

    with pytest.raises(InputError, match=wording("do-not-give-5000-pieces")) as error:
        train(5000)
    most = int(re.search(r"size=(\d+) at most", str(error.value))[1])
    assert len(train(most)) == most
    with pytest.raises(InputError, match=wording("more-characters-than-a-size")) as error:
        train(5)
    least = int(re.search(r"size=(\d+) at least", str(error.value))[1])
    assert len(train(least)) == least
    with pytest.raises(InputError, match=wording("do-not-give")):
        train(most + 1)
    with pytest.raises(InputError, match=wording("more-characters")):
        train(least - 1)


def test_damaged_piece_models(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    train_tokenizer(TokenizerConfig(kind="bpe", size=30), SPOKEN).save(path)
    model = tmp_path / "tokenizer.model"
    data = model.read_bytes()
    for broken in (b"", b"garbage" * 50, data[: len(data) // 2]):
        model.write_bytes(broken)
        with pytest.raises(InputError, match=re.escape(str(model))):
            load_tokenizer("bpe", path)
    model.write_bytes(data)
    path.write_text(path.read_text().replace("dach", "bach"))
    with pytest.raises(InputError, match=wording("has-other-pieces-than")):
        load_tokenizer("bpe", path)
    model.unlink()
    with pytest.raises(InputError, match=wording("tokenizer-model-cannot-be-read")):
        load_tokenizer("bpe", path)


def test_words(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TokenizerConfig(kind="words"), SPOKEN)
    assert tokenizer.tokens[1:] == [WORD_MARK + w for w in sorted({w for text in SPOKEN for w in text.split()})]
    for text in SPOKEN:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode_known("die kuh ist nass")[1] == ["kuh"]
    with pytest.raises(InputError, match=wording("words-never-seen-in-training")):
        tokenizer.encode("die kuh")
    tokenizer.save(tmp_path / "tokens.txt")
    assert load_tokenizer("words", tmp_path / "tokens.txt").tokens == tokenizer.tokens
    few = train_tokenizer(TokenizerConfig(kind="words", size=4), SPOKEN)  # the most frequent: dach, die, katze
    assert few.tokens == [BLANK, *(WORD_MARK + w for w in ("dach", "die", "katze"))]
    with pytest.raises(InputError, match=wording("size-10-or-0")):
        train_tokenizer(TokenizerConfig(kind="words", size=12), SPOKEN)


def test_phones(tmp_path: Path) -> None:
    lexicon = Lexicon(
        (
            ("tomato", ("T", "AH", "M", "EY", "T", "OW")),
            ("tomato", ("T", "AH", "M", "AA", "T", "OW")),
            ("eight", ("EY", "T")),
            ("zoo", ("Z", "UW")),
        )
    )
    tokenizer = PhoneTokenizer.train(["tomato eight", "eight"], lexicon)
    assert tokenizer.tokens == [BLANK, "AA", "AH", "EY", "M", "OW", "T"]  # nobody says zoo in training
    ids, unknown = tokenizer.encode_known("eight tomato zoo ate")
    assert tokenizer.decode(ids) == "EY T T AH M EY T OW"
    assert unknown == ["zoo", "ate"]
    choices, _ = tokenizer.choices("eight tomato")
    assert [[tokenizer.decode(each) for each in several] for several in choices] == [
        ["EY T"],
        ["T AH M EY T OW", "T AH M AA T OW"],
    ]
    tokenizer.save(tmp_path / "tokens.txt")
    loaded = load_tokenizer("phones", tmp_path / "tokens.txt")
    assert loaded.tokens == tokenizer.tokens
    assert loaded.choices("eight tomato zoo") == tokenizer.choices("eight tomato zoo")


def test_phones_of_a_file_and_of_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("ni\tn i\nna\tn a\nmi\tm i\nma\tm a\nsi\ts i\nsa\ts a\n" * 1)
    tokenizer = train_tokenizer(TokenizerConfig(kind="phones", lexicon=str(path)), ["ni sa", "nami"])
    assert tokenizer.decode(tokenizer.encode("ni nami")) == "n i n a m i"  # the second is guessed
    assert tokenizer.lexicon.sources["nami"] == "guess"
    assert "ma" in tokenizer.lexicon.words  # all of the file can be heard
    with pytest.raises(InputError, match=wording("phones-need-pronunciations")):
        train_tokenizer(TokenizerConfig(kind="phones"), ["ni"])
    path.write_text("NI\tn i\n")
    with pytest.raises(InputError, match=wording("no-such-file")):
        train_tokenizer(TokenizerConfig(kind="phones", lexicon=str(tmp_path / "none")), ["ni"])


def test_what_words_need() -> None:
    for kind in ("words", "phones"):
        with pytest.raises(InputError, match=wording("have-no-spaces-between-them")):
            train_tokenizer(TokenizerConfig(kind=kind), ["今日は"], spaces=False)
    for config in ({"kind": "bpe"}, {"kind": "words"}):
        with pytest.raises(InputError, match=wording("have-no")):
            train_tokenizer(TokenizerConfig(**config), ["", ""])


def test_tokens_that_a_terminal_would_obey(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("<blank>\na\n\x1b[31m\n")
    with pytest.raises(InputError, match=wording("tokens-txt-line-3-token")):
        load_tokenizer("characters", tmp_path / "tokens.txt")
