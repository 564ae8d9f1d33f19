"""Resolve: from a corpus, probe and budget to a plan of a network of language."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from fathom.core.budget import Budget, format_duration
from fathom.core.errors import BudgetError
from fathom.core.language import first_of
from fathom.core.progress import Progress
from fathom.networks.language import LanguageSpec
from fathom.planning.environment import describe_environment
from fathom.planning.language.draft import (
    LEAST_STEPS,
    MOST_EPOCHS,
    Draft,
    begun_draft,
    make_draft,
    useful_steps,
    with_steps,
)
from fathom.planning.language.plan import BeginPlan, CorpusPlan, LanguagePlan
from fathom.planning.language.prepare import Prepared
from fathom.planning.language.request import LanguageRequest
from fathom.planning.language.rivals import Rivals
from fathom.planning.language.sizes import (
    choose_batch,
    choose_context,
    choose_size,
    operations_per_token,
    sizes,
)
from fathom.planning.language.timing import Timed, Timer
from fathom.planning.probe import UNSTEADY
from fathom.planning.request import lasting
from fathom.training.language import LanguageFit
from fathom.training.settings import TrainingSpec

PROBE_SHARE = 0.03
EVIDENCE_SHARE, EVIDENCE_LEAST, EVIDENCE_MOST = 0.22, 6.0, 300.0
REPORT_SECONDS = 1.5
MARGIN = 0.03
VALIDATION_SHARE, VALIDATIONS_LEAST, VALIDATIONS_MOST = 0.08, 4, 30
VALIDATION_TOKENS = 100_000
# What a validation takes for a token, of what a step of training takes for it: it goes forwards
# alone, but in float32 products where those are needed for exact sums.
FORWARDS = 0.4
# Tokens that evidence reads of the test split for each second that it has, at least and at most.
TEST_RATE, TEST_LEAST, TEST_MOST = 20_000, 100_000, 2_000_000
# Operations a second that the first guess at a size goes by; what is timed then corrects it.
FIRST_GUESS = 1e11


@dataclass(frozen=True)
class Resolving:
    """A plan on its way, and what every step of the way needs."""

    request: LanguageRequest
    prepared: Prepared
    rivals: Rivals | None
    budget: Budget
    progress: Progress

    @property
    def vocabulary(self) -> int:
        """How many tokens there are to choose from."""
        return self.prepared.vocabulary

    @property
    def text_tokens(self) -> int:
        """Tokens of training text."""
        return self.prepared.splits["train"].predicted

    @property
    def evidence_seconds(self) -> float:
        """What measuring may take."""
        return float(np.clip(EVIDENCE_SHARE * self.budget.seconds, EVIDENCE_LEAST, EVIDENCE_MOST))

    @property
    def training_seconds(self) -> float:
        """What is left for training once measuring and the report have their time."""
        after = self.evidence_seconds + REPORT_SECONDS + MARGIN * self.budget.seconds
        return self.budget.remaining - after

    def resolved(self) -> LanguagePlan:
        """The plan that uses what is left of the budget."""
        if self.training_seconds <= 0:
            self.refuse(1.0)
        timer = Timer(
            fit=lambda draft: language_fit(
                self.prepared, draft.network, draft.training, self.request.seed, self.request.device
            ),
            seconds=PROBE_SHARE * self.budget.seconds / 3,
            device=self.request.device,
            progress=self.progress,
        )
        timed = timer.fastest(self._sized(timer), self.training_seconds)
        return self._stretched(timed)

    def untimed(self, steps: int) -> LanguagePlan:
        """The plan of so many steps, which looks at no clock."""
        draft = self._begun() or self._untimed_size(steps)
        draft = with_steps(draft, steps, "was asked for")
        return self._plan(draft, {"before": 0.0, "training": 0.0})

    def _begun(self) -> Draft | None:
        """The draft with the network that is gone on with, where there is one."""
        beginning = self.prepared.beginning
        if beginning is None:
            return None
        return begun_draft(self.request, beginning, text_tokens=self.text_tokens)

    def _sized(self, timer: Timer) -> Timed:
        """The draft whose network suits the operations that fit into the time, and its speed.

        How many operations a second there are depends on the size, and the other way round: a size
        is chosen, timed, and chosen anew until it stays.
        """
        begun = self._begun()
        if begun is not None:
            return timer.time(begun)
        draft = self._drafted(FIRST_GUESS * max(self.training_seconds, 1.0))
        seen: set[LanguageSpec] = set()
        while True:
            timed = timer.time(draft)
            seen.add(draft.network)
            rate = self._operations(draft) / timed.step.median
            draft = self._drafted(rate * max(self.training_seconds, 1.0))
            if draft.network == timed.draft.network:
                return Timed(draft.trained(batch_size=timed.draft.training.batch_size), timed.step)
            if draft.network in seen:
                return timed

    def _drafted(self, operations: float) -> Draft:
        """The draft for so many operations of training."""
        family, kind = self.request.family, self.request.device.partition(":")[0]
        smallest = operations_per_token(next(sizes(family, 128)), self.vocabulary)
        context = choose_context(operations / smallest, kind, self.text_tokens)
        network, why = choose_size(
            operations,
            family=family,
            vocabulary=self.vocabulary,
            context=context,
            text_tokens=self.text_tokens,
        )
        reasons = {"network.width": why, "network.depth": why}
        draft = make_draft(self.request, network, reasons, begun=False)
        return self._batched(
            draft, operations / operations_per_token(draft.network, self.vocabulary)
        )

    def _untimed_size(self, steps: int) -> Draft:
        """The smallest size that suits as many operations as so many steps of it take."""
        context, draft = choose_context(0.0, "cpu", self.text_tokens), None
        for spec in sizes(self.request.family, context):
            draft = make_draft(self.request, spec, {}, begun=False)
            draft = self._batched(draft, float(steps * draft.tokens_a_step))
            operations = steps * self._operations(draft)
            best, why = choose_size(
                operations,
                family=self.request.family,
                vocabulary=self.vocabulary,
                context=context,
                text_tokens=self.text_tokens,
            )
            reasons = {"network.width": why, "network.depth": why}
            told = {k: v for k, v in reasons.items() if k not in draft.fixed}
            draft = Draft(draft.network, draft.training, draft.why | told, draft.fixed)
            if best.width <= spec.width:
                break
        assert draft is not None
        return draft

    def _batched(self, draft: Draft, tokens: float) -> Draft:
        """The draft with the batch for so many tokens in all."""
        if "training.batch_size" in draft.fixed:
            return draft
        size = choose_batch(tokens, draft.network.context)
        size = min(size, max(1, self.text_tokens // draft.network.context))
        return draft.trained(batch_size=size).because(
            batch_size=f"{size} sequences of {draft.network.context} tokens a step: the more is "
            "read in all, the steadier the steps should be."
        )

    def _operations(self, draft: Draft) -> float:
        return draft.tokens_a_step * operations_per_token(draft.network, self.vocabulary)

    def _stretched(self, timed: Timed) -> LanguagePlan:
        """Fix the steps: as many as time allows, and no more passes than the text is good for."""
        draft, step = timed.draft, timed.step.median
        tokens = min(self.prepared.splits["validation"].predicted, VALIDATION_TOKENS)
        validation = FORWARDS * tokens * step / draft.tokens_a_step
        seconds = self.training_seconds
        if seconds < LEAST_STEPS * step + VALIDATIONS_LEAST * validation:
            self.refuse(LEAST_STEPS * step + VALIDATIONS_LEAST * validation)
        validations = int(
            np.clip(
                VALIDATION_SHARE * seconds / max(validation, 1e-6),
                VALIDATIONS_LEAST,
                VALIDATIONS_MOST,
            )
        )
        affordable = (seconds - validations * validation) / step
        useful = useful_steps(draft, self.text_tokens)
        steps = max(LEAST_STEPS, int(min(affordable, useful)))
        passes = steps * draft.tokens_a_step / max(self.text_tokens, 1)
        why = (
            f"{format_duration(seconds)} are left for training and a step takes {1000 * step:.0f} "
            f"ms, which makes {passes:.2g} passes over the text."
            if affordable <= useful
            else f"{MOST_EPOCHS} passes are as many as this text is good for; the time would allow "
            f"{affordable / useful * MOST_EPOCHS:.0f}."
        )
        if timed.step.slowest > UNSTEADY * step:
            self.progress.say(
                "Something else is using this machine: training steps take unevenly long, and "
                "less will be trained in the time."
            )
        draft = with_steps(
            draft, steps, why, most=useful, step_seconds=step, validations=validations
        )
        told = {"before": round(self.budget.elapsed, 2), "training": round(seconds, 2)}
        return self._plan(draft, told)

    def refuse(self, least: float) -> None:
        """Raise BudgetError, saying what is needed where training takes `least` seconds."""
        budget, after = self.budget, self.evidence_seconds + REPORT_SECONDS
        needed = ceil((budget.elapsed + after + least) / (1 - MARGIN - PROBE_SHARE) * 1.2)
        raise BudgetError(
            f"The budget of {format_duration(budget.seconds)} is too small for this corpus: "
            f"{format_duration(budget.elapsed)} went into reading it, the n-grams and the timing "
            "of steps, and what is left does not suffice to train and measure. "
            f"Give --budget {needed}s."
        )

    def _plan(self, draft: Draft, seconds: dict[str, float]) -> LanguagePlan:
        """The plan of a draft whose steps are fixed."""
        request, begun, rivals = self.request, self.prepared.beginning, self.rivals
        evidence = round(self.evidence_seconds, 2)
        ngrams = {"ngrams.order": rivals.why} if rivals is not None and rivals.why else {}
        return LanguagePlan(
            name=request.name,
            seed=request.seed,
            data=corpus_plan(request, self.prepared),
            begin=BeginPlan()
            if begun is None
            else BeginPlan(begun.source, begun.digest, begun.licence),
            network=draft.network,
            training=draft.training,
            ngrams=None if rivals is None else rivals.plan,
            evidence=evidence_sizes(evidence),
            budget_seconds=None if request.steps else request.budget_seconds,
            seconds=seconds | {"evidence": evidence, "report": REPORT_SECONDS},
            environment=describe_environment(request.device),
            why=self.prepared.why | draft.why | ngrams,
        )


def resolve_language(
    request: LanguageRequest,
    prepared: Prepared,
    rivals: Rivals | None,
    budget: Budget,
    progress: Progress,
) -> LanguagePlan:
    """The plan that uses what is left of the budget; with `request.steps` nothing is timed.

    Without `rivals` it is a plan to be looked at, not to be run. Raises BudgetError where too
    little time is left to train, saying what would be needed.
    """
    progress.stage("planning")
    resolving = Resolving(request, prepared, rivals, budget, progress)
    return resolving.resolved() if request.steps is None else resolving.untimed(request.steps)


def language_fit(
    prepared: Prepared, network: LanguageSpec, training: TrainingSpec, seed: int, device: str
) -> LanguageFit:
    """The fit of a network to a corpus; validation reads the first documents of its split."""
    begun, validation = prepared.beginning, prepared.splits["validation"]
    return LanguageFit(
        train=prepared.splits["train"],
        validation=first_of(validation, VALIDATION_TOKENS, prepared.tokenizer.lengths),
        vocabulary=prepared.vocabulary,
        network=network,
        training=training,
        seed=seed,
        device=device,
        begun_with={} if begun is None else begun.tensors,
    )


def corpus_plan(request: LanguageRequest, prepared: Prepared) -> CorpusPlan:
    """The plan's section about the corpus."""
    return CorpusPlan(
        source=lasting(request.source),
        test=lasting(request.test) or None,
        text_field=prepared.corpus.text_field,
        tokenizer=prepared.tokenizer.kind,
        vocabulary=prepared.tokenizer.size,
        near_duplicates=prepared.survey.near,
        documents=prepared.survey.documents,
        bytes=prepared.survey.bytes,
        most_bytes=prepared.most_bytes,
        train_tokens=prepared.splits["train"].predicted,
        digest=prepared.survey.digest,
    )


def evidence_sizes(seconds: float) -> dict[str, int]:
    """Tokens of each split that evidence may read, by the time that there is for it."""
    test = int(np.clip(TEST_RATE * seconds, TEST_LEAST, TEST_MOST))
    return {"train": test // 4, "validation": test // 4, "calibration": test // 8, "test": test}
