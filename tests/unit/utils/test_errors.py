from __future__ import annotations

from pathlib import Path

from hypothesis import given, strategies as st

from asr.utils.errors import InputError


def test_the_parts_of_the_message() -> None:
    assert str(InputError("is empty")) == "is empty"
    assert str(InputError("is empty", where=Path("a/b.txt"))) == "a/b.txt: is empty"
    assert str(InputError("is empty", where="b.txt", remedy="fill it")) == "b.txt: is empty; fill it"
    assert isinstance(InputError("x"), ValueError)


def test_a_name_cannot_speak_to_the_terminal() -> None:
    error = InputError("is\nempty", where="evil\x1b[2J\r\x9b31m\u202etxt.wav\udcff", remedy="a\tb\u2028c")
    assert str(error) == "evil\ufffd[2J \ufffd31m\ufffdtxt.wav\ufffd: is empty; a\ufffdb c"


def test_names_in_any_script_stay_as_they_are() -> None:
    for name in ("講演\u3000第一回.wav", "می\u200cخواهم.wav", "mɔ\u0301tɔ\u0301.wav", "a\u00a0b.wav", "👨\u200d👩.wav"):
        assert str(InputError("is empty", where=name)) == f"{name}: is empty"


@given(st.text(), st.text(), st.text())
def test_always_one_line_that_can_be_printed(what: str, where: str, remedy: str) -> None:
    message = str(InputError(what, where=where, remedy=remedy))
    assert len(message.splitlines()) <= 1
    assert not set(message) & {chr(c) for c in [*range(32), *range(127, 160)]}
    message.encode("utf-8")
