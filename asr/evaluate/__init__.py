"""Error rates and how sure they are, evaluation of a set, options tuned on a dev set, the report."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.evaluate.evaluation import evaluate as evaluate
    from asr.evaluate.report.page import write_report as write_report
    from asr.evaluate.significance import (
        Comparison as Comparison,
        Interval as Interval,
        compare as compare,
        confidence_interval as confidence_interval,
    )
    from asr.evaluate.texts import read_texts as read_texts
    from asr.evaluate.translation import score_translations as score_translations
    from asr.evaluate.tuning.tune import Tuning as Tuning, tune as tune
    from asr.evaluate.wer import Scores as Scores, score as score

_HOMES = {
    "Comparison": ".significance",
    "Interval": ".significance",
    "Scores": ".wer",
    "Tuning": ".tuning.tune",
    "compare": ".significance",
    "confidence_interval": ".significance",
    "evaluate": ".evaluation",
    "read_texts": ".texts",
    "score": ".wer",
    "score_translations": ".translation",
    "tune": ".tuning.tune",
    "write_report": ".report.page",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
