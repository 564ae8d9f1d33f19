"""Request: what the user asked for, before anything is known of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path
from typing import Any, get_args

from msgspec import Struct

from fathom import folders
from fathom.core.errors import PlanError, nearest
from fathom.core.packages import require
from fathom.core.schema import AnyTask, Kind, SeriesReading, TaskName
from fathom.planning.early import check_settings
from fathom.planning.overrides import convert
from fathom.planning.plan import DataPlan, Plan

_KINDS_PREFIX = "data.kinds."
REQUEST_FORMAT = 1


@dataclass(frozen=True)
class Request:
    """`plan` is set where a plan is repeated: then nothing is decided anew.

    `tune` is how many settings a search tries, `tune_storage` a database URL where they are not
    kept in `folder`, the run's own.
    """

    source: object
    name: str = "run"
    test: object | None = None
    target: str | tuple[str, ...] | None = None
    task: TaskName | None = None
    group: str | None = None
    time: str | None = None
    drop: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    allow_leaks: bool = False
    image_size: int | None = None
    near_duplicates: bool | None = None
    series_id: str | None = None
    series_time: str | None = None
    pretrained: str = "auto"
    seed: int = 0
    budget_seconds: float | None = None
    steps: int | None = None
    device: str = "cpu"
    settings: Mapping[str, Any] = field(default_factory=dict)
    plan: Plan | None = None
    tune: int | None = None
    tune_storage: str | None = None
    folder: Path | None = None

    @property
    def series(self) -> SeriesReading | None:
        """How a long table is to be folded, where it is one."""
        return None if self.series_id is None else SeriesReading(self.series_id, self.series_time)


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `request.json`: the words of a command that decide a result, written first of all.

    A run that is resumed must have been asked for in the same words; only the budget may differ.
    """

    source: str
    test: str
    target: str | tuple[str, ...] | None
    task: AnyTask | None
    group: str | None
    time: str | None
    drop: tuple[str, ...]
    kinds: dict[str, Kind]
    allow_leaks: bool
    image_size: int | None
    seed: int
    steps: int | None
    settings: dict[str, Any]
    tune: int | None = None
    near_duplicates: bool | None = None
    series_id: str | None = None
    series_time: str | None = None
    pretrained: str = "auto"
    begin: str = ""
    format_version: int = REQUEST_FORMAT

    def differences(self, now: Asked) -> list[str]:
        """What is asked for otherwise now, in words."""
        return [
            f"{key} was {getattr(self, key)!r} and is {getattr(now, key)!r} now"
            for key in self.__struct_fields__
            if getattr(self, key) != getattr(now, key)
        ]


def asked_of(request: Request, plan_file: Path | None) -> Asked:
    """The words of a request; where a plan is repeated its file stands for the source."""
    return Asked(
        source=lasting(plan_file or request.source),
        test=lasting(request.test),
        target=request.target,
        task=request.task,
        group=request.group,
        time=request.time,
        drop=request.drop,
        kinds=dict(request.kinds),
        allow_leaks=request.allow_leaks,
        image_size=request.image_size,
        seed=request.seed,
        steps=request.steps,
        settings=dict(request.settings),
        tune=request.tune,
        near_duplicates=request.near_duplicates,
        series_id=request.series_id,
        series_time=request.series_time,
        pretrained=request.pretrained,
    )


def make_request(source: object, settings: Mapping[str, Any], **options: Any) -> Request:
    """A request; settings about how columns are read are taken out of the others.

    Raises PlanError for whatever cannot be meant, as far as that shows without data.
    """
    _check_source(source)
    _check_task(options.get("task"))
    check_tuning(options.get("tune"), options.get("tune_storage"))
    if not isinstance(settings, Mapping):
        raise PlanError(
            f"settings is {settings!r}: it must map plan keys to values, such as "
            '{"network.depth": 4}.'
        )
    rest = dict(settings)
    kinds = {
        k.removeprefix(_KINDS_PREFIX): rest.pop(k) for k in settings if k.startswith(_KINDS_PREFIX)
    }
    size = rest.pop("image_size", rest.pop("data.image_size", None))
    near = rest.pop("near_duplicates", rest.pop("data.near_duplicates", None))
    for key in ("series_id", "series_time"):
        told = rest.pop(key, rest.pop(f"data.{key}", None))
        options[key] = convert(told, str | None, f"data.{key}")
    if options["series_time"] is not None and options["series_id"] is None:
        raise PlanError("data.series_time says when: say with data.series_id which series, too.")
    start = rest.pop("pretrained", rest.pop("data.pretrained", None))
    if "steps" in rest or "training.steps" in rest:
        options["steps"] = convert(
            rest.pop("steps", rest.pop("training.steps", None)), int, "training.steps"
        )
    options["target"] = one_or_more(options.get("target"))
    checked_kinds = convert(kinds, dict[str, Kind], "data.kinds")
    checked_size = convert(size, int | None, "data.image_size")
    if checked_size is not None and not 8 <= checked_size <= 1024:
        raise PlanError(f"data.image_size is {checked_size}; it must be between 8 and 1024 pixels.")
    start = "none" if start is False else convert(start, str | None, "data.pretrained") or "auto"
    check_settings(rest)
    return Request(
        source,
        kinds=checked_kinds,
        image_size=checked_size,
        near_duplicates=convert(near, bool | None, "data.near_duplicates"),
        pretrained=start,
        settings=rest,
        **options,
    )


def one_or_more(target: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    """A target as it is kept: None, a name, or several names."""
    if target is None or isinstance(target, str):
        return target
    names = tuple(str(name) for name in target)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PlanError(f"The target {twice!r} is given twice: leave one --target out.")
    return names if len(names) > 1 else names[0] if names else None


def _check_source(source: object) -> None:
    if isinstance(source, str | Path) and folders.is_run(Path(source)):
        raise PlanError(
            f"{source} is a run folder, not data: repeat it with fathom fit "
            f"{Path(source) / folders.PLAN} once it has one, or use what it learned with "
            f"fathom predict {source} DATA, or fathom sample {source} where it writes."
        )


def _check_task(task: object) -> None:
    known = get_args(TaskName)
    if task is not None and task not in known:
        raise PlanError(
            f"There is no task {task!r}; known: {', '.join(known)}.{nearest(str(task), known)}"
        )


def check_tuning(tune: int | None, storage: str | None) -> None:
    """Raise PlanError where a search cannot be meant, MissingExtraError where Optuna is missing."""
    if tune is None:
        if storage is not None:
            raise PlanError("--tune-storage says where trials are kept: say how many with --tune.")
        return
    if isinstance(tune, bool) or not isinstance(tune, int) or tune < 2:
        raise PlanError(f"--tune {tune}: give how many settings to try, at least 2, such as 20.")
    if storage is not None and "://" not in storage:
        raise PlanError(
            f"--tune-storage {storage!r} is no database URL: write sqlite:////folder/study.sqlite3 "
            "or postgresql://user@host/database."
        )
    require("optuna", "tune")


def repeat_request(
    plan: Plan, device: str, source: object | None = None, test: object | None = None
) -> Request:
    """The request that a plan answers; `source` and `test` stand in for what lay in memory.

    Raises PlanError where such data is not handed in.
    """
    data = plan.data
    if not data.source and (source is None or isinstance(source, str | Path)):
        raise PlanError(
            "This plan's data lay in memory: repeat it from Python, fathom.fit(data, plan=FILE)."
        )
    return Request(
        source=data.source or source,
        test=data.test or test,
        target=data.target,
        task=data.task,
        group=data.group,
        time=data.time,
        drop=data.drop,
        kinds=data.kinds,
        allow_leaks=data.allow_leaks,
        image_size=data.image_size,
        near_duplicates=data.near_duplicates,
        series_id=data.series_id,
        series_time=data.series_time,
        pretrained=data.pretrained,
        seed=plan.seed,
        budget_seconds=plan.budget_seconds,
        device=device,
        plan=plan,
    )


def data_plan(
    request: Request,
    *,
    target: str | tuple[str, ...],
    task: TaskName,
    rows: int,
    digest: str,
    near_duplicates: bool,
    pretrained: str = "none",
) -> DataPlan:
    """The plan's section about the data. A path is written absolute, so that a repeat finds it."""
    return DataPlan(
        source=lasting(request.source),
        target=target,
        task=task,
        test=lasting(request.test) or None,
        group=request.group,
        time=request.time,
        drop=request.drop,
        kinds=dict(request.kinds),
        allow_leaks=request.allow_leaks,
        image_size=request.image_size,
        rows=rows,
        digest=digest,
        near_duplicates=near_duplicates,
        series_id=request.series_id,
        series_time=request.series_time,
        pretrained=pretrained,
    )


def lasting(source: object) -> str:
    """A source as text: a path absolute, so that a repeat finds it; empty for data in memory."""
    if not isinstance(source, str | Path):
        return ""
    path = Path(source).expanduser()
    stays = path.exists() or has_magic(str(path))  # a pattern such as part-*.csv
    return str(path.resolve()) if stays else str(source)
