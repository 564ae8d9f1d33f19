"""Guesses of several labels at once from one column alone, out of fold."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from sklearn.tree import DecisionTreeRegressor

from fathom.core.prediction import Array


def labels_by_codes(codes: Array, truth: Array, folds: Array) -> Array:
    """Labels more frequent among the other folds' rows of the same code than on the whole, (n, K).

    `truth` (n, K) holds 0 and 1.
    """
    said = np.zeros(truth.shape, dtype=bool)
    for fold in np.unique(folds):
        seen = folds != fold
        shape = (int(codes.max()) + 1, int(seen.sum()))
        member = csr_array((np.ones(shape[1]), (codes[seen], np.arange(shape[1]))), shape=shape)
        rows = np.maximum(np.asarray(member.sum(axis=1)).reshape(-1, 1), 1)
        shares = np.asarray(member @ truth[seen].astype(np.float64)) / rows
        said[~seen] = (shares > truth[seen].mean(axis=0))[codes[~seen]]
    return said


def labels_by_tree(column: Array, truth: Array, folds: Array) -> Array:
    """The same, of the leaves of one small tree on one column, grown on the other folds."""
    share = truth.mean(axis=0)
    alike = (truth - share) / np.sqrt(share * (1 - share))  # rare labels count as frequent ones do
    said = np.zeros(truth.shape, dtype=bool)
    for fold in np.unique(folds):
        seen = folds != fold
        tree = DecisionTreeRegressor(max_leaf_nodes=32, min_samples_leaf=2, random_state=0)
        tree.fit(column[seen], alike[seen])
        guessed = tree.predict(column[~seen]).reshape(-1, truth.shape[1])  # of one label it is flat
        said[~seen] = guessed > alike[seen].mean(axis=0)
    return said
