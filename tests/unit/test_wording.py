"""How messages are worded stands in tests/wording.py alone; other tests look at names, values, places, exit codes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import wording

TESTS = Path(wording.__file__).parent
FILES = sorted(path for path in TESTS.rglob("*.py") if path.name != "wording.py")


def calls(path: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def is_prose(text: str) -> bool:
    return len(re.findall(r"[A-Za-z]{2,}", re.sub(r"\\.", " ", text))) > 1 and " " in text.strip()


def test_no_error_is_known_by_its_wording() -> None:
    for path in FILES:
        for call in calls(path, "pytest.raises"):
            for keyword in call.keywords:
                if keyword.arg == "match" and isinstance(keyword.value, ast.Constant):
                    assert not is_prose(str(keyword.value.value)), f"{path}, line {call.lineno}"


def test_every_wording_is_used_and_there() -> None:
    used = {ast.literal_eval(call.args[0]) for path in FILES for call in calls(path, "wording")}
    assert used == wording._WORDING.keys()
