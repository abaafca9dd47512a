"""How many clusters there are, how well they stand apart, and which of them only a map shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import pairwise_distances, silhouette_samples, silhouette_score
from sklearn.neighbors import NearestNeighbors

from caescope.analysis.clustering import NOISE, kmeans
from caescope.analysis.latents import parse_latents
from caescope.errors import DataError, OptionError
from caescope.metrics import encode_labels
from caescope.parsing import parse_integer, parse_seed

MOST_JUDGED = 5000  # images; silhouettes take a number of distances that is its square
MOST_CLUSTERS = 30


@dataclass(frozen=True)
class ChosenK:
    """A number of clusters, and the curve it was read from.

    Attributes
    ----------
    k : int
        The number with the best silhouette; the smallest of equals.
    ks : list of int
        What was tried, in rising order; empty where no number but 1 is possible.
    silhouettes : list of float, in [-1, 1]
        The mean silhouette of each.
    """

    k: int
    ks: list[int]
    silhouettes: list[float]

    def as_dict(self) -> dict[str, Any]:
        """Return what metrics.json says of it."""
        return {"chosen": True, "silhouette_curve": {"k": self.ks, "silhouette": self.silhouettes}}


def choose_k(points, ks: Iterable[int] | None = None, seed: int = 0) -> ChosenK:
    """Return the number of clusters at which KMeans cuts points best, by the mean silhouette.

    A curve without a peak, or a best silhouette below about 0.25, says that there are no separate clusters; a
    number comes out all the same.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
        Of more than 5,000 a random 5,000 are clustered and measured.
    ks : iterable of int, optional
        What to try, each at least 2, at most the number of different points and below that of points; by
        default 2 to 30, as far as possible.
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    ChosenK
        With k = 1 and an empty curve for fewer than 3 points or points that are all the same.

    Raises
    ------
    DataError
        If the points cannot be used.
    OptionError
        If there is nothing to try, or a number that is not possible.

    References
    ----------
    Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis",
    Journal of Computational and Applied Mathematics 20, 1987; 0.25 is from Kaufman and Rousseeuw, *Finding
    Groups in Data: An Introduction to Cluster Analysis*, 1990.

    Examples
    --------
    >>> chosen = choose_k([[0, 0], [0, 1], [9, 8], [9, 9]])
    >>> chosen.k, chosen.ks, chosen.silhouettes[0] > 0.8
    (2, [2, 3], True)
    """
    table, seed = parse_latents(points, "points").astype(np.float64), parse_seed(seed)
    sample = table[_stratified(np.zeros(len(table), np.intp), seed)]
    most = min(len(np.unique(sample, axis=0)), len(sample) - 1)
    tried = list(range(2, min(MOST_CLUSTERS, most) + 1)) if ks is None else _parse_ks(ks, most)
    if not tried:
        return ChosenK(1, [], [])
    distances = pairwise_distances(sample - sample.mean(axis=0))
    curve = [
        float(silhouette_score(distances, kmeans(sample, k, seed).labels, metric="precomputed"))
        for k in tried
    ]
    return ChosenK(tried[int(np.argmax(curve))], tried, curve)


def silhouettes(points, clusters, seed: int = 0) -> tuple[float, dict[Any, float]]:
    """Return how much nearer images are to their own cluster than to the next, over all and in each cluster.

    :math:`(b - a) / max(a, b)` for an image, where a is its mean distance to the others of its cluster and b
    that to the images of the next one; 0 for an image alone in its cluster.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
        What was clustered, or something else that is known of the same images.
    clusters : array_like, shape (n_images,)
        -1, noise, is left out.
    seed : int, 0 to 2**32 - 1
        Of more than 5,000 images a random 5,000 are looked at, half of them in equal numbers from all
        clusters; each cluster counts for its size in the mean over all.

    Returns
    -------
    mean : float, in [-1, 1]
        NaN where there are fewer than two clusters: there is no next one.
    each : dict
        Cluster: mean over its images; empty where there are fewer than two clusters.

    Raises
    ------
    DataError
        If points or clusters cannot be used.

    References
    ----------
    Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis",
    Journal of Computational and Applied Mathematics 20, 1987.

    Examples
    --------
    >>> mean, each = silhouettes([[0], [2], [8], [99]], [0, 0, 1, -1])
    >>> round(mean, 4), each  # (6/8 + 4/6 + 0) / 3
    (0.4722, {0: 0.7083333333333333, 1: 0.0})
    """
    table, codes, names = _parse(points, "points", clusters)
    table, codes = table[codes >= 0], codes[codes >= 0]
    if len(names) < 2:
        return float("nan"), {}
    judged = _stratified(codes, parse_seed(seed))
    drawn = codes[judged]
    alone = len(names) == len(judged)  # scikit-learn refuses clusters of one image each
    values = np.zeros(len(judged)) if alone else np.asarray(silhouette_samples(table[judged], drawn))
    means = _means(values, drawn)
    return float(means @ np.bincount(codes) / len(codes)), dict(zip(names, means.tolist(), strict=True))


def cohesion(latents, clusters, neighbours: int = 10, seed: int = 0) -> dict[Any, float]:
    """Return how many of an image's nearest neighbours in the latents share its cluster of the map.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
    clusters : array_like, shape (n_images,)
        Clusters of the same images, whatever they were made of; -1, noise, is no cluster.
    neighbours : int, at least 1
        How many; in a small cluster as many as it has other images.
    seed : int, 0 to 2**32 - 1
        Of more than 5,000 images the neighbours of a random 5,000 are looked up, half of these in equal
        numbers from all clusters; they are searched exactly, and among all images.

    Returns
    -------
    dict
        Cluster: mean share over its images, in [0, 1]. By chance it is the share of all images that the
        cluster has. A cluster of a single image is left out.

    Raises
    ------
    DataError
        If latents or clusters cannot be used.
    OptionError
        If ``neighbours`` is below 1.

    See Also
    --------
    invented : which clusters the map made up

    Examples
    --------
    >>> cohesion([[0], [1], [3], [8], [9]], ["a", "a", "b", "b", "b"], neighbours=2)
    {'a': 1.0, 'b': 0.6666666666666666}
    """
    table, codes, names = _parse(latents, "latents", clusters)
    neighbours, seed = parse_integer(neighbours, "neighbours"), parse_seed(seed)
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    candidates = np.flatnonzero((codes >= 0) & (sizes[codes] > 1)) if len(names) else np.empty(0, np.intp)
    if not len(candidates):
        return {}
    judged = candidates[_stratified(codes[candidates], seed)]
    own = codes[judged]
    together = codes[_neighbours(table, judged, min(neighbours, sizes.max() - 1))] == own[:, None]
    counted = np.arange(together.shape[1]) < np.minimum(neighbours, sizes[own] - 1)[:, None]
    shares = (together & counted).sum(axis=1) / counted.sum(axis=1)
    means = _means(shares, own, len(names)).tolist()
    return {name: mean for name, mean, size in zip(names, means, sizes, strict=True) if size > 1}


def invented(
    cohesion: Mapping[Any, float], sizes: Mapping[Any, int] | None = None, least: float = 0.5
) -> list:
    """Return the clusters that exist on the map but not in the latents.

    Parameters
    ----------
    cohesion : mapping of cluster to float
        As `cohesion` returns it.
    sizes : mapping of cluster to int, optional
        How many images each cluster has. With them cohesion is first put on a scale on which 0 is chance and
        1 is every neighbour: in a large cluster half of the neighbours may be there by chance.
    least : float, in [0, 1]
        Below this a cluster is invented.

    Returns
    -------
    list
        In the order of ``cohesion``.

    Notes
    -----
    With sizes, t-SNE maps of pure noise in 20 dimensions (300 to 20,000 images, cut by KMeans in 2 to 20)
    have nearly all of their clusters on the list, those of digits none. Without, clusters of noise escape
    where there are fewer than 10.

    Examples
    --------
    >>> invented({0: 0.9, 1: 0.3, 2: 0.55}), invented({0: 0.9, 1: 0.3, 2: 0.55}, {0: 50, 1: 30, 2: 20})
    ([1], [1, 2])
    """
    total = 0 if sizes is None else sum(sizes.values())
    chance = {} if sizes is None else {name: (size - 1) / max(total - 1, 1) for name, size in sizes.items()}
    return [name for name, share in cohesion.items() if share - least < chance.get(name, 0) * (1 - least)]


def _parse_ks(ks: Iterable[int], most: int) -> list[int]:
    tried = sorted({parse_integer(k, "each of ks", 2, max(most, 2)) for k in ks})
    if not tried or most < 2:
        raise OptionError(
            "ks must hold at least one number of clusters that is possible",
            f"{len(tried)} for points that allow at most {max(most, 1)}",
            "Leave ks out to try all up to 30.",
        )
    return tried


def _parse(points, name: str, clusters) -> tuple[np.ndarray, np.ndarray, list]:
    """Return points around zero, where distances lose least to rounding, codes (-1: noise) and clusters."""
    table = parse_latents(points, name).astype(np.float64)
    codes, names = encode_labels(clusters, "clusters")
    if len(codes) != len(table):
        raise DataError(
            f"{name} and clusters must be of the same images",
            f"{len(table)} {name} and {len(codes)} clusters",
            "Give both for the same images, in the same order.",
        )
    kept = [i for i, cluster in enumerate(names) if cluster != NOISE]
    number = np.full(len(names), -1)
    number[kept] = np.arange(len(kept))
    return table - table.mean(axis=0), number[codes], [names[i] for i in kept]


def _stratified(codes: np.ndarray, seed: int) -> np.ndarray:
    """Return at most 5,000 positions, half of them spread evenly over the clusters; two of each at least."""
    if len(codes) <= MOST_JUDGED:
        return np.arange(len(codes))
    sizes = np.bincount(codes)
    wanted = MOST_JUDGED // 2 // len(sizes) + MOST_JUDGED // 2 * sizes // len(codes)
    order = np.random.default_rng(seed).permutation(len(codes))
    parts = (order[codes[order] == i][: max(2, count)] for i, count in enumerate(wanted))
    return np.sort(np.concatenate(list(parts)))


def _neighbours(table: np.ndarray, judged: np.ndarray, n: int) -> np.ndarray:
    """Return the n nearest other images of those judged, shape (n_judged, n), nearest first."""
    found = NearestNeighbors(n_neighbors=n + 1).fit(table).kneighbors(table[judged], return_distance=False)
    others = found != judged[:, None]
    others[others.all(axis=1), -1] = False  # among many duplicates an image may not be its own nearest
    return found[others].reshape(-1, n)


def _means(values: np.ndarray, codes: np.ndarray, n: int = 0) -> np.ndarray:
    counts = np.bincount(codes, minlength=n)
    return np.bincount(codes, values, minlength=n) / np.maximum(counts, 1)
