"""NumPy's own files: NPY with one array, NPZ with several under names."""

import os
import warnings
import zipfile
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from caescope.data.sources import Part
from caescope.errors import FileFormatError
from caescope.files import CHUNK, MOST_UNPACKED, decoding, demand_whole, existing_file, printable

MAX_NPZ_BYTES = 16 * 2**30

IMAGE_KEYS = ("x", "X", "images")
LABEL_KEYS = ("y", "labels")
SUFFIXES = {"": None, "_train": "train", "_validation": "validation", "_val": "validation", "_test": "test"}
UNDERSTOOD = (
    f"{', '.join(IMAGE_KEYS)} for images and {', '.join(LABEL_KEYS)} for labels, "
    f"each with or without {', '.join(filter(None, SUFFIXES))}"
)


def load_npy(path: str | os.PathLike) -> np.ndarray:
    """Read an NPY file; pickled objects in it are refused, never run.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    numpy.ndarray
        Of numbers, booleans or strings.

    Raises
    ------
    FileFormatError
        If there is no such file, or its header does not describe exactly the bytes that follow.
    """
    path = existing_file(path)
    demand_whole(path)
    with decoding(path, "an NPY file"), path.open("rb") as file:
        return _read_npy(file, path.stat().st_size)


class NpyHeader(NamedTuple):
    """What an NPY file says of itself, and where its values start, in bytes."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    offset: int


def read_npy_header(path: str | os.PathLike) -> NpyHeader:
    """Return an NPY file's header, once it describes exactly the bytes that follow.

    Raises
    ------
    FileFormatError
        As in `load_npy`.
    """
    path = existing_file(path)
    demand_whole(path)
    with decoding(path, "an NPY file"), path.open("rb") as file:
        return _read_header(file, path.stat().st_size)


def load_npz(path: str | os.PathLike) -> list[Part]:
    """Read images and labels from an NPZ file such as Keras's ``mnist.npz``.

    Parameters
    ----------
    path : path-like
        With the keys ``x_train, y_train, x_test, y_test``, or ``images, labels``, or ``X, y``; the suffixes
        ``_train``, ``_validation`` (or ``_val``) and ``_test`` name the split.

    Returns
    -------
    list of Part
        One for each split, or a single one without.

    Raises
    ------
    FileFormatError
        If it is no such file, or a key is not among those; the message lists both.
    """
    path = existing_file(path)
    with decoding(path, "an NPZ file"), zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        slots = _parse_keys(path, list(members))
        most = min(MAX_NPZ_BYTES, max(2**30, MOST_UNPACKED * path.stat().st_size))
        if (total := sum(member.file_size for member in members.values())) > most:
            raise ValueError(f"{total / 2**30:.1f} GiB when unpacked, more than {most / 2**30:.1f}")
        arrays = {slot: _read_member(archive, members[key]) for slot, key in slots.items()}
    splits = [split for split, kind in slots if kind == "images"]
    return [Part(split, arrays[split, "images"], arrays.get((split, "labels"))) for split in splits]


def _parse_keys(path: Path, keys: list[str]) -> dict[tuple[str | None, str], str]:
    """Map (split, "images" or "labels") to the key in the file."""
    known = {
        name + suffix: (split, kind)
        for kind, names in (("images", IMAGE_KEYS), ("labels", LABEL_KEYS))
        for name in names
        for suffix, split in SUFFIXES.items()
    }
    slots = {known[key]: key for key in keys if key in known}
    splits = {split for split, kind in slots if kind == "images"}
    complete = len(slots) == len(keys) and splits == {split for split, _ in slots}
    if not slots or not complete or (None in splits and len(splits) > 1):
        raise FileFormatError(
            f"{path} must hold images, and labels if any, under the keys {UNDERSTOOD}",
            f"the keys {printable(', '.join(keys)) or '(none)'}",
            "Save it again with numpy.savez(file, images=..., labels=...).",
        )
    return slots


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        return _read_npy(stream, member.file_size)


def _read_npy(stream: IO[bytes], size: int) -> np.ndarray:
    """Read an array from a stream of ``size`` bytes, allocating no more than those."""
    header = _read_header(stream, size)
    values = np.empty(prod(header.shape), header.dtype)
    content = values.view(np.uint8) if values.nbytes else np.empty(0, np.uint8)
    for start in range(0, len(content), CHUNK):  # a member of an archive would make a copy of the whole
        part = content[start : start + CHUNK]
        if stream.readinto(part) != len(part):  # pyright: ignore[reportAttributeAccessIssue]
            raise EOFError("fewer bytes than announced")
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


def _read_header(stream: IO[bytes], size: int) -> NpyHeader:
    """Read a header that fits a stream of ``size`` bytes."""
    version = npy_format.read_magic(stream)
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"NPY version {version}")
    # A header written by Python 2 is valid and not worth a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape, fortran_order, dtype = readers[version](stream)
    header = NpyHeader(shape, fortran_order, dtype, stream.tell())
    if dtype.kind not in "biufUS":
        raise ValueError(f"dtype {dtype} where numbers or strings are expected")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != size - header.offset:
        raise ValueError(f"{size - header.offset} bytes for shape {shape} of {dtype}")
    np.broadcast_to(np.zeros((), dtype), shape)  # fails where NumPy cannot have such an array
    return header
