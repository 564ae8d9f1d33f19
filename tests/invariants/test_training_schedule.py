"""The learning-rate curve: a pure function that begins, peaks and ends where it should."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.training.schedule import Replan, learning_rate_factor, progress, total_steps
from fathom.training.settings import TrainingSpec


def replans_of(steps: int, cuts: list[tuple[float, int]]) -> list[Replan]:
    """Re-plans at increasing places, each leaving at least one step."""
    replans: list[Replan] = []
    at = 0
    for share, left in cuts:
        at += max(1, int(share * (steps - at)))
        if at >= steps:
            break
        steps = at + left
        replans.append(Replan(at, steps))
    return replans


@given(
    st.integers(2, 2000),
    st.lists(st.tuples(st.floats(0.01, 0.99), st.integers(1, 3000)), max_size=4),
)
def test_progress_rises_without_a_jump_from_zero_to_one(
    steps: int, cuts: list[tuple[float, int]]
) -> None:
    replans = replans_of(steps, cuts)
    end = replans[-1].steps if replans else steps
    values = [progress(step, steps, replans) for step in range(end + 1)]
    assert values[0] == 0
    assert values[-1] == pytest.approx(1)
    assert all(a < b for a, b in pairwise(values))
    for replan in replans:
        here, there = replan.at_step, replan.at_step + 1e-6
        assert progress(there, steps, replans) - progress(here, steps, replans) < 1e-5


def test_later_replans_do_not_change_what_is_past() -> None:
    first = [Replan(40, 70)]
    both = [*first, Replan(60, 100)]
    assert all(progress(s, 100, first) == progress(s, 100, both) for s in range(61))
    assert [total_steps(100, both, s) for s in (0, 39, 40, 59, 60)] == [100, 100, 70, 70, 100]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_curve_warms_up_and_comes_down_to_zero(schedule: str) -> None:
    spec = TrainingSpec(steps=1000, batch_size=1, warmup_steps=100, schedule=schedule)  # type: ignore[arg-type]
    curve = [learning_rate_factor(spec, [], step) for step in range(1, 1001)]
    peak = curve.index(max(curve))
    assert 98 <= peak <= 101
    assert max(curve) == pytest.approx(1, abs=0.01)
    assert all(a < b for a, b in pairwise(curve[: peak + 1]))
    assert all(a > b for a, b in pairwise(curve[peak:]))
    assert 0 < curve[0] < 0.01
    assert 0 < curve[-1] < 0.002


def test_constant_stays_up() -> None:
    spec = TrainingSpec(steps=10, batch_size=1, schedule="constant")
    assert {learning_rate_factor(spec, [], step) for step in range(1, 11)} == {1.0}
