"""The numbers of images, from 0: which are asked for, and as names where none were given."""

from typing import Any

import numpy as np


def numbers_of(rows: Any, n_images: int) -> np.ndarray:
    """Return which of ``n_images`` images are meant, shape (n,), as an index of an array of so many would.

    What it takes goes with those that are meant, not with all, unless ``rows`` is a mask.

    Parameters
    ----------
    rows : slice or array_like
        Integers, negative ones from the end, or a mask.

    Raises
    ------
    IndexError
        If there is no such image.

    Examples
    --------
    >>> numbers_of(slice(-2, None), 10**9), numbers_of([0, -1], 10**9)
    (array([999999998, 999999999]), array([        0, 999999999]))
    """
    if isinstance(rows, slice):
        some = range(n_images)[rows]
        return np.arange(some.start, some.stop, some.step)
    given = np.atleast_1d(rows)
    if given.dtype.kind not in "iu" or given.ndim > 1:
        return np.arange(n_images)[rows]  # with NumPy's rules for masks, empty lists and what is no index
    if not len(given) or (-n_images <= given.min() and given.max() < n_images):
        return np.where(given < 0, given + n_images, given).astype(np.int64)
    raise IndexError(f"images {given.min()} to {given.max()} are out of bounds for {n_images} images")


class Numbers:
    """The numbers of n images as their names, made when they are asked for: of 10⁸ they would take gigabytes.

    Rows are asked for as from an array of shape (n,), and come as one of text; `numpy.asarray` gives all.

    Examples
    --------
    >>> names = Numbers(1000)
    >>> len(names), names[2:4], str(names[-1])
    (1000, array(['2', '3'], dtype='<U3'), '999')
    """

    nbytes = 0  # that are kept

    def __init__(self, n_images: int):
        self.shape = (n_images,)
        self.dtype = np.dtype(f"U{len(str(max(n_images - 1, 0)))}")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows):
        names = numbers_of(rows, len(self)).astype(self.dtype)
        return names[0] if np.ndim(rows) == 0 and not isinstance(rows, slice) else names

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def tolist(self) -> list[str]:
        """Return all names."""
        return self[:].tolist()
