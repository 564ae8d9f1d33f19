"""Resolve: from a corpus, probe and budget to a plan of a network of language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace as changed

from fathom.core.budget import Budget, format_duration
from fathom.core.errors import BudgetError, PlanError
from fathom.core.language import first_of
from fathom.core.progress import Progress
from fathom.networks.language import LanguageSpec, family_of
from fathom.planning.environment import cores, describe_environment, has_fast_bfloat16
from fathom.planning.language.plan import BeginPlan, CorpusPlan, LanguagePlan
from fathom.planning.language.prepare import Prepared
from fathom.planning.language.request import DATA_KEYS, FAMILY_KEYS, LanguageRequest
from fathom.planning.language.rivals import Rivals
from fathom.planning.language.sizes import choose_batch, choose_size, operations_per_token, sizes
from fathom.planning.overrides import apply_settings, convert, full_key, keys_of
from fathom.planning.probe import CLEARLY, COMPILE_BUDGET, UNSTEADY, compiling_pays
from fathom.planning.request import lasting
from fathom.training.language import LanguageFit
from fathom.training.settings import OptimizerSpec, TrainingSpec
from fathom.training.speed import StepTiming, measure_speed

PROBE_SHARE = 0.03
EVIDENCE_SHARE, EVIDENCE_LEAST, EVIDENCE_MOST = 0.22, 6.0, 300.0
REPORT_SECONDS = 1.5
MARGIN = 0.03
LEAST_STEPS = 20
VALIDATION_SHARE, VALIDATIONS_LEAST, VALIDATIONS_MOST = 0.08, 4, 30
SAVE_EVERY_SECONDS = 10.0
LOG_LINES = 200
WARMUP_SHARE, WARMUP_MOST = 0.05, 500
MOST_EPOCHS = 20
# Tokens of context by how much is read: what stands far back helps little before the rest is known.
CONTEXTS = {"cpu": ((1_000_000, 128), (10**18, 256)), "cuda": ((20_000_000, 512), (10**18, 1024))}
VALIDATION_TOKENS = 100_000
# Found on validation text of several corpora; see LOG.md.
OPTIMIZERS = {
    "muon": OptimizerSpec(
        name="muon",
        learning_rate=0.02,
        rest_learning_rate=0.02,
        weight_decay=0.1,
        momentum=0.9,
        betas=(0.9, 0.95),
    ),
    "adamw": OptimizerSpec(
        name="adamw", learning_rate=0.004, weight_decay=0.1, betas=(0.9, 0.95)
    ),
    "adam": OptimizerSpec(name="adam", learning_rate=0.003, weight_decay=0.0, betas=(0.9, 0.95)),
    "sgd": OptimizerSpec(name="sgd", learning_rate=0.3, weight_decay=0.0, momentum=0.9),
}
# A network that knows a language already needs small steps not to forget it.
TUNING = OptimizerSpec(name="adamw", learning_rate=0.0003, weight_decay=0.01, betas=(0.9, 0.95))
_OPTIMIZER_KEYS = ("optimizer", "optimizer.name", "training.optimizer.name")


@dataclass(frozen=True)
class Draft:
    """The sections of a plan as far as they are known; `fixed` are the keys that the user has set."""

    network: LanguageSpec
    training: TrainingSpec
    why: dict[str, str]
    fixed: frozenset[str]


@dataclass(frozen=True)
class Resolving:
    """A plan on its way, and what every step of the way needs."""

    request: LanguageRequest
    prepared: Prepared
    rivals: Rivals | None
    budget: Budget
    progress: Progress

    def fit(self, draft: Draft) -> LanguageFit:
        """The fit of a draft as it stands."""
        return language_fit(
            self.prepared, draft.network, draft.training, self.request.seed, self.request.device
        )

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

    def drafted(self, network: LanguageSpec, why: Mapping[str, str]) -> Draft:
        """Defaults with a network, changed by the user's settings. Raises PlanError."""
        name = next((str(v) for k, v in self.request.settings.items() if k in _OPTIMIZER_KEYS), "")
        known = self.prepared.beginning is not None
        optimizer = OPTIMIZERS.get(name or "muon", OptimizerSpec(name=name or "muon"))
        if known and name in {"", "adamw"}:
            optimizer = TUNING
        training = TrainingSpec(
            steps=1,
            batch_size=max(4, 2048 // network.context),
            optimizer=optimizer,
            schedule="linear",
            clip_norm=1.0,
            precision="bfloat16" if has_fast_bfloat16(self.request.device) else "float32",
            threads=cores(),
        )
        tree = {"network": msgspec.to_builtins(network), "training": msgspec.to_builtins(training)}
        settings = {
            k: v for k, v in self.request.settings.items() if k not in FAMILY_KEYS and not _of_data(k)
        }
        applied = apply_settings(tree, settings)
        fixed = {full_key(key, keys_of(tree)) for key in settings}
        if known:
            _refuse_shape(fixed)
        reasons = {k: v for k, v in why.items() if k not in fixed}
        return Draft(
            network=convert(applied["network"], LanguageSpec, "network"),
            training=convert(applied["training"], TrainingSpec, "training"),
            why=reasons | dict.fromkeys(sorted(fixed), "was set by the user."),
            fixed=frozenset(fixed),
        )

    def timed(self) -> tuple[Draft, StepTiming]:
        """The draft whose network suits the operations that fit into the time, and its speed.

        How many operations a second there are depends on the size, and the other way round: the
        size is chosen, timed, and chosen anew until it stays.
        """
        if self.prepared.beginning is not None:
            draft = self.drafted(self.prepared.beginning.spec, BEGUN)
            return draft, self._timing(draft)
        draft, why = self._sized(operations=1e12 * 0.1 * max(self.training_seconds, 1.0))
        seen = set()
        while True:
            timing = self._timing(draft)
            seen.add(draft.network)
            rate = self._operations(draft) / timing.median
            other, why = self._sized(operations=rate * max(self.training_seconds, 1.0))
            if other.network in seen or "network.width" in draft.fixed:
                return replace(draft, why=other.why if other.network == draft.network else draft.why), timing
            draft = other

    def _sized(self, operations: float) -> tuple[Draft, str]:
        vocabulary = self.prepared.tokenizer.size
        kind = self.request.device.partition(":")[0]
        smallest = next(sizes(self.request.family, 128))
        tokens = operations / operations_per_token(smallest, vocabulary) / 8
        contexts = CONTEXTS.get(kind, CONTEXTS["cpu"])
        context = next(length for most, length in contexts if tokens <= most)
        context = min(context, max(16, self.text_tokens // 8))
        network, why = choose_size(
            operations,
            family=self.request.family,
            vocabulary=vocabulary,
            context=context,
            text_tokens=self.text_tokens,
        )
        draft = self.drafted(network, {"network.width": why, "network.depth": why})
        seen = operations / operations_per_token(draft.network, vocabulary)
        return self._batched(draft, seen), why

    def _batched(self, draft: Draft, tokens: float) -> Draft:
        if "training.batch_size" in draft.fixed:
            return draft
        size = choose_batch(tokens, draft.network.context)
        size = min(size, max(1, self.text_tokens // draft.network.context))
        why = (
            f"{size} sequences of {draft.network.context} tokens a step: the more is read in all, "
            "the steadier the steps should be."
        )
        return replace(
            draft,
            training=changed(draft.training, batch_size=size),
            why=draft.why | {"training.batch_size": why},
        )

    def _operations(self, draft: Draft) -> float:
        tokens = draft.training.batch_size * draft.network.context
        return tokens * operations_per_token(draft.network, self.prepared.tokenizer.size)

    def _timing(self, draft: Draft) -> StepTiming:
        seconds = PROBE_SHARE * self.budget.seconds / 3
        return measure_speed(self.fit(draft), seconds=seconds)

    def probed(self, draft: Draft, timing: StepTiming) -> tuple[Draft, StepTiming]:
        """The fastest of precisions, thread counts, and compiling where it may pay."""
        told = [_told(draft.training, timing)]
        for key, values in self._choices(draft).items():
            for value in values:
                self.progress.advance(len(told), 4, "timing the network")
                other = replace(draft, training=changed(draft.training, **{key: value}))
                found = self._timing(other)
                told.append(_told(other.training, found))
                if found.median < CLEARLY * timing.median:
                    draft, timing = other, found
        why = {"training.precision": f"Milliseconds a step: {'; '.join(told)}."}
        draft = replace(draft, why=draft.why | why)
        if self.training_seconds < COMPILE_BUDGET.get(self.request.device.partition(":")[0], 1e9):
            return draft, timing
        return self._compiled(draft, timing)

    def _choices(self, draft: Draft) -> dict[str, list[Any]]:
        several = self.request.device == "cpu" and cores() > 1
        fast = draft.training.precision == "bfloat16"
        choices: dict[str, list[Any]] = {"threads": [1] if several else [], "precision": ["float32"] if fast else []}
        return {k: v for k, v in choices.items() if f"training.{k}" not in draft.fixed}

    def _compiled(self, draft: Draft, plain: StepTiming) -> tuple[Draft, StepTiming]:
        if "training.compile" in draft.fixed or self.request.family == "lstm":
            return draft, plain
        self.progress.advance(3, 4, "timing the compiled network")
        compiled = replace(draft, training=changed(draft.training, compile=True))
        try:
            timed = self._timing(compiled)
        except RuntimeError as error:  # no compiler, or a network that it cannot take
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            why = f"The network could not be compiled here ({reason[:120]})."
            return replace(draft, why=draft.why | {"training.compile": why}), plain
        told = (
            f"Compiled, a step takes {1000 * timed.median:.1f} ms for {1000 * plain.median:.1f} ms, "
            f"and the first one {timed.first:.0f} s"
        )
        pays = compiling_pays(plain, timed, self.training_seconds - timed.first)
        chosen, timing = (compiled, timed) if pays else (draft, plain)
        why = f"{told}: it {'pays' if pays else 'does not pay'} in the time that there is."
        return replace(chosen, why=chosen.why | {"training.compile": why}), timing

    def stretched(self, draft: Draft, timing: StepTiming) -> LanguagePlan:
        """Fix the steps: as many as time allows, and no more passes than the text is good for."""
        validation = self._validation_seconds(draft, timing)
        seconds = self.training_seconds
        least = LEAST_STEPS * timing.median + VALIDATIONS_LEAST * validation
        if seconds < least:
            self._refuse(least)
        validations = int(
            np.clip(
                VALIDATION_SHARE * seconds / max(validation, 1e-6),
                VALIDATIONS_LEAST,
                VALIDATIONS_MOST,
            )
        )
        affordable = (seconds - validations * validation) / timing.median
        useful = useful_steps(draft, self.text_tokens)
        steps = max(LEAST_STEPS, int(min(affordable, useful)))
        epochs = steps / max(1e-9, useful / MOST_EPOCHS)
        why = (
            f"{format_duration(seconds)} are left for training and a step takes "
            f"{1000 * timing.median:.0f} ms, which makes {epochs:.2g} passes over the text."
            if affordable <= useful
            else f"{MOST_EPOCHS} passes are as many as this text is good for; the time would allow "
            f"{affordable / useful * MOST_EPOCHS:.0f}."
        )
        if timing.slowest > UNSTEADY * timing.median:
            self.progress.say(
                "Something else is using this machine: training steps take unevenly long, and "
                "less will be trained in the time."
            )
        told = {"before": round(self.budget.elapsed, 2), "training": round(seconds, 2)}
        draft = with_steps(
            draft,
            steps,
            why,
            most=useful,
            step_seconds=timing.median,
            validations=validations,
        )
        return self.plan(draft, told)

    def _validation_seconds(self, draft: Draft, timing: StepTiming) -> float:
        """A validation reads its text once forwards, a third of a step's work for each token."""
        tokens = min(self.prepared.splits["validation"].predicted, VALIDATION_TOKENS)
        per_token = timing.median / (draft.training.batch_size * draft.network.context)
        return tokens * per_token / 2.5

    def _refuse(self, least: float) -> None:
        budget = self.budget
        after = self.evidence_seconds + REPORT_SECONDS
        needed = ceil((budget.elapsed + after + least) / (1 - MARGIN - PROBE_SHARE) * 1.2)
        raise BudgetError(
            f"The budget of {format_duration(budget.seconds)} is too small for this corpus: "
            f"{format_duration(budget.elapsed)} went into reading it, the n-grams and the timing "
            "of steps, and what is left does not suffice to train and measure. "
            f"Give --budget {needed}s."
        )

    def plan(self, draft: Draft, seconds: dict[str, float]) -> LanguagePlan:
        """The plan of a draft whose steps are fixed."""
        request, prepared = self.request, self.prepared
        begun = prepared.beginning
        evidence = round(self.evidence_seconds, 2)
        return LanguagePlan(
            name=request.name,
            seed=request.seed,
            data=corpus_plan(request, prepared),
            begin=BeginPlan()
            if begun is None
            else BeginPlan(begun.source, begun.digest, begun.licence),
            network=draft.network,
            training=draft.training,
            ngrams=None if self.rivals is None else self.rivals.plan,
            evidence=evidence_sizes(evidence),
            budget_seconds=None if request.steps else request.budget_seconds,
            seconds=seconds | {"evidence": evidence, "report": REPORT_SECONDS},
            environment=describe_environment(request.device),
            why={**prepared.why, **draft.why} | self._why_ngrams,
        )

    @property
    def _why_ngrams(self) -> dict[str, str]:
        return {"ngrams.order": self.rivals.why} if self.rivals and self.rivals.why else {}

    def untimed(self, steps: int) -> LanguagePlan:
        """The plan of so many steps, which looks at no clock."""
        if self.prepared.beginning is not None:
            draft = self.drafted(self.prepared.beginning.spec, BEGUN)
        else:
            draft = self._untimed_size(steps)
        draft = with_steps(draft, steps, "was asked for")
        return self.plan(draft, {"before": 0.0, "training": 0.0})

    def _untimed_size(self, steps: int) -> Draft:
        """The size that suits as many operations as so many steps of its own take."""
        vocabulary, drafts = self.prepared.tokenizer.size, []
        context = min(128, max(16, self.text_tokens // 8))
        for spec in sizes(self.request.family, context):
            draft = self.drafted(spec, {})
            draft = self._batched(draft, steps * 2048.0)
            operations = steps * self._operations(draft)
            best, why = choose_size(
                operations,
                family=self.request.family,
                vocabulary=vocabulary,
                context=context,
                text_tokens=self.text_tokens,
            )
            drafts.append(replace(draft, why=draft.why | {"network.width": why}))
            if best == spec or family_of(best).size(best, vocabulary) < family_of(spec).size(
                spec, vocabulary
            ):
                break
        return drafts[-1]


BEGUN = {"network.family": "It is the network gone on with, whose shape is given."}


def resolve_language(
    request: LanguageRequest,
    prepared: Prepared,
    rivals: Rivals | None,
    budget: Budget,
    progress: Progress,
) -> LanguagePlan:
    """The plan that uses what is left of the budget; with `request.steps` nothing is timed.

    Without `rivals` it is a plan to be looked at, not to be run. Raises BudgetError where too little time is left to train, saying what would be needed.
    """
    progress.stage("planning")
    resolving = Resolving(request, prepared, rivals, budget, progress)
    if request.steps is not None:
        return resolving.untimed(request.steps)
    if resolving.training_seconds <= 0:
        resolving._refuse(1.0)
    return resolving.stretched(*resolving.probed(*resolving.timed()))


def language_fit(
    prepared: Prepared, network: LanguageSpec, training: TrainingSpec, seed: int, device: str
) -> LanguageFit:
    """The fit of a network to a corpus; validation reads the first documents of its split."""
    begun = prepared.beginning
    return LanguageFit(
        train=prepared.splits["train"],
        validation=first_of(
            prepared.splits["validation"], VALIDATION_TOKENS, prepared.tokenizer.lengths
        ),
        vocabulary=prepared.tokenizer.size,
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
    test = int(np.clip(20_000 * seconds, 100_000, 2_000_000))
    return {"train": test // 4, "validation": test // 4, "calibration": test // 8, "test": test}


def useful_steps(draft: Draft, text_tokens: int) -> int:
    """As many steps as the text is good for."""
    tokens = draft.training.batch_size * draft.network.context
    return max(LEAST_STEPS, MOST_EPOCHS * text_tokens // max(tokens, 1))


def with_steps(
    draft: Draft,
    steps: int,
    why: str,
    *,
    most: int = 0,
    step_seconds: float | None = None,
    validations: int = 10,
) -> Draft:
    """Everything that follows from the number of steps, except what the user has fixed."""
    saves = steps // 8 if step_seconds is None else int(SAVE_EVERY_SECONDS / step_seconds)
    values = {
        "steps": steps,
        "most_steps": max(most, steps),
        "warmup_steps": min(int(WARMUP_SHARE * steps), WARMUP_MOST),
        "validate_every": max(1, steps // validations),
        "save_every": max(1, saves),
        "log_every": max(1, steps // LOG_LINES),
    }
    kept = {k: v for k, v in values.items() if f"training.{k}" not in draft.fixed}
    reasons = draft.why if "training.steps" in draft.fixed else draft.why | {"training.steps": why}
    return replace(draft, training=changed(draft.training, **kept), why=reasons)


def _of_data(key: str) -> bool:
    return key.removeprefix("data.") in DATA_KEYS


def _refuse_shape(fixed: set[str]) -> None:
    shape = sorted(k for k in fixed if k.startswith("network.") and k != "network.dropout")
    if shape:
        raise PlanError(
            f"{shape[0]} cannot be set with --from: the network that training goes on with has its "
            "shape already."
        )


def _told(spec: TrainingSpec, timing: StepTiming) -> str:
    plural = "s" if spec.threads > 1 else ""
    return f"{spec.precision}, {spec.threads} thread{plural}: {1000 * timing.median:.1f}"
