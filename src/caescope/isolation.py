"""Reading in a process of its own, which may crash, hang or run out of memory instead of this one.

Libraries written in C trust what files say: of random changes to an HDF5 file, one in some hundreds ends in a
segmentation fault, an endless loop or gigabytes of memory. `start` runs ``main()`` of a module in a Python of
its own, in about a tenth of a second; there `limit` lets the system take away what reading one file does not
need. What it answers are bytes: STARTED first; FAILED and a message can take the place of any other part.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from math import ceil
from pathlib import Path
from threading import Timer
from typing import IO, Any, NoReturn

import h5py
import numpy as np

import caescope
from caescope import errors
from caescope.errors import FileFormatError, InputError, ModelError
from caescope.files import printable

MEMORY = 768 * 2**20  # for Python, its libraries and the structure of a file
SECONDS = 2
BYTES_PER_SECOND = 50e6
PATIENCE = 30  # times as long may pass on the clock: disks and networks are slow, and machines busy
STARTED, FAILED = b"S", b"F"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HDF5_PLUGIN_PRELOAD": "::",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve more than they need
}
_CHILD = "import sys; sys.path[:0] = sys.argv[3:]; from {} import main; main()"


def can_isolate() -> bool:
    """Tell whether there is a Python to start; a program frozen into one file has none."""
    return not getattr(sys, "frozen", False)


def start(module: str, first: str, second: str, stdin: Any) -> subprocess.Popen:
    """Run ``main()`` of a module in a process of its own; two texts are its arguments."""
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _CHILD.format(module), first, second, *_import_paths()],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | ENVIRONMENT,
    )


def _import_paths() -> list[str]:
    """Return where the modules that the reader needs were found; never the working directory as such."""
    return list(dict.fromkeys(str(Path(str(m.__file__)).absolute().parents[1]) for m in (caescope, h5py, np)))


def seconds_for(size: int) -> int:
    """Return how much processor time reading ``size`` bytes may take."""
    return SECONDS + ceil(size / BYTES_PER_SECOND)


@contextmanager
def killed_after(process: subprocess.Popen, seconds: float) -> Iterator[None]:
    """End the process if what happens inside takes longer."""
    timer = Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def reading(module: str, first: str, second: str, stdin: Any, size: int) -> Iterator[subprocess.Popen]:
    """Run ``main()`` of a module for as long as what happens inside, and reading ``size`` bytes, may take."""
    with start(module, first, second, stdin) as process:
        try:
            with killed_after(process, PATIENCE * seconds_for(size)):
                demand_started(process)
                yield process
        finally:
            process.kill()


def demand_started(process: subprocess.Popen) -> None:
    """Raise ModelError where no Python could be started, which is no fault of a file."""
    assert process.stdout is not None
    if process.stdout.read(1) != STARTED:
        raise ModelError(
            "Reading files of others must be able to start a Python process that imports caescope",
            f"exit status {process.wait()} of {sys.executable}",
            "Check sys.executable and the installation.",
        )


def receive_status(process: subprocess.Popen, path: str | os.PathLike, kind: str) -> bytes:
    """Return the byte that the reader's next part begins with, or raise the error that came instead."""
    assert process.stdout is not None
    status = process.stdout.read(1)
    if status == FAILED:
        raise error_from_bytes(process.stdout.read())
    if not status:
        raise stopped(process, path, kind)
    return status


def answer_with(send: Callable[[IO[bytes]], None]) -> NoReturn:
    """Let this process, once it is limited, answer by what ``send`` writes, and end."""
    answer = sys.stdout.buffer
    answer.write(STARTED)
    answer.flush()
    try:
        send(answer)
    except InputError as error:
        answer.write(FAILED + error_as_bytes(error))
    answer.flush()
    os._exit(0)  # closing a damaged file can crash, too


def stopped(process: subprocess.Popen, path: str | os.PathLike, kind: str) -> FileFormatError:
    """Return the error for a file at which its reader ended without an answer."""
    status = process.wait()
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    return FileFormatError(
        f"{path} must be readable as {kind}",
        f"something at which the reader stopped ({how})",
        "The file is damaged or made to do harm: fetch or write it again.",
    )


def bytes_of(array: np.ndarray) -> memoryview:
    """Return the memory of an array in C order."""
    return array.reshape(-1).view(np.uint8).data


def error_as_bytes(error: InputError) -> bytes:
    """Return what `error_from_bytes` makes the same error of."""
    return json.dumps([type(error).__name__, *error.args]).encode()


def error_from_bytes(message: bytes) -> InputError:
    """Return the error that the reader raised."""
    name, *parts = json.loads(message)
    return getattr(errors, name)(*parts)


def get_ready() -> None:
    """Let Python import what reading and failing need, as long as files can be opened."""
    with h5py.File(BytesIO(), "w") as file:
        file.attrs["names"] = [b"a"]
        _ = str(file.attrs["names"]), np.isfinite(file.create_dataset("x", data=[1.0])[()]).all()
    printable("\n")


def memory_now() -> int:
    """Return how many bytes of address space this process has taken, much of which it never uses."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):  # only Linux tells, and only Linux knows such a limit
        return MEMORY
    return pages * os.sysconf("SC_PAGE_SIZE")


def limit(memory: int, seconds: float, files: int = 3) -> None:
    """Take from this process what reading one file does not need; it may be called again to allow more.

    Parameters
    ----------
    memory : int, bytes
    seconds : float
        Of processor time, from now on.
    files : int
        How many may be open.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    most_seconds = ceil(time.process_time() + seconds)
    limits = {"AS": memory, "CPU": most_seconds, "NOFILE": files, "CORE": 0, "FSIZE": 0}
    for name, most in limits.items():
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        changes = name in ("CPU", "AS")  # for time also because the hard limit's signal is another
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, hard if changes else most))
        except (OSError, ValueError):  # macOS knows no limit of the address space
            continue
