from .align import align_tokens as align_tokens
from .ctc_beam import CtcBeamDecoder as CtcBeamDecoder
from .greedy import greedy_search as greedy_search
from .hotwords import read_hotwords as read_hotwords
from .search import Decoder as Decoder, EncoderOutput as EncoderOutput, Search as Search, build_search as build_search
