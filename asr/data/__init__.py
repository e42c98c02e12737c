"""Utterances: cuts and batches, transcripts and their formats, annotation files; `check` is what validates them."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.data.batches import Batch as Batch, load_batches as load_batches
    from asr.data.check.check import check_data as check_data, read_splits as read_splits
    from asr.data.check.report import report_text as report_text
    from asr.data.cuts import Utterance as Utterance, read_cuts as read_cuts
    from asr.data.elan import read_eaf as read_eaf
    from asr.data.elan_writer import add_tiers as add_tiers
    from asr.data.formats import FORMATS as FORMATS
    from asr.data.textgrid import read_textgrid as read_textgrid
    from asr.data.transcript import Hypothesis as Hypothesis, Segment as Segment, Transcript as Transcript, Word as Word

_HOMES = {
    "Batch": ".batches",
    "FORMATS": ".formats",
    "Hypothesis": ".transcript",
    "Segment": ".transcript",
    "Transcript": ".transcript",
    "Utterance": ".cuts",
    "Word": ".transcript",
    "add_tiers": ".elan_writer",
    "check_data": ".check.check",
    "load_batches": ".batches",
    "read_cuts": ".cuts",
    "read_eaf": ".elan",
    "read_splits": ".check.check",
    "read_textgrid": ".textgrid",
    "report_text": ".check.report",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
