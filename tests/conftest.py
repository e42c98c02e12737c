"""Fixtures. Real speech is looked for where $ASR_DATA points; what needs it is skipped, with the reason, elsewhere."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported: as the commands do, for a busy machine
if "PYTEST_XDIST_WORKER" in os.environ:  # others are at work beside this one
    os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

from asr.utils.files import data_home

if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(2)


TESTS = Path(__file__).parent
# Of whole commands the longest come first. The beam search is compiled once for the machine: by the first file of the
# rooms, while another process is at those from the ground up, which do without it.
ORDER = [
    *(f"integration/test_{name}.py" for name in ("wheel", "recipes", "own_data", "processes")),
    *("real", "browser", "integration"),
    "unit/decode/test_ctc_beam.py",
    *(f"unit/{room}" for room in ("utils", "audio", "lm", "text", "data")),
    *("data_prep", "recipes", "unit"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by their folder, and orders them."""

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(TESTS).as_posix()
        return next((number for number, start in enumerate(ORDER) if path.startswith(start)), len(ORDER))

    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in ("integration", "real", "browser"):
            item.add_marker(folder)
    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test wrote goes from one process to another as UTF-8: names of files may be none."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """Commands run in this process have the processor flush them: what comes after finds them again."""
    yield
    torch.set_flush_denormal(False)


def real_corpus(name: str) -> Path:
    folder = data_home() / name
    if not folder.is_dir():
        pytest.skip(f"no real speech at {folder}: put the corpus there, or set ASR_DATA")
    return folder


@pytest.fixture(scope="session")
def fsdd() -> Path:
    return real_corpus("fsdd")


@pytest.fixture(scope="session")
def yesno() -> Path:
    return real_corpus("yesno")


@pytest.fixture(scope="session")
def mboshi() -> Path:
    return real_corpus("mboshi")


@pytest.fixture(scope="session")
def librispeech() -> Path:
    return real_corpus("librispeech-mini")
