from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from helpers import speechlike

from asr.errors import InputError
from asr.features import FeatureConfig
from asr.model_folder import Model, load_model, pretrained_names, save_model
from asr.models.encoder import EncoderConfig
from asr.models.recognizer import ModelConfig, build_recognizer
from asr.tokenizer import CharTokenizer

CONFIG = ModelConfig(
    features=FeatureConfig(sample_rate=8000, num_mel_bins=20, normalize="global"),
    encoder=EncoderConfig(hidden=8, layers=2, factor=2),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = CharTokenizer.train(["hello world"])
    recognizer = build_recognizer(CONFIG, len(tokenizer)).eval()
    recognizer.frontend.normalizer.mean.fill_(-8.0)
    save_model(tmp_path / "m", Model(recognizer, tokenizer, CONFIG), "# card\n")
    return tmp_path / "m"


def edit(folder: Path, change) -> None:
    values = yaml.safe_load((folder / "config.yaml").read_text())
    change(values)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))


def test_round_trip_gives_the_same_output_and_changes_no_state(folder: Path) -> None:
    torch.manual_seed(0)
    original = build_recognizer(CONFIG, 9)  # the same random weights
    original.frontend.normalizer.mean.fill_(-8.0)
    samples = torch.from_numpy(speechlike(1.0, 8000))[None]
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    loaded = load_model(folder)
    expected, _ = original.eval().log_probs(samples, torch.tensor([8000]))
    got, lens = loaded.recognizer.log_probs(samples, torch.tensor([8000]))
    assert torch.equal(got, expected)
    assert lens.tolist() == [49]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert loaded.config == CONFIG
    assert loaded.tokenizer.tokens == CharTokenizer.train(["hello world"]).tokens
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.yaml", "model.safetensors", "tokens.txt"]


def test_half_precision_weights_load_as_single(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file({name: value.half() for name, value in weights.items()}, folder / "model.safetensors")
    assert next(load_model(folder).recognizer.parameters()).dtype == torch.float32


def test_an_older_model_at_the_place_is_replaced(folder: Path) -> None:
    model = load_model(folder)
    save_model(folder, model, "# newer\n")
    assert (folder / "README.md").read_text() == "# newer\n"
    assert [p.name for p in folder.parent.iterdir()] == ["m"]
    assert len({p.stat().st_mode for p in folder.iterdir()}) == 1  # the weights are no more private than the rest


def test_a_folder_that_is_no_model_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "keep.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        save_model(tmp_path / "mine", load_model(folder), "# card\n")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["keep.txt"]


def test_a_models_name_and_the_runs_folder(folder: Path, tmp_path: Path) -> None:
    assert load_model(folder).name == "m"
    save_model(tmp_path / "exp" / "digits" / "model", load_model(folder), "# card\n")
    assert load_model(tmp_path / "exp" / "digits" / "model").name == "digits"
    assert load_model(tmp_path / "exp" / "digits").name == "digits"


def test_no_such_model_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model") as error:
        load_model(tmp_path / "nowhere")
    for name in pretrained_names():
        assert name in str(error.value)
    with pytest.raises(InputError, match=r"no config\.yaml"):
        load_model(tmp_path)


def test_a_size_out_of_all_proportion_takes_no_memory(folder: Path) -> None:
    edit(folder, lambda c: c["encoder"].update(hidden=16384, layers=64))  # half a terabyte
    with pytest.raises(InputError, match="shape"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=2), "format 2.*update"),
        (lambda c: c.pop("format"), "names no format"),
        (lambda c: c["encoder"].update(kind="transformer"), "kind"),
        (lambda c: c["encoder"].update(hiden=8), "Did you mean: 'hidden'"),
        (lambda c: c["encoder"].update(hidden=10**12), "hidden"),
        (lambda c: c["features"].update(sample_rate=0), "sample_rate"),
        (lambda c: c["features"].update(num_mel_bins=10**9), "num_mel_bins"),
        (lambda c: c["text"].update(case="${oc.env:HOME}"), "interpolation"),
    ],
)
def test_configurations_that_cannot_be(folder: Path, change, message: str) -> None:
    edit(folder, change)
    with pytest.raises(InputError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system ['touch ran']\n", "[1, 2", "format: 1\nencoder: 3\n", ""]
)
def test_yaml_is_only_read_as_plain_values(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml"):
        load_model(folder)
    assert not (folder / "ran").exists()


def test_tokens_that_do_not_belong_to_the_weights(folder: Path) -> None:
    (folder / "tokens.txt").write_text("<blank>\na\n")
    with pytest.raises(InputError, match=r"head\.\w+ has shape"):
        load_model(folder)
    (folder / "tokens.txt").unlink()
    with pytest.raises(InputError, match=r"no tokens\.txt"):
        load_model(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.99])
def test_truncated_weights(folder: Path, keep: float) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(folder)


@pytest.mark.parametrize(
    "header", [b"[]", b'{"a": 1}', b"{" * 100, b"null", b'{"head.bias": {"dtype": "F32", "shape": [9]}}']
)
def test_hostile_headers(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(folder)


def test_an_offset_beyond_the_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["head.bias"]["data_offsets"] = [0, 10**12]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(InputError, match="damaged"):
        load_model(folder)


def test_weights_that_are_not_numbers(folder: Path) -> None:
    model = load_model(folder)
    with torch.no_grad():
        model.recognizer.head.bias[0] = float("nan")
    save_model(folder, replace(model), "# card\n")
    with pytest.raises(InputError, match=r"head\.bias holds NaN"):
        load_model(folder)
