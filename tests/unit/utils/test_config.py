from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml
from wording import wording

from asr.models.config import ModelConfig
from asr.text.normalize import TextConfig
from asr.train.config import TrainConfig
from asr.utils.config import Config, KindConfig, from_dict, read_config, require, setting, settings, to_dict
from asr.utils.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Inner(Config):
    kind: Literal["rnn", "lstm"] = "lstm"
    dropout: float = setting(0.1, "[0, 1)", "Share that is dropped.")
    sizes: tuple[int, ...] = setting((1, 2), "(0, inf)")


@dataclass(frozen=True, kw_only=True)
class Outer(Config):
    inner: Inner = field(default_factory=Inner)
    epochs: int = setting(3, "[1, inf)")
    names: dict[str, str] = field(default_factory=dict)
    flag: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.inner.kind == "lstm" or self.epochs < 9, f"epochs {self.epochs} are too many for rnn")


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
        ({"epoch": 3}, ["epoch: ", "'epochs'"]),
        ({"inner": {"dropuot": 0.2}}, ["inner.dropuot: ", "'dropout'"]),
        ({"zzz": 1}, ["zzz: ", wording("there-is-no-such-setting")]),
        ({"epochs": "many"}, ["epochs: 'many'", wording("is-not-a-whole-number")]),
        ({"epochs": 3.5}, ["epochs: 3.5", wording("is-not-a-whole-number")]),
        ({"epochs": None}, ["epochs: None"]),
        ({"inner": {"dropout": "x"}}, ["inner.dropout: 'x'"]),
        ({"inner": {"dropout": float("nan")}}, ["inner.dropout: nan", "[0, 1)"]),
        ({"inner": {"dropout": 1}}, ["inner.dropout: 1.0", "[0, 1)"]),
        ({"inner": {"kind": "gru"}}, ["inner.kind: 'gru'", "'rnn', 'lstm'"]),
        ({"inner": 3}, ["inner: 3"]),
        ({"inner": {"sizes": "3"}}, ["inner.sizes: '3'", "[a, b]"]),
        ({"inner": {"sizes": [3, 0]}}, ["inner.sizes: 0", "(0, inf)"]),
        ({"inner": {"sizes": [3, "x"]}}, ["inner.sizes.1: 'x'"]),
        ({"flag": "perhaps"}, ["flag: 'perhaps'"]),
        ({"epochs": True}, ["epochs: True"]),
        ({"inner": {"dropout": False}}, ["inner.dropout: False"]),
        ({"inner": {"sizes": [1, True]}}, ["inner.sizes: [1, True]"]),
        ({"epochs": 0, "zzz": 1}, ["zzz: "]),
        ({"inner": {"kind": "rnn"}, "epochs": 9}, ["c.yaml: epochs 9"]),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], parts: list[str]) -> None:
    message = refusal(values)
    assert all(part in message for part in parts), message


def test_nothing_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "told")
    values = {"names": {"a": "${oc.env:SECRET}"}}
    assert from_dict(Outer, values, where="c.yaml").names == values["names"]


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
        ("epoch: 3", "'epochs'"),
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
        ("epochs", wording("is-not-of-the-form")),
        ("=3", wording("is-not-of-the-form")),
        ("inner..dropout=3", wording("is-not-of-the-form")),
        ("epochs=[", wording("is-not-valid-yaml")),
        ("epochs=many", "epochs: 'many'"),
        ("epochs=", wording("has-no-value")),
        ("inner.dropuot=1", "'dropout'"),
        ("epochs=0", "epochs: 0"),
        ("epochs.more=1", "epochs: {'more': 1}"),
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
        "flag": False,
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


class Part(KindConfig):
    part = "part"
    default_kind = "round"
    kinds: ClassVar[dict] = {}


@Part.register
@dataclass(frozen=True, kw_only=True)
class Round(Part):
    kind: Literal["round", "oval"] = "round"
    width: int = setting(3, "[1, 9]")


@Part.register
@dataclass(frozen=True, kw_only=True)
class Square(Part):
    kind: Literal["square"] = "square"
    side: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Whole(Config):
    part: Part = field(default_factory=Round)


def test_each_kind_has_its_own_settings() -> None:
    assert from_dict(Whole, {}, where="x").part == Round()
    assert from_dict(Whole, {"part": {"kind": "oval"}}, where="x").part == Round(kind="oval")
    assert from_dict(Whole, {"part": {"kind": "square", "side": 2}}, where="x").part == Square(side=2.0)
    assert read_config(Whole, None, ["part.kind=square", "part.side=3"]) == Whole(part=Square(side=3.0))
    assert from_dict(Whole, to_dict(Whole(part=Square())), where="x") == Whole(part=Square())


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"kind": "square", "width": 2}, ["part.width: ", wording("there-is-no-such-setting")]),
        ({"kind": "round", "widht": 2}, ["part.widht: ", "'width'"]),
        ({"width": 10}, ["part.width: 10", "[1, 9]"]),
        ({"kind": "flat"}, ["part.kind: ", "'flat'", "round, oval, square", "--plugin"]),
        ({"kind": ["flat"]}, ["part.kind: "]),
        (3, ["part: 3"]),
    ],
)
def test_kinds_and_settings_that_are_not_there(values: Any, parts: list[str]) -> None:
    with pytest.raises(InputError) as error:
        from_dict(Whole, {"part": values}, where="x")
    assert all(part in str(error.value) for part in parts), error.value


def test_a_kind_that_is_taken_and_classes_that_are_none() -> None:
    with pytest.raises(InputError, match="square"):

        @Part.register
        @dataclass(frozen=True, kw_only=True)
        class Other(Part):
            kind: Literal["square"] = "square"

    class NoDataclass(Part):
        kind: Literal["bare"] = "bare"

    @dataclass(frozen=True, kw_only=True)
    class NoLiteral(Part):
        kind: str = "any"

    for config in (NoDataclass, NoLiteral):
        with pytest.raises(InputError, match=config.__name__):
            Part.register(config)


def test_a_class_that_is_defined_again_takes_the_place_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "kinds", dict(Part.kinds))

    def define(low: str) -> None:
        @Part.register
        @dataclass(frozen=True, kw_only=True)
        class Again(Part):
            kind: Literal["again"] = "again"
            width: int = setting(1, f"[{low}, 9]")

            def __post_init__(self) -> None:
                """Forgets the checks of the base."""

    define("1")
    define("5")
    with pytest.raises(InputError, match="width"):
        from_dict(Whole, {"part": {"kind": "again", "width": 4}}, where="x")


@pytest.mark.parametrize(
    "change",
    [{"dropout": 1.0}, {"sizes": (1, 0)}, {"kind": "gru"}, {"sizes": (1.5,)}, {"dropout": "x"}],
)
def test_what_is_made_in_python_is_checked_too(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        Inner(**change)


def test_settings_say_what_they_are() -> None:
    dropout = next(each for each in settings(Inner) if each.name == "dropout")
    assert dropout[1:] == (float, 0.1, "[0, 1)", "Share that is dropped.")


def test_a_setting_that_is_misspelt_in_a_mapping() -> None:
    with pytest.raises(InputError, match=r"groups.encoder.freeze_epoch.*'freeze_epochs'"):
        read_config(TrainConfig, None, ["groups.encoder.freeze_epoch=2"])
