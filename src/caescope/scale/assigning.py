"""Parts of latents, assigned by workers: each writes what it assigned, and sends sums and counts back."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from caescope.partwise.assigning import Assigner
from caescope.partwise.totals import Totals, pack, unpack
from caescope.scale.actors import JobActor, as_batch, unseen_output
from caescope.scale.connecting import connected, cpus_each
from caescope.scale.streaming import answer_with_error, stream
from caescope.scale.workers import Workers
from caescope.storage import Place


@dataclass(frozen=True)
class Job:
    """What every worker has to know.

    Attributes
    ----------
    assigner : Assigner
    folder : str
        The working directory of whoever started the job.
    threads : int
    """

    assigner: Assigner
    folder: str
    threads: int


def assign_with(workers: Workers, assigner: Assigner, parts: Sequence[int]) -> Iterator[Totals]:
    """Yield what each part adds to the totals, in the order of the parts, assigned by these workers.

    Raises
    ------
    CaescopeError
        As `caescope.scale.streaming.stream`.
    """
    if not parts:
        return
    with connected(workers) as ray:
        job = ray.put(Job(assigner, os.getcwd(), cpus_each(ray, workers)))
        answers = stream(ray, PartAssigner, job, [{"part": i} for i in parts], workers)
        for content in in_order(((answer["part"], answer["totals"]) for answer in answers), parts):
            yield unpack(content)[0]


def in_order(answers: Iterable[tuple[int, bytes]], parts: Iterable[int]) -> Iterator[bytes]:
    """Yield answers in the order of the parts; those that are early wait.

    >>> list(in_order([(2, b"c"), (0, b"a"), (1, b"b")], range(3)))
    [b'a', b'b', b'c']
    """
    early: dict[int, bytes] = {}
    rest = iter(answers)
    for part in parts:
        while part not in early:
            number, content = next(rest)
            early[number] = content
        yield early.pop(part)


class PartAssigner(JobActor):
    """Assigns parts and writes each."""

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, list]:
        """Assign the part of a batch of one task, and return its totals, or what is wrong with it."""
        part = int(batch["part"][0])
        with answer_with_error(part=part, totals=b"") as answer:
            _demand_seen(self._assigner.target)
            answer["totals"] = pack(self._assigner(part))
        return as_batch(answer)

    @cached_property
    def _assigner(self) -> Assigner:
        assigner = self._job.assigner
        assigner.fitted.projection.use_threads(self._job.threads)
        return assigner


def _demand_seen(target: Place) -> None:
    """Refuse to write where the output is not being gathered."""
    folder = os.path.dirname(target.path)
    if not os.path.isdir(folder):
        raise unseen_output(folder, "Give one on a disk that all machines share.")
