"""What a criterion is: the loss of a CTC head. Each kind has a module of its own (docs/plugins.md); ctc is here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from torch import Tensor

from asr.lm.ngram import NgramModel
from asr.models.losses import Loss, ctc_loss
from asr.utils.config import KindConfig

# (log_probs (B, T, V), lens (B,), tokens (B, U), token_lens (B,)) -> Loss
Criterion: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Loss]


class CriterionConfig(KindConfig):
    """Base of criteria's configurations: what training lowers."""

    part: ClassVar[str] = "criterion"
    default_kind: ClassVar[str] = "ctc"
    kinds: ClassVar[dict[str, type[CriterionConfig]]] = {}
    uses_token_lm: ClassVar[bool] = False  # whether `estimate` gives a model, which is then kept in the model folder

    @property
    def warm_up_epochs(self) -> int:
        """The number of first epochs that learn with CTC instead."""
        return 0

    def estimate(self, sequences: Iterable[Sequence[int]], tokens: Sequence[str]) -> NgramModel | None:
        """The n-gram model of tokens that the criterion needs, from the training texts' token ids; None: it needs none.

        Greedy decoding uses it, too.
        """
        return None

    @abstractmethod
    def build(self, tokens: Sequence[str], token_lm: NgramModel | None) -> Criterion:
        """The loss of a head.

        Args:
            tokens: The V tokens, blank first.
            token_lm: What `estimate` gave.
        """


@CriterionConfig.register
@dataclass(frozen=True, kw_only=True)
class CtcConfig(CriterionConfig):
    """Connectionist temporal classification."""

    kind: Literal["ctc"] = "ctc"

    def build(self, tokens: Sequence[str], token_lm: NgramModel | None) -> Criterion:
        return ctc_loss
