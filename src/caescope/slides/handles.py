"""Open files of OpenSlide: a few in each thread, never handed from one thread or process to another."""

import os
from collections import OrderedDict
from threading import local
from typing import Any

from caescope.errors import MissingDependencyError

OPEN_IN_A_THREAD = 8  # slides; each takes file descriptors, of which a process has about a thousand
CACHE_BYTES = 128 << 20  # decoded pieces of all open slides together


class _Handles:
    """What this process has open; a forked one starts anew, as file positions would be shared."""

    def __init__(self):
        self.threads = local()
        self.cache: Any = None


_handles = _Handles()
_inherited: list[_Handles] = []  # kept, as closing them could wait for a lock that nobody holds any more


def import_openslide() -> Any:
    """Return the module openslide.

    Raises
    ------
    MissingDependencyError
        If it, or the library that it calls, is not installed.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:
        advice = 'Install it with pip install "caescope[slides]".'
        raise MissingDependencyError(
            "Slides need openslide-python and openslide-bin", "none", advice
        ) from error
    return openslide


def handle_of(path: str) -> Any:
    """Return this thread's open ``OpenSlide`` of a file, opened now where it is not."""
    handles = _handles_here()
    if path not in handles:
        handles[path] = _open(path)
        if len(handles) > OPEN_IN_A_THREAD:
            handles.popitem(last=False)[1].close()
    handles.move_to_end(path)
    return handles[path]


def forget(path: str) -> None:
    """Close this thread's handle of a file: after one error OpenSlide answers nothing else on it."""
    if handle := _handles_here().pop(path, None):
        handle.close()


def _handles_here() -> OrderedDict[str, Any]:
    if not hasattr(_handles.threads, "by_path"):
        _handles.threads.by_path = OrderedDict()
    return _handles.threads.by_path


def _open(path: str) -> Any:
    openslide = import_openslide()
    if _handles.cache is None:
        _handles.cache = openslide.OpenSlideCache(CACHE_BYTES)
    handle = openslide.OpenSlide(path)
    handle.set_cache(_handles.cache)
    return handle


def _start_anew() -> None:
    global _handles
    _inherited.append(_handles)
    _handles = _Handles()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
