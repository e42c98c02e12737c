"""How to search: what a model folder keeps, and the command line changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from asr.utils.config import Config, require, setting, settings

LmUnit = Literal["auto", "word", "token"]
SearchKind = Literal["auto", "ctc", "attention", "two-pass"]
_SCORE = "[-300, 300]"  # of a word: far beyond what is of use, and its exponential is still a number
MOST_SCORE = 300.0
_COUNT = "[1, 1073741824]"


@dataclass(frozen=True, kw_only=True)
class DecodingOptions(Config):
    """The options of a search. Scores are natural logarithms (nats).

    The command lines of transcribe and evaluate, the table of docs/decoding.md and the checks are made of these fields.
    """

    beam_size: int = setting(100, "[0, 1073741824]", "Hypotheses that are kept; 0: all. Up: slower, fewer slips.")
    nbest: int = setting(1, _COUNT, "Hypotheses that are returned (json).")
    lm_weight: float = setting(0.8, "[0, 20]", "Weight of the language model's log-probability.")
    word_score: float = setting(0.0, _SCORE, "Added for each word. Up where words are missing.")
    unk_score: float = setting(-5.0, _SCORE, "Added for each word that the language model lacks. Up: more new words.")
    unk_letter_score: float = setting(-1.5, "[-300, 0]", "Added for each letter of unknown words that are in no list.")
    prior_weight: float = setting(0.0, "[0, 20]", "Weight of the tokens' log prior, subtracted. Up: more rare tokens.")
    hotword_boost: float = setting(5.0, _SCORE, "Score of hot words that come without one.")
    temperature: float = setting(1.0, "[0.001, 1000000]", "Divides scores before confidences are taken from them.")
    calibration: tuple[float, float] = setting(
        (1.0, 0.0), "[-1000, 1000]", "Slope and offset of the confidences' log odds; `asr tune` finds them."
    )
    beam_threshold: float = setting(15.0, "[0, inf]", "Hypotheses worse than the best by more are dropped.")
    token_threshold: float = setting(8.0, "[0, inf]", "Tokens worse than a frame's best by more are passed over.")
    warps: tuple[float, ...] = setting(
        (),
        "[0.5, 2]",
        "Factors that the mel axis is stretched by: all are tried, the best score counts (vocal-tract normalisation).",
    )
    lm_unit: LmUnit = setting("auto", help="What the language model is over; auto: tokens if nothing ends words.")
    search: SearchKind = setting(
        "auto",
        help="With an attention decoder. ctc: without it; attention: token by token, joined with CTC; two-pass: it"
        " chooses among CTC's texts; auto: two-pass with a lexicon or language model, else attention.",
    )
    attention_beam: int = setting(10, _COUNT, "Hypotheses of the attention decoder; of two-pass, texts.")
    ctc_weight: float = setting(0.3, "[0, 1]", "Weight of CTC beside attention, which has the rest.")
    length_reward: float = setting(0.0, _SCORE, "Added for each token, with attention.")
    length_norm: float = setting(0.0, "[0, 2]", "0: scores of attention as they are; 1: a token's.")
    end_factor: float = setting(
        math.inf, "[1, inf]", "How many times less likely than the best token an end may be (Hannun et al. 2019)."
    )
    rescore_beam: int = setting(50, _COUNT, "Texts that the neural language model chooses among.")
    rescore_weight: float = setting(0.5, "[0, 1]", "Weight of the neural language model; the other one has the rest.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.calibration) == 2 and self.calibration[0] > 0, "calibration is not a slope above 0, an offset")
        require(len(self.warps) <= 16, f"warps {list(self.warps)} are more than 16")


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


def with_options(options: DecodingOptions, changes: Mapping[str, Any], others: tuple[str, ...] = ()) -> DecodingOptions:
    """Options with some fields changed; an InputError where there is no such field.

    Args:
        others: Names that the message lists as well: options of the caller that are no fields.
    """
    known = [each.name for each in settings(DecodingOptions)]
    for name in changes:
        require(name in known, f"there is no option {name!r}: there are {', '.join([*others, *sorted(known)])}")
    return replace(options, **changes)
