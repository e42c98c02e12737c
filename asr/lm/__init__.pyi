from .corpus import read_corpus as read_corpus
from .files import read_ngram as read_ngram, save_ngram as save_ngram
from .interpolation import interpolate as interpolate
from .kneser_ney import EstimateOptions as EstimateOptions, estimate_ngram as estimate_ngram
from .lines import read_sentences as read_sentences
from .ngram import NgramModel as NgramModel, Perplexity as Perplexity
from .pruning import prune as prune
