"""Timing of training steps: what a step takes, also where batches are of uneven size."""

from __future__ import annotations

import pytest

from fathom.training import speed


class Clock:
    """A clock that steps move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed, "perf_counter", clock)
    return clock


def test_uneven_batches_are_timed_by_their_mean_size(clock):
    sizes = iter([100, 100, *[10, 10, 10, 90] * 10])

    def step() -> int:
        size = next(sizes)
        clock.now += 0.01 * size
        return size

    timing = speed._timed(step, 2.0 + 12.0 - 1e-9)
    assert timing.steps == 40
    assert timing.median == pytest.approx(0.3)  # and not 0.1, which most of the steps took
    assert timing.slowest == pytest.approx(0.3)  # nothing was slow, only large


def test_even_batches_are_timed_as_they_are(clock):
    seconds = iter([9.0, 1.0, 1.0, 2.0, 1.0, 5.0, 1.0])

    def step() -> int:
        clock.now += next(seconds)
        return 7

    timing = speed._timed(step, 19.5)
    assert (timing.median, timing.slowest, timing.first) == (1.0, 5.0, 9.0)
