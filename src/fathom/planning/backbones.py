"""Backbones: which pretrained network a run may start from, decided before the data are encoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fathom.core.backbone import Backbone
from fathom.core.budget import format_duration
from fathom.core.errors import PlanError
from fathom.core.prediction import Array
from fathom.core.schema import Field, Schema
from fathom.data.learn import learn
from fathom.data.opening import header
from fathom.data.raw import Raw
from fathom.data.sound_files import LOWEST_RATE
from fathom.data.sounds import MOST_RATE
from fathom.data.table import Table
from fathom.data.texts import Pretokenized
from fathom.networks.backbones import Found, find, packaged
from fathom.planning.request import Request

# By itself a run begins with a pretrained network only where there is time to try it.
LEAST_SECONDS = 60.0
HEADERS = 50
LEAST_SIDE = 64  # pixels; on smaller pictures there is little that a pretrained network knows
READ = {"image": "pictures", "text": "text", "audio": "sound"}
_FAMILY_KEYS = ("network", "network.family")


@dataclass(frozen=True)
class Start:
    """The pretrained network that the data are encoded for, if any, and why."""

    found: Found | None = None
    why: str = ""

    @property
    def backbone(self) -> Backbone | None:
        """Its description."""
        return None if self.found is None else self.found.backbone

    @property
    def source(self) -> str:
        """What the plan calls it."""
        return "none" if self.found is None else self.found.backbone.source

    @property
    def tokenizer(self) -> Pretokenized | None:
        """What texts are cut into codes with, where it reads texts."""
        if self.found is None or self.found.backbone.kind != "text":
            return None
        return Pretokenized(self.found.tokenizer, self.found.backbone.length)

    @property
    def sample_rate(self) -> int | None:
        """Samples a second that sounds are brought to, where it hears."""
        backbone = self.backbone
        return backbone.rate if backbone is not None and backbone.kind == "audio" else None

    def learned(
        self, schema: Schema, table: Table, rows: Array, *, image_size: int | None
    ) -> Schema:
        """The schema with its statistics (see `data.learn`), as the network reads the data."""
        return learn(
            schema,
            table,
            rows,
            image_size=self.image_size(image_size),
            tokenizer=self.tokenizer,
            sample_rate=self.sample_rate,
        )

    def image_size(self, asked: int | None) -> int | None:
        """The side that pictures are brought to."""
        backbone = self.backbone
        own = backbone.side if backbone is not None and backbone.kind == "image" else None
        return asked or own


def choose_start(request: Request, raw: Raw, schema: Schema) -> Start:
    """The pretrained network that is asked for, or for `auto` an installed one that fits.

    Raises PlanError where the one that is asked for does not fit the data, MissingExtraError where
    it takes a package that is not installed.
    """
    asked, family = request.pretrained, _family(request)
    if asked == "none":
        return Start()
    if asked == "auto":
        return _by_itself(request, raw, schema) if family != "pretrained" else _wanted(schema)
    if family not in (None, "pretrained"):
        raise PlanError(
            f"data.pretrained is {asked}, and network is {family}: leave one of them out."
        )
    found = find(asked)
    _the_field(schema, found.backbone)
    return Start(found, "was set by the user.")


def _by_itself(request: Request, raw: Raw, schema: Schema) -> Start:
    field = schema.inputs[0] if len(schema.inputs) == 1 else None
    timed = request.plan is None and request.steps is None and request.tune is None
    if field is None or field.kind not in READ or _family(request) is not None or not timed:
        return Start()
    if (request.budget_seconds or 0.0) < LEAST_SECONDS:
        return Start(
            why=f"Under {format_duration(LEAST_SECONDS)} there is no time to try a pretrained one."
        )
    name = packaged(field.kind)  # type: ignore[arg-type]
    if name is None and field.kind == "audio":
        return Start(why="No pretrained network of sound comes inside a package: name one.")
    if name is None:
        return Start(why="No pretrained network is installed (the extra `pretrained` has some).")
    if field.kind == "image" and not _photographs(raw, field):
        return Start(why="The pretrained network has learned from photographs; these are none.")
    return Start(find(name), f"{name} is installed; whether it helps is tried on validation.")


def _wanted(schema: Schema) -> Start:
    """What fits, where the family was asked for but not which network."""
    kinds = [field.kind for field in schema.inputs if field.kind in READ]
    name = packaged(kinds[0]) if kinds else None  # type: ignore[arg-type]
    if name is None:
        raise PlanError(
            "network is pretrained, and no pretrained network for this data is installed: install "
            "one of pictures or text with pip install 'fathom-learn[pretrained]', or name one with "
            "--set pretrained=."
        )
    found = find(name)
    _the_field(schema, found.backbone)
    return Start(found, f"{name} is installed and fits.")


def _the_field(schema: Schema, backbone: Backbone) -> Field:
    """The only field, which must be of the kind that the backbone reads."""
    if backbone.kind == "audio" and not LOWEST_RATE <= backbone.rate <= MOST_RATE:
        raise PlanError(
            f"data.pretrained is {backbone.source}, which hears {backbone.rate:,} samples a "
            f"second: it must be between {LOWEST_RATE:,} and {MOST_RATE:,}."
        )
    fields = schema.of_kind(backbone.kind)
    if not fields:
        kinds = ", ".join(dict.fromkeys(field.kind for field in schema.inputs))
        raise PlanError(
            f"data.pretrained is {backbone.source}, which reads {READ[backbone.kind]}: the columns "
            f"here are of the kind {kinds}."
        )
    if len(schema.inputs) > 1:
        raise PlanError(
            f"data.pretrained is {backbone.source}, and a pretrained start takes one column of "
            f"{READ[backbone.kind]} and nothing else yet: leave the other columns out with --drop, "
            "or set pretrained=none."
        )
    return fields[0]


def _family(request: Request) -> str | None:
    return next((str(request.settings[k]) for k in _FAMILY_KEYS if k in request.settings), None)


def _photographs(raw: Raw, field: Field) -> bool:
    """Whether the pictures are large enough to be photographs, by a few of their headers."""
    column = raw.table[field.name]
    if not isinstance(column, pd.Series):
        return bool(
            column.ndim == 4 and column.shape[3] == 3 and min(column.shape[1:3]) >= LEAST_SIDE
        )
    cells = [cell for cell in column if isinstance(cell, str | bytes)]
    some = [cells[i] for i in np.unique(np.linspace(0, len(cells) - 1, HEADERS).astype(int))]
    sizes = [min(found[0]) for found in map(header, some) if found is not None]
    return bool(sizes) and float(np.median(sizes)) >= LEAST_SIDE
