"""FathomRegressor: a network that says numbers, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from fathom.core.prediction import Array, NumberPrediction
from fathom.core.schema import TaskName
from fathom.estimators.base import FathomEstimator
from fathom.estimators.learning import in_python


class FathomRegressor(RegressorMixin, FathomEstimator):
    """A deep network for one number, learned down the squared error.

    Parameters and attributes are those of FathomClassifier, without `classes_`; `calibrate` has no
    effect, as there are no probabilities.
    """

    _task: TaskName = "regression"

    def fit(self, X: Any, y: Any) -> FathomRegressor:  # noqa: N803
        """Learn from n rows `X` and their numbers `y` (n,)."""
        with in_python():
            y = self._validated(X, y, y_numeric=True)
            self._learn(X, np.asarray(y, dtype=np.float64))
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """A number for each row, (n,) float64, in the units of `y`."""
        prediction = self._predicted(X)
        assert isinstance(prediction, NumberPrediction)
        return prediction.values
