"""Commands that are asked to stop: by Ctrl-C or SIGTERM, they clean up, and leave with a clear line."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""

    signal = signal.SIGTERM


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` inside, as Ctrl-C raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(_number, _frame):
        raise Terminated("Stopped by SIGTERM.")

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def describe_stop(stop: KeyboardInterrupt) -> str:
    """Return in a line what was stopped, and how it is gone on with.

    >>> describe_stop(KeyboardInterrupt())
    'Stopped by Ctrl-C.'
    """
    return " ".join([str(stop) or "Stopped by Ctrl-C.", *getattr(stop, "__notes__", ())])


def number_of(stop: KeyboardInterrupt) -> int:
    """Return the signal that came."""
    return int(getattr(stop, "signal", signal.SIGINT))
