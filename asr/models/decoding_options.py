"""How to search: what a model folder keeps, and the command line changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, get_args

from asr.utils.config import require

LmUnit = Literal["auto", "word", "token"]
SearchKind = Literal["auto", "ctc", "attention", "two-pass"]
MOST_HYPOTHESES = 1 << 30

MOST_SCORE = 300.0  # of a word: far beyond what is of use, and its exponential is still a number
_RANGES = {
    "lm_weight": (0, 20),
    "prior_weight": (0, 20),
    "word_score": (-MOST_SCORE, MOST_SCORE),
    "unk_score": (-MOST_SCORE, MOST_SCORE),
    "unk_letter_score": (-MOST_SCORE, 0),
    "hotword_boost": (-MOST_SCORE, MOST_SCORE),
    "temperature": (1e-3, 1e6),
    "beam_threshold": (0, math.inf),
    "token_threshold": (0, math.inf),
    "ctc_weight": (0, 1),
    "length_reward": (-MOST_SCORE, MOST_SCORE),
    "length_norm": (0, 2),
    "end_factor": (1, math.inf),
    "rescore_weight": (0, 1),
}


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How to search. Scores are natural logarithms."""

    beam_size: int = 100  # hypotheses that are kept; 0: all
    nbest: int = 1  # hypotheses that are returned
    lm_weight: float = 0.8  # of the language model's log-probability
    word_score: float = 0.0  # added for each word
    unk_score: float = -5.0  # added for each word that the language model does not know
    unk_letter_score: float = -1.5  # added for each letter of those that no list has; 0 or below
    prior_weight: float = 0.0  # of the tokens' log prior, which is subtracted
    hotword_boost: float = 5.0  # of hot words that come without one
    temperature: float = 1.0  # by which scores are divided before confidences are taken from them
    # slope and offset of confidences' log odds: asr.decode.confidence
    calibration: tuple[float, float] = (1.0, 0.0)
    beam_threshold: float = 15.0  # hypotheses that are worse than the best by more are dropped; inf: none
    token_threshold: float = 8.0  # tokens that are worse than the frame's best by more are passed over; inf: none
    # factors that the mel axis is stretched by: all are heard, and that with the best score counts (test-time
    # vocal-tract normalisation); empty: as it is
    warps: tuple[float, ...] = ()
    lm_unit: LmUnit = "auto"  # what the model is over; auto: tokens if nothing ends words
    # of a model with an attention decoder. ctc: it is not asked. attention: it says the tokens one by one, joined with
    # CTC by ctc_weight. two-pass: the best texts of CTC's search, chosen by both. auto: two-pass where a lexicon or a
    # language model takes part, else attention
    search: SearchKind = "auto"
    attention_beam: int = 10  # hypotheses that are kept; of two-pass, texts
    ctc_weight: float = 0.3  # of CTC beside attention, which has the rest; 0: attention alone
    length_reward: float = 0.0  # added for each token
    length_norm: float = 0.0  # 0: scores as they are; 1: a token's (attention alone prefers short texts)
    # a text may end where the end's log-probability is at most so many times that of the best token (Hannun et al.
    # 2019): against texts that are cut short; inf: anywhere
    end_factor: float = math.inf
    # of a neural language model that chooses among the texts that were found
    rescore_beam: int = 50  # texts
    rescore_weight: float = 0.5  # of it, of the language models' part; the other one has the rest

    def __post_init__(self) -> None:
        for name, low in (("beam_size", 0), ("nbest", 1), ("attention_beam", 1), ("rescore_beam", 1)):
            value = getattr(self, name)
            whole = isinstance(value, int) and low <= value <= MOST_HYPOTHESES
            require(whole, f"{name} {value} is not a whole number from {low} to {MOST_HYPOTHESES}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            require(least <= value <= most, f"{name} {value} is not between {least:g} and {most:g}")
        tame = len(self.calibration) == 2 and 0 < self.calibration[0] <= 1000 and abs(self.calibration[1]) <= 1000
        require(tame, f"calibration {list(self.calibration)} is not a slope above 0 and an offset, of 1000 at most")
        few = len(self.warps) <= 16 and all(0.5 <= warp <= 2 for warp in self.warps)
        require(few, f"warps {list(self.warps)} are not up to 16 factors between 0.5 and 2")
        require(self.lm_unit in ("auto", "word", "token"), f"lm_unit {self.lm_unit!r} is not auto, word or token")
        known = get_args(SearchKind)
        require(self.search in known, f"search {self.search!r} is none of {', '.join(known)}")


class DecodingChanges(TypedDict, total=False):
    """Fields of DecodingOptions as keyword arguments, for type checkers and editors."""

    beam_size: int
    nbest: int
    lm_weight: float
    word_score: float
    unk_score: float
    unk_letter_score: float
    prior_weight: float
    hotword_boost: float
    temperature: float
    calibration: tuple[float, float]
    beam_threshold: float
    token_threshold: float
    warps: tuple[float, ...]
    lm_unit: LmUnit
    search: SearchKind
    attention_beam: int
    ctc_weight: float
    length_reward: float
    length_norm: float
    end_factor: float
    rescore_beam: int
    rescore_weight: float


def with_options(options: DecodingOptions, changes: Mapping[str, Any]) -> DecodingOptions:
    """Options with some fields changed; an InputError where there is no such field."""
    known = {field.name for field in fields(DecodingOptions)}
    for name in changes:
        require(name in known, f"there is no option {name!r}: there are {', '.join(sorted(known))}")
    return replace(options, **changes)
