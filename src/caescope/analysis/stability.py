"""Whether clusters come back: with another seed, on other images, in another model."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from caescope.analysis.clustering import NOISE, cluster_points
from caescope.analysis.latents import parse_latents
from caescope.errors import DataError
from caescope.metrics import ari, contingency
from caescope.parsing import parse_integer, parse_seed

LEAST_JACCARD = 0.6


def judge_stability(
    points,
    clusters,
    method: str = "kmeans",
    k: int = 20,
    seeds: int = 5,
    bootstraps: int = 20,
    seed: int = 0,
) -> dict[str, Any]:
    """Cluster points again, with other seeds and on resamples of them, and tell what comes back.

    Each time it is done as the first time, with as many starts. Two questions are put to each cluster:

    - A resample is drawn with replacement, holds about 63 % of the points, each once, and is clustered. How
      much of the cluster comes back in it (Hennig 2007)?
    - The points are divided at random into two halves, each is clustered, and its clusters are extended to
      all points. How far do the two, which share no point, agree on the cluster? A cloud that was cut through
      is mostly cut elsewhere by another sample, while resamples of the same points repeat the cut: this tells
      a group from a slice (as does the prediction strength of Tibshirani and Walther 2005). Of a cloud that
      is long in one direction by itself, the halves repeat the cut, too.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
    clusters : array_like, shape (n_images,)
        The clusters of these points that are judged; -1, noise, is no cluster.
    method, k
        How they were made; see `caescope.analysis.clustering.cluster_points`. A resample with fewer different
        points than ``k`` is put into as many clusters.
    seeds : int, at least 2
        How many runs are compared on all points; ``clusters`` is the first.
    bootstraps : int, at least 1
        How many resamples, and half as many divisions, are clustered.
    seed : int, 0 to 2**32 - 1
        With which ``clusters`` were made; the others follow from it.

    Returns
    -------
    dict
        ``seeds``; ``ari_mean`` and ``ari_least`` of all pairs of runs, where noise is a group like others;
        ``bootstraps``; ``jaccard``, for each cluster its largest Jaccard index with a cluster of a resample,
        among the points in that, as a mean over those resamples that have points of it; ``halves``, the
        Jaccard index of the clusters of two halves that are most like it, as a mean over the divisions;
        ``unstable``, the clusters of less than 0.6 in either, which are not to be trusted.

    Raises
    ------
    DataError
        If points or clusters cannot be used.
    OptionError
        If an option cannot be used.

    References
    ----------
    Hennig, "Cluster-wise assessment of cluster stability", Computational Statistics & Data Analysis 52, 2007.
    Tibshirani and Walther, "Cluster validation by prediction strength", Journal of Computational and
    Graphical Statistics 14, 2005.
    Hubert and Arabie, "Comparing partitions", Journal of Classification 2, 1985.

    Examples
    --------
    >>> points = [[0, 0], [0, 1], [1, 0], [1, 1]] * 5 + [[90, 0], [90, 1]] * 5
    >>> judged = judge_stability(points, [0] * 20 + [1] * 10, k=2)
    >>> judged["ari_least"], judged["jaccard"], judged["halves"], judged["unstable"]
    (1.0, {0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}, [])
    """
    table, labels = parse_latents(points, "points"), np.asarray(clusters)
    if labels.shape != (len(table),):
        raise DataError(
            "points and clusters must be of the same images",
            f"{len(table)} points and clusters of shape {labels.shape}",
            "Give both for the same images, in the same order.",
        )
    seeds, bootstraps = parse_integer(seeds, "seeds", 2), parse_integer(bootstraps, "bootstraps")
    n_halves = -(-bootstraps // 2)
    draws = (
        np.random.SeedSequence(parse_seed(seed)).generate_state(seeds - 1 + bootstraps + n_halves).tolist()
    )
    runs = [labels, *(cluster_points(table, method, k, draw).labels for draw in draws[: seeds - 1])]
    resamples, divisions = draws[seeds - 1 : -n_halves], draws[-n_halves:]
    shares = _mean_of_each([_resample(table, labels, method, k, draw) for draw in resamples])
    halves = _mean_of_each([_divide(table, labels, method, k, draw) for draw in divisions])
    return {
        "seeds": seeds,
        **_agreement(runs),
        "bootstraps": bootstraps,
        "jaccard": shares,
        "halves": halves,
        "unstable": [name for name, share in shares.items() if min(share, halves[name]) < LEAST_JACCARD],
    }


def compare_runs(clusterings: Sequence) -> dict[str, Any]:
    """Tell how far clusterings of the same images agree, for example those of several models.

    Parameters
    ----------
    clusterings : sequence of array_like, shape (n_images,)
        At least two; -1, noise, is no cluster.

    Returns
    -------
    dict
        ``n``, how many; ``ari_mean`` and ``ari_least`` of all pairs, where noise is a group like others;
        ``jaccard``, for each cluster of the first its largest Jaccard index with a cluster of another, as a
        mean over the others.

    Raises
    ------
    DataError
        If there are fewer than two, or they are not of the same images.

    Examples
    --------
    >>> found = compare_runs([[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 2]])
    >>> found["n"], found["jaccard"], round(found["ari_least"], 3)
    (3, {0: 1.0, 1: 0.8333333333333333}, 0.706)
    """
    if len(clusterings) < 2:
        raise DataError(
            "There must be at least two clusterings to compare", f"{len(clusterings)}", "Add one."
        )
    first, *others = clusterings
    return {
        "n": len(clusterings),
        **_agreement(clusterings),
        "jaccard": _mean_of_each([best_jaccard(first, other) for other in others]),
    }


def best_jaccard(clusters, others) -> dict[Any, float]:
    r"""Return for each cluster how much of it is in one of the others, and nothing else.

    :math:`\max_d |c \cap d| / |c \cup d|` for the cluster c, over all clusters d of the other clustering.

    Parameters
    ----------
    clusters, others : array_like, shape (n_images,)
        Two clusterings of the same images; -1, noise, is no cluster.

    Returns
    -------
    dict
        Cluster of the first: share, in [0, 1].

    Raises
    ------
    DataError
        If the two are not of the same images, or there are none.

    References
    ----------
    Jaccard, "Distribution de la flore alpine dans le bassin des Dranses et dans quelques régions voisines",
    Bulletin de la Société Vaudoise des Sciences Naturelles 37, 1901.

    Examples
    --------
    >>> best_jaccard([0, 0, 0, 0, 1, 1], [5, 5, 5, 6, 6, 6])
    {0: 0.75, 1: 0.6666666666666666}
    """
    both, names, other_names = contingency(clusters, others)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
    real = [name != NOISE for name in other_names]
    best = (both / either)[:, real].max(axis=1, initial=0.0).tolist()
    return {name: share for name, share in zip(names, best, strict=True) if name != NOISE}


def _resample(points: np.ndarray, labels: np.ndarray, method: str, k: int, seed: int) -> dict[Any, float]:
    """Return the best Jaccard index of each cluster with those of points drawn with replacement."""
    drawn = np.unique(np.random.default_rng(seed).integers(0, len(points), len(points)))
    distinct = len(np.unique(points[drawn], axis=0))
    again = cluster_points(points[drawn], method, min(k, distinct), seed)
    return best_jaccard(labels[drawn], again.labels)


def _divide(points: np.ndarray, labels: np.ndarray, method: str, k: int, seed: int) -> dict[Any, float]:
    """Return how far the clusters of two halves of the points agree on each cluster."""
    order = np.random.default_rng(seed).permutation(len(points))
    extended = [_extend(points, half, method, k, seed) for half in np.array_split(order, 2)]
    agreed = {}
    for name in np.unique(labels[labels != NOISE]).tolist():
        first, second = (_most_like(labels == name, clusters) for clusters in extended)
        agreed[name] = float((first & second).sum() / max((first | second).sum(), 1))
    return agreed


def _extend(points: np.ndarray, half: np.ndarray, method: str, k: int, seed: int) -> np.ndarray:
    """Return the clusters that half of the points make, extended to all of them."""
    distinct = len(np.unique(points[half], axis=0))
    found = cluster_points(points[half], method, min(k, distinct), seed)
    return found.predict(points) if found.k else np.full(len(points), NOISE)


def _most_like(members: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return which points are in the cluster with the largest Jaccard index with ``members``."""
    both, _, names = contingency(members, clusters)
    either = members.sum() + both.sum(axis=0) - both[-1]
    shares = np.where(np.array(names) == NOISE, -1.0, both[-1] / either)
    return (clusters == names[int(shares.argmax())]) & (shares.max() >= 0)


def _agreement(runs: Sequence) -> dict[str, float]:
    pairs = [ari(first, second) for first, second in combinations(runs, 2)]
    return {"ari_mean": float(np.mean(pairs)), "ari_least": min(pairs)}


def _mean_of_each(found: Sequence[dict[Any, float]]) -> dict[Any, float]:
    """Return the mean for each cluster over those that have it."""
    names = sorted({name for shares in found for name in shares})
    return {name: float(np.mean([shares[name] for shares in found if name in shares])) for name in names}
