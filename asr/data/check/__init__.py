"""What will go wrong in training, looked for before it does: texts, characters, audio, splits, lengths.

`check_data` finds facts and faults, `report_text` puts them on a screen, `Report.as_dict` into JSON. Thresholds are
such that a clean corpus (LibriSpeech) has no finding; docs/data.md tells what each means.
"""

from asr.data.check.check import cache_path, check_data, read_splits
from asr.data.check.page import AugmentedExample, augmented_examples, report_page
from asr.data.check.report import Example, Finding, Report, SplitFacts, report_text

__all__ = [
    "AugmentedExample",
    "Example",
    "Finding",
    "Report",
    "SplitFacts",
    "augmented_examples",
    "cache_path",
    "check_data",
    "read_splits",
    "report_page",
    "report_text",
]
