"""Work on all cores, in order, and never far ahead of whoever takes the results."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # items for each thread that are under way or wait to be taken


_most_cores: int | None = None


def count_cores() -> int:
    """Return how many cores this process may use."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, _most_cores or there)


def use_cores(most: int) -> None:
    """Let this process use so many cores at most, since others have the rest."""
    global _most_cores
    _most_cores = most


def blocks_of(n_items: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` that cover ``n_items``.

    >>> list(blocks_of(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return (slice(start, min(start + size, n_items)) for start in range(0, n_items, size))


def share_of(n_items: int, most: int, threads: int) -> int:
    """Return how many items to take at a time, at most ``most``, so that every thread gets some.

    >>> share_of(1000, 64, threads=2), share_of(10, 64, threads=2), share_of(1, 64, threads=2)
    (64, 3, 1)
    """
    return max(1, min(most, -(-n_items // (2 * threads))))


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in order, computed in several threads.

    Parameters
    ----------
    function : callable
        Threads help where it spends its time outside of Python, as decoding and networks do.
    items : iterable
        Taken one by one: at most ``2 · threads`` results are under way or wait, so memory stays flat.
    threads : int, optional
        One for each core by default.

    Raises
    ------
    Exception
        Whatever the first item in order that fails raises; what comes after it is given up.

    Examples
    --------
    >>> list(map_in_order(len, ["a", "bb", "ccc"]))
    [1, 2, 3]
    """
    threads = threads or count_cores()
    rest = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="caescope")
    try:
        pending = deque(pool.submit(function, item) for item in islice(rest, AHEAD * threads))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let PyTorch compute in the thread that asks it to, so that as many threads as cores do not crowd."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
