"""Images in an HDF5 file that stay there."""

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import finalize

import h5py
import numpy as np

from caescope import hdf5_images, isolation
from caescope.data.arrays import IMAGE_KEYS, LABEL_KEYS
from caescope.data.mapped import MappedSource
from caescope.errors import FileFormatError
from caescope.files import decoding, existing_file
from caescope.hdf5_images import KIND

MAGIC = b"\x89HDF\r\n\x1a\n"
KEYS = (IMAGE_KEYS, LABEL_KEYS)


class Hdf5Stack:
    """The images of the one dataset of an HDF5 file that holds some, read by a process of its own.

    HDF5 reads in one thread at a time. Each process has a reader of its own, from when it first reads.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    FileFormatError
        If there is not exactly one dataset of images, it is not of uint8 or floats, is not written whole, or
        lies in another file: links, external storage and virtual datasets are not followed.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = existing_file(path)
        self._lock, self._process, self._reader = Lock(), None, None
        facts = self._ask(lambda reader: reader.description)
        self.shape, self.dtype = tuple(facts["shape"]), np.dtype(facts["dtype"])
        self.together: int = facts["together"]
        self.has_labels = facts["labels"] is not None

    def __reduce__(self):
        return Hdf5Stack, (self.path,)

    def read(self, rows: slice) -> np.ndarray:
        """Return the images from ``rows.start`` to ``rows.stop``."""
        start, stop, _ = rows.indices(self.shape[0])
        return self._ask(lambda reader: reader.read(start, max(start, stop)))

    def read_labels(self) -> np.ndarray:
        """Return the labels, shape (n,), of a file that has some."""
        return self._ask(lambda reader: reader.read_labels())

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """Return what this process's reader answers; after a failure the next question starts another."""
        with self._lock:
            if self._reader is None or self._process != os.getpid():
                start = _Reader if isolation.can_isolate() else _ReaderHere
                self._reader, self._process = start(self.path), os.getpid()
            reader, self._reader = self._reader, None
            answer = question(reader)
            self._reader = reader
            return answer


class _Reader:
    """A process that reads one file, and what it says of it."""

    def __init__(self, path: Path):
        self.path = path
        self.process = isolation.start(hdf5_images.__name__, str(path), json.dumps(KEYS), subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.questions, self.answers = self.process.stdin, self.process.stdout
        finalize(self, _end, self.process, os.getpid())
        with self._watched(0):
            isolation.demand_started(self.process)
            self.description = json.loads(self._message())

    def read(self, start: int, stop: int) -> np.ndarray:
        facts = self.description
        images = np.empty((stop - start, *facts["shape"][1:]), facts["dtype"])
        if images.size:
            with self._watched(images.nbytes + 2 * facts["together"] * images[:1].nbytes):
                self._send([start, stop])
                self._message()
                self._read_into(images)
        return images

    def read_labels(self) -> np.ndarray:
        with self._watched(self.path.stat().st_size):
            self._send("labels")
            texts, dtype = json.loads(self._message())
            if texts is not None:
                return np.array(texts)
            values = np.empty(self.description["shape"][0], dtype)
            self._read_into(values)
            return values

    def _watched(self, size: int) -> AbstractContextManager[None]:
        return isolation.killed_after(self.process, isolation.PATIENCE * isolation.seconds_for(size))

    def _send(self, question: Any) -> None:
        try:
            self.questions.write(f"{json.dumps(question)}\n".encode())
            self.questions.flush()
        except OSError as error:  # it has ended
            raise self._stopped() from error

    def _message(self) -> bytes:
        isolation.receive_status(self.process, self.path, KIND)
        length = int.from_bytes(self.answers.read(8), "little")
        message = self.answers.read(length)
        if len(message) < length:
            raise self._stopped()
        return message

    def _read_into(self, array: np.ndarray) -> None:
        if self.answers.readinto(isolation.bytes_of(array)) != array.nbytes:  # pyright: ignore
            raise self._stopped()

    def _stopped(self) -> FileFormatError:
        return isolation.stopped(self.process, self.path, KIND)


def _end(process: subprocess.Popen, owner: int) -> None:
    """End a reader that nobody asks any more, unless this is a copy of the process that started it."""
    if os.getpid() != owner:
        process.returncode = 0
        return
    process.kill()
    with suppress(OSError):  # a question that was never sent
        process.communicate()


class _ReaderHere:
    """The same within this process, for programs that cannot start a Python."""

    def __init__(self, path: Path):
        self.path = path
        with decoding(path, KIND):
            self.found = hdf5_images.FoundImages(h5py.File(path, "r"), KEYS, str(path))
            self.description = self.found.describe()

    def read(self, start: int, stop: int) -> np.ndarray:
        with decoding(self.path, KIND):
            return self.found.read(start, stop)

    def read_labels(self) -> np.ndarray:
        with decoding(self.path, KIND):
            return self.found.read_labels()


def find_hdf5(path: str | os.PathLike) -> MappedSource:
    """Return the images of an HDF5 file, which stay there.

    Parameters
    ----------
    path : path-like
        With one dataset ``images``, ``x`` or ``X`` of shape (n, height, width[, channels]), uint8 or floats
        in [0, 1], and at most one ``labels`` or ``y`` of n values. What else is in the file is left alone.

    Returns
    -------
    MappedSource

    Raises
    ------
    DataError
        If images or labels cannot be used.
    FileFormatError
        As in `Hdf5Stack`, or if there is no such file.
    """
    stack = Hdf5Stack(path)
    return MappedSource(stack, stack.read_labels() if stack.has_labels else None)
