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
from caescope.files import decoding
from caescope.isolation import MEMORY, bytes_of, seconds_for
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
    size = os.fstat(stream.fileno()).st_size
    with isolation.reading(__name__, str(path), json.dumps(shapes), stream, size) as process:
        ours = isolation.receive_status(process, path, KIND) == OURS
        return [_receive(process, shape, path) for shape in shapes], ours


def _read_here(stream: IO[bytes], shapes, path: Path) -> tuple[list[np.ndarray], bool]:
    with decoding(path, KIND), h5py.File(stream, "r") as file:
        datasets = find_weights(file, os.fstat(stream.fileno()).st_size, shapes, str(path))
        return [read_values(dataset, str(path)) for dataset in datasets], WRITER in file.attrs


def _receive(process: subprocess.Popen, shape: tuple[int, ...], path: Path) -> np.ndarray:
    isolation.receive_status(process, path, KIND)
    array = np.empty(shape, "<f4")  # no larger than what the reader has already read
    if process.stdout.readinto(bytes_of(array)) != array.nbytes:  # pyright: ignore
        raise isolation.stopped(process, path, KIND)
    return array.astype(np.float32, copy=False)


def main() -> None:
    """Read the file at standard input; the arguments are its name for messages and the shapes in JSON."""
    file, path = sys.stdin.buffer, sys.argv[1]
    shapes = [tuple(shape) for shape in json.loads(sys.argv[2])]
    isolation.get_ready()
    size = os.fstat(file.fileno()).st_size
    isolation.limit(MEMORY + 4 * size, seconds_for(size))
    isolation.answer_with(lambda answer: _send_weights(file, size, shapes, path, answer))


def _send_weights(file, size: int, shapes, path: str, answer: IO[bytes]) -> None:
    with decoding(path, KIND), h5py.File(file, "r") as opened:
        datasets = find_weights(opened, size, shapes, path)
        answer.write(OURS if WRITER in opened.attrs else FOREIGN)
        for dataset in datasets:
            values = read_values(dataset, path)
            answer.write(READ)
            answer.write(bytes_of(values))
        answer.flush()
