"""Ctrl-C and SIGTERM, heard by work that ends something first before it stops."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Put back, in the main thread, who hears Ctrl-C and SIGTERM, whatever a library sets inside."""
    handlers = {number: signal.getsignal(number) for number in NAMES}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None:  # one that Python did not set
                    signal.signal(number, handler)


@contextmanager
def listening(hear: Callable[[int], None]) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM call ``hear`` with its number; later ones do what they did before.

    One that is ignored, as Ctrl-C is in the background, stays so. Only the main thread hears signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in NAMES}
    before = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

    def note(number: int, _frame: Any) -> None:
        put_back()
        hear(number)

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        put_back()
