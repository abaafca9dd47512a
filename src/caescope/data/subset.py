"""A part of a source, for who trains on it or is measured on it."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from caescope.data.sources import ArraySource, StoredSource


@dataclass(frozen=True, eq=False)
class Subset:
    """Some of a source's images, read from it when they are asked for.

    Parameters
    ----------
    source : source
        As `caescope.data.find_source` returns it.
    rows : numpy.ndarray of int, shape (n,)
        Which of its images, in this order.

    Examples
    --------
    >>> some = Subset(ArraySource(np.arange(5).reshape(5, 1, 1)), np.array([4, 2]))
    >>> len(some), some.shape, some.read([1]).ravel().tolist()
    (2, (1, 1, 1), [2])
    """

    source: ArraySource | StoredSource
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return self.source.shape

    def read(self, indices) -> np.ndarray:
        """Return the images at ``indices`` (integers, a slice or a mask), channels last."""
        return self.source.read(self.rows[indices])

    def stamp(self) -> str:
        """Return a text that changes when the images do, as far as their files tell."""
        rows = sha256(np.ascontiguousarray(self.rows, np.int64).data).hexdigest()
        return rows if isinstance(self.source, ArraySource) else f"{self.source.stamp()} {rows}"
