"""Boosted trees as flat arrays, and their prediction in NumPy, without walking down any tree.

A tree of at most 64 leaves is evaluated by bits (QuickScorer; Lucchese et al., 2015,
doi:10.1145/2766462.2767733). Leaves are numbered from left to right. A node whose test fails sends
the row to the right, and so rules out the leaves of its left subtree. The AND of the masks of all
nodes that fail leaves the row's own leaf as the lowest bit that is still set. All nodes of all
trees that test one feature are folded into one table, by that feature's bin: evaluating a row takes
one table row per feature, whatever the depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fathom.core.prediction import Array

MAX_LEAVES = 64
TREES_PER_BLOCK = 256
ROWS_PER_CHUNK = 1024


@dataclass(frozen=True)
class Trees:
    """Trees in preorder: the left child of node i is i + 1, the right one `right[i]`.

    `start` (T + 1,) bounds each tree's nodes. `feature` is -1 at a leaf, whose `value` counts. A
    numeric test goes left where x <= threshold; a category test (`bitset` >= 0, a row of `bitsets`
    (S, 8) uint32) where the code's bit is set; a missing value where `missing_left` is true. Tree t
    belongs to the output t % outputs.
    """

    start: Array
    feature: Array
    threshold: Array
    missing_left: Array
    right: Array
    value: Array
    bitset: Array
    bitsets: Array
    outputs: int

    @property
    def count(self) -> int:
        """How many trees there are."""
        return len(self.start) - 1

    def first(self, count: int) -> Trees:
        """The first `count` trees."""
        nodes = slice(0, int(self.start[count]))
        bitsets = int(self.bitset[nodes].max(initial=-1)) + 1
        return Trees(
            self.start[: count + 1],
            self.feature[nodes],
            self.threshold[nodes],
            self.missing_left[nodes],
            self.right[nodes],
            self.value[nodes],
            self.bitset[nodes],
            self.bitsets[:bitsets],
            self.outputs,
        )

    @staticmethod
    def joined(forests: list[Trees]) -> Trees:
        """The trees of all `forests`, whose sums are the means of the forests' sums.

        A tree's values are divided by the number of forests. The forests have the same outputs.
        """
        nodes = np.cumsum([0, *(len(forest.feature) for forest in forests)])
        sets = np.cumsum([0, *(len(forest.bitsets) for forest in forests)])
        shifted = [
            (
                forest.start[1:] + before,
                np.where(forest.feature < 0, 0, forest.right + before),
                np.where(forest.bitset < 0, -1, forest.bitset + earlier),
            )
            for forest, before, earlier in zip(forests, nodes, sets, strict=False)
        ]
        start, right, bitset = (np.concatenate(parts) for parts in zip(*shifted, strict=True))

        def together(name: str) -> Array:
            return np.concatenate([getattr(forest, name) for forest in forests])

        return Trees(
            start=np.concatenate([[0], start]).astype(np.int64),
            feature=together("feature"),
            threshold=together("threshold"),
            missing_left=together("missing_left"),
            right=right,
            value=together("value") / len(forests),
            bitset=bitset,
            bitsets=together("bitsets"),
            outputs=forests[0].outputs,
        )

    def arrays(self) -> dict[str, Array]:
        """The arrays by name."""
        return {name: value for name, value in vars(self).items() if name != "outputs"}


def from_sklearn(predictors: list[list[Any]]) -> Trees:
    """Trees from `HistGradientBoosting._predictors`: a list of one tree per output, by iteration.

    `right` becomes a position among all nodes. Raises ValueError where a tree is not in preorder or
    has more than 64 leaves, on which everything here rests.
    """
    flat = [tree for iteration in predictors for tree in iteration]
    nodes = [tree.nodes for tree in flat]
    start = np.concatenate([[0], np.cumsum([len(n) for n in nodes])]).astype(np.int64)
    sets = np.concatenate([[0], np.cumsum([len(t.raw_left_cat_bitsets) for t in flat])])
    record = np.concatenate(nodes)
    owner = np.repeat(np.arange(len(flat)), np.diff(start))
    inner = record["is_leaf"] == 0
    left = record["left"].astype(np.int64) + start[owner]
    if not (left == np.arange(len(record)) + 1)[inner].all():
        raise ValueError("the trees of this scikit-learn are not in preorder")
    if max(tree.get_n_leaf_nodes() for tree in flat) > MAX_LEAVES:
        raise ValueError(f"a tree has more than {MAX_LEAVES} leaves")
    bitset = record["bitset_idx"].astype(np.int64) + sets[owner]
    bitsets = [np.asarray(t.raw_left_cat_bitsets, dtype=np.uint32).reshape(-1, 8) for t in flat]
    return Trees(
        start=start,
        feature=np.where(inner, record["feature_idx"], -1).astype(np.int32),
        threshold=np.where(inner, record["num_threshold"], 0.0),
        missing_left=record["missing_go_to_left"].astype(np.uint8),
        right=np.where(inner, record["right"] + start[owner], 0).astype(np.int64),
        value=record["value"].copy(),
        bitset=np.where(inner & (record["is_categorical"] == 1), bitset, -1).astype(np.int64),
        bitsets=np.concatenate(bitsets),
        outputs=len(predictors[0]),
    )


class Forest:
    """Trees made ready to predict. `codes` (C,) counts the known codes of each category column.

    The features are the category columns first, then the number columns.
    """

    def __init__(self, trees: Trees, codes: Array) -> None:
        self.trees = trees
        step = max(1, TREES_PER_BLOCK // trees.outputs) * trees.outputs
        bounds = range(0, trees.count, step)
        self._blocks = [_Block(trees, t, min(t + step, trees.count), codes) for t in bounds]

    def contributions(self, categories: Array, numbers: Array) -> Array:
        """What each iteration adds, (n, iterations, outputs).

        `categories` (n, C) are codes, of which `codes[c]` stands for missing or unknown; `numbers`
        (n, F) have NaN where missing.
        """
        parts = [block.values(categories, numbers) for block in self._blocks]
        return np.concatenate(parts, axis=1).reshape(len(numbers), -1, self.trees.outputs)

    def sums(self, categories: Array, numbers: Array) -> Array:
        """The sum over iterations, (n, outputs) float64; arguments as for `contributions`."""
        out = np.zeros((len(numbers), self.trees.outputs))
        for begin in range(0, len(numbers), ROWS_PER_CHUNK):
            rows = slice(begin, begin + ROWS_PER_CHUNK)
            for block in self._blocks:
                values = block.values(categories[rows], numbers[rows])
                out[rows] += values.reshape(len(values), -1, self.trees.outputs).sum(axis=1)
        return out


class _Block:
    """Some neighbouring trees: for each feature that they test, a table (bins, trees) of masks."""

    def __init__(self, trees: Trees, begin: int, end: int, codes: Array) -> None:
        nodes = np.arange(trees.start[begin], trees.start[end])
        tree = np.repeat(np.arange(end - begin), np.diff(trees.start[begin : end + 1]))
        leaf = trees.feature[nodes] < 0
        before = np.concatenate([[0], np.cumsum(leaf)])  # leaves before a node, over the block
        first = before[trees.start[begin:end] - nodes[0]]  # …and before its tree
        width = 32 if np.bincount(tree, leaf).max() <= 32 else MAX_LEAVES
        self._dtype: Any = np.uint32 if width == 32 else np.uint64
        self._codes = codes
        self._values = np.zeros((end - begin, width))
        self._values[tree[leaf], (before[:-1] - first[tree])[leaf]] = trees.value[nodes[leaf]]
        self._offsets = np.arange(end - begin) * width
        inner, owner = nodes[~leaf], tree[~leaf]
        low = before[inner + 1 - nodes[0]] - first[owner]
        high = before[trees.right[inner] - nodes[0]] - first[owner]
        masks = np.invert(_ones(high) ^ _ones(low)).astype(self._dtype)
        self._tables = [
            self._table(trees, int(f), inner[pick], owner[pick], masks[pick])
            for f in np.unique(trees.feature[inner])
            for pick in [trees.feature[inner] == f]
        ]

    def _table(
        self, trees: Trees, feature: int, nodes: Array, owner: Array, masks: Array
    ) -> tuple[int, Array, Array]:
        """(feature, edges, table): the last row of the table is for missing values."""
        if feature < len(self._codes):
            edges = np.zeros(0)
            known = int(self._codes[feature])
            table = self._full(known + 1)
            bits = np.unpackbits(
                trees.bitsets[trees.bitset[nodes]].astype("<u4").view(np.uint8),
                axis=1,
                bitorder="little",
            )[:, :known]
            which, code = np.nonzero(bits == 0)
            np.bitwise_and.at(table, (code, owner[which]), masks[which])
        else:
            edges, rank = np.unique(trees.threshold[nodes], return_inverse=True)
            table = self._full(len(edges) + 2)
            np.bitwise_and.at(table, (rank + 1, owner), masks)
            np.bitwise_and.accumulate(table[:-1], axis=0, out=table[:-1])
        lost = trees.missing_left[nodes] == 0
        np.bitwise_and.at(table, (np.full(lost.sum(), len(table) - 1), owner[lost]), masks[lost])
        return feature, edges, table

    def _full(self, bins: int) -> Array:
        return np.full((bins, len(self._offsets)), np.iinfo(self._dtype).max, dtype=self._dtype)

    def values(self, categories: Array, numbers: Array) -> Array:
        """The value of each tree's leaf, (n, trees)."""
        alive = self._full(len(numbers))
        for feature, edges, table in self._tables:
            alive &= table[self._bins(feature, edges, categories, numbers)]
        lowest = alive & (~alive + self._dtype(1))
        leaf = np.bitwise_count(lowest - self._dtype(1))
        values: Array = self._values.ravel()[leaf + self._offsets]
        return values

    def _bins(self, feature: int, edges: Array, categories: Array, numbers: Array) -> Array:
        if feature < len(self._codes):
            return categories[:, feature]
        column = numbers[:, feature - len(self._codes)].astype(np.float64)
        # The number of edges below x: x <= edge j exactly where that is at most j.
        bins = np.searchsorted(edges, column, side="left")
        return np.where(np.isnan(column), len(edges) + 1, bins)


def _ones(count: Array) -> Array:
    """Masks whose lowest `count` (below 64) bits are set, uint64."""
    ones: Array = (np.uint64(1) << count.astype(np.uint64)) - np.uint64(1)
    return ones
