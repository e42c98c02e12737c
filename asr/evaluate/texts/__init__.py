"""Files of texts, whatever their format, and pairs of references and hypotheses. No torch here."""

from asr.evaluate.texts.contents import Texts as Texts
from asr.evaluate.texts.pairing import Pairs as Pairs, pair as pair
from asr.evaluate.texts.reader import (
    as_references as as_references,
    read_lines as read_lines,
    read_speakers as read_speakers,
    read_texts as read_texts,
)
