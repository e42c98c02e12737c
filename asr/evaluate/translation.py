"""BLEU and chrF of translations, through sacrebleu: for models whose text is in another language than the speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asr.utils.errors import InputError


@dataclass(frozen=True)
class TranslationScores:
    """Corpus BLEU (Papineni et al. 2002) and chrF2 (Popovic 2015), 0 to 100, one reference each."""

    bleu: float
    chrf: float
    signatures: tuple[str, str]  # sacrebleu's: how they were counted

    def __str__(self) -> str:
        return f"BLEU {self.bleu:.2f}, chrF {self.chrf:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def score_translations(references: Sequence[str], hypotheses: Sequence[str]) -> TranslationScores:
    """Scores hypotheses against references, one by one in order.

    Raises:
        InputError: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as e:
        raise InputError("BLEU and chrF need sacrebleu", remedy='pip install "kikitori[translation]"') from e
    metrics = BLEU(), CHRF()
    bleu, chrf = (float(metric.corpus_score(list(hypotheses), [list(references)]).score) for metric in metrics)
    return TranslationScores(bleu, chrf, (str(metrics[0].get_signature()), str(metrics[1].get_signature())))
