"""Transcripts as text: normalisation, tokens, words and their pronunciations. No torch."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.text.lexicon import Lexicon as Lexicon, read_lexicon as read_lexicon, write_lexicon as write_lexicon
    from asr.text.normalize import TextConfig as TextConfig, TextNormalizer as TextNormalizer
    from asr.text.pronunciations import pronounce as pronounce
    from asr.text.tokenizer import (
        Tokenizer as Tokenizer,
        TokenizerConfig as TokenizerConfig,
        load_tokenizer as load_tokenizer,
        train_tokenizer as train_tokenizer,
    )

_HOMES = {
    "Lexicon": ".lexicon",
    "TextConfig": ".normalize",
    "TextNormalizer": ".normalize",
    "Tokenizer": ".tokenizer",
    "TokenizerConfig": ".tokenizer",
    "load_tokenizer": ".tokenizer",
    "pronounce": ".pronunciations",
    "read_lexicon": ".lexicon",
    "train_tokenizer": ".tokenizer",
    "write_lexicon": ".lexicon",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
