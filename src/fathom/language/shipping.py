"""Shipping: calibrate what was trained, choose the default model, and write the bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import log

import numpy as np

from fathom import __version__, folders
from fathom.core.language import first_of
from fathom.core.progress import Progress
from fathom.core.randomness import numpy_generator
from fathom.deployment.language.bundle import write_language_bundle
from fathom.deployment.manifest import ModelName
from fathom.inference.language import LanguagePredictor, LoadedLanguage
from fathom.inference.trust import Trust, fit_trust
from fathom.job import LanguageJob
from fathom.networks.language import LanguageNetwork
from fathom.planning.language.plan import LanguagePlan
from fathom.planning.language.prepare import Prepared
from fathom.planning.language.rivals import Rivals
from fathom.training.language import LanguageFit
from fathom.training.trainer import TrainingResult

# Logits that a temperature is fitted on, in all; float64 copies of them are made.
CALIBRATED_VALUES, CALIBRATED_TOKENS = 2**22, 20_000
READ_FOR_EACH = 8  # tokens are read for each that is calibrated on, as neighbours are much alike


@dataclass(frozen=True)
class Learned:
    """The trained network, what it was trained on, and how that went."""

    network: LanguageNetwork
    what: LanguageFit
    result: TrainingResult


@dataclass(frozen=True)
class Outcome:
    """Everything that a run has come to when its training is over."""

    job: LanguageJob
    prepared: Prepared
    rivals: Rivals
    plan: LanguagePlan
    learned: Learned


@dataclass(frozen=True)
class Shipped:
    """The calibrated network, and which model is the default: the better one on validation."""

    network: LanguagePredictor
    default: ModelName
    scores: dict[ModelName, float]


def ship(outcome: Outcome, progress: Progress) -> Shipped:
    """Write the bundle of the network and the n-grams. Test text plays no part in it."""
    progress.stage("calibrating")
    prepared, plan, learned = outcome.prepared, outcome.plan, outcome.learned
    model = LoadedLanguage(
        network=learned.network,
        spec=plan.network,
        tokenizer=prepared.tokenizer,
        precision=plan.training.precision,
        device=learned.what.device,
    )
    model = replace(model, trust=_trust(LanguagePredictor(model), outcome))
    network, validation = LanguagePredictor(model), learned.what.validation
    nats = float(np.sum(network.nats(validation), dtype=np.float64))
    ngrams = float(np.sum(outcome.rivals.ngrams.nats(validation), dtype=np.float64))
    size = log(2) * max(int(validation.sizes.sum()), 1)
    scores: dict[ModelName, float] = {"network": -nats / size, "baseline": -ngrams / size}
    default: ModelName = "network" if scores["network"] > scores["baseline"] else "baseline"
    write_language_bundle(
        outcome.job.folder / folders.BUNDLE,
        model=model,
        baseline=outcome.rivals.ngrams,
        learned=prepared.learned,
        default=default,
        validation_scores=scores,
        provenance=_provenance(plan),
    )
    return Shipped(network, default, scores)


def _trust(network: LanguagePredictor, outcome: Outcome) -> Trust:
    """The temperature that makes calibration text most likely."""
    tokenizer = outcome.prepared.tokenizer
    most = min(CALIBRATED_TOKENS, max(64, CALIBRATED_VALUES // tokenizer.size))
    split = outcome.prepared.splits["calibration"]
    calibration = first_of(split, READ_FOR_EACH * most, tokenizer.lengths)
    generator = numpy_generator(outcome.plan.seed, "calibration sample")
    found = network.logits(calibration, most, generator)
    return fit_trust(found[:, :-1], found[:, -1].long().numpy())


def _provenance(plan: LanguagePlan) -> dict[str, object]:
    begun = {"begun_with": plan.begin.source, "licence": plan.begin.licence}
    return {
        "fathom": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_digest": plan.data.digest,
        "seed": plan.seed,
        **(begun if plan.begin.source else {}),
        **plan.environment,
    }
