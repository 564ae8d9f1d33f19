"""Plan: everything that decides the result of a run, resolved before step 1. `plan.yaml` on disk.

A plan is frozen and typed, and says why: `why` maps a dotted key to a sentence. The same plan on
the same machine, versions and data gives the same weights, bit for bit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct, field

from fathom.baselines import Limit
from fathom.core.errors import ArtefactError, PlanError
from fathom.core.files import write_atomic
from fathom.core.schema import Kind, TaskName
from fathom.data.augment import AugmentSpec
from fathom.data.split import Splits
from fathom.inference import Views
from fathom.networks import NetworkSpec
from fathom.planning.overrides import misfit
from fathom.training.settings import TrainingSpec

PLAN_FORMAT = 1


class DataPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """What is read, and how its columns are used. `digest` is the content's SHA-256.

    `series_id` and `series_time` are the columns of a long table, a row for each step of a series.
    `near_duplicates`: whether near duplicates were looked for, to keep them on one side of splits.
    `pretrained`: the network that was trained elsewhere and that the data are encoded for, if any.
    """

    source: str
    target: str | tuple[str, ...]
    task: TaskName
    test: str | None = None
    group: str | None = None
    time: str | None = None
    drop: tuple[str, ...] = ()
    kinds: dict[str, Kind] = field(default_factory=dict)
    allow_leaks: bool = False
    image_size: int | None = None
    rows: int = 0
    digest: str = ""
    series_id: str | None = None
    series_time: str | None = None
    near_duplicates: bool = False  # plans that do not state it were written before any were
    pretrained: str = "none"


class TaskPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """How the task is learned."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.label_smoothing < 1.0:
            raise PlanError(
                f"label_smoothing is {self.label_smoothing}; it must be at least 0 and below 1."
            )


class InferencePlan(Struct, frozen=True, forbid_unknown_fields=True):
    """How the network is used. Its outputs are averaged over `views` of each example.

    `auto`: whichever views gain more than noise on validation, once the network is trained.
    """

    views: Views | Literal["auto"] = "one"


class ScratchPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """A network that begins with nothing, trained beside a pretrained one to tell what that gains.

    It decides nothing, and is not shipped.
    """

    network: NetworkSpec
    training: TrainingSpec
    augmentation: AugmentSpec
    task: TaskPlan


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """A resolved plan. `baselines` maps names to their fixed limits, a count or a recipe (None: no
    limit of its own; one for each label where several are learned at once); `evidence` maps sample
    sizes; `seconds` how the budget was shared out.
    """

    name: str
    seed: int
    data: DataPlan
    task: TaskPlan
    network: NetworkSpec
    training: TrainingSpec
    augmentation: AugmentSpec
    baselines: dict[str, Limit]
    evidence: dict[str, int]
    budget_seconds: float | None
    seconds: dict[str, float]
    environment: dict[str, Any]
    why: dict[str, str]
    inference: InferencePlan = InferencePlan()
    scratch: ScratchPlan | None = None
    format_version: int = PLAN_FORMAT


def to_yaml(plan: Plan) -> str:
    """The plan as YAML text, in the order of its fields."""
    return yaml.safe_dump(msgspec.to_builtins(plan), sort_keys=False, allow_unicode=True, width=100)


def save_plan(plan: Plan, path: Path) -> None:
    """Write `plan.yaml` atomically."""
    write_atomic(path, to_yaml(plan).encode())


def identity_of(plan: Plan, splits: Splits) -> str:
    """A SHA-256 of all that decides the weights: the plan, the data, and who trains on what.

    What only tells of them (reasons, times, versions) does not count. A checkpoint is gone on with
    only where this is the same.
    """
    told = (
        "why",
        "seconds",
        "environment",
        "name",
        "evidence",
        "baselines",
        "budget_seconds",
        "scratch",
    )
    decisive = {k: v for k, v in msgspec.to_builtins(plan).items() if k not in told}
    return digest_of(decisive, splits)


def digest_of(decisive: Any, splits: Splits) -> str:
    """A SHA-256 of whatever JSON can hold, and of who trains on what."""
    content = hashlib.sha256(msgspec.json.encode(decisive, order="sorted"))
    for rows in (splits.train, splits.validation, splits.calibration, splits.test):
        content.update(rows.tobytes())
    return content.hexdigest()


def load_plan(path: Path) -> Plan:
    """Read a `plan.yaml`. Raises ArtefactError (damaged), PlanError (a value that does not fit)."""
    return plan_of(read_plan(path), path)


def plan_of(content: dict[str, Any], path: Path) -> Plan:
    """The plan that was read from a file. Raises PlanError for a value that does not fit."""
    try:
        return msgspec.convert(content, Plan, strict=False)
    except msgspec.ValidationError as error:
        raise PlanError(f"{path} does not fit: {misfit(error, content)}") from None


def read_plan(path: Path) -> dict[str, Any]:
    """What stands in a `plan.yaml` of this format. Raises ArtefactError where it is none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtefactError(f"The plan {path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} is not a readable plan: {_unread(error)}.") from None
    if not isinstance(content, dict) or "format_version" not in content:
        raise ArtefactError(f"{path} is not a plan of Fathom: it has no format_version.")
    if content["format_version"] != PLAN_FORMAT:
        raise ArtefactError(
            f"{path} has the format {content['format_version']}; this Fathom reads {PLAN_FORMAT}."
        )
    return content


def _unread(error: Exception) -> str:
    """Why YAML could not be read, and in which line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1} is no YAML ({error.problem})"
    return str(error).splitlines()[0].rstrip(".")
