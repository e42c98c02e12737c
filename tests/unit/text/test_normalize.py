from __future__ import annotations

import html
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
import regex as re
from hypothesis import example, given, settings, strategies as st
from wording import wording

from asr.text.normalize import TextConfig, TextNormalizer, has_word_spaces
from asr.text.orthography import lower, plain_letters
from asr.utils.errors import InputError
from asr.utils.unicode import graphemes

CLDR = Path("/usr/share/unicode/cldr/common/main")
NO_BREAK, SOFT_HYPHEN, ZWNJ, ZWJ = "\u00a0", "\u00ad", "\u200c", "\u200d"

# Letters that change length with their case, marks, joiners, word marks, emoji: where two rules can meet.
TRICKY = '·:‑‘´՞״"/゛་˥\u200b\x92'
TRICKY += "aeɔσΣİßŉΐκ'’ʼ-.,!&=<क्שָが각 \n\u0301\u0307\u0338\u0345\u00ad\u200c\u200d\u3000👨❤\ufe0f1\u20e3"
CONFIGS = [
    TextConfig(),
    TextConfig(case="upper"),
    TextConfig(case="keep", punctuation="keep"),
    TextConfig(case="keep", words="none"),
    TextConfig(case="upper", words="none", replace={"&": " and ", "\u2019": "'"}),
    TextConfig(replace={"'": "\u2019", "-": ""}, letters="!:"),
    TextConfig(language="tr"),
    TextConfig(language="lt", case="upper"),
    TextConfig(language="lt"),
    TextConfig(version=1),
]


def normalize(text: str, **config: object) -> str:
    return TextNormalizer(TextConfig(**config))(text)  # type: ignore[arg-type]


@given(st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"])), max_size=12))
@settings(max_examples=300)
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
        ("don't DON\u2019T well-known", "don't don't well-known"),
        ("'quoted' - dogs' -- 'tis rock-'n'-roll", "quoted dogs tis rock n roll"),
        ("$5 + 3.50 (about)", "5 3.50 about"),
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
    ("text", "expected"),
    [
        ("intel\u00b7ligent, paral\u2027lel pa\u2022s", "intel·ligent paral·lel pa·s"),
        ("ka\u00b7 ohná·ka·. λέγει\u0387 τις", "ka· ohná·ka· λέγει τις"),
        ("Ինչո՞ւ, դու՞ ա՜յ", "ինչու դու այ"),
        ("o‘zbek l´eau don＇t d‛en c`est a՚b ג׳ב", "o'zbek l'eau don't d'en c'est a'b ג'ב"),
        ("oʻzbek cʼhoar ꞌa aꞌa", "oʻzbek cʼhoar ꞌa aꞌa"),  # letters of their own
        ("a‐b a‑b Paris–Berlin בית־ספר x－y 1990–1995", "a-b a-b paris-berlin בית-ספר x-y 1990-1995"),
        ("one—two one―two – three", "one two one two three"),
        ('צה"ל צה”ל רמב״ם "שלום"', "צה״ל צה״ל רמב״ם שלום"),
        ("EU:n S:t k:a 3:e said: :x http://a", "eu:n s:t k:a 3:e said x http a"),
        ("他说：好 a:b 他:好 ジョン・スミス", "他说 好 a:b 他 好 ジョン スミス"),
        ("ma˥˧ tə˞ ˗kpa ꞊le ꞉a ˉ ㄇㄚ˙", "ma˥˧ tə˞ ˗kpa ꞊le ꞉a ˉ ㄇㄚ˙"),
        ("^a b^ c¨d", "a b c d"),  # keys, not letters, unless `letters` says so
        ("3.14 1,000.5 10:30 3/4 1.000,- 5. x.y 2,a", "3.14 1,000.5 10:30 3/4 1.000 5 x y 2 a"),
        ("བོད་ཡིག་གི། ཨ༌མ", "བོད་ཡིག་གི ཨ་མ"),
        ("ကို၏ ၎င်း၊", "ကို၏ ၎င်း"),
        ("क॰ख डॉ॰", "क॰ख डॉ"),
        ("か゛ ハ゜ あ゛", "が パ あ\u3099"),
        ("don\x92t \x93so\x94 a\x96b a\x97b", "don't so a-b a b"),
        ("ﬁnd ﻻ \ufee3\ufeae\ufea3\ufe92\ufe8e ﱞ", "find لا مرحبا \u064c\u0651"),
        ("ນໍາ ນໍ້າ ทํา นํ้า", "ນຳ ນ້ຳ ทำ น้ำ"),
        ("a\u034fb", "ab"),
        ("ខ្ញុំ\u200bស្រលាញ់ a\u200bb", "ខ្ញុំ ស្រលាញ់ ab"),
    ],
)
def test_what_belongs_to_words_stays(text: str, expected: str) -> None:
    assert normalize(text) == expected


def test_letters_that_are_punctuation_elsewhere() -> None:
    assert normalize("!Kung ba?a, =na ha:", letters="!?=:") == "!kung ba?a =na ha:"
    with pytest.raises(InputError):
        TextConfig(letters="!a")


def test_marks_that_are_letters_are_letters_at_the_edges_of_words_too() -> None:
    assert normalize("tog‘ tog’lar 'ayóó", letters="'") == "tog' tog'lar 'ayóó"
    assert normalize("tog‘ tog'lar", letters="’") == "tog’ tog’lar"
    assert normalize("ka· a‧b", letters="·") == "ka· a·b"


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("tog‘ va 'ayóó", {"‘": {"tog‘": 1}, "'": {"'ayóó": 1}}),
        ("!xo ?ana, so! ok? «oui» ... 5%", {"!": {"!xo": 1}, "?": {"?ana": 1}}),
        ("'quoted words', ‘so’", {}),
        ('said: a - b (c) "d"', {}),
    ],
)
def test_marks_at_the_edges_of_words_that_may_be_letters(text: str, edges: dict[str, dict[str, int]]) -> None:
    normalizer = TextNormalizer()
    normalizer(text)
    assert normalizer.edges == edges
    assert len(normalizer.losses()) == len(edges) + 1


@pytest.mark.parametrize(
    ("language", "text", "low", "high"),
    [
        ("tr", "İstanbul IŞIK", "istanbul ışık", "İSTANBUL IŞIK"),
        ("az-Latn-AZ", "İI iı", "iı iı", "İI İI"),
        ("crh", "I\u0307I", "iı", "İI"),
        ("lt", "Ì J\u0301 I\u0328\u0303", "i\u0307\u0300 j\u0307\u0301 į\u0307\u0303", "Ì J\u0301 Į\u0303"),
        ("lt", "i\u0307\u0300", "i\u0307\u0300", "Ì"),
        ("en", "IŞIK ΟΔΟΣ", "işik οδος", "IŞIK ΟΔΟΣ"),
        ("", "İ", "i\u0307", "İ"),
    ],
)
def test_case_follows_the_language(language: str, text: str, low: str, high: str) -> None:
    assert normalize(text, language=language) == unicodedata.normalize("NFC", low)
    assert normalize(text, language=language, case="upper") == unicodedata.normalize("NFC", high)


def test_what_is_replaced_is_as_the_user_wants_it() -> None:
    assert normalize("a’b c´d e'f", replace={"'": "’"}) == "a’b c’d e’f"
    assert normalize("a’b c´d", replace={"’": ""}) == "ab c'd"
    assert normalize("a‐b c-d", replace={"-": " "}) == "a b c d"
    assert normalize("a’b", replace={"'": "\\"}, punctuation="remove", letters="\\") == "a\\b"


def test_marks_made_one_and_words_parted_are_counted() -> None:
    normalizer = TextNormalizer()
    for text in ("l’eau d’or, l´air", "and/or and/or", "Ինչո՞ւ co\u00adop", "你好，世界", "3.14 (x) e.g."):
        normalizer(text)
    changes = normalizer.changes
    assert [changes[f'wrote {c!r} as "\'"'] for c in "’´"] == [2, 1]
    assert changes["dropped '/'"] == 2
    assert normalizer.parted == {"/": {"and/or": 2}, ".": {"e.g.": 1}}
    assert normalizer.inside == {"՞": {"ինչո՞ւ": 1}, "\u00ad": {"co\u00adop": 1}}


def test_models_of_before_read_as_they_were_trained() -> None:
    first = TextNormalizer(TextConfig(version=1, language="tr"))
    assert first("İI don’t 3.14 EU:n ma˥") == "i̇i don’t 3 14 eu n ma"


SCRIPTS = re.findall(
    r"\w+",
    """
    Latin Greek Cyrillic Armenian Hebrew Arabic Syriac Thaana Nko Devanagari Bengali Gurmukhi Gujarati Oriya Tamil
    Telugu Kannada Malayalam Sinhala Thai Lao Tibetan Myanmar Georgian Hangul Ethiopic Cherokee
    Canadian_Aboriginal Khmer Mongolian Hiragana Katakana Bopomofo Han Yi Javanese Balinese Cham Tifinagh Vai
    Bamum Lisu Adlam Osage Chakma Meetei_Mayek Ol_Chiki Coptic Miao
    """,
)


@pytest.mark.parametrize("case", ["keep", "lower", "upper"])
def test_every_letter_mark_and_number_of_many_scripts_stays(case: Literal["keep", "lower", "upper"]) -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x20000)]))
    cased = {"keep": str, "lower": str.lower, "upper": str.upper}[case]
    for script in SCRIPTS:
        members = re.findall(rf"[\p{{Script={script}}}&&[\p{{L}}\p{{M}}\p{{N}}]]", everything, re.V1)
        assert len(members) > 40, script
        normalizer = TextNormalizer(TextConfig(case=case))
        text = "".join(f"a{character}a " for character in members)
        expected = cased(plain_letters(unicodedata.normalize("NFC", text))).strip()
        assert normalizer(text) == unicodedata.normalize("NFC", expected)
        assert not any("dropped" in change for change in normalizer.changes if normalizer.changes[change])


# Characters that are no part of words, whatever CLDR lists among a language's exemplars.
NO_PART_OF_WORDS = {
    **dict.fromkeys("\u1360\u1361\u1362\u1363\u1364\u1365\u1366\u1367\u1368", "Ethiopic punctuation"),
    **dict.fromkeys("\u09f2\u09f3", "signs of currencies"),
    **dict.fromkeys("\u200b\u200e\u200f\u0600\u0601\u0602\u0603", "invisible, or numbers' and footnotes' signs"),
}


def exemplars() -> dict[str, list[str]]:
    """CLDR's main and auxiliary characters by language; none where it is not installed."""
    element = re.compile(r'<exemplarCharacters(?: type="auxiliary")?(?: draft="\w+")?>(\[.*?\])</exemplarCharacters>')
    characters: dict[str, list[str]] = {}
    for path in sorted(CLDR.glob("*.xml")):
        for found in element.findall(path.read_text(encoding="utf-8")):
            characters.setdefault(path.stem, []).extend(unicode_set(html.unescape(found)))
    return {language: several for language, several in characters.items() if several}


def unicode_set(text: str) -> list[str]:
    """The members of a UnicodeSet such as [a-z {ch} \\u0301] (UTS 35, part 1, "Unicode Sets")."""
    items = re.findall(r"\{[^}]*\}|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}|\\.|[^\s]", text[1:-1])
    plain = ["".join(map(_unescaped, re.findall(r"\\u....|\\U.{8}|\\.|.", each.strip("{}")))) for each in items]
    members: list[str] = []
    at = 0
    while at < len(plain):
        if items[at] == "-" and members and at + 1 < len(plain):
            members += map(chr, range(ord(members[-1]) + 1, ord(plain[at + 1]) + 1))
            at += 1
        else:
            members.append(plain[at])
        at += 1
    return members


def _unescaped(piece: str) -> str:
    if piece[:2] in ("\\u", "\\U"):
        return chr(int(piece[2:], 16))
    return piece.removeprefix("\\")


@pytest.mark.skipif(not CLDR.is_dir(), reason="no CLDR here (Debian: unicode-cldr-core)")
def test_every_letter_of_every_language_of_cldr_stays_within_words() -> None:
    languages = exemplars()
    assert len(languages) > 150
    lost, used, seen = [], set(), set()
    for tag, characters in languages.items():
        language = tag.partition("_")[0]
        normalizer = TextNormalizer(TextConfig(language=language))
        letter = next(c for c in characters if c[0].isalpha())
        own_case = language if lower("Iİ", language) != lower("Iİ") or language == "lt" else ""
        for character in characters:
            if (character, own_case) in seen:
                continue
            seen.add((character, own_case))
            if character in NO_PART_OF_WORDS:
                used.add(character)
                continue
            cased = lower(unicodedata.normalize("NFC", letter + character + letter), language)
            if normalizer(letter + character + letter) != unicodedata.normalize("NFC", cased):
                lost.append((tag, character))
    assert not lost
    assert used == set(NO_PART_OF_WORDS)


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
