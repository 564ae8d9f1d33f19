"""What the classifier and the regressor have in common: parameters, learning, pickling."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import nn

from fathom.core.errors import PlanError
from fathom.core.prediction import Array, Prediction
from fathom.core.schema import Kind, Schema, TaskName
from fathom.data.encode import encode
from fathom.estimators.inputs import read_inputs, read_new_inputs, validated
from fathom.estimators.learning import in_python, learn_network, readable, told
from fathom.estimators.state import pack, unpack
from fathom.inference import LoadedModel, NetworkPredictor
from fathom.planning.device import choose_device

Auto = Literal["auto"]

# Parameters that are keys of the plan.
_PLAN_KEYS = {
    "network": "network.family",
    "pretrained": "data.pretrained",
    "batch_size": "training.batch_size",
    "learning_rate": "training.optimizer.learning_rate",
    "optimizer": "training.optimizer.name",
}
_KINDS = "data.kinds."


class FathomEstimator(BaseEstimator):
    """The parameters are told in the subclasses; what was learned ends in an underscore."""

    _task: TaskName

    def __init__(
        self,
        network: str = "auto",
        *,
        steps: int | Auto = "auto",
        batch_size: int | Auto = "auto",
        learning_rate: float | Auto = "auto",
        optimizer: str = "auto",
        pretrained: str = "auto",
        settings: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.15,
        calibrate: bool = True,
        random_state: Any = None,
        device: str = "auto",
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.pretrained = pretrained
        self.settings = settings
        self.validation_fraction = validation_fraction
        self.calibrate = calibrate
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @property
    def network_(self) -> nn.Module:
        """The network, in evaluation mode."""
        return self.model_.network

    @property
    def schema_(self) -> Schema:
        """What each column is, and what was learned of it."""
        return self.model_.schema

    def _learn(self, inputs: Any, targets: Array) -> None:
        """Learn from checked inputs and `targets` (n,): class codes or numbers."""
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is {self.validation_fraction}: it must be at least 0 and "
                "below 1."
            )
        steps = None if isinstance(self.steps, str) and self.steps == "auto" else self.steps
        if steps is not None and not (_is_whole(steps) and steps >= 1):
            raise ValueError(
                f"steps is {steps!r}: it must be a whole number of at least 1, or 'auto'."
            )
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        raw, kinds = read_inputs(self, inputs, self._kinds())
        with told(self.verbose) as progress:
            fitted = learn_network(
                raw,
                targets,
                held_out=self.validation_fraction,
                calibrate=self.calibrate and self._task == "classification",
                task=self._task,
                kinds=kinds,
                settings=self._settings(),
                steps=None if steps is None else int(steps),
                seed=seed,
                device=choose_device(self.device),
                progress=progress,
            )
        self.model_: LoadedModel = fitted.model
        self.n_iter_ = fitted.steps
        self.history_ = fitted.history

    def _validated(self, inputs: Any, targets: Any, **options: Any) -> Array:
        """The targets, checked together with the inputs."""
        return validated(self, inputs, targets, self._kinds(), **options)

    def _kinds(self) -> dict[str, Kind]:
        """What `settings` say that columns are."""
        if not isinstance(self.settings, Mapping | None):
            raise PlanError(
                f"settings is {self.settings!r}: it must map plan keys to values, such as "
                '{"network.depth": 4}.'
            )
        said = dict(self.settings or {})
        return {k.removeprefix(_KINDS): v for k, v in said.items() if k.startswith(_KINDS)}

    def _settings(self) -> dict[str, Any]:
        """The plan keys that were set, by a parameter of their own or in `settings`."""
        own = {_PLAN_KEYS[name]: getattr(self, name) for name in _PLAN_KEYS}
        return {k: v for k, v in own.items() if v != "auto"} | dict(self.settings or {})

    def _predicted(self, inputs: Any) -> Prediction:
        check_is_fitted(self)
        with in_python():
            raw = read_new_inputs(self, inputs, self.model_.schema)
            encoded = encode(raw.table, self.model_.schema, targets=False)
            return NetworkPredictor(self.model_).predict(readable(raw, encoded))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """The parameters and what was learned; the network as bytes that hold no code."""
        state = dict(super().__getstate__())
        model = state.pop("model_", None)
        return state if model is None else state | {"bundle": pack(model)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` gave. Raises ArtefactError where it is damaged."""
        state = dict(state)
        bundle = state.pop("bundle", None)
        super().__setstate__(state)
        if bundle is not None:
            self.model_ = unpack(bundle, _device_here(self.device))


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _device_here(wanted: str) -> str:
    """The device that was asked for; the processor, where this machine has no such device."""
    try:
        return choose_device(wanted)
    except PlanError:
        return "cpu"
