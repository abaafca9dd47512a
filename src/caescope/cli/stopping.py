"""Commands that are asked to stop: by Ctrl-C or SIGTERM, they clean up, and leave with a clear line."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from caescope.signals import is_main_thread, kept_handlers


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""

    signal = signal.SIGTERM


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` inside, as Ctrl-C raises KeyboardInterrupt."""
    if not is_main_thread():
        yield
        return

    def terminate(_number, _frame):
        raise Terminated("Stopped by SIGTERM.")

    with kept_handlers():
        signal.signal(signal.SIGTERM, terminate)
        yield


def describe_stop(stop: KeyboardInterrupt) -> str:
    """Return in a line what was stopped, and how it is gone on with.

    >>> describe_stop(KeyboardInterrupt())
    'Stopped by Ctrl-C.'
    """
    return " ".join([str(stop) or "Stopped by Ctrl-C.", *getattr(stop, "__notes__", ())])


def number_of(stop: KeyboardInterrupt) -> int:
    """Return the signal that came."""
    return int(getattr(stop, "signal", signal.SIGINT))
