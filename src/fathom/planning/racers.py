"""Racers: the candidates that are worth trying on a table, and what each starts from."""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import replace as changed

from fathom.core.blocks import InputSpec
from fathom.core.errors import PlanError
from fathom.networks import FAMILIES, NetworkSpec, TabmSpec
from fathom.planning.defaults import (
    CANDIDATES,
    LEARNERS_OPTIMIZER,
    MEMBERS_EPOCHS,
    MIXTURES_CANDIDATES,
    SEQUENCES_CANDIDATES,
)
from fathom.planning.draft import Draft, make_draft
from fathom.planning.prepare import Prepared
from fathom.planning.request import Request

# Where all members learn from every example a step costs so many times more: fewer and narrower
# ones, for fewer passes.
LEARNERS = 8
NARROWER = 2
_LEARNERS_KEYS = {"network.members", "network.learners", "network.width"}


def called(network: NetworkSpec) -> str:
    """What a candidate is called: its family, and what sets it apart there."""
    family = str(network.__struct_config__.tag)
    everyone = isinstance(network, TabmSpec) and network.learners == network.members
    return f"{family} with all members learning" if everyone else family


def racers(request: Request, prepared: Prepared, draft: Draft) -> list[Draft]:
    """The drafts that are worth a race, the one of the plan first; settings hold for all of them.

    One alone where the user has chosen the family, and for pictures. All members of a tabm learn
    from every example only where that is affordable: beside texts, series or sound it is not.
    """
    if prepared.inputs.images or "network.family" in draft.fixed:
        return [draft]
    own = draft.network.__struct_config__.tag
    names = candidates(prepared.inputs)
    others = [_other(request, prepared, name) for name in names if name != own]
    field = [draft, *(d for d in others if d)]
    if prepared.inputs.sequences:
        return field
    return [*field, *(d for d in map(_all_learning, field) if d)]


def candidates(inputs: InputSpec) -> list[str]:
    """The families that are worth a race for these inputs, the cheapest first."""
    if not inputs.sequences:
        return list(CANDIDATES)
    names = SEQUENCES_CANDIDATES if len(inputs.blocks) == 1 else MIXTURES_CANDIDATES
    return [name for name in names if FAMILIES[name].accepts(inputs)]


def _other(request: Request, prepared: Prepared, family: str) -> Draft | None:
    """The draft with another family; None where the user's settings are not for that one."""
    try:
        return make_draft(request, prepared, family=family)
    except PlanError:
        return None


def _all_learning(draft: Draft) -> Draft | None:
    """The draft of a tabm as in its paper, where every member learns from every example.

    None for other families, and where the user's settings say otherwise.
    """
    network, training = draft.network, draft.training
    if not isinstance(network, TabmSpec) or _LEARNERS_KEYS & draft.fixed:
        return None
    network = changed(
        network, members=LEARNERS, learners=LEARNERS, width=max(1, network.width // NARROWER)
    )
    if not any(key.startswith("training.optimizer") for key in draft.fixed):
        training = changed(training, optimizer=LEARNERS_OPTIMIZER)
    why = draft.why | {
        "network.learners": f"All {LEARNERS} members learn from every example, each from its own "
        "scales."
    }
    epochs = max(1, draft.most_epochs // MEMBERS_EPOCHS)
    return replace(draft, network=network, training=training, why=why, most_epochs=epochs)
