from .lexicon import Lexicon as Lexicon, read_lexicon as read_lexicon, write_lexicon as write_lexicon
from .normalize import TextConfig as TextConfig, TextNormalizer as TextNormalizer
from .pronunciations import pronounce as pronounce
from .tokenizer import (
    Tokenizer as Tokenizer,
    TokenizerConfig as TokenizerConfig,
    load_tokenizer as load_tokenizer,
    train_tokenizer as train_tokenizer,
)
