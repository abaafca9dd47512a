"""What a long job says while it works, and how long each of its stages took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console


def plain_console(file: TextIO, quiet: bool = False) -> Console:
    """Return a console that moves the cursor on terminals only; a notebook gets plain lines."""
    is_terminal = file.isatty()
    return Console(
        file=file,
        force_terminal=is_terminal,
        force_jupyter=False,
        color_system="auto" if is_terminal else None,
        highlight=False,
        soft_wrap=True,
        quiet=quiet,
    )


SECONDS_BETWEEN = 10  # two lines that say how far a stage is


class Stages:
    """Names the stage that is under way on standard error and keeps the seconds of each.

    Parameters
    ----------
    verbose : int or str
        0 says nothing; anything else says one line for each stage.

    Examples
    --------
    >>> stages = Stages(verbose=0)
    >>> with stages.stage("encode", "5 images"):
    ...     pass
    >>> sorted(stages.seconds)
    ['encode']
    """

    def __init__(self, verbose: int | str = "auto"):
        self.console = plain_console(sys.stderr, quiet=verbose == 0)
        self.seconds: dict[str, float] = {}
        self.started = time.perf_counter()

    @contextmanager
    def stage(self, name: str, detail: str, spin: bool = True) -> Iterator[None]:
        """Time what happens inside under ``name``; a spinner turns meanwhile where there is a terminal."""
        started = time.perf_counter()
        if spin and self.console.is_terminal:
            with self.console.status(f"{name}: {detail}"):
                yield
        else:
            self.say(f"{name}: {detail}")
            yield
        self.seconds[name] = time.perf_counter() - started
        if spin and self.console.is_terminal:
            self.say(f"{name}: {detail} ({self.seconds[name]:.1f} s)")

    def say(self, sentence: str) -> None:
        """Print one line on standard error."""
        self.console.print(sentence, markup=False)

    def total(self) -> dict[str, float]:
        """Return the seconds of every stage and, as ``total``, since the start."""
        return {**self.seconds, "total": time.perf_counter() - self.started}


class Progress:
    """Says now and then how far a stage is that works on many things.

    Parameters
    ----------
    stages : Stages
    name : str
        Of the stage.
    total : int
    things : str
        What they are, such as ``"images"``.
    at : int, default 0
        How many an earlier start has done; said at once.
    """

    def __init__(self, stages: Stages, name: str, total: int, things: str, at: int = 0):
        self.stages, self.name, self.total, self.things, self.at = stages, name, total, things, at
        self._said = time.monotonic()
        if at:
            stages.say(f"{name}: goes on after {at:,} of {total:,} {things}")

    def add(self, count: int) -> None:
        """Count what was done."""
        self.at += count
        if time.monotonic() - self._said >= SECONDS_BETWEEN:
            self._said = time.monotonic()
            self.stages.say(f"{self.name}: {self.at:,} of {self.total:,} {self.things}")
