"""Search: settings of the plan tried on validation, before the plan is settled (`--tune`).

Each trial trains the network for a share of the training to come. Successive halving ends what is
behind early, inside a stated share of the time; the best setting is then trained as usual for what
is left. Test data plays no part, and a repeated plan never searches.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace as changed

from fathom.core.budget import Budget, format_duration
from fathom.core.errors import PlanError
from fathom.core.files import write_json
from fathom.core.progress import Progress
from fathom.core.urls import without_password
from fathom.networks import PretrainedSpec
from fathom.planning.draft import Draft, make_draft
from fathom.planning.plan import Plan, digest_of
from fathom.planning.prepare import Prepared
from fathom.planning.request import Request
from fathom.planning.search_space import FAMILY, Dimension, families, space
from fathom.planning.study import Study, database, default_values, suggested
from fathom.planning.trial import VALIDATIONS, run_trial
from fathom.planning.trials import Search, State, TrialRow
from fathom.training.supervised import Supervised

TUNING = "tuning.json"
# The share of the time for training that goes into trials, and what a trial costs on average of
# one that comes to its end (20 trials of which the better half goes on at 1/8, 1/4 and 1/2).
SEARCH_SHARE = 0.5
MEAN_COST = 0.4
LEAST_STEPS = 3 * VALIDATIONS
_KEPT = ("threads", "precision", "channels_last")


@dataclass(frozen=True)
class Winner:
    """The best trial's settings, plan keys to values, and why each of them."""

    settings: dict[str, Any]
    why: dict[str, str]


@dataclass(frozen=True)
class Terms:
    """How long trials may be: steps of a full one, seconds of a full one and of all (None: any)."""

    steps: int
    trial_seconds: float | None = None
    seconds: float | None = None


def terms_for_steps(steps: int, trials: int) -> Terms:
    """Without a clock all trials together take about as many steps as the training."""
    return Terms(min(steps, max(LEAST_STEPS, int(steps / (MEAN_COST * trials)))))


def terms_for_time(seconds: float, *, trials: int, step_seconds: float, useful: int) -> Terms:
    """With `seconds` left for training: trials as long as their share allows, and as is useful."""
    share = SEARCH_SHARE * seconds
    each = share / (MEAN_COST * trials)
    steps = max(LEAST_STEPS, int(min(useful, each / step_seconds)))
    return Terms(steps, max(each, LEAST_STEPS * step_seconds), share)


class Searching:
    """One search under way. `what_of(plan)` gives the fit that a plan describes."""

    def __init__(
        self,
        request: Request,
        prepared: Prepared,
        *,
        plan: Plan,
        draft: Draft,
        what_of: Callable[[Plan], Supervised],
        terms: Terms,
        progress: Progress,
    ) -> None:
        assert request.tune is not None and request.folder is not None
        self.request, self.prepared, self.plan, self.draft = request, prepared, plan, draft
        self.what_of, self.progress, self.wanted = what_of, progress, request.tune
        self.spaces = _spaces(request, prepared, draft)
        self.study = Study(
            request.tune_storage or database(request.folder),
            _study_name(request, prepared, plan, self.spaces),
            wanted=self.wanted,
            seed=plan.seed,
            run=f"{platform.node()}:{request.folder.resolve()}",
        )
        self.terms = replace(terms, steps=int(self.study.agree("steps", terms.steps)))

    def run(self, budget: Budget) -> Winner:
        """Try settings until the wanted number or the share of the time is reached."""
        self.progress.stage("searching")
        self.study.recover()
        self.study.begin(default_values(self.spaces))
        self._tell_joined()
        before = self.study.own_seconds()
        budget.count(before)  # the time before an interruption counts
        seconds = self.terms.seconds
        share = None if seconds is None else budget.share(max(0.0, seconds - before))
        while len(rows := self.study.rows()) < self.wanted:
            if share is not None and share.exhausted:
                self.progress.say(
                    f"{len(rows)} of {self.wanted} trials fitted into "
                    f"{format_duration(self.terms.seconds or 0)}, the search's share of the time."
                )
                break
            self._show(rows)
            self._try(share)
        return self._settle()

    def _tell_joined(self) -> None:
        """Say that somebody else's trials count too, and are as long as whoever began made them."""
        found = len(self.study.rows())
        if self.request.tune_storage is not None and found:
            self.progress.say(
                f"{found} of {self.wanted} trials were there already in the study "
                f"{self.study.name}; a full trial has {self.terms.steps:,} steps there."
            )

    def _try(self, share: Budget | None) -> None:
        """One trial, from what is proposed to what came of it."""
        trial = self.study.ask()
        settings = suggested(trial, self.spaces, url=self.study.url)
        reports, early = 0, False

        def is_over(score: float) -> bool:
            nonlocal reports, early
            if isfinite(score):
                reports += 1
                early = self.study.is_behind(trial, reports, score)
            early = early or (share is not None and share.exhausted)
            return early

        told: dict[str, Any] = {"settings": settings, "steps": 0, "seconds": 0.0}
        try:
            what = self._candidate(settings)
            result = run_trial(
                what, steps=self.terms.steps, budget=self._time(share), watcher=is_over
            )
        except PlanError:  # a combination that makes no network for this data
            self.study.tell(trial, "failed", None, **told)
            return
        told |= {"steps": result.steps, "seconds": round(result.seconds, 3)}
        if not isfinite(result.score):
            self.study.tell(trial, "failed", None, **told)
            return
        state: State = "ended early" if early else "finished"
        self.study.tell(trial, state, result.score, **told)

    def _time(self, share: Budget | None) -> Budget | None:
        if share is None or self.terms.trial_seconds is None:
            return None
        return share.share(self.terms.trial_seconds)

    def _candidate(self, settings: Mapping[str, Any]) -> Supervised:
        """The fit with these settings; how it is computed was timed already and stays.

        It is not compiled: that takes longer than it can gain in a trial.
        """
        draft = _draft(self.request, self.prepared, settings, begun=self.draft)
        kept = {key: getattr(self.plan.training, key) for key in _KEPT}
        plan = changed(
            self.plan,
            network=draft.network,
            training=changed(draft.training, **kept, compile=False),
            task=draft.task,
            augmentation=changed(draft.augmentation, flip=self.plan.augmentation.flip),
        )
        return self.what_of(plan)

    def _show(self, rows: list[TrialRow]) -> None:
        best = _best(rows)
        note = "" if best is None else f"best {abs(best.score or 0.0):.4g}"
        self.progress.advance(len(rows), self.wanted, note)

    def _settle(self) -> Winner:
        """Write down what was tried, and hand the winner over."""
        rows = self.study.rows()
        self._show(rows)
        best = _best(rows)
        told = {d.key: d.told for dimensions in self.spaces.values() for d in dimensions}
        if len(self.spaces) > 1:
            told = {FAMILY: "among " + ", ".join(self.spaces)} | told
        search = Search(
            study=self.study.name,
            storage=_shown(self.study.url, self.request.folder),
            metric=self._metric,
            steps=self.terms.steps,
            wanted=self.wanted,
            space=told,
            trials=tuple(rows),
            winner=None if best is None else best.number,
            importance=self.study.importance(),
        )
        assert self.request.folder is not None
        write_json(self.request.folder / TUNING, search)
        return self._won(search, told)

    @property
    def _metric(self) -> str:
        return self.what_of(self.plan).selection_metric

    def _won(self, search: Search, space: Mapping[str, str]) -> Winner:
        best, default = search.best, search.default
        if best is None:
            return Winner({}, {})
        reached = f"{search.called} {abs(best.score or 0.0):.4g}"
        against = ""
        if default is not None and default.score is not None and best is not default:
            against = f"; the default reached {abs(default.score):.4g}{default.cut(search.steps)}"
        why = {
            key: f"The best of {len(search.trials)} trials on validation ({reached} in trial "
            f"{best.number + 1}{against}); searched {space[key]}."
            for key in best.settings
        }
        return Winner(best.settings, why)


def _best(rows: list[TrialRow]) -> TrialRow | None:
    """The best trial that came to its end; of equals the first."""
    finished = [r for r in rows if r.state == "finished" and r.score is not None]
    return max(finished, key=lambda r: r.score or 0.0, default=None)


def _draft(
    request: Request, prepared: Prepared, settings: Mapping[str, Any], *, begun: Draft
) -> Draft:
    """A draft with these settings, too; pretrained where the first is and they name no family."""
    asked = replace(request, settings={**request.settings, **settings})
    family = "pretrained" if isinstance(begun.network, PretrainedSpec) else None
    return make_draft(asked, prepared, family=family)


def _spaces(request: Request, prepared: Prepared, draft: Draft) -> dict[str, list[Dimension]]:
    """What is searched in each family of networks, the default one first."""
    found = {}
    for position, family in enumerate(families(draft, prepared.inputs)):
        own = draft if position == 0 else _draft(request, prepared, {FAMILY: family}, begun=draft)
        found[family] = space(
            replace(own, fixed=draft.fixed),
            len(prepared.examples["train"]),
            pictures=bool(prepared.inputs.images),
            classes=prepared.output.form == "classes",
        )
    if not any(found.values()):
        raise PlanError("Every key that --tune would search is fixed: leave one of --set out.")
    return found


def _study_name(
    request: Request, prepared: Prepared, plan: Plan, spaces: Mapping[str, list[Dimension]]
) -> str:
    """The run's name, the data's digest, and a digest of all else that trials must agree in.

    Where the data lies, and how fast a machine computes with it, may differ between machines.
    """
    data = {**msgspec.to_builtins(plan.data), "source": "", "test": ""}
    version = plan.environment["versions"]["fathom-learn"]
    searched = sorted((k, [repr(d) for d in v]) for k, v in spaces.items())
    agreed = [data, request.settings, plan.seed, plan.augmentation.flip, version, searched]
    digest = digest_of(agreed, prepared.splits)
    return f"{plan.name}-{plan.data.digest.removeprefix('sha256:')[:12]}-{digest[:8]}"


def _shown(url: str, folder: Path | None) -> str:
    return "" if folder is not None and url == database(folder) else without_password(url)
