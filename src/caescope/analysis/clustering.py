"""Groups found without labels."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from caescope.analysis.latents import parse_latents
from caescope.errors import OptionError
from caescope.parsing import parse_integer, parse_seed

NOISE = -1
CLUSTER_METHODS = ("kmeans", "mixture", "hdbscan")
MOST_FITTED = 10_000  # points a mixture or HDBSCAN is fitted on; their time grows faster than the points
STARTS_OF_MIXTURE = 3
SMALLEST, MOST_CORE = 5, 10  # HDBSCAN's smallest cluster, and most neighbours that make a point dense


@dataclass(frozen=True, eq=False, repr=False)
class Clusters:
    """Points in groups, numbered by size: cluster 0 is the largest.

    Attributes
    ----------
    labels : numpy.ndarray, shape (n_images,), int32
        The cluster of each point; -1, noise, for a point in none.
    centers : numpy.ndarray, shape (k, features), float64
        The mean of each cluster.
    fitted : int or None
        How many of the points the method was fitted on; None for all.
    assign : callable or None
        How other points, shape (n_points, features), float64, get their clusters, shape (n_points,), int32;
        None for the nearest centre.
    """

    labels: np.ndarray
    centers: np.ndarray
    fitted: int | None = None
    assign: Callable[[np.ndarray], np.ndarray] | None = None

    def __repr__(self) -> str:
        return f"Clusters({len(self.labels)} points in {self.k} clusters)"

    @property
    def k(self) -> int:
        """How many clusters there are."""
        return len(self.centers)

    @property
    def sizes(self) -> np.ndarray:
        """How many points each cluster has, shape (k,), int64, in falling order."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.k)

    @property
    def noise(self) -> float:
        """The share of points in no cluster, in [0, 1]."""
        return float((self.labels < 0).mean())

    def predict(self, points) -> np.ndarray:
        """Return the cluster of other points, shape (n_points,), int32.

        KMeans: the one with the nearest centre; a mixture: the most probable one; HDBSCAN: that of the
        nearest point it was fitted on, noise included.
        """
        table = parse_latents(points, "points", features=self.centers.shape[1]).astype(np.float64)
        if self.assign is not None:
            return self.assign(table)
        return pairwise_distances_argmin(table, self.centers).astype(np.int32)


def cluster_points(points, method: str = "kmeans", k: int = 20, seed: int = 0) -> Clusters:
    """Group points by a method of choice.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
        A map, or latents.
    method : {"kmeans", "mixture", "hdbscan"}
        ``"kmeans"``: round clusters, see `kmeans`. ``"mixture"``: ellipses of any shape, a Gaussian mixture
        with full covariances, the best of three starts from KMeans; a component that is nowhere the most
        probable is left out. ``"hdbscan"``: dense regions of any form, of at least 5 points and half a
        percent of them; points between are noise, cluster -1.
    k : int, from 1 to the number of different points
        Not for HDBSCAN, which finds out by itself.
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    Clusters
        A mixture and HDBSCAN are fitted on a random 10,000 where there are more points; the others are
        assigned as `Clusters.predict` does.

    Raises
    ------
    DataError
        If the points cannot be used.
    OptionError
        If there are fewer different points than clusters, or an option is out of range.

    References
    ----------
    Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm", Journal of the
    Royal Statistical Society B 39, 1977.
    Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density estimates", PAKDD
    2013.

    Examples
    --------
    >>> points = [[i % 3, i % 2] for i in range(12)] + [[50 + i % 3, i % 2] for i in range(6)] + [[1000, 0]]
    >>> clusters = cluster_points(points, "hdbscan")
    >>> clusters.labels.tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, -1]
    """
    if method == "kmeans" or (method == "mixture" and k == 1):  # one ellipse is one cluster
        return kmeans(points, k, seed)
    if method == "mixture":
        return _mixture(*_parse(points, k), parse_seed(seed))
    if method == "hdbscan":
        return _hdbscan(parse_latents(points, "points").astype(np.float64), parse_seed(seed))
    raise OptionError(
        f"The clustering must be one of {', '.join(CLUSTER_METHODS)}", f"{method!r}", "kmeans is the default."
    )


def kmeans(points, k: int = 20, seed: int = 0) -> Clusters:
    """Group points around ``k`` centres: the best of ten runs of KMeans.

    It runs in one thread: three or more add up their sums in whatever order they finish, and the last digits
    of the centres would change from run to run.

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
    table, k = _parse(points, k)
    runs: Any = 10
    model = KMeans(k, n_init=runs, random_state=parse_seed(seed))
    with threadpool_limits(1, "openmp"):
        labels = model.fit_predict(table)
    order = _by_size(labels)
    return Clusters(_renumbered(labels, order), model.cluster_centers_[order], len(table))


def _parse(points, k) -> tuple[np.ndarray, int]:
    """Return points, shape (n_images, features), float64, and a number of clusters that they can have."""
    table = parse_latents(points, "points").astype(np.float64)
    k = parse_integer(k, "k", 1)
    distinct = len(np.unique(table, axis=0))
    if k > distinct:
        raise OptionError(
            "k must be at most the number of different points",
            f"k={k} for {distinct} different points of {len(table)} images",
            f"Use k={distinct} or fewer.",
        )
    return table, k


def _mixture(points: np.ndarray, k: int, seed: int) -> Clusters:
    sample = _sample(points, max(MOST_FITTED, k), seed)
    # No thinner than a thousandth of the whole, so that duplicates do not make a component of no width
    width = 1e-3 * points.var(axis=0).mean() or 1.0
    model = GaussianMixture(k, n_init=STARTS_OF_MIXTURE, reg_covar=width, random_state=seed)
    with warnings.catch_warnings(), threadpool_limits(1, "openmp"):  # it starts from KMeans
        # The last of its steps is as usable as any, and a sample may hold fewer than k different points
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(sample)
    order = _by_size(model.predict(points))

    def assign(others: np.ndarray) -> np.ndarray:
        return model.predict_proba(others)[:, order].argmax(axis=1).astype(np.int32)

    return _around_means(points, assign, len(sample))


def _hdbscan(points: np.ndarray, seed: int) -> Clusters:
    sample = _sample(points, MOST_FITTED, seed)
    found = np.full(len(sample), NOISE)
    if len(sample) >= SMALLEST:
        smallest, copy = max(SMALLEST, len(sample) // 200), cast(Any, True)
        found = HDBSCAN(smallest, min_samples=min(smallest, MOST_CORE), copy=copy).fit_predict(sample)
    nearest = NearestNeighbors(n_neighbors=1).fit(sample)

    def raw(others: np.ndarray) -> np.ndarray:
        return found[nearest.kneighbors(others, return_distance=False)[:, 0]]

    order = _by_size(raw(points))
    return _around_means(points, lambda others: _renumbered(raw(others), order), len(sample))


def _sample(points: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(points) <= most:
        return points
    return points[np.random.default_rng(seed).choice(len(points), most, replace=False)]


def _by_size(labels: np.ndarray) -> np.ndarray:
    """Return the clusters that hold points, largest first; noise is none."""
    names, sizes = np.unique(labels[labels >= 0], return_counts=True)
    return names[np.argsort(-sizes, kind="stable")]


def _renumbered(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return labels with 0 for the first of ``order``, 1 for the second, ..., and noise for the rest."""
    number = np.full(max(labels.max(), order.max(initial=-1)) + 2, NOISE, np.int32)  # the last is for noise
    number[order] = np.arange(len(order))
    return number[labels]


def _around_means(points: np.ndarray, assign: Callable[[np.ndarray], np.ndarray], fitted: int) -> Clusters:
    labels = assign(points)
    means = [points[labels == i].mean(axis=0) for i in range(labels.max() + 1)]
    return Clusters(labels, np.reshape(means, (-1, points.shape[1])), fitted, assign)
