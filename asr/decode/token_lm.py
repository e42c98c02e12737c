"""An n-gram model of tokens as a step function, for searches that go on token by token. B utterances, K hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asr.lm.files import read_ngram
from asr.lm.ngram import NgramModel
from asr.utils.errors import InputError
from asr.utils.jit import warm_up

LN10 = float(np.log(10.0))
_IMPOSSIBLE = -1e30


@dataclass(frozen=True)
class TokenLmState:
    """What was said of K hypotheses of each utterance."""

    nodes: Tensor  # (B, K): states of the model before the last token
    following: Tensor  # (B, K, V): and the nodes that each token leads to from there

    def chosen(self, parents: Tensor) -> TokenLmState:
        """Those of hypotheses `parents` (B, K')."""
        index = parents[:, :, None].expand(-1, -1, self.following.shape[2])
        return TokenLmState(self.nodes.gather(1, parents), self.following.gather(1, index))


class TokenLm:
    """Callable: tokens last said (B, K), state -> natural log-probabilities of the next (B, K, V), state.

    Token 0 is the end.

    Args:
        lm: A model, or its file.
        tokens: The V tokens, of which the first is CTC's blank.

    Raises:
        InputError: It is of other tokens.
    """

    def __init__(self, lm: NgramModel | str | Path, tokens: Sequence[str]) -> None:
        self.model = lm if isinstance(lm, NgramModel) else read_ngram(lm)
        known = [token for token in tokens[1:] if token in self.model.index]
        if not known or self.model.eos < 0:
            example = next((word for word in self.model.words if not word.startswith("<")), "nothing")
            raise InputError(
                f"is of other units ({example!r} is one) than the model's tokens ({tokens[1]!r} is one)",
                where=lm if isinstance(lm, str | Path) else "language model",
                remedy="this search takes a language model over tokens; of words: search=two-pass",
            )
        numbers = [self.model.eos, *(self.model.index.get(token, self.model.unk) for token in tokens[1:])]
        self._column = np.arange(len(tokens))  # of scores; those that the model lacks share that of <unk>
        self._column[[i for i, number in enumerate(numbers) if number == self.model.unk]] = len(tokens)
        self._token = np.full(len(self.model.words), -1, np.int64)
        self._token[numbers] = self._column

    def start(self, count: int) -> TokenLmState:
        """One hypothesis each of so many utterances."""
        nodes = torch.full((count, 1), self.model.start)
        return TokenLmState(nodes, nodes[:, :, None].expand(-1, -1, len(self._column)))

    def __call__(self, tokens: Tensor, state: TokenLmState) -> tuple[Tensor, TokenLmState]:
        from asr.lm.ngram_kernel import next_scores

        model = self.model
        nodes = state.following.gather(2, tokens[:, :, None])[..., 0].flatten().numpy()
        held = np.array([self._state(int(node)) for node in nodes], np.int64)
        scores = np.full((len(held), len(self._column) + 1), _IMPOSSIBLE)
        following = np.zeros(scores.shape, np.int64)
        given = self._token, model.word, model.log_prob, model.link, model.first, model.backoff
        warm_up("token model", next_scores, lambda: next_scores(held[:0], *given, scores[:0], following[:0]))
        next_scores(held, *given, scores, following)
        shape = (*tokens.shape, len(self._column))
        log_probs = torch.from_numpy(scores[:, self._column] * LN10).reshape(shape)
        known = torch.from_numpy(np.maximum(following[:, self._column], 0)).reshape(shape)
        return log_probs, TokenLmState(torch.from_numpy(held).reshape(tokens.shape), known)

    def _state(self, node: int) -> int:
        """The node, or its longest suffix that is a state."""
        model = self.model
        while node >= len(model.backoff) or not (node == 0 or model.is_state[node]):
            node = int(model.link[node])
        return node
