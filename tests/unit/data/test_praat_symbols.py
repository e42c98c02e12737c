"""Praat's trigraphs. Praat itself (6.1.38, through parselmouth) gave the same characters for those that it knows."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from asr.data.formats import to_textgrid
from asr.data.praat_symbols import SYMBOLS, from_trigraphs, to_trigraphs
from asr.data.textgrid import read_textgrid
from asr.data.transcript import Segment, Transcript


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        (r"\ep\:f \'^e", "εː \u0301e"),  # Greek epsilon, as Praat has it
        (r"\ef\~^ \as\~^", "ɛ\u0303 ɑ\u0303"),
        (r'M\u"ller, fa\c,ade, \o/l, \ss', "Müller, façade, øl, ß"),
        (r"\'1sw\^h\|f\'2", "ˈswʰ|ˌ"),
        (r"t\lis \ng\|v", "t\u0361s ŋ\u0329"),
        (r"\bs\bs", "\\\\"),
        (r"\W+\L+", "של"),
    ],
)
def test_trigraphs_become_characters(text: str, characters: str) -> None:
    seen: Counter[str] = Counter()
    assert from_trigraphs(text, seen) == characters
    assert seen.keys() <= SYMBOLS.keys()


@pytest.mark.parametrize("text", [r"\xy", r"a\nb", r"C:\ngoc\swim", r"\\server\ngoc", "\\", "a\\", r"\ń.", "no"])
def test_what_is_none_stays_and_is_counted(text: str) -> None:
    seen: Counter[str] = Counter()
    assert from_trigraphs(text, seen) == text
    assert not seen.keys() & SYMBOLS.keys()
    assert bool(seen) == (text not in (r"C:\ngoc\swim", r"\\server\ngoc", "no"))


def test_the_table_holds_what_can_be_written() -> None:
    assert all(len(name) == 3 and name.isascii() and len(character) == 1 for name, character in SYMBOLS.items())
    assert all(unicodedata.name(character, "") for character in SYMBOLS.values())
    capitals = [name for name in SYMBOLS if name[1].isupper() and name[2] in "`'~\";<:/,"]
    lower = {name: name[0] + name[1].lower() + name[2] for name in capitals}
    assert all(SYMBOLS[name].lower() == SYMBOLS[small] for name, small in lower.items())


@given(st.text(st.sampled_from('\\abnsgC: ".%é'), max_size=12).map(lambda text: " ".join(text.split())))
def test_what_we_write_is_read_back(text: str) -> None:
    assert from_trigraphs(to_trigraphs(text), Counter()) == text


def test_a_textgrid_of_ours_is_read_back(tmp_path: Path) -> None:
    text = r'he said "\ng" and C:\sw \bs'
    (tmp_path / "a.TextGrid").write_text(to_textgrid(Transcript("a.wav", (Segment(0.0, 1.0, text),), 1.0)))
    got = read_textgrid(tmp_path / "a.TextGrid")
    assert [annotation.text for annotation in got.tiers[0].annotations] == [text]
