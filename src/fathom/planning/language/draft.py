"""Draft: the choices of a plan of language before its steps are fixed: defaults, then settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

import msgspec
from msgspec.structs import replace as changed

from fathom.core.errors import PlanError
from fathom.networks.language import GptSpec, LanguageSpec
from fathom.planning.environment import cores, has_fast_bfloat16
from fathom.planning.language.beginning import Beginning
from fathom.planning.language.request import DATA_KEYS, FAMILY_KEYS, LanguageRequest
from fathom.planning.language.sizes import choose_context
from fathom.planning.overrides import apply_settings, convert, full_key, keys_of
from fathom.training.settings import OptimizerSpec, TrainingSpec

# Muon's were found on Tiny Shakespeare (LOG.md); the others' are usual values, not tuned here.
OPTIMIZERS = {
    "muon": OptimizerSpec(
        name="muon",
        learning_rate=0.02,
        rest_learning_rate=0.02,
        weight_decay=0.1,
        momentum=0.9,
        betas=(0.9, 0.95),
    ),
    "adamw": OptimizerSpec(name="adamw", learning_rate=0.004, weight_decay=0.1, betas=(0.9, 0.95)),
    "adam": OptimizerSpec(name="adam", learning_rate=0.003, weight_decay=0.0, betas=(0.9, 0.95)),
    "sgd": OptimizerSpec(name="sgd", learning_rate=0.3, weight_decay=0.0, momentum=0.9),
}
# A network that knows a language already needs small steps not to forget it. A usual value.
TUNING = OptimizerSpec(name="adamw", learning_rate=0.0003, weight_decay=0.01, betas=(0.9, 0.95))
FIRST_BATCH = 2048  # tokens of a step, as long as nothing is known of how many there will be
SAVE_EVERY_SECONDS, LOG_LINES = 10.0, 200
WARMUP_SHARE, WARMUP_MOST = 0.05, 500
LEAST_STEPS = 20
MOST_EPOCHS = 20  # passes over the text that are worth making at all
BEGUN = {"network.family": "It is the network gone on with, whose shape is given."}
_OPTIMIZER_KEYS = ("optimizer", "optimizer.name", "training.optimizer.name")


@dataclass(frozen=True)
class Draft:
    """Sections of a plan as far as they are known; `fixed` are the keys that the user has set."""

    network: LanguageSpec
    training: TrainingSpec
    why: dict[str, str]
    fixed: frozenset[str]

    @property
    def tokens_a_step(self) -> int:
        """How many tokens one step learns from."""
        return self.training.batch_size * self.network.context

    def trained(self, **values: object) -> Draft:
        """The draft with other values in its training section."""
        return replace(self, training=changed(self.training, **values))

    def because(self, **why: str) -> Draft:
        """The draft with reasons for keys of its training section."""
        return replace(self, why=self.why | {f"training.{key}": said for key, said in why.items()})


def make_draft(
    request: LanguageRequest, network: LanguageSpec, why: Mapping[str, str], *, begun: bool
) -> Draft:
    """Defaults with a network, changed by the user's settings; `begun`: it knows something already.

    Raises PlanError for settings that do not fit.
    """
    training = TrainingSpec(
        steps=1,
        batch_size=max(4, FIRST_BATCH // network.context),
        optimizer=_optimizer(request, begun=begun),
        schedule="linear",
        clip_norm=1.0,
        precision="bfloat16" if has_fast_bfloat16(request.device) else "float32",
        threads=cores(),
    )
    tree = {"network": msgspec.to_builtins(network), "training": msgspec.to_builtins(training)}
    settings = {
        key: value
        for key, value in request.settings.items()
        if key not in FAMILY_KEYS and key.removeprefix("data.") not in DATA_KEYS
    }
    applied = apply_settings(tree, settings)
    fixed = {full_key(key, keys_of(tree)) for key in settings}
    if begun:
        _refuse_shape(fixed)
    reasons = {key: said for key, said in why.items() if key not in fixed}
    return Draft(
        network=convert(applied["network"], LanguageSpec, "network"),
        training=convert(applied["training"], TrainingSpec, "training"),
        why=reasons | dict.fromkeys(sorted(fixed), "was set by the user."),
        fixed=frozenset(fixed),
    )


def _optimizer(request: LanguageRequest, *, begun: bool) -> OptimizerSpec:
    name = next((str(v) for k, v in request.settings.items() if k in _OPTIMIZER_KEYS), "")
    if begun and name in {"", "adamw"}:
        return TUNING
    return OPTIMIZERS.get(name or "muon") or OptimizerSpec(name=name)


def begun_draft(request: LanguageRequest, beginning: Beginning, *, text_tokens: int) -> Draft:
    """The draft with a network that is gone on with.

    Rotary positions know distances alone, so that such a network can be trained on shorter contexts
    than it was made for: one made for 100,000 tokens would take the whole text for one example.
    Raises PlanError for settings that do not fit.
    """
    spec, why = beginning.spec, dict(BEGUN)
    kind = request.device.partition(":")[0]
    if _turns(spec):
        context = min(spec.context, choose_context(inf, kind, text_tokens))
        why["network.context"] = f"Its positions are rotary; it was made for {spec.context:,}."
        spec = changed(spec, context=context)
    draft = make_draft(request, spec, why, begun=True)
    if draft.network.context > beginning.spec.context:
        raise PlanError(
            f"network.context is {draft.network.context:,}, and the network that training goes on "
            f"with was made for {beginning.spec.context:,} at most."
        )
    if draft.network.context != spec.context and not _turns(spec):
        raise PlanError(
            "network.context cannot be set with --from: this network's positions are learned, or "
            "it has none."
        )
    return draft


def _turns(spec: LanguageSpec) -> bool:
    return isinstance(spec, GptSpec) and spec.positions == "rotary"


def _refuse_shape(fixed: set[str]) -> None:
    """A network that is gone on with may be given nothing but other dropout and context."""
    free = ("network.dropout", "network.context")
    shape = sorted(k for k in fixed if k.startswith("network.") and k not in free)
    if shape:
        raise PlanError(
            f"{shape[0]} cannot be set with --from: the network that training goes on with has its "
            "shape already."
        )


def useful_steps(draft: Draft, text_tokens: int) -> int:
    """As many steps as the text is good for."""
    return max(LEAST_STEPS, MOST_EPOCHS * text_tokens // max(draft.tokens_a_step, 1))


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
    draft = draft.trained(**kept)
    return draft if "training.steps" in draft.fixed else draft.because(steps=why)
