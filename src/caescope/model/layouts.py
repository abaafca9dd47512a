"""The layouts of weights that Keras writes to HDF5, found in an open file and read from it.

This runs in a process of its own (see `caescope.isolation`): HDF5's library crashes, hangs or asks for
gigabytes on some damaged files. Whatever can be demanded beforehand is demanded before a value is read.
"""

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import h5py
import numpy as np

from caescope.errors import ModelError

MAX_NAMES = 10_000
MAX_NAME_BYTES = 2**20
MAX_VARIABLES = 100  # of a layer; a kernel and a bias are 2
FLOATS = (2, 4, 8)  # bytes of float16, float32 and float64


def find_weights(
    file: h5py.File, size: int, shapes: Sequence[tuple[int, ...]], path: str
) -> list[h5py.Dataset]:
    """Return the datasets of the weights in the order of the layers, if reading them is safe.

    Parameters
    ----------
    file : h5py.File
    size : int
        The file's length in bytes.
    shapes : sequence of tuple of int
        Kernel and bias of each layer, or scale and offset.
    path : str
        What messages call the file.
    """
    datasets = _find(file, shapes)
    found = [getattr(dataset, "shape", ()) for dataset in datasets]
    if found != list(shapes):
        raise ModelError(
            f"{path} must hold weights of the shapes {_listing(shapes)}",
            _listing(found),
            "Encoder, decoder and params.yaml must come from the same model.",
        )
    for dataset in datasets:
        _demand_plain(dataset)
    if sum(dataset.nbytes for dataset in datasets) > size:
        raise ValueError("more weights than the file has bytes")
    return datasets


def read_values(dataset: h5py.Dataset, path: str) -> np.ndarray:
    """Return a weight as little-endian float32, if all of it is finite."""
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is refused
        values = dataset[()].astype("<f4", order="C", copy=False)
    if np.isfinite(values).all():
        return values
    raise ModelError(
        f"Weights in {path} must be finite", f"NaN or infinity in {dataset.name}", "Train the model again."
    )


def _demand_plain(dataset: h5py.Dataset) -> None:
    """Refuse values that are not floats in one piece of this very file, all of them written."""
    if dataset.is_virtual or dataset.external:
        raise ValueError("values that lie in another file")
    if dataset.chunks:  # a few bytes of compressed chunks can unpack to gigabytes
        raise ValueError("weights in chunks, where Keras writes them in one piece and not compressed")
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in FLOATS:
        raise ValueError(f"weights of type {dataset.dtype}")
    if dataset.id.get_storage_size() != dataset.nbytes:
        raise ValueError("weights that were never written")


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
    layer, the convolutions and the normalisations, whose scales have one axis, is not in the file; among
    layers of a kind in one model the numbers tell it.
    """
    layers: dict[int, list[Any]] = {}
    places: dict[int, str] = {}
    for place, variables in _find_variables(root, set()):
        rank = len(getattr(_child(variables, "0"), "shape", ()))
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
    if len(root) > MAX_NAMES:
        raise ValueError(f"more than {MAX_NAMES} layers")
    for name in sorted(root, key=_number):
        layer = _child(root, name)
        if not isinstance(layer, h5py.Group):
            raise ValueError(f"no layer at {name}")
        if "vars" in layer and _count(_child(layer, "vars")):
            yield f"{root.name}/{name.removesuffix(f'_{_number(name)}')}", _child(layer, "vars")
        if "layers" in layer:
            yield from _find_variables(_child(layer, "layers"), seen)


def _count(variables: Any) -> int:
    if len(variables) > MAX_VARIABLES:
        raise ValueError(f"more than {MAX_VARIABLES} variables in a layer")
    return len(variables)


def _number(name: str) -> int:
    """Return the number at the end of a layer's name; Keras gives the first of a kind none."""
    match = re.search(r"_(\d{1,9})$", name)
    return int(match[1]) if match else 0


def _child(group: Any, name: str) -> Any:
    """Return a member of a group that lies in the file itself; links are not followed, whatever they name."""
    unnamed = not name or "\0" in name  # at which HDF5 would end the name
    if unnamed or not isinstance(group, h5py.Group) or group.get(name, getlink=True) is None:
        raise ValueError(f"no {name or 'name'}")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"a link at {name}, where weights must be in the file itself")
    return group[name]


def _walk(group: Any, path: str) -> Any:
    """Return what lies under a path such as ``conv2d/kernel:0``, one checked step after the other."""
    for part in path.split("/"):
        group = _child(group, part)
    return group


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names kept as an attribute, or in pieces where Keras found it too long for one."""
    names: list[str] = []
    for piece in [attribute] if attribute in group.attrs else _numbered(group, attribute):
        if _demand_texts(group.attrs.get_id(piece), len(names)):
            names += [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[piece]]
    return names


def _numbered(group: Any, attribute: str) -> Iterator[str]:
    for i in range(MAX_NAMES):
        if f"{attribute}{i}" not in group.attrs:
            return
        yield f"{attribute}{i}"


def _demand_texts(attribute: Any, names_before: int) -> int:
    """Return the length of an attribute that is a list of texts, and one that stays small in memory."""
    count = prod(attribute.shape or ())
    if 0 in (attribute.shape or ()):  # which Keras writes as floats
        return 0
    if attribute.get_type().get_class() != h5py.h5t.STRING or len(attribute.shape or ()) != 1:
        raise ValueError(f"names of type {attribute.dtype}, where a list of texts must be")
    if count + names_before > MAX_NAMES:
        raise ValueError(f"more than {MAX_NAMES} names")
    if count * attribute.dtype.itemsize > MAX_NAME_BYTES:
        raise ValueError(f"more than {MAX_NAME_BYTES} bytes of names")
    return count
