"""The attention decoder: encoder states and the tokens so far -> the next token's log-probabilities.

B batch, K hypotheses of each utterance (1 in training), T frames, U target tokens, V vocabulary, L layers, H hidden,
D encoder width, E embedding width, S attention heads.

Token 0, which is CTC's blank, is here both the start and the end of a text: so tokens have one number everywhere.

    decoder = AttentionDecoder(D, V)
    log_probs = decoder(encoder_out, lens, tokens, token_lens)          # all steps, the right tokens given
    memory, state = decoder.start(encoder_out, lens, beam=K)            # or one step at a time
    log_probs, state = decoder.step(tokens, state, memory)              # (B, K) -> (B, K, V)
    state = state.chosen(parents)                                       # hypotheses that go on, (B, K')
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asr.models.attention import AttentionKind, Memory, build_attention
from asr.models.cells import step
from asr.models.losses import Loss, label_smoothed_cross_entropy
from asr.models.shared_weights import Shared, shared, times
from asr.utils.config import Config, require, setting

END_ID = 0  # and start
CellKind = Literal["rnn", "lstm", "gru"]


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(Config):
    """An attention decoder beside the CTC head; none by default."""

    kind: Literal["none", "attention", "transformer"] = "none"  # attention: recurrent; transformer: without recurrence
    cell: CellKind = "lstm"
    hidden: int = setting(320, "[1, 16384]")
    layers: int = setting(1, "[1, 16]")
    embedding: int = setting(128, "[1, 16384]")
    attention: AttentionKind = "location"
    attention_dim: int = setting(128, "[1, 16384]")
    heads: int = setting(4, "[1, inf)")  # of multi-head attention, and of a Transformer
    feed_forward: int = setting(0, "[0, 65536]")  # of a Transformer's dense layers; 0: four times hidden
    dropout: float = setting(0.2, "[0, 1)")
    label_smoothing: float = setting(0.1, "[0, 1)")
    ctc_weight: float = setting(0.3, "[0, 1)")  # of CTC's loss, the decoder has the rest; 0: attention alone
    start_epoch: int = setting(
        4, "[1, inf)"
    )  # the first in which the decoder learns: CTC finds the alignment before (of ctc_weight 0: 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.kind != "transformer" or self.hidden % self.heads == 0,
            f"hidden {self.hidden} cannot be parted into {self.heads} heads of the same width",
        )
        require(
            self.attention != "multi-head" or self.attention_dim % self.heads == 0,
            f"attention_dim {self.attention_dim} cannot be parted into {self.heads} heads of the same width",
        )


@dataclass(frozen=True)
class DecoderState:
    """What the decoder remembers of K hypotheses of each utterance."""

    hidden: Tensor  # (L, B, K, H)
    cell: Tensor  # (L, B, K, H); of an LSTM
    fed: Tensor  # (B, K, H): what the step before said, which is fed in (Luong et al. 2015)
    weights: Tensor  # (B, S, K, T): where it looked

    def chosen(self, parents: Tensor) -> DecoderState:
        """Those of the hypotheses `parents` (B, K') alone, in that order."""

        deep, flat = parents[None, :, :, None], parents[:, :, None]
        return DecoderState(
            self.hidden.gather(2, deep.expand(*self.hidden.shape[:2], -1, self.hidden.shape[3])),
            self.cell.gather(2, deep.expand(*self.cell.shape[:2], -1, self.cell.shape[3])),
            self.fed.gather(1, flat.expand(-1, -1, self.fed.shape[2])),
            self.weights.gather(
                2, parents[:, None, :, None].expand(-1, self.weights.shape[1], -1, self.weights.shape[3])
            ),
        )


class AttentionDecoder(nn.Module):
    """Recurrent layers that look at the encoder's states once a token (Bahdanau et al. 2015, Chan et al. 2016).

    Args:
        encoder_dim: D.
        vocab_size: V.
        Others: as in DecoderConfig.
    """

    def __init__(
        self,
        encoder_dim: int,
        vocab_size: int,
        *,
        cell: CellKind = "lstm",
        hidden: int = 320,
        layers: int = 1,
        embedding: int = 128,
        attention: AttentionKind = "location",
        attention_dim: int = 128,
        heads: int = 4,
        dropout: float = 0.2,
        label_smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        self.label_smoothing, self.hidden, self.kind = label_smoothing, hidden, cell
        self.embedding = nn.Embedding(vocab_size, embedding)
        self.attention = build_attention(
            attention, query_dim=hidden, memory_dim=encoder_dim, dim=attention_dim, heads=heads
        )
        make: Callable[[int], nn.Module] = {
            "rnn": lambda width: nn.RNNCell(width, hidden),
            "lstm": lambda width: nn.LSTMCell(width, hidden),
            "gru": lambda width: nn.GRUCell(width, hidden),
        }[cell]
        self.cells = nn.ModuleList(make(hidden if i else embedding + hidden) for i in range(layers))
        self.joined = nn.Linear(hidden + self.attention.output_dim, hidden)
        self.output = nn.Linear(hidden, vocab_size)
        self.dropout = nn.Dropout(dropout)

    def start(
        self, encoder_out: Tensor, lens: Tensor, beam: int = 1, *, learning: bool = False
    ) -> tuple[Memory, DecoderState]:
        """What is looked at, of encoder states (B, T, D) with lengths (B,), and the state before the first token.

        Args:
            learning: As Attention.memory has it.
        """
        memory = self.attention.memory(encoder_out, lens, learning=learning)
        zeros = encoder_out.new_zeros(len(encoder_out), beam, self.hidden)
        layers = zeros.expand(len(self.cells), -1, -1, -1)
        return memory, DecoderState(layers, layers, zeros, self.attention.first(memory, beam))

    def step(self, tokens: Tensor, state: DecoderState, memory: Memory) -> tuple[Tensor, DecoderState]:
        """Tokens (B, K), those last said -> log-probabilities of the next ones (B, K, V), and the state after them."""
        said, state = self._look(self.dropout(self.embedding(tokens)), state, memory, self._step_weights())
        return self._log_probs(said), state

    def forward(self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor) -> Tensor:
        """Log-probabilities of each token, and of the end, given the right ones before it (teacher forcing).

        Args:
            encoder_out: (B, T, D).
            lens: (B,).
            tokens: (B, U), padded with anything.
            token_lens: (B,).

        Returns:
            (B, U + 1, V); of positions beyond an utterance's end there is something, which means nothing.
        """
        log_probs, _ = self.given(encoder_out, lens, tokens[:, None], token_lens[:, None])
        return log_probs[:, 0]

    def given(
        self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor, *, maps: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of K texts of each utterance, and where it looked for each of their tokens.

        Args:
            encoder_out: (B, T, D).
            lens: (B,).
            tokens: (B, K, U), padded with anything.
            token_lens: (B, K).
            maps: Whether to keep the weights.

        Returns:
            (B, K, U + 1, V) of the tokens and the end; the weights (B, S, K, U + 1, T).
        """
        learning = torch.is_grad_enabled()
        memory, state = self.start(encoder_out, lens, beam=tokens.shape[1], learning=learning)
        weights = self._step_weights(learning=learning)
        targets, _ = with_end(tokens.flatten(0, 1), token_lens.flatten())
        begun = targets.roll(1, dims=1).reshape(*tokens.shape[:2], -1)  # (B, K, U + 1), the start before the first
        begun[:, :, 0] = END_ID
        embedded = self.dropout(self.embedding(begun))
        said, looked = [], []
        for u in range(begun.shape[2]):
            each, state = self._look(embedded[:, :, u], state, memory, weights)
            said.append(each)
            looked.append(state.weights if maps else None)
        log_probs = self._log_probs(torch.stack(said, dim=2))
        return log_probs, torch.stack([each for each in looked if each is not None], dim=3) if maps else None

    def loss(self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor) -> Loss:
        """Cross-entropy of the tokens and the end, smoothed in training."""
        log_probs = self(encoder_out, lens, tokens, token_lens)
        smoothing = self.label_smoothing if self.training else 0.0
        return label_smoothed_cross_entropy(log_probs, *with_end(tokens, token_lens), smoothing=smoothing)

    def _step_weights(self, *, learning: bool = False) -> list[Tensor | Shared]:
        """The matrices that each step multiplies by: two of each layer, and that of `joined`."""
        of_cells = [weight.t() for cell in self._cells() for weight in (cell.weight_ih, cell.weight_hh)]
        return [shared(matrix) if learning else matrix for matrix in (*of_cells, self.joined.weight.t())]

    def _cells(self) -> Iterator[nn.RNNCellBase]:
        for cell in self.cells:
            assert isinstance(cell, nn.RNNCellBase)
            yield cell

    def _look(
        self, embedded: Tensor, state: DecoderState, memory: Memory, weights: Sequence[Tensor | Shared]
    ) -> tuple[Tensor, DecoderState]:
        """A step: embedded tokens (B, K, E) -> what is said (B, K, H)."""
        b, k, _ = embedded.shape
        x = torch.cat([embedded, state.fed], dim=2).flatten(0, 1)  # (B K, E + H)
        hidden, cells = [], []
        for layer, cell in enumerate(self._cells()):
            before, kept = state.hidden[layer].flatten(0, 1), state.cell[layer].flatten(0, 1)
            of_input = times(x, weights[2 * layer]) + cell.bias_ih
            of_state = times(before, weights[2 * layer + 1]) + cell.bias_hh
            h, kept = step(self.kind, of_input, of_state, before, kept)
            hidden.append(h)
            cells.append(kept)
            x = self.dropout(h)
        query = x.reshape(b, k, -1)  # (B, K, H)
        context, looked = self.attention(query, memory, state.weights)
        both = torch.cat([query, context], dim=2).flatten(0, 1)  # (B K, H + D)
        said = torch.tanh(times(both, weights[-1]) + self.joined.bias).reshape(b, k, -1)  # (B, K, H)
        shape = (len(self.cells), b, k, self.hidden)
        return said, DecoderState(torch.stack(hidden).reshape(shape), torch.stack(cells).reshape(shape), said, looked)

    def _log_probs(self, said: Tensor) -> Tensor:
        log_probs: Tensor = self.output(self.dropout(said)).float().log_softmax(dim=-1)
        return log_probs


def with_end(tokens: Tensor, token_lens: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (B, U), lengths (B,) -> what is to be said (B, U + 1), the end behind the last token, and its length."""
    targets = nn.functional.pad(tokens, (0, 1), value=END_ID)
    at = torch.arange(targets.shape[1], device=tokens.device)
    return targets.masked_fill(at >= token_lens[:, None], END_ID), token_lens + 1
