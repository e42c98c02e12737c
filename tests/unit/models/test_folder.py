from __future__ import annotations

import json
import math
import re
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from helpers import WORDS, speechlike, unigram_arpa, with_head
from wording import wording

from asr.audio.features import FeatureConfig
from asr.lm.files import read_ngram, save_ngram
from asr.models.config import ModelConfig
from asr.models.decoding_options import DecodingOptions
from asr.models.folder import load_model, save_model, update_model
from asr.models.hub import available_models
from asr.models.model import Head, Model, utterance_keys
from asr.models.recognizer import build_recognizer
from asr.models.rnn import RnnConfig
from asr.text.tokenizer import CharTokenizer
from asr.utils.errors import InputError

CONFIG = ModelConfig(
    features=FeatureConfig(sample_rate=8000, num_mel_bins=20, normalize="global"),
    encoder=RnnConfig(hidden=8, layers=2, factor=2),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = CharTokenizer.train(["hello world"])
    recognizer = build_recognizer(CONFIG, {tokenizer.kind: len(tokenizer)}).eval()
    recognizer.frontend.normalizer.mean.fill_(-8.0)
    save_model(tmp_path / "m", Model(recognizer, CONFIG, {"characters": Head(tokenizer)}), "# card\n")
    return tmp_path / "m"


def edit(folder: Path, change) -> None:
    values = yaml.safe_load((folder / "config.yaml").read_text())
    change(values)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))


def test_round_trip_gives_the_same_output_and_changes_no_state(folder: Path) -> None:
    torch.manual_seed(0)
    original = build_recognizer(CONFIG, {"characters": 9})  # the same random weights
    original.frontend.normalizer.mean.fill_(-8.0)
    samples = torch.from_numpy(speechlike(1.0, 8000))[None]
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    loaded = load_model(folder)
    expected, _ = original.log_probs(*original.eval().features(samples, torch.tensor([8000])))
    got, lens = loaded.recognizer.log_probs(*loaded.recognizer.features(samples, torch.tensor([8000])))
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
    with pytest.raises(InputError, match=wording("not-empty")):
        save_model(tmp_path / "mine", load_model(folder), "# card\n")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["keep.txt"]


def test_a_models_name_and_the_runs_folder(folder: Path, tmp_path: Path) -> None:
    assert load_model(folder).name == "m"
    save_model(tmp_path / "exp" / "digits" / "model", load_model(folder), "# card\n")
    assert load_model(tmp_path / "exp" / "digits" / "model").name == "digits"
    assert load_model(tmp_path / "exp" / "digits").name == "digits"


def test_models_keep_the_rules_for_texts_of_their_training(folder: Path) -> None:
    made = load_model(folder)
    assert made.config.text.version == 2
    assert "version: 2" in (folder / "config.yaml").read_text()
    assert {load_model(name).config.text.version for name in available_models()} == {1}  # made before there were two
    assert load_model("digits-en").normalizer()("don’t") == "don’t"
    assert made.normalizer()("don’t") == "don't"


def test_no_such_model_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("no-such-model")) as error:
        load_model(tmp_path / "nowhere")
    for name in available_models():
        assert name in str(error.value)
    with pytest.raises(InputError, match=wording("did-you-mean-digits-en")):
        load_model("digit-en")
    with pytest.raises(InputError, match=wording("no-config-yaml")):
        load_model(tmp_path)


def test_a_size_out_of_all_proportion_takes_no_memory(folder: Path) -> None:
    edit(folder, lambda c: c["encoder"].update(hidden=16384, layers=64))  # half a terabyte
    with pytest.raises(InputError, match="shape"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=3), wording("format-3-update")),
        (lambda c: c.pop("format"), wording("names-no-format")),
        (lambda c: c["encoder"].update(kind="lstn"), "kind"),
        (lambda c: c["encoder"].update(hiden=8), "encoder.hiden: .*'hidden'"),
        (lambda c: c["encoder"].update(hidden=10**12), "hidden"),
        (lambda c: c["features"].update(sample_rate=0), "sample_rate"),
        (lambda c: c["features"].update(num_mel_bins=10**9), "num_mel_bins"),
        (lambda c: c["text"].update(case="${oc.env:HOME}"), "case"),
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
    with pytest.raises(InputError, match=wording("heads-characters-has-shape")):
        load_model(folder)
    (folder / "tokens.txt").unlink()
    with pytest.raises(InputError, match=wording("no-tokens-txt")):
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
    header["heads.characters.bias"]["data_offsets"] = [0, 10**12]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(InputError, match="damaged"):
        load_model(folder)


def test_weights_that_are_not_numbers(folder: Path) -> None:
    model = load_model(folder)
    with torch.no_grad():
        model.recognizer.head.bias[0] = float("nan")
    save_model(folder, replace(model), "# card\n")
    with pytest.raises(InputError, match=wording("heads-characters-bias-holds-nan")):
        load_model(folder)


# ------------------------------------------------------------------------------------------------ for decoding

OPTIONS = DecodingOptions(beam_size=7, nbest=2, lm_weight=0.7, beam_threshold=math.inf, lm_unit="word")
PRIOR = torch.tensor([0.5, 0.1, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03]).log()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_without_them_has_none_of_them(folder: Path) -> None:
    model = load_model(folder)
    assert (model.head.decoding, model.head.log_prior, model.trained_on, model.head.lm, model.head.lexicon) == (
        None,
    ) * 5
    update_model(folder, model)
    assert load_model(folder).head.decoding is None


def test_options_prior_keys_lm_and_lexicon_come_back(folder: Path, tmp_path: Path) -> None:
    save_ngram(read_ngram(unigram_arpa(tmp_path / "lm.arpa", WORDS)), folder / "lm.safetensors")
    (folder / "lexicon.txt").write_text("hello\nworld\tw o r l d\n")
    keys = utterance_keys([("u1", 1.5), ("u2", 2.25), ("u3", 3.0)])
    model = replace(with_head(load_model(folder), decoding=OPTIONS, log_prior=PRIOR), trained_on=keys)
    assert (model.head.lm, model.head.lexicon) == (folder / "lm.safetensors", folder / "lexicon.txt")
    save_model(tmp_path / "copy", model, "# card\n")
    loaded = load_model(tmp_path / "copy")
    assert loaded.head.decoding == OPTIONS
    assert torch.equal(loaded.head.log_prior, PRIOR)
    assert torch.equal(loaded.trained_on, keys)
    assert loaded.trained_on.dtype == torch.int64
    for name in ("lm.safetensors", "lexicon.txt"):
        assert files(tmp_path / "copy")[name] == files(folder)[name]
    assert (loaded.head.lm, loaded.head.lexicon) == (
        tmp_path / "copy" / "lm.safetensors",
        tmp_path / "copy" / "lexicon.txt",
    )
    for name in ("lm.safetensors", "lexicon.txt"):
        content = (tmp_path / "copy" / name).read_bytes()
        (tmp_path / "copy" / name).unlink()
        with pytest.raises(InputError, match=wording("has-no-copy-the-whole", name)):
            load_model(tmp_path / "copy")
        (tmp_path / "copy" / name).write_bytes(content)
    save_model(tmp_path / "copy", loaded, "# again\n")  # at its own place
    assert load_model(tmp_path / "copy").head.lm == loaded.head.lm
    for name, value in load_model(folder).recognizer.state_dict().items():
        assert torch.equal(loaded.recognizer.state_dict()[name], value)


def test_an_update_writes_options_and_a_new_prior_and_nothing_else(folder: Path) -> None:
    before = files(folder)
    update_model(folder, with_head(load_model(folder), decoding=OPTIONS))
    assert {name for name, data in files(folder).items() if data != before.get(name)} == {"config.yaml"}
    keys = utterance_keys([("u", 1.0)])
    update_model(folder, replace(with_head(load_model(folder), log_prior=PRIOR), trained_on=keys))
    loaded = load_model(folder)
    assert torch.equal(loaded.head.log_prior, PRIOR)
    assert loaded.trained_on is not None
    assert loaded.head.decoding == OPTIONS
    assert loaded.config == CONFIG
    assert files(folder).keys() == before.keys()
    changed = files(folder)
    update_model(folder, with_head(loaded, decoding=DecodingOptions()))
    assert files(folder)["model.safetensors"] == changed["model.safetensors"]
    assert load_model(folder).head.decoding == DecodingOptions()


def test_keys_are_of_an_id_and_a_duration() -> None:
    keys = utterance_keys([("b", 2.0), ("a", 1.0), ("a", 2.0), ("c", 0.1234)])
    assert keys.tolist() == sorted(set(keys.tolist()))
    assert len(keys) == 4
    assert utterance_keys([("c", 0.12341)]).item() in keys.tolist()  # to the millisecond
    assert utterance_keys([("c", 0.125)]).item() not in keys.tolist()
    assert utterance_keys([]).dtype == torch.int64
    # Folders hold them, so they may never change: printf 'u1 1.500' | b2sum -l 64
    assert utterance_keys([("u1", 1.5)]).item().to_bytes(8, "little", signed=True).hex() == "bcbcb0a10d25b776"


@pytest.mark.parametrize(
    ("decoding", "message"),
    [
        ({"beam": 5}, "beam"),
        ({"beam_size": "many"}, "beam_size"),
        ({"beam_size": 1.5}, "beam_size"),
        ({"beam_size": [1]}, "beam_size"),
        ({"beam_size": None}, "beam_size"),
        ({"beam_size": -1}, "beam_size: -1"),
        ({"nbest": 0}, "nbest: 0"),
        ({"lm_weight": -0.5}, "lm_weight: -0.5"),
        ({"lm_weight": math.nan}, "lm_weight: nan"),
        ({"word_score": math.inf}, "word_score: inf"),
        ({"word_score": math.nan}, "word_score: nan"),
        ({"prior_weight": -math.inf}, "prior_weight: -inf"),
        ({"unk_score": {"a": 1}}, "unk_score"),
        ({"temperature": 0}, "temperature: 0.0"),
        ({"calibration": [1, 2, 3]}, "calibration: "),
        ({"calibration": [-1, 0]}, "calibration"),
        ({"calibration": [1, "x"]}, "calibration.1: 'x'"),
        ({"temperature": math.nan}, "temperature: nan"),
        ({"beam_threshold": math.nan}, "beam_threshold: nan"),
        ({"token_threshold": -1}, "token_threshold: -1.0"),
        ({"lm_unit": "letter"}, "lm_unit"),
        ({"hotword_boost": "${oc.env:HOME}"}, "hotword_boost"),
        ([1, 2], wording("decoding-is-no-mapping")),
        ("greedy", wording("decoding-is-no-mapping")),
        (7, wording("decoding-is-no-mapping")),
    ],
)
def test_decoding_options_that_cannot_be(folder: Path, decoding, message: str) -> None:
    edit(folder, lambda c: c.update(decoding=decoding))
    with pytest.raises(InputError, match=re.escape(message)) as error:
        load_model(folder)
    assert str(error.value).startswith(str(folder / "config.yaml"))


@pytest.mark.parametrize(("decoding", "expected"), [(None, None), ({}, DecodingOptions())])
def test_decoding_options_that_say_nothing(folder: Path, decoding, expected: DecodingOptions | None) -> None:
    edit(folder, lambda c: c.update(decoding=decoding))
    assert load_model(folder).head.decoding == expected


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"log_prior": PRIOR[:-1]}, wording("log-prior-has-shape-8")),
        ({"log_prior": PRIOR[None]}, wording("log-prior-has-shape-1")),
        ({"log_prior": torch.tensor(0.5)}, wording("log-prior-has-shape")),
        ({"log_prior": PRIOR.double()}, wording("log-prior-is-of-type")),
        ({"log_prior": torch.full((9,), math.nan)}, wording("log-prior-holds-nan-or")),
        ({"log_prior": torch.full((9,), -math.inf)}, wording("log-prior-holds-nan-or")),
        ({"trained_on": torch.zeros(3)}, wording("trained-on-is-of-type")),
        ({"trained_on": torch.zeros(3, dtype=torch.int32)}, wording("trained-on-is-of-type-2")),
        ({"trained_on": torch.zeros((3, 1), dtype=torch.int64)}, wording("trained-on-has-shape-3")),
        ({"trained_on": torch.tensor(3)}, wording("trained-on-has-shape")),
        ({"decoder": torch.zeros(3)}, wording("decoder-has-shape-3-the")),
    ],
)
def test_extras_that_cannot_be(folder: Path, extra: dict[str, torch.Tensor], message: str) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file({**load_file(path), **extra}, path)
    with pytest.raises(InputError, match=message) as error:
        load_model(folder)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("shape", [3, "3", None, {"0": 1}, [None], [-1], [1 << 62], ["x"], [[3]], [True], [1.0]])
@pytest.mark.parametrize("name", ["trained_on", "log_prior"])
def test_shapes_that_are_none(folder: Path, name: str, shape) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    end = len(data) - 8 - length
    header[name] = {"dtype": "I64" if name == "trained_on" else "F32", "shape": shape, "data_offsets": [end, end + 8]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :] + b"\0" * 8)
    with pytest.raises(InputError, match=r"model\.safetensors: "):
        load_model(folder)


def test_a_folder_of_before_kinds_had_their_own_settings(folder: Path) -> None:
    config = load_model(folder).config

    def as_it_was(c: dict) -> None:
        c["format"] = 1
        c["encoder"] |= {"heads": 4, "feed_forward": 0}
        c["criterion"] |= {"ctc_share": 0.1, "warm_up_epochs": 3, "order": 0}
        c["decoder"] |= {"hidden": 320, "cell": "lstm", "ctc_weight": 0.3, "start_epoch": 4}

    edit(folder, as_it_was)
    assert load_model(folder).config == config
    edit(folder, lambda c: c["encoder"].update(hiden=8))  # what no kind ever had is an error still
    with pytest.raises(InputError, match="hiden"):
        load_model(folder)


@pytest.mark.parametrize("part", ["encoder", "criterion", "decoder"])
def test_a_folder_never_causes_an_import(folder: Path, tmp_path: Path, part: str) -> None:
    """Whatever it names: a module beside it, one that is installed, one that would do harm."""
    (folder / "stranger.py").write_text("raise SystemExit('imported')\n")
    for kind in ("stranger", "asr.models.rnn:RnnConfig", "antigravity", "os"):
        edit(folder, lambda c, kind=kind: c.update({part: {"kind": kind}, "plugins": ["stranger", "antigravity"]}))
        with pytest.raises(InputError, match=r"stranger.*antigravity") as error:
            load_model(folder)
        assert f"{part}.kind" in str(error.value)
        assert {"stranger", "antigravity"}.isdisjoint(sys.modules)
