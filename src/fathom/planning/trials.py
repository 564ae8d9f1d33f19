"""What a search came to: `tuning.json`, and its records for the report."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from fathom.core.budget import format_duration
from fathom.core.record import Figure, Record, skipped

TRIALS_FORMAT = 1
GROUP = "tuning"
# With fewer trials a share of the variance would be chance.
LEAST_FOR_IMPORTANCE = 20
MOST_IN_TABLE = 12

State = Literal["finished", "ended early", "failed"]


class TrialRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One setting that was tried. `scores` were reached on validation, in order; `score` is the
    best of them, higher being better; None where the trial failed. `default`: with the defaults.
    """

    number: int
    settings: dict[str, Any]
    state: State
    score: float | None
    scores: tuple[float, ...]
    steps: int
    seconds: float
    default: bool = False

    def cut(self, steps: int) -> str:
        """In words, that the trial did not come to its end of `steps`; '' where it did."""
        if self.state == "finished":
            return ""
        return f" (ended early, after {self.steps:,} of {steps:,} steps)"


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `tuning.json`. `metric` is what trials were chosen by on validation; `space` tells
    what was tried of each key; `winner` is a trial's number.
    """

    study: str
    storage: str
    metric: str
    steps: int
    wanted: int
    space: dict[str, str]
    trials: tuple[TrialRow, ...]
    winner: int | None
    importance: dict[str, float]
    format_version: int = TRIALS_FORMAT

    @property
    def called(self) -> str:
        """The metric in words."""
        return self.metric.replace("_", " ")

    @property
    def default(self) -> TrialRow | None:
        """The trial of the defaults."""
        return next((t for t in self.trials if t.default), None)

    @property
    def best(self) -> TrialRow | None:
        """The trial that won."""
        return next((t for t in self.trials if t.number == self.winner), None)

    @property
    def seconds(self) -> float:
        """What all trials took together, on whatever machine."""
        return sum(t.seconds for t in self.trials)

    def count(self, state: State) -> int:
        """How many trials ended so."""
        return sum(t.state == state for t in self.trials)


def records(search: Search) -> list[Record]:
    """The search as evidence: what was tried, what came first, what mattered."""
    return [_best(search), _table(search), _importance(search)]


def _best(search: Search) -> Record:
    best, default = search.best, search.default
    told = (
        f"{len(search.trials)} settings were tried for up to {search.steps:,} steps each "
        f"({format_duration(search.seconds)} in all): {search.count('finished')} to the end, "
        f"{search.count('ended early')} were ended early"
    )
    told += f", {search.count('failed')} failed. " if search.count("failed") else ". "
    if best is None or best.score is None:
        told += "None came to its end: the defaults stay."
    elif best.default:
        told += f"None was better on validation than the default ({_told(search, best)})."
    else:
        told += f"Trial {best.number + 1} was the best on validation: {_told(search, best)}"
        told += f"; the default reached {_told(search, default)}." if default else "."
    scored = [t for t in search.trials if t.score is not None]
    return Record(
        "tuning.best",
        GROUP,
        told,
        value=None if best is None or best.score is None else abs(best.score),
        n=len(search.trials),
        split="validation",
        method="successive halving (Jamieson and Talwalkar 2016) over proposals of a "
        "tree-structured Parzen estimator (Bergstra et al. 2011)",
        figure=Figure(
            "curves",
            {
                "series": [
                    {"name": "best so far", **_best_so_far(search)},
                    {
                        "name": "each trial",
                        "x": [t.number + 1 for t in scored],
                        "y": [abs(t.score or 0.0) for t in scored],
                    },
                ],
                "x_label": "trial",
                "y_label": f"{search.called} on validation",
            },
        )
        if scored
        else None,
    )


def _best_so_far(search: Search) -> dict[str, list[float]]:
    """The best score of trials that came to their end, from the first such on to the last trial."""
    xs, ys, best = [], [], float("-inf")
    for trial in search.trials:
        if trial.state == "finished" and trial.score is not None:
            best = max(best, trial.score)
        if best > float("-inf"):
            xs.append(float(trial.number + 1))
            ys.append(abs(best))
    return {"x": xs, "y": ys}


def _told(search: Search, trial: TrialRow | None) -> str:
    if trial is None or trial.score is None:
        return "nothing"
    return f"{search.called} {abs(trial.score):.4g}{trial.cut(search.steps)}"


def _table(search: Search) -> Record:
    """The best trials with the settings that differ between them."""
    scored = [t for t in search.trials if t.score is not None]
    ranked = sorted(scored, key=lambda t: (t.state != "finished", -(t.score or 0.0)))
    keys = [k for k in search.space if len({str(t.settings.get(k)) for t in scored}) > 1]
    columns = ["trial", search.called, "steps", *(k.rsplit(".", 1)[-1] for k in keys)]
    rows = [
        [t.number + 1, round(abs(t.score or 0.0), 5), t.steps]
        + [_cell(t.settings.get(key)) for key in keys]
        for t in ranked[:MOST_IN_TABLE]
    ]
    if rows:
        rows.insert(0, ["searched", "", "", *(search.space[key] for key in keys)])
    alike = "; ".join(f"{key} {told}" for key, told in search.space.items() if key not in keys)
    rest = f" Searched too, but alike in all of them: {alike}." if alike else ""
    return Record(
        "tuning.trials",
        GROUP,
        f"The best settings on validation, below what was searched.{rest}",
        value=float(len(search.trials)),
        unit="trials",
        n=len(search.trials),
        split="validation",
        figure=Figure("table", {"columns": columns, "rows": rows}) if rows else None,
    )


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _importance(search: Search) -> Record:
    if not search.importance:
        return skipped(
            "tuning.importance",
            GROUP,
            f"What mattered most cannot be told from {len(search.trials)} trials: at least "
            f"{LEAST_FOR_IMPORTANCE} are needed (--tune {LEAST_FOR_IMPORTANCE} or more, and time).",
        )
    ranked = sorted(search.importance.items(), key=lambda item: -item[1])
    return Record(
        "tuning.importance",
        GROUP,
        f"Most of the differences between trials went with {ranked[0][0]} "
        f"({100 * ranked[0][1]:.0f} %).",
        value=ranked[0][1],
        unit="share",
        n=len(search.trials),
        split="validation",
        method="functional ANOVA (Hutter et al. 2014) of the first validation score of all trials",
        figure=Figure(
            "bars",
            {
                "labels": [key for key, _ in ranked],
                "values": [value for _, value in ranked],
                "x_label": "share of the variance between trials",
            },
        ),
    )
