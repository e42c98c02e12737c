"""Greedy CTC decoding: the best token of each frame. B batch, T frames, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asr.data.transcript import Hypothesis, Word
from asr.models.decoding_options import DecodingOptions, with_options
from asr.text.tokenizer import BLANK_ID, SPACE, WORD_MARK

if TYPE_CHECKING:
    from torch import Tensor

    from asr.decode.search import EncoderOutput


@dataclass
class GreedySearch:
    """The most probable path of each utterance; a Search. Its fields are as `greedy_search` has them."""

    tokens: Sequence[str]
    frame_seconds: float
    words: bool = True
    apart: bool = False
    options: DecodingOptions = field(default_factory=DecodingOptions)
    needs_states, has_times, lm_share, length_norm, ctc = False, True, 1.0, 0.0, None

    def nbest(self, out: EncoderOutput, names: Sequence[str] | None = None) -> list[list[Hypothesis]]:
        """One hypothesis of each utterance."""
        how: dict[str, Any] = {"frame_seconds": self.frame_seconds, "words": self.words, "apart": self.apart}
        return [[hypothesis] for hypothesis in greedy_search(*out[:2], self.tokens, **how)]

    def add_times(self, out: EncoderOutput, nbest: Sequence[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """The same: paths have times and confidences."""
        return list(nbest)

    def with_options(self, **changes: Any) -> GreedySearch:
        """The same: none of the options is of greedy search."""
        return replace(self, options=with_options(self.options, changes))


def greedy_search(
    log_probs: Tensor | npt.NDArray[np.float32],
    lens: Tensor | npt.NDArray[np.int64],
    tokens: Sequence[str],
    *,
    frame_seconds: float,
    words: bool = True,
    apart: bool = False,
) -> list[Hypothesis]:
    """The most probable path of each utterance, repetitions merged, blanks dropped.

    A token lasts as long as its run of frames and is as sure as the best of them; a word is as sure as the least
    sure of its tokens.

    Args:
        log_probs: (B, T, V), natural logarithms.
        lens: (B,), real frames.
        tokens: The V tokens, blank first.
        frame_seconds: Seconds from frame to frame.
        words: Whether spaces separate words; else each token is a word of its own, and nothing joins them.
        apart: Each token is a word of its own, and spaces join them (phones).
    """
    x = log_probs.detach().cpu().numpy() if hasattr(log_probs, "detach") else log_probs
    scores, ids = x.max(2), x.argmax(2)  # (B, T)
    return [
        _hypothesis(scores[i, :n], ids[i, :n], tokens, frame_seconds, words, apart) for i, n in enumerate(lens.tolist())
    ]


def _hypothesis(
    scores: npt.NDArray[np.float32],
    ids: npt.NDArray[np.int64],
    tokens: Sequence[str],
    frame_seconds: float,
    words: bool,
    apart: bool,
) -> Hypothesis:
    units: list[Word] = []
    frame = 0
    for token_id, run in groupby(ids.tolist()):
        begin, frame = frame, frame + len(list(run))
        if token_id != BLANK_ID:
            confidence = float(np.exp(scores[begin:frame].max()))
            units.append(Word(tokens[token_id], begin * frame_seconds, frame * frame_seconds, min(confidence, 1.0)))
    score = float(scores.sum())
    return said(units, words=words, apart=apart, score=score, acoustic_score=score)


def said(units: Sequence[Word], *, words: bool, apart: bool = False, **scores: float) -> Hypothesis:
    """What tokens with their times say; `words` and `apart` as in `greedy_search`."""
    if apart:
        joined = list(units)
    elif words:
        joined = join_words(units)
    else:
        joined = [unit for unit in units if unit.text != SPACE]
    text = (" " if words or apart else "").join(word.text for word in joined)
    return Hypothesis(text, tuple(joined), tokens=tuple(units), **scores)


def written_tokens(units: Sequence[Word]) -> list[str]:
    """The tokens of a text: of those that CTC hears, without spaces at its ends and behind other spaces."""
    found: list[str] = []
    for unit in units:
        if unit.text != SPACE or (found and found[-1] != SPACE):
            found.append(unit.text)
    return found[:-1] if found[-1:] == [SPACE] else found


def join_words(units: Sequence[Word]) -> list[Word]:
    """Tokens with their times -> words: what stands between two spaces, or marks of SentencePiece."""
    if any(unit.text.startswith(WORD_MARK) for unit in units):
        cut: list[Word] = []
        for unit in units:
            if unit.text.startswith(WORD_MARK):
                cut.append(replace(unit, text=SPACE))
            if rest := unit.text.removeprefix(WORD_MARK):
                cut.append(replace(unit, text=rest))
        units = cut
    joined = []
    for is_space, group in groupby(units, key=lambda unit: unit.text == SPACE):
        if not is_space:
            parts = list(group)
            joined.append(
                Word(
                    "".join(part.text for part in parts),
                    parts[0].start,
                    parts[-1].end,
                    min(part.confidence for part in parts),
                )
            )
    return joined
