"""What CTC thinks of the beginnings of texts, for a search that goes on token by token.

Watanabe et al., "Hybrid CTC/attention architecture for end-to-end speech recognition", 2017, algorithm 2. There a loop
over frames is needed for each token that a beginning might go on with. Here all are had at once: a beginning g and a
token c have the probability

    psi(g c) = sum over t of phi(t) p(t, c)

where phi(t) is that of g having been said before frame t (whatever comes next, but for g's own last token, which needs
a blank before it is said again): a product of matrices. The loop is for those that go on alone.

B utterances, K beginnings of each, T frames, V tokens, blank first. Logarithms are natural, sums in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr.utils.jit import warm_up


@dataclass(frozen=True)
class Prefixes:
    """K beginnings of each utterance."""

    forward: Tensor  # (B, K, T, 2): log-probability that it was said by frame t, the last token heard there, or a blank
    last: Tensor  # (B, K): its last token; 0 where it is empty


class CtcPrefixScorer:
    """Scores beginnings by CTC's log-probabilities (B, T, V) of utterances with lengths (B,)."""

    def __init__(self, log_probs: Tensor, lens: Tensor) -> None:
        x = log_probs.detach().cpu().double().clamp(min=-690.0)  # such that its exponential is a number
        beyond = torch.arange(x.shape[1]) >= lens.cpu()[:, None]  # (B, T): blanks for sure, where nothing is said
        x = x.masked_fill(beyond[:, :, None], -690.0)
        x[:, :, 0] = x[:, :, 0].masked_fill(beyond, 0.0)
        self.log_probs, self._probs = x, x.exp()

    def start(self) -> Prefixes:
        """The empty beginning, one of each utterance."""
        silent = self.log_probs[:, :, 0].cumsum(1)  # (B, T)
        forward = torch.stack([torch.full_like(silent, -torch.inf), silent], dim=2)[:, None]
        return Prefixes(forward, torch.zeros(len(silent), 1, dtype=torch.long))

    def scores(self, prefixes: Prefixes) -> Tensor:
        """(B, K, V): log-probability of all texts that begin so and go on with each token; of 0, that it ends there."""
        phi, again = self._before(prefixes)
        top = phi.amax(dim=2, keepdim=True).clamp(min=-1e30)  # (B, K, 1)
        found = (torch.bmm((phi - top).exp(), self._probs)).log() + top  # (B, K, V)
        repeated = self.log_probs.gather(2, prefixes.last[:, None].expand(-1, phi.shape[2], -1)).transpose(1, 2)
        found = found.scatter(2, prefixes.last[:, :, None], torch.logsumexp(again + repeated, dim=2, keepdim=True))
        found[:, :, 0] = prefixes.forward[:, :, -1].logsumexp(dim=2)
        return found

    def chosen(self, prefixes: Prefixes, parents: Tensor, tokens: Tensor) -> Prefixes:
        """The beginnings `parents` (B, K'), each with a token more (B, K')."""
        from asr.decode import kernels

        phi, again = (self._chosen(x, parents) for x in self._before(prefixes))  # (B, K', T)
        repeats = tokens == prefixes.last.gather(1, parents)
        before = torch.where(repeats[:, :, None], again, phi).contiguous().numpy()
        x, said, forward = self.log_probs.numpy(), tokens.contiguous().numpy(), np.empty((*before.shape, 2))
        warm_up("joint search", kernels.extend, lambda: kernels.extend(x[:0], before[:0], said[:0], forward[:0]))
        kernels.extend(x, before, said, forward)
        return Prefixes(torch.from_numpy(forward), tokens)

    def _before(self, prefixes: Prefixes) -> tuple[Tensor, Tensor]:
        """(B, K, T) each: that a beginning was said before frame t, and that a blank followed."""
        shifted: Any = torch.nn.functional.pad(prefixes.forward[:, :, :-1], (0, 0, 1, 0), value=-torch.inf)
        empty = prefixes.last == 0
        shifted[:, :, 0, 1] = shifted[:, :, 0, 1].masked_fill(empty, 0.0)
        return shifted.logsumexp(dim=3), shifted[..., 1]

    @staticmethod
    def _chosen(x: Tensor, parents: Tensor) -> Tensor:
        return x.gather(1, parents[:, :, None].expand(-1, -1, x.shape[2]))
