"""How metrics, values and units are called and written in the report."""

from __future__ import annotations

import math
import re

from fathom.core.budget import format_duration
from fathom.core.quantities import percent_digits, prefixed, short_seconds
from fathom.core.record import Record

METRIC_TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "macro_roc_auc": "Macro ROC AUC",
    "micro_roc_auc": "Micro ROC AUC",
    "micro_f1": "Micro F1",
    "exact_match": "Every label right",
    "hamming_loss": "Wrong labels",
    "log_loss": "Log loss",
    "rmse": "Root mean squared error",
    "mae": "Mean absolute error",
    "r2": "R²",
    "bits_per_byte": "Bits per byte",
    "perplexity": "Perplexity",
    "token_accuracy": "Token accuracy",
    "return": "Return",
    "ece": "Calibration error",
    "ece_before": "Calibration error before",
}
TITLES = METRIC_TITLES | {
    "from_scratch": "The gain of a pretrained start",
    "flops": "Operations",
    "train_seconds": "Training time",
    "total_seconds": "The whole run",
    "peak_memory_bytes": "Peak memory",
    "latency_seconds": "Latency",
    "energy_joules": "Energy",
    "tokens_per_second": "Training speed",
    "flops_utilisation": "Use of the machine",
    "writing_tokens_per_second": "Writing speed",
    "confident_errors": "Mistakes where it is sure",
}
# By whole id, where its last part alone would not tell.
ID_TITLES = {
    "context.first": "Bits by place in the context",
    "context.gain": "The farther half of the context",
    "in_context.repetition": "Reading a stretch again",
    "in_context.recall": "Words asked for",
    "in_context.rare_words": "Rare words that come again",
    "memorisation.extracted": "Training text recited",
    "memorisation.repeated": "Repeated training text recited",
    "memorisation.held_out": "Unseen text guessed word for word",
    "memorisation.excess": "Recited beyond what is guessed",
    "samples.repetition": "Repetition in what it writes",
    "samples.distinct": "Variety of what it writes",
    "samples.copied": "Copied from the training text",
    "features.heads": "What attention heads look at",
}
AS_PERCENT = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "exact_match",
        "hamming_loss",
        "token_accuracy",
        "ece",
        "ece_before",
    }
)
# Differences that matter stand in the third decimal, also above one.
THREE_DECIMALS = frozenset({"bits_per_byte"})
MODEL_TITLES = {
    "network": "Network",
    "constant": "Constant answer",
    "linear": "Linear model",
    "boosting": "Gradient boosting",
    "pictures": "Linear model on picture features",
    "picture_kernel": "Kernel model on picture features",
    "picture_boosting": "Gradient boosting on picture features",
    "texts": "Linear model on words",
    "series": "Linear model on random convolutions",
    "audio": "Gradient boosting on features of sound",
    "mixture": "Gradient boosting on all columns",
    "kneser_ney": "Kneser-Ney n-grams",
    "xz": "xz compressor",
}
NO_PREDICTORS = frozenset({"xz"})  # what is only compared with
# What a sentence calls a model, where its title alone does not tell.
MODEL_PHRASES = {"kneser_ney": "the Kneser-Ney n-gram model", "xz": "the compressor xz"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_BYTES = {"byte", "bytes", "B"}
_SECONDS = {"s", "second", "seconds"}


def plain(identifier: str) -> str:
    """'train_seconds' as 'Train seconds'."""
    text = identifier.replace("_", " ").replace(".", " ").strip()
    return text[:1].upper() + text[1:]


def metric_title(name: str) -> str:
    """What a table calls a metric."""
    return TITLES.get(name, plain(name))


def model_title(name: str) -> str:
    """What a table calls a model."""
    return MODEL_TITLES.get(name, plain(name))


def model_phrase(name: str) -> str:
    """What a sentence calls a model."""
    if name in MODEL_PHRASES:
        return MODEL_PHRASES[name]
    title = model_title(name)
    lowered = title[:1].lower() + title[1:]
    return lowered if lowered.startswith("gradient boosting") else f"the {lowered}"


def number(value: float, signed: bool = False) -> str:
    """Three significant figures with a true minus sign, thousands separated."""
    sign = "+" if signed else ""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size >= 12:
        return power_of_ten(f"{value:{sign}.2e}")
    if value == int(value) and not signed and abs(value) >= 1:
        text = f"{value:,.0f}"
    else:
        text = f"{value:{sign},.{min(6, max(0, 2 - size))}f}"
    return text.replace("-", "−")


def power_of_ten(text: str) -> str:
    """'8.32e-07' as '8.32 × 10⁻⁷'."""
    mantissa, _, exponent = text.partition("e")
    raised = str(int(exponent)).translate(_RAISED)
    return f"{mantissa} × 10{raised}".replace("-", "−").removeprefix("1 × ")


def metric_value(metric: str, value: float, signed: bool = False) -> str:
    """A metric's value as a table shows it: '97.2 %', '0.914'; a difference: '+1.1 points'."""
    if not math.isfinite(value):
        return "–"
    if metric in AS_PERCENT:
        figures = percent_digits(value, signed).replace("-", "−")
        return f"{figures} points" if signed else f"{figures} %"
    if metric in THREE_DECIMALS or (metric in METRIC_TITLES and abs(value) < 1):
        small = signed and abs(value) < 0.0095  # differences are small, and must not round to none
        return f"{value:{'+' if signed else ''}.{4 if small else 3}f}".replace("-", "−")
    return number(value, signed)


def metric_interval(metric: str, interval: tuple[float, float], signed: bool = False) -> str:
    """'95.9 to 98.4 %', '0.905 to 0.919'."""
    low, high = (metric_value(metric, end, signed) for end in interval)
    return f"{low.removesuffix(' %').removesuffix(' points')} to {high}"


def amount(value: float, unit: str) -> str:
    """A value with its unit, in the prefix that suits it: '1.2 million', '340 MB', '42 s'."""
    if unit in _SECONDS:
        return format_duration(value) if abs(value) >= 1 or value == 0 else short_seconds(value)
    if unit in _BYTES:
        return prefixed(value, "B")
    if unit.lower() in {"flop", "flops", "j", "joule", "joules", "wh"}:
        return prefixed(value, unit)
    if unit == "share":
        return f"{100 * value:.1f} %"
    return f"{number(value)} {unit}".strip()


SCRATCH = ".from_scratch."  # within the id of a gain over a network that began with nothing
UNSEEN = ".unseen"  # ends the id of a metric that is repeated without what training has shown


def metric_of(id: str) -> str:
    """The metric of 'performance.accuracy', 'baseline.linear.accuracy', 'gain.accuracy.unseen'."""
    return id.removesuffix(UNSEEN).rpartition(".")[2]


def record_value(record: Record) -> str:
    """A record's value as text; a dash where it has none."""
    if record.value is None:
        return "–"
    if isinstance(record.value, str):
        return record.value
    if not math.isfinite(record.value):
        return "–"
    metric = metric_of(record.id)
    if metric in METRIC_TITLES and not record.unit:
        return metric_value(metric, record.value, signed=record.group in {"gain", "gap"})
    return amount(record.value, record.unit)


def record_interval(record: Record) -> str:
    """A record's 95 % interval as text; empty where it has none."""
    if record.interval is None or not all(map(math.isfinite, record.interval)):
        return ""
    metric = metric_of(record.id)
    if metric in METRIC_TITLES and not record.unit:
        return metric_interval(metric, record.interval, signed=record.group in {"gain", "gap"})
    low, high = (amount(end, record.unit) for end in record.interval)
    return f"{low} to {high}"


def record_title(record: Record) -> str:
    """'cost.train_seconds' as 'Train seconds', 'gain.accuracy' as 'Accuracy'."""
    if record.id in ID_TITLES:
        return ID_TITLES[record.id]
    title = metric_title(metric_of(record.id))
    if SCRATCH in record.id:
        return f"{title} beside a network from scratch"
    return f"{title} on unseen examples" if record.id.endswith(UNSEEN) else title


def first_sentence(text: str) -> tuple[str, str]:
    """The first sentence, and the rest."""
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip(), maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def sentence_case(text: str) -> str:
    """A first letter in upper case, and a full stop."""
    text = text.strip()
    ended = text if text.endswith((".", "!", "?", "…")) else text + "."
    return ended[:1].upper() + ended[1:] if text else ""


def shorten(text: str, longest: int = 300) -> str:
    """A text that is cut where it would fill a page."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
