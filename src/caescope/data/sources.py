"""Where images come from, as one small value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from caescope.errors import DataError
from caescope.images import parse_images

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False, repr=False)
class ArraySource:
    """Images in memory and what is known about each of them.

    Parameters
    ----------
    images : array_like, shape (n, height, width[, channels])
        uint8, or floats in [0, 1]; see `caescope.images.parse_images`.
    labels : array_like, shape (n,), optional
        What somebody knows about each image: strings, integers, floats or booleans.
    ids : array_like of str, shape (n,), optional
        A name for each image, unique; by default its number.
    split : array_like of str, shape (n,), optional
        "train", "validation" or "test", where the data bring a split of their own.
    name : str
        What messages and reports call it.

    Raises
    ------
    DataError
        If images, labels, ids and split do not fit one another.

    Examples
    --------
    >>> source = ArraySource(np.zeros((5, 28, 28)), labels=[1, 0, 1, 1, 0], name="zeros")
    >>> source
    ArraySource('zeros', 5 images of 28×28×1, float32, labelled)
    >>> len(source), source.shape, source.read([0, 3]).shape
    (5, (28, 28, 1), (2, 28, 28, 1))
    """

    images: np.ndarray
    labels: Any = None
    ids: Any = None
    split: Any = None
    name: str = "array"

    def __post_init__(self):
        images = parse_images(self.images, "images" if self.name == "array" else f"images of {self.name}")
        ids = (
            np.arange(len(images)).astype(str)
            if self.ids is None
            else _parse_names(self.ids, len(images), "ids")
        )
        parsed = {
            "images": images,
            "labels": None if self.labels is None else parse_labels(self.labels, len(images)),
            "ids": _unique(ids),
            "split": None if self.split is None else _parse_split(self.split, len(images)),
        }
        for field, value in parsed.items():
            object.__setattr__(self, field, value)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.shape))
        extras = [
            word for word, value in (("labelled", self.labels), ("split", self.split)) if value is not None
        ]
        facts = [f"{len(self)} images of {size}", str(self.images.dtype), *extras]
        return f"ArraySource({self.name!r}, {', '.join(facts)})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return self.images.shape[1:]

    def read(self, indices) -> np.ndarray:
        """Return the images at ``indices`` (integers, a slice or a mask), channels last."""
        return self.images[indices]


class Part(NamedTuple):
    """Images, and labels if any, of one split, before they are checked."""

    split: str | None
    images: np.ndarray
    labels: np.ndarray | None


def source_from_parts(parts: Sequence[Part], name: str) -> ArraySource:
    """Join the parts of a data set into one source; a single part has no split.

    Raises
    ------
    DataError
        If the parts differ in image size or type, or only some have labels.
    """
    if len(parts) == 1:
        return ArraySource(parts[0].images, parts[0].labels, name=name)
    sources = [ArraySource(part.images, part.labels, name=f"{name} ({part.split})") for part in parts]
    _demand_alike("images of one size and type", [f"{s.shape} {s.images.dtype}" for s in sources], name)
    _demand_alike(
        "labels in all or none", ["labels" if s.labels is not None else "none" for s in sources], name
    )
    labels = None if sources[0].labels is None else np.concatenate([s.labels for s in sources])
    ids = [f"{part.split}/{i}" for part, s in zip(parts, sources, strict=True) for i in range(len(s))]
    split = np.repeat([str(part.split) for part in parts], [len(s) for s in sources])
    return ArraySource(np.concatenate([s.images for s in sources]), labels, ids, split, name)


def parse_labels(labels: Any, n_images: int, name: str = "labels") -> np.ndarray:
    """Return labels as an array of shape (n_images,) of strings, integers, floats or booleans, checked."""
    values = _parse_row(labels, n_images, name)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind not in "biufU" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise DataError(
            f"{name} must be strings, integers, finite floats or booleans",
            f"values of dtype {values.dtype}, some missing or of another kind",
            "Give every image a label, for example 'unknown', or leave those images out.",
        )
    return values


def _parse_row(values: Any, n_images: int, name: str) -> np.ndarray:
    """Return ``values`` as an array of shape (n_images,); an object array becomes one of its items' type."""
    try:
        values = np.asarray(values)
        values = np.asarray(values.tolist()) if values.dtype.kind == "O" else values
    except ValueError:
        values = np.empty((0, 0))
    if values.shape != (n_images,):
        found = len(values) if values.ndim == 1 else f"shape {values.shape}"
        raise DataError(
            f"{name} must hold one value for each image",
            f"{found} {name} for {n_images} images",
            "Give as many as there are images, in the same order.",
        )
    return values


def _parse_names(names: Any, n_images: int, what: str) -> np.ndarray:
    return _parse_row(names, n_images, what).astype(str)


def _parse_split(split: Any, n_images: int) -> np.ndarray:
    split = _parse_names(split, n_images, "split")
    if unknown := set(split.tolist()) - set(SPLITS):
        raise DataError(
            f"split must be one of {', '.join(SPLITS)}",
            f"{sorted(unknown)[0]!r}",
            "Rename it to one of those.",
        )
    return split


def _unique(ids: np.ndarray) -> np.ndarray:
    names, counts = np.unique(ids, return_counts=True)
    if counts.max() > 1:
        raise DataError(
            "ids must be unique",
            f"{str(names[counts.argmax()])!r} {counts.max()} times",
            "Give every image a name of its own, for example its path.",
        )
    return ids


def _demand_alike(must: str, facts: list[str], name: str) -> None:
    if len(set(facts)) > 1:
        raise DataError(
            f"All parts of {name} must have {must}",
            " and ".join(dict.fromkeys(facts)),
            "Make the parts alike.",
        )
