"""One's own recordings, transcribed in ELAN: a folder of .eaf files.

Tiers are chosen by name (`--tier Phrase`, `--tier "*@Maria"`) or by linguistic type; a speaker is a tier's PARTICIPANT,
or what stands behind the @ of its name. Texts that share the time of one above (words of a phrase) are joined. See
data_prep._annotations.
"""

from __future__ import annotations

from functools import partial

from asr.data.elan import read_eaf
from data_prep._annotations import prepare_annotations

prepare = partial(prepare_annotations, "elan", read_eaf, ".eaf")
