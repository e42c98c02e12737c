"""Phonemes of words in a hundred languages, by eSpeak NG.

eSpeak NG (GPLv3) comes with the optional package espeakng-loader and is called through ctypes. It has one state for the
whole process: a lock lets one thread in at a time.
"""

from __future__ import annotations

import ctypes
import difflib
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import regex

from asr.utils.errors import InputError

_SEPARATOR = "\x1f"  # between phonemes; no phoneme has it
_IPA, _UTF8 = 2, 1
_STRESS = str.maketrans("", "", "ˈˌ")
_SWITCH = regex.compile(r"\(([a-z][\w-]*)\)")  # "(en)w iː k ɛ n d(fr)"
RATE = 22050  # Hz, what it starts with
# The scripts in which eSpeak NG reads a language, where it is not the Latin one alone. It reads others out letter by
# letter ("Cyrillic letter pe"), in the language itself or, with marks of a switch, in English.
_SCRIPTS = {
    "Arabic": "ar fa sd ur",
    "Arabic Latin": "fa-latn ku ug",
    "Armenian": "hy hyw",
    "Bengali": "as bn bpy",
    "Cherokee Latin": "chr",
    "Cyrillic": "ba be bg cv kk ky mk nog ru ru-cl ru-lv tt uk",
    "Cyrillic Latin": "bs hbs hr kaa lfn sr uz",
    "Devanagari": "hi kok mr ne",
    "Ethiopic": "am ti",
    "Georgian": "ka",
    "Greek": "el grc",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Han": "cmn zh zh-cmn",
    "Han Latin": "cmn-latn-pinyin hak yue zh-yue",
    "Hangul": "ko",
    "Hebrew": "he",
    "Hiragana Katakana": "ja",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Myanmar": "my shn",
    "Oriya": "or",
    "Shavian": "en-shaw",
    "Sinhala": "si",
    "Tamil": "ta",
    "Telugu": "te",
    "Thai": "th",
}
_DOTLESS = str.maketrans("Iİ", "ıi")  # Turkic languages have two letters i

_lock = threading.Lock()


class Spoken(NamedTuple):
    """What eSpeak NG says for a word: phonemes, or in `fault` why what it says is of no use."""

    units: tuple[str, ...]
    fault: str = ""


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),  # a byte of priority and a code, as often as there are; a NUL
        ("identifier", ctypes.c_char_p),
        ("kind", ctypes.c_ubyte * 4),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


def phonemes(
    words: Sequence[str],
    language: str,
    *,
    stress: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Spoken]:
    """IPA phonemes of words, each said alone; case does not matter.

    A phoneme keeps its length mark, diacritics and, in tone languages, its tone as eSpeak NG writes it: a digit, but
    ɜ for 3 ("aː2", "aːɜ"). A word that eSpeak NG takes for another language, or that is not in a script in which it
    reads this one, has a fault: it would bring in phones of that other language, or names of letters.

    Args:
        words: Without white space or control characters.
        language: One of eSpeak NG's codes: "fr", "pt-br".
        stress: Keep the marks ˈ and ˌ, in front of a phoneme.
        progress: Called with the words done and the words in all.

    Raises:
        InputError: espeakng-loader is not installed, or there is no such language.
    """
    code = find_language(language)
    scripts = "".join(rf"\p{{{script}}}" for script in (*_scripts_of(code), "Common", "Inherited"))
    readable = regex.compile(f"[{scripts}]*")
    lower = (lambda word: word.translate(_DOTLESS).lower()) if code in ("az", "tr", "tt") else str.lower
    spoken = []
    with _lock:
        library = _load()
        _set_voice(library, code)
        for done, word in enumerate(words):
            if progress and done % 1000 == 0:
                progress(done, len(words))
            if readable.fullmatch(word):
                spoken.append(_spoken(_translated(library, lower(word)), stress))
            else:
                spoken.append(Spoken((), f"is not written in {' or '.join(_scripts_of(code))} letters, as {code!r} is"))
    if progress:
        progress(len(words), len(words))
    return spoken


def find_language(language: str) -> str:
    """The code as eSpeak NG writes it; case and underscores do not matter.

    Raises:
        InputError: There is no such language; close ones are named.
    """
    known = languages()
    code = language.lower().replace("_", "-")
    if code in known:
        return code
    raise InputError(f"eSpeak NG has no language {language!r}", where="language", remedy=_suggestion(code, known))


def _suggestion(code: str, known: dict[str, str]) -> str:
    by_name = {known[other].lower(): other for other in sorted(known, key=len, reverse=True)}  # short codes win
    named = sorted((by_name[name] for name in by_name if len(code) > 2 and name.startswith(code)), key=len)
    kin = [other for other in known if other.split("-")[0] == code.split("-")[0]]
    near = difflib.get_close_matches(code, known, 3, 0.6)
    near += [by_name[name] for name in difflib.get_close_matches(code, by_name, 3, 0.7)]
    found = list(dict.fromkeys([*named, *kin, *near]))[:6]
    if not found:
        return f"there are {', '.join(sorted(known))}"
    return "did you mean " + ", ".join(f"{code} ({known[code]})" for code in found) + "?"


def languages() -> dict[str, str]:
    """The codes of all languages and accents, and the name of each."""
    with _lock:
        return {code: name for code, (name, _) in _voices().items()}


def _scripts_of(code: str) -> list[str]:
    """The Unicode scripts in which eSpeak NG reads a language."""
    for scripts, codes in _SCRIPTS.items():
        if {code, code.split("-")[0]} & set(codes.split()):
            return scripts.split()
    return ["Latin"]


# ------------------------------------------------------------------------------------------------ the library


def start_library(output: int, purpose: str) -> Any:
    """libespeak-ng, made ready to hand over speech (1), or to do so without threads of its own (2).

    Raises:
        InputError: espeakng-loader, which `purpose` needs, is not installed, or does not work.
    """
    try:
        import espeakng_loader
    except ImportError:
        remedy = "pip install 'kikitori[phones]'"
        raise InputError(f"{purpose} needs eSpeak NG", where="espeakng-loader", remedy=remedy) from None
    path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as e:
        raise InputError(f"eSpeak NG cannot be loaded ({e})", where=path) from e
    do_not_exit = 0x8000
    if library.espeak_Initialize(output, 0, str(data).encode(), do_not_exit) != RATE:
        raise InputError("eSpeak NG does not start", where=data, remedy="install espeakng-loader again")
    return library


@lru_cache
def _load() -> Any:
    """The library for phonemes; the lock has to be held."""
    # In its other modes each call starts a thread and a queue: two of them (another part of this process may make the
    # library speak) wait for each other now and then.
    library = start_library(2, "a pronunciation of this language")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    return library


@lru_cache
def _voices() -> dict[str, tuple[str, bytes]]:
    """Of each code the name of its voice, and how the voice is called up; where several have it, the most apt one."""
    listed = _load().espeak_ListVoices(None)
    best: dict[str, tuple[int, str, bytes]] = {}
    number = 0
    while listed[number]:
        voice = listed[number].contents
        for priority, code in _codes(voice.languages):
            if code not in best or priority < best[code][0]:
                best[code] = priority, voice.name.decode().strip(), voice.identifier
        number += 1
    return {code: (name, identifier) for code, (_, name, identifier) in best.items()}


def _codes(address: int) -> Iterator[tuple[int, str]]:
    """The priorities and codes of a voice."""
    while priority := ctypes.string_at(address, 1)[0]:
        code = ctypes.string_at(address + 1)
        yield priority, code.decode().lower()
        address += len(code) + 2


def _set_voice(library: Any, code: str) -> None:
    _, identifier = _voices()[code]
    # A voice goes by its file's path; of a file with capitals in its name, by the language alone.
    if library.espeak_SetVoiceByName(identifier) and library.espeak_SetVoiceByName(code.split("-")[0].encode()):
        raise InputError(f"eSpeak NG cannot speak {code!r}", where="language", remedy="install espeakng-loader again")


def _translated(library: Any, word: str) -> str:
    """The phonemes of a word, separated; "" where nothing is said."""
    text = ctypes.create_string_buffer(word.encode("utf-8", "replace"))
    position = ctypes.c_void_p(ctypes.addressof(text))
    clauses = []
    while position.value:
        said = library.espeak_TextToPhonemes(ctypes.byref(position), _UTF8, _IPA | ord(_SEPARATOR) << 8)
        clauses.append((said or b"").decode("utf-8", "replace"))
    return _SEPARATOR.join(clauses)


def _spoken(text: str, stress: bool) -> Spoken:
    if switch := _SWITCH.search(text):
        return Spoken((), f"eSpeak NG takes it for {switch[1]!r}")
    units: list[str] = []
    for piece in unicodedata.normalize("NFC", text).replace(" ", _SEPARATOR).split(_SEPARATOR):
        unit = piece if stress else piece.translate(_STRESS)
        if not regex.search(r"[\p{Ll}\p{Lu}\p{Lo}]", unit):  # length, tone or nothing
            if units:
                units[-1] += unit
        else:
            units.append(unit)
    return Spoken(tuple(units), "" if units else "eSpeak NG says nothing for it")
