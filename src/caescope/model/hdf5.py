"""Weights in HDF5, in the layouts that Keras writes. Nothing outside the file is ever followed or read.

Written is the layout that Keras calls legacy: the root attribute ``layer_names``, one group for each layer
with the attribute ``weight_names``, and the weights below it. Read are that one, the same inside the group
``model_weights`` (a whole model), and Keras 3's ``layers/<name>/vars/<i>``.
"""

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caescope.errors import ModelError
from caescope.files import decoding, existing_file

KERAS_VERSION = "2.13.1"  # the last whose own format this was; Keras reads but does not check it
MAX_NAMES = 10_000
MAX_CHUNK = 2**20  # bytes; what a writer may choose for small weights that could grow


def format_weights(layer_names: Sequence[str], arrays: Sequence[np.ndarray]) -> bytes:
    """Return an HDF5 file in the legacy layout, a kernel and a bias for each layer."""
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layer_names]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = KERAS_VERSION.encode()
        for name, kernel, bias in zip(layer_names, arrays[::2], arrays[1::2], strict=True):
            group = file.create_group(name)
            weights = {f"{name}/kernel:0": kernel, f"{name}/bias:0": bias}
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
    with decoding(existing_file(path), "an HDF5 file of weights"), h5py.File(path, "r") as file:
        datasets = _find(file, shapes)
        found = [getattr(dataset, "shape", ()) for dataset in datasets]
        if found != list(shapes):
            raise ModelError(
                f"{path} must hold weights of the shapes {_listing(shapes)}",
                _listing(found),
                "Encoder, decoder and params.yaml must come from the same model.",
            )
        return [_read(dataset, path) for dataset in datasets]


def _listing(shapes: Sequence[tuple[int, ...]]) -> str:
    text = ", ".join(map(str, shapes[:20]))
    return (text or "none") + (", …" if len(shapes) > 20 else "")


def _find(file: h5py.File, shapes: Sequence[tuple[int, ...]]) -> list[h5py.Dataset]:
    """Return the datasets of the weights in the order of the layers."""
    if "layer_names" in file.attrs or "layer_names0" in file.attrs:
        return list(_find_legacy(file))
    if "model_weights" in file:
        return list(_find_legacy(_child(file, "model_weights")))
    if "layers" in file:
        return list(_find_keras3(_child(file, "layers"), [len(shape) for shape in shapes[::2]]))
    raise ValueError("none of the layouts that Keras writes")


def _find_legacy(root: h5py.Group) -> Iterator[h5py.Dataset]:
    for layer in _names(root, "layer_names"):
        group = _walk(root, layer)
        for name in _names(group, "weight_names"):
            yield _walk(group, name)


def _find_keras3(root: h5py.Group, ranks: Sequence[int]) -> Iterator[h5py.Dataset]:
    """Yield what lies under ``layers``, in the order that the kernels' numbers of axes ask for.

    Keras 3 names layers by class and number and HDF5 lists them by alphabet, so the order between a dense
    layer and the convolutions is not in the file; among layers of a kind in one model the numbers tell it.
    """
    layers: dict[int, list[Any]] = {}
    places: dict[int, str] = {}
    for place, variables in _find_variables(root, set()):
        rank = len(_child(variables, "0").shape)
        layers.setdefault(rank, []).append(variables)
        if places.setdefault(rank, place) != place:
            raise ValueError(f"layers at {places[rank]} and {place}, whose order the file does not keep")
    leftover = [rank for rank, groups in layers.items() for _ in groups[ranks.count(rank) :]]
    for rank in [*ranks, *leftover]:
        for group in layers.get(rank, [])[:1]:
            del layers[rank][0]
            yield from (_child(group, name) for name in sorted(map(str, group), key=int))


def _find_variables(root: h5py.Group, seen: set[h5py.Group]) -> Iterator[tuple[str, h5py.Group]]:
    """Yield the kind and the variables of each layer that has some; a model among them has its own layers."""
    if root in seen:
        raise ValueError("a group that comes twice")  # hard links can form circles
    seen.add(root)
    for name in sorted(root, key=_number):
        layer = _child(root, name)
        if "vars" in layer and len(_child(layer, "vars")):
            yield f"{root.name}/{name.removesuffix(f'_{_number(name)}')}", _child(layer, "vars")
        if "layers" in layer:
            yield from _find_variables(_child(layer, "layers"), seen)


def _number(name: str) -> int:
    """Return the number at the end of a layer's name; Keras gives the first of a kind none."""
    match = re.search(r"_(\d{1,9})$", name)
    return int(match[1]) if match else 0


def _child(group: Any, name: str) -> Any:
    """Return a member of a group that lies in the file itself; links are not followed, whatever they name."""
    if not isinstance(group, h5py.Group) or group.get(name, getlink=True) is None:
        raise ValueError(f"no {name}")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"a link at {name}, where weights must be in the file itself")
    return group[name]


def _walk(group: Any, path: str) -> Any:
    """Return what lies under a path such as ``conv2d/kernel:0``, one checked step after the other."""
    for part in path.split("/"):
        group = _child(group, part)
    return group


def _names(group, attribute: str) -> list[str]:
    """Return a list of names kept as an attribute, or in pieces where Keras found it too long for one."""
    pieces = [attribute] if attribute in group.attrs else _numbered(group, attribute)
    names: list[str] = []
    for piece in pieces:
        if prod(group.attrs.get_id(piece).shape) > MAX_NAMES:
            raise ValueError(f"more than {MAX_NAMES} names")
        names += [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[piece]]
    return names


def _numbered(group, attribute: str) -> list[str]:
    count = sum(bool(re.fullmatch(rf"{attribute}\d+", name)) for name in group.attrs)
    return [f"{attribute}{i}" for i in range(count)]


def _read(dataset: h5py.Dataset, path: Path) -> np.ndarray:
    """Read a dataset whose shape is known to be right, if its values are its own and are finite numbers."""
    if dataset.is_virtual or dataset.external:
        raise ValueError("values that lie in another file")
    if dataset.chunks and prod(dataset.chunks) * dataset.dtype.itemsize > max(dataset.nbytes, MAX_CHUNK):
        raise ValueError("chunks larger than the weights in them")  # HDF5 unpacks a whole chunk in memory
    if dataset.dtype.kind != "f":
        raise ValueError(f"weights of type {dataset.dtype}")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is refused
        values = dataset[()].astype(np.float32)
    if np.isfinite(values).all():
        return values
    raise ModelError(
        f"Weights in {path} must be finite", f"NaN or infinity in {dataset.name}", "Train the model again."
    )
