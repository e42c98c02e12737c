"""Settings that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.train.config import TrainConfig
from asr.train.presets import available_presets, preset_path
from asr.utils.config import read_config
from asr.utils.errors import InputError


@pytest.mark.parametrize("name", available_presets())
def test_every_preset_is_valid(name: str) -> None:
    assert isinstance(read_config(TrainConfig, preset_path(name)), TrainConfig)


def test_they_are_listed_with_their_purpose() -> None:
    assert {"from-english", "small", "speech", "words"} <= available_presets().keys()
    lines = CliRunner().invoke(app, ["train", "--list"]).output.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[*pair] for pair in available_presets().items()]
    assert all(len(purpose) > 20 for purpose in available_presets().values())


def test_one_that_is_not_there() -> None:
    with pytest.raises(InputError, match=wording("did-you-mean-small")):
        preset_path("smal")
    for name in ("../presets/small", "small.yaml", ""):
        with pytest.raises(InputError, match=wording("there-is-no-preset")):
            preset_path(name)


def test_settings_win_over_a_preset_and_a_file_does_not_go_with_it(tmp_path: Path) -> None:
    run = ["train", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--preset", "small"]
    done = CliRunner().invoke(app, [*run, "epochs=0"])
    assert done.exit_code == 2
    assert "epochs" in done.stderr
    (tmp_path / "c.yaml").write_text("epochs: 3\n")
    done = CliRunner().invoke(app, [*run, str(tmp_path / "c.yaml")])
    assert done.exit_code == 2
    assert "c.yaml" in done.stderr
    assert not (tmp_path / "out").exists()
