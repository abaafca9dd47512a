"""Groups found without labels, and how well they agree with labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin

from caescope import metrics
from caescope.analysis.latents import parse_latents
from caescope.errors import DataError, OptionError
from caescope.parsing import parse_integer, parse_seed


@dataclass(frozen=True, eq=False, repr=False)
class Clusters:
    """Points in groups, numbered by size: cluster 0 is the largest.

    Attributes
    ----------
    labels : numpy.ndarray, shape (n_images,), int32
        The cluster of each point.
    centers : numpy.ndarray, shape (k, features), float64
        The mean of each cluster.
    """

    labels: np.ndarray
    centers: np.ndarray

    def __repr__(self) -> str:
        return f"Clusters({len(self.labels)} points in {self.k} clusters)"

    @property
    def k(self) -> int:
        """How many clusters there are."""
        return len(self.centers)

    @property
    def sizes(self) -> np.ndarray:
        """How many points each cluster has, shape (k,), int64, in falling order."""
        return np.bincount(self.labels, minlength=self.k)

    def predict(self, points) -> np.ndarray:
        """Return the cluster with the nearest centre for each point, shape (n_points,), int32."""
        table = parse_latents(points, "points", features=self.centers.shape[1])
        return pairwise_distances_argmin(table.astype(np.float64), self.centers).astype(np.int32)


def kmeans(points, k: int = 20, seed: int = 0) -> Clusters:
    """Group points around ``k`` centres: the best of ten runs of KMeans.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
        A map, or latents.
    k : int, from 1 to the number of different points
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    Clusters

    Raises
    ------
    DataError
        If the points cannot be used.
    OptionError
        If there are fewer different points than clusters, or an option is out of range.

    References
    ----------
    Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28, 1982.
    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.

    Examples
    --------
    >>> clusters = kmeans([[0, 0], [0, 1], [0, 2], [9, 9]], k=2)
    >>> clusters.labels, clusters.centers.round(6).tolist()
    (array([0, 0, 0, 1], dtype=int32), [[0.0, 1.0], [9.0, 9.0]])
    """
    table = parse_latents(points, "points").astype(np.float64)
    k = parse_integer(k, "k", 1)
    distinct = len(np.unique(table, axis=0))
    if k > distinct:
        raise OptionError(
            "k must be at most the number of different points",
            f"k={k} for {distinct} different points of {len(table)} images",
            f"Use k={distinct} or fewer.",
        )
    runs: Any = 10
    model = KMeans(k, n_init=runs, random_state=parse_seed(seed)).fit(table)
    return _numbered_by_size(model.labels_, model.cluster_centers_)


def _numbered_by_size(labels: Any, centers: np.ndarray) -> Clusters:
    order = np.argsort(-np.bincount(labels, minlength=len(centers)), kind="stable")
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order))
    return Clusters(number[labels], centers[order])


def judge_clusters(clusters, labels) -> dict[str, Any]:
    """Measure how mixed the labels in each cluster are.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    dict
        ``gini``, the impurity of each cluster; ``gini_mean`` and ``entropy_mean`` (bits), means over the
        clusters, each of the same weight; ``purity``, over all images. See `caescope.metrics`.

    Raises
    ------
    DataError
        If clusters or labels cannot be used.

    Examples
    --------
    >>> judge_clusters([0, 0, 1, 1], ["cat", "cat", "cat", "dog"])
    {'gini': {0: 0.0, 1: 0.5}, 'gini_mean': 0.25, 'entropy_mean': 0.5, 'purity': 0.75}
    """
    gini = metrics.cluster_gini(clusters, labels)
    entropy = metrics.cluster_entropy(clusters, labels)
    return {
        "gini": gini,
        "gini_mean": float(np.mean(list(gini.values()))),
        "entropy_mean": float(np.mean(list(entropy.values()))),
        "purity": metrics.purity(clusters, labels),
    }


def match_clusters(points, labels, seed: int = 0) -> dict[str, Any]:
    """Group points into as many clusters as there are labels, and compare the two.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
    labels : array_like, shape (n_images,)
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    dict
        ``k``, ``accuracy`` (see `caescope.metrics.matched_accuracy`), ``nmi`` and ``ari``.

    Raises
    ------
    DataError
        If points or labels cannot be used.
    OptionError
        If there are fewer different points than labels.

    Examples
    --------
    >>> match_clusters([[0, 0], [0, 1], [9, 8], [9, 9]], ["cat", "cat", "dog", "dog"])
    {'k': 2, 'accuracy': 1.0, 'nmi': 1.0, 'ari': 1.0}
    """
    codes, names = metrics.encode_labels(labels)
    table = parse_latents(points, "points")
    _demand_alike(len(codes), "labels", table)
    clusters = kmeans(table, len(names), seed).labels
    return {
        "k": len(names),
        "accuracy": metrics.matched_accuracy(clusters, codes),
        "nmi": metrics.nmi(clusters, codes),
        "ari": metrics.ari(clusters, codes),
    }


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
    >>> points = [[0, 0], [0, 1], [0, 2], [9, 9]]
    >>> nearest_to_center(points, kmeans(points, k=2), n=1)
    {0: array([1]), 1: array([3])}
    """
    table = parse_latents(points, "points", features=clusters.centers.shape[1])
    _demand_alike(len(clusters.labels), "clusters", table)
    n = parse_integer(n, "n", 1)
    distances = np.linalg.norm(table - clusters.centers[clusters.labels], axis=1)
    by_distance = np.argsort(distances, kind="stable")
    return {i: by_distance[clusters.labels[by_distance] == i][:n] for i in range(clusters.k)}


def _demand_alike(n: int, name: str, points: np.ndarray) -> None:
    if n != len(points):
        raise DataError(
            f"points and {name} must be of the same images",
            f"{len(points)} points and {n} {name}",
            "Give both for the same images, in the same order.",
        )
