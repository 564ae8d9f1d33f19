"""Slim: a network of pictures with half the channels, where time is short for the whole one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from msgspec.structs import replace as changed

from fathom.networks import ConvnetSpec
from fathom.planning.draft import Draft
from fathom.planning.plan import Plan
from fathom.planning.probe import SHARE_OF_BUDGET, Speed, speed_of
from fathom.training.supervised import Supervised

# On Fashion-MNIST half the channels were better where the whole network had time for 3 of the 55
# passes that the data is good for (0.931 against 0.920 on validation), and no better at 10; see
# LOG.md.
SHORT = 1 / 7
LEAST_CHANNELS = 16


def slimmed(
    what: Supervised,
    plan: Plan,
    draft: Draft,
    *,
    speed: Speed,
    useful: int,
    seconds: Callable[[Plan], float],
) -> tuple[Plan, Speed]:
    """The plan, and its speed, with half the channels where that learns more in the time.

    That is so where the time, `seconds` of the plan, allows a small part of the `useful` steps:
    what counts then is how often each picture is seen, not how much the network could hold.
    """
    network, left = plan.network, seconds(plan)
    if not isinstance(network, ConvnetSpec) or "network.widths" in draft.fixed:
        return plan, speed
    steps = left / speed.step_seconds
    slim = changed(network, widths=tuple(_half(width) for width in network.widths))
    if steps >= SHORT * useful or slim == network:
        return plan, speed
    measured = speed_of(
        replace(what, network=slim), seconds=SHARE_OF_BUDGET * (plan.budget_seconds or left) / 4
    )
    why = (
        f"Half the channels that these pictures would get with more time: a step takes "
        f"{1000 * measured.step_seconds:.1f} ms instead of {1000 * speed.step_seconds:.1f}, and "
        f"with {list(network.widths)} the time would allow only {steps:,.0f} of {useful:,} useful "
        "steps."
    )
    return changed(plan, network=slim, why=plan.why | {"network.widths": why}), measured


def _half(channels: int) -> int:
    return max(channels // 2, min(channels, LEAST_CHANNELS))
