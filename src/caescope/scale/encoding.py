"""Parts of an encoding, shared by workers: what is done where a worker is, and what it sends back."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from caescope.cae import CAE
from caescope.data.opening import Source
from caescope.encoding_parts import encode_part
from caescope.model.options import Options
from caescope.parts import part_name
from caescope.parts_job import RECORD
from caescope.scale.actors import JobActor, as_batch, unseen_output
from caescope.scale.connecting import connected, cpus_each
from caescope.scale.seeing import demand_seen, files_of
from caescope.scale.streaming import answer_with_error, stream
from caescope.scale.workers import Workers
from caescope.storage import Place


@dataclass(frozen=True)
class Job:
    """What every worker has to know.

    Attributes
    ----------
    options : Options
    weights : list of numpy.ndarray
        Of the model that encodes.
    precision : str
        In which numbers it predicts.
    images : object reference
        To the source.
    files : tuple of str
        Where the images are, seen from ``folder``.
    place : Place
        Where parts are written.
    folder : str
        The working directory of whoever started the job.
    device : str
    threads : int
    """

    options: Options
    weights: list[np.ndarray]
    precision: str
    images: Any
    files: tuple[str, ...]
    place: Place
    folder: str
    device: str
    threads: int


def encode_with(workers: Workers, device: str = "auto") -> Callable[..., Iterator[int]]:
    """Return what `caescope.encoding_parts.encode_to_parts` lets encode parts: these workers."""

    def encode_parts(cae: CAE, images: Source, place: Place, parts: list[slice]) -> Iterator[int]:
        with connected(workers) as ray:
            job = Job(
                cae.options,
                cae.model.get_weights(),
                cae.predict_precision,
                ray.put(images),
                files_of(images),
                place,
                os.getcwd(),
                "cpu" if device == "auto" and not workers.gpus_each else device,
                cpus_each(ray, workers),
            )
            tasks = [{"start": part.start, "stop": part.stop} for part in parts]
            for answer in stream(ray, PartEncoder, ray.put(job), tasks, workers):
                yield answer["images"]

    return encode_parts


class PartEncoder(JobActor):
    """Encodes parts and writes each."""

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, list]:
        """Encode the images of a batch of one task, and say how many, or what is wrong with them."""
        part, started = slice(int(batch["start"][0]), int(batch["stop"][0])), time.perf_counter()
        with answer_with_error(images=0, worker=f"{socket.gethostname()}:{os.getpid()}") as answer:
            answer["images"] = self._encode(part)
        answer["seconds"] = time.perf_counter() - started
        return as_batch(answer)

    def _encode(self, part: slice) -> int:
        with demand_seen(self._job.files):
            table = encode_part(self._cae, self._images, part, self._job.threads)
            _demand_record(self._job.place)
        (self._job.place / part_name(part.start)).write_bytes(table.as_parquet())
        return len(table)

    @cached_property
    def _cae(self) -> CAE:
        job = self._job
        cae = CAE(**job.options.as_dict(), seed=0, device=job.device, predict_precision=job.precision)
        cae.model.set_weights(job.weights)
        return cae

    @cached_property
    def _images(self) -> Source:
        return self._fetch(self._job.images)


def _demand_record(place: Place) -> None:
    """Refuse to write where the output is not being gathered."""
    if not (place / RECORD).exists():
        raise unseen_output(place, "Give one on a disk that all machines share, or on object storage.")
