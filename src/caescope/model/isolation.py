"""Reading HDF5 in a process of its own, which may crash, hang or run out of memory instead of this one.

HDF5's library is written in C and trusts what files say: of random changes to a file of weights, one in some
hundreds ends in a segmentation fault, an endless loop or gigabytes of memory. The process takes about a tenth
of a second. It gets the open file as its standard input and cannot open another: where the system knows
limits, it may have no further file, `MEMORY` and four times the file's length of memory, and `SECONDS` of
processor time and one more for each `BYTES_PER_SECOND`.

Its answer is bytes: STARTED, OURS or FOREIGN, then READ and the values of each weight; FAILED and a message
in JSON can take the place of any but the first.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from io import BytesIO
from math import ceil
from pathlib import Path
from threading import Timer
from typing import IO

import h5py
import numpy as np

import caescope
from caescope import errors
from caescope.errors import FileFormatError, InputError, ModelError
from caescope.files import decoding, printable
from caescope.model.layouts import find_weights, read_values

MEMORY = 768 * 2**20
SECONDS = 2
BYTES_PER_SECOND = 50e6
PATIENCE = 30  # times as long may pass on the clock: disks and networks are slow, and machines busy
KIND = "an HDF5 file of weights"
WRITER = "writer"  # a root attribute that says that caescope wrote the file
STARTED, OURS, FOREIGN, READ, FAILED = b"S", b"O", b"K", b"R", b"F"
_CHILD = "import sys; sys.path[:0] = sys.argv[3:]; from caescope.model.isolation import main; main()"


def read_isolated(
    stream: IO[bytes], shapes: Sequence[tuple[int, ...]], path: Path
) -> tuple[list[np.ndarray], bool]:
    """Return the weights in an open file, and whether caescope wrote it.

    Raises
    ------
    FileFormatError, ModelError
        If the file does not hold exactly weights of those shapes, or its reader crashed or took too long.
    """
    if getattr(sys, "frozen", False):  # sys.executable is then no Python
        return _read_here(stream, shapes, path)
    arguments = [str(path), json.dumps(shapes), *_import_paths()]
    limit = PATIENCE * _seconds(os.fstat(stream.fileno()).st_size)
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _CHILD, *arguments],
        stdin=stream,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"},
    ) as process:
        timer = Timer(limit, process.kill)
        timer.start()
        try:
            return _Answer(process, path).receive(shapes)
        finally:
            timer.cancel()
            process.kill()


def _read_here(stream: IO[bytes], shapes, path: Path) -> tuple[list[np.ndarray], bool]:
    with decoding(path, KIND), h5py.File(stream, "r") as file:
        datasets = find_weights(file, os.fstat(stream.fileno()).st_size, shapes, str(path))
        return [read_values(dataset, str(path)) for dataset in datasets], WRITER in file.attrs


def _import_paths() -> list[str]:
    """Return where the modules that the reader needs were found; never the working directory as such."""
    return list(dict.fromkeys(str(Path(str(m.__file__)).absolute().parents[1]) for m in (caescope, h5py, np)))


def _seconds(size: int) -> int:
    return SECONDS + ceil(size / BYTES_PER_SECOND)


class _Answer:
    """What the reader writes to its standard output."""

    def __init__(self, process: subprocess.Popen, path: Path):
        assert process.stdout is not None
        self.process, self.stream, self.path = process, process.stdout, path

    def receive(self, shapes: Sequence[tuple[int, ...]]) -> tuple[list[np.ndarray], bool]:
        if self.stream.read(1) != STARTED:
            raise ModelError(
                "Reading weights must be able to start a Python process that imports h5py",
                f"exit status {self.process.wait()} of {sys.executable}",
                "Check sys.executable and the installation.",
            )
        ours = self._status() == OURS
        return [self._array(shape) for shape in shapes], ours

    def _status(self) -> bytes:
        status = self.stream.read(1)
        if status == FAILED:
            raise _as_error(self.stream.read())
        if not status:
            raise self._stopped()
        return status

    def _array(self, shape: tuple[int, ...]) -> np.ndarray:
        self._status()
        array = np.empty(shape, "<f4")  # no larger than what the reader has already read
        if self.stream.readinto(_bytes_of(array)) != array.nbytes:  # pyright: ignore[reportAttributeAccessIssue]
            raise self._stopped()
        return array.astype(np.float32, copy=False)

    def _stopped(self) -> FileFormatError:
        status = self.process.wait()
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return FileFormatError(
            f"{self.path} must be readable as {KIND}",
            f"something at which the reader stopped ({how})",
            "The file is damaged or made to do harm: fetch or write it again.",
        )


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _as_error(message: bytes) -> InputError:
    name, *parts = json.loads(message)
    return getattr(errors, name)(*parts)


def main() -> None:
    """Read the file at standard input; the arguments are its name for messages and the shapes in JSON."""
    file, answer = sys.stdin.buffer, sys.stdout.buffer
    path, shapes = sys.argv[1], [tuple(shape) for shape in json.loads(sys.argv[2])]
    _ready_to_read()
    size = os.fstat(file.fileno()).st_size
    _limit(size)
    answer.write(STARTED)
    answer.flush()
    try:
        with decoding(path, KIND):
            _send_weights(file, size, shapes, path, answer)
    except InputError as error:
        answer.write(FAILED + json.dumps([type(error).__name__, *error.args]).encode())
    answer.flush()
    os._exit(0)  # closing a damaged file can crash, too


def _send_weights(file, size: int, shapes, path: str, answer: IO[bytes]) -> None:
    with h5py.File(file, "r") as opened:
        datasets = find_weights(opened, size, shapes, path)
        answer.write(OURS if WRITER in opened.attrs else FOREIGN)
        for dataset in datasets:
            values = read_values(dataset, path)
            answer.write(READ)
            answer.write(_bytes_of(values))
        answer.flush()


def _ready_to_read() -> None:
    """Let Python import what reading and failing need, as long as files can be opened."""
    with h5py.File(BytesIO(), "w") as file:
        file.attrs["names"] = [b"a"]
        _ = str(file.attrs["names"]), np.isfinite(file.create_dataset("x", data=[1.0])[()]).all()
    printable("\n")


def _limit(size: int) -> None:
    """Take from this process what reading one small file does not need."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    seconds = ceil(time.process_time()) + _seconds(size)
    limits = {"AS": MEMORY + 4 * size, "CPU": seconds, "NOFILE": 3, "CORE": 0, "FSIZE": 0}
    for name, most in limits.items():
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:  # the hard limit of time comes later, so that the signal is that of time
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, hard if name == "CPU" else most))
        except (OSError, ValueError):  # macOS knows no limit of the address space
            continue
