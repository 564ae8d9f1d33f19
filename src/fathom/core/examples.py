"""Examples: a data set, or a part of one, encoded once into contiguous arrays. NumPy only.

What is too large for memory lies in a file; see `core.stored`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.stored import Rows, take


@dataclass(frozen=True)
class Examples:
    """Encoded inputs and targets of n examples.

    `inputs` maps a block's name to its array, first axis n (see `core.blocks`). `targets` is (n,):
    int64 class codes, or float64 numbers in the target's own units; or (n, K) uint8, 1 where a
    label holds; None where unknown. `rows` (n,) int64 are the examples' positions in the table that
    they were encoded from. `written` holds text columns as UTF-8 bytes, for methods that read words
    instead of token codes.
    """

    inputs: Mapping[str, Rows]
    targets: Array | None
    rows: Array
    written: Mapping[str, Ragged] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def texts(self, column: str) -> list[str]:
        """The texts of a column, as they were written; a missing one is empty."""
        written = self.written[column]
        return [written.row(i).tobytes().decode() for i in range(len(written))]

    def take(self, positions: Array) -> Examples:
        """The examples at `positions` (integer indices or a Boolean mask over n).

        Arrays are copied; of stored ones only the positions are.
        """
        targets = None if self.targets is None else self.targets[positions]
        inputs = {name: take(block, positions) for name, block in self.inputs.items()}
        written = {name: texts.take(positions) for name, texts in self.written.items()}
        return Examples(inputs, targets, self.rows[positions], written)

    def sample(self, limit: int, generator: np.random.Generator) -> Examples:
        """At most `limit` examples, drawn without replacement and kept in order."""
        if len(self) <= limit:
            return self
        return self.take(np.sort(generator.choice(len(self), limit, replace=False)))
