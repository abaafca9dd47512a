"""Ctrl-C and SIGTERM, heard by work that ends something first before it stops."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Put back who hears Ctrl-C and SIGTERM, whatever a library sets inside; only the main thread can."""
    before = _handlers()
    try:
        yield
    finally:
        if is_main_thread():
            _set(before)


@contextmanager
def listening(hear: Callable[[int], None]) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM call ``hear`` with its number; later ones do what they did before.

    One that is ignored, as Ctrl-C is in the background, stays so. Only the main thread hears signals.
    """
    if not is_main_thread():
        yield
        return
    before = {number: handler for number, handler in _handlers().items() if handler != signal.SIG_IGN}

    def note(number: int, _frame: Any) -> None:
        _set(before)
        hear(number)

    _set(dict.fromkeys(before, note))
    try:
        yield
    finally:
        _set(before)


def _handlers() -> dict[int, Any]:
    """Return who hears each signal, but for those whom Python did not set and so cannot set again."""
    found = {number: signal.getsignal(number) for number in NAMES}
    return {number: handler for number, handler in found.items() if handler is not None}


def _set(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def is_main_thread() -> bool:
    """Tell whether this thread is the one that hears signals."""
    return threading.current_thread() is threading.main_thread()
