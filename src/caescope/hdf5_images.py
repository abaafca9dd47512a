"""Images and labels of an HDF5 file, found and read in a process of its own (see `caescope.isolation`).

`caescope.data.hdf5` starts it. Its arguments are the file's name and, in JSON, the keys of images and labels.
After STARTED it answers with a description, then to each line of JSON at its standard input: to
``"labels"`` with those, to ``[start, stop]`` with images. An answer is ANSWERED, a length in eight bytes and
so much JSON; then come the values, whose number the other side knows. After FAILED there are no more.
"""

import json
import os
import sys
from collections.abc import Sequence
from math import prod
from typing import IO, Any

import h5py
import numpy as np
from h5py import h5l  # pyright: ignore[reportAttributeAccessIssue]

from caescope import isolation
from caescope.errors import FileFormatError
from caescope.files import decoding, printable
from caescope.isolation import MEMORY, SECONDS, bytes_of, seconds_for

KIND = "an HDF5 file of images"
AGAIN = "Write it again with h5py: file.create_dataset('images', data=images)."
ANSWERED = b"A"
MAX_BYTES_TOGETHER = 256 * 2**20
MAX_LABEL_BYTES = 1024
MOST_UNPACKED = 1032  # times as many bytes: what deflate can win
FILES = 4  # the standard three, and this one


class FoundImages:
    """The images of an open file, and the labels, if any; every reading is checked beforehand.

    Parameters
    ----------
    file : h5py.File
    keys : (list of str, list of str)
        Of which images must have one, and labels may.
    path : str
        What messages call the file.

    Raises
    ------
    FileFormatError
        If there are not exactly one dataset of images and at most one of labels, all of them in this file.
    """

    def __init__(self, file: h5py.File, keys: Sequence[Sequence[str]], path: str):
        self.path, self.size = path, os.path.getsize(path)
        image_key, label_key = (_one_of(file, names, path) for names in keys)
        if image_key is None:
            raise FileFormatError(
                f"{path} must hold images under one of the keys {', '.join(keys[0])}",
                f"the keys {printable(', '.join(file)) or '(none)'}",
                AGAIN,
            )
        self.images = self._plain_dataset(file, image_key)
        self.labels = None if label_key is None else self._plain_dataset(file, label_key)
        self.label_key = label_key
        self._demand_pixels()
        self.together = min(self.images.chunks[0], len(self.images)) if self.images.chunks else 1
        self.row_bytes = self.images.dtype.itemsize * prod(self.images.shape[1:])
        self._keep_chunks()

    def describe(self) -> dict[str, Any]:
        """Return what the other side must know to ask for images."""
        images = self.images
        facts = {"shape": images.shape, "dtype": images.dtype.str, "together": self.together}
        return facts | {"labels": self.label_key}

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the images from ``start`` to ``stop`` in C order."""
        return np.ascontiguousarray(self.images[start:stop])

    def read_labels(self) -> np.ndarray:
        """Return n values, whatever axes of length 1 they have beside."""
        dataset, key, n_images = self.labels, self.label_key, len(self.images)
        assert dataset is not None
        is_text = h5py.check_string_dtype(dataset.dtype) is not None
        if (not is_text and dataset.dtype.kind not in "biuf") or dataset.dtype.itemsize > MAX_LABEL_BYTES:
            raise self._refusal_of_labels(printable(str(dataset.dtype)))
        if dataset.shape[0] != n_images or prod(dataset.shape) != n_images:
            raise FileFormatError(
                f"{self.path} must hold one value of {key} for each of its {n_images} images",
                f"an array of shape {dataset.shape}",
                AGAIN,
            )
        values = np.asarray(dataset.asstr()[...] if is_text else dataset[...]).reshape(n_images)
        if is_text and max(map(len, values.tolist())) > MAX_LABEL_BYTES:
            raise self._refusal_of_labels("longer ones")
        return values

    def _refusal_of_labels(self, received: str) -> FileFormatError:
        return FileFormatError(
            f"{self.path} must hold {self.label_key} of numbers or short strings", received, AGAIN
        )

    def _plain_dataset(self, file: h5py.File, key: str) -> h5py.Dataset:
        """Return a dataset whose values lie in this very file."""
        is_link = file.id.links.get_info(key.encode()).type != h5l.TYPE_HARD
        dataset = None if is_link else file[key]
        if is_link or not isinstance(dataset, h5py.Dataset):
            received = "a link" if is_link else "a group"
        elif dataset.is_virtual or dataset.external:
            received = "a virtual dataset" if dataset.is_virtual else "external storage"
        elif not dataset.shape or 0 in dataset.shape:
            received = "an empty dataset"
        elif not self._is_whole(dataset):
            received = "values that were never written"
        elif dataset.nbytes > MOST_UNPACKED * self.size:
            received = f"{dataset.nbytes:,} bytes of values in a file of {self.size:,}"
        else:
            return dataset
        raise FileFormatError(f"{self.path} must hold all values of {key} itself", received, AGAIN)

    def _is_whole(self, dataset: h5py.Dataset) -> bool:
        """Tell whether all was written; HDF5 would give zeros for what was not."""
        if dataset.chunks is None:  # texts take more than their itemsize
            least = prod(dataset.shape) * dataset.dtype.itemsize
            return least <= dataset.id.get_storage_size() <= self.size
        sides = zip(dataset.shape, dataset.chunks, strict=True)
        return dataset.id.get_num_chunks() == prod(-(-side // chunk) for side, chunk in sides)

    def _demand_pixels(self) -> None:
        images = self.images
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise FileFormatError(
                f"{self.path} must hold images of uint8, or of floats in [0, 1]",
                f"{printable(str(images.dtype))}",
                AGAIN,
            )
        row_bytes = prod(images.shape[1:]) * images.dtype.itemsize
        chunk = prod(images.chunks or ()) * images.dtype.itemsize
        together = max(chunk, row_bytes * images.chunks[0]) if images.chunks else 0
        if images.chunks and together > MAX_BYTES_TOGETHER:
            raise FileFormatError(
                f"{self.path} must store at most {MAX_BYTES_TOGETHER // 2**20} MiB of images together",
                f"{together // 2**20} MiB in chunks of {images.chunks[0]} images",
                "Write it again with smaller chunks, for example of one image.",
            )

    def _keep_chunks(self) -> None:
        """Open the images again so that HDF5 remembers the chunks that it has just unpacked."""
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_chunk_cache(10_007, max(2**20, 2 * self.together * self.row_bytes), 0.75)
        opened = h5py.h5d.open(self.images.file.id, str(self.images.name).encode(), access)
        self.images = h5py.Dataset(opened, readonly=True)


def _one_of(file: h5py.File, keys: Sequence[str], path: str) -> str | None:
    found = [key for key in keys if file.id.links.exists(key.encode())]  # follows no link
    if len(found) > 1:
        raise FileFormatError(
            f"{path} must hold one of {', '.join(keys)}", " and ".join(found), "Remove all but one."
        )
    return found[0] if found else None


def main() -> None:
    """Describe the file that the arguments name, then answer requests until there are no more."""
    path, keys = sys.argv[1], json.loads(sys.argv[2])
    isolation.get_ready()
    isolation.limit(MEMORY, SECONDS, FILES)
    isolation.answer_with(lambda answer: _answer_all(path, keys, answer))


def _answer_all(path: str, keys: Sequence[Sequence[str]], answer: IO[bytes]) -> None:
    with decoding(path, KIND):
        found = FoundImages(h5py.File(path, "r"), keys, path)
        _send(answer, json.dumps(found.describe()).encode())
        for line in sys.stdin.buffer:
            _serve(found, json.loads(line), answer)


def _serve(found: FoundImages, request: Any, answer: IO[bytes]) -> None:
    """Answer one request within bounds of time and memory that grow with what is asked for."""
    if request == "labels":
        isolation.limit(MEMORY + 4 * found.size, seconds_for(found.size), FILES)
        values = found.read_labels()
        texts = values.tolist() if values.dtype.kind == "O" else None
        _send(answer, json.dumps([texts, values.dtype.str]).encode())
    else:
        start, stop = request
        unpacked = (stop - start + 2 * found.together) * found.row_bytes
        isolation.limit(MEMORY + 4 * unpacked, seconds_for(unpacked), FILES)
        values, texts = found.read(start, stop), None
        _send(answer, b"")
    if texts is None:
        answer.write(bytes_of(np.ascontiguousarray(values)))
    answer.flush()


def _send(answer: IO[bytes], message: bytes) -> None:
    answer.write(ANSWERED + len(message).to_bytes(8, "little") + message)
    answer.flush()
