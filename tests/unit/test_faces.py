"""What each room names as public, and what the commands import."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
from helpers import spelled, speller
from wording import wording

import asr
import data_prep
from asr.decode import build_search
from asr.inference import Transcriber
from asr.inference.transcriber import SearchOptions, TranscriberOptions
from asr.models.decoding_options import DecodingChanges, DecodingOptions
from asr.utils.config import settings

ROOMS = ["audio", "data", "decode", "evaluate", "inference", "lm", "models", "text", "train", "utils"]
PACKAGES = [f"asr.{room}" for room in ROOMS] + ["data_prep"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert dir(module) == module.__all__
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        module.nothing  # noqa: B018


def test_no_public_name_is_a_submodule() -> None:
    """Python would hand out the module as soon as anybody imports it."""
    packages = [asr, *(importlib.import_module(name) for name in PACKAGES)]
    for module in pkgutil.walk_packages(asr.__path__, "asr."):
        if module.ispkg and module.name not in ("asr.cli", "asr.shipped"):
            packages.append(importlib.import_module(module.name))
    for package in packages:
        public = set(getattr(package, "__all__", ()))
        assert not public & {module.name for module in pkgutil.iter_modules(package.__path__)}, package.__name__


def test_the_rooms_are_those_of_the_linter() -> None:
    here = {module.name for module in pkgutil.iter_modules(asr.__path__) if module.ispkg}
    assert here == {*ROOMS, "cli"}


def test_the_face_of_the_package() -> None:
    assert dir(asr) == sorted(asr.__all__)
    assert asr.errors.InputError is asr.InputError
    assert asr.available_models() == ["digits-en", "english-small", "yesno-he"]
    with pytest.raises(asr.errors.InputError, match=wording("no-such-model")):
        asr.load("digits")
    with pytest.raises(AttributeError):
        asr.model  # noqa: B018


def test_errors_are_there_before_anything_is_loaded() -> None:
    code = "import sys, asr; asr.errors.InputError; print(sorted({'torch', 'numba', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_options_of_decoding_are_the_same_everywhere() -> None:
    known = {each.name: each.type for each in settings(DecodingOptions)}
    assert get_type_hints(DecodingChanges) == known
    load = set(inspect.signature(asr.load).parameters) - {"model", "decoding"}
    assert get_type_hints(TranscriberOptions).keys() == load | known.keys()
    searched = set(inspect.signature(build_search).parameters) - {"model", "changes", "threads"}
    assert get_type_hints(SearchOptions).keys() == searched | known.keys()
    assert set(inspect.signature(Transcriber).parameters) - {"model", "search"} == load - searched - {"head"}


def test_a_transcriber_says_what_it_is() -> None:
    shown = repr(Transcriber(speller(), vad=False, beam_size=7, device="cpu"))
    assert shown.startswith("<Transcriber ")
    for part in ("rnn of ", "characters of audio at 8,000 Hz", "search beam", "on the CPU"):
        assert part in shown, shown


def test_aligned_in_one_call() -> None:
    recognizer = Transcriber(speller(), vad=False)
    words = asr.align(spelled("cat tack"), "cat tack", recognizer, 8000)
    assert [word.text for word in words] == ["cat", "tack"]
    assert words[0].end <= words[1].start
    assert words[1].end == pytest.approx(len(spelled("cat tack")) / 8000, abs=0.2)
    with pytest.raises(asr.InputError, match=wording("no-such-file")):
        asr.align("missing.wav", "cat", recognizer)


@pytest.mark.parametrize(
    "words", [["--help"], ["score", "r.txt", "h.txt"], ["prepare", "table", "t.csv", "--out", "o"]], ids=str
)
def test_what_needs_no_network_imports_neither_torch_nor_numba(words: list[str], tmp_path: Path) -> None:
    import soundfile

    for name in ("r.txt", "h.txt"):
        (tmp_path / name).write_text("a b c\n")
    for i in range(30):
        soundfile.write(tmp_path / f"{i}.wav", spelled("cat"), 8000)
    rows = [f"{i}.wav,cat" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["path,text", *rows]) + "\n")
    code = f"""
import sys
sys.argv = ["asr", *{words!r}]
from asr.cli import main
try:
    main()
except SystemExit as e:
    print("exit", e.code or 0)
print(sorted({{"torch", "numba", "lhotse", "librosa", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.endswith("exit 0\n[]\n"), done.stdout + done.stderr


def test_modules_of_data_prep_that_are_shared_are_no_corpora() -> None:
    from asr.cli.prepare import corpora

    modules = {module.name for module in pkgutil.iter_modules(data_prep.__path__)}
    assert {"fsdd", "kaldi", "table"} <= set(corpora())
    assert set(corpora()) == {name for name in modules if not name.startswith("_")}
    assert all(callable(importlib.import_module(f"data_prep.{name}").prepare) for name in corpora())


def test_what_the_pages_import_is_there() -> None:
    root = Path(asr.__file__).parents[1]
    pages = [root / "README.md", *root.glob("docs/*.md"), *root.glob("recipes/*/README.md")]
    lines = {
        line.strip()
        for page in pages
        for line in page.read_text(encoding="utf-8").splitlines()
        if re.match(r" *from (asr|data_prep)[\w.]* import ", line)
    }
    assert len(lines) > 10
    for line in lines:
        exec(line, {})
