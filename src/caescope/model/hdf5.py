"""Weights in HDF5, in the layouts that Keras writes. Nothing outside the file is ever followed or read.

Written is the layout that Keras calls legacy: the root attribute ``layer_names``, one group for each layer
with the attribute ``weight_names``, and the weights below it. Read are that one, the same inside the group
``model_weights`` (a whole model), and Keras 3's ``layers/<name>/vars/<i>``.
"""

from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from caescope.model.isolation import WRITER, read_isolated
from caescope.model.members import open_member

KERAS_VERSION = "2.13.1"  # the last whose own format this was; Keras reads but does not check it


def format_weights(layer_names: Sequence[str], arrays: Sequence[np.ndarray]) -> bytes:
    """Return an HDF5 file in the legacy layout: a kernel and bias for each layer, or a scale and offset."""
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layer_names]
        file.attrs[WRITER] = b"caescope"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = KERAS_VERSION.encode()
        for name, kernel, bias in zip(layer_names, arrays[::2], arrays[1::2], strict=True):
            group = file.create_group(name)
            names = ("gamma", "beta") if kernel.ndim == 1 else ("kernel", "bias")  # as Keras calls them
            weights = {f"{name}/{part}:0": array for part, array in zip(names, (kernel, bias), strict=True)}
            group.attrs["weight_names"] = [key.encode() for key in weights]
            for key, array in weights.items():
                group.create_dataset(key, data=array.astype(np.float32))
    return buffer.getvalue()


def read_weights(path: Path, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Read the weights of a network whose shapes are known.

    Parameters
    ----------
    path : path-like
        HDF5 in one of the three layouts, told apart by their content.
    shapes : sequence of tuple of int
        Kernel and bias of each layer, as `caescope.model.weights.weight_shapes` returns them.

    Returns
    -------
    list of numpy.ndarray, float32

    Raises
    ------
    FileFormatError
        If the file is missing or no HDF5.
    ModelError
        If it does not hold exactly those weights, finite and inside the file.
    """
    return read_weights_and_writer(path, shapes)[0]


def read_weights_and_writer(path: Path, shapes: Sequence[tuple[int, ...]]) -> tuple[list[np.ndarray], bool]:
    """Read weights as `read_weights` does, and tell whether caescope wrote the file."""
    with open_member(path) as stream:
        return read_isolated(stream, shapes, path)


def hash_weights(arrays: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 of the shapes and float32 values of weights, in hexadecimal digits."""
    digest = sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, "<f4").data)
    return digest.hexdigest()
