"""The figures of `caescope.metrics` from a table of counts: what remains of images that are too many to hold.

Rows are clusters and columns are labels, as `caescope.metrics.contingency` counts them. Counts of parts add
up to those of the whole.
"""

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import entr

from caescope.errors import DataError


def parse_table(table: Any) -> np.ndarray:
    """Return a table of counts in its normal form, checked.

    Parameters
    ----------
    table : array_like, shape (n_clusters, n_labels)
        Whole numbers of at least 0, not all of them 0.

    Returns
    -------
    numpy.ndarray, shape (n_clusters, n_labels), int64

    Raises
    ------
    DataError
        If it is something else.

    Examples
    --------
    >>> parse_table([[2, 0], [1, 1]])
    array([[2, 0], [1, 1]])
    """
    counts = np.asarray(table)
    if counts.ndim == 2 and counts.dtype.kind in "iu" and counts.size and counts.min() >= 0 and counts.any():
        return counts.astype(np.int64, copy=False)
    raise DataError(
        "table must hold how many images of each label are in each cluster, one at least",
        f"an array of shape {counts.shape} and dtype {counts.dtype}",
        "Give what caescope.metrics.contingency counts.",
    )


def gini(counts: np.ndarray) -> np.ndarray:
    """Return the Gini impurity of each row; see `caescope.metrics.gini`.

    >>> gini(np.array([[2, 0], [1, 1]])).tolist()
    [0.0, 0.5]
    """
    shares = _shares(counts)
    return (shares * (1 - shares)).sum(axis=-1)  # 1 - sum of squares, and 0 for no counts


def entropy(counts: np.ndarray) -> np.ndarray:
    """Return the entropy of each row, in bits; see `caescope.metrics.entropy`.

    >>> entropy(np.array([[2, 0], [1, 1]])).tolist()
    [0.0, 1.0]
    """
    return np.abs(entr(_shares(counts)).sum(axis=-1)) / np.log(2)


def purities(counts: np.ndarray) -> np.ndarray:
    """Return the share of the commonest label in each row; see `caescope.metrics.cluster_purity`.

    >>> purities(np.array([[2, 0], [1, 1]])).tolist()
    [1.0, 0.5]
    """
    return _shares(counts).max(axis=-1)


def purity(counts: np.ndarray) -> float:
    """Return the share of images with the commonest label of their row; see `caescope.metrics.purity`.

    >>> purity(np.array([[2, 0], [1, 1]]))
    0.75
    """
    return float(counts.max(axis=1).sum() / counts.sum())


def matched_accuracy(counts: np.ndarray) -> float:
    """Return the accuracy of the best matching of rows to columns; see `caescope.metrics.matched_accuracy`.

    >>> matched_accuracy(np.array([[2, 0], [1, 1]]))
    0.75
    """
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def nmi(counts: np.ndarray) -> float:
    """Return the normalised mutual information of rows and columns; see `caescope.metrics.nmi`.

    >>> nmi(np.array([[0, 2], [2, 0]]))
    1.0
    """
    return nmi_of(counts.ravel(), counts.sum(axis=1), counts.sum(axis=0))


def nmi_of(both: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Return the same from the counts of pairs that occur, in any order, and those of rows and of columns.

    Where there is one row and one column with images, the two are the same, and it is 1.
    """
    apart = entropy(rows) + entropy(columns)
    return float(np.clip(2 - 2 * entropy(both) / apart, 0, 1) if apart else 1.0)


def ari(counts: np.ndarray) -> float:
    """Return the adjusted Rand index of rows and columns; see `caescope.metrics.ari`.

    >>> ari(np.array([[0, 2], [2, 0]]))
    1.0
    """
    return ari_of(counts.ravel(), counts.sum(axis=1), counts.sum(axis=0))


def ari_of(both: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Return the same from the counts of pairs that occur, in any order, and those of rows and of columns."""
    together, in_rows, in_columns = (_pairs(part) for part in (both, rows, columns))
    expected = in_rows * in_columns / max(_pairs(rows.sum()), 1)
    most = (in_rows + in_columns) / 2
    return 1.0 if expected == most else (together - expected) / (most - expected)


def _pairs(counts: np.ndarray) -> int:
    """Return how many pairs of images share a cell; those of 10**10 images are more than 64 bits count."""
    return sum(count * (count - 1) // 2 for count in np.ravel(counts).tolist())


def _shares(counts: np.ndarray) -> np.ndarray:
    """Return counts over the last axis as shares of their sum; nothing has no shares, and not NaN."""
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
