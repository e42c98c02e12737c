from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, strategies as st
from wording import wording

from asr.text.normalize import TextConfig, TextNormalizer, has_word_spaces
from asr.utils.errors import InputError
from asr.utils.unicode import graphemes

NO_BREAK, SOFT_HYPHEN, ZWNJ, ZWJ = "\u00a0", "\u00ad", "\u200c", "\u200d"

# Letters that change length with their case, marks, joiners, word marks, emoji: where two rules can meet.
TRICKY = "aeɔσΣİßŉΐκ'’ʼ-.,!&=<क्שָが각 \n\u0301\u0307\u0338\u0345\u00ad\u200c\u200d\u3000👨❤\ufe0f1\u20e3"
CONFIGS = [
    TextConfig(),
    TextConfig(case="upper"),
    TextConfig(case="keep", punctuation="keep"),
    TextConfig(case="keep", words="none"),
    TextConfig(case="upper", words="none", replace={"&": " and ", "\u2019": "'"}),
]


def normalize(text: str, **config: object) -> str:
    return TextNormalizer(TextConfig(**config))(text)  # type: ignore[arg-type]


@given(st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"])), max_size=12))
@example("e\u00ad\u0301")
@example("か \u3099")
@example("'ŉ")
@example("a.\u0301'b")
def test_normalising_twice_changes_nothing(text: str) -> None:
    for config in CONFIGS:
        once = TextNormalizer(config)(text)
        assert TextNormalizer(config)(once) == once, config
        assert unicodedata.is_normalized("NFC", once), config
        assert once == once.strip(), config
        assert "  " not in once, config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,  World!\n", "hello world"),
        ("don't DON\u2019T well-known", "don't don\u2019t well-known"),
        ("'quoted' - dogs' -- 'tis rock-'n'-roll", "quoted dogs tis rock n roll"),
        ("$5 + 3.50 (about)", "5 3 50 about"),
        ("¿Qué? «oui»… “ja”", "qué oui ja"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        (f"a{NO_BREAK}b\tc\u2028d\u000be\u0085f", "a b c d e f"),
        ("ΟΔΟΣ", "οδος"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_default_normal_form(text: str, expected: str) -> None:
    assert normalize(text) == expected


def test_case_and_punctuation_as_configured() -> None:
    assert normalize("Ab, c!", case="keep") == "Ab c"
    assert normalize("Ab, c!", case="upper") == "AB C"
    assert normalize("Straße", case="upper") == "STRASSE"
    assert normalize("Ab,  'c'!", punctuation="keep") == "ab, 'c'!"


def test_no_spaces_where_words_are_not_separated() -> None:
    assert normalize("今日は、 いい\u3000天気。", words="none") == "今日はいい天気"
    assert normalize("か \u3099", words="none") == "が"  # what comes together composes


def test_replacements_come_first_and_know_both_unicode_forms() -> None:
    assert normalize("R&B's", replace={"&": " and ", "'": "\u2019"}) == "r and b\u2019s"
    assert normalize("A a", replace={"A": "x"}) == "x a"
    for old in ("\u00e9", "e\u0301"):
        for text in ("\u00e9", "e\u0301"):
            assert normalize(text, replace={old: "e"}) == "e"
    with pytest.raises(InputError, match=wording("empty-text")):
        TextConfig(replace={"": "a"})


def test_control_and_format_characters_are_dropped() -> None:
    assert normalize("a\x00b\x1b\ufeffc\u200bd\u202e\ue000") == "abcd"
    assert normalize(f"co{SOFT_HYPHEN}op") == "coop"
    # A letter and its mark meet once what parted them is gone.
    assert normalize(f"e{SOFT_HYPHEN}\u0301", case="keep") == "\u00e9"


def test_joiners_are_kept_where_they_shape_letters() -> None:
    persian, devanagari = f"می{ZWNJ}خواهم", f"र{'्'}{ZWJ}य"
    assert normalize(persian) == persian
    assert normalize(devanagari) == devanagari
    assert normalize(f"می {ZWNJ}خواهم{ZWNJ}{ZWNJ}") == f"می خواهم{ZWNJ}"


def test_nothing_invisible_is_left_of_an_emoji() -> None:
    family = f"👨{ZWJ}👩{ZWJ}👧"
    assert normalize(f"i ❤\ufe0f you {family} 👍🏽") == "i you"
    assert normalize(f"i ❤\ufe0f {family}", punctuation="keep") == f"i ❤\ufe0f {family}"


def test_changes_are_counted() -> None:
    normalizer = TextNormalizer(TextConfig(replace={"&": " and "}))
    for text in ("a, b, c & d & g.", "E\u0301 & f", "ok", f"x{SOFT_HYPHEN}\x07y..."):
        normalizer(text)
    assert {what: n for what, n in normalizer.changes.items() if n} == {
        "replaced '&' by ' and '": 3,
        "composed (NFC)": 1,
        "dropped ','": 2,
        "dropped '.'": 4,
        "dropped U+00AD SOFT HYPHEN": 1,
        "dropped U+0007 control character": 1,
        "lower-cased": 1,
    }
    report = normalizer.report()
    assert report[0] == "dropped '.': 4"
    assert len(report) == 7
    untouched = TextNormalizer()
    untouched("as it is")
    assert untouched.report() == []


@pytest.mark.parametrize(
    "expected",
    [
        ["m", "ɔ\u0301", "t", "ɔ\u0301"],  # Mboshi: no composed form exists
        ["ש\u05b8\u05c1", "ל", "ו\u05b9", "ם"],  # Hebrew letters with their points
        ["न", "म", "स\u094dत\u0947"],  # Devanagari: a conjunct with its vowel sign
        ["क\u094dष", "त\u094dर\u093f", "य"],
        ["ท\u0e35\u0e48", "น\u0e35\u0e48"],  # Thai vowel and tone above
        ["か\u3099", "き"],
        ["한", "국", " ", "어"],
        [f"👨{ZWJ}👩{ZWJ}👧", "❤\ufe0f", "🇫🇷", "🇯🇵", "👍🏽"],
    ],
)
def test_perceived_characters(expected: list[str]) -> None:
    assert graphemes("".join(expected)) == expected


@given(st.text())
def test_graphemes_lose_nothing(text: str) -> None:
    assert "".join(graphemes(text)) == text


def test_kana_with_a_combining_mark_composes() -> None:
    assert normalize("か\u3099き は\u309a") == "がき ぱ"


@pytest.mark.parametrize(
    ("texts", "spaces"),
    [
        (["hello world"], True),
        (["नमस्ते दुनिया", "שלום עולם"], True),
        (["한국어는 띄어쓴다"], True),
        (["今日はいい天気"], False),
        (["Ｔシャツを買う"], False),
        (["你好"], False),
        (["สวัสดี", "ok"], False),
        (["ສະບາຍດີ"], False),
        (["សួស្តី"], False),
        (["မင်္ဂလာပါ"], False),
        (["the word 猫 means cat"], True),
        ([], True),
        (["12 34"], True),
    ],
)
def test_has_word_spaces(texts: list[str], spaces: bool) -> None:
    assert has_word_spaces(texts) is spaces
