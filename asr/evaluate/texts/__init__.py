"""Files of texts, whatever their format, and pairs of references and hypotheses. No torch here."""

from asr.evaluate.texts.contents import Texts as Texts
from asr.evaluate.texts.pairing import Pairs as Pairs, pair as pair
from asr.evaluate.texts.reader import (
    read_lines as read_lines,
    read_references as read_references,
    read_speakers as read_speakers,
    read_texts as read_texts,
)
