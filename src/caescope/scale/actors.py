"""What all actors do that Ray Data calls with tasks: fetch their job once, and answer in Ray Data's form."""

import os
import socket
from contextlib import suppress
from functools import cached_property
from typing import Any

from caescope.errors import OptionError


class JobActor:
    """Works on one task after the other in a process of its own.

    Parameters
    ----------
    job : list of one object reference
        To what every worker has to know; its ``folder`` is the working directory of whoever started the job.
        A process that is started again fetches it again.
    """

    def __init__(self, job: list[Any]):
        self._reference = job[0]

    @cached_property
    def _job(self) -> Any:
        job = self._fetch(self._reference)
        with suppress(OSError):
            os.chdir(job.folder)  # where paths are seen from
        return job

    def _fetch(self, reference: Any) -> Any:
        import ray

        return ray.get(reference)


def as_batch(answer: dict[str, Any]) -> dict[str, list]:
    """Return one answer as Ray Data has batches.

    >>> as_batch({"images": 64, "error": ""})
    {'images': [64], 'error': ['']}
    """
    return {name: [value] for name, value in answer.items()}


def unseen_output(path: Any, advice: str) -> OptionError:
    """Return the error of a worker that does not see where the output is being gathered."""
    return OptionError(
        "Workers must see the folder of the output", f"no {path} on {socket.gethostname()}", advice
    )
