"""How often clusters, or predictions, meet each label: tables that add up, whatever labels a part has."""

from dataclasses import dataclass

import numpy as np

from caescope.errors import DataError
from caescope.metrics import encode_labels


@dataclass(frozen=True, eq=False, repr=False)
class LabelCounts:
    """A table of counts; two of the same rows add up to one with the labels of both.

    Attributes
    ----------
    table : numpy.ndarray, shape (n_rows, n_labels), int64
    names : list
        What the columns stand for, sorted, as plain Python values.

    Examples
    --------
    >>> both = count_labels([0, 1], 2, ["cat", "dog"]) + count_labels([1, -1], 2, ["ape", "cat"])
    >>> both.names, both.table.tolist()
    (['ape', 'cat', 'dog'], [[0, 1, 0], [1, 0, 1]])
    """

    table: np.ndarray
    names: list

    def __repr__(self) -> str:
        return f"LabelCounts({self.table.sum():,} images, {len(self.names)} labels)"

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        codes, names = encode_labels([*self.names, *other.names])
        table = np.zeros((len(self.table), len(names)), np.int64)
        table[:, codes[: len(self.names)]] += self.table
        table[:, codes[len(self.names) :]] += other.table
        return LabelCounts(table, names)


def count_labels(rows, n_rows: int, labels) -> LabelCounts:
    """Count how often each row meets each label.

    Parameters
    ----------
    rows : array_like, shape (n_images,), int
        The cluster of each image, or what was predicted for it; images below 0 are in none and not counted.
    n_rows : int
        How many rows there are, those without images included.
    labels : array_like, shape (n_images,)
        Images whose label is missing are not counted.

    Raises
    ------
    DataError
        If there is not one label for each image.
    """
    rows = np.asarray(rows)
    if len(rows) != len(labels):
        raise DataError(
            "labels must hold one for each image", f"{len(labels)} for {len(rows)}", "Give all of them."
        )
    counted = (rows >= 0) & ~np.ma.getmaskarray(labels)
    codes, names = encode_labels(np.asarray(labels)[counted])
    cells = np.bincount(rows[counted] * len(names) + codes, minlength=n_rows * len(names))
    return LabelCounts(cells.reshape(n_rows, len(names)).astype(np.int64), names)
