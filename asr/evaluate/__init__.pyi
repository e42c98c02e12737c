from .evaluation import evaluate as evaluate
from .report.page import write_report as write_report
from .significance import (
    Comparison as Comparison,
    Interval as Interval,
    compare as compare,
    confidence_interval as confidence_interval,
)
from .texts import Texts as Texts, pair as pair, read_texts as read_texts
from .translation import score_translations as score_translations
from .tuning.tune import Tuning as Tuning, tune as tune
from .wer import Scores as Scores, score as score
