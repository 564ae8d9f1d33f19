"""FathomClassifier: a network that names classes, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from fathom.core.prediction import Array, ClassPrediction
from fathom.core.schema import TaskName
from fathom.estimators.base import FathomEstimator
from fathom.estimators.learning import in_python


class FathomClassifier(ClassifierMixin, FathomEstimator):
    """A deep network for classes, with calibrated probabilities.

    Parameters
    ----------
    network : str, default="auto"
        The family of networks: "mlp", "tabm", "convnet", "vit", "lstm", "gru", "rnn",
        "transformer", "mixed" or "pretrained". By default an mlp for tables, a convnet for
        pictures, texts, series and sound, and several in one for columns of several kinds; the race
        of families that `fathom.fit` holds needs a clock.
    steps : int or "auto", default="auto"
        How many optimizer steps to train. By default as many as this many rows are good for. No
        clock is looked at: the same data and `random_state` give the same weights.
    batch_size, learning_rate, optimizer : number or str, default="auto"
        As in the plan; by default what suits the data.
    pretrained : str, default="auto"
        A network that was trained elsewhere to begin with, for one column of pictures, texts or
        sound and nothing else: "efficientnet-lite0", "all-minilm-l6-v2", a folder that
        transformers' `save_pretrained` wrote, or a hub id. By default none, as to try one needs a
        clock, too. All of it is trained on, or with `settings={"network.tune": False}` its head
        alone.
    settings : dict, default=None
        Further keys of the plan, such as {"network.depth": 4, "label_smoothing": 0.1}; see
        docs/plan.md. `data.kinds.COLUMN` says what a column is.
    validation_fraction : float, default=0.15
        The share of rows that is held out to choose the best weights of the run. 0, or fewer than
        50 rows, holds out none: then the last weights count.
    calibrate : bool, default=True
        Whether a third of the rows held out fits the temperature of the probabilities instead. Of
        fewer than 50 such rows nothing can be fitted, and the temperature stays 1.
    random_state : int, RandomState or None, default=None
        The seed of everything random.
    device : str, default="auto"
        "cpu", "cuda" or "auto".
    verbose : int, default=0
        Whether to show bars with the time left.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    n_features_in_ : int
        The number of columns (of pictures: of pixels; of series: of channels);
        `feature_names_in_` has their names, where they are all strings.
    model_ : LoadedModel
        The network with all that it takes to use it; `network_` is its torch module, `schema_` says
        what the columns are and what was learned of them.
    n_iter_ : int
        Optimizer steps taken.
    history_ : list of dict
        What was logged: loss and learning rate by step, scores on the rows held out.

    Notes
    -----
    `X` may be, in `fit` as in `predict`:

    - an array (n, columns), or a DataFrame, whose columns may also be texts, categories, times,
      lists or arrays of numbers (series), and paths of pictures or of sound; values may be missing;
    - texts, or paths, by themselves: a list, a Series or an array (n,); their column is called x0;
    - pictures: an array (n, height, width) or (n, height, width, channels) of integers from 0 to
      255 or floats from 0 to 1;
    - series: an array (n, channels, time), NaN for what is missing or after the end, or a list of n
      arrays (time,) or (channels, time) of uneven length.

    An array of three axes is series where it is at least eight times as long as wide, or is no
    square and holds values below zero or none; else pictures. `settings={"data.kinds.series":
    "series"}`, or `{"data.kinds.image": "image"}`, says which, and makes series of one channel out
    of an array (n, time) or a list of arrays of one length, which else are n rows of columns. What
    it was in `fit` it is in `predict`. Rows that cannot be read (a file that is missing or damaged,
    a series without a value) raise a ValueError that names the first. Tables with a row for each
    step of a series are for `fathom.fit`.

    Pickling writes the network as safetensors and JSON, which are verified when they are read.
    """

    _task: TaskName = "classification"

    def fit(self, X: Any, y: Any) -> FathomClassifier:  # noqa: N803
        """Learn from n rows `X` and their classes `y` (n,): numbers, Booleans or texts."""
        with in_python():
            y = self._validated(X, y)
            check_classification_targets(y)
            self.classes_, codes = np.unique(y, return_inverse=True)
            self._learn(X, codes)
        return self

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Probabilities (n, n_classes) float64, the columns in the order of `classes_`."""
        prediction = self._predicted(X)
        assert isinstance(prediction, ClassPrediction)
        return prediction.probs

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The most probable class of each row, (n,), as `y` had it."""
        probs = self.predict_proba(X)
        chosen: Array = self.classes_[probs.argmax(axis=1)]
        return chosen
