"""N-gram language models: estimated, pruned, interpolated, in ARPA and binary files. No torch."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.lm.corpus import read_corpus as read_corpus
    from asr.lm.files import read_ngram as read_ngram, save_ngram as save_ngram
    from asr.lm.interpolation import interpolate as interpolate
    from asr.lm.kneser_ney import EstimateOptions as EstimateOptions, estimate_ngram as estimate_ngram
    from asr.lm.lines import read_sentences as read_sentences
    from asr.lm.ngram import NgramModel as NgramModel, Perplexity as Perplexity
    from asr.lm.pruning import prune as prune

_HOMES = {
    "EstimateOptions": ".kneser_ney",
    "NgramModel": ".ngram",
    "Perplexity": ".ngram",
    "estimate_ngram": ".kneser_ney",
    "interpolate": ".interpolation",
    "prune": ".pruning",
    "read_corpus": ".corpus",
    "read_ngram": ".files",
    "read_sentences": ".lines",
    "save_ngram": ".files",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
