"""Field and Schema: what each column is, and what was learned of it from the training split.

A schema holds all that is needed to turn a raw record into arrays, so that training and serving
cannot differ. It is JSON on disk (`schema.json`). This module loads no torch.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

SCHEMA_FORMAT = 1

Kind = Literal[
    "number",
    "category",
    "boolean",
    "time",
    "text",
    "tokens",
    "image",
    "audio",
    "series",
    "mask",
    "boxes",
    "volume",
]
Role = Literal["input", "target", "group", "order", "ignored"]
TaskName = Literal["classification", "multilabel", "regression"]
AnyTask = TaskName | Literal["language"]
"""What can be learned: one column of a table from the others, or the text of a corpus."""

DecimalSign = Literal["", ".", ","]


class NumberStatistics(Struct, frozen=True, tag="number", forbid_unknown_fields=True):
    """Of a number column, over the rows of the training split in which it is present.

    Encoded is `z = (x - center) / scale`, then clipped smoothly to |z| < 4. `quantiles` are
    increasing values of the encoded column: the edges of a piecewise-linear embedding.
    """

    center: float
    scale: float
    minimum: float
    maximum: float
    missing: int
    quantiles: tuple[float, ...] = ()


class CategoryStatistics(Struct, frozen=True, tag="category", forbid_unknown_fields=True):
    """Of a category or boolean column, or of a classification target.

    As an input, code 0 is missing, 1 unknown or rare, and `vocabulary[i]` has the code i + 2.
    As a target, `vocabulary[i]` has the code i: there is neither missing nor unknown. For a target
    of several labels at once it lists the labels, `counts[i]` the rows that have the i-th.
    """

    vocabulary: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int = 0


class TimeStatistics(Struct, frozen=True, tag="time", forbid_unknown_fields=True):
    """Of a time column: seconds since 1970 are centred and scaled; `parts` lists its features."""

    center: float
    scale: float
    missing: int
    parts: tuple[str, ...]
    layout: str | None = None


class ImageStatistics(Struct, frozen=True, tag="image", forbid_unknown_fields=True):
    """Of a picture column: the size that pictures are brought to, and pixel statistics (0..255).

    `levels` are the values of deep grey pictures (16 bits, floats) that become 0 and 255; None
    where the training split has none.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    levels: tuple[float, float] | None = None


class TextStatistics(Struct, frozen=True, tag="text", forbid_unknown_fields=True):
    """Of a text column: the tokenizer learned in training, as its own JSON, with `size` codes.

    Texts are cut behind `length` tokens, which concerns the share `cut` of the training rows and
    takes the share `lost` of all their tokens away; `typical` is the median length there.
    `pretrained` tokenizers were not learned here: their codes stand FIRST_TOKEN above their own,
    with the marks that they put around a text.
    """

    tokenizer: str
    size: int
    length: int
    typical: int
    cut: float = 0.0
    missing: int = 0
    pretrained: bool = False
    lost: float = 0.0


class SeriesStatistics(Struct, frozen=True, tag="series", forbid_unknown_fields=True):
    """Of a column of series, over the steps of the training split.

    Each of `channels` is encoded with its own `centers` (mean) and `scales` (standard deviation).
    Of long series `every` so many steps are averaged; what is then longer than `length` is cut,
    which concerns the share `cut` of the training rows and `lost` of their steps. `typical` is the
    median length, `gaps` the share of values that are missing inside of series, `missing` counts
    rows without any value.
    """

    channels: int
    length: int
    typical: int
    centers: tuple[float, ...]
    scales: tuple[float, ...]
    every: int = 1
    gaps: float = 0.0
    cut: float = 0.0
    missing: int = 0
    lost: float = 0.0


class AudioStatistics(Struct, frozen=True, tag="audio", forbid_unknown_fields=True):
    """Of a column of sound: the rate that sounds are brought to, and their length in samples.

    Sounds are cut behind `length` samples, which concerns the share `cut` of the training rows and
    takes `lost` of all sound away; `typical` is the median length there, and the share `resampled`
    came at another rate. `mean` and `std` are those of the log-mel energies of each band.
    """

    rate: int
    length: int
    typical: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cut: float = 0.0
    resampled: float = 0.0
    missing: int = 0
    lost: float = 0.0


Statistics = (
    NumberStatistics
    | CategoryStatistics
    | TimeStatistics
    | ImageStatistics
    | TextStatistics
    | SeriesStatistics
    | AudioStatistics
)


class LabelReading(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the label sets of a row stand: in yes/no columns named after the labels, or in one.

    In one column, `separator` parts the labels of a text; where it is empty each value is a list.
    """

    columns: tuple[str, ...]
    separator: str = ""


class SeriesReading(Struct, frozen=True, forbid_unknown_fields=True):
    """How a long table, a row for each step, is folded into a row for each series.

    The column `id` says which series a row belongs to, `time` (None: the order of the rows) when;
    `channels` are the columns that became the field `name`; none before they were found.
    """

    id: str
    time: str | None = None
    name: str = "series"
    channels: tuple[str, ...] = ()


class Field(Struct, frozen=True, forbid_unknown_fields=True):
    """One named column: its kind, its role, the reason for both, and what was learned of it.

    `decimal_sign` is how its numbers were written in text, so that 1,234 means the same in every
    other file; empty where they were no text, or nothing in them told.
    """

    name: str
    kind: Kind
    role: Role
    reason: str
    statistics: Statistics | None = None
    decimal_sign: DecimalSign = ""


class Schema(Struct, frozen=True, forbid_unknown_fields=True):
    """All fields of a data set, and the task that its target makes.

    `label_reading` is there where each row has several labels at once, `series_reading` where a row
    was made of several rows of a long table.
    """

    task: TaskName
    fields: tuple[Field, ...]
    task_reason: str = ""
    label_reading: LabelReading | None = None
    format_version: int = SCHEMA_FORMAT
    series_reading: SeriesReading | None = None

    @property
    def target(self) -> Field:
        """The field to be learned."""
        return next(f for f in self.fields if f.role == "target")

    @property
    def inputs(self) -> tuple[Field, ...]:
        """The fields that the network sees, in order."""
        return tuple(f for f in self.fields if f.role == "input")

    def of_kind(self, *kinds: Kind) -> tuple[Field, ...]:
        """The input fields of the given kinds, in order."""
        return tuple(f for f in self.inputs if f.kind in kinds)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of classes or labels, in the order of their codes; empty for a number."""
        statistics = self.target.statistics
        return statistics.vocabulary if isinstance(statistics, CategoryStatistics) else ()

    @property
    def is_named(self) -> bool:
        """Whether the target takes values with names: a class, or a set of labels."""
        return self.task in ("classification", "multilabel")
