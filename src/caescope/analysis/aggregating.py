"""Groups of images, such as slides or patients, as wholes: mean latents, and a histogram of the clusters."""

from typing import NamedTuple

import numpy as np

from caescope.analysis.latents import parse_latents
from caescope.errors import DataError
from caescope.metrics import encode_labels


class Aggregate(NamedTuple):
    """What groups of images are as a whole.

    Attributes
    ----------
    names : list
        The groups, sorted.
    images : numpy.ndarray, shape (n_groups,), int64
        How many images each has.
    means : numpy.ndarray, shape (n_groups, features), float64
        The mean latents.
    shares : numpy.ndarray, shape (n_groups, n_bins), float64, in [0, 1]
        The histogram of the clusters: which share of the group's images is in each. Rows add up to 1.
    clusters : list of str
        What the bins are: "0" to the last cluster and, only where an image is in none, "none".
    """

    names: list
    images: np.ndarray
    means: np.ndarray
    shares: np.ndarray
    clusters: list[str]


def aggregate(latents, clusters, groups) -> Aggregate:
    """Describe each group by the mean of its latents and by how its images spread over the clusters.

    Every group counts as one, however many images it has.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
    clusters : array_like, shape (n_images,), int
        From 0; those below 0 are in none, which is a bin of its own, the last one.
    groups : array_like, shape (n_images,)
        The slide or patient of each image, none missing.

    Returns
    -------
    Aggregate

    Raises
    ------
    DataError
        If latents, clusters or groups cannot be used.

    Examples
    --------
    >>> found = aggregate([[0.0], [2.0], [5.0]], [0, 1, -1], ["s1", "s1", "s2"])
    >>> found.names, found.means.tolist(), found.clusters
    (['s1', 's2'], [[1.0], [5.0]], ['0', '1', 'none'])
    >>> found.shares.tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    table = parse_latents(latents)
    codes, names = encode_labels(groups, "groups")
    bins, clusters = _parse_clusters(clusters)
    if not len(codes) == len(bins) == len(table):
        raise DataError(
            "clusters and groups must hold one value for each image",
            f"{len(bins)} clusters and {len(codes)} groups for {len(table)} images",
            "Give all for the same images, in the same order.",
        )
    images = np.bincount(codes, minlength=len(names))
    cells = np.bincount(codes * len(clusters) + bins, minlength=len(names) * len(clusters))
    shares = cells.reshape(len(names), len(clusters)) / images[:, None]
    return Aggregate(names, images, group_means(table, codes, images), shares, clusters)


def group_means(table: np.ndarray, codes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the mean row of each group, shape (n_groups, features); ``images`` is how many each has."""
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(images)[:-1]])
    return np.add.reduceat(table[order].astype(np.float64), starts, axis=0) / images[:, None]


def _parse_clusters(clusters) -> tuple[np.ndarray, list[str]]:
    """Return the bin of each image, and what the bins are."""
    row = np.asarray(clusters)
    if row.ndim != 1 or not row.size or row.dtype.kind not in "iu":
        raise DataError(
            "clusters must be one whole number for each image",
            f"an array of shape {row.shape} and type {row.dtype}",
            "Give what a clustering returned.",
        )
    k = max(int(row.max()) + 1, 0)
    names = [str(cluster) for cluster in range(k)]
    return np.where(row < 0, k, row), names + (["none"] if (row < 0).any() else [])
