"""Images that stay in one file, such as HDF5 or NPY, and are read block by block."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from caescope.data.fitting import Fit
from caescope.data.numbers import numbers_of
from caescope.data.sources import ArraySource, parse_facts
from caescope.errors import DataError
from caescope.images import parse_images

MOST_IMAGES = 2**27  # whose order takes a gigabyte, when they are learned; a few bytes can stand for more
BLOCK_BYTES = 4 * 2**20  # about what is read at a time, unless more is stored together


class Stack(Protocol):
    """Images in a file, one after another, all of one shape and type; several threads may read at once."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, height, width) or (n, height, width, channels)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """uint8 or a float."""
        ...

    @property
    def together(self) -> int:
        """How many images are stored, and so read, together."""
        ...

    def read(self, rows: slice) -> np.ndarray:
        """Return the images from ``rows.start`` to ``rows.stop``."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class MappedSource:
    """Images that stay in one file until they are asked for, and what is known about each.

    Parameters
    ----------
    stack : Stack
        An `NpyStack` or `Hdf5Stack`. Floats are checked to lie in [0, 1] when they are read.
    labels, columns, split, ids
        As in `ArraySource`.
    name : str, optional
        The file's name by default.
    fit : Fit, optional
        What is done to every image while it is read.

    Raises
    ------
    DataError
        If the shape is not that of images, or labels, columns, split or ids do not fit.
    """

    stack: Stack
    labels: Any = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    split: Any = None
    ids: Any = None
    name: str = ""
    fit: Fit | None = None
    shape: tuple[int, int, int] = field(init=False)

    def __post_init__(self):
        name, n = self.name or self.stack.path.name, self.stack.shape[0] if self.stack.shape else 0
        # One byte, seen as the whole stack, has its shape checked at no cost
        stored = parse_images(np.broadcast_to(np.uint8(0), self.stack.shape), f"images of {name}").shape[1:]
        if n > MOST_IMAGES:
            raise DataError(
                f"{name} must hold at most {MOST_IMAGES:,} images", f"{n:,}", "Split it into several files."
            )
        shape = self.fit.shape_of(stored, f"those of {name}") if self.fit else stored
        facts = parse_facts(n, self.labels, self.ids, self.split, self.columns)
        for key, value in {**facts, "name": name, "shape": shape}.items():
            object.__setattr__(self, key, value)

    def __len__(self) -> int:
        return self.stack.shape[0]

    def __repr__(self) -> str:
        size = "×".join(map(str, self.shape))
        labelled = "" if self.labels is None else ", labelled"
        return f"MappedSource({self.name!r}, {len(self)} images of {size}, {self._dtype}{labelled})"

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.stack.dtype == np.uint8 else np.float32)

    def read(self, indices) -> np.ndarray:
        """Return the images at ``indices`` (integers, a slice or a mask), uint8 or float32, channels last.

        Raises
        ------
        DataError
            If floats are outside of [0, 1].
        FileFormatError
            If the file is damaged.
        """
        wanted = numbers_of(indices, len(self))
        images = np.empty((len(wanted), *self.shape), self._dtype)
        order = np.argsort(wanted, kind="stable")
        rows = wanted[order]
        for run in self._runs(rows):
            first, last = rows[run.start], rows[run.stop - 1]
            block = self.stack.read(slice(first, last + 1))[rows[run] - first]
            pixels = parse_images(block, f"images of {self.name}")
            images[order[run]] = self.fit.all(pixels) if self.fit else pixels
        return images

    def load(self) -> ArraySource:
        """Return the same images in memory."""
        images = self.read(slice(None))
        return ArraySource(images, self.labels, self.ids, self.split, self.name, self.columns)

    def stamp(self) -> str:
        """Return the size and age of the file, and what is done to the images, as text."""
        file = self.stack.path.stat()
        return repr((file.st_size, file.st_mtime_ns, self.stack.shape, self.fit))

    def _runs(self, rows: np.ndarray) -> Iterator[slice]:
        """Yield slices of sorted ``rows`` whose images lie side by side, or are stored together."""
        if not len(rows):
            return
        together = self.stack.together
        bytes_together = together * self.stack.dtype.itemsize * int(np.prod(self.stack.shape[1:]))
        block = together * max(1, BLOCK_BYTES // bytes_together)
        apart = (np.diff(rows) > 1) & (np.diff(rows // together) > 0)
        ends = np.flatnonzero(apart | (np.diff(rows // block) > 0)) + 1
        bounds = [0, *ends.tolist(), len(rows)]
        yield from map(slice, bounds[:-1], bounds[1:])
