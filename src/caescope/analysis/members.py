"""The images that stand for a cluster, and those that could as well be in another."""

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import pairwise_distances, pairwise_distances_chunked

from caescope.analysis.clustering import Clusters
from caescope.analysis.latents import parse_latents
from caescope.errors import DataError
from caescope.parsing import parse_integer, parse_seed

MOST_COMPARED = 1000  # members of a cluster that each candidate for its medoid is compared with


def medoids(points, clusters: Clusters, seed: int = 0) -> dict[int, int]:
    """Return the most central image of each cluster: its distances to the others have the smallest sum.

    Unlike a mean it is an image that exists, and lies inside its cluster whatever that one's form.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
        What was clustered, or anything else that is known of the same images: the latents, say.
    clusters : Clusters
    seed : int, 0 to 2**32 - 1
        In a cluster of more than 1,000 images the distances to a random 1,000 of them are summed.

    Returns
    -------
    dict
        Cluster: index into ``points``; of several alike the first.

    Raises
    ------
    DataError
        If points and clusters are not of the same images.

    References
    ----------
    Kaufman and Rousseeuw, *Finding Groups in Data: An Introduction to Cluster Analysis*, 1990, chapter 2.

    Examples
    --------
    >>> from caescope.analysis.clustering import kmeans
    >>> points = [[0, 0], [0, 1], [0, 5], [90, 9]]
    >>> medoids(points, kmeans(points, k=2))
    {0: 1, 1: 3}
    """
    table = _points_of(clusters, points)
    rng = np.random.default_rng(parse_seed(seed))
    return {i: int(rows[medoid(table[rows], rng)]) for i, rows in _rows_of(clusters)}


def nearest_to_center(points, clusters: Clusters, n: int = 50) -> dict[int, np.ndarray]:
    """Return the points of each cluster that lie nearest to its centre.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
        What was clustered.
    clusters : Clusters
    n : int, at least 1
        How many of each cluster, where it has as many.

    Returns
    -------
    dict
        Cluster: indices into ``points``, nearest first.

    Raises
    ------
    DataError
        If the points are not those that were clustered.
    OptionError
        If ``n`` is below 1.

    Examples
    --------
    >>> from caescope.analysis.clustering import kmeans
    >>> points = [[0, 0], [0, 1], [0, 2], [9, 9]]
    >>> nearest_to_center(points, kmeans(points, k=2), n=1)
    {0: array([1]), 1: array([3])}
    """
    table = _points_of(clusters, points, clusters.centers.shape[1])
    n = parse_integer(n, "n", 1)
    return {
        i: _smallest(np.linalg.norm(table[rows] - clusters.centers[i], axis=1), rows, n)
        for i, rows in _rows_of(clusters)
    }


def boundary(points, clusters: Clusters, n: int = 10) -> dict[int, np.ndarray]:
    """Return the points of each cluster that are nearly as near to another centre as to their own.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
        What was clustered.
    clusters : Clusters
    n : int, at least 1
        How many of each cluster, where it has as many.

    Returns
    -------
    dict
        Cluster: indices into ``points``, smallest margin first: the distance to the next centre less that to
        the own. Below 0, which KMeans does not leave, the other centre is nearer. A single cluster has no
        boundary, and none of its points is returned.

    Raises
    ------
    DataError
        If the points are not those that were clustered.
    OptionError
        If ``n`` is below 1.

    Examples
    --------
    >>> from caescope.analysis.clustering import kmeans
    >>> points = [[0, 0], [0, 1], [0, 2], [0, 8], [0, 9]]
    >>> boundary(points, kmeans(points, k=2), n=1)
    {0: array([2]), 1: array([3])}
    """
    table = _points_of(clusters, points, clusters.centers.shape[1])
    n = parse_integer(n, "n", 1)
    if clusters.k < 2:
        return {i: np.empty(0, np.intp) for i in range(clusters.k)}
    found = {}
    for i, rows in _rows_of(clusters):
        distances = pairwise_distances(table[rows], clusters.centers)
        margins = np.delete(distances, i, axis=1).min(axis=1) - distances[:, i]
        found[i] = _smallest(margins, rows, n)
    return found


def _points_of(clusters: Clusters, points, features: int | None = None) -> np.ndarray:
    table = parse_latents(points, "points", features=features).astype(np.float64)
    if len(clusters.labels) != len(table):
        raise DataError(
            "points and clusters must be of the same images",
            f"{len(table)} points and {len(clusters.labels)} clusters",
            "Give both for the same images, in the same order.",
        )
    return table


def medoid(points: np.ndarray, rng: np.random.Generator) -> int:
    """Return which of the points has the smallest sum of distances to (a sample of) all."""
    centred = points - points.mean(axis=0)  # far from the origin, distances lose digits
    few = len(points) <= MOST_COMPARED
    others = centred if few else rng.choice(centred, MOST_COMPARED, replace=False)
    sums = pairwise_distances_chunked(centred, others, reduce_func=lambda part, _: part.sum(axis=1))
    return int(np.concatenate(list(sums)).argmin())


def _rows_of(clusters: Clusters) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each cluster and where its points are."""
    return ((i, np.flatnonzero(clusters.labels == i)) for i in range(clusters.k))


def _smallest(values: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Return the n rows of the smallest values, smallest first."""
    return rows[np.argsort(values, kind="stable")[:n]]
