"""The evaluation report: how good a system is, where it fails, whether another is better; one HTML file."""

from asr.evaluate.report.page import report_page, write_report
from asr.evaluate.report.results import Results, Row, Word, inputs_of, read_results

__all__ = ["Results", "Row", "Word", "inputs_of", "read_results", "report_page", "write_report"]
