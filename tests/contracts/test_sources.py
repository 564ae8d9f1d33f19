"""Every source of batches: the same from the same position, and restored exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor

import training_runs
from fathom.core.batch import Batch
from fathom.core.errors import DataError
from fathom.core.source import Source
from fathom.data.source import ArraySource


def take(source: Source, count: int, act: Any) -> list[Batch]:
    return list(islice(source.batches(act), count))


def equal(left: Batch, right: Batch) -> bool:
    """Whether two batches hold the same numbers."""

    def tensors(batch: Batch) -> dict[str, Tensor]:
        named = batch.inputs | {f"extra {k}": v for k, v in batch.extra.items()}
        for name, tensor in (("targets", batch.targets), ("indices", batch.indices)):
            if tensor is not None:
                named[name] = tensor
        return named

    a, b = tensors(left), tensors(right)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def check_source(make: Callable[[], Source], act: Any = None, count: int = 12) -> None:
    """The contract of a source. `make` gives a fresh one in the same state every time."""
    source = make()
    assert source.unit in ("examples", "tokens", "steps")
    whole = take(source, count, act)
    assert all(len(batch) > 0 for batch in whole)
    assert source.epoch >= 0
    assert all(equal(a, b) for a, b in zip(whole, take(make(), count, act), strict=True))
    torch.manual_seed(12345)  # what else is drawn in the process is no business of the source's
    for stop in (0, 1, count // 2, count - 1):
        cut = make()
        take(cut, stop, act)
        state = cut.state_dict()
        resumed = make()
        take(resumed, 3, act)  # wherever it stands: the state alone decides
        resumed.load_state_dict(state)
        rest = take(resumed, count - stop, act)
        assert all(equal(a, b) for a, b in zip(whole[stop:], rest, strict=True)), stop


def rows(n: int) -> dict[str, Tensor]:
    return {
        "numbers": torch.arange(n, dtype=torch.float32)[:, None].repeat(1, 3),
        "picture": torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).repeat(1, 1, 4, 4),
    }


def jitter(batch: Batch, generator: torch.Generator) -> Batch:
    numbers = batch.inputs["numbers"] + torch.rand(3, generator=generator)
    return replace(batch, inputs=batch.inputs | {"numbers": numbers})


def array_source(n: int = 50, **options: Any) -> ArraySource:
    values: dict[str, Any] = {"batch_size": 8, "seed": 3} | options
    return ArraySource(rows(n), torch.arange(n), **values)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"augment": jitter},
        {"n": 5},
        {"n": 8},
        {"rank": 1, "world_size": 3, "augment": jitter},
    ],
    ids=["plain", "augmented", "smaller than a batch", "one batch", "one rank of three"],
)
def test_array_source(options: dict[str, Any]) -> None:
    check_source(lambda: array_source(**options))


def test_grid_source() -> None:
    policy = training_runs.Policy(4)
    act = lambda *arguments: training_runs.choose(policy, *arguments)  # noqa: E731
    check_source(lambda: training_runs.GridSource(1), act)


def test_an_epoch_gives_each_example_at_most_once_in_another_order_each_time() -> None:
    source = array_source(50)
    first, second = (
        torch.cat([batch.indices for batch in take(source, 6, None) if batch.indices is not None])
        for _ in range(2)
    )
    assert len(first.unique()) == len(first) == 48
    assert not torch.equal(first, second)
    assert source.epoch == 2


def test_inputs_targets_and_indices_belong_together() -> None:
    for batch in take(array_source(50), 20, None):
        assert batch.targets is not None
        assert batch.indices is not None
        assert torch.equal(batch.targets, batch.indices)
        assert torch.equal(batch.inputs["numbers"][:, 0].long(), batch.indices)
        assert batch.inputs["picture"].dtype == torch.uint8


def test_ranks_share_an_epoch_without_overlap() -> None:
    seen = [array_source(50, rank=rank, world_size=3).order(0) for rank in range(3)]
    together = torch.cat(seen)
    assert len(together.unique()) == len(together) == 48


def test_small_set_is_one_whole_batch() -> None:
    batch = take(array_source(5), 1, None)[0]
    assert batch.targets is not None
    assert sorted(batch.targets.tolist()) == [0, 1, 2, 3, 4]


def test_position_is_one_integer_and_any_is_reached_at_once() -> None:
    source = array_source(50)
    source.load_state_dict({"position": 10**9})
    take(source, 1, None)
    assert source.state_dict() == {"position": 10**9 + 1}


def test_nothing_to_train_on_is_said() -> None:
    with pytest.raises(DataError, match="0 examples"):
        array_source(0)
