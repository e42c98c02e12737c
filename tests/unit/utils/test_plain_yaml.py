"""Words that YAML 1.1 takes for something else than what is written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from asr.utils.config import Config, from_dict, read_config, to_dict
from asr.utils.errors import InputError
from asr.utils.plain_yaml import parse_yaml


@dataclass(frozen=True, kw_only=True)
class Example(Config):
    text: str = ""
    maybe: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    whole: int = 0
    number: float = 0.0
    numbers: dict[str, float] = field(default_factory=dict)
    flag: bool = False
    anything: Any = None


WORDS = """
    no yes on off y n NO On No 010 08 1e3 1.10 1_000 0x1F 0o17 0b1 2020-01-01 12:30 1:30:00 .5 5. .nan .inf +3 = 1,5
"""


@pytest.mark.parametrize("word", WORDS.split())
def test_a_text_is_the_word_that_is_written(tmp_path: Path, word: str) -> None:
    expected = Example(text=word, maybe=word, texts={word: word}, names=(word, "b"))
    path = tmp_path / "c.yaml"
    path.write_text(f"text: {word}\nmaybe: {word}  # a remark\ntexts: {{{word}: {word}}}\nnames: [{word}, b]\n")
    if word != "1,5":  # in brackets a comma separates
        assert read_config(Example, path) == expected
    path.write_text(f"text: {word}\nmaybe: '{word}'\ntexts:\n  {word}: {word}\nnames:\n  - {word}\n  - b\n")
    assert read_config(Example, path) == expected
    made = read_config(Example, None, [f"text={word}", f"texts.a={word}"])
    assert (made.text, made.texts) == (word, {"a": word})
    assert from_dict(Example, parse_yaml(yaml.safe_dump(to_dict(expected)), where="x"), where="x") == expected


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("010", 10),
        ("08", 8),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("+3", 3),
        ("-3", -3),
        ("0x1F", 31),
        ("0o17", 15),
        ("3.0", 3),
    ],
)
def test_a_number_is_what_people_read(tmp_path: Path, word: str, number: int) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"whole: {word}\nnumber: {word}\nnumbers: {{a: {word}}}\nanything: [{word}]")
    made = read_config(Example, path, [f"numbers.b={word}"])
    assert (made.whole, made.number, made.numbers) == (number, float(number), {"a": number, "b": number})
    assert (type(made.whole), type(made.number)) == (int, float)
    assert yaml.safe_load(yaml.safe_dump(to_dict(made)))["anything"] == [number]


def test_numbers_that_are_none_and_endless() -> None:
    values = parse_yaml("[.inf, -.INF, .nan, .5, 5., 1.5e-3]", where="x")
    assert values[:2] == [math.inf, -math.inf]
    assert math.isnan(values[2])
    assert values[3:] == [0.5, 5.0, 0.0015]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("whole: yes", "whole: 'yes'"),
        ("whole: 1:30", "whole: '1:30'"),
        ("whole: 0b1", "whole: '0b1'"),
        ("whole: true", "whole: True"),
        ("number: 1,5", "number: '1,5'"),
        ("number: 2020-01-01", "number: '2020-01-01'"),
        ("flag: 1", "flag: 1"),
        ("flag: 0.0", "flag: 0.0"),
        ("flag: 01", "flag: 01"),
        ("flag: 2", "flag: 2"),
        ("text: true", "text: True"),  # quotes are asked for
        ("text: ~", "text: has"),
        ("text:", "text: has"),
        ("text: # x", "text: has"),
        ("texts: {a: false}", "texts.a: False"),
        ("names: no", "names: 'no'"),
        ("texts: no", "texts: 'no'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, line: str, named: str) -> None:
    (tmp_path / "c.yaml").write_text(line)
    with pytest.raises(InputError) as error:
        read_config(Example, tmp_path / "c.yaml")
    assert str(error.value).startswith(f"{tmp_path / 'c.yaml'}: {named} ")


@pytest.mark.parametrize("word", ["yes", "Yes", "on", "true", "True", "TRUE"])
def test_flags_may_be_written_as_ever(word: str) -> None:
    assert read_config(Example, None, [f"flag={word}"]).flag
    assert from_dict(Example, parse_yaml(f"flag: {word}", where="x"), where="x").flag


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("text=a: b", "a: b"),
        ("text=my #2.txt", "my #2.txt"),
        ("text=@x", "@x"),
        ("text=%x", "%x"),
        ("text=`x", "`x"),
        ("text=*.txt", "*.txt"),
        ("text=&and", "&and"),
        ("text=!x", "!x"),
        ("text=- x", "- x"),
        ("text=C:\\new\\table", "C:\\new\\table"),
        ("text='C:\\new'", "C:\\new"),
        ('text="010"', "010"),
        ("text='true'", "true"),
        ("text=''", ""),
        ("text= x ", "x"),
    ],
)
def test_words_of_the_command_line_are_taken_as_they_are(word: str, text: str) -> None:
    assert read_config(Example, None, [word]).text == text


@pytest.mark.parametrize(
    ("content", "line", "remedy"),
    [
        ("text: a\n\twhole: 3", 2, "tabs"),
        ("texts:\n\ta: b", 2, "tabs"),
        ("text: a: b", 1, "quotes"),
        ("text: @x", 1, "quotes"),
        ("text: `x", 1, "quotes"),
        ("text: %x", 1, "quotes"),
        ("%x: 3", 1, "quotes"),
        ("text: *x", 1, "quotes"),
        ("text: &", 1, "quotes"),
        ("text: !x y", 1, "quotes"),
        ("whole: 3\ntext:x\n", 3, "colon"),
        ('text: "C:\\new\\table"', 1, "single quotes"),
        ('text: "data\\new"', 1, "single quotes"),
        ('text: "C:\\data"', 1, "single quotes"),
        ("text: a\n---\ntext: b", 2, "one"),
        ("text: [a", 1, ""),
        ("flag: !!bool x\nwhole: !!int", 0, ""),
        ("text: 'a", 1, ""),
    ],
)
def test_files_that_cannot_be_read_name_the_line(tmp_path: Path, content: str, line: int, remedy: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(InputError) as error:
        read_config(Example, tmp_path / "c.yaml")
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'c.yaml'}: ")
    assert f"line {line} " in message or not line
    assert remedy in message.rpartition(";")[2]


@pytest.mark.parametrize("content", ["text:x", "a", "- a", "[a]", "3", "true", "2020-01-01"])
def test_what_is_no_mapping(tmp_path: Path, content: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(InputError, match=r"c\.yaml"):
        read_config(Example, tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("text: a\ntext: b", 2),
        ("texts: {on: a, on: b}", 1),
        ("texts: {010: a, '010': b}", 1),
        ("texts:\n  a: b\n  a: c", 3),
    ],
)
def test_keys_that_stand_there_twice(tmp_path: Path, content: str, line: int) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(InputError) as error:
        read_config(Example, tmp_path / "c.yaml")
    assert f"line {line})" in str(error.value)


def test_keys_are_other_keys_where_they_are_written_otherwise() -> None:
    assert parse_yaml("{010: a, 10: b, true: c, ~: d, =: e}", where="x") == {
        "010": "a",
        "10": "b",
        "true": "c",
        "~": "d",
        "=": "e",
    }


def test_anchors_and_merges_and_tags(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(
        b"\xef\xbb\xbfnumbers: &n {a: 1e1}\r\nanything: {<<: *n, b: 2}\r\ntext: !!str 010\r\nwhole: !!int '7'\r\n"
    )
    made = read_config(Example, tmp_path / "c.yaml")
    assert (made.numbers, made.anything, made.text, made.whole) == ({"a": 10.0}, {"a": 10, "b": 2}, "010", 7)


texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)


@given(texts, st.floats(allow_nan=False), st.integers())
def test_what_is_written_is_read_again(text: str, number: float, whole: int) -> None:
    config = Example(text=text, texts={text: text}, number=number, whole=whole)
    written = yaml.safe_dump(to_dict(config), allow_unicode=True, sort_keys=False)
    assert from_dict(Example, parse_yaml(written, where="x"), where="x") == config
