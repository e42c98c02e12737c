from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from asr.text.lexicon import read_lexicon
from asr.utils.errors import InputError

Pairs = list[tuple[str, tuple[str, ...]]]


def read(folder: Path, content: str | bytes) -> list[tuple[str, str]]:
    path = folder / "dictionary.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(word, " ".join(units)) for word, units in read_lexicon(path).pronunciations]


ONE = [("one", "w ʌ n"), ("two", "t u")]
LETTERS = [("one", "o n e"), ("two", "t w o")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # MFA: numbers in columns of their own, whole or not, some of them or some lines' missing
        ("one w ʌ n\ntwo  t u\n", ONE),
        ("one\t0.99\tw ʌ n\ntwo\t1\tt u\n", ONE),
        ("one\t1\t0.0\t0.0\t0.0\tw ʌ n\ntwo\t0.99\t0.17\t1.0\t1.35\tt u\n", ONE),
        ("one\t1\t\t1.35\t\tw ʌ n\ntwo\tt u\n", ONE),
        ("one\t1\tw ʌ n\ntwo\t1\tt u\n", ONE),
        ("one 0.99 0.17 1 1.35 w ʌ n\ntwo 1 0.2 1 1 t u\n", ONE),
        # Kaldi
        ("one w_B ʌ_I n_E\ntwo t_B u_E\nI aɪ_S\n", [*ONE, ("I", "aɪ")]),
        ("one 1.0 w ʌ n\ntwo 0.5 t u\n", ONE),
        ("one 1.0\tw ʌ n\ntwo 0.5\tt u\n", ONE),
        ("one\t1.0 w ʌ n\ntwo\t.5 t u\n", ONE),
        ("one 1.0 0.2 1.0 0.9 w ʌ n\ntwo 0.5 0.1 1 1.01 t u\n", ONE),
        ("one 1.0 w ʌ n #1\nwon 1.0 w ʌ n #2\n", [("one", "w ʌ n"), ("won", "w ʌ n")]),
        ("<eps> SIL\n!SIL SIL\n<unk> SPN\none\tw ʌ n\ntwo\tt u\n[noise]\tt\n#0 #0\n", ONE),
        ("one\tw ʌ n\n[noise]\tspn\tuser\n", [ONE[0], ("[noise]", "spn")]),
        ("[SIL] sil\n{SL} sil\n(noise) n\n<v-noise> n\n*noise* n\n++NOISE++ n\n+BREATH+ n\none w ʌ n\n", [ONE[0]]),
        ("one 99% w ʌ n\ntwo 50% t u\n", ONE),
        ("one nan w ʌ n\ntwo 1.0 t u\n", ONE),
        ("云南\tyun nan\n南\tnan\n", [("云南", "yun nan"), ("南", "nan")]),
        ("one W AH1 N\nsil sil\n", [("one", "W AH1 N")]),
        ("sil s i l\n", [("sil", "s i l")]),  # Turkish
        ("ma m a 5\nyi i 1\n", [("ma", "m a 5"), ("yi", "i 1")]),  # tones
        ("ma 1.0 m a 5\nyi 0.5 i 1\n", [("ma", "m a 5"), ("yi", "i 1")]),
        ("deux d 2\noeuf 9 f\nheure 9 R\n", [("deux", "d 2"), ("oeuf", "9 f"), ("heure", "9 R")]),  # X-SAMPA
        ("one 5 3 2\ntwo 4 2\n", [("one", "5 3 2"), ("two", "4 2")]),  # all units are numbers
        ("five\t5\tuser\nsix\t6\tuser\n", [("five", "5"), ("six", "6")]),
        ("12\t1 2\n1\t1\n", [("12", "1 2"), ("1", "1")]),
        # CMUdict, Sphinx
        (
            ";;; # CMUdict\n## 1.0\nONE  W AH1 N\nONE(1)  HH W AH1 N\n",
            [("ONE", "W AH1 N"), ("ONE", "HH W AH1 N")],
        ),
        ("d'etre d ah # french, foreign\nace EY1 S # one, of cards\n", [("d'etre", "d ah"), ("ace", "EY1 S")]),
        ("#by M. Lee\none w ʌ n\ntwo t u\n#tu t u\n", [*ONE, ("#tu", "t u")]),
        (" # a remark\n one w ʌ n\n  ;;; another\n two t u\n", ONE),
        ("one w ʌ n #rare\ntwo t u ; a remark\nten\tt u\n".replace("\t", " "), [*ONE, ("ten", "t u")]),
        ("one\tw ʌ n\t# rare\ntwo\tt u\n", ONE),
        ("tea b # c\nbcd c # b\n", [("tea", "b # c"), ("bcd", "c # b")]),  # a unit like others
        ("one\tw ʌ n\none(2)\tw ɒ n\n", [ONE[0], ("one", "w ɒ n")]),
        ("one(2)\tw ɒ n\n", [("one", "w ɒ n")]),
        ("one w ʌ n\none (2) w ɒ n\n", [ONE[0], ("one", "w ɒ n")]),
        ("f(2)\tf ( 2 )\n", [("f(2)", "f ( 2 )")]),  # spelled: a word
        # HTK, Julius, SPPAS
        ("one [one] 0.3 w ʌ n\ntwo [two] t u\n</s> [] sil\n", ONE),
        ("<s>\t[]\tsilB\n言葉+コトバ+名詞\t@-0.5 [言葉]\tk o t o b a\n", [("言葉", "k o t o b a")]),
        ("0\t[りんご]\tr i N g o\n1\t[みかん]\tm i k a N\n", [("りんご", "r i N g o"), ("みかん", "m i k a N")]),
        ("one [one] { n\none(2) [one] w V n\n", [("one", "{ n"), ("one", "w V n")]),
        ("one\t[one]\tw ʌ n\ntwo\t[two]\tt u\nDICEND\n", ONE),
        ("% NS_B\n<s> silB\n% NUMBER\none w ʌ n\ntwo t u\n% N\nten t u\n", [*ONE, ("ten", "t u")]),
        ("\\'em eh m\ncaf\\303\\251 k ae\n", [("'em", "eh m"), ("café", "k ae")]),
        # flashlight, k2
        ("one\to n e |\ntwo\tt w o |\n", LETTERS),
        ("one\t▁o ne\ntwo\t▁two\n", [("one", "▁o ne"), ("two", "▁two")]),
        ("<NOISE> SPN\none\tw ʌ n\ntwo t u\nten\tt u\n", [*ONE, ("ten", "t u")]),
        ("one\to n e |\ntwo\tt w o |\n'\t'\n", [*LETTERS, ("'", "'")]),
        ("one o n e <space>\ntwo t w o <space>\n", LETTERS),
        ("one w ʌ n sp\none w ʌ n sil\ntwo t u sp\n", ONE),
        ("one sil w ʌ n sil\ntwo sil t u sil\n", ONE),
        # tables
        ("word\tphones\none\tw ʌ n\ntwo\tt u\n", ONE),
        ("Word\tProbability\tPronunciation\none\t0.5\tw ʌ n\ntwo\t1\tt u\n", ONE),
        ("text\tphonemes\none\tw ʌ n\n", [ONE[0]]),
        ("word\tphoneme_sequence\none\tw ʌ n\n", [ONE[0]]),
        ("Wörter\tAussprache\none\tw ʌ n\n", [ONE[0]]),
        ("mot prononciation\none w ʌ n\n", [ONE[0]]),
        ("palabra\ttranscripción fonética\none\tw ʌ n\n", [ONE[0]]),
        ("ortho\tphon\tlemme\none\tw ʌ n\tone\n", [ONE[0]]),
        ("# BEEP\none\t\tw ʌ n\ntwo\t\tt u\n", ONE),
        ("a\t\tʌ\none\tw ʌ n\n", [("a", "ʌ"), ONE[0]]),
        ("a\tt͡ʃ\nb\tt͜ʃ\n", [("a", "t͡ʃ"), ("b", "t͡ʃ")]),
        ("one\tw ʌ n\t0.5\ntwo\tt u\t0.25\n", ONE),
        # white space, ends of lines, characters that nobody sees
        ("\ufeffone w ʌ n\r\ntwo t u\r\n", ONE),
        ("one w ʌ n\rtwo t u\r", ONE),
        ("one\u00a0w\u3000ʌ   n\ntwo \u2003t u\n", ONE),
        ("o\u00adne\tw ʌ\u200b n\n\u200ftwo\tt u\n", ONE),
        ("ne\u0301\tn e\n", [("né", "n e")]),
        ("a\te\u0301 b\nc\t\u00e9 d\n", [("a", "é b"), ("c", "é d")]),
        # lists of words
        ("one\ntwo # the second\n<unk>\n", LETTERS),
        ("one\none(2)\ntwo\n", LETTERS),
        ("f(2)\n", [("f(2)", "f ( 2 )")]),
    ],
)
def test_what_other_programs_write(tmp_path: Path, content: str, expected: list[tuple[str, str]]) -> None:
    assert read(tmp_path, content) == expected


@pytest.mark.parametrize(
    ("content", "place", "named"),
    [
        ("// list\nthe  D@ $u\n", ", line 1", "eSpeak"),
        ("the  D@\nabbey  abI $u+\nsaid sEd $verb $past\n", ", line 3", "eSpeak"),
        ('MNCL\n("one" nil (((w ah n) 1)))\n', ", line 1", "Festival"),
        ('<?xml version="1.0"?>\n<lexicon/>', ", line 1", "PLS"),
        ('{"one": ["w", "n"]}', ", line 1", "JSON"),
        ('[["one", "w n"]]', ", line 1", "JSON"),
        ("one ('w', 'n')\n", ", line 1", "Python"),
        ("\n\\data\\\nngram 1=3\n", ", line 2", "ARPA"),
        ("#!MLF!#\n", "", "HTK"),
        ("word,pronunciation\none,W AH N\n", ", line 1", "word, pronunciation"),
        ("phones\tword\nw n\tone\n", ", line 1", "phones, word"),
        ("one,W AH N\ntwo,T UW\n", ", line 1", "','"),
        ("one:ipa\ntwo:ipb\n", ", line 1", "':'"),
        ("one: w n\ntwo: t u\n", ", line 1", "':'"),
        ("one = w n\ntwo = t u\n", ", line 1", "'='"),
        ("one\t/wʌn/\n", ", line 1", "'/wʌn/'"),
        ("one\t[wʌn]\n", ", line 1", "'[wʌn]'"),
        ("one\tw ʌ n, w ɒ n\n", ", line 1", "'w ʌ n, w ɒ n'"),
        ("one\tw ʌ n | w ɒ n\ntwo\tt u\n", ", line 1", "|"),
        ("one\tw ʌ n / w ɒ n\n", ", line 1", "/"),
        ("one\tw ʌ n ; w ɒ n\none\tʌ\nwas\tw ɒ\n", ", line 1", ";"),
        ("one = w n\n", ", line 1", "'='"),
        ("one -> w n\n", ", line 1", "'->'"),
        ("one CD w n\ntwo CD t u\nand CC n d\n", ", line 1", "'CD'"),
        ("ONE CD W N\nTWO CD T UW\n", ", line 1", "'CD'"),
        ("one QUANT w n\ntwo QUANT t u\n", ", line 1", "'QUANT'"),
        ("word\tcount\none\t3\n", ", line 1", "word, count"),
        ("one 10\nnew york 3\n", ", line 1", "'10'"),
        ("1867-154075-0025 HE SAID\n", ", line 1", "LibriSpeech"),
        ("one\twʌn\neye\taɪ\nand\tænd\n", ", line 1", "'wʌn'"),
        ("one\tw ʌ n\tw n\n", ", line 1", "'w n'"),
        ("one\tNUM\tw n\ntwo\tNUM\tt u\n", ", line 1", "'NUM'"),
        ("one\twʌn\ntwo\ttuː\nand\tænd\n", ", line 1", "'wʌn'"),
        ("u1 1 0.00 0.30 one\nu1 1 0.30 0.40 two\n", ", line 1", "'one'"),  # CTM
        ("1\\one\\7\\wVn\n2\\two\\5\\tu:\n", ", line 1", "CELEX"),
        ("1\\one\\7\\w-V-n\n", ", line 1", "CELEX"),  # CELEX
        ("one 12\ntwo 7\n", ", line 1", "'one'"),  # counts
        ("<eps> 0\none 1\ntwo 2\n", ", line 1", "'<eps>'"),  # symbols
        ("  12 one\n   7 two\n", ", line 1", "'12'"),
        ("one 1 w n 1\ntwo 1 t u\n", ", line 1", "'1'"),
        ("ett 1 t\ntwo t u\n", ", line 1", "'1'"),
        ("one 1 w n\ntwo 1 t u\n", ", line 1", "'1'"),
        ("one 5 w n\ntwo 7 t u\n", ", line 1", "'5'"),
        ("one\t1234\tw n\ntwo\t7\tt u\n", ", line 1", "'1234'"),
        ("one\t0.5\tw n\ntwo\tt u\tx\n", ", line 2", "'two'"),
        ("one 0.9 1 w n\ntwo 0.9 0.1 t 1\n", ", line 1", "'1'"),
        ("one w 0.5 n\n", ", line 1", "'0.5'"),
        ("one w n\ntwo\nsix s x\n", ", line 2", "'two'"),
        ("new york\nlos angeles\n", ", line 1", "'new york'"),
        ("one\ntwo\nnew york\n", ", line 3", "'new york'"),
        ("York [New York] y o\n", ", line 1", "'New York'"),
        ("caf\\351 k ae\n", ", line 1", "351"),
        (b"n\xe9 n e\n", "", "latin1"),
        ("one w n\n".encode("utf-16"), "", "UTF-16"),
        (b"\x1f\x8b\x08\0", "", "gzip"),
        (b"mmap lm http://kheafield.com/code format version 5\n\0", "", "KenLM"),
        (b"version https://git-lfs.github.com/spec/v1\n", "", "LFS"),
        ("<eps> SIL\n", "", "word<TAB>units"),
    ],
)
def test_what_is_refused_by_name(tmp_path: Path, content: str | bytes, place: str, named: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(f"{tmp_path / 'dictionary.txt'}{place}: ")
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("one\t0.99\tw n\ntwo\tt u\n", ["1 of 2"]),
        ("one(2) w n\nsix(2) s\nsix(3) k\n", ["2", "'one(2)'"]),
        ("<s> SIL\n</s> SIL\none w n\n", ["1", "'<s>'"]),
        ("ace EY S # of cards\n#Some words\n", ["1", "'#Some words'"]),
        ("one\tw n\tnoun\n", ["'noun'"]),
        ("one w n #rare\n", ["'rare'"]),
        ("one w n sp\ntwo t u sp\nten t n\n", ["sp", "2 of 3"]),
        ("[noise] spn\n<cutoff> spn\none w n\n", ["'[noise]'", "1 other"]),
        ("% N\none w n\n", ["'% N'"]),
        ("ortho\tphon\none\tw n\n", ["'ortho'"]),
        ("a\tt͡ʃ\nb\tt͜ʃ\n", ["U+0361"]),
        ("o\u00adne\tw\n", ["1"]),
        ("x [one] w n\n", ["'x [one]'"]),
        ("one\tw n\nnew york\tn y\ntwo\tt u\n", ["'new york'"]),
        ('"one" w n\n"two" t u\n', ["'\"one\"'"]),
    ],
)
def test_what_is_dropped_or_guessed_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str, told: list[str]
) -> None:
    for _ in range(2):
        read(tmp_path, content)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{tmp_path / 'dictionary.txt'}: ")
    assert all(part in message.partition(": ")[2] for part in told), message


def test_nothing_is_told_of_our_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = "one\tw n\tuser\none(2)\tw\tcmudict+plural\nfive\t5\tguess\n<eps>\t0.5 #1\tletters\n"
    assert read(tmp_path, content) == [("one", "w n"), ("one(2)", "w"), ("five", "5"), ("<eps>", "0.5 #1")]
    assert not caplog.records


# ------------------------------------------------------------------------------------------------ all formats


def variants(pairs: Pairs, first: int) -> list[str]:
    """word, word(2), word(3): names as CMUdict and Sphinx give them."""
    seen: Counter[str] = Counter()
    names = []
    for word, _ in pairs:
        seen[word] += 1
        names.append(word if seen[word] == 1 else f"{word}({seen[word] - 2 + first})")
    return names


def placed(units: tuple[str, ...]) -> str:
    """Kaldi's units by their place in a word."""
    places = "S" if len(units) == 1 else "B" + "I" * (len(units) - 2) + "E"
    return " ".join(f"{unit}_{place}" for unit, place in zip(units, places, strict=True))


def lines(pairs: Pairs, line: Callable[[str, str], str], names: list[str] | None = None) -> str:
    named = names or [word for word, _ in pairs]
    return "".join(line(name, " ".join(units)) + "\n" for name, (_, units) in zip(named, pairs, strict=True))


FORMATS: dict[str, Callable[[Pairs], str]] = {
    "mfa": lambda pairs: lines(pairs, lambda word, units: f"{word}\t{units}"),
    "mfa-probabilities": lambda pairs: lines(pairs, lambda word, units: f"{word}\t0.99\t{units}"),
    "mfa-whole": lambda pairs: lines(pairs, lambda word, units: f"{word}\t1\t{units}"),
    "mfa-silence": lambda pairs: lines(pairs, lambda word, units: f"{word}\t1\t0.17\t1.35\t0.8\t{units}"),
    "kaldi": lambda pairs: "!SIL SIL\n<unk> SPN\n" + lines(pairs, lambda word, units: f"{word} {units}"),
    "lexiconp": lambda pairs: lines(pairs, lambda word, units: f"{word} 1.0 {units}"),
    "lexiconp-tabs": lambda pairs: lines(pairs, lambda word, units: f"{word} 0.5\t{units}"),
    "lexiconp-silprob": lambda pairs: lines(pairs, lambda word, units: f"{word} 1.0 0.25 1.0 0.98 {units}"),
    "lexiconp-disambig": lambda pairs: lines(pairs, lambda word, units: f"{word} 1.0 {units} #1"),
    "kaldi-places": lambda pairs: "".join(f"{word} {placed(units)}\n" for word, units in pairs),
    "cmudict": lambda pairs: ";;; x\n" + lines(pairs, lambda word, units: f"{word}  {units}", variants(pairs, 1)),
    "sphinx": lambda pairs: lines(pairs, lambda word, units: f"{word}\t{units}", variants(pairs, 2)),
    "htk": lambda pairs: lines(pairs, lambda word, units: f"{word} [{word}] 0.5 {units}"),
    "julius": lambda pairs: "<s>\t[]\tsilB\n" + lines(pairs, lambda word, units: f"{word}+x+y\t[{word}]\t{units}"),
    "flashlight": lambda pairs: lines(pairs, lambda word, units: f"{word}\t{units} |"),
    "dos": lambda pairs: "\ufeff" + lines(pairs, lambda word, units: f"{word}\t{units}\r"),
    "ours": lambda pairs: lines(pairs, lambda word, units: f"{word}\t{units}\tuser"),
}
names = st.text(st.sampled_from("abcçéñßабвκλאבक쓰漢字0'-"), min_size=1, max_size=5)
units = st.sampled_from(
    [*"abkst", "AH0", "EY1", "t͡ɕʰ", "ɑ̃", "aː", "@", "{", "S", "N", "2", "9", "5", "1", "spn", "▁he"]
)
contents = st.lists(
    st.tuples(names, st.lists(units, min_size=1, max_size=5).map(tuple)), min_size=1, max_size=6, unique=True
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(contents)
def test_the_same_content_in_any_two_formats(tmp_path: Path, pairs: Pairs) -> None:
    expected = [(word, " ".join(units)) for word, units in pairs]
    for name, write in FORMATS.items():
        try:
            result = read(tmp_path, write(pairs))
        except InputError:  # a digit before other units may be a probability, a single unit of all words uncut
            single = all(len(units) == 1 for _, units in pairs)
            assert single or any(word.isdigit() or units[0].isdigit() for word, units in pairs), name
        else:
            assert result == expected, name
