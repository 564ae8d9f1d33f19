"""Threads for work that waits for files, or that releases the interpreter as decoders do."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST_WORKERS = 16
WAITING = 8  # workers where most of the time goes into waiting for a disk
AHEAD = 8  # items under way for each worker: so that one slow item stops nobody


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int | None = None,
    ahead: int = AHEAD,
) -> Iterator[R]:
    """`function` of every item, in the order of the items; few are under way at a time.

    By default there is a worker for each processor, 16 at most, and `ahead` items for each of them.
    What was not begun is dropped when the caller stops asking, or an item raises.
    """
    workers = workers or min(MOST_WORKERS, os.cpu_count() or 1)
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
