"""Reading weights in a process of its own; see `caescope.isolation`.

It gets the open file as its standard input and cannot open another: where the system knows limits, it may
have no further file, `MEMORY` and four times the file's length of memory, and `SECONDS` of processor time and
one more for each `BYTES_PER_SECOND`.

After STARTED it answers with OURS or FOREIGN, then READ and the values of each weight.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from caescope import isolation
from caescope.errors import InputError
from caescope.files import decoding
from caescope.isolation import FAILED, MEMORY, STARTED, bytes_of, seconds_for, stopped
from caescope.model.layouts import find_weights, read_values

KIND = "an HDF5 file of weights"
WRITER = "writer"  # a root attribute that says that caescope wrote the file
OURS, FOREIGN, READ = b"O", b"K", b"R"


def read_isolated(
    stream: IO[bytes], shapes: Sequence[tuple[int, ...]], path: Path
) -> tuple[list[np.ndarray], bool]:
    """Return the weights in an open file, and whether caescope wrote it.

    Raises
    ------
    FileFormatError, ModelError
        If the file does not hold exactly weights of those shapes, or its reader crashed or took too long.
    """
    if not isolation.can_isolate():
        return _read_here(stream, shapes, path)
    seconds = isolation.PATIENCE * seconds_for(os.fstat(stream.fileno()).st_size)
    with isolation.start(__name__, str(path), json.dumps(shapes), stream) as process:
        try:
            with isolation.killed_after(process, seconds):
                return _Answer(process, path).receive(shapes)
        finally:
            process.kill()


def _read_here(stream: IO[bytes], shapes, path: Path) -> tuple[list[np.ndarray], bool]:
    with decoding(path, KIND), h5py.File(stream, "r") as file:
        datasets = find_weights(file, os.fstat(stream.fileno()).st_size, shapes, str(path))
        return [read_values(dataset, str(path)) for dataset in datasets], WRITER in file.attrs


class _Answer:
    """What the reader writes to its standard output."""

    def __init__(self, process: subprocess.Popen, path: Path):
        assert process.stdout is not None
        self.process, self.stream, self.path = process, process.stdout, path

    def receive(self, shapes: Sequence[tuple[int, ...]]) -> tuple[list[np.ndarray], bool]:
        isolation.demand_started(self.process)
        ours = self._status() == OURS
        return [self._array(shape) for shape in shapes], ours

    def _status(self) -> bytes:
        status = self.stream.read(1)
        if status == FAILED:
            raise isolation.error_from_bytes(self.stream.read())
        if not status:
            raise stopped(self.process, self.path, KIND)
        return status

    def _array(self, shape: tuple[int, ...]) -> np.ndarray:
        self._status()
        array = np.empty(shape, "<f4")  # no larger than what the reader has already read
        if self.stream.readinto(bytes_of(array)) != array.nbytes:  # pyright: ignore[reportAttributeAccessIssue]
            raise stopped(self.process, self.path, KIND)
        return array.astype(np.float32, copy=False)


def main() -> None:
    """Read the file at standard input; the arguments are its name for messages and the shapes in JSON."""
    file, answer = sys.stdin.buffer, sys.stdout.buffer
    path, shapes = sys.argv[1], [tuple(shape) for shape in json.loads(sys.argv[2])]
    isolation.get_ready()
    size = os.fstat(file.fileno()).st_size
    isolation.limit(MEMORY + 4 * size, seconds_for(size))
    answer.write(STARTED)
    answer.flush()
    try:
        with decoding(path, KIND):
            _send_weights(file, size, shapes, path, answer)
    except InputError as error:
        answer.write(FAILED + isolation.error_as_bytes(error))
    answer.flush()
    os._exit(0)  # closing a damaged file can crash, too


def _send_weights(file, size: int, shapes, path: str, answer: IO[bytes]) -> None:
    with h5py.File(file, "r") as opened:
        datasets = find_weights(opened, size, shapes, path)
        answer.write(OURS if WRITER in opened.attrs else FOREIGN)
        for dataset in datasets:
            values = read_values(dataset, path)
            answer.write(READ)
            answer.write(bytes_of(values))
        answer.flush()
