"""Work that holds Python's lock, done by other processes, which keep it from nobody here."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from caescope.errors import DataError
from caescope.parallel import count_cores

Result = TypeVar("Result")

SECONDS_IDLE = 30  # after which processes that nobody needs end
_choosing = Lock()  # or two threads would each start a pool


def have_processes() -> bool:
    """Tell whether other processes could do some of the work: with one core they would only take turns."""
    return count_cores() > 1 and not multiprocessing.current_process().daemon  # who may not have children


def in_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return what a function returns in one of as many processes as there are cores, and wait for it.

    Several threads may ask at once; each waits without holding Python's lock. The processes start when they
    are first needed, in about a second, serve everybody from then on, and leave Ctrl-C to this one.

    Parameters
    ----------
    function : callable
        It is pickled with its arguments, and what it returns or raises is pickled, too.

    Raises
    ------
    DataError
        If the process ended before the function did.
    Exception
        Whatever the function raises.
    """
    with _choosing:
        pool = _pool()
    try:
        return pool.submit(function, *arguments).result()
    except BrokenProcessPool as error:
        with _choosing:
            if _pool() is pool:  # and nobody else has replaced it yet
                _pool.cache_clear()
        raise DataError(
            "A process that reads images must live until it has read them",
            "one that the system ended",
            "Free some memory, and start again.",
        ) from error


@cache
def _pool() -> Executor:
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(count_cores(), timeout=SECONDS_IDLE, initializer=_ignore_interrupts)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a pool answers only the process that started it


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
