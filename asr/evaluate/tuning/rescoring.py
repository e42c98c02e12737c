"""How much a neural language model counts where it chooses among texts that were found: found on a dev set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asr.data.transcript import Hypothesis
from asr.decode.rescoring import Rescoring
from asr.evaluate.wer import Scores, Unit, score

WEIGHTS = tuple(n / 10 for n in range(11))


def best_rescoring(
    rescoring: Rescoring, warped: Sequence[Sequence[Sequence[Hypothesis]]], references: Sequence[str], unit: Unit
) -> tuple[float, list[Hypothesis], Scores]:
    """The weight with the fewest errors (of equals the least), what is heard with it, and its scores.

    Args:
        rescoring: Its options are those of the search.
        warped: Texts of each utterance, with each warp of the mel axis.
    """
    sure = [[rescoring.log_probs(several) for several in texts] for texts in warped]
    own, found = rescoring.options, []
    for weight in WEIGHTS:
        rescoring.options = replace(own, rescore_weight=weight, nbest=1)
        best = [
            [rescoring.chosen(several, log_probs)[0] for several, log_probs in zip(*each, strict=True)]
            for each in zip(warped, sure, strict=True)
        ]
        heard = [max(of_warps, key=lambda h: h.score) for of_warps in zip(*best, strict=True)]
        found.append((weight, heard, score(references, [each.text for each in heard], unit=unit)))
    rescoring.options = own
    return min(found, key=lambda each: each[2].error.errors)
