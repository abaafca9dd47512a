"""IDX, the file format in which MNIST is published."""

import os
from math import prod

import numpy as np

from caescope.errors import FileFormatError
from caescope.files import read_buffer, read_head

MAX_BYTES = 2**30
MAX_AXES = 32

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an IDX file, gzipped or plain.

    Parameters
    ----------
    path : path-like
        Whether it is gzipped is seen in its first bytes, not in its name. At most 1 GiB of content.

    Returns
    -------
    numpy.ndarray
        Of the shape and type that the file states, in the machine's byte order.

    Raises
    ------
    FileFormatError
        If there is no such file, or its header does not describe exactly the bytes that follow.

    References
    ----------
    LeCun, Cortes and Burges, The MNIST database of handwritten digits, section "The IDX file format".
    """
    head = read_head(path, 4 + 4 * MAX_AXES)
    announced = sum(_announced(head)) if is_idx(head) else 0
    return parse_idx(read_buffer(path, MAX_BYTES, announced), str(path))


def parse_idx(content: bytes | memoryview, name: str = "The content") -> np.ndarray:
    """Return the array in the bytes of an IDX file.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([7, 8, 9], dtype=uint8)
    """
    if not is_idx(content):
        raise FileFormatError(
            f"{name} must start with the IDX magic number, 0 0 type axes",
            " ".join(str(byte) for byte in content[:4]) or "an empty file",
            f"Types are {', '.join(str(code) for code in DTYPES)}, and axes are 1 to {MAX_AXES}.",
        )
    dtype, shape = np.dtype(DTYPES[content[2]]), _shape(content)
    start, expected = _announced(content)
    if expected == 0 or len(content) - start != expected:
        raise FileFormatError(
            f"{name} must hold exactly the values that its header announces, at least one",
            f"{max(len(content) - start, 0)} bytes for shape {shape} of {dtype.name}",
            "The file is cut off or was changed: fetch it again.",
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=not values.flags.writeable)


def _shape(content: bytes | memoryview) -> tuple[int, ...]:
    start = 4 + 4 * content[3]
    return tuple(np.frombuffer(content[4:start], ">u4").tolist()) if len(content) >= start else (0,)


def _announced(content: bytes | memoryview) -> tuple[int, int]:
    """Return how many bytes the header takes and how many must follow."""
    return 4 + 4 * content[3], prod(_shape(content)) * np.dtype(DTYPES[content[2]]).itemsize


def is_idx(head: bytes | memoryview) -> bool:
    """Whether a file that starts with these bytes, four at least, is an IDX file."""
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in DTYPES and 1 <= head[3] <= MAX_AXES
