"""Images in an HDF5 file that stay there."""

import os
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import numpy as np

from caescope.data.arrays import IMAGE_KEYS, LABEL_KEYS
from caescope.data.mapped import MappedSource
from caescope.errors import FileFormatError
from caescope.files import decoding, existing_file, printable

MAGIC = b"\x89HDF\r\n\x1a\n"
KIND = "an HDF5 file of images"
MAX_BYTES_TOGETHER = 256 * 2**20
MAX_LABEL_BYTES = 1024
AGAIN = "Write it again with h5py: file.create_dataset('images', data=images)."


class Hdf5Stack:
    """The images of one dataset of an HDF5 file.

    HDF5 reads in one thread at a time. Each process opens the file for itself, when it first reads.

    Parameters
    ----------
    path : path-like
    key : str
        The dataset's name.

    Raises
    ------
    FileFormatError
        If the dataset is not of uint8 or floats, is not written whole, or lies in another file: links,
        external storage and virtual datasets are not followed.
    """

    def __init__(self, path: str | os.PathLike, key: str):
        self.path, self.key = existing_file(path), key
        with decoding(self.path, KIND), h5py.File(self.path, "r") as file:
            dataset = _plain_dataset(file, key, self.path)
            _demand_pixels(dataset, self.path)
            self.shape, self.dtype = dataset.shape, dataset.dtype
            self.together = min(dataset.chunks[0], len(dataset)) if dataset.chunks else 1
        self._lock, self._process, self._file = Lock(), None, None

    def __reduce__(self):
        return Hdf5Stack, (self.path, self.key)

    def read(self, rows: slice) -> np.ndarray:
        """Return the images from ``rows.start`` to ``rows.stop``."""
        with decoding(self.path, KIND):
            return self._dataset()[rows.start : rows.stop]

    def _dataset(self) -> Any:
        with self._lock:
            if self._process != os.getpid():  # a handle must not be shared by processes
                cache = 2 * self.together * self.dtype.itemsize * prod(self.shape[1:])
                self._file = h5py.File(self.path, "r", rdcc_nbytes=max(2**20, cache), rdcc_nslots=10_007)
                self._process = os.getpid()
            assert self._file is not None
            return self._file[self.key]


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
        As in `Hdf5Stack`, or if there is no such file or not exactly one dataset of images.
    """
    path = existing_file(path)
    with decoding(path, KIND), h5py.File(path, "r") as file:
        images, labels = (_one_of(file, keys, path) for keys in (IMAGE_KEYS, LABEL_KEYS))
        if images is None:
            raise FileFormatError(
                f"{path} must hold images under one of the keys {', '.join(IMAGE_KEYS)}",
                f"the keys {printable(', '.join(file)) or '(none)'}",
                AGAIN,
            )
    stack = Hdf5Stack(path, images)
    return MappedSource(stack, None if labels is None else _read_labels(path, labels, stack.shape[0]))


def _one_of(file: h5py.File, keys: tuple[str, ...], path: Path) -> str | None:
    found = [key for key in keys if key in file or file.get(key, getlink=True) is not None]
    if len(found) > 1:
        raise FileFormatError(
            f"{path} must hold one of {', '.join(keys)}", " and ".join(found), "Remove all but one."
        )
    return found[0] if found else None


def _plain_dataset(file: h5py.File, key: str, path: Path) -> h5py.Dataset:
    """Return a dataset whose values lie in this very file."""
    is_link = not isinstance(file.get(key, getlink=True), h5py.HardLink)
    dataset = None if is_link else file[key]
    if is_link or not isinstance(dataset, h5py.Dataset):
        received = "a link" if is_link else "a group"
    elif dataset.is_virtual or dataset.external:
        received = "a virtual dataset" if dataset.is_virtual else "external storage"
    elif not dataset.shape or 0 in dataset.shape:
        received = "an empty dataset"
    elif not _is_whole(dataset, path.stat().st_size):
        received = "values that were never written"
    else:
        return dataset
    raise FileFormatError(f"{path} must hold all values of {key} itself", received, AGAIN)


def _is_whole(dataset: h5py.Dataset, file_size: int) -> bool:
    """Tell whether all was written; HDF5 would give zeros for what was not."""
    if dataset.chunks is None:  # texts take more than their itemsize
        return prod(dataset.shape) * dataset.dtype.itemsize <= dataset.id.get_storage_size() <= file_size
    expected = prod(-(-side // chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    return dataset.id.get_num_chunks() == expected


def _demand_pixels(dataset: h5py.Dataset, path: Path) -> None:
    if dataset.dtype != np.uint8 and dataset.dtype.kind != "f":
        raise FileFormatError(
            f"{path} must hold images of uint8, or of floats in [0, 1]",
            f"{printable(str(dataset.dtype))}",
            AGAIN,
        )
    together = prod(dataset.shape[1:]) * dataset.dtype.itemsize * (dataset.chunks[0] if dataset.chunks else 1)
    if dataset.chunks and together > MAX_BYTES_TOGETHER:
        raise FileFormatError(
            f"{path} must store at most {MAX_BYTES_TOGETHER // 2**20} MiB of images together",
            f"{together // 2**20} MiB in chunks of {dataset.chunks[0]} images",
            "Write it again with smaller chunks, for example of one image.",
        )


def _read_labels(path: Path, key: str, n_images: int) -> np.ndarray:
    """Return n values, whatever axes of length 1 they have beside."""
    with decoding(path, KIND), h5py.File(path, "r") as file:
        dataset = _plain_dataset(file, key, path)
        is_text = h5py.check_string_dtype(dataset.dtype) is not None
        if (not is_text and dataset.dtype.kind not in "biuf") or dataset.dtype.itemsize > MAX_LABEL_BYTES:
            raise FileFormatError(
                f"{path} must hold {key} of numbers or short strings", printable(str(dataset.dtype)), AGAIN
            )
        if dataset.shape[0] != n_images or prod(dataset.shape) != n_images:
            raise FileFormatError(
                f"{path} must hold one value of {key} for each of its {n_images} images",
                f"an array of shape {dataset.shape}",
                AGAIN,
            )
        values = dataset.asstr()[...] if is_text else dataset[...]
        return np.asarray(values).reshape(n_images)
