"""Search: greedy, CTC prefix beam, attention, two passes, rescoring, hot words; forced alignment of tokens."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.decode.align import align_tokens as align_tokens
    from asr.decode.ctc_beam import CtcBeamDecoder as CtcBeamDecoder
    from asr.decode.greedy import greedy_search as greedy_search
    from asr.decode.hotwords import read_hotwords as read_hotwords
    from asr.decode.search import Decoder as Decoder, build_search as build_search
    from asr.models.decoding_options import DecodingOptions as DecodingOptions

_HOMES = {
    "CtcBeamDecoder": ".ctc_beam",
    "Decoder": ".search",
    "DecodingOptions": "..models.decoding_options",
    "align_tokens": ".align",
    "build_search": ".search",
    "greedy_search": ".greedy",
    "read_hotwords": ".hotwords",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
