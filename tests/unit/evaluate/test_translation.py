"""BLEU and chrF against their formulas; from the command line; without sacrebleu."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.evaluate.translation import score_translations
from asr.evaluate.wer import score
from asr.utils.errors import InputError

SAID = ["il mange du pain ce matin", "le chat dort bien ici"]
HEARD = ["il mange du pain le matin", "le chat dort ici"]


def ngrams(words: list[str] | str, n: int) -> Counter[str]:
    return Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu(references: list[str], hypotheses: list[str]) -> float:
    """Papineni et al. 2002, equations 1 to 3."""
    precisions = []
    for n in range(1, 5):
        pairs = [(ngrams(h.split(), n), ngrams(r.split(), n)) for r, h in zip(references, hypotheses, strict=True)]
        precisions.append(sum((h & r).total() for h, r in pairs) / sum(h.total() for h, _ in pairs))
    said, heard = (sum(len(text.split()) for text in texts) for texts in (references, hypotheses))
    penalty = min(1.0, math.exp(1 - said / heard))
    return 100 * penalty * math.exp(sum(map(math.log, precisions)) / 4)


def test_bleu_by_the_formula() -> None:
    found = score_translations(SAID, HEARD)
    assert found.bleu == pytest.approx(bleu(SAID, HEARD), abs=1e-6)
    assert 50 < found.chrf < 90
    assert "tok:13a" in found.signatures[0]
    assert "nc:6" in found.signatures[1]
    assert score_translations(SAID, SAID).as_dict() | {"signatures": ()} == {
        "bleu": pytest.approx(100),
        "chrf": pytest.approx(100),
        "signatures": (),
    }


def test_it_is_part_of_the_scores() -> None:
    scores = score(SAID, HEARD, translation=True)
    assert scores.as_dict()["translation"]["bleu"] == pytest.approx(bleu(SAID, HEARD))
    assert scores.summary().endswith(f"utterances wrong; {scores.translation}")
    assert "translation" not in score(SAID, HEARD).as_dict()


def test_from_the_command_line(tmp_path: Path) -> None:
    for name, texts in (("ref", SAID), ("hyp", HEARD)):
        (tmp_path / name).write_text("\n".join(texts) + "\n")
    words = ["score", str(tmp_path / "ref"), str(tmp_path / "hyp"), "--lines", "--translation"]
    assert f"BLEU {bleu(SAID, HEARD):.2f}, chrF" in CliRunner().invoke(app, words).output
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert found["translation"]["bleu"] == pytest.approx(bleu(SAID, HEARD))


def test_without_sacrebleu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(InputError, match=wording("need-sacrebleu-pip-install-translation")):
        score(SAID, HEARD, translation=True)
