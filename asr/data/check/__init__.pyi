from .check import cache_path as cache_path, check_data as check_data, read_splits as read_splits
from .page import (
    AugmentedExample as AugmentedExample,
    augmented_examples as augmented_examples,
    report_page as report_page,
)
from .report import (
    Example as Example,
    Finding as Finding,
    Report as Report,
    SplitFacts as SplitFacts,
    report_text as report_text,
)
