"""Whether what a bundle says fits together: its schema, its weights, and what the models answer.

Digests tell damage, not malice: whoever writes a bundle also writes its digests. So nothing that a
bundle declares is believed before it is checked, and nothing large is made on its word alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fathom.core.errors import ArtefactError, FathomError
from fathom.core.output import OutputSpec
from fathom.core.prediction import ClassPrediction, LabelsPrediction, NumberPrediction
from fathom.core.predictor import Predictor
from fathom.core.ragged import Ragged
from fathom.core.schema import (
    AudioStatistics,
    CategoryStatistics,
    Field,
    ImageStatistics,
    NumberStatistics,
    Schema,
    SeriesStatistics,
    Statistics,
    TextStatistics,
    TimeStatistics,
)
from fathom.data.encode import encode, input_spec, output_spec
from fathom.data.series import series_fit
from fathom.data.sounds import statistics_fit
from fathom.data.table import Column, Table
from fathom.data.texts import tokenizer_fits
from fathom.deployment.manifest import WAY_OUT
from fathom.networks import Network, NetworkSpec, build
from fathom.networks.language import LanguageSpec

LARGEST_SIDE = 4096  # pixels of a picture's side
FILLS, SPARE = 32, 100_000  # how often building may write each weight, and what is small anyway
STATISTICS: Mapping[str, type[Statistics]] = {
    "number": NumberStatistics,
    "category": CategoryStatistics,
    "boolean": CategoryStatistics,
    "time": TimeStatistics,
    "image": ImageStatistics,
    "text": TextStatistics,
    "series": SeriesStatistics,
    "audio": AudioStatistics,
}
# What code raises that meets values which it never writes itself.
UNFIT = (
    *(FathomError, KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError),
    *(ArithmeticError, AssertionError, MemoryError),
)


N = TypeVar("N", bound=nn.Module)


def check_schema(schema: Schema, path: Path) -> None:
    """Raise ArtefactError where a schema has no one target, or a field lacks its statistics."""
    targets = [field for field in schema.fields if field.role == "target"]
    names = [field.name for field in schema.fields]
    if len(targets) != 1 or not schema.inputs or len(set(names)) != len(names):
        raise ArtefactError(
            f"{path} has not one target, inputs, and a name of its own for each field; {WAY_OUT}."
        )
    wanted = CategoryStatistics if schema.is_named else NumberStatistics
    unfit = [f.name for f in schema.inputs if not _fits(f)]
    unfit += [f.name for f in targets if not isinstance(f.statistics, wanted)]
    if unfit:
        raise ArtefactError(
            f"{path} says of the field {unfit[0]!r} what a schema cannot say; {WAY_OUT}."
        )


def _fits(field: Field) -> bool:
    statistics = field.statistics
    if not isinstance(statistics, STATISTICS.get(field.kind, ())):
        return False
    if isinstance(statistics, SeriesStatistics):
        return series_fit(statistics)
    if isinstance(statistics, AudioStatistics):
        return statistics_fit(statistics)
    return _others_fit(statistics)


def _others_fit(statistics: Statistics | None) -> bool:
    if isinstance(statistics, ImageStatistics):
        sides = (statistics.height, statistics.width)
        channels = {statistics.channels, len(statistics.mean), len(statistics.std)}
        return all(1 <= side <= LARGEST_SIDE for side in sides) and channels in ({1}, {3})
    if isinstance(statistics, TextStatistics):
        return tokenizer_fits(statistics)
    if isinstance(statistics, NumberStatistics | TimeStatistics):
        return statistics.scale > 0
    return True


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """In this context, tensors of `limit` elements in all can be made and filled, then no more."""

    def __init__(self, limit: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left = limit

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        # Memory that was only reserved costs nothing yet: it is checked before it is filled.
        self.left -= out.numel() if isinstance(out, Tensor) else 0
        if self.left < 0:
            raise ValueError("it is far larger than its weights")
        return out


def restore_network(
    spec: NetworkSpec, schema: Schema, tensors: Mapping[str, Tensor], path: Path
) -> Network:
    """The network with the weights that were read from `path`; see `built` for what it raises.

    Also raised is ArtefactError where a tensor is missing, unknown, of another form, or not finite.
    """

    def make() -> Network:
        return build(spec, input_spec(schema), output_spec(schema), seed=0)

    network = built(make, spec, tensors, path)
    check_tensors(network.state_dict(), tensors, path)
    network.load_state_dict(tensors, strict=True)
    return network


def built(
    make: Callable[[], N],
    spec: NetworkSpec | LanguageSpec,
    tensors: Mapping[str, Tensor],
    path: Path,
) -> N:
    """The network that `make` builds of a spec, with fresh weights.

    Raises ArtefactError where it cannot be built, or would be larger than the weights from `path`.
    """
    most = sum(tensor.numel() for tensor in tensors.values())
    check_sizes(spec, most, path)
    try:
        with Bounded(FILLS * most + SPARE):
            return make()
    except UNFIT as error:
        raise ArtefactError(
            f"The network of {path} cannot be built: {str(error).rstrip('.')}; {WAY_OUT}."
        ) from None


def check_sizes(spec: NetworkSpec | LanguageSpec, most: int, path: Path) -> None:
    """Raise ArtefactError where a number in a spec exceeds the number of weights that are there."""
    for key, value in msgspec.to_builtins(spec).items():
        sizes = value if isinstance(value, list) else [value]
        if any(isinstance(size, int) and size > max(most, 1) for size in sizes):
            raise ArtefactError(
                f"{path} holds {most:,} weights, too few for network.{key} = {value}; {WAY_OUT}."
            )


def check_tensors(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise ArtefactError where a tensor is missing, unknown, of another form, or not finite."""

    def some(names: set[str]) -> str:
        return ", ".join(sorted(names)[:3]) + (" …" if len(names) > 3 else "")

    missing, extra = set(wanted) - set(tensors), set(tensors) - set(wanted)
    if missing or extra:
        says = [f"lacks {some(missing)}"] if missing else []
        says += [f"has {some(extra)}, which it does not know"] if extra else []
        raise ArtefactError(f"{path} is not of this network: it {' and '.join(says)}; {WAY_OUT}.")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ArtefactError(
                f"{path} is not of this network: {name} is {_form(tensor)} and should be "
                f"{_form(wanted[name])}; {WAY_OUT}."
            )
        if not torch.isfinite(tensor).all():
            raise ArtefactError(
                f"{path} holds weights in {name} that are not finite numbers; {WAY_OUT}."
            )


def _form(tensor: Tensor) -> str:
    shape = "×".join(map(str, tensor.shape)) or "one"
    return f"{shape} {str(tensor.dtype).removeprefix('torch.')}"


def check_answer(predictor: Predictor, schema: Schema, path: Path) -> None:
    """Ask for one row of which nothing is known. Raises ArtefactError where no answer comes."""
    try:
        examples = encode(_unknown_row(schema), schema, targets=False).examples
        prediction = predictor.predict(examples)
    except UNFIT as error:
        raise ArtefactError(
            f"The {predictor.name} in {path} cannot predict ({type(error).__name__}: {error}); "
            f"{WAY_OUT}."
        ) from None
    if not _makes_sense(prediction, output_spec(schema)):
        raise ArtefactError(
            f"The {predictor.name} in {path} does not predict what {schema.target.name!r} is; "
            f"{WAY_OUT}."
        )


def _makes_sense(prediction: Any, output: OutputSpec) -> bool:
    if output.form == "number":
        return (
            isinstance(prediction, NumberPrediction)
            and prediction.values.shape == (1,)
            and bool(np.isfinite(prediction.values).all())
        )
    if output.form == "labels":
        return (
            isinstance(prediction, LabelsPrediction)
            and prediction.labels == output.labels
            and prediction.probs.shape == (1, output.size)
            and bool(((prediction.probs >= 0) & (prediction.probs <= 1)).all())
        )
    return (
        isinstance(prediction, ClassPrediction)
        and prediction.labels == output.labels
        and prediction.probs.shape == (1, output.size)
        and abs(float(prediction.probs.sum()) - 1.0) < 1e-6
    )


def _unknown_row(schema: Schema) -> Table:
    return Table({field.name: _unknown(field) for field in schema.inputs})


def _unknown(field: Field) -> Column:
    if isinstance(field.statistics, ImageStatistics):
        s = field.statistics
        return np.zeros((1, s.height, s.width, s.channels), dtype=np.uint8)
    if isinstance(field.statistics, SeriesStatistics):
        channels = field.statistics.channels
        return Ragged.of([np.empty((0, channels))], np.nan, np.float64, channels)
    return pd.Series([None], dtype=object)
