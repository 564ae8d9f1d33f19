"""The family `lstm`: reads token after token and keeps a memory of fixed size.

The LSTM (Hochreiter and Schmidhuber 1997) was the language model before Transformers; regularised
as by Merity et al. 2017 (arXiv 1708.02182) in its simplest form: dropout between the layers, and a
head that may share the embedding's weights (Press and Wolf 2017, arXiv 1608.05859).
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor, nn

from fathom.networks.family import (
    MOST_DEPTH,
    check_at_least,
    check_at_most,
    check_fraction,
    check_weights,
)
from fathom.networks.language.family import (
    LANGUAGE_FAMILIES,
    LanguageFamily,
    LanguageNetwork,
    Memory,
    check_context,
)

GATES = 4


class LstmSpec(
    Struct, frozen=True, tag="lstm", tag_field="family", forbid_unknown_fields=True, kw_only=True
):
    """`depth` layers of `width` cells; tokens enter as vectors of `width` numbers.

    It learns from stretches of `context` tokens. `tied`: the head's weights are the embedding's.
    Raises PlanError for values that make no network.
    """

    depth: int = 1
    width: int = 256
    context: int = 128
    dropout: float = 0.0
    tied: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.width, 2, "network.width")
        check_context(self.context)
        check_fraction(self.dropout, "network.dropout")


class Cells(Memory):
    """What the cells of each layer hold, hidden and cell states (2, depth, B, width)."""

    room: int | None = None

    def __init__(self, state: Tensor, length: int = 0) -> None:
        self.state, self.length = state, length

    def take(self, rows: Tensor) -> Cells:
        """Copies of some rows."""
        return Cells(self.state.index_select(2, rows), self.length)


class Lstm(LanguageNetwork):
    """Embedding, layers of cells, head."""

    head: nn.Linear

    def __init__(self, spec: LstmSpec, vocabulary: int) -> None:
        super().__init__()
        check_weights(size(spec, vocabulary), "network.width or network.depth")
        self.spec, self.vocabulary, self.context = spec, vocabulary, spec.context
        self.embedding = nn.Embedding(vocabulary, spec.width)
        self.cells = nn.LSTM(
            spec.width,
            spec.width,
            spec.depth,
            batch_first=True,
            dropout=spec.dropout if spec.depth > 1 else 0.0,
        )
        self.dropout = nn.Dropout(spec.dropout)
        self.head = nn.Linear(spec.width, vocabulary)
        if spec.tied:
            self.head.weight = self.embedding.weight
        self._start()

    def forward(self, tokens: Tensor, memory: Memory | None = None) -> Tensor:
        """Logits (B, T, vocabulary) float32."""
        assert memory is None or isinstance(memory, Cells)
        x = self.dropout(self.embedding(tokens))
        if memory is None:
            said, _ = self.cells(x)
        else:
            said, state = self.cells(x, (memory.state[0], memory.state[1]))
            memory.state = torch.stack(state).to(memory.state.dtype)
            memory.length += tokens.shape[1]
        logits: Tensor = self.head(self.dropout(said))
        return logits.float()

    def remember(self, rows: int, room: int) -> Cells:
        """Cells that hold nothing yet; they have room for any number of tokens."""
        weight = self.embedding.weight
        shape = (2, self.spec.depth, rows, self.spec.width)
        return Cells(torch.zeros(shape, dtype=weight.dtype, device=weight.device))

    @torch.no_grad()
    def _start(self) -> None:
        """Orthogonal between steps, forget gates open (Jozefowicz et al. 2015), a quiet head."""
        # Faint tokens would be learned slowly; as a tied head, loud ones would claim too much.
        self.embedding.weight.normal_(std=0.4 if self.spec.tied else 1.0)
        for name, parameter in self.cells.named_parameters():
            if name.startswith("weight"):
                start = nn.init.orthogonal_ if "_hh" in name else nn.init.xavier_uniform_
                for gate in torch.split(parameter, self.spec.width):
                    start(gate)
            else:
                parameter.zero_()
            if name.startswith("bias_ih"):
                parameter[self.spec.width : 2 * self.spec.width] = 1.0
        if not self.spec.tied:
            self.head.weight.normal_(std=0.1 * self.spec.width**-0.5)
        self.head.bias.zero_()


def per_token(spec: LstmSpec, vocabulary: int) -> int:
    """Weights that one token is multiplied with."""
    return spec.depth * GATES * 2 * spec.width**2 + spec.width * vocabulary


def size(spec: LstmSpec, vocabulary: int) -> int:
    """About how many weights there are: biases are left out."""
    return per_token(spec, vocabulary) + (0 if spec.tied else spec.width * vocabulary)


LANGUAGE_FAMILIES.register("lstm")(
    LanguageFamily(spec=LstmSpec, build=Lstm, size=size, per_token=per_token)
)
