"""Names that people see as the same: of files, speakers, utterances and tiers."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from asr.utils.files import find_path, no_such_file
from asr.utils.unicode import plain_name


@pytest.mark.parametrize(
    "other",
    [
        unicodedata.normalize("NFD", "José Ñandú"),
        "José\u00a0Ñandú",
        "José\u202fÑandú",
        " José  Ñandú\t",
        "\ufeffJosé Ñandú",
        "José\u200e Ñandú",
    ],
)
def test_a_name_is_the_same_however_it_is_written(other: str) -> None:
    assert plain_name(other) == "José Ñandú"


def test_names_that_people_tell_apart_stay_apart() -> None:
    different = ["Jose", "José", "josé", "Jo sé", "caf\udce8", "caf\udce9", "می‌روم", "میروم"]
    assert len(set(map(plain_name, different))) == len(different)


def test_a_path_of_another_normal_form_space_or_case_is_found(tmp_path: Path) -> None:
    folder = tmp_path / unicodedata.normalize("NFD", "Übung Eins")
    folder.mkdir()
    file = folder / unicodedata.normalize("NFD", "très long.WAV")
    file.write_bytes(b"")
    assert find_path(tmp_path / "Übung\u00a0Eins" / "très long.wav") == file
    assert find_path(file) == file
    (folder / "TRÈS LONG.wav").write_bytes(b"")  # now two differ in case alone
    wanted = tmp_path / "Übung Eins" / "Très Long.wav"
    assert find_path(wanted) == wanted


def test_the_nearest_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "interview_03.wav").write_bytes(b"")
    error = str(no_such_file(tmp_path / "interview_3.wav", remedy="check the path"))
    assert "'interview_03.wav'" in error
    assert "check the path" in str(no_such_file(tmp_path / "xyz.flac", remedy="check the path"))
