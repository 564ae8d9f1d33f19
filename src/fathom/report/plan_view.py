"""The plan as the report shows it: every key that has a reason, with its value."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from fathom.core.budget import format_duration
from fathom.report.figures.drawing import cell
from fathom.report.story import Story


class Choice(NamedTuple):
    """One decision of the plan."""

    key: str
    value: str
    reason: str


def choices(story: Story) -> list[Choice]:
    """The plan's keys that say why, in the plan's order of reasons."""
    plan = _parsed(story.plan_yaml)
    return [Choice(key, _at(plan, key), reason) for key, reason in story.why.items()]


def facts(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of a flat dictionary, such as versions or hardware."""
    return [
        (str(key).replace("_", " ").replace(" gib", " (GiB)"), _short(value))
        for key, value in values.items()
    ]


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return {}


def _at(plan: Any, key: str) -> str:
    """The value at a dotted key; a dash where the plan has none."""
    for part in key.split("."):
        if not isinstance(plan, dict) or part not in plan:
            return "–"
        plan = plan[part]
    if key.rpartition(".")[2].endswith("seconds") and isinstance(plan, int | float):
        return format_duration(plan)
    return _short(plan)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else cell(value)
