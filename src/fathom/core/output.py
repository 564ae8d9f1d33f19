"""OutputSpec: the form of what a network puts out, so that heads are sized without the data."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class OutputSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """`classes`: one logit for each of `labels`, of which one holds. `labels`: one logit for each
    of `labels`, of which any number hold. `number`: one value, in units of `scale`.

    A regression target is learned as `(y - center) / scale`; predictions are given back in y's own
    units.
    """

    form: Literal["classes", "labels", "number"]
    labels: tuple[str, ...] = ()
    center: float = 0.0
    scale: float = 1.0

    @property
    def size(self) -> int:
        """How many numbers the head puts out for one example."""
        return 1 if self.form == "number" else len(self.labels)
