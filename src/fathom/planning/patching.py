"""Patching: whether training pictures get patches of each other; pays where they are seen often."""

from __future__ import annotations

from msgspec.structs import replace as changed

from fathom.core.blocks import InputSpec
from fathom.networks import PretrainedSpec
from fathom.planning.defaults import is_photograph
from fathom.planning.draft import Draft
from fathom.planning.plan import Plan

# On photographs of clothes patches gained where each was seen some fifty times (see LOG.md).
MANY_PASSES = 30
OFTEN = 0.5


def patched(plan: Plan, draft: Draft, inputs: InputSpec, rows: int) -> Plan:
    """The plan with `augmentation.cutmix` on, where photographs are seen so often in training that
    the network would learn them by heart. The plan's steps must be known.
    """
    alone = len(inputs.blocks) == 1 and all(map(is_photograph, inputs.images.values()))
    passes = plan.training.steps * plan.training.batch_size / rows
    fixed = "augmentation.cutmix" in draft.fixed
    if fixed or not alone or not inputs.images or passes < MANY_PASSES:
        return plan
    if plan.data.task == "regression" or isinstance(plan.network, PretrainedSpec):
        return plan
    why = (
        f"Each photograph is seen {passes:.0f} times: half of them get a patch of another, so that "
        "they are not learned by heart."
    )
    augmentation = changed(plan.augmentation, cutmix=OFTEN)
    return changed(plan, augmentation=augmentation, why=plan.why | {"augmentation.cutmix": why})
