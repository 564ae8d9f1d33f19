"""The models that are compared: how sentences call them, and which of two is better."""

from __future__ import annotations

from fathom.evidence.intervals import Estimate
from fathom.evidence.scores import Metric
from fathom.evidence.seen import parts
from fathom.evidence.subject import Subject

TITLES = {
    "network": "the network",
    "constant": "always giving the same answer",
    "linear": "the linear model",
    "boosting": "gradient boosting",
    "pictures": "the linear model on picture features",
    "picture_kernel": "the kernel model on picture features",
    "picture_boosting": "gradient boosting on picture features",
    "texts": "the linear model on words",
    "series": "the linear model on random convolutions",
    "audio": "gradient boosting on features of sound",
    "mixture": "gradient boosting on all columns",
    "kneser_ney": "the Kneser-Ney n-gram model",
    "xz": "the compressor xz",
    "frequencies": "knowing only how frequent each token is",
}
# How a figure calls a model whose name is none.
SHORT = {"kneser_ney": "Kneser-Ney n-grams"}
# What speaks for a simpler model where the network is not better.
STRENGTHS = {
    "constant": "being free",
    "linear": "being simpler and cheaper, and its weights can be read",
    "boosting": "being simpler and cheaper to fit",
    "pictures": "being simpler and cheaper to fit",
    "texts": "being simpler and cheaper, and its weights can be read",
    "series": "being simpler and cheaper to fit",
    "audio": "being simpler and cheaper to fit",
    "mixture": "being simpler and cheaper to fit",
    "picture_kernel": "being simpler and cheaper to fit",
    "picture_boosting": "being simpler and cheaper to fit",
    "kneser_ney": "being simpler and cheaper, and its counts can be looked up",
    "xz": "being simpler and cheaper, and on every machine",
}


def title(name: str) -> str:
    """How a sentence calls a model."""
    return TITLES.get(name, f"the baseline {name}")


def short_title(name: str) -> str:
    """How a figure calls a model."""
    return SHORT.get(name, name)


def sentence_title(name: str) -> str:
    """The same at the beginning of a sentence."""
    return title(name)[0].upper() + title(name)[1:]


def strength(name: str) -> str:
    """What speaks for a baseline where the network is not better."""
    return STRENGTHS.get(name, "being simpler")


def settled(model: object) -> bool:
    """Whether fitting went as far as it would; False where the budget cut it short."""
    return bool(getattr(model, "settled", True))


def unfinished(subject: Subject, metric: Metric) -> list[str]:
    """Baselines that the budget cut short and that could have come out as the best.

    The best one itself; and others that are not shown to be worse than it on validation, which
    chose it: what is clearly behind when it is cut short is not what a verdict hangs on.
    """
    best, cut = subject.best_baseline, cut_short(subject)
    tellable = not cut or not metric.undefined(subject.targets("validation"))
    return [
        name
        for name in cut
        if name == best
        or not tellable
        or side_of(subject.gain(metric, best, name, "validation")) <= 0
    ]


def cut_short(subject: Subject) -> list[str]:
    """The baselines that had not finished when their time was over; the best one first."""
    names = [name for name, model in subject.baselines.items() if not settled(model)]
    return sorted(names, key=lambda name: name != subject.best_baseline)


def side_of(gain: Estimate) -> int:
    """1 where the whole interval favours the first, -1 the second, 0 where it holds zero."""
    return 1 if gain.low > 0 else -1 if gain.high < 0 else 0


def better_of(subject: Subject, metric: Metric, first: str, second: str) -> int:
    """1 where the first model is shown to be better, -1 where the second is, 0 where neither is.

    Where test examples stand in the training data, the unseen ones have to bear it out.
    """
    sides = {side_of(subject.gain(metric, first, second, part)) for part in parts(subject)}
    return sides.pop() if len(sides) == 1 else 0
