"""Slim: a network of pictures with half the channels, where time is short for the whole one."""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import replace as changed

from fathom.networks import ConvnetSpec, MixedSpec, NetworkSpec
from fathom.planning.draft import Draft
from fathom.planning.plan import Plan
from fathom.planning.probe import Speed, speed_of
from fathom.training.supervised import Supervised

# On Fashion-MNIST half the channels were better where the time was enough for 3 passes of the whole
# network, and no better where it was enough for 10; see LOG.md. Other data were not tried.
FEW_PASSES = 8
LEAST_CHANNELS = 16
TIMING_SECONDS = 1.0


def slimmed(
    what: Supervised, plan: Plan, draft: Draft, *, speed: Speed, seconds: float
) -> tuple[Plan, Speed]:
    """The plan and its speed, with half the channels where `seconds` are short for all of them.

    Where each picture is seen a few times only, what counts is how often, not how much the network
    could hold.
    """
    network, training = plan.network, plan.training
    slim = _slim(network, draft)
    steps = max(0.0, seconds) / speed.step_seconds
    if "training.steps" in draft.fixed:
        steps = min(steps, training.steps)
    passes = steps * training.batch_size / len(what.train)
    if passes >= FEW_PASSES or slim == network:
        return plan, speed
    eager = replace(what, network=slim, training=changed(training, compile=False))
    measured = speed_of(eager, seconds=TIMING_SECONDS)
    why = (
        "Half the channels that these pictures would get with more time, which was enough for "
        f"{passes:.1f} passes with {_told(network)}: a step takes "
        f"{1000 * measured.step_seconds:.1f} ms instead of {1000 * speed.step_seconds:.1f}."
    )
    key = "network.widths" if isinstance(network, ConvnetSpec) else "network.fields"
    return changed(plan, network=slim, why=plan.why | {key: why}), measured


def _slim(network: NetworkSpec, draft: Draft) -> NetworkSpec:
    """The network with half the channels in its convnets of pictures, but for what was fixed."""
    if isinstance(network, ConvnetSpec) and "network.widths" not in draft.fixed:
        return _halved(network)
    if not isinstance(network, MixedSpec):
        return network
    fields = {
        name: _halved(spec)
        if isinstance(spec, ConvnetSpec) and f"network.fields.{name}.widths" not in draft.fixed
        else spec
        for name, spec in network.fields.items()
    }
    return changed(network, fields=fields)


def _halved(network: ConvnetSpec) -> ConvnetSpec:
    return changed(network, widths=tuple(_half(width) for width in network.widths))


def _told(network: NetworkSpec) -> str:
    fields = network.fields.values() if isinstance(network, MixedSpec) else [network]
    widths = [list(spec.widths) for spec in fields if isinstance(spec, ConvnetSpec)]
    return " and ".join(map(str, widths))


def _half(channels: int) -> int:
    return max(channels // 2, min(channels, LEAST_CHANNELS))
