"""The attention decoder of recurrent layers.

B batch, K hypotheses of each utterance (1 in training), T frames, U target tokens, V vocabulary, L layers, H hidden,
D encoder width, E embedding width, S attention heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asr.models.attention import AttentionKind, Memory, build_attention
from asr.models.cells import step
from asr.models.decoder import END_ID, DecoderConfig, LayeredDecoderConfig, StepDecoder, require_heads, with_end
from asr.models.shared_weights import Shared, shared, times
from asr.utils.config import setting


@DecoderConfig.register
@dataclass(frozen=True, kw_only=True)
class AttentionDecoderConfig(LayeredDecoderConfig):
    """Recurrent layers that look at the encoder's states."""

    kind: Literal["attention"] = "attention"
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    embedding: int = setting(128, "[1, 16384]")
    attention: AttentionKind = "location"
    attention_dim: int = setting(128, "[1, 16384]")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attention == "multi-head":
            require_heads("attention_dim", self.attention_dim, self.heads)

    def build(self, encoder_dim: int, vocab_size: int) -> AttentionDecoder:
        return AttentionDecoder(encoder_dim, vocab_size, self)


@dataclass(frozen=True)
class DecoderState:
    """What the decoder remembers of K hypotheses of each utterance."""

    hidden: Tensor  # (L, B, K, H)
    cell: Tensor  # (L, B, K, H); of an LSTM
    fed: Tensor  # (B, K, H): what the step before said, which is fed in (Luong et al. 2015)
    weights: Tensor  # (B, S, K, T): where it looked

    def chosen(self, parents: Tensor) -> DecoderState:
        """Those of the hypotheses `parents` (B, K') alone, in that order."""
        parents = parents.to(self.fed.device)  # searches count on the CPU
        deep, flat = parents[None, :, :, None], parents[:, :, None]
        return DecoderState(
            self.hidden.gather(2, deep.expand(*self.hidden.shape[:2], -1, self.hidden.shape[3])),
            self.cell.gather(2, deep.expand(*self.cell.shape[:2], -1, self.cell.shape[3])),
            self.fed.gather(1, flat.expand(-1, -1, self.fed.shape[2])),
            self.weights.gather(
                2, parents[:, None, :, None].expand(-1, self.weights.shape[1], -1, self.weights.shape[3])
            ),
        )


class AttentionDecoder(StepDecoder):
    """Recurrent layers that look at the encoder's states once a token (Bahdanau et al. 2015, Chan et al. 2016).

    Args:
        encoder_dim: D.
        vocab_size: V.
        config: All else.
    """

    def __init__(self, encoder_dim: int, vocab_size: int, config: AttentionDecoderConfig) -> None:
        super().__init__(config.label_smoothing)
        hidden = config.hidden
        self.hidden, self.kind = hidden, config.cell
        self.embedding = nn.Embedding(vocab_size, config.embedding)
        self.attention = build_attention(
            config.attention, query_dim=hidden, memory_dim=encoder_dim, dim=config.attention_dim, heads=config.heads
        )
        make: Callable[[int], nn.Module] = {
            "rnn": lambda width: nn.RNNCell(width, hidden),
            "lstm": lambda width: nn.LSTMCell(width, hidden),
            "gru": lambda width: nn.GRUCell(width, hidden),
        }[config.cell]
        self.cells = nn.ModuleList(make(hidden if i else config.embedding + hidden) for i in range(config.layers))
        self.joined = nn.Linear(hidden + self.attention.output_dim, hidden)
        self.output = nn.Linear(hidden, vocab_size)
        self.dropout = nn.Dropout(config.dropout)

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
        said, state = self._look(self.dropout(self.embedding(tokens)), state, memory, self._step_weights())
        return self._log_probs(said), state

    def given(
        self, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor, *, maps: bool = False
    ) -> tuple[Tensor, Tensor | None]:
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
