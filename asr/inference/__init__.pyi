from .aligner import (
    align as align,
    align_audio as align_audio,
    by_lines as by_lines,
    by_pauses as by_pauses,
    doubt as doubt,
)
from .attention_map import draw_attention as draw_attention
from .transcriber import Transcriber as Transcriber
