"""Where images come from, as one small value."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from caescope.data.numbers import Numbers
from caescope.errors import DataError
from caescope.files import printable
from caescope.images import parse_images
from caescope.parsing import is_missing

SPLITS = ("train", "validation", "test")
LONG_TEXT, ROOM_FOR_TEXTS = 1000, 2**30  # characters; bytes
RESERVED = re.compile(r"id|path|split|label|map_[xy]|cluster|error|z\d{3,6}")  # latents.parquet's own columns


class StoredSource(Protocol):
    """What every source has whose images stay in files until they are asked for.

    Several threads may read at once, and it can be pickled for other processes.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """What messages and reports call it."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        ...

    @property
    def ids(self) -> Any:
        """A name for each image, unique, shape (n,): an array, or what gives one when rows are asked for."""
        ...

    @property
    def labels(self) -> Any:
        """What somebody knows about each image, shape (n,), or None; masked where nobody does."""
        ...

    @property
    def split(self) -> Any:
        """Of each image "train", "validation" or "test", shape (n,), or None."""
        ...

    @property
    def columns(self) -> Mapping[str, Any]:
        """What else is known about each image, by name."""
        ...

    def __len__(self) -> int: ...

    def read(self, indices) -> np.ndarray:
        """Return the images at ``indices`` (integers, a slice or a mask), uint8 or float32, channels last."""
        ...

    def load(self) -> "ArraySource":
        """Return the same images in memory."""
        ...

    def stamp(self) -> str:
        """Return a text that changes when the files do, or what is done to their images."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class ArraySource:
    """Images in memory and what is known about each of them.

    Parameters
    ----------
    images : array_like, shape (n, height, width[, channels])
        uint8, or floats in [0, 1]; see `caescope.images.parse_images`.
    labels : array_like, shape (n,), optional
        What somebody knows about each image: strings, integers, floats or booleans; None, NaN or masked
        where nobody does.
    ids : array_like of str, shape (n,), optional
        A name for each image, unique; by default its number.
    split : array_like of str, shape (n,), optional
        "train", "validation" or "test", where the data bring a split of their own.
    name : str
        What messages and reports call it.
    columns : mapping of str to array_like, shape (n,), optional
        What else is known about each image, by name: its slide, its patient, its scanner.

    Raises
    ------
    DataError
        If images, labels, ids, split and columns do not fit one another.

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
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        images = parse_images(self.images, "images" if self.name == "array" else f"images of {self.name}")
        facts = parse_facts(len(images), self.labels, self.ids, self.split, self.columns)
        for name, value in {"images": images, **facts, "ids": np.asarray(facts["ids"])}.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.shape))
        extras = [
            word for word, value in (("labelled", self.labels), ("split", self.split)) if value is not None
        ]
        facts = [f"{len(self)} images of {size}", str(self.images.dtype), *extras]
        return f"{type(self).__name__}({self.name!r}, {', '.join(facts)})"

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
    labels = None if sources[0].labels is None else np.ma.concatenate([s.labels for s in sources])
    ids = [f"{part.split}/{i}" for part, s in zip(parts, sources, strict=True) for i in range(len(s))]
    split = np.repeat([str(part.split) for part in parts], [len(s) for s in sources])
    return ArraySource(np.concatenate([s.images for s in sources]), labels, ids, split, name)


def parse_facts(
    n_images: int, labels: Any, ids: Any, split: Any, columns: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is known about ``n_images`` images, each checked, by the names that sources give it.

    Raises
    ------
    DataError
        If something does not have one value for each image, or ids come twice.
    """
    is_numbered = ids is None or (isinstance(ids, Numbers) and len(ids) == n_images)
    return {
        "labels": None if labels is None else parse_labels(labels, n_images),
        "ids": Numbers(n_images) if is_numbered else _unique(_parse_names(ids, n_images, "ids")),
        "split": None if split is None else _parse_split(split, n_images),
        "columns": parse_columns(columns, n_images),
    }


def parse_labels(labels: Any, n_images: int, name: str = "labels") -> np.ndarray:
    """Return labels as an array of shape (n_images,) of strings, integers, floats or booleans, checked.

    Where some are missing (None, NaN, masked) the array is masked there, and holds nothing of worth.
    """
    values, missing = _parse_row(labels, n_images, name)
    known = _as_array(values[~missing].tolist(), name) if values.dtype.kind == "O" else values[~missing]
    if not len(known):
        raise DataError(
            f"{name} must be known for at least one image", "none", f"Leave {name} out, or give some."
        )
    if known.dtype.kind == "S":
        known = np.char.decode(known, "utf-8", "replace")
    if known.dtype.kind not in "biufU" or (known.dtype.kind == "f" and not np.isfinite(known).all()):
        raise DataError(
            f"{name} must be strings, integers, finite floats or booleans",
            f"values of dtype {known.dtype}, some infinite or of another kind",
            "Give every image a label of one of these kinds, or none.",
        )
    if not missing.any():
        return known
    labels = np.zeros(n_images, known.dtype)
    labels[~missing] = known
    return np.ma.array(labels, mask=missing)


def _as_array(values: list, name: str) -> np.ndarray:
    """Return values as an array, if that has room: NumPy gives each text as much as the longest takes."""
    longest = max((len(value) for value in values if isinstance(value, str)), default=0)
    if longest > LONG_TEXT and 4 * longest * len(values) > ROOM_FOR_TEXTS:
        raise DataError(
            f"{name} must be at most {LONG_TEXT:,} characters long where there are many",
            f"one of {longest:,} characters among {len(values):,}",
            "Shorten it, or leave it out.",
        )
    return np.asarray(values)


def parse_columns(columns: Mapping[str, Any], n_images: int) -> dict[str, np.ndarray]:
    """Return what else is known about images as arrays by name, each checked as labels are."""
    for name in columns:
        if RESERVED.fullmatch(str(name)) or not str(name).strip():
            raise DataError(
                "A column must have a name of its own, not one of those in latents.parquet",
                repr(printable(str(name), 60)),
                "Rename it, for example slide.",
            )
    return {
        str(name): parse_labels(values, n_images, f"column {printable(str(name), 60)}")
        for name, values in columns.items()
    }


def _parse_row(values: Any, n_images: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ``values`` as an array of shape (n_images,), and where they are missing."""
    try:
        # Left to itself, NumPy would turn [nan, "cat"] into two strings
        array = np.asarray(values, None if isinstance(values, np.ndarray) else object)
    except ValueError:
        array = np.empty((0, 0))
    if array.shape != (n_images,):
        found = len(array) if array.ndim == 1 else f"shape {array.shape}"
        raise DataError(
            f"{name} must hold one value for each image",
            f"{found} {name} for {n_images} images",
            "Give as many as there are images, in the same order.",
        )
    is_masked = isinstance(values, np.ma.MaskedArray)
    missing = np.ma.getmaskarray(values) if is_masked else np.zeros(n_images, bool)
    if array.dtype.kind in "Of":
        missing = missing | np.fromiter(map(is_missing, array.tolist()), bool, n_images)
    return array, missing


def _parse_names(names: Any, n_images: int, what: str) -> np.ndarray:
    row = _parse_row(names, n_images, what)[0]
    if row.dtype.kind == "O":
        return _as_array(list(map(str, row.tolist())), what).astype(str)
    return row.astype(str)


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
    names = np.sort(ids)
    if (again := names[1:] == names[:-1]).any():
        twice = names[again.argmax()]
        raise DataError(
            "ids must be unique",
            f"{str(twice)!r} {(ids == twice).sum()} times",
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
