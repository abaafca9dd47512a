"""Seconds of named steps, in the order in which they were taken."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Time steps, and tell them to the process that started this one."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - started
        print(f"  {step}: {self.seconds[step]:.2f} s", file=sys.stderr)

    def report(self, file: str, **facts) -> None:
        """Write seconds and other facts to a JSON file."""
        with open(file, "w") as stream:
            json.dump({"seconds": self.seconds} | facts, stream)
