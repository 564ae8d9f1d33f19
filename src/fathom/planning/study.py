"""Study: the trials of a search in a database, which several machines may share. Uses Optuna.

Every finished trial is in the database before the next begins, so that an interrupted search goes
on where it stopped. What a trial proposes depends on the seed, its place among the trials and
the trials before it, and on nothing else.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fathom.core.errors import PlanError
from fathom.core.randomness import derive_seed
from fathom.core.urls import without_password
from fathom.planning.halving import RUNGS, behind
from fathom.planning.search_space import FAMILY, Dimension, label
from fathom.planning.trials import LEAST_FOR_IMPORTANCE, State, TrialRow

TUNING_DATABASE = "tuning.sqlite3"
RANDOM_SHARE = 3  # one trial in three is drawn at random before the sampler begins to learn
LEAST_RANDOM, MOST_RANDOM = 4, 10
# So many seconds another machine may take over a few lines in the database before it counts as
# killed in the middle of them.
PATIENCE = 10.0
ASKED_EVERY = 0.1
# What pip calls the modules that SQLAlchemy looks for.
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}


@contextmanager
def storing_trials(url: str) -> Iterator[None]:
    """Whatever the database refuses becomes one sentence."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ImportError as error:  # Optuna raises one in place of Python's own
        raise PlanError(
            f"The trials' database {without_password(url)} cannot be used without its driver: "
            f"{_install(error)}, or leave --tune-storage out."
        ) from None
    except (StorageInternalError, SQLAlchemyError) as error:
        cause: BaseException = error.__cause__ or error
        reason = (str(cause).splitlines() or [""])[0].strip(" .")
        raise PlanError(
            f"The trials' database {without_password(url)} cannot be used ({reason}): give "
            "--tune-storage a database URL such as sqlite:////folder/study.sqlite3 or "
            "postgresql://user@host/database, or leave it out."
        ) from None


def _install(error: ImportError) -> str:
    """The command that installs the driver which is missing, as far as it is known."""
    cause = error.__cause__ or error.__context__ or error
    module = (getattr(cause, "name", None) or "").split(".")[0]
    if not module:
        return "install the one that its URL names"
    return f"pip install '{DRIVERS.get(module, module)}'"


def check_storage(url: str) -> None:
    """Open the database once. Raises PlanError where that cannot be done.

    A search begins minutes after its command; what hinders it is found before that.
    """
    import optuna

    with storing_trials(url):
        optuna.storages.get_storage(url)


class Study:
    """The trials of one search. `run` names this run among those that share the study."""

    def __init__(self, url: str, name: str, *, wanted: int, seed: int, run: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self.url, self.name, self.wanted, self.seed, self.run = url, name, wanted, seed, run
        with storing_trials(url):
            self._study = optuna.create_study(
                storage=url,
                study_name=name,
                load_if_exists=True,
                direction="maximize",
                pruner=optuna.pruners.NopPruner(),  # see `is_behind`
            )

    def agree(self, key: str, value: Any) -> Any:
        """What all who share the study use under `key`: the value of whoever came first."""
        with storing_trials(self.url):
            self._once(
                key,
                done=lambda: key in self._study.user_attrs,
                do=lambda: self._study.set_user_attr(key, value),
            )
            return self._study.user_attrs[key]

    def begin(self, values: Mapping[str, Any]) -> None:
        """Make the default the first trial of a study that has none."""
        with storing_trials(self.url):
            self._once(
                "default",
                done=lambda: bool(self._study.get_trials(deepcopy=False)),
                do=lambda: self._propose_default(values),
            )

    def _once(self, what: str, *, done: Callable[[], bool], do: Callable[[], None]) -> None:
        """`do` by one of all who share the study; the others wait until it is `done`.

        Who may do it is settled by a name, which the database gives away but once. Where whoever
        has it was killed meanwhile another one does it.
        """
        if not done() and not self._is_first(what):
            end = time.monotonic() + PATIENCE
            while not done() and time.monotonic() < end:
                time.sleep(ASKED_EVERY)
        if not done():
            do()

    def _is_first(self, what: str) -> bool:
        try:
            self._optuna.create_study(storage=self.url, study_name=f"{self.name} ({what})")
        except self._optuna.exceptions.DuplicatedStudyError:
            return False
        return True

    def _propose_default(self, values: Mapping[str, Any]) -> None:
        self._study.enqueue_trial(dict(values), user_attrs={"default": True})

    def recover(self) -> None:
        """Settle what this run was at when it was interrupted.

        A trial of which all was written but its end gets that; another is given up, and will be
        proposed again: by the same seed behind the same trials, and the default by itself.
        """
        states = self._optuna.trial.TrialState
        with storing_trials(self.url):
            for trial in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                if trial.user_attrs.get("run") != self.run:
                    continue
                if "state" in trial.user_attrs:
                    self._end(trial.number, trial.user_attrs["state"], trial.user_attrs["score"])
                    continue
                if trial.user_attrs.get("default"):
                    self._propose_default(trial.system_attrs["fixed_params"])
                self._study.tell(trial.number, state=states.FAIL)

    def ask(self) -> Any:
        """A new trial of Optuna's."""
        random = min(max(self.wanted // RANDOM_SHARE, LEAST_RANDOM), MOST_RANDOM)
        with storing_trials(self.url):
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=derive_seed(self.seed, "search", len(self._counted())) % 2**32,
                n_startup_trials=random,
            )
            trial = self._study.ask()
            trial.set_user_attr("run", self.run)
        return trial

    def tell(
        self,
        trial: Any,
        state: State,
        score: float | None,
        *,
        settings: Mapping[str, Any],
        steps: int,
        seconds: float,
    ) -> None:
        """Write down what came of a trial: `state` last, which says that all of it is there."""
        with storing_trials(self.url):
            for key, value in (
                ("settings", json.dumps(dict(settings))),
                ("score", score),
                ("steps", steps),
                ("seconds", seconds),
                ("state", state),
            ):
                trial.set_user_attr(key, value)
            self._end(trial.number, state, score)

    def _end(self, number: int, state: State, score: float | None) -> None:
        """End Optuna's trial, which takes no attributes from then on."""
        states = self._optuna.trial.TrialState
        to_state = {
            "finished": states.COMPLETE,
            "ended early": states.PRUNED,
            "failed": states.FAIL,
        }[state]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = score if state == "finished" else None
            self._study.tell(number, value, state=to_state)

    def is_behind(self, trial: Any, validation: int, score: float) -> bool:
        """Note a score, and tell whether the trial is to be ended: see `planning.halving`.

        Trials that were interrupted do not count: they are done again.
        """
        with storing_trials(self.url):
            trial.report(score, validation)
            if validation not in RUNGS:
                return False
            others = [t for t in self._counted() if t.number != trial.number]
        came = (t.intermediate_values.get(validation) for t in others)
        return behind(score, [value for value in came if value is not None])

    def _counted(self) -> list[Any]:
        """The trials without those that were interrupted."""
        states = self._optuna.trial.TrialState
        trials = self._study.get_trials(deepcopy=False)
        return [
            t
            for t in trials
            if t.state != states.WAITING
            and not (t.state == states.FAIL and "state" not in t.user_attrs)
        ]

    def rows(self) -> list[TrialRow]:
        """What is finished, on any machine; numbers count from 0 in the order of their start."""
        with storing_trials(self.url):
            trials = [t for t in self._counted() if "state" in t.user_attrs]
        return [
            TrialRow(
                number=number,
                settings=json.loads(t.user_attrs["settings"]),
                state=t.user_attrs["state"],
                score=t.user_attrs["score"],
                scores=tuple(value for _, value in sorted(t.intermediate_values.items())),
                steps=t.user_attrs["steps"],
                seconds=t.user_attrs["seconds"],
                default=t.user_attrs.get("default", False),
            )
            for number, t in enumerate(trials)
        ]

    def own_seconds(self) -> float:
        """What this run's trials took so far, those before an interruption too."""
        with storing_trials(self.url):
            trials = self._study.get_trials(deepcopy=False)
        own = [t for t in trials if t.user_attrs.get("run") == self.run]
        return float(sum(t.user_attrs.get("seconds", 0.0) for t in own))

    def importance(self) -> dict[str, float]:
        """The share of each searched name in how the first validation scores differ; see `trials`.

        Empty where the trials are too few. Only what every trial has counts.
        """
        with storing_trials(self.url):
            scored = [t for t in self._counted() if t.intermediate_values]
        if len(scored) < LEAST_FOR_IMPORTANCE:
            return {}
        optuna = self._optuna
        first = optuna.create_study(direction="maximize")
        for t in scored:
            value = t.intermediate_values[min(t.intermediate_values)]
            frozen = optuna.trial.create_trial(
                params=t.params, distributions=t.distributions, value=value
            )
            first.add_trial(frozen)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.seed % 2**32)
        found = optuna.importance.get_param_importances(first, evaluator=evaluator)
        return {str(name): float(share) for name, share in found.items()}


def suggested(trial: Any, spaces: Mapping[str, Sequence[Dimension]], *, url: str) -> dict[str, Any]:
    """The settings that a trial proposes: plan keys to values; `spaces` by family of networks."""
    settings: dict[str, Any] = {}
    with storing_trials(url):
        family = next(iter(spaces))
        if len(spaces) > 1:
            family = trial.suggest_categorical(FAMILY, list(spaces))
            settings[FAMILY] = family
        for dimension in spaces[family]:
            settings[dimension.key] = _value(trial, dimension, _name(dimension, family, spaces))
    return settings


def default_values(spaces: Mapping[str, Sequence[Dimension]]) -> dict[str, Any]:
    """The defaults as a trial's values: the first family, and the default of each dimension."""
    family = next(iter(spaces))
    values: dict[str, Any] = {FAMILY: family} if len(spaces) > 1 else {}
    for dimension in spaces[family]:
        value = label(dimension.default) if dimension.choices else dimension.default
        values[_name(dimension, family, spaces)] = value
    return values


def _name(dimension: Dimension, family: str, spaces: Mapping[str, Sequence[Dimension]]) -> str:
    """The key, which all families share where they all search it alike."""
    if all(dimension in space for space in spaces.values()):
        return dimension.key
    return f"{dimension.key} ({family})"


def _value(trial: Any, dimension: Dimension, name: str) -> Any:
    if dimension.choices:
        by_label = {label(choice): choice for choice in dimension.choices}
        chosen = by_label[trial.suggest_categorical(name, list(by_label))]
        return list(chosen) if isinstance(chosen, tuple) else chosen
    value = trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    # The default must come out as it is, which three digits might not say.
    return value if value == dimension.default else float(f"{value:.3g}")


def database(folder: Path) -> str:
    """The URL of the database in a run folder."""
    return f"sqlite:///{(folder / TUNING_DATABASE).resolve()}"
