"""What did the pretrained start bring? The network beside one of the same data from scratch."""

from __future__ import annotations

from fathom.core.budget import Budget
from fathom.core.record import Grade, Record, not_applicable
from fathom.evidence.measure import evidence
from fathom.evidence.metrics import metrics_of
from fathom.evidence.performance import model_seconds
from fathom.evidence.rivals import side_of
from fathom.evidence.scores import Metric
from fathom.evidence.subject import NETWORK, SCRATCH, Subject

GROUP, ID = "gain", "gain.from_scratch"


def _seconds(subject: Subject) -> float:
    if subject.scratch is None:
        return 0.01  # to say so
    return model_seconds(subject, NETWORK) + model_seconds(subject, SCRATCH)


@evidence("start", GROUP, (ID,), _seconds)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`gain.from_scratch.METRIC`: the network less one that began with nothing, on test data.

    `gain.from_scratch` alone says why there is none.
    """
    metrics = metrics_of(subject.task.name)
    if subject.scratch is None:
        reason = (
            "The network was not trained beside one from scratch: that is done where a pretrained "
            "one was chosen under a budget."
        )
        return [not_applicable(ID, GROUP, reason)]
    targets = subject.targets("test")
    return [
        not_applicable(f"{ID}.{metric.name}", GROUP, reason)
        if (reason := metric.undefined(targets))
        else _gain(subject, metric)
        for metric in metrics
    ]


def _gain(subject: Subject, metric: Metric) -> Record:
    gain = subject.gain(metric, NETWORK, SCRATCH)
    ours, theirs = (subject.estimate(metric, name, "test") for name in (NETWORK, SCRATCH))
    seconds = subject.costs.get("scratch_seconds", 0.0)
    grades: dict[int, Grade] = {1: "good", 0: "fair", -1: "poor"}
    verdicts = {1: "pays", 0: "cannot be told from none", -1: "does harm"}
    return Record(
        f"{ID}.{metric.name}",
        GROUP,
        sentence=(
            f"By {metric.title} the pretrained start {verdicts[side_of(gain)]}: the network "
            f"reaches {metric.write(ours.value)}, one from scratch on the same data "
            f"{metric.write(theirs.value)} after {seconds:.0f} seconds of training; the gain is "
            f"{metric.write(gain.value, signed=True)} ({metric.between(gain, signed=True)})."
        ),
        value=gain.value,
        interval=gain.interval,
        n=len(subject.targets("test")),
        split="test",
        method=f"{gain.method}; positive favours the pretrained start",
        higher_is_better=True,
        grade=grades[side_of(gain)],
    )
