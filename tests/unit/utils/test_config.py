from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from wording import wording

from asr.models.config import ModelConfig
from asr.text.normalize import TextConfig
from asr.train.config import TrainConfig
from asr.utils.config import from_dict, read_config, require, to_dict
from asr.utils.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Inner:
    kind: Literal["rnn", "lstm"] = "lstm"
    dropout: float = 0.1
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    epochs: int = 3
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"epochs {self.epochs} is not at least 1")


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        from_dict(Outer, values, where="c.yaml")
    assert str(error.value).startswith("c.yaml: ")
    return str(error.value)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "c.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_values_fill_the_dataclass() -> None:
    values = {"inner": {"kind": "rnn", "sizes": [3]}, "names": {"&": " and "}}
    made = from_dict(Outer, values, where="c.yaml")
    assert made == Outer(inner=Inner(kind="rnn", sizes=made.inner.sizes), names={"&": " and "})
    assert list(made.inner.sizes) == [3]
    assert from_dict(Outer, {}, where="c.yaml") == Outer()


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"epoch": 3}, ["'epoch' not in 'Outer'", "Did you mean: 'epochs'"]),
        ({"inner": {"dropuot": 0.2}}, ["inner.dropuot", "Did you mean: 'dropout'"]),
        ({"zzz": 1}, ["'zzz' not in 'Outer'"]),
        ({"epochs": "many"}, ["epochs: ", "'many'", "Integer"]),
        ({"epochs": 3.5}, ["epochs: ", "'3.5'", "Integer"]),
        ({"epochs": None}, ["epochs: ", "'None'"]),
        ({"inner": {"dropout": "x"}}, ["inner.dropout: ", "'x'", "Float"]),
        ({"inner": {"kind": "gru"}}, ["inner.kind: ", "'gru'", "['rnn', 'lstm']"]),
        ({"inner": 3}, ["3"]),
        ({"inner": {"sizes": "3"}}, ["inner.sizes: ", "a list", "[a, b]"]),
        ({"inner": {"sizes": 3}}, ["inner.sizes: ", "a list"]),
        ({"names": {1: "a"}}, ["names.1: "]),
        ({"epochs": 0}, ["epochs 0 is not at least 1"]),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], parts: list[str]) -> None:
    message = refusal(values)
    assert all(part in message for part in parts), message


def test_values_of_a_stranger_are_never_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "told")
    for text in ('names: {a: "${oc.env:SECRET}"}', 'names: {a: "\\u0024{oc.env:SECRET}"}', 'inner: "$\\x7binner}"'):
        assert "interpolation" in refusal(yaml.safe_load(text))
    assert "interpolation" in refusal({"names": {"${a}": "b"}})
    assert "interpolation" in refusal({"inner": {"sizes": ["${epochs}"]}})


def test_a_few_lines_that_never_end() -> None:
    itself: dict[str, Any] = {}
    itself["names"] = itself
    assert "100,000 values" in refusal(itself)
    doubled: list[Any] = ["x"]
    for _ in range(60):
        doubled = [doubled, doubled]
    assert "100,000 values" in refusal({"names": doubled})


def test_a_file_and_words_that_win_over_it(tmp_path: Path) -> None:
    path = written(tmp_path, "epochs: 5\ninner: {kind: rnn, dropout: 0.3}\n")
    assert read_config(Outer, path) == Outer(epochs=5, inner=Inner(kind="rnn", dropout=0.3, sizes=(1, 2)))
    made = read_config(Outer, path, ["inner.dropout=0", "epochs=7", "epochs=8", "names={'&': a=b}"])
    assert (made.epochs, made.inner.kind, made.inner.dropout, made.names) == (8, "rnn", 0.0, {"&": "a=b"})


@pytest.mark.parametrize("text", ["", "# only a remark\n", "{}", "null"])
def test_an_empty_file_is_all_defaults(tmp_path: Path, text: str) -> None:
    assert read_config(Outer, written(tmp_path, text)) == Outer()


def test_ones_own_file_may_interpolate(tmp_path: Path) -> None:
    assert read_config(Outer, written(tmp_path, "epochs: 5\nnames: {a: 'e${epochs}'}")).names == {"a": "e5"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", wording("is-not-valid-yaml")),
        ("\tepochs: 3", wording("is-not-valid-yaml")),
        ("epochs: 3\nepochs: 4", wording("duplicate-key-epochs")),
        ("epochs: !!python/object/apply:os.getcwd []", wording("is-not-valid-yaml")),
        ("- epochs", wording("is-not-a-mapping-of")),
        ("3", wording("is-not-a-mapping-of")),
        ("true", wording("is-not-a-mapping-of")),
        ("epochs: ${nothing}", wording("epochs-interpolation-key-nothing-not")),
        ("epochs: ${", "epochs: "),
        ("epoch: 3", wording("did-you-mean-epochs")),
        (b"epochs: 3\n# \xe9", wording("line-2-is-not-utf")),
    ],
)
def test_broken_files(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_config(Outer, path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epochs", wording("command-line-epochs-is-not")),
        ("=3", wording("command-line-3-is-not")),
        ("epochs=[", wording("command-line-epochs-cannot-be")),
        ("[=3", wording("command-line-3-cannot-be")),
        ("epochs=many", wording("with-epochs-many-epochs")),
        ("epochs=", wording("with-epochs-epochs")),
        ("inner.dropuot=1", wording("did-you-mean-dropout")),
        ("epochs=0", wording("with-epochs-0-epochs-0")),
    ],
)
def test_broken_words(tmp_path: Path, word: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_config(Outer, written(tmp_path, "epochs: 5"), [word])
    assert message in str(error.value)


def test_plain_values_come_back_the_same() -> None:
    assert to_dict(Outer(names={"a": "b"})) == {
        "inner": {"kind": "lstm", "dropout": 0.1, "sizes": [1, 2]},
        "epochs": 3,
        "names": {"a": "b"},
    }
    text = TextConfig(case="upper", replace={"&": " and ", ".": ""}, words="none")
    for config in (
        TrainConfig(),
        TrainConfig(epochs=3, device="cpu", learning_rate=3e-4, model=ModelConfig(text=text)),
    ):
        through_yaml = yaml.safe_load(yaml.safe_dump(to_dict(config)))
        assert from_dict(TrainConfig, through_yaml, where="c.yaml") == config


def test_the_training_configuration_checks_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "model: {text: {case: keep}}")
    assert read_config(TrainConfig, path, ["model.text.words=none"]).model.text == TextConfig(case="keep", words="none")
    for word in ("learning_rate=nan", "learning_rate=0", "epochs=0", "device=tpu", "clip=0", "model.text.case=title"):
        with pytest.raises(InputError, match=word.split("=")[0].rpartition(".")[2]):
            read_config(TrainConfig, path, [word])


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[3].glob("recipes/*/conf/*.yaml")), ids=str)
def test_every_recipes_configuration_is_valid(path: Path) -> None:
    assert isinstance(read_config(TrainConfig, path), TrainConfig)
