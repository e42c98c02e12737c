"""Audio of any length -> transcripts, and the times of the words of a known text."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.inference.aligner import (
        align as align,
        align_audio as align_audio,
        by_lines as by_lines,
        by_pauses as by_pauses,
        doubt as doubt,
    )
    from asr.inference.attention_map import draw_attention as draw_attention
    from asr.inference.transcriber import Transcriber as Transcriber

_HOMES = {
    "Transcriber": ".transcriber",
    "align": ".aligner",
    "align_audio": ".aligner",
    "by_lines": ".aligner",
    "by_pauses": ".aligner",
    "doubt": ".aligner",
    "draw_attention": ".attention_map",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
