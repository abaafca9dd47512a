"""Data sets that are called by their name."""

import gzip
import hashlib
import os
import time
import urllib.request
from http.client import HTTPException
from io import BytesIO
from pathlib import Path

import numpy as np

from caescope.data.idx import parse_idx
from caescope.data.sources import ArraySource
from caescope.errors import FileFormatError
from caescope.files import decoding, read_bytes
from caescope.writing import write_atomically

MNIST_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://yann.lecun.com/exdb/mnist/",
)
# SHA-256 of the IDX content, since mirrors compress it differently.
MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MAX_BYTES = 64 * 2**20
TIMEOUT_SECONDS = 15
DEADLINE_SECONDS = 300

Pair = tuple[np.ndarray, np.ndarray]


def load_digits() -> ArraySource:
    """Return the 1,797 handwritten digits that come with scikit-learn.

    Returns
    -------
    ArraySource
        Images of shape (1797, 8, 8, 1), float32 in [0, 1]; labels 0 to 9.

    References
    ----------
    Alpaydin and Kaynak (1998), Optical recognition of handwritten digits, UCI machine learning repository.

    Examples
    --------
    >>> load_digits()
    ArraySource('digits', 1797 images of 8×8×1, float32, labelled)
    """
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    images = np.asarray(pixels, np.float32).reshape(-1, 8, 8) / 16
    return ArraySource(images, np.asarray(labels), name="digits")


def load_mnist(cache: str | os.PathLike | None = None, download: bool = True) -> tuple[Pair, Pair]:
    """Return MNIST's 70,000 handwritten digits, from the cache folder or else from one of several mirrors.

    Parameters
    ----------
    cache : path-like, optional
        Folder of the four IDX files, gzipped or plain; by default that of the environment variable
        ``CAESCOPE_CACHE``, else ``~/.cache/caescope/mnist``.
    download : bool
        Whether files that are not in the cache may be fetched, and then kept there.

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X, shape (60000, 28, 28, 1) and (10000, 28, 28, 1), uint8; y, shape (60000,) and (10000,), int64.

    Raises
    ------
    FileFormatError
        If a file is not in the cache and cannot be fetched, or is not MNIST's by its checksum.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition.
    """
    folder = default_cache() if cache is None else Path(cache)
    x_train, y_train, x_test, y_test = (_cached(folder, name, download) for name in MNIST_FILES)
    return (x_train[..., None], y_train.astype(np.int64)), (x_test[..., None], y_test.astype(np.int64))


def default_cache() -> Path:
    """Return the folder in which `load_mnist` looks when none is given."""
    if folder := os.environ.get("CAESCOPE_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caescope" / "mnist"


def _cached(folder: Path, name: str, download: bool) -> np.ndarray:
    """Return one IDX file as an array, fetched first where the folder lacks it."""
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            content = read_bytes(path, MAX_BYTES)
            _demand_checksum(content, name, str(path))
            return parse_idx(content, str(path))
    return parse_idx(_fetch(folder, name, MNIST_MIRRORS if download else ()), name)


def _demand_checksum(content: bytes, name: str, origin: str) -> None:
    if (found := hashlib.sha256(content).hexdigest()) != MNIST_FILES[name]:
        raise FileFormatError(
            f"{origin} must be MNIST's {name}, with SHA-256 {MNIST_FILES[name][:12]}…",
            f"{len(content)} bytes with SHA-256 {found[:12]}…",
            "Delete it, and it will be fetched again.",
        )


def _fetch(folder: Path, name: str, mirrors: tuple[str, ...]) -> bytes:
    """Return the content of one IDX file from the first mirror that has it, and keep it in the folder."""
    failures = []
    for mirror in mirrors:
        url = f"{mirror}{name}.gz"
        try:
            packed = _download(url)
            content = _unpack(packed, url)
            _demand_checksum(content, name, url)
        except (OSError, ValueError, HTTPException) as error:
            failures.append(f"{mirror} ({error.received if isinstance(error, FileFormatError) else error})")
            continue
        write_atomically(folder / f"{name}.gz", packed)
        return content
    reasons = "no answer from " + ", ".join(failures) if mirrors else "download=False"
    raise FileFormatError(
        f"MNIST's four files must be in {folder} or be fetched from a mirror",
        f"no {name}.gz there and {reasons}",
        f"Put {', '.join(f'{file}.gz' for file in MNIST_FILES)} there, or their folder into CAESCOPE_CACHE.",
    )


def _download(url: str) -> bytes:
    """Read a URL whole, within bounds of size and time."""
    content, deadline = BytesIO(), time.monotonic() + DEADLINE_SECONDS
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        while chunk := response.read1(1 << 16):
            content.write(chunk)
            if content.tell() > MAX_BYTES or time.monotonic() > deadline:
                raise OSError("more bytes or minutes than MNIST can need")
    return content.getvalue()


def _unpack(packed: bytes, url: str) -> bytes:
    with decoding(url, "a gzip file"), gzip.GzipFile(fileobj=BytesIO(packed)) as file:
        return file.read(MAX_BYTES)
