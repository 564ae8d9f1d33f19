"""Features of pictures that several baselines share; in `shared_features` each is computed once.

What is kept is bounded; pictures beyond the bound are described anew whenever they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import numpy as np

from fathom.baselines.picture_features import describe
from fathom.baselines.rounds import sample_order
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.stored import Rows

T = TypeVar("T")

MOST_CELLS = 100_000_000
ROWS_AT_ONCE = 4_096
MOST_JUDGED = 10_000


class _Kept:
    """Features of one block's pictures: slots (n,) say where each stands, -1 for nowhere."""

    def __init__(self, block: Rows, most_cells: int) -> None:
        self.block = block  # held, so that no other block takes its identity
        width = describe(block, np.arange(min(1, len(block)))).shape[1]
        self._slots = np.full(len(block), -1, dtype=np.int64)
        self._features = np.empty((min(len(block), most_cells // width), width), dtype=np.float32)
        self._used = 0

    @property
    def cells(self) -> int:
        """How many values may be kept."""
        return self._features.size

    def __call__(self, rows: Array) -> Array:
        """Features (m, D) float32 of the pictures at `rows` (m,), which are distinct."""
        missing = rows[self._slots[rows] < 0]
        kept, passing = np.split(missing, [len(self._features) - self._used])
        for start in range(0, len(kept), ROWS_AT_ONCE):
            self._keep(kept[start : start + ROWS_AT_ONCE])
        slots = self._slots[rows]
        if not len(passing):
            return self._features[slots]
        found = np.empty((len(rows), self._features.shape[1]), dtype=np.float32)
        found[slots >= 0] = self._features[slots[slots >= 0]]
        found[slots < 0] = describe(self.block, passing)
        return found

    def _keep(self, rows: Array) -> None:
        end = self._used + len(rows)
        self._features[self._used : end] = describe(self.block, rows)
        self._slots[rows] = np.arange(self._used, end)
        self._used = end


_SHARED: ContextVar[dict[int, _Kept] | None] = ContextVar("shared picture features", default=None)
_MADE: ContextVar[dict[Hashable, Any] | None] = ContextVar("made of shared features", default=None)


@contextmanager
def shared_features() -> Iterator[None]:
    """Within this context the features of a block of pictures are kept for whoever asks next."""
    kept, made = _SHARED.set({}), _MADE.set({})
    try:
        yield
    finally:
        _SHARED.reset(kept)
        _MADE.reset(made)


def made_once(make: Callable[[Examples, Array], T], examples: Examples, positions: Array) -> T:
    """What `make` makes of some examples' pictures alone; within `shared_features` made once."""
    made, shared = _MADE.get(), _SHARED.get()
    if made is None or shared is None:
        return make(examples, positions)
    blocks = [id(block) for block in examples.inputs.values() if block.ndim == 4]
    key = (make, *blocks, positions.tobytes())
    if key not in made:
        made[key] = make(examples, positions)
    # Only blocks that are held keep their identity.
    return cast(T, made[key] if all(block in shared for block in blocks) else made.pop(key))


def held_once(key: Hashable, held: tuple[Any, ...], make: Callable[[], T]) -> T:
    """What `make` makes of the objects in `held`; within `shared_features` made once for a key."""
    made = _MADE.get()
    if made is None:
        return make()
    whole = (key, *map(id, held))
    if whole not in made:
        made[whole] = (held, make())  # what is held keeps its identity
    return cast(T, made[whole][1])


def features_of(examples: Examples, positions: Array | None = None) -> Array:
    """Features (n, D) float32 of every picture column, side by side; of all rows, or of some.

    `positions` (m,) are distinct.
    """
    rows = np.arange(len(examples)) if positions is None else positions
    blocks = [block for block in examples.inputs.values() if block.ndim == 4]
    return np.concatenate([_of_block(block, rows) for block in blocks], axis=1)


def _of_block(block: Rows, rows: Array) -> Array:
    shared = _SHARED.get()
    if shared is None or not len(block):
        return describe(block, rows)
    if id(block) not in shared:
        left = MOST_CELLS - sum(kept.cells for kept in shared.values())
        shared[id(block)] = _Kept(block, left)
    return shared[id(block)](rows)


def picture_order(targets: Array, labels: tuple[str, ...], seed: int) -> Array:
    """The order (n,) in which the baselines of pictures take rows: one for all, to share features.

    `labels` are those of classes, of which the first rows hold some each.
    """
    return sample_order(targets, labels, numpy_generator(seed, "pictures", "rows"))


def judged_rows(count: int, seed: int) -> Array:
    """Which of `count` validation rows judge the baselines of pictures: 10,000 at most, sorted."""
    if count <= MOST_JUDGED:
        return np.arange(count)
    generator = numpy_generator(seed, "pictures", "validation")
    return np.sort(generator.choice(count, MOST_JUDGED, replace=False))
